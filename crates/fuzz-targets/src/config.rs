//! The target of configuration texts.

use std::collections::{BTreeMap, BTreeSet};

use haproxy_peers::{Agreement, Definition, NamedPart};
use stick_aggregate::Rules;
use stickd::config::{
    Config, Diagnostics, Environment, Hub, Options, PeerLevel, PeersSection, RemotePeer, Severity,
    TableEntry, summary,
};

/// Configuration texts: everything that is found can be shown and lies in the text, what is accepted keeps its promises,
/// and neither a comment at the end nor the line ends of another system change anything.
pub fn config(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let meaning = read(&text, true);
    assert_eq!(meaning, read(&format!("{text}\n# the end"), false), "a comment changes it");
    if !text.contains('\r') {
        assert_eq!(meaning, read(&text.replace('\n', "\r\n"), false), "line ends change it");
    }
}

/// What a text means, or the titles of what is wrong with it; also looks at everything else when asked to.
fn read(text: &str, look: bool) -> Result<String, Vec<String>> {
    let variables = [("A", "a b"), ("PORT", "10000"), ("EMPTY", "")];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let options = Options {
        local_peer: None,
        host_name: Some("node".to_owned()),
        environment: Environment::Fixed(BTreeMap::from(variables)),
        ..Options::default()
    };
    match Config::parse_text("fuzz.cfg", text, &options) {
        Ok(config) => {
            assert!(!config.warnings.has_errors());
            if !look {
                return Ok(summary(&config));
            }
            check_diagnostics(&config.warnings, text);
            for place in config.warnings.iter().filter_map(|item| Some(config.sources.place(item.span()?))) {
                let lines = text.split('\n').count();
                assert!(place.file == "fuzz.cfg" && (1..=lines).contains(&place.line) && place.column >= 1);
            }
            check_config(&config);
            Ok(summary(&config))
        }
        Err(diagnostics) => {
            assert!(diagnostics.has_errors());
            if look {
                check_diagnostics(&diagnostics, text);
            }
            Err(diagnostics.iter().map(|item| item.title().to_owned()).collect())
        }
    }
}

fn check_diagnostics(diagnostics: &Diagnostics, text: &str) {
    let plain = diagnostics.render_all(false);
    let coloured = diagnostics.render_all(true);
    let screenful = diagnostics.render(false);
    assert!(screenful.len() <= plain.len() + 100 && screenful.is_empty() == plain.is_empty());
    assert_eq!(plain.is_empty(), diagnostics.is_empty());
    assert!(coloured.len() >= plain.len());
    for item in diagnostics.iter() {
        assert!(!item.title().is_empty() && !item.title().contains('\n'), "{:?}", item.title());
        let word = if item.severity() == Severity::Error { "error: " } else { "warning: " };
        assert!(plain.contains(word));
        let Some(span) = item.span() else { continue };
        let marked = text.get(span.range());
        assert!(marked.is_some_and(|marked| !marked.contains('\n')), "{span:?} is not in a line of the text");
    }
}

fn check_config(config: &Config) {
    let mut sections = BTreeSet::new();
    let mut tables = BTreeSet::new();
    for shared in &config.global.shared {
        let is_hub = |name: &String| config.sections.iter().any(|one| one.name == *name && one.hub.is_some());
        assert!(!shared.sections.is_empty() && shared.sections.iter().all(is_hub));
    }
    for section in &config.sections {
        assert!(sections.insert(&section.name), "two sections {}", section.name);
        let mut peers = BTreeSet::from([&section.local.name]);
        for peer in &section.remotes {
            assert!(peers.insert(&peer.name), "two peers {}", peer.name);
            check_peer(peer, section);
            assert!(peer.shard == 0 || section.shards.is_some_and(|shards| peer.shard <= shards));
        }
        for template in &section.templates {
            let (low, high) = template.numbers;
            assert!(low <= high && template.most() <= 60_000, "{template:?}");
            assert!(template.shard == 0 || section.shards.is_some_and(|shards| template.shard <= shards));
            assert_eq!(template.port.is_none(), template.domain.starts_with('_'), "{template:?}");
        }
        assert!(section.membership.resolve_every > 0 && section.membership.forget > 0);
        let mut on_the_wire = BTreeSet::new();
        for entry in &section.tables {
            assert!(
                on_the_wire.insert(entry.definition.network_name()),
                "two tables of one name on the wire"
            );
            check_table(entry);
        }
        tables.extend(section.tables.iter().map(|entry| &entry.definition.name));
        section.hub.iter().for_each(|hub| check_hub(hub, section));
    }
    config.local_tables.iter().for_each(check_table);
    tables.extend(config.local_tables.iter().map(|entry| &entry.definition.name));
    let count = config.sections.iter().map(|section| section.tables.len()).sum::<usize>();
    assert_eq!(tables.len(), count + config.local_tables.len(), "two tables of one name");
}

/// Only plain peers may have no address, and only an aggregations section has other levels.
fn check_peer(peer: &RemotePeer, section: &PeersSection) {
    let plain = peer.level == PeerLevel::Balancer;
    assert!(plain || section.hub.is_some(), "{} is {:?}", peer.name, peer.level);
    assert!(peer.address.is_some() || (plain && peer.tls.is_none()));
    if let PeerLevel::Up { group: Some(group) } = peer.level {
        assert!((1..=PeerLevel::MAX_GROUP).contains(&group));
    }
}

/// Whatever a table is called, its results come to an end.
fn check_hub(hub: &Hub, section: &PeersSection) {
    assert!(section.disabled || !hub.mappings.is_empty());
    assert!(section.tables.is_empty() && section.shards.is_none() && !section.relay);
    assert!(section.dynamic_tables.is_some());
    let mut ruled = BTreeSet::new();
    for (data_type, rule) in &hub.rules {
        assert!(ruled.insert(data_type.number()) && Rules::default().set(*data_type, *rule).is_ok());
    }
    let engine = hub.to_engine();
    let suffixes = hub.mappings.iter().flat_map(|mapping| [mapping.from.to_string(), mapping.to.clone()]);
    for name in suffixes.map(|suffix| format!("/t{suffix}")).chain(["t".to_owned()]) {
        let mut name = name;
        let mut steps = 0;
        while let NamedPart::Source(result) = engine.part_of(&name) {
            assert!(result.starts_with('/') == name.starts_with('/') && result != name, "{name}");
            (name, steps) = (result, steps + 1);
            assert!(steps <= hub.mappings.len(), "{name} does not end");
        }
    }
    if let Some(name) = &hub.status_table {
        assert_eq!(engine.part_of(&format!("/{name}")), NamedPart::Other);
    }
}

fn check_table(entry: &TableEntry) {
    let table = &entry.definition;
    assert!(table.size >= 1 && table.expire != Some(0));
    assert!((1..=1024).contains(&table.brates_factor));
    assert_eq!(Definition::from_table(1, table).unwrap().agreement(table), Agreement::default());
}
