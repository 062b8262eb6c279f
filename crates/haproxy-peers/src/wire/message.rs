//! Whole streams, message by message, for those who only want to look.

use std::collections::HashMap;
use std::sync::Arc;

use stick_table::{DataType, KeyType};

use crate::{
    Ack, Control, DEFAULT_MAX_PAYLOAD, DecodeError, DefineHead, DefineOutcome, Definition, ErrorMessage,
    Frame, MAX_TABLES, ReceiveDictionary, Switch, UnusableReason, Update, UpdateForm, WireValue, class,
    decode_frame, kind,
};

/// A message of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// A lesson's events and heartbeats.
    Control(Control),
    /// What the peer has against us; it closes after it.
    Error(ErrorMessage),
    /// A definition; its table is current now.
    Define(Arc<Definition>),
    /// A table is current again.
    Switch(Switch),
    /// An acknowledgement.
    Ack(Ack),
    /// An update of the current table.
    Update(TableUpdate),
    /// A message that says nothing to this version or in this place; not an error.
    Ignored {
        /// The message.
        frame: Frame<'a>,
        /// Why.
        reason: IgnoredReason,
    },
}

/// Why a message is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IgnoredReason {
    /// Class or type are unknown.
    Unknown,
    /// An update while no table is current.
    NoTable,
    /// A definition of a table that cannot be used; no table is current now.
    Unusable(UnusableReason),
    /// A switch to an id that was not defined; no table is current now.
    NotDefined,
    /// The definition of one more table than [`MAX_TABLES`]; no table is current now.
    TooManyTables,
}

/// An update with what the stream so far says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableUpdate {
    /// The table.
    pub table: Arc<Definition>,
    /// Its keys.
    pub key_type: KeyType,
    /// Id of the update; that of an incremental one is the previous of its table plus 1.
    pub id: u32,
    /// The update.
    pub update: Update,
    /// The text of its `server_key`; `None` when unset, unknown or not stored.
    pub server_key: Option<Arc<str>>,
}

/// Decodes one direction of a session after its handshake, and keeps in mind what later messages refer to: at most
/// [`MAX_TABLES`] definitions and one dictionary.
///
/// ```
/// use haproxy_peers::{Control, Decoder, Message};
///
/// let mut decoder = Decoder::new();
/// assert_eq!(decoder.decode(&[0, 4, 0])?, Some((Message::Control(Control::Heartbeat), 2)));
/// assert_eq!(decoder.decode(&[0])?, None); // incomplete
/// assert_eq!(decoder.offset(), 2);
/// # Ok::<(), haproxy_peers::DecodeError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Decoder {
    tables: HashMap<u32, Table>,
    /// Sender's id of the current table.
    current: Option<u32>,
    dictionary: ReceiveDictionary,
    offset: u64,
    max_payload: usize,
}

#[derive(Clone, Debug)]
struct Table {
    definition: Arc<Definition>,
    key_type: KeyType,
    last_id: u32,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// A decoder for payloads of at most [`DEFAULT_MAX_PAYLOAD`] bytes.
    pub fn new() -> Self {
        Self::with_max_payload(DEFAULT_MAX_PAYLOAD)
    }

    /// A decoder for payloads of at most `max_payload` bytes (the senders' `tune.bufsize`).
    pub fn with_max_payload(max_payload: usize) -> Self {
        Self {
            tables: HashMap::new(),
            current: None,
            dictionary: ReceiveDictionary::with_buffer_size(max_payload),
            offset: 0,
            max_payload,
        }
    }

    /// Offset of the next message: how many bytes were taken so far.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// Takes the message at the start of `input`; returns it with the number of bytes it takes, or `None` when it is
    /// not complete yet.
    ///
    /// # Errors
    /// When the message is malformed. The decoder stays before it.
    pub fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Option<(Message<'a>, usize)>, DecodeError> {
        let Some((frame, size)) = decode_frame(input, self.offset, self.max_payload)? else {
            return Ok(None);
        };
        let message = self.message(frame)?;
        self.offset = self.offset.wrapping_add(size as u64);
        Ok(Some((message, size)))
    }

