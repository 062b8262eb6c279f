//! The configuration, in HAProxy's own syntax.
//!
//! [`Config::load`] reads files and directories and gives one complete, checked [`Config`], or all [`Diagnostics`]
//! of one run: each shows its line with a caret under the word and says what is allowed. Nothing is silently
//! ignored: a word of HAProxy's that has no effect here is a warning, any other unknown word an error.
//!
//! Sections are `global`, `peers`, `aggregations`, and `backend`, `frontend` and `listen` for their `stick-table` line. A table of
//! a `peers` or an `aggregations` section is named `<section>/<name>`, a proxy's table has the proxy's name.

use std::collections::BTreeMap;
use std::path::PathBuf;

pub mod address;
mod aggregations;
mod aggregator;
pub mod builtin;
mod check;
pub mod cidr;
mod cluster;
mod directives;
mod global;
mod http;
pub mod hub;
mod idle;
pub mod keywords;
mod listeners;
mod log;
mod mappings;
mod model;
mod parser;
mod peers;
mod proxy;
mod references;
mod shared;
mod socket;
mod state;
mod stick_rule;
pub mod syntax;
mod table;
mod template;
mod transport;
mod variables;
mod whole;

use syntax::arguments::{self, Report};
use syntax::source::Origin;

use crate::tls::Loaded;

pub use address::{Address, WildcardFamilies};
pub(crate) use check::CONN_CUR;
pub use check::summary;
pub use cidr::Cidr;
pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use http::{Http, HttpBind};
pub use hub::{Hub, Mapping, PeerLevel, Source};
pub(crate) use idle::refuse_idle;
pub use model::{
    Bind, BindTls, CaFile, DynamicPeers, DynamicTables, Global, Handshakes, Level, LocalPeer, LogFormat,
    LogLevel, LogOutput, LogTarget, MaxConnections, Owner, PeersSection, RemotePeer, ServerTls,
    SeverityOutput, SharedListener, StateLine, StatsSocket, TableEntry, TlsVersion, TlsVersions, Verify,
};
pub use syntax::source::{Sources, Span};
pub use syntax::words::Place;
pub use syntax::{diagnostic, lexer, source};
pub use template::{MemberNames, Membership, ServerTemplate};
pub use whole::Taken;

/// A complete and checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The `global` sections taken together.
    pub global: Global,
    /// Name of this node in every section: `-L`, else `localpeer`, else the host name.
    pub local_peer: String,
    /// The `peers` and `aggregations` sections in declaration order, names unique.
    pub sections: Vec<PeersSection>,
    /// Tables of proxies without a `peers` argument: kept and shown, shared with nobody.
    pub local_tables: Vec<TableEntry>,
    /// What the TLS parameters name, once it is loaded.
    pub tls: Loaded,
    /// Files that the configuration names, such as certificates, with the places of their names.
    pub files: Vec<(PathBuf, Span)>,
    /// What was taken of each of a HAProxy's files.
    pub taken: Vec<Taken>,
    /// What loads, but may not mean what its author expects; holds no error.
    pub warnings: Diagnostics,
    /// The texts, to say where something was declared.
    pub sources: Sources,
}

/// What the command line and the system add to the configuration's text.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The argument of `-L`: this node's name, stronger than `localpeer`.
    pub local_peer: Option<String>,
    /// The host's name, this node's name of last resort; asked from the system when `None`.
    pub host_name: Option<String>,
    /// A HAProxy's files, or directories of them, of which stickd takes its share.
    pub haproxy_files: Vec<PathBuf>,
    /// Where `"$NAME"` takes its values from.
    pub environment: Environment,
}

/// Where variables take their values from.
#[derive(Clone, Debug, Default)]
pub enum Environment {
    /// From the process's environment.
    #[default]
    Process,
    /// From these values.
    Fixed(BTreeMap<String, String>),
}

impl Config {
    /// Reads files, and the `.cfg` files of directories in name order; without any path, the built-in configuration. Of the
    /// HAProxy's files among the options stickd takes its share.
    ///
    /// # Errors
    /// Everything that is wrong in all files, and the warnings too.
    pub fn load(paths: &[PathBuf], options: &Options) -> Result<Self, Diagnostics> {
        if paths.is_empty() && options.haproxy_files.is_empty() {
            return Self::builtin(options);
        }
        let (mut sources, mut report) = (Sources::default(), Report::default());
        let own = paths.iter().map(|path| (path, Origin::Own));
        for (path, origin) in own.chain(options.haproxy_files.iter().map(|path| (path, Origin::Haproxy))) {
            if let Err(error) = sources.load(path, origin) {
                report.push(Diagnostic::without_place(error.to_string()));
            }
        }
        parser::parse(sources, report, options)
    }

    /// Reads one text; `name` stands for its file in messages.
    ///
    /// # Errors
    /// Everything that is wrong, and the warnings too.
    pub fn parse_text(name: &str, text: &str, options: &Options) -> Result<Self, Diagnostics> {
        let mut sources = Sources::default();
        sources.add(name, text, false);
        parser::parse(sources, Report::default(), options)
    }

    /// Every listener that serves a section: its own, and those of `global`.
    pub fn listeners_of<'c>(&'c self, section: &'c PeersSection) -> impl Iterator<Item = &'c Bind> {
        let shared = self.global.shared.iter().filter(|shared| shared.sections.contains(&section.name));
        section.local.listeners.iter().chain(shared.map(|shared| &shared.bind))
    }

    /// The configuration that serves when no file is given, see [`builtin::TEXT`].
    ///
    /// # Errors
    /// When the local peer's name from `-L` or the host is no name for a peer.
    pub fn builtin(options: &Options) -> Result<Self, Diagnostics> {
        Self::parse_text(builtin::NAME, builtin::TEXT, options)
    }
}
