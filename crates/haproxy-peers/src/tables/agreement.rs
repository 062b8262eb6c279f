//! How a sender's table differs from one's own.

use std::fmt;

use stick_table::{Column, DataType, KeyType, TableDefinition};

use crate::{Definition, WireColumn, WireKeyType};

/// The differences between a peer's definition of a table and the configured one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Agreement {
    differences: Vec<Difference>,
    /// Whether this side's table was made as another peer defines it, and not configured.
    is_made: bool,
}

/// One difference; `theirs` is the sender's value and `ours` the configured one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "theirs and ours say it")]
pub enum Difference {
    /// The key types differ, or the sender's is unknown.
    KeyType { theirs: WireKeyType, ours: KeyType },
    /// The sizes of keys differ, in bytes; those of strings count the terminator.
    KeySize { theirs: u64, ours: u64 },
    /// The lifetimes differ, in ms, 0 for no expiry. Entries of a sender without expiry arrive in lessons with no
    /// remaining lifetime (peers-protocol §8.3).
    Expire { theirs: u64, ours: u64 },
    /// The periods of a rate differ, in ms: counters are read with one's own.
    Period { data_type: DataType, theirs: u64, ours: u64 },
    /// The arrays have different numbers of elements: extra ones are dropped, missing ones left as they are.
    Count { data_type: DataType, theirs: u64, ours: u64 },
    /// Stored here, not sent.
    NotSent(DataType),
    /// Sent, not stored here.
    NotStored(DataType),
    /// Sent, not known to this version.
    Unknown(u8),
}

impl Difference {
    /// Whether the table cannot be shared because of it; the other differences are notes (peers-protocol §7.3).
    pub const fn is_fatal(&self) -> bool {
        matches!(self, Self::KeyType { .. } | Self::KeySize { .. })
    }
}

impl Difference {
    /// Whether the sender tells something by it that a table like ours cannot hold as it is meant: a hub's sums leave it out, or
    /// are wrong by it. What a sender does not tell is missing nowhere.
    pub const fn leaves_out(&self) -> bool {
        match self {
            Self::KeyType { .. }
            | Self::KeySize { .. }
            | Self::Expire { .. }
            | Self::Period { .. }
            | Self::NotStored(_)
            | Self::Unknown(_) => true,
            Self::Count { theirs, ours, .. } => *theirs > *ours,
            Self::NotSent(_) => false,
        }
    }

    /// Whether the sender, which asks for a hub's results by such a table, reads nothing of them, something else, or not as
    /// long as they live. What it does not store it does not ask for.
    pub const fn hides_results(&self) -> bool {
        match self {
            Self::KeyType { .. } | Self::KeySize { .. } | Self::Period { .. } => true,
            Self::Expire { theirs, ours } => *theirs != 0 && (*ours == 0 || *theirs < *ours),
            Self::Count { .. } | Self::NotSent(_) | Self::NotStored(_) | Self::Unknown(_) => false,
        }
    }

    /// The text where the table here is defined by another node and not configured.
    pub fn between_nodes(&self) -> impl fmt::Display + '_ {
        BetweenNodes(self)
    }

    /// Writes the difference; `ours` stands before this side's value, `stored` is what is said of a data type of this side.
    fn write(&self, f: &mut fmt::Formatter<'_>, ours_is: &str, stored: &str) -> fmt::Result {
        match self {
            Self::KeyType { theirs, ours } => write!(f, "key type {theirs}, {ours_is} {}", ours.word()),
            Self::KeySize { theirs, ours } => write!(f, "key size {theirs}, {ours_is} {ours}"),
            Self::Expire { theirs, ours } => {
                write!(f, "expire {}, {ours_is} {}", Lifetime(*theirs), Lifetime(*ours))
            }
            Self::Period { data_type, theirs, ours } => {
                write!(f, "period of {data_type} {theirs} ms, {ours_is} {ours} ms")
            }
            Self::Count { data_type, theirs, ours } => {
                write!(f, "{data_type} of {theirs} elements, {ours_is} {ours}")
            }
            Self::NotSent(data_type) => write!(f, "{data_type} not sent, {stored}"),
            Self::NotStored(data_type) => write!(f, "{data_type} sent, not {stored}"),
            Self::Unknown(number) => write!(f, "data type {number} sent, not known to this version"),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, "configured", "configured")
    }
}

struct BetweenNodes<'a>(&'a Difference);

impl fmt::Display for BetweenNodes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(f, "here", "stored here")
    }
}

struct Lifetime(u64);

impl fmt::Display for Lifetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("none"),
            ms => write!(f, "{ms} ms"),
        }
    }
}

impl Agreement {
    /// Whether updates of the table can be applied.
    pub fn is_usable(&self) -> bool {
        !self.differences.iter().any(Difference::is_fatal)
    }

    /// The data types that the sender tells and that are not kept here: its entries lose them on the way through this side.
    pub fn lost(&self) -> impl Iterator<Item = DataType> {
        self.differences.iter().filter_map(|difference| match difference {
            // What each node counts for itself nobody else keeps.
            Difference::NotStored(data_type) if !data_type.is_local_only() => Some(*data_type),
            _ => None,
        })
    }

    /// The differences, those of the key first, then the expiry, then by data type.
    pub fn differences(&self) -> &[Difference] {
        &self.differences
    }
}

