//! Targets of what messages are made of: varints and frames.

use haproxy_peers::varint::{self, VarintError};
use haproxy_peers::{
    DecodeErrorKind, Frame, FrameWriter, MAX_VARINT, Padding, Reader, class, decode_frame, kind,
};

/// Varints: equal to a naive decoder, also when read within a buffer; one encoding for each value; what numbers are made
/// of is written and read back.
pub fn varint(data: &[u8]) {
    let expected = naive(data);
    let decoded = varint::decode(data);
    assert_eq!(decoded, expected);
    if let Ok((value, len)) = decoded {
        let mut bytes = Vec::new();
        varint::encode(value, &mut bytes);
        assert_eq!((&bytes[..], varint::encoded_len(value)), (&data[..len], len));
        for cut in 0..len {
            assert_eq!(varint::decode(&data[..cut]), Err(VarintError::Truncated));
        }
    }
    // A reader takes eight bytes at once where they are, and must not use those beyond the payload.
    for length in 0..=data.len().min(16) {
        let mut message = vec![class::STICK_TABLE, kind::ACK, length as u8];
        message.extend_from_slice(data);
        let Ok(Some((frame, _))) = decode_frame(&message, 0, 100) else { panic!("the message is whole") };
        let mut reader = frame.reader();
        match (naive(&data[..length]), reader.varint("number")) {
            (Ok((value, len)), found) => {
                assert_eq!(found, Ok(value));
                assert_eq!(reader.remaining(), length - len);
            }
            (Err(expected), Err(error)) => {
                let field = "number";
                let expected = match expected {
                    VarintError::Truncated => DecodeErrorKind::Truncated { field },
                    VarintError::TooLong => DecodeErrorKind::VarintTooLong { field },
                    VarintError::Overflow => DecodeErrorKind::VarintOverflow { field },
                };
                assert_eq!((error.kind, error.offset, reader.remaining()), (expected, 3, length));
            }
            (Err(error), Ok(value)) => panic!("{value} was read where a varint is wrong: {error}"),
        }
    }
    for number in data.chunks_exact(8) {
        let value = number.iter().fold(0, |value, &byte| value << 8 | u64::from(byte));
        let mut bytes = Vec::new();
        varint::encode(value, &mut bytes);
        assert_eq!(varint::decode(&bytes), Ok((value, bytes.len())));
        assert_eq!(varint::encoded_len(value), bytes.len());
        assert_eq!(Reader::new(&bytes, 0).varint_u32("number"), Ok(value as u32));
    }
}

/// As the protocol's description says it, in numbers that cannot overflow.
fn naive(bytes: &[u8]) -> Result<(u64, usize), VarintError> {
    let mut value = 0u128;
    for (place, &byte) in bytes.iter().take(MAX_VARINT).enumerate() {
        value += u128::from(byte) << (if place == 0 { 0 } else { 7 * place - 3 });
        let last = if place == 0 { byte < 240 } else { byte < 128 };
        if last {
            return u64::try_from(value).map(|value| (value, place + 1)).map_err(|_| VarintError::Overflow);
        }
    }
    Err(if bytes.len() < MAX_VARINT { VarintError::Truncated } else { VarintError::TooLong })
}

/// Frames: a message is complete with its last byte and not before, is the same whatever follows it, and is written as it
/// was read; one that is too large is refused as soon as its length is there.
pub fn frame(data: &[u8]) {
    for limit in [0, 100, 16_384] {
        let mut at = 0;
        loop {
            let rest = &data[at..];
            match decode_frame(rest, at as u64, limit) {
                Ok(Some((frame, size))) => {
                    check_frame(&frame, &rest[..size], at, limit);
                    at += size;
                }
                Ok(None) => {
                    assert!(rest.len() < limit + 7, "more than a message is kept");
                    break;
                }
                Err(error) => {
                    assert!(error.offset == at as u64 || error.offset == at as u64 + 2);
                    assert!(!error.to_string().is_empty());
                    let first = (0..=rest.len())
                        .find(|&end| decode_frame(&rest[..end], at as u64, limit) != Ok(None));
                    let needed = first.map(|end| (end, decode_frame(&rest[..end], at as u64, limit)));
                    assert!(matches!(needed, Some((1..=7, Err(found))) if found == error), "{needed:?}");
                    break;
                }
            }
        }
    }
}

fn check_frame(frame: &Frame<'_>, message: &[u8], at: usize, limit: usize) {
    let (size, payload) = (message.len(), frame.payload());
    assert!(payload.len() <= limit && frame.size() == size && frame.offset == at as u64);
    assert_eq!(frame.reader().rest(), payload);
    if size < 300 {
        for end in 0..size {
            assert_eq!(decode_frame(&message[..end], at as u64, limit), Ok(None));
        }
    }
    let alone = decode_frame(message, at as u64, limit);
    assert!(matches!(&alone, Ok(Some((same, length))) if same == frame && *length == size));
    if frame.kind < 128 {
        assert_eq!((message, payload), (&[frame.class, frame.kind][..], &[][..]));
        return;
    }
    assert_eq!(frame.payload_offset(), (at + size - payload.len()) as u64);
    let mut written = vec![7; 3];
    for padding in [Padding::None, Padding::ForOldReceivers] {
        written.truncate(3);
        let mut writer = FrameWriter::begin(&mut written, frame.class, frame.kind);
        writer.payload().extend_from_slice(payload);
        assert_eq!(writer.finish(padding) + 3, written.len());
        match padding {
            Padding::None => assert_eq!(&written[3..], message),
            Padding::ForOldReceivers => {
                let Ok(Some((padded, _))) = decode_frame(&written[3..], 0, usize::MAX) else {
                    panic!("no message was written")
                };
                assert!(padded.payload().starts_with(payload));
                assert!(!(128..240).contains(&padded.payload().len()));
            }
        }
    }
}
