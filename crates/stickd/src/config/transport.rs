//! The parameters of `bind`, `server` and `peer` lines: TLS and shard; the rest of HAProxy's is named, not obeyed.

use std::path::PathBuf;

use super::address::{Address, WildcardFamilies};
use super::arguments::{Arguments, Report, Word, listed, number};
use super::diagnostic::{Diagnostic, Severity, closest};
use super::global::Bases;
use super::keywords;
use super::model::{BindTls, CaFile, ServerTls, TlsVersion, TlsVersions, Verify};
use super::source::Span;
use super::syntax::words::{self, Known, Place};

/// What a line configures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// `bind`, `default-bind`.
    Bind,
    /// `server`, `peer`, `default-server`: how to connect to a node, this one too.
    Server,
}

impl Role {
    fn place(self) -> Place {
        match self {
            Self::Bind => Place::Bind,
            Self::Server => Place::Server,
        }
    }
}

/// What the parameters of a line say; those absent are `None`.
#[derive(Clone, Debug, Default)]
pub(super) struct Parameters {
    ssl: Option<bool>,
    crt: Option<(PathBuf, Span)>,
    ca_file: Option<(CaFile, Span)>,
    crl_file: Option<(PathBuf, Span)>,
    verify: Option<(Verify, Span)>,
    sni: Option<Option<String>>,
    verify_host: Option<Option<String>>,
    verify_peer_name: Option<(bool, Span)>,
    min: Option<TlsVersion>,
    max: Option<TlsVersion>,
    alpn: Option<Vec<String>>,
    /// Place of the first TLS word other than `ssl`.
    tls_word: Option<Span>,
    pub(super) shard: Option<(u32, Span)>,
    /// `v4v6` or `v6only`, whichever is stronger.
    families: Option<(WildcardFamilies, Span)>,
    /// Whether something was reported, so that what is missing may be what was refused.
    faulty: bool,
}

impl Parameters {
    /// Reads the rest of a line.
    pub(super) fn parse(mut arguments: Arguments<'_>, role: Role, report: &mut Report) -> Self {
        let mut parameters = Self::default();
        while let Some(word) = arguments.next() {
            // After a fault the rest of the line may be values: stop.
            if parameters.parameter(word, role, &mut arguments, report).is_none() {
                parameters.faulty = true;
                break;
            }
        }
        parameters
    }

    /// These parameters with those of a `default-…` line behind them.
    pub(super) fn or(&self, defaults: &Self) -> Self {
        let (own, defaults) = (self.clone(), defaults.clone());
        Self {
            ssl: own.ssl.or(defaults.ssl),
            crt: own.crt.or(defaults.crt),
            ca_file: own.ca_file.or(defaults.ca_file),
            crl_file: own.crl_file.or(defaults.crl_file),
            verify: own.verify.or(defaults.verify),
            sni: own.sni.or(defaults.sni),
            verify_host: own.verify_host.or(defaults.verify_host),
            verify_peer_name: own.verify_peer_name.or(defaults.verify_peer_name),
            min: own.min.or(defaults.min),
            max: own.max.or(defaults.max),
            alpn: own.alpn.or(defaults.alpn),
            tls_word: own.tls_word,
            shard: own.shard.or(defaults.shard),
            families: stronger(own.families, defaults.families),
            faulty: own.faulty || defaults.faulty,
        }
    }

    fn parameter(
        &mut self,
        word: &Word,
        role: Role,
        arguments: &mut Arguments<'_>,
        report: &mut Report,
    ) -> Option<()> {
        if !keywords::is_known(role.place(), &word.text) {
            return unknown(word, role, arguments, report);
        }
        match word.text.as_str() {
            "ssl" => self.ssl = Some(true),
            "no-ssl" => self.ssl = Some(false),
            "shard" => {
                let value = arguments.value(word, "a number", "shard 2", report)?;
                self.shard = Some((number(value, 0, u32::MAX, "a shard", report)?, value.span));
            }
            "v4v6" => self.families = stronger(self.families, Some((WildcardFamilies::Both, word.span))),
            "v6only" => self.families = stronger(self.families, Some((WildcardFamilies::V6Only, word.span))),
            _ => {
                self.tls_word.get_or_insert(word.span);
                self.tls(word, role, arguments, report)?;
            }
        }
        Some(())
    }

