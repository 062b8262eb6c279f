//! Aggregations sections: the examples, and what their lines mean together.

use std::path::{Path, PathBuf};

use haproxy_peers::NamedPart;
use stick_aggregate::Rule;
use stick_table::DataType;
use stickd::config::hub::Source;
use stickd::config::{
    Config, DynamicTables, Hub, Mapping, PeerLevel, PeersSection, RemotePeer, Verify, summary,
};

use crate::options;

const UP: PeerLevel = PeerLevel::Up { group: Some(1) };

/// The only section of an example, which loads without a warning.
fn example(name: &str) -> (Config, PeersSection) {
    let path = Path::new("../../examples/aggregations").join(name);
    let config = Config::load(&[path], &options()).unwrap_or_else(|error| panic!("{error}"));
    assert!(config.warnings.is_empty(), "{}", config.warnings);
    let [section] = &config.sections[..] else { panic!("{name}: not one section") };
    let section = section.clone();
    (config, section)
}

/// Name, address and level of each other peer.
fn peers(section: &PeersSection) -> Vec<(&str, String, PeerLevel)> {
    let peer = |remote: &RemotePeer| remote.address.as_ref().map_or_else(String::new, ToString::to_string);
    section.remotes.iter().map(|remote| (remote.name.as_str(), peer(remote), remote.level)).collect()
}

fn suffix(from: &str, to: &str) -> Mapping {
    Mapping { from: Source::Suffix(from.to_owned()), to: to.to_owned() }
}

/// Checks what the documented examples have in common, with the defaults.
fn check_documented(section: &PeersSection, name: &str, local: (&str, &str), mapping: Mapping) {
    assert_eq!((section.name.as_str(), section.keyword(), section.disabled), (name, "aggregations", false));
    assert_eq!(section.local.name, local.0);
    let listeners: Vec<_> =
        section.local.listeners.iter().map(|bind| (bind.address.to_string(), bind.tls.clone())).collect();
    assert_eq!(listeners, [(local.1.to_owned(), None)]);
    let hub = Hub {
        mappings: vec![mapping],
        rules: Vec::new(),
        tables: Vec::new(),
        node_timeout: 30_000,
        status_table: None,
    };
    assert_eq!(section.hub, Some(hub));
    let (size, max, memory) = (DynamicTables::AGGREGATED_SIZE, 256, 1 << 30);
    assert_eq!(section.dynamic_tables, Some(DynamicTables { size, max, memory }));
    assert!(section.tables.is_empty() && section.shards.is_none() && !section.relay);
    assert!(section.dynamic_peers.is_none());
    assert!(section.remotes.iter().all(|remote| remote.shard == 0 && remote.tls.is_none()));
}

#[test]
fn the_documented_examples_load() {
    use PeerLevel::{Balancer, Down};
    let (config, section) = example("single-level.cfg");
    let any = Mapping { from: Source::Any, to: ".agg".to_owned() };
    check_documented(&section, "data", ("gpe", "0.0.0.0:10000"), any);
    assert_eq!(
        peers(&section),
        [
            ("enterprise1", "192.168.50.41:10000".to_owned(), Balancer),
            ("enterprise2", "192.168.50.42:10000".to_owned(), Balancer),
        ]
    );
    assert_eq!(config.global.stats_sockets[0].address.to_string(), "unix@/var/run/hapee-extras/gpe-api.sock");

    let balancers = || {
        [
            ("hapee1", "192.168.56.101:44444".to_owned(), Balancer),
            ("hapee2", "192.168.56.102:44444".to_owned(), Balancer),
        ]
    };
    let (_, section) = example("suffixes.cfg");
    let local = ("aggr1", "192.168.56.111:11111");
    check_documented(&section, "myaggr", local, suffix(".uncombined", ".aggr"));
    assert_eq!(peers(&section), balancers());

    let (_, section) = example("intermediate.cfg");
    check_documented(&section, "myaggr", local, suffix(".uncombined", ".aggr"));
    let up =
        [("aggr3", "192.168.56.113:11111".to_owned(), UP), ("aggr4", "192.168.56.114:11111".to_owned(), UP)];
    assert_eq!(peers(&section), [balancers(), up].concat());

    let (_, section) = example("top-level.cfg");
    check_documented(&section, "myl2", ("aggr3", "192.168.56.113:22222"), suffix(".aggr", ".l2"));
    assert_eq!(
        peers(&section),
        [
            ("aggr1", "192.168.56.111:11111".to_owned(), Down),
            ("aggr2", "192.168.56.112:11111".to_owned(), Down),
        ]
    );
}

