//! Tables.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;
use stick_table::Table;

use super::SectionView;

/// A table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TableView {
    /// Full local name: `<section>/<name>`, or a proxy's name.
    pub name: String,
    /// Type of the keys: `ip`, `ipv6`, `integer`, `string` or `binary`.
    #[serde(rename = "type")]
    pub key_type: &'static str,
    /// Most entries.
    pub size: u32,
    /// Entries.
    pub entries: u32,
    /// Changes that this process made.
    pub local_updates: u64,
    /// Changes that peers told.
    pub learned: u64,
    /// Changes that peers were told live.
    pub pushed: u64,
    /// Entries freed after their end.
    pub expired: u64,
    /// Entries that made room for others before their end.
    pub evicted: u64,
    /// Changes that found the table full.
    pub refused: u64,
    /// Peers in session that define the table otherwise.
    pub mismatched_peers: u32,
    /// Lifetime of an entry in ms; `None` when entries do not expire.
    pub expire_ms: Option<u32>,
    /// Whether a full table refuses new entries.
    pub nopurge: bool,
    /// The stored data types as in a `store` list, such as `http_req_rate(10000ms)`.
    pub store: Vec<String>,
}

impl TableView {
    /// All tables, with what the peers of the sections say of them.
    pub fn all(tables: &[Arc<Table>], sections: &[SectionView]) -> Vec<Self> {
        let mut mismatched: HashMap<&str, u32> = HashMap::new();
        let peers = sections.iter().flat_map(|section| &section.peers);
        for shared in peers.flat_map(|peer| &peer.tables).filter(|shared| !shared.agrees()) {
            *mismatched.entry(&shared.table.name).or_default() += 1;
        }
        let view = |table: &Arc<Table>| {
            let view = Self::of(table);
            let mismatched_peers = mismatched.get(view.name.as_str()).copied().unwrap_or(0);
            Self { mismatched_peers, ..view }
        };
        tables.iter().map(view).collect()
    }

    /// A table at this moment, without what peers say of it.
    pub fn of(table: &Table) -> Self {
        let (definition, tally) = (table.definition(), table.tally());
        Self {
            name: definition.name.clone(),
            key_type: definition.key_type.word(),
            size: definition.size,
            entries: table.len(),
            local_updates: tally.local,
            learned: tally.learned,
            pushed: tally.pushed,
            expired: tally.expired,
            evicted: tally.evicted,
            refused: tally.refused,
            mismatched_peers: 0,
            expire_ms: definition.expire,
            nopurge: definition.no_purge,
            store: definition.columns().iter().map(ToString::to_string).collect(),
        }
    }
}
