//! What a configuration makes: tables of a section, and places for connections.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU32;
use std::sync::Arc;

use haproxy_peers::{DynamicTables, TableSet};
use stick_table::Table;
use tracing::{info, warn};

use crate::config::{Config, PeersSection};
use crate::files;
use crate::peers::Places;

impl Config {
    /// The place of a table in the order of declaration.
    pub(super) fn declaration(&self, name: &str) -> usize {
        let entries = self.sections.iter().flat_map(|section| &section.tables).chain(&self.local_tables);
        let mut spans: Vec<_> = entries.map(|entry| (entry.span, &entry.definition.name)).collect();
        spans.sort_by_key(|(span, _)| *span);
        spans.iter().position(|(_, declared)| *declared == name).unwrap_or(usize::MAX)
    }
}

/// The places for connections that peers open: `maxconn`, or as many as the sections allow, as far as files may be opened.
pub(super) fn places(config: &Config) -> Places {
    let sections = || config.sections.iter().filter(|section| !section.disabled);
    let reserved: usize = sections().map(|section| section.configured_peers() as usize).sum();
    let most: u64 = sections().map(|section| u64::from(section.most_connections())).sum();
    let wanted = config.global.max_connections.map_or(most, |connections| connections.number.into());
    let apart = files::apart_from_peers(config);
    let limit = files::raise_limit(wanted + apart);
    let possible = limit.saturating_sub(apart).max(reserved as u64 + 1);
    if possible < wanted && config.global.max_connections.is_some() {
        warn!(
            limit,
            "maxconn {wanted} is not possible, {possible} is: raise the limit of open files (LimitNOFILE=)"
        );
    } else if possible < wanted {
        info!(limit, "the limit of open files allows {possible} connections of peers instead of {wanted}");
    }
    Places::new(wanted.min(possible) as usize, reserved)
}

pub(super) fn table_set(
    section: &PeersSection,
    tables: &HashMap<String, Arc<Table>>,
    config: &Config,
) -> anyhow::Result<TableSet> {
    let shared = section.tables.iter().filter_map(|entry| {
        let table = tables.get(&entry.definition.name)?;
        let copy = entry.definition.write_to.as_ref().and_then(|name| tables.get(name));
        Some((Arc::clone(table), copy.cloned()))
    });
    let dynamic = section.dynamic_tables.map(|dynamic| DynamicTables {
        size: dynamic.size,
        max_tables: dynamic.max as usize,
        max_bytes: dynamic.memory,
        max_server_key: config.global.max_server_key as usize,
    });
    let shards = section.shards.and_then(NonZeroU32::new);
    let all = || config.sections.iter().flat_map(|section| &section.tables).chain(&config.local_tables);
    let targets: HashSet<_> = all().filter_map(|entry| entry.definition.write_to.as_deref()).collect();
    let open =
        section.tables.iter().filter(|entry| !entry.has_list).map(|entry| entry.definition.name.as_str());
    let set = TableSet::new(&section.name, shared, shards, dynamic, random())?
        .with_open_tables(open.filter(|name| !targets.contains(name)));
    Ok(match &section.hub {
        Some(hub) => set.with_hub(hub.to_engine())?,
        None => set,
    })
}

/// A number nobody outside can guess, from the randomness the standard library gives its maps.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(std::process::id())
}