    fn tls(
        &mut self,
        word: &Word,
        role: Role,
        arguments: &mut Arguments<'_>,
        report: &mut Report,
    ) -> Option<()> {
        let mut value = |what, example| arguments.value(word, what, example, report);
        match word.text.as_str() {
            "crt" => {
                let file = value("a file", "crt /etc/stickd/node.pem")?;
                self.crt = Some((PathBuf::from(&file.text), file.span));
            }
            "ca-file" => {
                let file = value("a file, or @system-ca", "ca-file /etc/stickd/ca.pem")?;
                let authorities = match file.text.as_str() {
                    "@system-ca" => CaFile::System,
                    path => CaFile::File(PathBuf::from(path)),
                };
                self.ca_file = Some((authorities, file.span));
            }
            "crl-file" => {
                let file = value("a file", "crl-file /etc/stickd/crl.pem")?;
                self.crl_file = Some((PathBuf::from(&file.text), file.span));
            }
            "verify" => {
                let value = value("a word", "verify required")?;
                self.verify = Some((verify(value, role, report)?, value.span));
            }
            "no-verify" => self.verify = Some((Verify::None, word.span)),
            "sni" => self.sni = Some(Some(sni(value("a name", "sni str(node1.example.org)")?, report)?)),
            "no-sni" => self.sni = Some(None),
            "verifyhost" => {
                self.verify_host = Some(Some(value("a name", "verifyhost node1.example.org")?.text.clone()));
            }
            "no-verifyhost" => self.verify_host = Some(None),
            "verify-peer-name" => self.verify_peer_name = Some((true, word.span)),
            "no-verify-peer-name" => self.verify_peer_name = Some((false, word.span)),
            "alpn" => {
                let list = value("a list of protocols", "alpn haproxy-peers")?;
                self.alpn = Some(list.text.split(',').map(str::to_owned).collect());
            }
            "no-alpn" => self.alpn = Some(Vec::new()),
            "ssl-min-ver" => {
                let value = value("a TLS version", "ssl-min-ver TLSv1.2")?;
                self.min = Some(version(value, true, report)?);
            }
            "ssl-max-ver" => {
                let value = value("a TLS version", "ssl-max-ver TLSv1.3")?;
                self.max = Some(version(value, false, report)?);
            }
            "force-tlsv12" => (self.min, self.max) = (Some(TlsVersion::V12), Some(TlsVersion::V12)),
            "force-tlsv13" => (self.min, self.max) = (Some(TlsVersion::V13), Some(TlsVersion::V13)),
            "no-tlsv12" => self.min = Some(TlsVersion::V13),
            "no-tlsv13" => self.max = Some(TlsVersion::V12),
            // no-sslv3, no-tlsv10 and no-tlsv11 ask for what holds anyway.
            _ => {}
        }
        Some(())
    }

    /// The families of a listener at `address`, whose line may have more parameters in `other`.
    pub(super) fn listening_families(
        &self,
        address: &Address,
        other: Option<&Self>,
        report: &mut Report,
    ) -> WildcardFamilies {
        let said = stronger(self.families, other.and_then(|other| other.families));
        if let (Some((families, span)), Address::Ip(ip)) = (said, address)
            && ip.is_ipv4()
        {
            let word = word_of(families);
            let warning = Diagnostic::warning(span, format!("\"{word}\" has no effect on an IPv4 address"));
            let warning = warning.label(format!("{ip} serves IPv4 only"));
            report.push(match families {
                WildcardFamilies::Both => {
                    warning.help(format!("write `[::]:{} v4v6` to serve both families", ip.port()))
                }
                _ => warning.help("remove the word"),
            });
        }
        said.map_or_else(WildcardFamilies::default, |(families, _)| families)
    }

