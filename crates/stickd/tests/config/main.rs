//! Configurations as people write them: what loads, what it means, and what the messages look like.
//!
//! Each `config/good/NAME.cfg` is described in `NAME.txt`, and each `config/broken/NAME.cfg` has its messages there.
//! `BLESS=1 cargo test -p stickd --test config` writes the texts anew: read the difference before it is committed.

mod aggregations;
mod pasted;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use stickd::config::syntax::words;
use stickd::config::{CaFile, Config, Diagnostic, Environment, Options, TlsVersion, Verify, summary};

fn options() -> Options {
    let variables = [("ADDRESS", "192.0.2.7"), ("MEMBERS", "192.0.2.0/24  198.51.100.0/24"), ("EMPTY", "")];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Options {
        local_peer: None,
        host_name: Some("node1".to_owned()),
        environment: Environment::Fixed(BTreeMap::from(variables)),
        ..Options::default()
    }
}

/// What a configuration means, with all warnings, or all that is wrong with it. What it names is not looked for.
fn check(paths: &[PathBuf], options: &Options) -> (String, bool) {
    match Config::load(paths, options) {
        Ok(config) => (format!("{}{}", config.warnings.render_all(false), summary(&config)), true),
        Err(found) => (found.render_all(false), false),
    }
}

/// Compares what is said of every file of a directory with the text beside it.
fn compare(directory: &str, good: bool) {
    let mut seen = 0;
    let mut files: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for path in files.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "cfg"))
    {
        let (text, is_good) = check(std::slice::from_ref(&path), &options());
        assert_eq!(is_good, good, "{}:\n{text}", path.display());
        expect(&path.with_extension("txt"), &text);
        seen += 1;
    }
    assert!(seen >= 5, "only {seen} files in {directory}");
}

fn expect(path: &Path, text: &str) {
    if std::env::var_os("BLESS").is_some() {
        fs::write(path, text).unwrap();
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    assert!(expected == text, "{} differs:\n{text}", path.display());
}

#[test]
fn good_configurations_are_described() {
    compare("tests/config/good", true);
}

#[test]
fn broken_configurations_are_explained() {
    compare("tests/config/broken", false);
}

/// Each of many messages is short, however many names there are that might be meant.
#[test]
fn wrong_references_do_not_list_every_name() {
    let tables = (0..500).map(|n| format!("  table t{n} type ip size 1k write-to p/gone{n}\n"));
    let sections = (0..500).map(|n| format!("peers p{n}\n  peer node1 :{}\n", n + 20_000));
    let proxies = (0..500).map(|n| format!("backend b{n}\n  stick-table type ip size 1k peers gone{n}\n"));
    let text: String = ["peers p\n  peer node1 :10000\n".to_owned()]
        .into_iter()
        .chain(tables)
        .chain(sections)
        .chain(proxies)
        .collect();
    let found = Config::parse_text("many.cfg", &text, &options()).unwrap_err();
    assert_eq!(found.iter().count(), 1_000);
    let shown = found.render_all(false);
    assert!(
        shown.contains("declared peers sections: p, p0, p1, ") && shown.contains(" and 481 more"),
        "{shown}"
    );
    assert!(shown.len() < 500_000, "{} bytes", shown.len());
}

#[test]
fn the_example_loads_without_warnings() {
    let path = PathBuf::from("../../examples/stickd.cfg");
    let config = Config::load(&[path], &options()).unwrap_or_else(|error| panic!("{error}"));
    assert!(config.warnings.is_empty(), "{}", config.warnings);
    assert_eq!(config.local_peer, "stickd1");
    let section = &config.sections[0];
    let names: Vec<_> = section.tables.iter().map(|table| table.definition.network_name()).collect();
    assert_eq!(names, ["/logins", "rates", "sessions"]);
    assert_eq!(section.local.listeners[0].address.to_string(), "127.0.0.1:10000");
}

#[test]
fn files_and_directories_make_one_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    write("20-tables.cfg", "backend t1\n stick-table type ip size 10 peers p\n");
    write("10-peers.cfg", "peers p\n peer node1 127.0.0.1:10000\n table t0 type ip size 1\n");
    let global = directory.path().join("global.conf");
    fs::write(&global, "global\n tune.bufsize 32768").unwrap();
    let config = Config::load(&[directory.path().to_owned(), global], &options()).unwrap();
    let names: Vec<_> = config.sections[0].tables.iter().map(|table| &table.definition.name).collect();
    assert_eq!(names, ["p/t0", "t1"]);
    assert_eq!(config.global.bufsize, 32768);
    let place = config.sources.place(config.sections[0].tables[1].span).to_string();
    assert!(place.ends_with("20-tables.cfg:1:9"), "{place}");
}

