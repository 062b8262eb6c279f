//! What a hub does with the tables that its peers define.
//!
//! A section with a [`Hub`] keeps what each peer tells of a *source* table apart and publishes the sums (or what the
//! [`Rules`] say) as a *result* table. Tables of an upper hub are *passed on* to the others as they are. All tables are
//! made from definitions of peers.
//!
//! What a hub published itself comes back to it: HAProxy teaches in a lesson what it learned. So updates of results are
//! never taken. And what flows down never flows up: tables that are passed on are taken from upper hubs only, and not given
//! to them.

use stick_aggregate::Rules;
use stick_table::TableDefinition;
use thiserror::Error;

/// Who a peer is to a hub.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PeerLevel {
    /// A load balancer: its values are summed. In a section without a hub, any peer.
    #[default]
    Below,
    /// A lower hub: its values are summed as well. They are sums, which fall when a contribution ends, and it never takes them
    /// back: a lower value in a new session does not mean that its process began anew.
    Lower,
    /// An upper hub: sums what this one publishes, and its tables are passed on.
    Above,
    /// A hub of the same nodes: the two tell each other which nodes they taught, and no values.
    Beside,
    /// The process before or after this one.
    Itself,
}

impl PeerLevel {
    /// Whether the peer's values are summed.
    pub const fn is_below(self) -> bool {
        matches!(self, Self::Below | Self::Lower)
    }

    /// Whether values pass between this side and the peer, either way.
    pub const fn shares_values(self) -> bool {
        !matches!(self, Self::Beside)
    }
}

/// Which tables are summed, and the names of the results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Suffix of the names of source tables, with its dot; `None` for any table that is no result.
    pub from: Option<String>,
    /// What the suffix becomes in the name of the result, or is added to it.
    pub to: String,
}

/// What a hub sums, and how.
#[derive(Clone, Debug, Default)]
pub struct Hub {
    /// The first one that fits a table's name counts.
    pub mappings: Vec<Mapping>,
    /// What becomes of the values of each data type.
    pub rules: Rules,
    /// How long what a peer told counts after its last session, in ms.
    pub node_timeout: u64,
    /// Sources whose definition is configured, by their names without a `/`: what nodes define otherwise is left out. Nodes
    /// that do not say when entries expire (HAProxy 1.6 and 1.7) cannot be summed without.
    pub tables: Vec<TableDefinition>,
}

/// What a table is to a hub, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamedPart {
    /// A source, with the name of its result.
    Source(String),
    /// A result, with the name of its source.
    Result(String),
    /// Neither.
    Other,
}

/// Why a section cannot be such a hub.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum HubError {
    #[error("a mapping has an empty suffix: a source and its result would have one name")]
    NoSuffix,
    #[error("results with the suffix {to:?} would be sources of the mapping from {from:?} again")]
    SumsItself { from: String, to: String },
}

impl Hub {
    /// Whether sources and results can be told apart by their names.
    ///
    /// # Errors
    /// When a suffix is empty, or a name may end like results of one mapping and like sources of the same or another one.
    pub fn check(&self) -> Result<(), HubError> {
        let sources = || self.mappings.iter().filter_map(|mapping| mapping.from.as_ref());
        if self.mappings.iter().any(|mapping| mapping.to.is_empty()) || sources().any(String::is_empty) {
            return Err(HubError::NoSuffix);
        }
        for Mapping { to, .. } in &self.mappings {
            if let Some(from) = sources().find(|from| from.ends_with(to) || to.ends_with(*from)) {
                return Err(HubError::SumsItself { from: from.clone(), to: to.clone() });
            }
        }
        Ok(())
    }

    /// The configured definition of a source, by its name without a `/`.
    pub(crate) fn table(&self, name: &str) -> Option<&TableDefinition> {
        self.tables.iter().find(|table| table.name == name)
    }

