//! The other end of a session: says what a script tells it to, and takes what it hears seriously.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use haproxy_peers::{
    Ack, Control, Decoder, Definition, Difference, ErrorMessage, Message, Padding, SharedTable, Switch,
    TableSet, UpdateHeader, WireValue, encode_key, encode_unsigned64, varint,
};
use stick_table::Storage;

use super::script::{self, Said};

pub(super) struct Peer {
    /// What it hears.
    decoder: Decoder,
    /// Last update it got of each table, by this side's id.
    last_ids: BTreeMap<u32, u32>,
    /// Keys it was told, by the table's name on the wire.
    known: BTreeMap<String, BTreeSet<Vec<u8>>>,
    /// Tables it defined, by its id, in the form it defined them.
    defined: BTreeMap<u32, (Arc<SharedTable>, Definition)>,
    current: Option<u32>,
    pub(super) heard_bytes: u64,
    pub(super) heard_updates: u64,
    closed: bool,
    /// Whether updates before this session were acknowledged.
    pub(super) is_resumed: bool,
}

impl Peer {
    pub(super) fn new(is_resumed: bool) -> Self {
        Self {
            decoder: Decoder::with_max_payload(1 << 20),
            last_ids: BTreeMap::new(),
            known: BTreeMap::new(),
            defined: BTreeMap::new(),
            current: None,
            heard_bytes: 0,
            heard_updates: 0,
            closed: false,
            is_resumed,
        }
    }

    pub(super) fn knows(&self, table: &str, key: &[u8]) -> bool {
        self.known.get(table).is_some_and(|keys| keys.contains(key))
    }

    /// Appends something to what it says.
    pub(super) fn say(&mut self, said: Said, tables: &TableSet, out: &mut Vec<u8>) {
        match said {
            Said::Define { table, id, variant } => {
                let Some(shared) = tables.get(table.into()) else { return };
                let id = u32::from(id % 8);
                let mut definition = Definition::from_table(1, shared.definition()).unwrap();
                definition.id = id;
                match variant % 8 {
                    0 => definition.tail = None,
                    1 => definition.key_size += 1,
                    2 => definition.data_types |= 1 << 33,
                    3 => definition.name.push(b'x'),
                    _ => {}
                }
                definition.encode_unchecked(Padding::None, out);
                self.current = Some(id);
                self.defined.insert(id, (shared, definition));
            }
            Said::Switch { id } => {
                let id = u32::from(id % 8);
                Switch { table_id: id }.encode_unchecked(out);
                self.current = Some(id);
            }
            Said::Update { key, id, lifetime, value, width } => {
                let header = UpdateHeader { id, lifetime_ms: lifetime };
                self.update(header, key, value >> (width % 64), out);
            }
            Said::Ack { table, before } => {
                let table_id = u32::from(table % 8);
                let last = self.last_ids.get(&table_id).copied().unwrap_or(0);
                Ack { table_id, update_id: last.wrapping_sub(u32::from(before % 4)) }.encode_unchecked(out);
            }
            Said::WrongAck { table, id } => {
                Ack { table_id: table.into(), update_id: id }.encode_unchecked(out);
            }
            Said::Control(number) => {
                Control::from_kind(number % 5).unwrap_or(Control::Relay).encode(out);
                if number % 16 == 15 {
                    Control::Relay.encode(out);
                }
            }
            Said::Error(number) => {
                ErrorMessage::from_kind(number % 2).into_iter().for_each(|it| it.encode(out));
            }
        }
    }

