//! What `stickd check` accepts and what `haproxy -c` of every release accepts, on generated lines.
//!
//! Each case is a small file with one generated or changed line. Where stickd and HAProxy differ there must be a reason, see
//! [`reason`]; docs/testing/agreement.md has them with figures. `cargo xtask agreement --cases N --seed S` runs more of it.

mod generate;
mod releases;

use std::collections::BTreeMap;
use std::path::Path;

use generate::{Case, Generator};
use releases::Releases;
use stickd::config::{Diagnostics, Environment, Options, Severity};
use stickd::prepare;

/// Cases of an ordinary test run.
const CASES: u64 = 150;
/// Seed of an ordinary test run.
const SEED: u64 = 12;

/// What stickd says of a case.
struct Answer {
    accepts: bool,
    found: Vec<(Severity, String)>,
}

impl Answer {
    fn of(file: &Path) -> Self {
        let options = Options {
            local_peer: Some("me".to_owned()),
            host_name: None,
            environment: Environment::Fixed(BTreeMap::new()),
            ..Options::default()
        };
        let titles = |found: &Diagnostics| {
            found.iter().map(|item| (item.severity(), item.title().to_owned())).collect()
        };
        match prepare::load(&[file.to_owned()], &options) {
            Ok(config) => Self { accepts: true, found: titles(&config.warnings) },
            Err(found) => Self { accepts: false, found: titles(&found) },
        }
    }

    fn says(&self, severity: Severity, text: &str) -> bool {
        self.found.iter().any(|(found, title)| *found == severity && title.contains(text))
    }
}

/// Why stickd refuses what a release accepts, by what it says.
const REFUSED: [(&str, &str); 27] = [
    ("would serve nothing", "every section is disabled; HAProxy serves its frontends"),
    ("stickd cannot honour", "the word would change what is on the wire or who may connect"),
    ("is not an address", "an address of a kind that stickd does not have, or without a port"),
    ("is no address to connect to", "a wildcard is nobody's address"),
    (
        "this node is not in the section",
        "a node that is in no section serves nothing; HAProxy drops the section",
    ),
    ("is declared twice", "two nodes of one name cannot be told apart; HAProxy refuses it since 3.2"),
    ("unexpected ", "words too many; HAProxy passes over them"),
    ("is out of range", "a number that stickd cannot use; HAProxy cuts it or does not look"),
    ("is not a number", "a number with other characters; HAProxy reads its beginning"),
    ("is not a shard", "a number with other characters; HAProxy reads its beginning"),
    ("is not a time", "a time without a meaning; HAProxy does not look"),
    ("is not a size", "a size without a meaning; HAProxy does not look"),
    ("is no time to wait", "a time of 0; HAProxy takes its default"),
    ("stickd does not speak", "a version of TLS that stickd does not have"),
    ("no TLS version is left", "nothing that could be spoken; HAProxy says so when it starts"),
    ("a runtime socket speaks no TLS", "stickd's runtime sockets are Unix sockets or plain"),
    ("names cannot be compared", "a word of stickd's own"),
    ("listens where", "two listeners of one address; HAProxy finds out when it binds"),
    ("the name for SNI", "an expression of a request, which peers do not have"),
    ("before ", "\"no\" before a word that has none; HAProxy passes over it"),
    ("needs ", "a value that is missing; HAProxy reads an empty one"),
    ("a typographic quote", "a character of a word processor, which HAProxy takes for a letter"),
    ("no authority to verify", "a file is missing; HAProxy takes the system's authorities or does not look"),
    ("the local peer", "the name of this node"),
    ("unknown log level", "a level that HAProxy does not look for behind the address"),
    ("the word is not UTF-8", "names and paths are UTF-8"),
    ("is no name for", "a character that is not allowed in names; HAProxy does not look here"),
];

/// Why stickd accepts what every release refuses, by its warnings.
const TAKEN: [(&str, &str); 8] = [
    ("has no effect", "the word is passed over with a warning, whatever follows it"),
    ("stickd does not log to", "the line is passed over with a warning, whatever follows it"),
    ("is for syslog", "formats of syslog are passed over with a warning"),
    ("is out of range", "the number is cut with a warning"),
    ("has no address", "a node without an address is waited for"),
    ("listens on", "a section that is a copy of another node's"),
    ("has no listener", "a node that only calls others"),
    ("a second level", "it is passed over with a warning"),
];

/// Why stickd and HAProxy differ; `None` when nobody knows.
fn reason(case: &Case, answer: &Answer) -> Option<&'static str> {
    let named = |list: &[(&str, &'static str)], severity| {
        list.iter().find(|(text, _)| answer.says(severity, text)).map(|(_, reason)| *reason)
    };
    if answer.accepts {
        named(&TAKEN, Severity::Warning).or_else(|| case.of_stickd())
    } else {
        named(&REFUSED, Severity::Error)
    }
}

/// Compares one run of cases; prints a table, and fails where a difference has no reason.
fn compare(seed: u64, cases: u64) {
    let releases = Releases::all();
    let directory = tempfile::tempdir().unwrap();
    let mut generator = Generator::new(seed);
    let (mut kinds, mut reasons, mut unknown) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
    for number in 0..cases {
        let case = generator.case();
        let file = directory.path().join("case.cfg");
        std::fs::write(&file, case.text()).unwrap();
        let answer = Answer::of(&file);
        std::fs::write(&file, case.with_traffic()).unwrap();
        let theirs = releases.accept(&file);
        let of_kind: &mut [u64; 8] = kinds.entry(case.kind()).or_default();
        of_kind[0] += 1;
        of_kind[1] += u64::from(answer.accepts);
        for (place, accepts) in theirs.iter().enumerate() {
            of_kind[2 + place] += u64::from(*accepts);
        }
        if answer.accepts == theirs.contains(&true) {
            continue;
        }
        of_kind[7] += 1;
        match reason(&case, &answer) {
            Some(reason) => *reasons.entry((answer.accepts, reason)).or_insert(0) += 1,
            None => unknown.push(format!(
                "case {number}: {}\nstickd {}, HAProxy {theirs:?}\n{:?}\n",
                case.line(),
                if answer.accepts { "accepts" } else { "refuses" },
                answer.found
            )),
        }
    }
    println!("| lines | cases | stickd accepts | {} | differ |", releases.names().join(" | "));
    for (kind, [all, ours, a, b, c, d, _, differ]) in kinds {
        println!("| {kind} | {all} | {ours} | {a} | {b} | {c} | {d} | {differ} |");
    }
    for ((accepts, reason), count) in reasons {
        println!(
            "{count} {}: {reason}",
            if accepts { "accepted by stickd only" } else { "refused by stickd only" }
        );
    }
    assert!(unknown.is_empty(), "{} without a reason (seed {seed}):\n{}", unknown.len(), unknown.join("\n"));
}

/// The number in a variable of the environment.
fn number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

#[test]
fn stickd_accepts_what_a_release_accepts() {
    compare(number("STICKD_AGREEMENT_SEED", SEED), number("STICKD_AGREEMENT_CASES", CASES));
}
