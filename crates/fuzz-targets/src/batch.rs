//! The target of updates on their way into rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use arbitrary::{Result, Unstructured};
use haproxy_peers::{
    Control, Decoder, Definition, Message, Padding, ProtocolVersion, Role, Session, SessionError, TableSet,
    TableUpdate, UpdateHeader, WireValue, encode_key, varint,
};
use stick_table::{Column, DataType, FrequencyCounter, KeyType, Storage, Table, TableDefinition, Value};

use crate::node::{self, Contents, START};

/// Updates of one table, for a table that is defined in another way, with numbers of any width: the quick way of decoding
/// them (all in one buffer), the careful one (byte by byte, so that nothing stands behind the number that is read) and
/// what the stream's decoder says put the same into the rows, and find the same error.
pub fn batch(data: &[u8]) {
    let mut source = Unstructured::new(data);
    let Ok(case) = Case::new(&mut source) else { return };
    let mut whole = case.messages.concat();
    // Room behind the last update, so that the quick way is possible for it too.
    (0..8).for_each(|_| Control::Heartbeat.encode(&mut whole));
    let quick = case.run(&[&whole]);
    let bytes: Vec<_> = whole.chunks(1).collect();
    let careful = case.run(&bytes);
    let messages: Vec<_> = case.messages.iter().map(Vec::as_slice).collect();
    let one_by_one = case.run(&messages);
    assert_eq!(quick, careful, "the quick and the careful way differ");
    assert_eq!(quick, one_by_one);
    case.check(&quick.0, quick.1);
}

/// A table here, how its sender defines it, and what the sender sends.
struct Case {
    local: TableDefinition,
    messages: Vec<Vec<u8>>,
}

const NOW: u64 = START + 70_000;

impl Case {
    fn new(source: &mut Unstructured<'_>) -> Result<Self> {
        let key_type = match source.arbitrary::<u8>()? % 4 {
            0 => KeyType::Integer,
            1 => KeyType::String { max_len: 12 },
            2 => KeyType::Binary { len: 3 },
            _ => KeyType::Ipv6,
        };
        let mut local = table(key_type, source)?;
        local.recv_only = source.arbitrary()?;
        let sender = table(key_type, source)?;
        let mut definition = Definition::from_table(1, &sender).unwrap();
        if source.ratio(1, 8)? {
            definition.data_types |= 1 << 40;
        }
        let mut messages = vec![Vec::new()];
        definition.encode(Padding::None, &mut messages[0]).unwrap();
        for _ in 0..source.int_in_range(1..=6)? {
            let mut message = Vec::new();
            update(&definition, key_type, source, &mut message)?;
            messages.push(message);
        }
        Ok(Self { local, messages })
    }

    fn run(&self, pieces: &[&[u8]]) -> (Contents, Option<SessionError>) {
        let table = Arc::new(Table::new(self.local.clone(), 5).unwrap());
        let tables = Arc::new(TableSet::new("p", [(Arc::clone(&table), None)], None, None, 3).unwrap());
        let mut session = Session::new(node::setup(&tables, ProtocolVersion::V2_1, Role::Remote), START);
        let error = pieces.iter().find_map(|piece| session.handle_input(NOW, piece).err());
        (node::contents(&table, NOW), error)
    }

    /// Compares with the updates as the stream's decoder reads them.
    fn check(&self, contents: &Contents, error: Option<SessionError>) {
        let mut decoder = Decoder::new();
        let mut entries = Expected::new();
        let mut failed = None;
        for message in &self.messages {
            match decoder.decode(message) {
                Ok(Some((Message::Update(update), _))) => self.note(&mut entries, &update),
                Ok(_) => {}
                Err(error) => {
                    failed = Some(SessionError::Malformed(error));
                    break;
                }
            }
        }
        assert_eq!(error, failed);
        assert!(contents.keys().eq(entries.keys()));
        let table = Table::new(self.local.clone(), 5).unwrap();
        for ((key, (words, string, ..)), expected) in contents.iter().zip(entries.values()) {
            for column in self.local.columns() {
                for element in 0..column.count() {
                    let place = (column.data_type(), element);
                    let Some(at) = table.layout().offset(place.0, element) else {
                        panic!("no place for {place:?}")
                    };
                    let found = read(column.data_type().storage(), &words[at..], string.as_ref());
                    let zero = Value::zero(column.data_type().storage());
                    assert_eq!(&found, expected.get(&place).unwrap_or(&zero), "{place:?} of {key:?}");
                }
            }
        }
    }

