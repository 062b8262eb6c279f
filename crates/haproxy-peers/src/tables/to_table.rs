//! A table of one's own after a sender's definition.

use stick_table::{Column, ColumnError, DefinitionError, KeyType, TableDefinition, units};
use thiserror::Error;

use crate::{Definition, WireColumn, WireKeyType};

/// Why a table cannot be made after a definition.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ToTableError {
    #[error("the key type {0} of {1} bytes is not supported")]
    KeyType(WireKeyType, u64),
    #[error("keys of {0} bytes are over the limit of {limit}", limit = KeyType::MAX_LEN)]
    KeyTooLong(usize),
    #[error("the expiry of {0} ms is over the limit of {limit} ms", limit = units::MAX_TIME_MS)]
    Expire(u64),
    #[error(transparent)]
    Column(#[from] ColumnError),
    #[error(transparent)]
    Definition(#[from] DefinitionError),
}

impl Definition {
    /// A table that can hold what the sender's holds, for those who create tables as peers define them.
    ///
    /// `local_name` is its full local name and `size` the most entries it shall hold; the definition tells neither. Data
    /// types unknown to this version are left out.
    ///
    /// # Errors
    /// When the key type is not supported or a number is out of its range; when the table has rates and the definition no
    /// tail, which is the case with HAProxy 1.6 and 1.7, because their periods are unknown then.
    pub fn to_table(
        &self,
        local_name: impl Into<String>,
        size: u32,
    ) -> Result<TableDefinition, ToTableError> {
        let key_type = self.key_type().ok_or(ToTableError::KeyType(self.key_type, self.key_size))?;
        if key_type.max_bytes() > KeyType::MAX_LEN as usize {
            return Err(ToTableError::KeyTooLong(key_type.max_bytes()));
        }
        let expire = self.tail.as_ref().map_or(0, |tail| tail.expire_ms);
        let in_range = u32::try_from(expire).ok().filter(|&expire| expire <= units::MAX_TIME_MS);
        let expire = in_range.ok_or(ToTableError::Expire(expire))?;
        let mut table = TableDefinition::new(local_name, key_type, size).with_expire(Some(expire));
        for column in self.columns() {
            table.add_column(column.to_column(self.tail.is_some())?)?;
        }
        table.check()?;
        Ok(table)
    }
}

impl WireColumn {
    /// The column, whose period is only known to a definition that has a tail.
    fn to_column(self, has_tail: bool) -> Result<Column, ColumnError> {
        let Self { data_type, count, period } = self;
        // A number over the range of 32 bits is over the range of the column too.
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let period = u32::try_from(period).unwrap_or(u32::MAX);
        if data_type.has_period() && period > units::MAX_TIME_MS {
            return Err(ColumnError::Period(data_type, units::UnitError::TimeTooLong));
        }
        let count = data_type.is_array().then_some(count);
        Column::new(data_type, count, (data_type.has_period() && has_tail).then_some(period))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DefinitionTail;
    use stick_table::DataType;

    fn table() -> TableDefinition {
        ["gpt(2)", "conn_rate(10s)", "server_key"].iter().fold(
            TableDefinition::new("p/t", KeyType::DEFAULT_STRING, 9).with_expire(Some(5000)),
            |table, column| table.with_column(column.parse().unwrap()).unwrap(),
        )
    }

    #[test]
    fn a_table_is_made_as_the_sender_has_it() {
        let mut definition = Definition::from_table(1, &table()).unwrap();
        assert_eq!(definition.to_table("p/t", 9), Ok(table()));
        definition.data_types |= 1 << 50;
        assert_eq!(definition.to_table("p/t", 9), Ok(table()));
    }

    fn tail(definition: &mut Definition, change: fn(&mut DefinitionTail)) {
        definition.tail.as_mut().map(change).unwrap();
    }

    #[test]
    fn what_cannot_be_made_is_told() {
        let refused = |change: fn(&mut Definition)| {
            let mut definition = Definition::from_table(1, &table()).unwrap();
            change(&mut definition);
            definition.to_table("p/t", 9).unwrap_err().to_string()
        };
        assert_eq!(refused(|it| it.key_type.0 = 9), "the key type number 9 of 32 bytes is not supported");
        assert_eq!(refused(|it| it.key_size = 12_290), "keys of 12289 bytes are over the limit of 12288");
        assert_eq!(
            refused(|it| tail(it, |tail| tail.expire_ms = 1 << 31)),
            "the expiry of 2147483648 ms is over the limit of 2147483647 ms"
        );
        assert_eq!(
            refused(|it| tail(it, |tail| tail.parameters[0].period = 0)),
            "the period of conn_rate is 0; use 2ms or more"
        );
        assert_eq!(
            refused(|it| tail(it, |tail| tail.parameters[0].period = 1 << 31)),
            "the period of conn_rate: the time is over the limit of 2147483647 ms (24 days 20 hours)"
        );
        assert_eq!(
            refused(|it| tail(it, |tail| tail.parameters[1].count = 1 << 32)),
            "gpt takes 1 to 100 elements"
        );
        assert_eq!(
            refused(|it| it.data_types |= 1 << DataType::Gpt0.number()),
            "gpt cannot be stored together with gpt0: the array replaces it"
        );
    }

    #[test]
    fn rates_of_a_sender_of_before_1_8_have_no_period() {
        let mut definition = Definition::from_table(1, &table()).unwrap();
        definition.data_types = 1 << DataType::ConnRate.number();
        definition.tail = None;
        assert_eq!(definition.to_table("t", 1), Err(ColumnError::MissingPeriod(DataType::ConnRate).into()));
    }
}