    fn message<'a>(&mut self, frame: Frame<'a>) -> Result<Message<'a>, DecodeError> {
        let message = match (frame.class, frame.kind) {
            (class::CONTROL, kind) => Control::from_kind(kind).map(Message::Control),
            (class::ERROR, kind) => ErrorMessage::from_kind(kind).map(Message::Error),
            (class::STICK_TABLE, kind::DEFINE) => return self.define(frame),
            (class::STICK_TABLE, kind::SWITCH) => return self.switch(frame),
            (class::STICK_TABLE, kind::ACK) => Some(Message::Ack(Ack::decode(&mut frame.reader())?)),
            (class::STICK_TABLE, kind) => match UpdateForm::from_kind(kind) {
                Some(form) => return self.update(form, frame),
                None => None,
            },
            _ => None,
        };
        Ok(message.unwrap_or(Message::Ignored { frame, reason: IgnoredReason::Unknown }))
    }

    fn define<'a>(&mut self, frame: Frame<'a>) -> Result<Message<'a>, DecodeError> {
        let mut reader = frame.reader();
        let outcome = DefineHead::decode(&mut reader)?.decode_rest(&mut reader)?;
        self.current = None;
        match self.accept(outcome) {
            Ok(definition) => Ok(Message::Define(definition)),
            Err(reason) => Ok(Message::Ignored { frame, reason }),
        }
    }

    /// Makes a usable definition's table current.
    fn accept(&mut self, outcome: DefineOutcome) -> Result<Arc<Definition>, IgnoredReason> {
        let (definition, usable) = match outcome {
            DefineOutcome::Usable(definition) => {
                let (key_type, size) = (definition.key_type, definition.key_size);
                let usable = definition.key_type().ok_or(UnusableReason::KeyType(key_type, size));
                (definition, usable)
            }
            DefineOutcome::Unusable { definition, reason } => (definition, Err(reason)),
        };
        let id = definition.id;
        let known = self.tables.remove(&id);
        let key_type = usable.map_err(IgnoredReason::Unusable)?;
        if self.tables.len() >= MAX_TABLES {
            return Err(IgnoredReason::TooManyTables);
        }
        let last_id =
            known.filter(|table| table.definition.name == definition.name).map_or(0, |table| table.last_id);
        let definition = Arc::new(definition);
        self.tables.insert(id, Table { definition: Arc::clone(&definition), key_type, last_id });
        self.current = Some(id);
        Ok(definition)
    }

    fn switch<'a>(&mut self, frame: Frame<'a>) -> Result<Message<'a>, DecodeError> {
        let switch = Switch::decode(&mut frame.reader())?;
        self.current = Some(switch.table_id).filter(|id| self.tables.contains_key(id));
        Ok(match self.current {
            Some(_) => Message::Switch(switch),
            None => Message::Ignored { frame, reason: IgnoredReason::NotDefined },
        })
    }

    fn update<'a>(&mut self, form: UpdateForm, frame: Frame<'a>) -> Result<Message<'a>, DecodeError> {
        let Some(table) = self.current.and_then(|id| self.tables.get_mut(&id)) else {
            return Ok(Message::Ignored { frame, reason: IgnoredReason::NoTable });
        };
        let update = Update::decode(form, &table.definition, table.key_type, &mut frame.reader())?;
        let id = update.header.id.unwrap_or_else(|| table.last_id.wrapping_add(1));
        table.last_id = id;
        let server_key = match update.elements(DataType::ServerKey) {
            [WireValue::Dictionary(item)] => self.dictionary.resolve(item),
            _ => None,
        };
        let (table, key_type) = (Arc::clone(&table.definition), table.key_type);
        Ok(Message::Update(TableUpdate { table, key_type, id, update, server_key }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Padding;
    use proptest::prelude::*;
    use stick_table::TableDefinition;

    fn definition(id: u32, name: &str) -> Definition {
        let table =
            TableDefinition::new(name, KeyType::Integer, 1).with_column("gpc0".parse().unwrap()).unwrap();
        Definition::from_table(id, &table).unwrap()
    }

    fn define(definition: &Definition) -> Vec<u8> {
        let mut out = Vec::new();
        definition.encode_unchecked(Padding::None, &mut out);
        out
    }

    fn explicit(id: u8) -> Vec<u8> {
        vec![10, 0x80, 9, 0, 0, 0, id, 0, 0, 0, 7, 1]
    }

    const INCREMENTAL: [u8; 8] = [10, 0x81, 5, 0, 0, 0, 7, 1];

    fn next<'a>(decoder: &mut Decoder, input: &'a [u8]) -> Message<'a> {
        let (message, size) = decoder.decode(input).unwrap().unwrap();
        assert_eq!(size, input.len());
        message
    }

    fn ignored(decoder: &mut Decoder, input: &[u8]) -> IgnoredReason {
        match next(decoder, input) {
            Message::Ignored { reason, .. } => reason,
            other => panic!("{other:?}"),
        }
    }

    fn update_id(decoder: &mut Decoder, input: &[u8]) -> u32 {
        match next(decoder, input) {
            Message::Update(update) => update.id,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn incremental_ids_count_per_table() {
        let mut decoder = Decoder::new();
        let (one, two) = (define(&definition(1, "a")), define(&definition(2, "b")));
        next(&mut decoder, &one);
        assert_eq!(update_id(&mut decoder, &INCREMENTAL), 1);
        assert_eq!(update_id(&mut decoder, &explicit(9)), 9);
        next(&mut decoder, &two);
        assert_eq!(update_id(&mut decoder, &explicit(3)), 3);
        next(&mut decoder, &one);
        assert_eq!(update_id(&mut decoder, &INCREMENTAL), 10);
        next(&mut decoder, &[10, 0x83, 1, 2]);
        assert_eq!(update_id(&mut decoder, &INCREMENTAL), 4);
        // The id now stands for another table.
        next(&mut decoder, &define(&definition(2, "c")));
        assert_eq!(update_id(&mut decoder, &INCREMENTAL), 1);
    }

    #[test]
    fn without_a_current_table_updates_are_ignored() {
        let mut decoder = Decoder::new();
        assert_eq!(ignored(&mut decoder, &INCREMENTAL), IgnoredReason::NoTable);
        next(&mut decoder, &define(&definition(1, "a")));
        assert_eq!(ignored(&mut decoder, &[10, 0x83, 1, 9]), IgnoredReason::NotDefined);
        assert_eq!(ignored(&mut decoder, &INCREMENTAL), IgnoredReason::NoTable);
        next(&mut decoder, &[10, 0x83, 1, 1]);
        // Defined under another id, so the first table is still known, but not current.
        let mut unusable = definition(2, "b");
        unusable.key_size = 5;
        let reason = UnusableReason::KeyType(unusable.key_type, 5);
        assert_eq!(ignored(&mut decoder, &define(&unusable)), IgnoredReason::Unusable(reason));
        assert_eq!(ignored(&mut decoder, &INCREMENTAL), IgnoredReason::NoTable);
        next(&mut decoder, &[10, 0x83, 1, 1]);
        unusable.id = 1;
        assert_eq!(ignored(&mut decoder, &define(&unusable)), IgnoredReason::Unusable(reason));
        assert_eq!(ignored(&mut decoder, &[10, 0x83, 1, 1]), IgnoredReason::NotDefined);
    }

    #[test]
    fn unknown_messages_are_ignored() {
        let mut decoder = Decoder::new();
        for message in [&[0, 5][..], &[0, 0x80, 1, 7], &[1, 9], &[10, 0], &[10, 0x87, 2, 1, 1], &[200, 3]] {
            assert_eq!(ignored(&mut decoder, message), IgnoredReason::Unknown, "{message:?}");
        }
    }

    #[test]
    fn the_number_of_tables_is_limited() {
        let mut decoder = Decoder::new();
        for id in 1..=MAX_TABLES as u32 {
            next(&mut decoder, &define(&definition(id, "a")));
        }
        let over = define(&definition(MAX_TABLES as u32 + 1, "a"));
        assert_eq!(ignored(&mut decoder, &over), IgnoredReason::TooManyTables);
        assert!(matches!(next(&mut decoder, &define(&definition(5, "b"))), Message::Define(_)));
    }

    #[test]
    fn an_error_leaves_the_decoder_before_the_message() {
        let mut decoder = Decoder::new();
        next(&mut decoder, &[0, 4]);
        let error = decoder.decode(&[10, 0x84, 2, 1, 0]).unwrap_err();
        assert_eq!(error, DecodeError::truncated(6, "update id"));
        assert_eq!(decoder.offset(), 2);
    }

    #[test]
    fn payloads_are_as_long_as_the_default_buffer() {
        for (length, fits) in [(DEFAULT_MAX_PAYLOAD, true), (DEFAULT_MAX_PAYLOAD + 1, false)] {
            let mut input = vec![10, 0x87];
            crate::wire::varint::encode(length as u64, &mut input);
            input.resize(input.len() + length, 0);
            assert_eq!(Decoder::default().decode(&input).is_ok(), fits, "{length} bytes");
        }
    }

    proptest! {
        /// Messages of random payloads, behind a definition so that updates are looked into.
        #[test]
        fn random_bytes_never_panic(
            data_types: u64, key_type in 0u64..10, key_size in 0u64..40,
            messages in prop::collection::vec((0u8..12, 0x7eu8..0x89, prop::collection::vec(any::<u8>(), 0..60)), 0..20),
            raw in prop::collection::vec(any::<u8>(), 0..100),
        ) {
            let mut stream = Vec::new();
            let mut definition = definition(1, "a");
            definition.key_type = crate::WireKeyType(key_type);
            definition.key_size = key_size;
            definition.data_types = data_types;
            definition.tail = None;
            stream.extend(define(&definition));
            for (class, kind, payload) in messages {
                let class = if class > 1 { 10 } else { class };
                stream.extend([class, kind]);
                if kind >= 0x80 {
                    stream.push(payload.len() as u8);
                    stream.extend(payload);
                }
            }
            stream.extend(raw);
            let mut decoder = Decoder::new();
            let mut at = 0;
            while let Ok(Some((_, size))) = decoder.decode(&stream[at..]) {
                at += size;
                prop_assert_eq!(decoder.offset(), at as u64);
            }
        }
    }
}
