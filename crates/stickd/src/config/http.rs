//! The `http` lines of `global`: listeners for metrics, the API and the page, and the names that clients may use for them.

use std::path::{Path, PathBuf};

use super::address::{Address, WildcardFamilies};
use super::arguments::{Arguments, Report, Word};
use super::diagnostic::Diagnostic;
use super::global::Bases;
use super::keywords;
use super::model::{BindTls, Level, SeverityOutput, StatsSocket, Verify};
use super::socket;
use super::source::Span;
use super::syntax::words::Place;
use super::transport::{self, Parameters, Role};

const BIND: &str = "http bind 127.0.0.1:8404 level operator";
const HOSTS: &str = "http hosts stickd1.example.org";

/// TLS words with a value behind them.
const WITH_VALUE: [&str; 7] = ["crt", "ca-file", "crl-file", "verify", "alpn", "ssl-min-ver", "ssl-max-ver"];

/// What the `http` lines say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Http {
    /// The listeners; nothing is served without any.
    pub binds: Vec<HttpBind>,
    /// Names, in lower case, that clients may use in `Host` besides addresses and `localhost`.
    pub hosts: Vec<String>,
}

/// An `http bind` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpBind {
    /// Where to listen, and what a client may do that shows no token; with a token file such a client may do nothing.
    pub socket: StatsSocket,
    /// Tokens of which a client must show one.
    pub token_file: Option<PathBuf>,
    /// Set when clients connect over TLS.
    pub tls: Option<BindTls>,
}

/// An `http bind` line whose TLS parameters wait for `ca-base` and `crt-base`.
#[derive(Debug)]
pub(super) struct HttpDraft {
    socket: StatsSocket,
    token_file: Option<(PathBuf, Span)>,
    parameters: Parameters,
}

/// Reads an `http` line.
pub(super) fn parse(
    mut arguments: Arguments<'_>,
    drafts: &mut Vec<HttpDraft>,
    hosts: &mut Vec<String>,
    report: &mut Report,
) {
    let keyword = arguments.keyword();
    let Some(what) = arguments.value(keyword, "bind or hosts", BIND, report) else { return };
    match what.text.as_str() {
        "bind" => {
            if let Some(draft) = bind(what, arguments, report) {
                drafts.push(draft);
            }
        }
        "hosts" => {
            if arguments.peek().is_none() {
                // Reports that the name is missing.
                let _ = arguments.value(what, "a name", HOSTS, report);
            }
            for word in arguments {
                if is_host_name(&word.text) {
                    hosts.push(word.text.to_ascii_lowercase());
                } else {
                    let error = Diagnostic::error(word.span, format!("\"{}\" is not a host name", word.text));
                    report.push(error.label("letters, digits, dots and hyphens are expected").help(
                        "write the name without scheme and port; addresses and localhost are always accepted",
                    ));
                }
            }
        }
        _ => report.unknown(what, "word", "after http", &["bind", "hosts"]),
    }
}

fn is_host_name(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    text.len() <= 253 && text.split('.').all(is_label)
}

fn bind(what: &Word, mut arguments: Arguments<'_>, report: &mut Report) -> Option<HttpDraft> {
    let errors = report.errors();
    let word = arguments.value(what, "an address or a path", BIND, report)?;
    let span = word.span;
    let mut socket = StatsSocket {
        address: socket::address(word, report)?,
        families: WildcardFamilies::default(),
        mode: None,
        user: None,
        group: None,
        level: Level::User,
        severity: SeverityOutput::default(),
        span,
    };
    let mut token_file = None;
    // Behind a word that stands for the keyword: the reader of TLS parameters expects one.
    let mut tls = vec![what.clone()];
    while let Some(word) = arguments.next() {
        let text = word.text.as_str();
        if text == "token-file" {
            let file = arguments.value(word, "a file", "token-file /etc/stickd/http.tokens", report)?;
            report.names_file(Path::new(&file.text), file.span);
            token_file = Some((PathBuf::from(&file.text), file.span));
        } else if keywords::is_known(Place::Http, text) && keywords::is_known(Place::Socket, text) {
            socket::warn_unix_word(word, &socket, report);
            socket::parameter(word, &mut socket, &mut arguments, report)?;
        } else if transport::is_tls(text) && text != "verify-peer-name" {
            tls.push(word.clone());
            if WITH_VALUE.contains(&text) {
                tls.extend(arguments.next().cloned());
            }
        } else {
            let known = [keywords::names(Place::Http), &["crt", "ca-file", "verify"]].concat();
            report.unknown(word, "parameter", "on an HTTP listener", &known);
            return None;
        }
    }
    let parameters = Parameters::parse(Arguments::new(&tls)?, Role::Bind, report);
    (report.errors() == errors).then_some(HttpDraft { socket, token_file, parameters })
}

/// Builds the listeners and reports those that are open to everybody.
pub(super) fn build(drafts: &[HttpDraft], bases: &Bases, report: &mut Report) -> Vec<HttpBind> {
    let mut binds: Vec<HttpBind> = Vec::new();
    for draft in drafts {
        let span = draft.socket.span;
        if !cfg!(feature = "http") {
            let error = Diagnostic::error(span, "this stickd is built without HTTP");
            report.push(
                error.label("needs the feature `http`").help("remove the line, or build it with the feature"),
            );
            continue;
        }
        let tls = draft.parameters.bind_tls(span, bases, report);
        let token_file = draft.token_file.as_ref().map(|(path, _)| path.clone());
        let bind = HttpBind { socket: draft.socket.clone(), token_file, tls };
        check_access(&bind, report);
        binds.push(bind);
    }
    binds
}

