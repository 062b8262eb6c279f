//! The target of configuration texts.

use std::collections::{BTreeMap, BTreeSet};

use haproxy_peers::{Agreement, Definition};
use stickd::config::{Config, Diagnostics, Environment, Options, Severity, TableEntry, summary};

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
    let plain = diagnostics.render(false);
    let coloured = diagnostics.render(true);
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
    for section in &config.sections {
        assert!(sections.insert(&section.name), "two sections {}", section.name);
        let mut peers = BTreeSet::from([&section.local.name]);
        for peer in &section.remotes {
            assert!(peers.insert(&peer.name), "two peers {}", peer.name);
            assert!(peer.shard == 0 || section.shards.is_some_and(|shards| peer.shard <= shards));
        }
        let mut on_the_wire = BTreeSet::new();
        for entry in &section.tables {
            assert!(
                on_the_wire.insert(entry.definition.network_name()),
                "two tables of one name on the wire"
            );
            check_table(entry);
        }
        tables.extend(section.tables.iter().map(|entry| &entry.definition.name));
    }
    config.local_tables.iter().for_each(check_table);
    tables.extend(config.local_tables.iter().map(|entry| &entry.definition.name));
    let count = config.sections.iter().map(|section| section.tables.len()).sum::<usize>();
    assert_eq!(tables.len(), count + config.local_tables.len(), "two tables of one name");
}

fn check_table(entry: &TableEntry) {
    let table = &entry.definition;
    assert!(table.size >= 1 && table.expire != Some(0));
    assert!((1..=1024).contains(&table.brates_factor));
    assert_eq!(Definition::from_table(1, table).agreement(table), Agreement::default());
}
