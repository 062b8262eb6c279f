//! Strings of `server_key`, each sent once per session (peers-protocol §10).
//!
//! ```text
//! 00                          no value
//! 01 id                       a string announced before
//! n  id  varint length  bytes announcement, n bytes after n itself
//! ```

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use crate::{
    DEFAULT_MAX_PAYLOAD, DICTIONARY_SLOTS, DecodeError, DecodeErrorKind, EncodeError, Reader, varint,
};

/// One dictionary value as it stands on the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum DictionaryItem<'a> {
    /// No value: the receiver's own stays.
    #[default]
    None,
    /// A string announced earlier under this id, 1 to 128.
    Known(u8),
    /// A string announced now under this id, 1 to 128. Any bytes but NUL.
    New(u8, Cow<'a, [u8]>),
}

impl<'a> DictionaryItem<'a> {
    /// Reads one value, whose `length + 1` must fit a buffer of `max_string` + 2 bytes, i.e. `length <= max_string`.
    ///
    /// Bytes between the end of the string and the end of the announced `n` bytes are skipped.
    ///
    /// # Errors
    /// When a field is incomplete, the id is not 1 to 128, or the string is too long.
    pub fn decode(reader: &mut Reader<'a>, max_string: usize) -> Result<Self, DecodeError> {
        const FIELD: &str = "server_key";
        let size = reader.varint(FIELD)?;
        if size == 0 {
            return Ok(Self::None);
        }
        let at = reader.offset();
        let bytes = reader.bytes(usize::try_from(size).unwrap_or(usize::MAX), FIELD)?;
        let mut item = Reader::new(bytes, at);
        let id = item.varint("dictionary id")?;
        let slot = u8::try_from(id).ok().filter(|&id| id >= 1 && usize::from(id) <= DICTIONARY_SLOTS);
        let slot = slot.ok_or_else(|| DecodeError::new(at, DecodeErrorKind::DictionaryId { id }))?;
        if item.is_empty() {
            return Ok(Self::Known(slot));
        }
        let at = item.offset();
        let length = item.varint("dictionary string length")?;
        let Some(count) = usize::try_from(length).ok().filter(|&length| length <= max_string) else {
            return Err(DecodeError::new(at, DecodeErrorKind::StringTooLong { length, limit: max_string }));
        };
        Ok(Self::New(slot, Cow::Borrowed(item.bytes(count, "dictionary string")?)))
    }

    /// Whether a receiver reads the value: an id out of range makes it close the session, and a string ends at a NUL.
    pub(crate) fn check(&self) -> Result<(), EncodeError> {
        let (Self::Known(id) | Self::New(id, _)) = *self else { return Ok(()) };
        if id == 0 || usize::from(id) > DICTIONARY_SLOTS {
            return Err(EncodeError::DictionaryId(id));
        }
        match self {
            Self::New(_, text) => {
                let nul = memchr::memchr(0, text);
                nul.map_or(Ok(()), |at| Err(EncodeError::DictionaryNul(at)))
            }
            _ => Ok(()),
        }
    }

    /// Appends the value.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::None => out.push(0),
            Self::Known(id) => out.extend_from_slice(&[1, *id]),
            Self::New(id, text) => {
                let length = text.len() as u64;
                varint::encode(1 + varint::encoded_len(length) as u64 + length, out);
                out.push(*id);
                varint::encode(length, out);
                out.extend_from_slice(text);
            }
        }
    }

    /// The same value, independent of the payload.
    pub fn into_owned(self) -> DictionaryItem<'static> {
        match self {
            Self::None => DictionaryItem::None,
            Self::Known(id) => DictionaryItem::Known(id),
            Self::New(id, text) => DictionaryItem::New(id, Cow::Owned(text.into_owned())),
        }
    }
}

/// The strings sent in one session: 128 slots, filled in turn, the oldest overwritten (peers-protocol §10).
///
/// What [`item`](Self::item) returns must be sent, in this order: a message given up after it was made would leave
/// the receiver without the string. Look at the room in the buffer first.
#[derive(Clone, Debug, Default)]
pub struct SendDictionary {
    slots: Vec<Arc<str>>,
    ids: HashMap<Arc<str>, u8>,
    /// Slot of the next new string.
    next: usize,
}

