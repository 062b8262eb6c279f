use std::collections::BTreeMap;

use super::super::{Config, Environment, Options};

/// What is taken of a text for the node `stickd1`: what `check` says of it, or what is wrong.
fn take(text: &str) -> Result<Config, String> {
    take_with(text, "")
}

/// The same with a file of stickd's own beside it.
fn take_with(text: &str, own: &str) -> Result<Config, String> {
    let directory = tempfile::tempdir().unwrap();
    let [haproxys, owns] = ["haproxy.cfg", "stickd.cfg"].map(|name| directory.path().join(name));
    std::fs::write(&haproxys, text).unwrap();
    std::fs::write(&owns, own).unwrap();
    let options = Options {
        local_peer: Some("stickd1".to_owned()),
        haproxy_files: vec![haproxys],
        environment: Environment::Fixed(BTreeMap::from([("PORT".to_owned(), "4000".to_owned())])),
        ..Options::default()
    };
    let own = if own.is_empty() { Vec::new() } else { vec![owns] };
    let shorter = |text: String| text.replace(&format!("{}/", directory.path().display()), "");
    match Config::load(&own, &options) {
        Ok(mut config) => {
            config.taken.iter_mut().for_each(|taken| taken.file = shorter(taken.file.clone()));
            Ok(config)
        }
        Err(found) => Err(shorter(found.render_all(false))),
    }
}

const SECTION: &str = "peers p\n  peer lb1 10.0.0.1:1024\n  peer stickd1 10.0.0.9:1024\n";

#[track_caller]
fn taken(text: &str) -> (Config, String) {
    let config = take(text).unwrap_or_else(|found| panic!("{found}"));
    let line = config.taken.iter().map(ToString::to_string).collect();
    (config, line)
}

#[track_caller]
fn refused(text: &str, wanted: &str) {
    match take(text) {
        Ok(_) => panic!("taken: {text}"),
        Err(found) => assert!(found.contains(wanted), "{wanted}: {found}"),
    }
}

#[test]
fn the_share_of_stickd_is_taken_and_the_rest_is_not_judged() {
    let (config, line) = taken(&format!(
        "global\n log /dev/log local0\n stats socket /run/h.sock nonsense\n maxconn 99999999\n localpeer lb1\n node x\n \
         description y\n zzz 1\n ca-base /ca\n tune.bufsize 32768\n\ndefaults\n mode nonsense\n bind \"${{UNSET}}\n\n{SECTION}  log global\n  \
         table t type ip size 1k store gpc0\n\npeers q\n  peer lb1 10.0.0.1:1\n  nonsense\n\nfrontend f\n  use_backend \
         %[nonsense\n\nbackend b\n  stick-table type ip size 1k peers p\n  stick on src\n  server s 1.2.3.4:5 \
         check\n\nbackend c\n  stick-table type ip size 1k nonsense peers q\nbackend d\n  stick-table nonsense\n"
    ));
    assert_eq!(config.sections.len(), 1);
    let tables: Vec<_> = config.sections[0].tables.iter().map(|table| table.definition.to_string()).collect();
    assert_eq!(
        tables,
        ["table p/t type ip size 1024 store gpc0", "table b type ip size 1024 store server_id,server_key"]
    );
    assert_eq!(config.sections[0].local.listeners[0].address.to_string(), "10.0.0.9:1024");
    assert_eq!((config.global.bufsize, config.global.max_connections.is_some()), (32_768, false));
    assert!(config.global.stats_sockets.is_empty() && config.global.node.is_none());
    assert_eq!(
        line,
        "taken from haproxy.cfg: section p, tables p/t, b (8 lines), 2 lines of global; left out: section q, which does not name \
         this node; left out: tables c, d, which are not shared with this node; 21 lines not read"
    );
    assert_eq!(config.warnings.render(false), "");
}

#[test]
fn what_is_taken_is_read_strictly() {
    refused(&format!("{SECTION}  nonsense\n"), "unknown keyword \"nonsense\"");
    refused(
        &format!("{SECTION}backend b\n stick-table type ip size 1k store gpc99 peers p\n"),
        "haproxy.cfg:5",
    );
    refused(&SECTION.replace("10.0.0.1:1024", "10.0.0.1"), "10.0.0.1");
    refused(&format!("{SECTION}  peer 'x\n"), "the closing ' is missing");
    refused(&format!("{SECTION}  peer lb1 10.0.0.2:1024\n"), "the peer \"lb1\" is declared twice");
}

#[test]
fn a_file_that_does_not_name_the_node_gets_the_line_to_add() {
    refused("peers p\n peer lb1 10.0.0.1:1\n", "no peers section names this node, \"stickd1\"");
    refused("peers p\n peer lb1 10.0.0.1:1\n", "in the file of all nodes: `peer stickd1 ADDRESS:PORT`");
    refused("peers p\n bind :1\n server lb1\n", "in the file of all nodes: `server stickd1 ADDRESS:PORT`");
    refused("global\n daemon\n", "no peers section names this node, \"stickd1\": haproxy.cfg has none");
}

