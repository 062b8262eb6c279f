//! A peer's side of a session as bytes.

use std::ops::Range;
use std::sync::Arc;

use haproxy_peers::{Definition, Padding, SendDictionary, Update, UpdateHeader, WireValue};
use stick_table::{Column, DataType, Storage, TableDefinition};

use crate::Kind;

/// Updates after which a HAProxy tells the id again; those between have the next one.
const RUN: u32 = 200;

/// What one peer sends about one table: streams for one session, in the order in which they are made. The first begins
/// with the definition.
pub struct Sender {
    kind: Kind,
    definition: TableDefinition,
    servers: Vec<Arc<str>>,
    dictionary: SendDictionary,
    last_id: u32,
    round: u32,
}

impl Sender {
    /// A peer with a table of a kind.
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            definition: kind.definition(1),
            servers: Kind::servers(),
            dictionary: SendDictionary::new(),
            last_id: 0,
            round: 0,
        }
    }

    /// Updates of the entries of these numbers with remaining lifetimes, as in a lesson.
    pub fn lesson(&mut self, numbers: Range<u32>) -> Vec<u8> {
        self.stream(numbers, true)
    }

    /// Live updates of the entries of these numbers, with other values each time.
    pub fn live(&mut self, numbers: Range<u32>) -> Vec<u8> {
        self.stream(numbers, false)
    }

    fn stream(&mut self, numbers: Range<u32>, timed: bool) -> Vec<u8> {
        let mut bytes = Vec::new();
        let definition = Definition::from_table(1, &self.definition).expect("a table with a name");
        if self.last_id == 0 {
            definition.encode(Padding::None, &mut bytes).expect("the definition of a table");
        }
        self.round += 1;
        for (place, number) in (0..).zip(numbers) {
            self.last_id = self.last_id.wrapping_add(1);
            let id = (place % RUN == 0).then_some(self.last_id);
            let lifetime_ms = timed.then(|| Kind::EXPIRE_MS - number % 600_000);
            let header = UpdateHeader { id, lifetime_ms };
            let update = self.update(number, header);
            update.encode(&definition, Padding::None, &mut bytes).expect("what the definition says");
        }
        bytes
    }

    fn update(&mut self, number: u32, header: UpdateHeader) -> Update {
        let types: Vec<DataType> = self.definition.columns().iter().map(Column::data_type).collect();
        let values = types.into_iter().map(|data_type| (data_type, vec![self.value(data_type, number)]));
        let values = values.collect();
        Update { header, key: self.kind.key(number), values, trailing: Vec::new() }
    }

    fn value(&mut self, data_type: DataType, number: u32) -> WireValue {
        match data_type.storage() {
            Storage::Frequency => WireValue::Frequency(Kind::rate(data_type, number, self.round)),
            Storage::Dictionary => {
                let server = Kind::integer(DataType::ServerId, number, self.round) - 1;
                let item = self.dictionary.item(&self.servers[server as usize]);
                WireValue::Dictionary(item.into_owned())
            }
            Storage::Signed => WireValue::Signed(Kind::integer(data_type, number, self.round).cast_signed()),
            _ => WireValue::Unsigned(Kind::integer(data_type, number, self.round)),
        }
    }
}