impl Agreement {
    /// The same with a table that was made as another peer defines it: nothing of it is configured here.
    #[must_use]
    pub(crate) fn with_made_table(mut self) -> Self {
        self.is_made = true;
        self
    }

    /// Each difference in words.
    pub fn texts(&self) -> impl Iterator<Item = String> + '_ {
        self.differences.iter().map(|difference| match self.is_made {
            true => difference.between_nodes().to_string(),
            false => difference.to_string(),
        })
    }
}

impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, text) in self.texts().enumerate() {
            write!(f, "{}{text}", if index == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl Definition {
    /// Compares the sender's table with a configured one; names are not compared.
    ///
    /// Without a tail, expiry and periods are unknown and count as equal.
    pub fn agreement(&self, table: &TableDefinition) -> Agreement {
        let mut differences = Vec::new();
        let (key_type, key_size) = WireKeyType::from_key_type(table.key_type);
        if self.key_type != key_type {
            differences.push(Difference::KeyType { theirs: self.key_type, ours: table.key_type });
        }
        if self.key_size != key_size {
            differences.push(Difference::KeySize { theirs: self.key_size, ours: key_size });
        }
        let ours = table.expire.unwrap_or(0).into();
        if let Some(theirs) = self.tail.as_ref().map(|tail| tail.expire_ms).filter(|&theirs| theirs != ours) {
            differences.push(Difference::Expire { theirs, ours });
        }
        for data_type in DataType::ALL {
            let theirs = self.columns().find(|column| column.data_type == data_type);
            match (theirs, table.column(data_type)) {
                (Some(theirs), Some(ours)) => self.compare_columns(theirs, ours, &mut differences),
                (Some(_), None) => differences.push(Difference::NotStored(data_type)),
                (None, Some(_)) => differences.push(Difference::NotSent(data_type)),
                (None, None) => {}
            }
        }
        let unknown = (DataType::ALL.len() as u8..64).filter(|number| self.data_types >> number & 1 != 0);
        differences.extend(unknown.map(Difference::Unknown));
        Agreement { differences, is_made: false }
    }

    fn compare_columns(&self, theirs: WireColumn, ours: &Column, differences: &mut Vec<Difference>) {
        let WireColumn { data_type, count, period } = theirs;
        if self.tail.is_none() {
            return;
        }
        if count != u64::from(ours.count()) {
            differences.push(Difference::Count { data_type, theirs: count, ours: ours.count().into() });
        }
        if period != u64::from(ours.period()) {
            differences.push(Difference::Period { data_type, theirs: period, ours: ours.period().into() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(key_type: KeyType, expire: u32, columns: &[&str]) -> TableDefinition {
        columns
            .iter()
            .fold(TableDefinition::new("t", key_type, 1).with_expire(Some(expire)), |table, column| {
                table.with_column(column.parse().unwrap()).unwrap()
            })
    }

    #[test]
    fn equal_tables_agree() {
        let table = table(KeyType::DEFAULT_STRING, 1000, &["gpc0", "gpc_rate(2,10s)", "server_key"]);
        let agreement = Definition::from_table(1, &table).unwrap().agreement(&table);
        assert_eq!(agreement, Agreement::default());
        assert!(agreement.is_usable());
    }

    #[test]
    fn every_difference_is_told_with_both_values() {
        let theirs = table(KeyType::DEFAULT_STRING, 0, &["gpt(3)", "conn_rate(10s)", "gpc0"]);
        let ours = table(KeyType::Ip, 5000, &["gpt(2)", "conn_rate(1m)", "gpc1"]);
        let mut definition = Definition::from_table(1, &theirs).unwrap();
        definition.data_types |= 1 << 40;
        let agreement = definition.agreement(&ours);
        assert!(!agreement.is_usable());
        assert_eq!(
            agreement.to_string(),
            "key type string, configured ip; key size 32, configured 4; expire none, configured 5000 ms; \
             gpc0 sent, not configured; period of conn_rate 10000 ms, configured 60000 ms; \
             gpc1 not sent, configured; gpt of 3 elements, configured 2; data type 40 sent, not known to this version"
        );
        assert_eq!(agreement.differences().iter().filter(|difference| difference.is_fatal()).count(), 2);
        let made = agreement.with_made_table().to_string();
        assert!(
            made.contains("period of conn_rate 10000 ms, here 60000 ms; gpc1 not sent, stored here"),
            "{made}"
        );
        assert!(!made.contains("configured"), "{made}");
    }

    #[test]
    fn only_the_key_makes_a_table_unusable() {
        let ours = table(KeyType::String { max_len: 10 }, 1000, &["gpc0"]);
        let mut definition =
            Definition::from_table(1, &table(KeyType::String { max_len: 10 }, 5, &["gpt0"])).unwrap();
        assert!(definition.agreement(&ours).is_usable());
        definition.key_size += 1;
        assert!(!definition.agreement(&ours).is_usable());
        definition.key_size -= 1;
        definition.key_type = WireKeyType(9);
        assert_eq!(
            definition.agreement(&ours).differences()[0].to_string(),
            "key type number 9, configured string"
        );
    }

    #[test]
    fn what_a_sender_of_before_1_8_does_not_tell_is_no_difference() {
        let ours = table(KeyType::Ip, 1000, &["conn_rate(10s)"]);
        let definition = Definition { tail: None, ..Definition::from_table(1, &ours).unwrap() };
        assert_eq!(definition.agreement(&ours), Agreement::default());
    }
}
