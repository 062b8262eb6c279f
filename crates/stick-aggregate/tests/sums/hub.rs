//! An aggregate and its output, to be told and asked.

use std::sync::Arc;

use stick_aggregate::{Absorbed, Aggregate, Rules, Told};
use stick_table::{
    DataType, FrequencyCounter, KeyType, Lifetime, Millis, Origin, Table, TableDefinition, Value,
};

pub(crate) const EXPIRE: u32 = 60_000;

pub(crate) fn definition(name: &str, size: u32, columns: &[&str]) -> TableDefinition {
    let empty = TableDefinition::new(name, KeyType::Ip, size).with_expire(Some(EXPIRE));
    columns.iter().fold(empty, |table, column| table.with_column(column.parse().unwrap()).unwrap())
}

pub(crate) struct Hub {
    pub(crate) aggregate: Arc<Aggregate>,
    pub(crate) now: Millis,
}

impl Hub {
    pub(crate) fn new(columns: &[&str]) -> Self {
        Self::with_rules(columns, &Rules::default())
    }

    pub(crate) fn with_rules(columns: &[&str], rules: &Rules) -> Self {
        Self::with_expire(columns, rules, EXPIRE)
    }

    pub(crate) fn with_expire(columns: &[&str], rules: &Rules, expire: u32) -> Self {
        let table = |name| definition(name, 1_000, columns).with_expire(Some(expire));
        let output = Arc::new(Table::new(table("rates.agg"), 1).unwrap());
        let source = table("rates");
        let aggregate = Aggregate::new(source, output, rules, 2).unwrap();
        Self { aggregate: Arc::new(aggregate), now: 1_000_000 }
    }

    pub(crate) fn key(number: u32) -> [u8; 4] {
        number.to_be_bytes()
    }

    /// A node tells values of key 0.
    pub(crate) fn tell(&self, node: u16, values: &[(DataType, u32, Value)]) -> Absorbed {
        self.tell_as(node, Told::Live, Lifetime::Restart, values)
    }

    pub(crate) fn tell_as(
        &self,
        node: u16,
        told: Told,
        lifetime: Lifetime,
        values: &[(DataType, u32, Value)],
    ) -> Absorbed {
        let mut batch = self.aggregate.batch();
        let layout = self.aggregate.layout();
        batch
            .set_columns(values.iter().map(|(data_type, element, value)| {
                let at = layout.offset(*data_type, *element).unwrap();
                at..at + value.storage().words()
            }))
            .unwrap();
        let words = batch.push(&Self::key(0), lifetime).unwrap();
        let mut string = None;
        for (data_type, element, value) in values {
            let words = &mut words[layout.offset(*data_type, *element).unwrap()..];
            match value {
                Value::Signed(number) => words[0] = number.cast_unsigned(),
                Value::Unsigned(number) => words[0] = *number,
                Value::Unsigned64(number) => {
                    words[..2].copy_from_slice(&[*number as u32, (number >> 32) as u32]);
                }
                Value::Frequency(counter) => {
                    words[..3].copy_from_slice(&[counter.tick, counter.current, counter.previous]);
                }
                Value::Dictionary(text) => string.clone_from(text),
            }
        }
        if let Some(string) = &string {
            batch.set_string(string);
        }
        let absorbed = self.aggregate.absorb(&mut batch, Origin::peer(node).unwrap(), told, self.now);
        assert!(batch.is_empty());
        absorbed
    }

    /// A node tells the only number of key 0.
    pub(crate) fn tell_number(&self, node: u16, number: u32) -> Absorbed {
        let data_type = self.aggregate.source().columns()[0].data_type();
        self.tell(node, &[(data_type, 0, Value::Unsigned(number))])
    }

    pub(crate) fn tell_counter(&self, node: u16, counter: FrequencyCounter) -> Absorbed {
        let data_type = self.aggregate.source().columns()[0].data_type();
        self.tell(node, &[(data_type, 0, Value::Frequency(counter))])
    }

    /// What is published of key 0.
    pub(crate) fn value(&self, data_type: DataType, element: u32) -> Option<Value> {
        self.aggregate
            .output()
            .get(&Self::key(0), self.now, |entry| entry.value(data_type, element))
            .unwrap()
            .flatten()
    }

    /// The only number that is published of key 0; of a rate its reading.
    pub(crate) fn number(&self) -> Option<u64> {
        let column = self.aggregate.source().columns()[0];
        Some(match self.value(column.data_type(), 0)? {
            Value::Unsigned(number) => number.into(),
            Value::Unsigned64(number) => number,
            Value::Frequency(counter) => counter.read(column.period(), self.now as u32).into(),
            other => panic!("{other:?}"),
        })
    }

    /// Remaining lifetime of what is published of key 0.
    pub(crate) fn remaining(&self) -> Option<u32> {
        self.aggregate.output().get(&Self::key(0), self.now, |entry| entry.remaining()).unwrap().flatten()
    }

    pub(crate) fn pass(&mut self, ms: u64) {
        self.now += ms;
    }

    pub(crate) fn refresh(&self) -> usize {
        self.aggregate.refresh(self.now, 1_000).published
    }

    pub(crate) fn restart(&self, node: u16) {
        self.aggregate.process_may_have_changed(Origin::peer(node).unwrap());
    }
}
