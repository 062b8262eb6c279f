//! Tables.

use serde::Serialize;
use stick_table::Table;

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
    /// Lifetime of an entry in ms; `None` when entries do not expire.
    pub expire_ms: Option<u32>,
    /// Whether a full table refuses new entries.
    pub nopurge: bool,
    /// The stored data types as in a `store` list, such as `http_req_rate(10000ms)`.
    pub store: Vec<String>,
}

impl TableView {
    /// A table at this moment.
    pub fn of(table: &Table) -> Self {
        let definition = table.definition();
        Self {
            name: definition.name.clone(),
            key_type: definition.key_type.word(),
            size: definition.size,
            entries: table.len(),
            expire_ms: definition.expire,
            nopurge: definition.no_purge,
            store: definition.columns().iter().map(ToString::to_string).collect(),
        }
    }
}
