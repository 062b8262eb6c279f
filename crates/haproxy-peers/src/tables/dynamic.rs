//! Tables that are made from the definitions of peers: their limits, and why one is not made.

use stick_aggregate::AggregateError;
use stick_table::{DataType, TableDefinition};
use thiserror::Error;

use crate::ToTableError;

/// Longest name of a table made from a definition, in bytes.
pub(super) const MAX_NAME: usize = 255;

/// Makes tables from the definitions of peers, within limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DynamicTables {
    /// Most entries of each such table.
    pub size: u32,
    /// Most such tables.
    pub max_tables: usize,
    /// Most bytes that their entries take, and in a hub contributions and results; 0 for no limit. Tables that cannot grow for that
    /// are full.
    pub max_bytes: u64,
    /// Longest `server_key`, in bytes: each entry of a table that stores it may have one of its own.
    pub max_server_key: usize,
}

/// What tables that were made from definitions take of their limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DynamicUsage {
    /// Such tables.
    pub tables: usize,
    /// Bytes that they take, with those that they begin with; of tables that a hub passes on those of full ones.
    pub bytes: u64,
    /// Tables that were not made because of a limit, each counted once.
    pub refused: u64,
    /// How often one wanted to grow and could not.
    pub shortages: u64,
}

/// Why no table was made from a definition.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum CreateError {
    #[error("no table of this name is configured: declare it here, or let \"dynamic-tables\" make it")]
    NotConfigured,
    #[error(
        "the section has its limit of {limit} tables made from definitions already: raise \"{keyword} max\""
    )]
    TooMany { limit: usize, keyword: &'static str },
    #[error(
        "its first entries need {needed} bytes, and {left} are left for tables that peers define: raise \"{keyword} memory\""
    )]
    Memory { needed: u64, left: u64, keyword: &'static str },
    #[error("its name is not a printable word of 1 to {MAX_NAME} bytes without slashes but at its start")]
    Name,
    #[error("HAProxy 1.6 and 1.7 do not say when entries expire: add the line \"{0}\" to the section")]
    NoTail(String),
    #[error(transparent)]
    Definition(#[from] ToTableError),
    #[error("it is neither a source nor a result of this hub")]
    NoMapping,
    #[error("it is a result, and its source is not known yet")]
    Result,
    #[error("sources are taken from load balancers and lower hubs")]
    SourceFromElsewhere,
    #[error(transparent)]
    Aggregate(#[from] AggregateError),
}

impl CreateError {
    /// Whether everything is as it should be, so that nobody needs to be told.
    pub fn is_expected(&self) -> bool {
        matches!(self, Self::Result | Self::SourceFromElsewhere)
    }

    /// What the operator can do; `None` where the message says it, or nothing is wrong.
    pub(super) const fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Name => Some("give the table another name on the node"),
            Self::Definition(_) | Self::Aggregate(_) => {
                Some("change the definition of the table on the nodes")
            }
            _ => None,
        }
    }
}

impl DynamicTables {
    /// Entries of a table whose memory is taken when it is made, so that each has some.
    pub(super) const FIRST: u32 = 1024;

    /// Bytes that an entry's `server_key` takes beside its text, at most.
    pub const STRING_BYTES: usize = 64;

    /// The `size` of a hub's tables that are limited by memory alone.
    pub const MOST_KEYS: u32 = 1 << 27;

    /// Bytes that an entry of a table takes at most.
    pub(super) fn entry_bytes(&self, table: &TableDefinition) -> u64 {
        let string =
            table.column(DataType::ServerKey).map_or(0, |_| self.max_server_key + Self::STRING_BYTES);
        table.full_bytes() / u64::from(table.size.max(1)) + string as u64
    }

    /// Bytes that a table takes when it is full.
    pub(super) fn bytes_of(&self, table: &TableDefinition) -> u64 {
        u64::from(table.size) * self.entry_bytes(table)
    }

    /// Bytes that a table takes when it is made.
    pub(super) fn first_bytes(&self, table: &TableDefinition) -> u64 {
        u64::from(table.size.min(Self::FIRST)) * self.entry_bytes(table)
    }
}
