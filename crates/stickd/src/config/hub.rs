//! What an `aggregations` section says beyond its peers: which tables become which, and how values are put together.

use std::fmt;

use stick_aggregate::{Rule, Rules};
use stick_table::{DataType, TableDefinition};

/// The hub of an `aggregations` section: keeps what each node says of a table apart, and publishes their sum as another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hub {
    /// Which tables become which, in declaration order; empty in a disabled section only. No table is the source of two
    /// mappings, no name the result of two, and no result becomes its own source.
    pub mappings: Vec<Mapping>,
    /// The `rule` lines, each data type once; [`rule`](Self::rule) has the defaults as well.
    pub rules: Vec<(DataType, Rule)>,
    /// The `table` lines: sources whose definition is given here and not taken from the first node that has one. Names as on
    /// the line.
    pub tables: Vec<TableDefinition>,
    /// How long after its session ended a node's values still count, in ms; 0 for not at all.
    pub node_timeout: u32,
    /// Name of the table the hub's own state is published in: `NAME` here, `/NAME` on the wire.
    pub status_table: Option<String>,
}

impl Hub {
    /// Default of [`node_timeout`](Self::node_timeout), in ms.
    pub const NODE_TIMEOUT: u32 = 30_000;

    /// How values of a data type are put together.
    pub fn rule(&self, data_type: DataType) -> Rule {
        let line = self.rules.iter().find(|(ruled, _)| *ruled == data_type);
        line.map_or_else(|| Rules::default().get(data_type), |&(_, rule)| rule)
    }

    /// The same for the engine.
    pub fn to_engine(&self) -> haproxy_peers::Hub {
        let mapping = |mapping: &Mapping| haproxy_peers::Mapping {
            from: match &mapping.from {
                Source::Any => None,
                Source::Suffix(suffix) => Some(suffix.clone()),
            },
            to: mapping.to.clone(),
        };
        let mut rules = Rules::default();
        for &(data_type, rule) in &self.rules {
            // Checked when the line was read.
            let _ = rules.set(data_type, rule);
        }
        haproxy_peers::Hub {
            mappings: self.mappings.iter().map(mapping).collect(),
            rules,
            node_timeout: self.node_timeout.into(),
            tables: self.tables.clone(),
        }
    }
}

/// A `from … to …` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The tables that are aggregated.
    pub from: Source,
    /// The suffix of their results: begins with a dot and is longer.
    pub to: String,
}

impl fmt::Display for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "from {} to {}", self.from, self.to)
    }
}

/// Which tables a mapping is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Every table that is not a result itself. The result's name is the table's with the suffix of the results behind it.
    Any,
    /// Tables whose name ends with this suffix, which begins with a dot and is longer. The result's name has the suffix of
    /// the results instead.
    Suffix(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Suffix(suffix) => f.write_str(suffix),
        }
    }
}

/// Which way the values of a peer go, and the results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PeerLevel {
    /// A load balancer tells its values and gets the results; the only level in a `peers` section.
    #[default]
    Balancer,
    /// `down`: a lower-level aggregator, whose results are aggregated here.
    Down,
    /// `up`: an upper-level aggregator, which aggregates the results of this node.
    Up {
        /// Peers of one group are copies of one another. 1 to [`MAX_GROUP`](Self::MAX_GROUP).
        group: Option<u32>,
    },
    /// `beside`: an aggregator of the same nodes. The two tell each other which nodes they taught, and no values.
    Beside,
}

impl PeerLevel {
    /// Largest number of a group.
    pub const MAX_GROUP: u32 = 65_535;
}