impl SendDictionary {
    /// An empty dictionary; its first string gets id 1.
    pub fn new() -> Self {
        Self::default()
    }

    /// How `text` is to be sent: by its id when a slot holds it, else with the id of the slot it takes.
    pub fn item<'a>(&mut self, text: &'a Arc<str>) -> DictionaryItem<'a> {
        if let Some(&id) = self.ids.get(text) {
            return DictionaryItem::Known(id);
        }
        let slot = self.next;
        let id = slot as u8 + 1;
        self.next = (slot + 1) % DICTIONARY_SLOTS;
        match self.slots.get_mut(slot) {
            Some(oldest) => {
                self.ids.remove(oldest);
                *oldest = Arc::clone(text);
            }
            None => self.slots.push(Arc::clone(text)),
        }
        self.ids.insert(Arc::clone(text), id);
        DictionaryItem::New(id, Cow::Borrowed(text.as_bytes()))
    }

    /// The strings by slot, as far as slots were used.
    pub fn strings(&self) -> &[Arc<str>] {
        &self.slots
    }

    /// Most bytes that the item of `text` takes on the wire.
    pub fn max_item_len(text: &str) -> usize {
        let length = text.len() as u64;
        let announced = 1 + varint::encoded_len(length) as u64 + length;
        varint::encoded_len(announced) + announced as usize
    }

    /// Forgets everything, for a new connection.
    pub fn reset(&mut self) {
        *self = Self::new();
    }
}

/// The strings received in one session: 128 slots of at most [`max_string`](Self::max_string) bytes each on the wire.
///
/// Strings are kept as text. HAProxy's are server names or addresses, which are ASCII; a byte of another sender that is
/// not UTF-8 is kept as `\xNN`, so nothing is lost to the eye and different strings stay different.
#[derive(Clone, Debug)]
pub struct ReceiveDictionary {
    slots: Vec<Option<Arc<str>>>,
    max_string: usize,
    /// Longest string kept, in bytes.
    max_kept: usize,
    ignored: u64,
}

impl Default for ReceiveDictionary {
    fn default() -> Self {
        Self::new()
    }
}

impl ReceiveDictionary {
    /// An empty dictionary for a session with the default `tune.bufsize`.
    pub const fn new() -> Self {
        Self::with_buffer_size(DEFAULT_MAX_PAYLOAD)
    }

    /// An empty dictionary for a buffer of `tune.bufsize` bytes, which a string and its terminator must not fill.
    pub const fn with_buffer_size(size: usize) -> Self {
        Self { slots: Vec::new(), max_string: size.saturating_sub(2), max_kept: usize::MAX, ignored: 0 }
    }

    /// The same, without strings of more than `bytes` bytes: they are passed over, as if no value had been sent.
    #[must_use]
    pub const fn keeping(mut self, bytes: usize) -> Self {
        self.max_kept = bytes;
        self
    }

    /// Strings that were passed over for their length.
    pub const fn ignored(&self) -> u64 {
        self.ignored
    }

    /// The strings by slot; empty before the first one came.
    pub fn strings(&self) -> &[Option<Arc<str>>] {
        &self.slots
    }

    /// Bytes of the strings kept.
    pub fn memory(&self) -> usize {
        self.slots.iter().flatten().map(|text| text.len()).sum()
    }

    /// The same, of each string no more than it may be: a byte that is not text takes four.
    pub fn memory_within_bounds(&self) -> usize {
        let most = self.max_kept.min(self.max_string).saturating_mul(4);
        self.slots.iter().take(DICTIONARY_SLOTS).flatten().map(|text| text.len().min(most)).sum()
    }

    /// Longest string accepted, in bytes.
    pub const fn max_string(&self) -> usize {
        self.max_string
    }

    /// Reads a value and looks it up. `None` when the entry's value is to stay as it is: no value was sent, or an id
    /// never announced.
    ///
    /// # Errors
    /// As [`DictionaryItem::decode`].
    #[inline]
    pub fn decode(&mut self, reader: &mut Reader<'_>) -> Result<Option<Arc<str>>, DecodeError> {
        let item = DictionaryItem::decode(reader, self.max_string)?;
        Ok(self.resolve(&item))
    }