#[test]
fn the_example_of_all_keywords_loads() {
    let (config, section) = example("all-keywords.cfg");
    assert_eq!(config.global.source, Some("10.0.0.21:0".parse().unwrap()));
    let peers = peers(&section);
    let levels: Vec<_> = peers.iter().map(|(name, _, level)| (*name, *level)).collect();
    use PeerLevel::{Balancer, Beside, Down};
    assert_eq!(
        levels,
        [
            ("lb1", Balancer),
            ("lb2", Balancer),
            ("lb3", Balancer),
            ("hub2", Beside),
            ("site2", Down),
            ("top1", UP),
            ("top2", UP)
        ]
    );
    assert_eq!(section.remotes[2].address, None);
    let hub = section.hub.as_ref().unwrap();
    assert_eq!(hub.mappings, [suffix(".local", ".agg"), suffix(".here", ".everywhere")]);
    assert_eq!(hub.rules, [(DataType::Gpt0, Rule::Max), (DataType::Gpc0, Rule::Max)]);
    assert_eq!((hub.rule(DataType::Gpc0), hub.rule(DataType::Gpc1)), (Rule::Max, Rule::Sum));
    assert_eq!((hub.node_timeout, hub.status_table.as_deref()), (60_000, Some("hub")));
    assert_eq!(hub.to_engine().part_of("/logins.here"), NamedPart::Source("/logins.everywhere".to_owned()));
    let (size, max, memory) = (512_000, 100, 2 << 30);
    assert_eq!(section.dynamic_tables, Some(DynamicTables { size, max, memory }));
    assert_eq!((section.handshakes.max, section.handshakes.timeout), (200, 2_000));
    assert_eq!(section.dynamic_peers.as_ref().unwrap().max, 100);
    assert_eq!((section.discovered_peers(), section.membership.forget), (20, 600_000));
}

#[test]
fn every_example_is_checked() {
    let checked = ["single-level", "suffixes", "intermediate", "top-level", "all-keywords"];
    for entry in std::fs::read_dir("../../examples/aggregations").unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(checked.contains(&name), "{} is in no test", path.display());
    }
}

#[test]
fn dynamic_peers_of_global_are_for_every_aggregations_section_without_its_own() {
    let text = "global\n dynamic-peers\naggregations a\n peer l :1 local\n from any to .agg\n\
                peers p\n peer node1 :2\n\
                aggregations b\n peer l :3 local\n from any to .agg\n dynamic-peers from 10.0.0.0/8 max 5\n";
    let config = Config::parse_text("t", text, &options()).unwrap_or_else(|error| panic!("{error}"));
    assert!(config.warnings.is_empty(), "{}", config.warnings);
    let names: Vec<_> = config.sections.iter().map(|section| section.name.as_str()).collect();
    assert_eq!(names, ["a", "p", "b"], "in the order of their lines");
    let max = |section: &PeersSection| section.dynamic_peers.as_ref().map(|dynamic| dynamic.max);
    assert_eq!(config.sections.iter().map(max).collect::<Vec<_>>(), [Some(1024), None, Some(5)]);
}

#[test]
fn tls_of_an_aggregations_section_is_that_of_a_peers_section() {
    let config = Config::load(&[PathBuf::from("tests/config/good/aggregations.cfg")], &options()).unwrap();
    let section = &config.sections[0];
    let bind = section.local.listeners[0].tls.as_ref().unwrap();
    assert_eq!(bind.crt, Path::new("/etc/stickd/node.pem"));
    assert_eq!(section.local.tls.as_ref().unwrap().verify, Verify::None);
    let tls: Vec<_> =
        section.remotes.iter().map(|remote| (remote.name.as_str(), remote.tls.is_some())).collect();
    assert_eq!(
        tls,
        [
            ("lb1", true),
            ("lb2", false),
            ("lb3", false),
            ("lb4", false),
            ("sub1", true),
            ("top1", true),
            ("top2", true)
        ]
    );
    assert_eq!(section.remotes[6].tls.as_ref().unwrap().sni.as_deref(), Some("top2"));
}

#[test]
fn the_documentation_shows_what_check_says() {
    let (config, _) = example("intermediate.cfg");
    let text = summary(&config);
    let page = std::fs::read_to_string("../../docs/hub.md").unwrap();
    assert!(page.contains(&text), "docs/hub.md lacks:\n{text}");
}