/// Reports a listener that other machines reach without showing who they are, and tokens that everybody on the way can read.
fn check_access(bind: &HttpBind, report: &mut Report) {
    let address = &bind.socket.address;
    if !is_reachable(address) {
        return;
    }
    let span = bind.socket.span;
    let shows_certificate = bind.tls.as_ref().is_some_and(|tls| tls.verify == Verify::Required);
    if bind.token_file.is_none() && !shows_certificate {
        let error = Diagnostic::error(span, format!("anybody who reaches {address} could use HTTP"));
        report.push(
            error
                .label("not a loopback address, and neither a token nor a client certificate is required")
                .help(
                    "add `token-file FILE` or `ssl crt FILE ca-file FILE verify required`, or bind 127.0.0.1",
                ),
        );
    } else if bind.tls.is_none() {
        let warning = Diagnostic::warning(span, format!("tokens travel to {address} unencrypted"));
        report.push(warning.label("has no \"ssl\"").help("add `ssl crt FILE`, or bind 127.0.0.1"));
    }
}

/// Whether other machines may reach an address.
fn is_reachable(address: &Address) -> bool {
    match address {
        Address::Unix(_) => false,
        Address::Ip(ip) => !ip.ip().to_canonical().is_loopback(),
        Address::Host { host, .. } => !host.eq_ignore_ascii_case("localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Level, Options};

    fn read(global: &str) -> Result<Config, Vec<String>> {
        let options = Options { local_peer: Some("me".to_owned()), ..Options::default() };
        let text = format!("global\n{global}\npeers p\n peer me 127.0.0.1:7777\n");
        Config::parse_text("t", &text, &options)
            .map_err(|found| found.iter().map(|item| item.title().to_owned()).collect())
    }

    fn warnings(config: &Config) -> Vec<String> {
        config.warnings.iter().map(|item| item.title().to_owned()).collect()
    }

    #[test]
    fn listeners_are_read() {
        let config = read(
            "crt-base /crt\n http bind 127.0.0.1:8404\n http bind unix@/run/h.sock mode 660 group adm level admin\n \
             http bind [::]:8405 v6only level operator token-file /t ssl crt a.pem\n http hosts A.example b",
        )
        .unwrap();
        assert_eq!(warnings(&config), [""; 0]);
        let http = &config.global.http;
        assert_eq!(http.hosts, ["a.example", "b"]);
        let levels: Vec<_> = http.binds.iter().map(|bind| bind.socket.level).collect();
        assert_eq!(levels, [Level::User, Level::Admin, Level::Operator]);
        assert_eq!(http.binds[1].socket.mode, Some(0o660));
        assert_eq!(http.binds[2].token_file.as_deref(), Some("/t".as_ref()));
        assert_eq!(http.binds[2].tls.as_ref().unwrap().crt, std::path::Path::new("/crt/a.pem"));
        let files: Vec<_> = config.files.iter().map(|(path, _)| path.display().to_string()).collect();
        assert_eq!(files, ["/t", "/crt/a.pem"]);
    }

    #[test]
    fn what_is_open_to_everybody_is_refused() {
        for address in ["0.0.0.0:1", "10.0.0.1:1", ":2", "[::]:2", "example.org:3"] {
            let titles = read(&format!("http bind {address} level user")).unwrap_err();
            assert!(titles[0].starts_with("anybody who reaches "), "{titles:?}");
            let optional = format!("http bind {address} ssl crt c ca-file d verify optional");
            assert!(read(&optional).is_err());
            assert!(read(&format!("http bind {address} ssl crt c ca-file d verify required")).is_ok());
            assert!(read(&format!("http bind {address} ssl crt c token-file t")).is_ok());
            let config = read(&format!("http bind {address} token-file t")).unwrap();
            assert!(warnings(&config)[0].starts_with("tokens travel to "), "{:?}", warnings(&config));
        }
        for address in ["127.0.0.1:9", "127.8.8.8:9", "[::1]:9", "localhost:9", "unix@/run/h"] {
            assert!(read(&format!("http bind {address}")).is_ok(), "{address}");
        }
    }

    #[test]
    fn faults_name_their_word() {
        for (line, title) in [
            ("http", "\"http\" needs bind or hosts"),
            ("http bnd", "unknown word \"bnd\""),
            ("http bind", "\"bind\" needs an address or a path"),
            ("http bind 127.0.0.1", "\"127.0.0.1\" is not an address"),
            ("http bind 127.0.0.1:1 level root", "unknown level \"root\""),
            ("http bind 127.0.0.1:1 tokn x", "unknown parameter \"tokn\""),
            ("http bind 127.0.0.1:1 token-file", "\"token-file\" needs a file"),
            ("http bind 127.0.0.1:1 ssl", "a listener with \"ssl\" needs a certificate"),
            (
                "http bind 127.0.0.1:1\n http bind 127.0.0.1:1",
                "the HTTP listener listens where the HTTP listener listens as well",
            ),
            (
                "http bind 127.0.0.1:1\n stats socket 127.0.0.1:1",
                "the HTTP listener listens where the runtime socket listens as well",
            ),
            ("http hosts", "\"hosts\" needs a name"),
            ("http hosts http://x", "\"http://x\" is not a host name"),
        ] {
            let titles = read(line).unwrap_err();
            assert_eq!(titles, [title], "{line}");
        }
    }
}