    /// Warns about a word for listeners on the line of another node.
    pub(super) fn warn_listening_words(&self, report: &mut Report) {
        if let Some((families, span)) = self.families {
            let word = word_of(families);
            let warning = Diagnostic::warning(span, format!("\"{word}\" has no effect on this line"));
            report.push(warning.label("this node connects to that one").help(
                "the word belongs on the line of the node that listens, or on `bind` or `default-bind`",
            ));
        }
    }

    /// Whether TLS is asked for.
    pub(super) fn has_tls(&self) -> bool {
        self.ssl == Some(true)
    }

    /// TLS of a listener whose line is at `at`: `None` when it is plain, or after a fault, which is reported.
    pub(super) fn bind_tls(&self, at: Span, bases: &Bases, report: &mut Report) -> Option<BindTls> {
        if !self.has_tls() || self.faulty {
            self.warn_plain(report);
            return None;
        }
        let versions = self.versions(at, report)?;
        let Some(crt) = &self.crt else {
            report.push(
                Diagnostic::error(at, "a listener with \"ssl\" needs a certificate")
                    .label("\"crt FILE\" is missing")
                    .help("for example `bind :10000 ssl crt /etc/stickd/node.pem`: certificate chain and key, PEM"),
            );
            return None;
        };
        let verify = self.verify.map_or(Verify::None, |(verify, _)| verify);
        if let Some((Verify::Optional | Verify::Required, span)) =
            self.verify.filter(|_| self.ca_file.is_none())
        {
            report.push(
                Diagnostic::error(span, "no authority to verify certificates of peers with")
                    .label("needs \"ca-file FILE\""),
            );
            return None;
        }
        let verify_peer_name = self.binds_names(verify, report)?;
        let ca_file = self.ca_file(bases, report);
        let crl_file = self.crl_file(verify, bases, report);
        let alpn = self.alpn.clone().unwrap_or_default();
        let crt = based(crt, bases, report);
        Some(BindTls { crt, ca_file, crl_file, verify, verify_peer_name, versions, alpn })
    }

    /// TLS towards a peer whose line is at `at`: `None` when it is plain, or after a fault, which is reported.
    pub(super) fn server_tls(&self, at: Span, bases: &Bases, report: &mut Report) -> Option<ServerTls> {
        if !self.has_tls() || self.faulty {
            self.warn_plain(report);
            return None;
        }
        let versions = self.versions(at, report)?;
        let verify = self.verify.map_or(Verify::Required, |(verify, _)| verify);
        if verify == Verify::Required && self.ca_file.is_none() {
            report.push(
                Diagnostic::error(at, "no authority to verify the peer's certificate with")
                    .label("\"ca-file FILE\" is missing")
                    .help("write `ssl verify required ca-file FILE`, or `ssl verify none` to trust any certificate"),
            );
            return None;
        }
        Some(ServerTls {
            ca_file: self.ca_file(bases, report),
            crl_file: self.crl_file(verify, bases, report),
            verify,
            crt: self.crt.as_ref().map(|crt| based(crt, bases, report)),
            sni: self.sni.clone().flatten(),
            verify_host: self.verify_host.clone().flatten(),
            any_host: self.verify_host == Some(None),
            verify_peer_name: self.binds_names(verify, report)?,
            versions,
            alpn: self.alpn.clone().unwrap_or_default(),
        })
    }

    /// Where authorities come from, at its full path.
    fn ca_file(&self, bases: &Bases, report: &mut Report) -> Option<CaFile> {
        let (file, span) = self.ca_file.as_ref()?;
        Some(match file {
            CaFile::File(path) => {
                let path = bases.ca.as_ref().map_or_else(|| path.clone(), |base| base.join(path));
                report.names_file(&path, *span);
                CaFile::File(path)
            }
            CaFile::System => CaFile::System,
        })
    }