#[test]
fn a_section_ends_with_its_file() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("1.cfg"), "peers p\n peer node1 127.0.0.1:10000\n").unwrap();
    fs::write(directory.path().join("2.cfg"), " shards 2\n").unwrap();
    let error = Config::load(&[directory.path().to_owned()], &options()).unwrap_err();
    assert!(error.to_string().contains("\"shards\" stands outside of any section"), "{error}");
}

#[test]
fn faults_of_all_files_come_in_one_run() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("1.cfg"), "global\n deamon\n").unwrap();
    fs::write(directory.path().join("2.cfg"), b"# caf\xe9\nglobal\n node caf\xe9\n").unwrap();
    let missing = directory.path().join("none");
    let error = Config::load(&[missing, directory.path().to_owned()], &options()).unwrap_err();
    let titles: Vec<_> = error.iter().map(Diagnostic::title).collect();
    assert!(titles[0].starts_with("cannot read "), "{titles:?}");
    assert_eq!(titles[1..], ["unknown keyword \"deamon\" in global", "the word is not UTF-8 text"]);
}

#[test]
fn the_local_peer_is_l_then_localpeer_then_the_host() {
    let text = |global: &str| {
        format!("{global}\npeers p\n peer a 1.2.3.4:1\n peer b 1.2.3.4:2\n peer node1 1.2.3.4:3\n")
    };
    for (global, option, expected) in [
        ("", None, "node1"),
        ("", Some("b"), "b"),
        ("global\n localpeer a", None, "a"),
        ("global\n localpeer a", Some("b"), "b"),
    ] {
        let options = Options { local_peer: option.map(str::to_owned), ..options() };
        let config = Config::parse_text("t", &text(global), &options).unwrap();
        assert_eq!(config.local_peer, expected);
        let section = &config.sections[0];
        assert_eq!(section.local.name, expected);
        assert_eq!(section.remotes.len(), 2);
        assert!(section.remotes.iter().all(|remote| remote.name != expected));
    }
}

#[test]
fn tls_of_a_section_is_worked_out() {
    let config = Config::load(&[PathBuf::from("tests/config/good/tls.cfg")], &options()).unwrap();
    let section = &config.sections[0];
    let bind = section.local.listeners[0].tls.as_ref().unwrap();
    assert_eq!(bind.crt, Path::new("/etc/haproxy/certs/mycerts.pem"));
    assert_eq!(bind.ca_file, Some(CaFile::File("/etc/ssl/peers-ca.pem".into())));
    assert_eq!((bind.verify, bind.versions.min), (Verify::Required, TlsVersion::V13));
    // The own listener is reached for a hand-over with what `default-server` says.
    let own = section.local.tls.as_ref().unwrap();
    assert_eq!(own.crt.as_deref(), Some(bind.crt.as_path()));
    let [second, third, fourth] = &section.remotes[..] else { panic!("{:?}", section.remotes) };
    assert_eq!((second.shard, third.shard, fourth.shard), (1, 2, 0));
    assert_eq!(second.tls.as_ref().unwrap().verify, Verify::Required);
    assert_eq!(third.tls.as_ref().unwrap().sni.as_deref(), Some("node3.example.org"));
    assert_eq!(third.tls.as_ref().unwrap().verify_host.as_deref(), Some("node3.example.org"));
    assert_eq!(fourth.tls, None);
}

#[test]
fn a_local_peer_line_listens_with_the_defaults_of_bind() {
    let text = "peers p\n default-bind ssl crt a.pem\n default-server ssl verify none\n peer node1 :1\n \
                peer node2 1.2.3.4:2 no-ssl\n";
    let config = Config::parse_text("t", text, &options()).unwrap();
    let section = &config.sections[0];
    assert_eq!(section.local.listeners[0].tls.as_ref().unwrap().crt, Path::new("a.pem"));
    assert_eq!(section.local.tls.as_ref().unwrap().verify, Verify::None);
    assert_eq!(section.remotes[0].tls, None);
}

#[test]
fn dynamic_peers_need_a_listener_but_no_line_for_this_node() {
    let text = |bind: &str| format!("peers p\n {bind}\n server lb1 1.2.3.4:1\n dynamic-peers\n");
    let config = Config::parse_text("t", &text("bind :1"), &options()).unwrap();
    assert_eq!((config.sections[0].local.name.as_str(), config.sections[0].remotes.len()), ("node1", 1));
    let error = Config::parse_text("t", &text("log global"), &options()).unwrap_err();
    assert!(error.to_string().contains("this node is not in the section \"p\""), "{error}");
}

#[test]
fn a_name_that_fits_no_hello_is_refused() {
    for name in ["", "a b", "a\n"] {
        let options = Options { local_peer: Some(name.to_owned()), ..options() };
        let error = Config::builtin(&options).unwrap_err();
        assert!(error.to_string().contains("is no name for a peer (this node's name by -L)"), "{error}");
    }
}

