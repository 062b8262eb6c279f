//! The `log` line of `global`.

use super::arguments::{Arguments, Report, Word, listed};
use super::diagnostic::Diagnostic;
use super::model::{LogFormat, LogLevel, LogOutput, LogTarget};

const EXAMPLE: &str = "log stderr format plain info";

/// Syslog's facilities: HAProxy asks for one on every `log` line, and writes none of them to stdout either.
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "auth2", "ftp", "ntp",
    "audit", "alert", "cron2", "local0", "local1", "local2", "local3", "local4", "local5", "local6",
    "local7",
];

const LEVELS: [(&str, LogLevel); 8] = [
    ("emerg", LogLevel::Emergency),
    ("alert", LogLevel::Alert),
    ("crit", LogLevel::Critical),
    ("err", LogLevel::Error),
    ("warning", LogLevel::Warning),
    ("notice", LogLevel::Notice),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
];

const FORMATS: [(&str, LogFormat); 6] = [
    ("plain", LogFormat::Plain),
    ("timed", LogFormat::Plain),
    ("iso", LogFormat::Plain),
    ("raw", LogFormat::Raw),
    ("short", LogFormat::Raw),
    ("json", LogFormat::Json),
];

/// Reads `log stdout|stderr [len N] [format NAME] [sample …] [FACILITY] [LEVEL [LEVEL]]`. A target of HAProxy's that stickd does not
/// write to is a warning.
pub(super) fn parse(mut arguments: Arguments<'_>, report: &mut Report) -> Option<LogTarget> {
    let keyword = arguments.keyword();
    let target = arguments.value(keyword, "a target: stdout or stderr", EXAMPLE, report)?;
    let output = match target.text.as_str() {
        "stdout" | "fd@1" => LogOutput::Stdout,
        "stderr" | "fd@2" => LogOutput::Stderr,
        text => {
            report.push(if is_target(text) {
                Diagnostic::warning(target.span, format!("stickd does not log to \"{text}\""))
                    .label("remove the line")
                    .help("stickd writes to its standard error: the service manager passes it on to the journal or to syslog")
            } else {
                Diagnostic::error(target.span, format!("stickd cannot log to \"{text}\""))
                    .label("not a target")
                    .help("write `log stderr`: the service manager passes it on to the journal or to syslog")
            });
            return None;
        }
    };
    let mut format = LogFormat::default();
    while let Some(word) = arguments.peek() {
        match word.text.as_str() {
            "len" | "sample" | "profile" => {
                arguments.next();
                let value = arguments.value(word, "a value", "len 8192", report)?;
                let title = format!("\"{}\" has no effect in stickd", word.text);
                let warning = Diagnostic::warning(word.span.to(value.span), title);
                report.push(warning.label("lines are neither cut nor left out").help("remove both words"));
            }
            "format" => {
                arguments.next();
                let name = arguments.value(word, "the name of a format", "log stdout format json", report)?;
                format = self::format(name, report)?;
            }
            _ => break,
        }
    }
    let level = levels(&mut arguments, report)?;
    if let Some(least) = arguments.peek().filter(|word| LEVELS.iter().any(|(known, _)| *known == word.text)) {
        arguments.next();
        let warning = Diagnostic::warning(least.span, "a second level has no effect in stickd");
        report.push(warning.label("remove it").help("lines keep the level that they have"));
    }
    arguments.end(EXAMPLE, report).then_some(LogTarget { output, format, level })
}

/// Whether HAProxy logs there: a syslog server with or without its port, a socket, a ring, a file descriptor, or `global`.
fn is_target(text: &str) -> bool {
    let host = |text: &str| {
        let letters = |letter: char| letter.is_ascii_alphanumeric() || "-_.:[]*".contains(letter);
        text.contains(['.', ':']) && text.chars().all(letters)
    };
    match text.split_once('@') {
        _ if text.starts_with('/') || text == "global" || text == "localhost" => true,
        Some((prefix, rest)) => {
            let prefixes =
                ["ring", "backend", "fd", "unix", "uxst", "uxdg", "abns", "abnsz", "sockpair", "tcp", "udp"];
            let family = prefix.split('+').next().unwrap_or_default();
            !rest.is_empty()
                && (prefixes.contains(&family) || family.starts_with("ip") || is_numbered(family))
        }
        None => host(text),
    }
}

/// `tcp4`, `udp6` and the like.
fn is_numbered(family: &str) -> bool {
    ["tcp4", "tcp6", "udp4", "udp6"].contains(&family)
}

