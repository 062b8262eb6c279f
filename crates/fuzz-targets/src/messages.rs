//! Targets of single messages: the bytes are a payload, or for those without payload the types.

use haproxy_peers::{
    Ack, Agreement, Control, DecodeError, Decoder, DefineHead, DefineOutcome, Definition, Difference,
    EncodeError, ErrorMessage, IgnoredReason, Message, Padding, Reader, Switch, Update, UpdateForm, class,
    decode_frame, kind,
};

/// Where the payload is said to begin, so that offsets in errors show whether they are counted from there.
const OFFSET: u64 = 1_000;

/// The payload of the one message that `write` appends.
fn payload_of(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut message = Vec::new();
    write(&mut message);
    let Ok(Some((frame, size))) = decode_frame(&message, 0, usize::MAX) else {
        panic!("no message was written")
    };
    assert_eq!(size, message.len());
    frame.payload().to_vec()
}

fn check_error(error: DecodeError, payload: &[u8]) {
    let end = OFFSET + payload.len() as u64;
    assert!((OFFSET..=end).contains(&error.offset), "{error}: not in the payload");
    assert!(error.to_string().starts_with("at byte "));
}

/// Definitions: written as they were read; a bad tail makes a table unusable and nothing else; a table made after one
/// agrees with it.
pub fn define(data: &[u8]) {
    let mut reader = Reader::new(data, OFFSET);
    let outcome = match Definition::decode(&mut reader) {
        Ok(outcome) => outcome,
        Err(error) => return check_error(error, data),
    };
    let definition = match outcome {
        DefineOutcome::Usable(definition) => definition,
        DefineOutcome::Unusable { definition, reason } => {
            assert!(definition.tail.is_none() && !reason.to_string().is_empty());
            return;
        }
    };
    let head = DefineHead::decode(&mut Reader::new(data, OFFSET));
    assert_eq!(head, Ok(DefineHead { id: definition.id, name: &definition.name }));
    check_table(&definition);
    if definition.id == 0 || definition.id > i32::MAX.cast_unsigned() {
        // To HAProxy that is a table which was not defined.
        let error = EncodeError::TableId(definition.id);
        return assert_eq!(definition.encode(Padding::None, &mut Vec::new()), Err(error));
    }
    let written = payload_of(|out| definition.encode(Padding::None, out).unwrap());
    // An id over 32 bits is cut, as HAProxy does; all else has one form.
    if Reader::new(data, 0).varint("id").is_ok_and(|id| id <= u64::from(u32::MAX)) {
        assert_eq!(written, data[..data.len() - reader.remaining()]);
    }
    for padding in [Padding::None, Padding::ForOldReceivers] {
        let payload = payload_of(|out| definition.encode(padding, out).unwrap());
        let again = Definition::decode(&mut Reader::new(&payload, OFFSET));
        assert_eq!(again, Ok(DefineOutcome::Usable(definition.clone())));
    }
    let known: Vec<_> = definition.columns().map(|column| column.data_type).collect();
    assert!(known.is_sorted() && known.iter().all(|data_type| definition.stores(*data_type)));
}