    fn note(&self, entries: &mut Expected, update: &TableUpdate) {
        let entry = entries.entry(update.update.key.clone()).or_default();
        for (data_type, elements) in &update.update.values {
            if data_type.is_local_only() && !self.local.recv_only {
                continue;
            }
            for (element, value) in elements.iter().enumerate() {
                let value = match value {
                    WireValue::Signed(value) => Value::Signed(*value),
                    WireValue::Unsigned(value) => Value::Unsigned(*value),
                    WireValue::Unsigned64(value) => Value::Unsigned64(*value),
                    WireValue::Frequency(wire) => Value::Frequency(wire.at(NOW as u32)),
                    WireValue::Dictionary(_) => match &update.server_key {
                        Some(text) => Value::Dictionary(Some(Arc::clone(text))),
                        None => continue,
                    },
                };
                entry.insert((*data_type, element as u32), value);
            }
        }
    }
}

type Expected = BTreeMap<Vec<u8>, BTreeMap<(DataType, u32), Value>>;

fn read(storage: Storage, words: &[u32], string: Option<&Arc<str>>) -> Value {
    match storage {
        Storage::Signed => Value::Signed(words[0].cast_signed()),
        Storage::Unsigned => Value::Unsigned(words[0]),
        Storage::Unsigned64 => Value::Unsigned64(u64::from(words[0]) | u64::from(words[1]) << 32),
        Storage::Frequency => {
            Value::Frequency(FrequencyCounter { tick: words[0], current: words[1], previous: words[2] })
        }
        Storage::Dictionary => Value::Dictionary(string.cloned()),
    }
}

/// A table of some data types; arrays of few elements.
fn table(key_type: KeyType, source: &mut Unstructured<'_>) -> Result<TableDefinition> {
    let mut table = TableDefinition::new("t", key_type, 1_000).with_expire(Some(60_000));
    let stored: u32 = source.arbitrary()?;
    for data_type in DataType::ALL {
        if stored >> data_type.number() & 1 == 0 {
            continue;
        }
        let count = if data_type.is_array() { Some(source.int_in_range(1..=5)?) } else { None };
        let period = data_type.has_period().then_some(10_000);
        // Types that exclude each other: the first one stays.
        if let Ok(column) = Column::new(data_type, count, period) {
            let _ = table.add_column(column);
        }
    }
    Ok(table)
}

/// An update with numbers of any width, sometimes cut off, sometimes with something behind it.
fn update(
    definition: &Definition,
    key_type: KeyType,
    source: &mut Unstructured<'_>,
    out: &mut Vec<u8>,
) -> Result<()> {
    let timed: bool = source.arbitrary()?;
    let id = source.arbitrary::<bool>()?.then_some(source.arbitrary()?);
    let header = UpdateHeader { id, lifetime_ms: timed.then_some(40_000) };
    let mut frame = header.begin(out);
    let payload = frame.payload();
    let first_of_payload = payload.len();
    let number = source.int_in_range(0..=2)?;
    encode_key(key_type, &vec![b'a' + number; key_type.max_bytes()], payload);
    for column in definition.columns() {
        for _ in 0..column.count {
            let numbers = if column.data_type.storage() == Storage::Frequency { 3 } else { 1 };
            match column.data_type.storage() {
                Storage::Dictionary => string(source, payload)?,
                _ => (0..numbers).try_for_each(|_| {
                    varint::encode(any_width(source)?, payload);
                    Ok(())
                })?,
            }
        }
    }
    match source.arbitrary::<u8>()? {
        0 => payload.truncate(first_of_payload.max(payload.len() - 1)),
        1 => payload.truncate(first_of_payload + (payload.len() - first_of_payload) / 2),
        2..8 => payload.extend_from_slice(&[0x80; 9]),
        _ => {}
    }
    frame.finish(if source.arbitrary()? { Padding::ForOldReceivers } else { Padding::None });
    Ok(())
}

/// A number of which each length on the wire is as likely as another.
fn any_width(source: &mut Unstructured<'_>) -> Result<u64> {
    let shift: u8 = source.int_in_range(0..=63)?;
    Ok(source.arbitrary::<u64>()? >> shift)
}

fn string(source: &mut Unstructured<'_>, payload: &mut Vec<u8>) -> Result<()> {
    match source.arbitrary::<u8>()? % 4 {
        0 => payload.push(0),
        1 => payload.extend_from_slice(&[1, source.int_in_range(1..=3)?]),
        // Two bytes for the id and the length of the string.
        _ => payload.extend_from_slice(&[3, source.int_in_range(1..=3)?, 1, b'x']),
    }
    Ok(())
}
