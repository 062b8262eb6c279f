//! The configuration, in HAProxy's own syntax.

use std::collections::BTreeMap;

pub mod address;
pub mod cidr;
pub mod diagnostic;
pub mod lexer;
mod model;
pub mod source;

pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use model::{
    Bind, BindTls, CaFile, DynamicPeers, DynamicTables, Global, Level, LocalPeer, LogFormat, LogLevel,
    LogOutput, LogTarget, Owner, PeersSection, RemotePeer, ServerTls, StatsSocket, TableEntry, TlsVersion,
    TlsVersions, Verify,
};
pub use source::{Sources, Span};

/// A complete and checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The `global` sections taken together.
    pub global: Global,
    /// Name of this node in every section: `-L`, else `localpeer`, else the host name.
    pub local_peer: String,
    /// The `peers` sections in declaration order.
    pub sections: Vec<PeersSection>,
    /// Tables of proxies without a `peers` argument: kept and shown, shared with nobody.
    pub local_tables: Vec<TableEntry>,
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
