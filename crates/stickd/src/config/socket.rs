//! The `stats` lines of `global`: sockets of the runtime API.

use super::address::{Address, AddressError, WildcardFamilies};
use super::arguments::{Arguments, Report, Word, number, time};
use super::diagnostic::{Diagnostic, Severity};
use super::keywords;
use super::model::{Global, Level, Owner, SeverityOutput, StatsSocket};
use super::syntax::words::{self, Known, Place};
use super::transport;

const EXAMPLE: &str = "stats socket /run/stickd.sock mode 660 level admin";

/// Reads a `stats` line.
pub(super) fn parse(mut arguments: Arguments<'_>, global: &mut Global, report: &mut Report) {
    let keyword = arguments.keyword();
    let Some(what) = arguments.value(keyword, "socket, timeout or maxconn", EXAMPLE, report) else { return };
    match what.text.as_str() {
        "socket" => {
            if let Some(socket) = socket(what, arguments, report) {
                add(socket, global, report);
            }
        }
        "timeout" => {
            let value = arguments.value(what, "a time", "stats timeout 30s", report);
            let Some(timeout) = value.and_then(|value| time(value, report)) else { return };
            if arguments.end("stats timeout 30s", report) {
                global.stats_timeout = timeout;
            }
        }
        "maxconn" => {
            let value = arguments.value(what, "a number", "stats maxconn 10", report);
            let connections =
                value.and_then(|value| number(value, 1, 65_535, "a number of connections", report));
            if let Some(connections) = connections.filter(|_| arguments.end("stats maxconn 10", report)) {
                global.stats_max_connections = connections;
            }
        }
        "bind-process" => {
            let warning = Diagnostic::warning(what.span, "\"bind-process\" has no effect in stickd");
            report.push(warning.label("remove the line").help("stickd is one process"));
        }
        _ => report.unknown(what, "word", "after stats", &["socket", "timeout", "maxconn"]),
    }
}

fn add(socket: StatsSocket, global: &mut Global, report: &mut Report) {
    if let Some(first) = global.stats_sockets.iter().find(|first| first.address == socket.address) {
        report.push(
            Diagnostic::error(socket.span, format!("the socket {} is declared twice", socket.address))
                .label("second declaration")
                .related(first.span, "first declaration"),
        );
        return;
    }
    global.stats_sockets.push(socket);
}

fn socket(what: &Word, mut arguments: Arguments<'_>, report: &mut Report) -> Option<StatsSocket> {
    let errors = report.errors();
    let word = arguments.value(what, "a path or an address", EXAMPLE, report)?;
    let address = address(word, report)?;
    let span = word.span;
    let mut socket = StatsSocket {
        address,
        families: WildcardFamilies::default(),
        mode: None,
        user: None,
        group: None,
        level: Level::default(),
        severity: SeverityOutput::default(),
        span,
    };
    while let Some(word) = arguments.next() {
        warn_unix_word(word, &socket, report);
        parameter(word, &mut socket, &mut arguments, report)?;
    }
    (report.errors() == errors).then_some(socket)
}

/// Warns about a word for Unix sockets at an IP address.
pub(super) fn warn_unix_word(word: &Word, socket: &StatsSocket, report: &mut Report) {
    let owned = ["mode", "user", "group", "uid", "gid"].contains(&word.text.as_str());
    if owned && !matches!(socket.address, Address::Unix(_)) {
        let title = format!("\"{}\" has no effect on an IP address", word.text);
        let warning = Diagnostic::warning(word.span, title).label("for Unix sockets only");
        report.push(warning.related(socket.span, "this is an IP address"));
    }
}