    /// The lists of revoked certificates, at their full path: `ca-base` is for them, too, as in HAProxy.
    fn crl_file(&self, verify: Verify, bases: &Bases, report: &mut Report) -> Option<PathBuf> {
        let (path, span) = self.crl_file.as_ref()?;
        if verify == Verify::None {
            let warning = Diagnostic::warning(*span, "\"crl-file\" has no effect without \"verify\"");
            report.push(
                warning
                    .label("no certificate is verified here")
                    .help("write `verify required ca-file FILE` on the same line, or remove the word"),
            );
        }
        let path = bases.ca.as_ref().map_or_else(|| path.clone(), |base| base.join(path));
        report.names_file(&path, *span);
        Some(path)
    }

    /// Whether names are bound to certificates, which must be verified then.
    fn binds_names(&self, verify: Verify, report: &mut Report) -> Option<bool> {
        match self.verify_peer_name {
            Some((true, span)) if verify != Verify::Required => {
                report.push(
                    Diagnostic::error(
                        span,
                        "names cannot be compared with certificates that are not verified",
                    )
                    .label("needs \"verify required\"")
                    .help("write `verify required ca-file FILE` on the same line"),
                );
                None
            }
            said => Some(said.is_some_and(|(binds, _)| binds)),
        }
    }

    fn versions(&self, at: Span, report: &mut Report) -> Option<TlsVersions> {
        let default = TlsVersions::default();
        let versions =
            TlsVersions { min: self.min.unwrap_or(default.min), max: self.max.unwrap_or(default.max) };
        if versions.min > versions.max {
            let error = Diagnostic::error(at, "no TLS version is left to speak");
            report.push(error.label("the lowest version allowed is above the highest"));
            return None;
        }
        Some(versions)
    }

    fn warn_plain(&self, report: &mut Report) {
        if let Some(span) = self.tls_word.filter(|_| self.ssl.is_none() && !self.faulty) {
            report.push(
                Diagnostic::warning(span, "TLS parameters without \"ssl\" have no effect")
                    .label("the connection is not encrypted")
                    .help("add \"ssl\" to the line, or remove this"),
            );
        }
    }
}

/// A parameter of HAProxy's, which is without effect or refused, or one of nobody's.
fn unknown(word: &Word, role: Role, arguments: &mut Arguments<'_>, report: &mut Report) -> Option<()> {
    let text = word.text.as_str();
    match foreign(text, role) {
        Some(known @ Known { severity: Severity::Warning, reason, .. }) => {
            let value = if known.has_value() {
                Some(arguments.value(word, "a value", &format!("{text} VALUE"), report)?)
            } else {
                None
            };
            let span = value.map_or(word.span, |value| word.span.to(value.span));
            let warning = Diagnostic::warning(span, format!("\"{text}\" has no effect between peers"));
            report.push(warning.label("can be removed").help(reason));
            return Some(());
        }
        Some(Known { reason, .. }) => {
            let error = Diagnostic::error(word.span, format!("stickd cannot honour \"{text}\""));
            report.push(error.label("HAProxy's, but not supported here").help(reason));
            return None;
        }
        None => {}
    }
    let (here, other, there) = match role {
        Role::Bind => ("on a listener", Role::Server, "on the lines of servers"),
        Role::Server => ("on a peer", Role::Bind, "on `bind` and `default-bind`"),
    };
    let is_others = keywords::is_known(other.place(), text);
    if is_others || foreign(text, other).is_some() {
        let error = Diagnostic::error(word.span, format!("unknown parameter \"{text}\""));
        report.push(error.label(format!("not known {here}")).help(format!("it stands {there}")));
    } else {
        report.unknown(word, "parameter", here, keywords::names(role.place()));
    }
    None
}