    /// Looks a value up, and keeps it when it is new. `None` as in [`decode`](Self::decode).
    pub fn resolve(&mut self, item: &DictionaryItem<'_>) -> Option<Arc<str>> {
        match item {
            DictionaryItem::None => None,
            DictionaryItem::Known(id) => self.slots.get(usize::from(*id).checked_sub(1)?)?.clone(),
            DictionaryItem::New(id, bytes) => {
                let slot = usize::from(*id).checked_sub(1).filter(|&slot| slot < DICTIONARY_SLOTS)?;
                if self.slots.is_empty() {
                    self.slots.resize(DICTIONARY_SLOTS, None);
                }
                // The id means this string from now on, also when it is not kept.
                self.slots[slot] = None;
                if bytes.len() > self.max_kept {
                    self.ignored += 1;
                    return None;
                }
                let text = readable(bytes);
                self.slots[slot] = Some(Arc::clone(&text));
                Some(text)
            }
        }
    }

    /// Forgets everything, for a new connection.
    pub fn reset(&mut self) {
        self.slots.clear();
    }
}

/// Bytes as text; each byte that is not part of UTF-8 is written as `\xNN`.
fn readable(bytes: &[u8]) -> Arc<str> {
    if let Ok(text) = str::from_utf8(bytes) {
        return text.into();
    }
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02X}"));
        }
    }
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(item: &DictionaryItem<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        item.encode(&mut out);
        out
    }

    fn decode(bytes: &[u8]) -> Result<DictionaryItem<'_>, DecodeError> {
        DictionaryItem::decode(&mut Reader::new(bytes, 0), 100)
    }

    /// peers-protocol §20.
    #[test]
    fn the_documented_forms() {
        for (item, bytes) in [
            (DictionaryItem::None, &[0][..]),
            (DictionaryItem::Known(1), &[1, 1]),
            (DictionaryItem::New(1, b"srv1"[..].into()), &[6, 1, 4, b's', b'r', b'v', b'1']),
            (DictionaryItem::New(128, b""[..].into()), &[2, 128, 0]),
        ] {
            assert_eq!(encoded(&item), bytes);
            assert_eq!(decode(bytes), Ok(item));
        }
    }

    #[test]
    fn ids_are_1_to_128_in_both_forms() {
        for (bytes, id) in [
            (&[1, 0][..], 0),
            (&[1, 129], 129),
            (&[3, 0, 1, b'a'], 0),
            (&[3, 129, 1, b'a'], 129),
            (&[3, 0xf0, 0x80, 0], 2288),
        ] {
            assert_eq!(
                decode(bytes),
                Err(DecodeError::new(1, DecodeErrorKind::DictionaryId { id })),
                "{bytes:?}"
            );
        }
        assert!(decode(&[1, 128]).is_ok());
    }

    #[test]
    fn sizes_that_do_not_fit_are_errors() {
        assert_eq!(decode(&[]), Err(DecodeError::truncated(0, "server_key")));
        assert_eq!(decode(&[1]), Err(DecodeError::truncated(1, "server_key")));
        assert_eq!(decode(&[6, 1, 4, b'a']), Err(DecodeError::truncated(1, "server_key")));
        assert_eq!(
            decode(&[3, 1, 4, b'a', b'b', b'c', b'd']),
            Err(DecodeError::truncated(3, "dictionary string"))
        );
        let mut long = vec![103, 1, 101];
        long.extend([b'a'; 101]);
        let kind = DecodeErrorKind::StringTooLong { length: 101, limit: 100 };
        assert_eq!(decode(&long), Err(DecodeError::new(2, kind)));
        // Bytes that the announced size covers and the string does not are passed over.
        let mut reader = Reader::new(&[5, 1, 1, b'a', 9, 9, 7], 0);
        assert_eq!(DictionaryItem::decode(&mut reader, 100), Ok(DictionaryItem::New(1, b"a"[..].into())));
        assert_eq!(reader.rest(), [7]);
    }

    #[test]
    fn slots_are_filled_in_turn_and_a_hit_does_not_refresh() {
        let texts: Vec<Arc<str>> = (0..130).map(|number| format!("s{number}").into()).collect();
        let mut dictionary = SendDictionary::new();
        for (index, text) in texts[..128].iter().enumerate() {
            assert_eq!(dictionary.item(text), DictionaryItem::New(index as u8 + 1, text.as_bytes().into()));
            assert_eq!(dictionary.item(&texts[0]), DictionaryItem::Known(1));
        }
        assert_eq!(dictionary.item(&texts[128]), DictionaryItem::New(1, texts[128].as_bytes().into()));
        assert_eq!(dictionary.item(&texts[0]), DictionaryItem::New(2, texts[0].as_bytes().into()));
        assert_eq!(dictionary.item(&texts[2]), DictionaryItem::Known(3));
        dictionary.reset();
        assert_eq!(dictionary.item(&texts[9]), DictionaryItem::New(1, texts[9].as_bytes().into()));
    }

    #[test]
    fn unknown_ids_and_no_value_leave_the_entry_as_it_is() {
        let mut dictionary = ReceiveDictionary::new();
        assert_eq!(dictionary.resolve(&DictionaryItem::None), None);
        assert_eq!(dictionary.resolve(&DictionaryItem::Known(7)), None);
        assert_eq!(dictionary.resolve(&DictionaryItem::New(7, b"a"[..].into())).as_deref(), Some("a"));
        assert_eq!(dictionary.resolve(&DictionaryItem::Known(7)).as_deref(), Some("a"));
        assert_eq!(dictionary.resolve(&DictionaryItem::Known(8)), None);
        dictionary.reset();
        assert_eq!(dictionary.resolve(&DictionaryItem::Known(7)), None);
        for id in [0, 129] {
            assert_eq!(dictionary.resolve(&DictionaryItem::Known(id)), None);
            assert_eq!(dictionary.resolve(&DictionaryItem::New(id, b"a"[..].into())), None);
        }
    }

    #[test]
    fn bytes_that_are_not_text_stay_readable_and_distinct() {
        assert_eq!(&*readable(b"srv\xff\xc3\xa9\xc3"), "srv\\xFF\u{e9}\\xC3");
        assert_ne!(readable(b"\xfe"), readable(b"\xff"));
    }

    /// A string and its terminator must not fill the buffer of 16,384 bytes.
    #[test]
    fn strings_are_as_long_as_the_default_buffer_allows() {
        let longest = ReceiveDictionary::default().max_string();
        assert_eq!(longest, 16_382);
        for (length, fits) in [(longest, true), (longest + 1, false)] {
            let bytes = encoded(&DictionaryItem::New(1, vec![b'a'; length].into()));
            let text = ReceiveDictionary::default().decode(&mut Reader::new(&bytes, 0));
            assert_eq!(text.is_ok(), fits, "{length} bytes");
        }
    }

    proptest! {
        #[test]
        fn a_receiver_follows_a_sender(numbers in prop::collection::vec(0u32..200, 0..600), reset_at in 0usize..600) {
            let mut sender = SendDictionary::new();
            let mut receiver = ReceiveDictionary::new();
            for (index, number) in numbers.into_iter().enumerate() {
                if index == reset_at {
                    sender.reset();
                    receiver.reset();
                }
                let text: Arc<str> = format!("server-{number}").into();
                let bytes = encoded(&sender.item(&text));
                prop_assert!(bytes.len() <= SendDictionary::max_item_len(&text));
                let mut reader = Reader::new(&bytes, 0);
                prop_assert_eq!(receiver.decode(&mut reader).unwrap(), Some(text));
                prop_assert!(reader.is_empty());
            }
        }

        #[test]
        fn items_come_back(id in 1u8..=128, text in prop::collection::vec(any::<u8>(), 0..400)) {
            let item = DictionaryItem::New(id, text.into());
            let bytes = encoded(&item);
            prop_assert_eq!(DictionaryItem::decode(&mut Reader::new(&bytes, 0), 400), Ok(item));
        }
    }
}