/// Reads one parameter. `None` when the rest of the line cannot be understood.
pub(super) fn parameter(
    word: &Word,
    socket: &mut StatsSocket,
    arguments: &mut Arguments<'_>,
    report: &mut Report,
) -> Option<()> {
    let name = |word: &Word| Owner::Name(word.text.clone());
    match word.text.as_str() {
        text if !keywords::is_known(Place::Socket, text) => return foreign(word, arguments, report),
        "mode" => {
            let value = arguments.value(word, "permissions in octal", "mode 660", report)?;
            socket.mode = mode(value, report);
        }
        "user" => socket.user = Some(name(arguments.value(word, "a user's name", "user stickd", report)?)),
        "group" => {
            socket.group = Some(name(arguments.value(word, "a group's name", "group stickd", report)?));
        }
        "uid" => {
            let value = arguments.value(word, "a user's number", "uid 1000", report)?;
            socket.user = number(value, 0, u32::MAX - 1, "a user's number", report).map(Owner::Id);
        }
        "gid" => {
            let value = arguments.value(word, "a group's number", "gid 1000", report)?;
            socket.group = number(value, 0, u32::MAX - 1, "a group's number", report).map(Owner::Id);
        }
        "level" => {
            let value = arguments.value(word, "user, operator or admin", "level admin", report)?;
            match value.text.as_str() {
                "user" => socket.level = Level::User,
                "operator" => socket.level = Level::Operator,
                "admin" => socket.level = Level::Admin,
                _ => report.unknown(value, "level", "after level", &["user", "operator", "admin"]),
            }
        }
        "severity-output" => {
            let value = arguments.value(word, "none, number or string", "severity-output number", report)?;
            match SeverityOutput::from_word(&value.text) {
                Some(output) => socket.severity = output,
                None => {
                    report.unknown(value, "severity", "after severity-output", &SeverityOutput::WORDS);
                }
            }
        }
        "v4v6" => socket.families = socket.families.max(WildcardFamilies::Both),
        "v6only" => socket.families = WildcardFamilies::V6Only,
        "expose-fd" => expose(word, arguments, report)?,
        _ => return foreign(word, arguments, report),
    }
    Some(())
}

/// Reports a word that is not stickd's at this place. `None` when the rest of the line cannot be understood.
fn foreign(word: &Word, arguments: &mut Arguments<'_>, report: &mut Report) -> Option<()> {
    let text = word.text.as_str();
    match words::known(Place::Bind, text) {
        Some(known @ Known { severity: Severity::Warning, reason, .. }) => {
            let value = if known.has_value() {
                Some(arguments.value(word, "a value", &format!("{text} VALUE"), report)?)
            } else {
                None
            };
            let span = value.map_or(word.span, |value| word.span.to(value.span));
            let warning = Diagnostic::warning(span, format!("\"{text}\" has no effect in stickd"));
            report.push(warning.label("can be removed").help(reason));
            return Some(());
        }
        Some(Known { .. }) => {
            let error = Diagnostic::error(word.span, format!("stickd cannot honour \"{text}\""));
            report.push(error.label("HAProxy's, but not supported on a runtime socket"));
        }
        None if transport::is_tls(text) => {
            let error = Diagnostic::error(word.span, "a runtime socket speaks no TLS");
            report.push(error.label("remove the TLS words").help(
                "use a Unix socket, whose permissions say who may connect, and ssh from other machines",
            ));
        }
        None => report.unknown(word, "socket parameter", "on a stats socket", keywords::names(Place::Socket)),
    }
    None
}

fn expose(word: &Word, arguments: &mut Arguments<'_>, report: &mut Report) -> Option<()> {
    let what = arguments.value(word, "listeners", "expose-fd listeners", report)?;
    if what.text != "listeners" {
        report.unknown(what, "word", "after expose-fd", &["listeners"]);
        return None;
    }
    report.push(
        Diagnostic::warning(word.span.to(what.span), "\"expose-fd listeners\" has no effect in stickd")
            .label("can be removed")
            .help("a new stickd takes over by `-sf PID`: no socket has to hand listeners over"),
    );
    Some(())
}

fn mode(word: &Word, report: &mut Report) -> Option<u32> {
    let octal = word.text.bytes().all(|digit| matches!(digit, b'0'..=b'7'));
    let mode = u32::from_str_radix(&word.text, 8).ok().filter(|&mode| octal && mode <= 0o7777);
    if mode.is_none() {
        report.push(
            Diagnostic::error(word.span, format!("\"{}\" is not a file mode", word.text))
                .label("octal digits such as 660 are expected"),
        );
    }
    mode
}

