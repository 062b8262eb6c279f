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

/// Reads `log stdout|stderr [format NAME] [FACILITY] [LEVEL]`.
pub(super) fn parse(mut arguments: Arguments<'_>, report: &mut Report) -> Option<LogTarget> {
    let keyword = arguments.keyword();
    let target = arguments.value(keyword, "a target: stdout or stderr", EXAMPLE, report)?;
    let output = match target.text.as_str() {
        "stdout" | "fd@1" => LogOutput::Stdout,
        "stderr" | "fd@2" => LogOutput::Stderr,
        _ => {
            report.push(
                Diagnostic::error(target.span, format!("stickd cannot log to \"{}\"", target.text))
                    .label("not stdout or stderr")
                    .help("write `log stderr`: the service manager passes it on to the journal or to syslog"),
            );
            return None;
        }
    };
    if let Some(word) = arguments.peek().filter(|word| word.text == "len") {
        arguments.next();
        let length = arguments.value(word, "a number of bytes", "len 8192", report)?;
        let warning = Diagnostic::warning(word.span.to(length.span), "\"len\" has no effect in stickd");
        report.push(warning.label("lines are not cut"));
    }
    let format = match arguments.peek().filter(|word| word.text == "format") {
        None => LogFormat::default(),
        Some(word) => {
            arguments.next();
            let name = arguments.value(word, "the name of a format", "log stdout format json", report)?;
            format(name, report)?
        }
    };
    let level = levels(&mut arguments, report)?;
    arguments.end(EXAMPLE, report).then_some(LogTarget { output, format, level })
}

fn format(name: &Word, report: &mut Report) -> Option<LogFormat> {
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
            ("log stderr alert", Stderr, Plain, LogLevel::Alert),
            ("log stderr alert err", Stderr, Plain, LogLevel::Error),
        ] {
            let (words, mut report) = (words(line), Report::default());
            let target = parse(Arguments::new(&words).unwrap(), &mut report);
            assert_eq!(target, Some(LogTarget { output, format, level }), "{line}: {:?}", titles(&report));
        }
    }

    #[test]
    fn other_lines_are_refused() {
        for (line, title) in [
            ("log", "\"log\" needs a target: stdout or stderr"),
            ("log /dev/log local0", "stickd cannot log to \"/dev/log\""),
            ("log 127.0.0.1 local2", "stickd cannot log to \"127.0.0.1\""),
            ("log stdout format", "\"format\" needs the name of a format"),
            ("log stdout format rfc5424 local0", "unknown log format \"rfc5424\""),
            ("log stdout local9", "unknown log level \"local9\""),
            ("log stdout local0 loud", "unknown log level \"loud\""),
            ("log stdout local0 info notice", "unexpected \"notice\" on the line of \"log\""),
        ] {
            let (words, mut report) = (words(line), Report::default());
            assert_eq!(parse(Arguments::new(&words).unwrap(), &mut report), None, "{line}");
            assert_eq!(titles(&report), [title], "{line}");
        }
    }
}
