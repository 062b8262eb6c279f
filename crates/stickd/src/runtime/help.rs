//! `help`, and what is said to an unknown command.

use haproxy_peers::one_line;

use super::reply::put;

/// A command as `help` shows it.
struct Entry {
    /// Its usage; it begins with the command's own words.
    usage: &'static str,
    text: &'static str,
}

/// Every command, sorted.
const COMMANDS: [Entry; 18] = [
    Entry {
        usage: "clear table <t> [<filter>]* [cluster]",
        text: "remove entries from a table, here or on all nodes (filter: data/key/ptr)",
    },
    Entry { usage: "echo <text>", text: "answer with the text" },
    Entry { usage: "operator", text: "go down to the level operator on this connection" },
    Entry {
        usage: "restore table <table> key <k> [exp <ms>]",
        text: "put an entry of a dump back, with its life: [age <ms>] [data.* <v>]* follow",
    },
    Entry {
        usage: "set severity-output [none|number|string]",
        text: "begin the messages of this connection with their severity, or not",
    },
    Entry {
        usage: "set table <table> key <k> [data.* <v>]*",
        text: "create an entry of a table, or change it; with \"cluster\" behind, those of a hub's nodes",
    },
    Entry { usage: "set timeout [cli] <delay>", text: "close this connection when it is idle for this time" },
    Entry { usage: "show aggregations [section]", text: "show what the hubs sum, and of which nodes" },
    Entry { usage: "show cli level", text: "show the level of this connection" },
    Entry { usage: "show cli sockets", text: "list the sockets of this interface" },
    Entry {
        usage: "show contributions <table> key <k>",
        text: "show what each node counts for a key of a hub's table",
    },
    Entry { usage: "show info [desc|json|typed|float]*", text: "show facts and counters of the process" },
    Entry {
        usage: "show peers [dict|-] [section] [json]",
        text: "show the state of each peer, in all sections or one",
    },
    Entry { usage: "show state", text: "tell about tables on disk, and what could not be read" },
    Entry {
        usage: "show table [<table> [<filter>]*] [json]",
        text: "list the tables, or what one holds (filter: data/key/ptr)",
    },
    Entry {
        usage: "show top <table> data.<type> [n] [json]",
        text: "list the entries with the largest values of a data type",
    },
    Entry { usage: "show version", text: "show the version" },
    Entry { usage: "user", text: "go down to the level user on this connection" },
];

/// Shown below every list.
const ALWAYS: [Entry; 3] = [
    Entry { usage: "help [<command>]", text: "list the commands, or those that match" },
    Entry { usage: "prompt [help | n | i | p | timed ]*", text: "keep the connection open, with a prompt" },
    Entry { usage: "quit", text: "close the connection" },
];

/// How much alike words must be to be suggested, from 0 to 1.
const LIKENESS: f64 = 0.5;

/// The answer to `help` with its arguments.
pub(crate) fn help(arguments: &[Vec<u8>]) -> String {
    let mut out = "The following commands are valid at this level:\n".to_owned();
    if arguments.is_empty() {
        put_entries(&mut out, COMMANDS.iter());
    } else {
        put_entries(&mut out, matching(arguments).into_iter());
    }
    out
}

/// The answer to a command that does not exist. `words` is not empty.
pub(crate) fn unknown(words: &[Vec<u8>]) -> String {
    let first = words.first().map(|word| String::from_utf8_lossy(word)).unwrap_or_default();
    let mut out = format!("Unknown command: '{}'", one_line(&first));
    let better = matching(words);
    if better.is_empty() {
        out.push_str(". Please enter one of the following commands only:\n");
        put_entries(&mut out, COMMANDS.iter());
    } else {
        out.push_str(", but maybe one of the following ones is a better match:\n");
        put_entries(&mut out, better.into_iter());
    }
    out
}

/// Commands that begin with these words or hold the first; else those that look like them.
fn matching(words: &[Vec<u8>]) -> Vec<&'static Entry> {
    let typed: Vec<_> = words.iter().take(3).map(|word| String::from_utf8_lossy(word)).collect();
    let typed = typed.join(" ");
    let own_words = |entry: &Entry| {
        let words = entry
            .usage
            .split(' ')
            .take_while(|word| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'));
        words.collect::<Vec<_>>().join(" ")
    };
    let choose = |rule: &dyn Fn(&str) -> bool| -> Vec<_> {
        COMMANDS.iter().filter(|entry| rule(&own_words(entry))).collect()
    };
    let first = typed.split(' ').next().unwrap_or_default();
    let exact = choose(&|command| command.starts_with(&typed) || typed.starts_with(command));
    if !exact.is_empty() {
        return exact;
    }
    let sharing = choose(&|command| command.split(' ').any(|word| word == first));
    if !sharing.is_empty() {
        return sharing;
    }
    // Typed words beyond the command's own are arguments.
    choose(&|command| {
        let count = command.split(' ').count();
        let typed: Vec<_> = typed.split(' ').take(count).collect();
        strsim::normalized_damerau_levenshtein(&typed.join(" "), command) >= LIKENESS
    })
}

fn put_entries<'a>(out: &mut String, entries: impl Iterator<Item = &'a Entry>) {
    for Entry { usage, text } in entries.chain(&ALWAYS) {
        put(out, format_args!("  {usage:<40}: {text}\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::split;
    use super::*;

    fn listed(text: &str) -> Vec<String> {
        let usages = text.lines().skip(1).map(|line| line[2..42].trim_end().to_owned());
        usages.take_while(|usage| usage != "help [<command>]").collect()
    }

    #[test]
    fn unknown_commands_get_suggestions() {
        for (text, start, suggestions) in [
            (
                "shwo table",
                "Unknown command: 'shwo', but maybe one of the following ones is a better match:\n",
                &["show table [<table> [<filter>]*] [json]"][..],
            ),
            (
                "set",
                "Unknown command: 'set', but",
                &[
                    "set severity-output [none|number|string]",
                    "set table <table> key <k> [data.* <v>]*",
                    "set timeout [cli] <delay>",
                ],
            ),
            ("clear zz", "Unknown command: 'clear', but", &["clear table <t> [<filter>]* [cluster]"]),
        ] {
            let answer = unknown(&split(text));
            assert!(answer.starts_with(start), "{answer}");
            for suggestion in suggestions {
                assert!(listed(&answer).iter().any(|usage| usage == suggestion), "{answer}");
            }
        }
    }

    #[test]
    fn nothing_alike_lists_everything() {
        let answer = unknown(&split("zzzzzzzz"));
        assert!(
            answer.starts_with(
                "Unknown command: 'zzzzzzzz'. Please enter one of the following commands only:\n"
            )
        );
        assert_eq!(listed(&answer).len(), COMMANDS.len());
    }

    #[test]
    fn help_narrows_down() {
        assert_eq!(listed(&help(&[])).len(), COMMANDS.len());
        assert_eq!(listed(&help(&split("show table"))), ["show table [<table> [<filter>]*] [json]"]);
        assert_eq!(listed(&help(&split("table"))).len(), 4);
        assert!(help(&[]).ends_with("  quit                                    : close the connection\n"));
    }

    #[test]
    fn the_list_is_sorted_and_fits_its_column() {
        assert!(COMMANDS.iter().is_sorted_by_key(|entry| entry.usage));
        assert!(COMMANDS.iter().chain(&ALWAYS).all(|entry| entry.usage.len() <= 40));
    }
}