    /// What a table is, by its name on the wire: `/rates` for one of a `peers` section, `rates` for one of a backend.
    ///
    /// A name that ends like results do is a result, also where any table is a source.
    pub fn part_of(&self, network_name: &str) -> NamedPart {
        let name = network_name.strip_prefix('/').unwrap_or(network_name);
        if name.is_empty() {
            return NamedPart::Other;
        }
        let prefix = &network_name[..network_name.len() - name.len()];
        let base_of = |suffix: &str| name.strip_suffix(suffix).filter(|base| !base.is_empty());
        for Mapping { from, to } in &self.mappings {
            if let Some(base) = from.as_deref().and_then(base_of) {
                return NamedPart::Source(format!("{prefix}{base}{to}"));
            }
        }
        if let Some(Mapping { from, to }) = self.mappings.iter().find(|mapping| name.ends_with(&mapping.to)) {
            let (base, from) = (&name[..name.len() - to.len()], from.as_deref().unwrap_or_default());
            return NamedPart::Result(format!("{prefix}{base}{from}"));
        }
        let any = self.mappings.iter().find(|mapping| mapping.from.is_none());
        any.map_or(NamedPart::Other, |mapping| NamedPart::Source(format!("{prefix}{name}{}", mapping.to)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(mappings: &[(&str, &str)]) -> Hub {
        let mapping = |&(from, to): &(&str, &str)| Mapping {
            from: (from != "any").then(|| from.to_owned()),
            to: to.to_owned(),
        };
        Hub { mappings: mappings.iter().map(mapping).collect(), ..Hub::default() }
    }

    /// The part in short: the result's name, `=` and the source's name for a result, `-` for another table.
    fn part(hub: &Hub, name: &str) -> String {
        match hub.part_of(name) {
            NamedPart::Source(result) => result,
            NamedPart::Result(source) => format!("={source}"),
            NamedPart::Other => "-".to_owned(),
        }
    }

    #[test]
    fn a_hub_never_sums_its_own_results() {
        for mappings in [&[("any", ".agg")][..], &[(".x", ".y")], &[(".a", ".y"), (".b", ".z")], &[]] {
            assert_eq!(hub(mappings).check(), Ok(()), "{mappings:?}");
        }
        for mappings in [&[("any", "")][..], &[("", ".agg")], &[(".x", ".y"), (".z", "")]] {
            assert_eq!(hub(mappings).check(), Err(HubError::NoSuffix), "{mappings:?}");
        }
        for (mappings, from, to) in [
            (&[(".x", ".x")][..], ".x", ".x"),
            (&[(".x", ".a.x")], ".x", ".a.x"),
            (&[(".a.x", ".x")], ".a.x", ".x"),
            (&[("any", ".x"), (".x", ".y")], ".x", ".x"),
            (&[(".a", ".b"), (".b", ".a")], ".b", ".b"),
        ] {
            let error = HubError::SumsItself { from: from.to_owned(), to: to.to_owned() };
            assert_eq!(hub(mappings).check(), Err(error), "{mappings:?}");
        }
    }

    #[test]
    fn any_table_is_a_source_unless_it_is_a_result() {
        let hub = hub(&[("any", ".agg")]);
        for (name, expected) in [
            ("/rates", "/rates.agg"),
            ("rates", "rates.agg"),
            ("/rates.agg", "=/rates"),
            ("rates.agg", "=rates"),
            ("/rates.agg.agg", "=/rates.agg"),
            ("/rates.aggregate", "/rates.aggregate.agg"),
            ("/ratesagg", "/ratesagg.agg"),
            ("/agg", "/agg.agg"),
            ("/.agg", "=/"),
            ("/a/b", "/a/b.agg"),
            ("//a", "//a.agg"),
            ("/é", "/é.agg"),
            ("", "-"),
            ("/", "-"),
        ] {
            assert_eq!(part(&hub, name), expected, "{name}");
        }
    }

    #[test]
    fn a_suffix_is_exchanged() {
        let hub = hub(&[(".uncombined", ".aggr"), (".x", ".y")]);
        for (name, expected) in [
            ("/rates.uncombined", "/rates.aggr"),
            ("rates.uncombined", "rates.aggr"),
            ("/a.b.uncombined", "/a.b.aggr"),
            ("/a.aggr.uncombined", "/a.aggr.aggr"),
            ("/a.uncombined.uncombined", "/a.uncombined.aggr"),
            ("/rates.aggr", "=/rates.uncombined"),
            ("/rates.uncombined.aggr", "=/rates.uncombined.uncombined"),
            ("/rates", "-"),
            ("/ratesuncombined", "-"),
            ("/rates.uncombined2", "-"),
            ("/rates.Uncombined", "-"),
            ("/.uncombined", "-"),
            (".uncombined", "-"),
            ("t.x", "t.y"),
            ("t.y", "=t.x"),
            ("", "-"),
        ] {
            assert_eq!(part(&hub, name), expected, "{name}");
        }
    }
}
