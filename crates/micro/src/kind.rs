//! Tables like those people have.

use std::sync::Arc;

use haproxy_peers::WireFrequency;
use stick_table::{DataType, KeyType, TableDefinition};

/// One of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Rates of clients: `type ip store gpc0,http_req_rate(10s),conn_cnt,bytes_out_rate(10s)`. About 28 bytes an update.
    Ip,
    /// Persistence by number: `type string len 32 store server_id`, keys of 32 hex digits. About 41 bytes an update.
    String,
    /// Persistence by name: `type string len 32 store server_id,server_key`, ten servers.
    ServerKey,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ip, Self::String, Self::ServerKey];
    /// Lifetime of the entries, in ms.
    pub const EXPIRE_MS: u32 = 3_600_000;
    /// Number of different servers.
    pub const SERVERS: u32 = 10;

    /// The definition of a table of up to `size` entries.
    ///
    /// # Panics
    /// Never: the columns are valid.
    pub fn definition(self, size: u32) -> TableDefinition {
        let columns: &[&str] = match self {
            Self::Ip => &["gpc0", "http_req_rate(10s)", "conn_cnt", "bytes_out_rate(10s)"],
            Self::String => &["server_id"],
            Self::ServerKey => &["server_id", "server_key"],
        };
        let empty = TableDefinition::new("mypeers/t", self.key_type(), size);
        columns.iter().fold(empty.with_expire(Some(Self::EXPIRE_MS)), |table, column| {
            table.with_column(column.parse().expect("a column")).expect("columns fit each other")
        })
    }

    /// The type of its keys.
    pub const fn key_type(self) -> KeyType {
        match self {
            Self::Ip => KeyType::Ip,
            // The length counts the terminator.
            Self::String | Self::ServerKey => KeyType::String { max_len: 32 },
        }
    }

    /// The key of a number: different for different numbers, and scattered.
    pub fn key(self, number: u32) -> Vec<u8> {
        let scattered = number.wrapping_mul(2_654_435_761);
        match self {
            Self::Ip => scattered.to_be_bytes().to_vec(),
            Self::String | Self::ServerKey => {
                let other = u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                format!("{scattered:08x}{other:016x}{number:08x}").into_bytes()
            }
        }
    }

    /// An integer of an entry; different in each `round`.
    pub(crate) const fn integer(data_type: DataType, number: u32, round: u32) -> u32 {
        let number = number.wrapping_add(round);
        match data_type {
            DataType::ConnCnt => number % 400,
            DataType::ServerId => number % Self::SERVERS + 1,
            _ => number % 200,
        }
    }

    /// A rate of an entry: requests are few, bytes many.
    pub(crate) const fn rate(data_type: DataType, number: u32, round: u32) -> WireFrequency {
        let number = number.wrapping_add(round);
        let age = number % 9_973;
        match data_type {
            DataType::BytesOutRate => {
                let current = number.wrapping_mul(97) % 200_000;
                WireFrequency { age, current, previous: number.wrapping_mul(89) % 200_000 }
            }
            _ => WireFrequency { age, current: number % 50, previous: number % 60 },
        }
    }

    /// The names of the servers.
    pub(crate) fn servers() -> Vec<Arc<str>> {
        (0..Self::SERVERS).map(|number| format!("backend/server{number}").into()).collect()
    }
}
