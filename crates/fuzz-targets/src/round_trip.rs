//! The target that makes messages from values: what is encoded is decoded to the same.

use std::borrow::Cow;
use std::num::NonZeroU16;

use arbitrary::{Arbitrary, Result, Unstructured};
use haproxy_peers::{
    Ack, Control, Decoder, DefineOutcome, Definition, DefinitionTail, DictionaryItem, ErrorMessage, Message,
    Padding, Reader, Switch, Update, UpdateHeader, WireColumn, WireFrequency, WireKeyType, WireValue,
};
use stick_table::{DataType, KeyType, Storage};

/// Any messages, written one after the other into one stream with and without padding, are read back as they were.
pub fn round_trip(data: &[u8]) {
    let mut source = Unstructured::new(data);
    let padding = if source.arbitrary().unwrap_or(false) { Padding::ForOldReceivers } else { Padding::None };
    let mut stream = Stream { padding, bytes: Vec::new(), decoder: Decoder::with_max_payload(1 << 20) };
    let Ok(mut definition) = definition(&mut source) else { return };
    stream.define(&definition);
    while !source.is_empty() {
        let Ok(message) = Sent::arbitrary(&mut source) else { return };
        match message {
            Sent::Define => match self::definition(&mut source) {
                Ok(next) => definition = next,
                Err(_) => return,
            },
            Sent::Update => match update(&definition, &mut source) {
                Ok(update) => stream.update(&definition, &update),
                Err(_) => return,
            },
            Sent::Ack(table_id, update_id) => {
                let ack = Ack { table_id, update_id };
                assert_eq!(stream.send(|out, _| ack.encode_unchecked(out)), Message::Ack(ack));
            }
            Sent::Switch => {
                let switch = Switch { table_id: definition.id };
                assert_eq!(stream.send(|out, _| switch.encode_unchecked(out)), Message::Switch(switch));
            }
            Sent::Control(number) => {
                let control = Control::from_kind(number % 5).unwrap_or(Control::Relay);
                assert_eq!(stream.send(|out, _| control.encode(out)), Message::Control(control));
            }
            Sent::Error(size_limit) => {
                let error = if size_limit { ErrorMessage::SizeLimit } else { ErrorMessage::Protocol };
                assert_eq!(stream.send(|out, _| error.encode(out)), Message::Error(error));
            }
        }
        if let Sent::Define = message {
            stream.define(&definition);
        }
    }
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Sent {
    Define,
    Update,
    Ack(u32, u32),
    Switch,
    Control(u8),
    Error(bool),
}

/// A stream that is decoded as it is written.
struct Stream {
    padding: Padding,
    bytes: Vec<u8>,
    decoder: Decoder,
}

impl Stream {
    /// Writes one message and returns what the decoder makes of it.
    fn send(&mut self, write: impl FnOnce(&mut Vec<u8>, Padding)) -> Message<'_> {
        self.bytes.clear();
        write(&mut self.bytes, self.padding);
        let length = self.bytes.len();
        // What follows a message must not change it.
        self.bytes.extend([0xff; 9]);
        match self.decoder.decode(&self.bytes) {
            Ok(Some((message, size))) => {
                assert_eq!(size, length);
                message
            }
            other => panic!("{other:?}"),
        }
    }

    fn define(&mut self, definition: &Definition) {
        match self.send(|out, padding| definition.encode(padding, out).unwrap()) {
            Message::Define(found) => assert_eq!(*found, *definition),
            other => panic!("{other:?} instead of {definition:?}"),
        }
    }

    fn update(&mut self, definition: &Definition, update: &Update) {
        let padding = self.padding;
        let send = |out: &mut Vec<u8>, padding| update.encode(definition, padding, out).unwrap();
        let Message::Update(found) = self.send(send) else { panic!("no update was read") };
        let mut found = found.update;
        if padding == Padding::ForOldReceivers {
            found.trailing.truncate(update.trailing.len());
        }
        assert_eq!(found, *update);
    }
}