fn format(name: &Word, report: &mut Report) -> Option<LogFormat> {
    if ["local", "rfc3164", "rfc5424", "priority"].contains(&name.text.as_str()) {
        let title = format!("the log format \"{}\" is for syslog", name.text);
        let warning = Diagnostic::warning(name.span, title).label("taken as \"plain\"");
        report.push(warning.help("write `format plain`, `raw` or `json`"));
        return Some(LogFormat::Plain);
    }
    let found = FORMATS.into_iter().find(|(known, _)| *known == name.text);
    if found.is_none() {
        report.unknown(name, "log format", "to stickd", &FORMATS.map(|(known, _)| known));
    }
    found.map(|(_, format)| format)
}

/// Reads the optional facility and the optional level. `alert` is a facility only when a level follows.
fn levels(arguments: &mut Arguments<'_>, report: &mut Report) -> Option<LogLevel> {
    let level_of = |word: &Word| LEVELS.into_iter().find(|(known, _)| *known == word.text);
    let Some(first) = arguments.next() else { return Some(LogLevel::Info) };
    let facility = FACILITIES.contains(&first.text.as_str());
    let second = arguments.peek().and_then(level_of);
    match (facility, level_of(first), second) {
        (true, _, Some((_, level))) => {
            arguments.next();
            Some(level)
        }
        (_, Some((_, level)), _) => Some(level),
        (true, None, None) if arguments.peek().is_none() => Some(LogLevel::Info),
        (facility, _, _) => {
            let wrong = if facility { arguments.peek().unwrap_or(first) } else { first };
            let known = LEVELS.map(|(known, _)| known);
            let error = Diagnostic::error(wrong.span, format!("unknown log level \"{}\"", wrong.text));
            let help = format!("levels are {}; a facility such as local0 may stand before", listed(&known));
            report.push(error.label("not a level").help(help));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::arguments::tests::{titles, words};
    use super::*;

    #[test]
    fn haproxys_lines_are_read() {
        use LogFormat::{Json, Plain, Raw};
        use LogOutput::{Stderr, Stdout};
        for (line, output, format, level) in [
            ("log stdout", Stdout, Plain, LogLevel::Info),
            ("log stderr notice", Stderr, Plain, LogLevel::Notice),
            ("log stdout format raw local0 info", Stdout, Raw, LogLevel::Info),
            ("log stdout format raw local0", Stdout, Raw, LogLevel::Info),
            ("log fd@2 format timed daemon debug", Stderr, Plain, LogLevel::Debug),
            ("log stderr format json err", Stderr, Json, LogLevel::Error),
            ("log stdout len 8192 format raw local0 debug", Stdout, Raw, LogLevel::Debug),
            ("log stdout format rfc5424 local0", Stdout, Plain, LogLevel::Info),
            ("log stdout len 4096 sample 1:10 local0 info", Stdout, Plain, LogLevel::Info),
            ("log stdout local0 notice err", Stdout, Plain, LogLevel::Notice),
            ("log stderr alert", Stderr, Plain, LogLevel::Alert),
            ("log stderr alert err", Stderr, Plain, LogLevel::Error),
        ] {
            let (words, mut report) = (words(line), Report::default());
            let target = parse(Arguments::new(&words).unwrap(), &mut report);
            assert_eq!(target, Some(LogTarget { output, format, level }), "{line}: {:?}", titles(&report));
        }
    }

    #[test]
    fn targets_of_syslog_are_warnings() {
        for target in [
            "/dev/log",
            "127.0.0.1",
            "127.0.0.1:514",
            "[::1]:514",
            "log.example.org:514",
            "localhost",
            "ring@r",
            "fd@5",
            "udp4@10.0.0.1:514",
            "unix@/run/log",
            "global",
        ] {
            let (words, mut report) = (words(&format!("log {target} local0")), Report::default());
            assert_eq!(parse(Arguments::new(&words).unwrap(), &mut report), None);
            assert_eq!(titles(&report), [format!("stickd does not log to \"{target}\"")]);
            assert_eq!(report.errors(), 0, "{target}");
        }
    }

    #[test]
    fn other_lines_are_refused() {
        for (line, title) in [
            ("log", "\"log\" needs a target: stdout or stderr"),
            ("log sdterr local0", "stickd cannot log to \"sdterr\""),
            ("log stdout format", "\"format\" needs the name of a format"),
            ("log stdout format fancy local0", "unknown log format \"fancy\""),
            ("log stdout local9", "unknown log level \"local9\""),
            ("log stdout local0 loud", "unknown log level \"loud\""),
            ("log stdout local0 info loud", "unexpected \"loud\" on the line of \"log\""),
        ] {
            let (words, mut report) = (words(line), Report::default());
            assert_eq!(parse(Arguments::new(&words).unwrap(), &mut report), None, "{line}");
            assert_eq!(titles(&report), [title], "{line}");
        }
    }
}