#[test]
fn variables_come_from_global_and_the_environment() {
    let text = "global\n setenv PORT 1234\n presetenv ADDRESS 1.1.1.1\n presetenv NEW /run/new\n localpeer a\n\
                stats socket \"$NEW\"\npeers p\n bind \"$ADDRESS:${PORT}\"\n server \"$HAPROXY_LOCALPEER\"\n\
                dynamic-peers from \"${MEMBERS[*]}\"\n";
    let config = Config::parse_text("t", text, &options()).unwrap_or_else(|error| panic!("{error}"));
    assert!(config.warnings.is_empty(), "{}", config.warnings);
    let section = &config.sections[0];
    assert_eq!(section.local.listeners[0].address.to_string(), "192.0.2.7:1234");
    assert_eq!(section.dynamic_peers.as_ref().unwrap().from.len(), 2);
    assert_eq!(config.global.stats_sockets[0].address.to_string(), "unix@/run/new");
}

#[test]
fn every_place_where_a_line_ends_is_read_the_same() {
    let text = "\u{feff}peers p\n  peer node1 127.0.0.1:10000\n  table t type ip size 1k";
    for text in [text.to_owned(), format!("{text}\n"), text.replace('\n', "\r\n"), format!("{text}\r\n\n\n")]
    {
        let config = Config::parse_text("t", &text, &options()).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(config.sections[0].tables[0].definition.size, 1024);
    }
}

#[test]
fn the_built_in_configuration_serves_any_loopback_peer() {
    let config = Config::load(&[], &options()).unwrap();
    assert!(config.warnings.is_empty());
    let section = &config.sections[0];
    assert_eq!((section.local.name.as_str(), section.remotes.len()), ("node1", 0));
    let peers = section.dynamic_peers.as_ref().unwrap();
    assert!(peers.accepts("127.0.0.1".parse().unwrap()) && peers.accepts("::1".parse().unwrap()));
    assert!(!peers.accepts("192.0.2.1".parse().unwrap()));
    assert!(section.dynamic_tables.is_some());
    assert_eq!(config.global.stats_sockets[0].address.to_string(), "unix@stickd.sock");
}

/// Lines made of words that mean something, so that random texts get past the first word.
fn line() -> impl Strategy<Value = String> {
    const WORDS: &[&str] = &[
        "global",
        "peers",
        "backend",
        "peer",
        "server",
        "bind",
        "default-server",
        "table",
        "stick-table",
        "type",
        "ip",
        "string",
        "len",
        "size",
        "10",
        "1k",
        "expire",
        "30s",
        "store",
        "gpc0,conn_rate(10s)",
        "gpt(",
        "peers",
        "p",
        "node1",
        "1.2.3.4:1",
        "[::1]:1",
        "/s",
        "write-to",
        "p/t",
        "shards",
        "shard",
        "0",
        "ssl",
        "crt",
        "verify",
        "none",
        "log",
        "stdout",
        "stats",
        "socket",
        "level",
        "mode",
        "dynamic-peers",
        "server-template",
        "lb",
        "1-5",
        "_p._tcp.a.b",
        "a.b:1",
        "names",
        "target",
        "resolve-every",
        "nameserver",
        "forget",
        "relay",
        "from",
        "::/0",
        "max",
        "\"$EMPTY\"",
        "'é",
        "\"",
        "\\",
        "\\x4",
        "#",
        "\u{fffd}",
        "localpeer",
        "disabled",
        "setenv",
        "${X",
        "\0",
        "aggregations",
        "any",
        "to",
        ".a",
        ".a.b",
        "local",
        "up",
        "down",
        "beside",
        "group",
        "1",
        "rule",
        "gpt0",
        "node-timeout",
        "tables",
        "memory",
        "status-table",
        "source",
        "use_aggrs",
        "no",
        "unsetenv",
        ".warning",
        "\u{a0}",
    ];
    let foreign = ["global", "peers", "aggregations", "proxy", "elsewhere", "sections", "bind", "server"];
    let foreign: Vec<_> = foreign.into_iter().flat_map(words::all).map(|(word, _)| word).collect();
    let word = prop_oneof![3 => prop::sample::select(WORDS), 1 => prop::sample::select(foreign)];
    prop::collection::vec(word, 0..8).prop_map(|words| words.join(" "))
}

proptest! {
    #[test]
    fn no_text_panics(lines in prop::collection::vec(prop_oneof![9 => line(), 1 => any::<String>()], 0..12)) {
        let text = lines.join("\n");
        let found = match Config::parse_text("t", &text, &options()) {
            Ok(config) => config.warnings,
            Err(found) => {
                prop_assert!(found.has_errors());
                found
            }
        };
        for span in found.iter().filter_map(Diagnostic::span) {
            prop_assert!(text.get(span.range()).is_some(), "{span:?}");
        }
        prop_assert_eq!(found.render(false).is_empty(), found.is_empty());
    }
}
