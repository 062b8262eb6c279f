//! The configuration with everything that it names, read before a process begins: one way for `check` and for `run`.
//!
//! Certificates, keys and authorities are loaded, and the daemon uses what was loaded; users and groups are looked up as it does later. So
//! `check` refuses, in the same words, whatever stops a start before an address is bound.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use crate::config::{Config, Diagnostic, Diagnostics, Options, PeersSection, Span, refuse_idle, summary};
use crate::runtime;
use crate::tls::TlsError;
#[cfg(feature = "http")]
use crate::{config::HttpBind, http::Tokens};

/// What stands before a summary when no file is given.
const BUILT_IN: &str = "No file is given (-f), so this is the built-in configuration.\n";

/// Reads a configuration and what it names.
///
/// # Errors
/// Everything that is wrong, and the warnings too; also when a process would serve nothing. What a faulty text names is not looked at.
pub fn load(paths: &[PathBuf], options: &Options) -> Result<Config, Diagnostics> {
    let config = refuse_idle(Config::load(paths, options)?)?;
    let faults = faults(&config);
    if faults.is_empty() { Ok(config) } else { Err(config.warnings.with(faults)) }
}

/// What a person is told of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What the configuration means, with its warnings, or what is wrong with it.
    pub text: String,
    /// Whether `run` would begin to bind its addresses.
    pub is_good: bool,
}

/// Reads a configuration as [`load`] does and describes it, with every diagnostic if `all`, else a screenful.
pub fn check(paths: &[PathBuf], options: &Options, colors: bool, all: bool) -> Verdict {
    let render = |found: &Diagnostics| if all { found.render_all(colors) } else { found.render(colors) };
    match load(paths, options) {
        Ok(config) => {
            let is_builtin = paths.is_empty() && options.haproxy_files.is_empty();
            let which = if is_builtin { BUILT_IN } else { "" };
            let text = format!("{}{which}{}", render(&config.warnings), summary(&config));
            Verdict { text, is_good: true }
        }
        Err(found) => Verdict { text: render(&found), is_good: false },
    }
}

/// What cannot be used of all that a configuration names.
fn faults(config: &Config) -> Vec<Diagnostic> {
    let mut faults = Faults { config, items: Vec::new(), seen: HashSet::new() };
    for socket in &config.global.stats_sockets {
        if let Err(error) = runtime::owners(socket) {
            faults.add(socket.span, None, &error.to_string(), "of this socket");
        }
    }
    #[cfg(feature = "http")]
    for bind in &config.global.http.binds {
        faults.http(bind);
    }
    for shared in &config.global.shared {
        let loaded = shared.bind.tls.as_ref().map(|tls| config.tls.acceptor(tls)).transpose();
        faults.tls(loaded.err(), shared.bind.span, "for this listener");
    }
    for section in config.sections.iter().filter(|section| !section.disabled) {
        faults.section(section);
    }
    faults.items
}

struct Faults<'c> {
    config: &'c Config,
    items: Vec<Diagnostic>,
    /// Messages so far with their places: many peers may name the same file.
    seen: HashSet<(Span, String)>,
}

impl Faults<'_> {
    fn section(&mut self, section: &PeersSection) {
        let files = &self.config.tls;
        for bind in &section.local.listeners {
            let loaded = bind.tls.as_ref().map(|tls| files.acceptor(tls)).transpose();
            self.tls(loaded.err(), bind.span, "for this listener");
        }
        let own = section.local.tls.as_ref().map(|tls| files.connector(tls)).transpose();
        self.tls(own.err(), section.local.span, "for this node");
        for peer in &section.remotes {
            let loaded = peer.tls.as_ref().map(|tls| files.connector(tls)).transpose();
            self.tls(loaded.err(), peer.span, "for this peer");
        }
        for template in &section.templates {
            let loaded = template.tls.as_ref().map(|tls| files.connector_for_members(tls)).transpose();
            self.tls(loaded.err(), template.span, "for these members");
        }
    }

    #[cfg(feature = "http")]
    fn http(&mut self, bind: &HttpBind) {
        let span = bind.socket.span;
        if let Err(error) = runtime::owners(&bind.socket) {
            self.add(span, None, &error.to_string(), "of this socket");
        }
        if let Some(path) = &bind.token_file
            && let Err(error) = Tokens::load(path)
        {
            let file = self.place_of(path, span);
            self.add(span, file, &error.to_string(), "for this listener");
        }
        let loaded = bind.tls.as_ref().map(|tls| self.config.tls.acceptor(tls)).transpose();
        self.tls(loaded.err(), span, "for this listener");
    }

    fn tls(&mut self, error: Option<TlsError>, user: Span, whose: &'static str) {
        let Some(error) = error else { return };
        let file = error.path().and_then(|path| self.place_of(path, user));
        self.add(user, file, &error.to_string(), whose);
    }

    /// Where the configuration names a file that is wanted for the line of `user`: there or before, else behind it.
    fn place_of(&self, path: &Path, user: Span) -> Option<Span> {
        let line = |span: Span| self.config.sources.place(span).line;
        let named = self.config.files.iter().filter(|(file, span)| {
            span.source() == user.source() && (path.starts_with(file) || is_beside(path, file))
        });
        let user = line(user);
        named.map(|(_, span)| *span).min_by_key(|span| match line(*span) {
            before if before <= user => (false, user - before),
            after => (true, after - user),
        })
    }

    fn add(&mut self, user: Span, file: Option<Span>, message: &str, whose: &'static str) {
        let place = file.unwrap_or(user);
        if !self.seen.insert((place, message.to_owned())) {
            return;
        }
        let error = Diagnostic::error(place, message.to_owned());
        self.items.push(match file {
            Some(_) => error.label("this file").related(user, whose),
            None => error.label(whose),
        });
    }
}

/// Whether `path` is the key that is looked for beside a certificate.
fn is_beside(path: &Path, certificate: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().strip_suffix(b".key")
        == Some(certificate.as_os_str().as_encoded_bytes())
}