#[test]
fn members_without_an_address_are_waited_for() {
    let (config, _) = taken(
        "peers p\n bind :1024\n server lb1\n server lb2 10.0.0.2:1024\n server stickd1 10.0.0.9:1024\n",
    );
    let section = &config.sections[0];
    assert_eq!(section.remotes.iter().filter(|peer| peer.address.is_none()).count(), 1);
    assert!(section.local.listeners[0].address.is_wildcard(), "where bind says, which covers the address");
}

#[test]
fn conditions_matter_only_around_what_is_taken() {
    let (config, _) = taken(&format!(
        "global\n.if version_atleast(3.0)\n setenv X 1\n.endif\n.if streq(a,b)\npeers bad\n peer stickd1 nonsense\n.else\n{SECTION}.endif\n\
         .if feature(X)\nbackend b\n server s 1.2.3.4:1\n.endif\n"
    ));
    assert_eq!(config.sections.len(), 1);
    let text = format!("{SECTION}  .if feature(X)\n  peer lb2 10.0.0.2:1\n  peer lb3 10.0.0.3:1\n  .endif\n");
    refused(&text, "a condition that only a HAProxy can answer is around what stickd takes");
    assert_eq!(take(&text).unwrap_err().matches("a condition that only").count(), 1);
}

#[test]
fn variables_and_any_indentation_are_read() {
    let (config, _) = taken(
        "\tglobal\n\t\tsetenv NET 10.1.1\n\t\tpresetenv PORT 5000\n\tpeers 'p'\n\"peer\" lb1 \"${NET}.1:${PORT}\"\npeer stickd1 \"$NET.9:1\"\n\
         backend  b  # x\nstick-table type ip size 1k peers \"p\"\n",
    );
    let section = &config.sections[0];
    assert_eq!(section.remotes[0].address.as_ref().unwrap().to_string(), "10.1.1.1:4000");
    assert_eq!(
        (section.local.listeners[0].address.to_string(), section.tables.len()),
        ("10.1.1.9:1".to_owned(), 1)
    );
}

#[test]
fn a_section_that_nobody_knows_yet_ends_a_section() {
    let (config, _) = taken(&format!(
        "{SECTION}brandnew section\n  anything goes\n  peer x\nbackend b\n  stick-table type ip size 1k peers p\n"
    ));
    assert_eq!((config.sections[0].remotes.len(), config.sections[0].tables.len()), (1, 1));
}

#[test]
fn stick_lines_anywhere_add_to_what_is_taken() {
    let (config, line) = taken(&format!(
        "{SECTION}  table t type ip size 1k store gpc0\nbackend own\n stick-table type ip size 1k store gpc0\n stick on src\n stick match src table p/t\n \
         stick on src table elsewhere\n"
    ));
    assert_eq!(
        config.sections[0].tables[0].definition.to_string(),
        "table p/t type ip size 1024 store server_id,gpc0,server_key"
    );
    assert_eq!(config.local_tables.len(), 0);
    assert!(line.contains("left out: table own, which is not shared"), "{line}");
}

#[test]
fn a_target_that_is_not_shared_is_not_written_to() {
    let text = format!(
        "{SECTION}backend a\n stick-table type ip size 1k store gpc0 peers p write-to b\nbackend b\n stick-table type ip size 1k store gpc0"
    );
    let (config, _) = taken(&text);
    assert_eq!(config.sections[0].tables[0].definition.write_to, None);
    let (config, _) = taken(&(text + " peers p\n"));
    assert_eq!(config.sections[0].tables[0].definition.write_to.as_deref(), Some("b"));
}

#[test]
fn stickds_own_file_stands_beside_it() {
    let own = "global\n tune.bufsize 65536\n state /tmp/x\npeers p\n relay\n dynamic-tables\n";
    let config = take_with(&format!("global\n tune.bufsize 1024\n{SECTION}  peer lb2 10.0.0.2:1024\n"), own);
    let config = config.unwrap_or_else(|found| panic!("{found}"));
    assert_eq!(config.global.bufsize, 65_536);
    assert!(config.global.state.is_some() && config.sections.len() == 1);
    let section = &config.sections[0];
    assert!(section.relay && section.dynamic_tables.is_some() && section.remotes.len() == 2);
}

#[test]
fn large_files_are_read_at_once() {
    let mut text = SECTION.to_owned();
    for number in 0..2_400 {
        text.push_str(&format!(
            "backend b{number}\n  mode http\n  balance roundrobin\n  acl a{number} path_beg /x/{number} \"$UNSET\"\n  http-request deny if a{number} !{{ src \
             10.0.0.0/8 }}\n  stick-table type ip size 1k expire 1m store gpc0\n  stick on src\n  option httpchk GET /\n  # comment\n  server s{number} \
             10.0.0.1:80 check\n"
        ));
    }
    assert!(text.lines().count() > 24_000);
    let began = std::time::Instant::now();
    let (config, line) = taken(&text);
    let elapsed = began.elapsed();
    assert_eq!(config.sections[0].tables.len(), 0);
    assert!(line.len() < 1_000 && line.ends_with("; 21600 lines not read"), "{line}");
    // Under 50 ms as released; a busy machine and a build that is not optimised get more.
    assert!(elapsed < std::time::Duration::from_secs(2), "{elapsed:?}");
}
