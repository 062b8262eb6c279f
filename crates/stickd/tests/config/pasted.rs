//! Configurations that were copied from a HAProxy, from tutorials and from scripts: what loads and what is said of the rest.
//!
//! Each `config/pasted/NAME.cfg` has what `stickd check` prints in `NAME.txt`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use stickd::config::{Address, Config, Diagnostic, Environment, Options, Severity};
use stickd::prepare;

use crate::expect;

fn options(local_peer: &str) -> Options {
    Options {
        local_peer: Some(local_peer.to_owned()),
        host_name: None,
        environment: Environment::Fixed(BTreeMap::from([("SECRET".to_owned(), "x".to_owned())])),
        ..Options::default()
    }
}

fn path(name: &str) -> PathBuf {
    PathBuf::from("tests/config/pasted").join(name).with_extension("cfg")
}

/// Every file: the name of the node, whether it loads, and how many errors and warnings there are.
const FILES: [(&str, &str, bool, usize, usize); 25] = [
    ("backend-from-defaults", "me", false, 3, 1),
    ("continued-line", "me", false, 1, 0),
    ("continued-lines", "me", false, 3, 0),
    ("directives", "me", false, 3, 2),
    ("dual-stack-bind", "me", true, 0, 0),
    ("dual-stack-default-bind", "me", true, 0, 0),
    ("enterprise-hub", "me", true, 0, 5),
    ("flood", "me", false, 120, 0),
    ("foreign-global", "me", true, 0, 24),
    ("maxconn-of-clients", "me", true, 0, 1),
    ("no-bind", "me", true, 0, 1),
    ("no-break-space", "me", false, 1, 0),
    ("no-log", "me", true, 0, 1),
    ("own-address", "me", true, 0, 0),
    ("parameters", "me", false, 5, 16),
    ("peer-without-address", "me", true, 0, 1),
    ("process-words", "me", true, 0, 15),
    ("refused-sections", "me", false, 2, 0),
    ("server-style", "me", false, 1, 1),
    ("syslog-targets", "me", true, 0, 6),
    ("typography", "me", false, 3, 0),
    ("unset-name", "me", false, 1, 1),
    ("unset-variables", "me", true, 0, 0),
    ("whole-file", "stickd1", false, 8, 10),
    ("wildcard-of-another", "haproxy-1", false, 1, 0),
];

#[test]
fn copied_files_load_or_say_what_to_do() {
    let mut wrong = String::new();
    for (name, local_peer, is_good, errors, warnings) in FILES {
        let options = options(local_peer);
        let verdict = prepare::check(&[path(name)], &options, false, false);
        let found =
            prepare::load(&[path(name)], &options).map_or_else(|found| found, |config| config.warnings);
        let count = |severity| found.iter().filter(|item| item.severity() == severity).count();
        let counted = (verdict.is_good, count(Severity::Error), count(Severity::Warning));
        if counted != (is_good, errors, warnings) {
            let _ = writeln!(wrong, "{name}: {counted:?}\n{}", verdict.text);
        }
        assert!(verdict.text.lines().count() <= 75, "{name}:\n{}", verdict.text);
        assert!(
            !verdict.text.contains("\"\"; ") && !verdict.text.contains("-L `"),
            "{name}:\n{}",
            verdict.text
        );
        expect(&path(name).with_extension("txt"), &verdict.text);
    }
    assert!(wrong.is_empty(), "{wrong}");
    let files = std::fs::read_dir("tests/config/pasted").unwrap();
    let files =
        files.filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|end| end == "cfg"));
    assert_eq!(files.count(), FILES.len(), "each file is in the list");
}

#[test]
fn nothing_of_haproxys_is_unknown() {
    for (name, local_peer, ..) in FILES {
        let found = Config::load(&[path(name)], &options(local_peer))
            .map_or_else(|found| found, |config| config.warnings);
        let unknown: Vec<_> =
            found.iter().map(Diagnostic::title).filter(|title| title.contains("unknown keyword")).collect();
        assert_eq!(unknown, [""; 0], "{name}");
    }
}

#[test]
fn a_section_in_the_style_of_servers_is_that_of_a_copy() {
    let text = |bind: &str, own: &str| {
        format!("peers p\n{bind}\n server lb1\n server me {own}\n server lb2 1.2.3.4:5\n")
    };
    let read = |bind: &str, own: &str| Config::parse_text("t", &text(bind, own), &options("me")).unwrap();
    for (bind, own, listens, warnings) in [
        ("", "127.0.0.1:1", &["127.0.0.1:1"][..], 0),
        (" bind 192.0.2.1:1", "127.0.0.1:1", &["127.0.0.1:1"], 1),
        (" bind :1", "127.0.0.1:1", &["0.0.0.0:1"], 0),
        (" bind 127.0.0.1:1", "127.0.0.1:1", &["127.0.0.1:1"], 0),
        (" bind 127.0.0.1:1", "", &["127.0.0.1:1"], 0),
        ("", "", &[], 1),
    ] {
        let config = read(bind, own);
        let section = &config.sections[0];
        let addresses: Vec<_> =
            section.local.listeners.iter().map(|listener| listener.address.to_string()).collect();
        assert_eq!(addresses, listens, "{bind} {own}");
        assert_eq!(config.warnings.iter().count(), warnings, "{bind} {own}: {}", config.warnings);
        let remotes: Vec<_> =
            section.remotes.iter().map(|peer| (peer.name.as_str(), peer.address.clone())).collect();
        assert_eq!(remotes, [("lb1", None), ("lb2", Some(Address::parse("1.2.3.4:5").unwrap()))]);
    }
    // TLS of a copied `bind` line holds for the own address as well.
    let config = read(" bind 192.0.2.1:1 ssl crt x.pem", "127.0.0.1:1");
    assert!(config.sections[0].local.listeners[0].tls.is_some());
}

/// A whole configuration of 24,000 lines: what is shown stays a screenful, whatever is wrong with them.
#[test]
fn much_that_is_wrong_fits_on_a_screen() {
    let backend =
        |n: usize| format!("backend b{n}\n  mode http\n  balance roundrobin\n  server s{n} 127.0.0.1:80\n");
    let proxies: String = (0..6_000).map(backend).collect();
    let misspelt: String =
        (0..6_000).map(|n| format!("peers p{n}\n tabel t{n}\n pere x\n bidn :{n}\n")).collect();
    let global = format!("global\n{}", " nbthread 4\n".repeat(24_000));
    for (text, count) in
        [(proxies, "18,000 errors"), (misspelt, "24,000 errors"), (global, "24,000 warnings")]
    {
        let text = format!("{text}peers last\n peer me 127.0.0.1:1\n");
        let found = match Config::parse_text("many.cfg", &text, &options("me")) {
            Ok(config) => config.warnings,
            Err(found) => found,
        };
        let shown = found.render(false);
        assert_eq!(found.has_errors(), count.ends_with("errors"));
        assert!(shown.lines().count() <= 65 && shown.len() < 6_000, "{shown}");
        let more = shown.lines().find(|line| line.starts_with("... and ")).unwrap();
        assert!(more.ends_with(" more, `stickd check --all` shows them"), "{more}");
        assert_eq!(shown.lines().last(), Some(count));
    }
}