/// What is known of a parameter of HAProxy's; one may have its argument in parentheses.
fn foreign(text: &str, role: Role) -> Option<Known> {
    let name = text.split_once('(').map_or(text, |(name, _)| name);
    words::known(role.place(), name)
}

/// `v6only` is stronger than `v4v6`, whatever their order.
fn stronger(
    one: Option<(WildcardFamilies, Span)>,
    two: Option<(WildcardFamilies, Span)>,
) -> Option<(WildcardFamilies, Span)> {
    one.into_iter().chain(two).max_by_key(|(families, _)| *families)
}

fn word_of(families: WildcardFamilies) -> &'static str {
    if families == WildcardFamilies::V6Only { "v6only" } else { "v4v6" }
}

/// Whether the word after a peer's name is a parameter, or meant as one, rather than an address.
pub(super) fn is_parameter(text: &str) -> bool {
    let known = || [Place::Bind, Place::Server].into_iter().flat_map(keywords::names).copied();
    known().any(|word| word == text)
        || foreign(text, Role::Server).is_some()
        || (!text.contains([':', '/', '@', '.']) && closest(text, known()).is_some())
}

/// Whether a word is about TLS.
pub(super) fn is_tls(text: &str) -> bool {
    let others = ["shard", "v4v6", "v6only"];
    let is_known = |place| keywords::is_known(place, text);
    (is_known(Place::Bind) || is_known(Place::Server)) && !others.contains(&text)
}

fn verify(value: &Word, role: Role, report: &mut Report) -> Option<Verify> {
    match (value.text.as_str(), role) {
        ("none", _) => Some(Verify::None),
        ("required", _) => Some(Verify::Required),
        ("optional", Role::Bind) => Some(Verify::Optional),
        (_, Role::Server) => {
            report.unknown(value, "word", "after verify", &["none", "required"]);
            None
        }
        _ => {
            report.unknown(value, "word", "after verify", &["none", "optional", "required"]);
            None
        }
    }
}

/// A constant name, plain or as `str(NAME)`; other expressions need a request, which peers do not have.
fn sni(value: &Word, report: &mut Report) -> Option<String> {
    let name = value.text.strip_prefix("str(").and_then(|rest| rest.strip_suffix(')')).unwrap_or(&value.text);
    if name.is_empty() || name.contains(['(', ')', ',', ' ']) {
        report.push(
            Diagnostic::error(value.span, "the name for SNI is not a constant")
                .label("only a name is allowed")
                .help("write `sni str(node1.example.org)`"),
        );
        return None;
    }
    Some(name.to_owned())
}

/// Reads a TLS version; as a minimum, versions below 1.2 mean 1.2, with a warning.
fn version(value: &Word, minimum: bool, report: &mut Report) -> Option<TlsVersion> {
    match value.text.as_str() {
        "TLSv1.2" => Some(TlsVersion::V12),
        "TLSv1.3" => Some(TlsVersion::V13),
        "SSLv3" | "TLSv1.0" | "TLSv1.1" if minimum => {
            let warning = Diagnostic::warning(value.span, format!("stickd does not speak {}", value.text));
            report.push(warning.label("the lowest version is TLSv1.2"));
            Some(TlsVersion::V12)
        }
        _ => {
            let known = ["TLSv1.2", "TLSv1.3"];
            let error = Diagnostic::error(value.span, format!("stickd does not speak \"{}\"", value.text));
            report
                .push(error.label("not a TLS version here").help(format!("allowed are {}", listed(&known))));
            None
        }
    }
}

/// The full path of a certificate.
fn based((path, span): &(PathBuf, Span), bases: &Bases, report: &mut Report) -> PathBuf {
    let path = bases.crt.as_ref().map_or_else(|| path.clone(), |base| base.join(path));
    report.names_file(&path, *span);
    path
}

#[cfg(test)]
mod tests;
