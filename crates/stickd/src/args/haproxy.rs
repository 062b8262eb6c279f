//! HAProxy's command line: who types it out of habit is told what stickd wants.

use std::ffi::OsString;
use std::fmt::Write;

/// What an option of HAProxy's is in stickd.
enum Meaning {
    /// The same, with a value.
    Same,
    /// The same, with process ids.
    Pids,
    /// The command `check`.
    Check,
    /// The version.
    Version,
    /// Nothing: why, and how many values it has.
    Nothing(&'static str, usize),
}

const FOREGROUND: &str =
    "stickd always runs in the foreground, one process without a master; let the service manager do the rest";
const QUIET: &str = "what stickd logs is for \"log\" lines of the configuration to say";
const IN_GLOBAL: &str = "the limit is \"maxconn\" in the global section";

fn meaning(option: &str) -> Option<Meaning> {
    use Meaning as M;
    Some(match option {
        "-f" | "-L" | "-p" => M::Same,
        "-sf" => M::Pids,
        "-c" => M::Check,
        "-v" | "-vv" => M::Version,
        "-D" | "-W" | "-Ws" | "-db" => M::Nothing(FOREGROUND, 0),
        "-q" | "-V" | "-d" => M::Nothing(QUIET, 0),
        "-n" | "-N" => M::Nothing(IN_GLOBAL, 1),
        "-m" => M::Nothing(
            "memory is limited by \"size\" of tables, \"dynamic-tables memory\" and \"tables memory\"",
            1,
        ),
        "-C" => M::Nothing("change the directory before, or write whole paths", 1),
        "-st" => M::Nothing("stickd hands over before the old process ends: use -sf with its process id", 1),
        "-x" => M::Nothing("with -sf the new process takes the addresses over by itself", 1),
        "-S" => M::Nothing("there is no master process: signals go to stickd itself", 1),
        "-cc" => M::Nothing("conditions of the configuration are looked at by \"check\"", 1),
        "-dr" | "-dC" | "-dD" | "-dF" | "-dG" | "-dI" | "-dK" | "-dL" | "-dM" | "-dR" | "-dS" | "-dV"
        | "-dW" | "-dZ" | "-de" | "-dk" | "-dp" | "-ds" | "-dt" | "-dv" => {
            M::Nothing("it is for debugging HAProxy", 0)
        }
        _ => return None,
    })
}

/// What to write instead of HAProxy's arguments, the program's name not among them; `None` when they are none of HAProxy's.
pub(super) fn advice(arguments: &[OsString]) -> Option<String> {
    let words: Vec<_> = arguments.iter().map(|word| word.to_string_lossy()).collect();
    let (named, rest) = match words.first().map(AsRef::as_ref) {
        Some(command @ ("run" | "check")) => (Some(command), &words[1..]),
        _ => (None, &words[..]),
    };
    let (mut kept, mut notes) = (String::new(), String::new());
    let (mut checks, mut is_haproxys) = (named == Some("check"), named.is_none());
    let mut rest = rest.iter().peekable();
    while let Some(word) = rest.next() {
        match meaning(word) {
            Some(Meaning::Same) => {
                let _ = write!(kept, " {word}");
                kept.extend(rest.next().map(|value| format!(" {value}")));
            }
            Some(Meaning::Pids) => {
                let _ = write!(kept, " {word}");
                while let Some(pid) = rest.next_if(|pid| pid.bytes().all(|byte| byte.is_ascii_digit())) {
                    let _ = write!(kept, " {pid}");
                }
            }
            Some(Meaning::Check) => (checks, is_haproxys) = (true, true),
            Some(Meaning::Version) => return Some("write\n\n  stickd --version\n".to_owned()),
            Some(Meaning::Nothing(why, values)) => {
                is_haproxys = true;
                rest.by_ref().take(values).for_each(drop);
                let _ = writeln!(notes, "  {word}: leave it out; {why}");
            }
            // A file without -f, as after HAProxy's "--".
            None if word == "--" => {}
            None if named.is_none() && !word.starts_with('-') && looks_like_a_file(word) => {
                let _ = write!(kept, " -f {word}");
            }
            None => return None,
        }
    }
    if !is_haproxys || words.is_empty() {
        return None;
    }
    let command = if checks { "check" } else { "run" };
    let blank = if notes.is_empty() { "" } else { "\n" };
    Some(format!("write\n\n  stickd {command}{kept}\n{blank}{notes}"))
}

/// Whether a word is more likely a file than a command with a typing error.
fn looks_like_a_file(word: &str) -> bool {
    word.contains(['/', '.'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advised(line: &str) -> Option<String> {
        advice(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn haproxy_s_arguments_become_stickd_s() {
        for (line, command) in [
            ("-f a.cfg", "run -f a.cfg"),
            ("-f a.cfg -f conf.d -L hub", "run -f a.cfg -f conf.d -L hub"),
            ("-c -f a.cfg", "check -f a.cfg"),
            ("-f a.cfg -c -q", "check -f a.cfg"),
            ("-D -f a.cfg -p /run/pid -sf 12 34", "run -f a.cfg -p /run/pid -sf 12 34"),
            ("-Ws -S /run/master.sock -x /run/s -f a.cfg", "run -f a.cfg"),
            ("-W -db -n 500 -m 64 -dM -f a.cfg", "run -f a.cfg"),
            ("-sf", "run -sf"),
            ("-L hub", "run -L hub"),
            ("-p pid", "run -p pid"),
            ("-q", "run"),
            ("-D", "run"),
            ("-v", "--version"),
            ("-vv", "--version"),
            ("a.cfg", "run -f a.cfg"),
            ("-- /etc/a.cfg b.cfg", "run -f /etc/a.cfg -f b.cfg"),
            ("run -D -f a.cfg", "run -f a.cfg"),
            ("run -c -f a.cfg", "check -f a.cfg"),
            ("check -V -f a.cfg", "check -f a.cfg"),
            ("run -f a.cfg -st 12", "run -f a.cfg"),
        ] {
            let text = advised(line).unwrap_or_else(|| panic!("{line}"));
            assert!(text.starts_with(&format!("write\n\n  stickd {command}\n")), "{line}: {text}");
            for word in line.split_whitespace() {
                let is_left_out = matches!(meaning(word), Some(Meaning::Nothing(..)));
                assert_eq!(
                    text.contains(&format!("\n  {word}: leave it out; ")),
                    is_left_out,
                    "{line}: {text}"
                );
            }
        }
    }

    #[test]
    fn other_faults_are_left_to_the_parser() {
        for line in ["", "runn", "run -x5", "--frob", "run -f", "-f a.cfg --frob", "run -f a.cfg -sf x"] {
            assert_eq!(advised(line), None, "{line}");
        }
    }
}