/// A definition of which updates can be decoded.
fn definition(source: &mut Unstructured<'_>) -> Result<Definition> {
    let (key_type, key_size) = WireKeyType::from_key_type(match source.arbitrary::<u8>()? % 5 {
        0 => KeyType::Integer,
        1 => KeyType::Ip,
        2 => KeyType::Ipv6,
        3 => KeyType::String { max_len: source.int_in_range(1..=600)? },
        _ => KeyType::Binary { len: source.int_in_range(1..=300)? },
    });
    let data_types: u64 = source.arbitrary::<u32>()?.into();
    let data_types =
        data_types | if source.ratio(1, 8)? { source.arbitrary::<u64>()? & !0x7ff_ffff } else { 0 };
    let mut parameters = Vec::new();
    let known = DataType::ALL.into_iter().filter(|data_type| data_types >> data_type.number() & 1 != 0);
    let has_array = known.clone().any(DataType::is_array);
    for data_type in known.filter(|data_type| data_type.is_array() || data_type.has_period()) {
        let count = if data_type.is_array() { source.int_in_range(0..=5)? } else { 1 };
        let period = if data_type.has_period() { source.arbitrary()? } else { 0 };
        parameters.push(WireColumn { data_type, count, period });
    }
    let tail = DefinitionTail { expire_ms: source.arbitrary()?, parameters };
    let name_len = NonZeroU16::arbitrary(source)?.get() % 300 + 1;
    let name = source.bytes(usize::from(name_len).min(source.len()))?.to_vec();
    let definition = Definition {
        id: (source.arbitrary::<u32>()? & i32::MAX.cast_unsigned()).max(1),
        name: if name.is_empty() { b"t".to_vec() } else { name },
        key_type,
        key_size,
        data_types,
        tail: (has_array || source.arbitrary()?).then_some(tail),
    };
    let mut payload = Vec::new();
    definition.encode(Padding::None, &mut payload).unwrap();
    assert!(!payload.is_empty());
    Ok(definition)
}

/// An update in the form in which a sender writes it.
fn update(definition: &Definition, source: &mut Unstructured<'_>) -> Result<Update> {
    let key_type = definition.key_type().ok_or(arbitrary::Error::IncorrectFormat)?;
    // Longer ones are not written, as they mean an entry that has expired.
    let (id, lifetime_ms) = (source.arbitrary()?, source.arbitrary::<Option<u32>>()?);
    let header = UpdateHeader { id, lifetime_ms: lifetime_ms.map(|ms| ms & i32::MAX.cast_unsigned()) };
    let raw_len = source.int_in_range(0..=key_type.max_bytes())?;
    let raw = source.bytes(raw_len.min(source.len()))?;
    let key = match key_type.canonical(raw) {
        Some(key) => key.into_owned(),
        None => vec![7; key_type.max_bytes()],
    };
    let mut values = Vec::new();
    for column in definition.columns() {
        let data_type = column.data_type;
        let elements =
            (0..column.count).map(|_| value(data_type.storage(), source)).collect::<Result<_>>()?;
        values.push((data_type, elements));
    }
    let trailing_len = source.int_in_range(0..=9)?.min(source.len());
    let update = Update { header, key, values, trailing: source.bytes(trailing_len)?.to_vec() };
    check_alone(definition, key_type, &update);
    Ok(update)
}

/// The decoder of single updates and the definition's own agree with the stream's.
fn check_alone(definition: &Definition, key_type: KeyType, update: &Update) {
    let mut message = Vec::new();
    definition.encode(Padding::None, &mut message).unwrap();
    let payload = |message: &[u8]| match haproxy_peers::decode_frame(message, 0, usize::MAX) {
        Ok(Some((frame, _))) => frame.payload().to_vec(),
        other => panic!("{other:?}"),
    };
    let outcome = Definition::decode(&mut Reader::new(&payload(&message), 0));
    assert_eq!(outcome, Ok(DefineOutcome::Usable(definition.clone())));
    message.clear();
    update.encode(definition, Padding::None, &mut message).unwrap();
    let form = update.header.form();
    let found = Update::decode(form, definition, key_type, &mut Reader::new(&payload(&message), 0));
    assert_eq!(found.as_ref(), Ok(update));
}

fn value(storage: Storage, source: &mut Unstructured<'_>) -> Result<WireValue> {
    Ok(match storage {
        Storage::Signed => WireValue::Signed(source.arbitrary()?),
        Storage::Unsigned => WireValue::Unsigned(source.arbitrary()?),
        Storage::Unsigned64 => WireValue::Unsigned64(source.arbitrary()?),
        Storage::Frequency => WireValue::Frequency(WireFrequency {
            age: source.arbitrary()?,
            current: source.arbitrary()?,
            previous: source.arbitrary()?,
        }),
        Storage::Dictionary => WireValue::Dictionary(match source.arbitrary::<u8>()? % 3 {
            0 => DictionaryItem::None,
            1 => DictionaryItem::Known(source.int_in_range(1..=128)?),
            _ => {
                let id = source.int_in_range(1..=128)?;
                let length = source.int_in_range(0..=300)?.min(source.len());
                // No NUL: the receiver's string would end there.
                let text = source.bytes(length)?.iter().map(|&byte| byte.max(1)).collect();
                DictionaryItem::New(id, Cow::Owned(text))
            }
        }),
    })
}