/// Reads an address and reports what is wrong with it.
pub(super) fn address(word: &Word, report: &mut Report) -> Option<Address> {
    let error = match Address::parse(&word.text) {
        Ok(address) => return Some(address),
        Err(error) => error,
    };
    let help = match &error {
        AddressError::MissingPort => {
            "write an address and a port such as 10.0.0.1:10000, or a path such as /run/name"
        }
        AddressError::Prefix(_) | AddressError::HaproxysPrefix(_) => {
            "known are ipv4@, ipv6@, tcp@, tcp4@, tcp6@ and unix@"
        }
        AddressError::Host(_) => {
            "addresses are such as 10.0.0.1:10000, [2001:db8::1]:10000 or name.example.org:10000"
        }
        _ => "",
    };
    let fault = Diagnostic::error(word.span, format!("\"{}\" is not an address", word.text));
    let fault = fault.label(error.to_string());
    report.push(if help.is_empty() { fault } else { fault.help(help) });
    None
}

#[cfg(test)]
mod tests {
    use super::super::arguments::tests::{titles, words};
    use super::*;

    fn read(line: &str) -> (Global, Report) {
        let (words, mut global, mut report) = (words(line), Global::default(), Report::default());
        parse(Arguments::new(&words).unwrap(), &mut global, &mut report);
        (global, report)
    }

    #[test]
    fn sockets_are_read() {
        let (global, report) = read(
            "stats socket /run/stickd.sock mode 660 user haproxy group adm level admin expose-fd listeners",
        );
        assert_eq!(titles(&report), ["\"expose-fd listeners\" has no effect in stickd"]);
        let socket = &global.stats_sockets[0];
        assert_eq!(socket.address, Address::Unix("/run/stickd.sock".into()));
        assert_eq!((socket.mode, socket.level), (Some(0o660), Level::Admin));
        assert_eq!(socket.user, Some(Owner::Name("haproxy".to_owned())));
        assert_eq!(socket.group, Some(Owner::Name("adm".to_owned())));

        for (words, expected) in [
            ("", SeverityOutput::None),
            (" severity-output none", SeverityOutput::None),
            (" severity-output number", SeverityOutput::Number),
            (" severity-output string level admin", SeverityOutput::String),
        ] {
            let (global, report) = read(&format!("stats socket /run/stickd.sock{words}"));
            assert_eq!(titles(&report), [""; 0], "{words}");
            assert_eq!(global.stats_sockets[0].severity, expected, "{words}");
        }
        let (global, report) = read("stats socket /run/stickd.sock severity-output loud");
        assert_eq!(titles(&report), ["unknown severity \"loud\""]);
        assert_eq!(global.stats_sockets.len(), 0);

        let (global, report) = read("stats socket unix@s.sock uid 0 gid 65534");
        assert_eq!(titles(&report), [""; 0]);
        let socket = &global.stats_sockets[0];
        assert_eq!((&socket.user, &socket.group), (&Some(Owner::Id(0)), &Some(Owner::Id(65534))));
        assert_eq!(socket.level, Level::Operator);

        let (global, _) = read("stats socket 127.0.0.1:9999 level user");
        assert_eq!(global.stats_sockets[0].address.to_string(), "127.0.0.1:9999");
        assert_eq!(titles(&read("stats socket :1 mode 600").1), ["\"mode\" has no effect on an IP address"]);
        let families = |line: &str| read(line).0.stats_sockets[0].families;
        assert_eq!(families("stats socket :::1"), WildcardFamilies::AsSystem);
        assert_eq!(families("stats socket :::1 v4v6"), WildcardFamilies::Both);
        assert_eq!(families("stats socket :::1 v6only v4v6"), WildcardFamilies::V6Only);
        assert_eq!(read("stats timeout 2m").0.stats_timeout, 120_000);
        assert_eq!(read("stats maxconn 3").0.stats_max_connections, 3);
    }

    #[test]
    fn other_lines_are_refused() {
        for (line, title) in [
            ("stats", "\"stats\" needs socket, timeout or maxconn"),
            ("stats enable", "unknown word \"enable\""),
            ("stats socket", "\"socket\" needs a path or an address"),
            ("stats socket stickd.sock", "\"stickd.sock\" is not an address"),
            ("stats socket /s mode 888", "\"888\" is not a file mode"),
            ("stats socket /s level root", "unknown level \"root\""),
            ("stats socket /s levl admin", "unknown socket parameter \"levl\""),
            ("stats timeout 1s 2s", "unexpected \"2s\" on the line of \"stats\""),
        ] {
            let (global, report) = read(line);
            assert_eq!(global, Global::default(), "{line}");
            assert_eq!(titles(&report), [title], "{line}");
        }
    }
}