    /// An update of the current table with a value in each place.
    fn update(&self, header: UpdateHeader, key: u8, value: u64, out: &mut Vec<u8>) {
        let Some((shared, definition)) = self.current.and_then(|id| self.defined.get(&id)) else { return };
        let key_type = shared.definition().key_type;
        let mut frame = header.begin(out);
        let payload = frame.payload();
        encode_key(key_type, &script::key(key_type, key), payload);
        for column in definition.columns() {
            for element in 0..column.count {
                match column.data_type.storage() {
                    Storage::Frequency => (0..3).for_each(|_| varint::encode(value, payload)),
                    Storage::Dictionary => match value % 3 {
                        0 => payload.push(0),
                        1 => payload.extend_from_slice(&[1, 1 + value as u8 % 128]),
                        _ => {
                            payload.extend_from_slice(&[
                                3,
                                1 + value as u8 % 128,
                                1,
                                b'a' + value as u8 % 26,
                            ]);
                        }
                    },
                    _ => encode_unsigned64(value.wrapping_add(element), payload),
                }
            }
        }
        frame.finish(Padding::None);
    }

    /// Takes what one poll gave, which must be whole messages that make sense; returns how many updates begin where the
    /// room of `room` bytes has ended.
    pub(super) fn hear(&mut self, bytes: &[u8], room: usize, tables: &TableSet) -> usize {
        self.heard_bytes += bytes.len() as u64;
        let (mut at, mut beyond) = (0, 0);
        while at < bytes.len() {
            assert!(!self.closed, "something is said after an error");
            let size = match self.decoder.decode(&bytes[at..]) {
                Ok(Some((message, size))) => {
                    let is_update = matches!(message, Message::Update(_));
                    beyond += usize::from(is_update && at >= room);
                    self.heard_updates += u64::from(is_update);
                    let message = Heard::new(message, tables);
                    self.note(message);
                    size
                }
                other => panic!("what is sent does not decode: {other:?}"),
            };
            at += size;
        }
        beyond
    }

    fn note(&mut self, heard: Heard) {
        match heard {
            Heard::Update { table_id, name, id, key } => {
                let last = self.last_ids.insert(table_id, id).unwrap_or(0);
                assert_eq!(id, last.wrapping_add(1), "ids are not one after the other");
                self.known.entry(name).or_default().insert(key);
            }
            Heard::Error => self.closed = true,
            Heard::Other => {}
        }
    }
}

/// What counts of a message.
enum Heard {
    Update { table_id: u32, name: String, id: u32, key: Vec<u8> },
    Error,
    Other,
}

impl Heard {
    fn new(message: Message<'_>, tables: &TableSet) -> Self {
        match message {
            Message::Update(update) => {
                let id = update.table.id;
                let Some(shared) = tables.get(id as usize - 1) else { panic!("an update of no table {id}") };
                let agreement = update.table.agreement(shared.definition());
                let is_allowed = |difference: &Difference| match difference {
                    // What a node counts for itself is told by tables that take it only (peers-protocol §16).
                    Difference::NotSent(data_type) => {
                        data_type.is_local_only() && !shared.definition().recv_only
                    }
                    _ => false,
                };
                assert!(agreement.differences().iter().all(is_allowed), "{agreement}");
                assert!(update.update.header.id.is_some(), "ids are always told");
                let lifetime = update.update.header.lifetime_ms;
                let most = shared.definition().expire.unwrap_or(0);
                // One ms more where the deadline would be the tick that stands for none.
                assert!(lifetime.is_none_or(|ms| ms <= most + 1), "{lifetime:?} of at most {most} ms");
                for (_, elements) in &update.update.values {
                    for value in elements {
                        if let WireValue::Dictionary(item) = value {
                            let known =
                                *item == haproxy_peers::DictionaryItem::None || update.server_key.is_some();
                            assert!(known, "a string was never announced");
                        }
                    }
                }
                let name = update.table.display_name().into_owned();
                Self::Update { table_id: id, name, id: update.id, key: update.update.key }
            }
            Message::Error(_) => Self::Error,
            Message::Ignored { reason, .. } => panic!("{reason:?} is sent"),
            Message::Control(_) | Message::Define(_) | Message::Switch(_) | Message::Ack(_) => Self::Other,
        }
    }
}