/// A table made after a definition takes everything that the definition's updates bring.
fn check_table(definition: &Definition) {
    let table = match definition.to_table("p/t", 10) {
        Ok(table) => table,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let agreement: Agreement = definition.agreement(&table);
    let only_unknown =
        agreement.differences().iter().all(|difference| matches!(difference, Difference::Unknown(_)));
    assert!(agreement.is_usable() && only_unknown, "{agreement}");
    let own = Definition::from_table(1, &table).unwrap();
    assert_eq!(own.agreement(&table), Agreement::default());
    assert_eq!((own.key_type, own.key_size), (definition.key_type, definition.key_size));
    assert_eq!(own.to_table("p/t", 10), Ok(table));
}

/// Updates: what is read comes back after it was written anew, and memory is bounded by the payload. The input is a form,
/// the length of a definition, that definition, and the payload of the update.
pub fn update(data: &[u8]) {
    let [form, length, rest @ ..] = data else { return };
    let form = [
        UpdateForm::Explicit,
        UpdateForm::Incremental,
        UpdateForm::ExplicitTimed,
        UpdateForm::IncrementalTimed,
    ][usize::from(form & 3)];
    let (definition, payload) = rest.split_at(usize::from(*length).min(rest.len()));
    let Ok(DefineOutcome::Usable(definition)) = Definition::decode(&mut Reader::new(definition, 0)) else {
        return;
    };
    let Some(key_type) = definition.key_type() else { return };
    let decode =
        |payload: &[u8]| Update::decode(form, &definition, key_type, &mut Reader::new(payload, OFFSET));
    let update = match decode(payload) {
        Ok(update) => update,
        Err(error) => return check_error(error, payload),
    };
    assert_eq!(update.header.form(), form);
    assert!(update.key.len() <= key_type.max_bytes());
    let elements: usize = update.values.iter().map(|(_, elements)| elements.len()).sum();
    assert!(elements + update.key.len() + update.trailing.len() <= payload.len());
    // Numbers over their width, long keys and strings in more room than they need have other forms, so what is written is
    // compared with what is written of that.
    let mut message = Vec::new();
    match update.encode(&definition, Padding::None, &mut message) {
        Ok(()) => {}
        // An entry that has expired, and what ends a receiver's string: read, and never written.
        Err(EncodeError::Lifetime(_)) => return assert_eq!(update.header.remaining_ms(), Some(0)),
        Err(EncodeError::DictionaryNul(_)) => return,
        Err(error) => panic!("{error}"),
    }
    let written = payload_of(|out| update.encode(&definition, Padding::None, out).unwrap());
    assert!(written.len() <= payload.len() + 5 * elements, "only negative numbers may become longer");
    assert_eq!(decode(&written).as_ref(), Ok(&update));
    let padded = payload_of(|out| update.encode(&definition, Padding::ForOldReceivers, out).unwrap());
    assert!(padded.starts_with(&written) && !(128..240).contains(&padded.len()));
    assert!(decode(&padded).is_ok_and(|padded| (padded.header, padded.key) == (update.header, update.key)));
}

/// Acknowledgements: read as HAProxy does, written as they were read.
pub fn ack(data: &[u8]) {
    let mut reader = Reader::new(data, OFFSET);
    match Ack::decode(&mut reader) {
        Err(error) => check_error(error, data),
        Ok(ack) => {
            let written = payload_of(|out| ack.encode_unchecked(out));
            assert_eq!(Ack::decode(&mut Reader::new(&written, OFFSET)), Ok(ack));
            if Reader::new(data, 0).varint("id").is_ok_and(|id| id <= u64::from(u32::MAX)) {
                assert_eq!(written, data[..data.len() - reader.remaining()]);
            }
        }
    }
    // The form of 1.6-dev: whatever passes for it is no definition that could be used.
    let mut message = vec![class::STICK_TABLE, kind::DEFINE, data.len().min(239) as u8];
    message.extend_from_slice(&data[..data.len().min(239)]);
    let Ok(Some((frame, _))) = decode_frame(&message, 0, 1_000) else { panic!("the message is whole") };
    if Ack::from_1_6_dev(&frame).is_some() {
        assert!(Definition::decode(&mut frame.reader()).is_err());
    }
}

/// Switches: as acknowledgements.
pub fn switch(data: &[u8]) {
    let mut reader = Reader::new(data, OFFSET);
    match Switch::decode(&mut reader) {
        Err(error) => check_error(error, data),
        Ok(switch) => {
            let written = payload_of(|out| switch.encode_unchecked(out));
            assert_eq!(Switch::decode(&mut Reader::new(&written, OFFSET)), Ok(switch));
            if Reader::new(data, 0).varint("id").is_ok_and(|id| id <= u64::from(u32::MAX)) {
                assert_eq!(written, data[..data.len() - reader.remaining()]);
            }
        }
    }
}

/// Control messages: each type, in a stream, with a payload where types have one.
pub fn control(data: &[u8]) {
    each_type(class::CONTROL, data, |message, kind| match (message, Control::from_kind(kind)) {
        (Message::Control(found), Some(control)) => {
            assert_eq!((found, control.kind()), (control, kind));
            let mut bytes = Vec::new();
            control.encode(&mut bytes);
            assert_eq!(bytes, [class::CONTROL, kind]);
        }
        (Message::Ignored { reason: IgnoredReason::Unknown, .. }, None) => {}
        (message, control) => panic!("{message:?} for {control:?}"),
    });
}

/// Error messages: as control messages.
pub fn error(data: &[u8]) {
    each_type(class::ERROR, data, |message, kind| match (message, ErrorMessage::from_kind(kind)) {
        (Message::Error(found), Some(error)) => {
            assert_eq!((found, error.kind()), (error, kind));
            let mut bytes = Vec::new();
            error.encode(&mut bytes);
            assert_eq!(bytes, [class::ERROR, kind]);
            assert!(!error.to_string().is_empty());
        }
        (Message::Ignored { reason: IgnoredReason::Unknown, .. }, None) => {}
        (message, error) => panic!("{message:?} for {error:?}"),
    });
}

/// Decodes a stream of one message for each byte, its type; every message is to end where the next begins.
fn each_type(class: u8, kinds: &[u8], check: impl Fn(Message<'_>, u8)) {
    let mut stream = Vec::new();
    for (place, &kind) in kinds.iter().enumerate() {
        stream.extend_from_slice(&[class, kind]);
        if kind >= 128 {
            // Up to five bytes that nobody looks at.
            let length = place % 6;
            stream.push(length as u8);
            stream.extend(kinds.iter().cycle().take(length));
        }
    }
    let mut decoder = Decoder::new();
    let mut at = 0;
    for &kind in kinds {
        let Ok(Some((message, size))) = decoder.decode(&stream[at..]) else { panic!("the message is whole") };
        check(message, kind);
        at += size;
        assert_eq!(decoder.offset(), at as u64);
    }
    assert_eq!(at, stream.len());
}
