//! The target of dictionaries.

use std::collections::BTreeMap;
use std::sync::Arc;

use haproxy_peers::{DICTIONARY_SLOTS, DictionaryItem, Reader, ReceiveDictionary, SendDictionary};

/// Dictionary items one after the other: memory keeps to its bounds, items come back after they were written anew, and a
/// dictionary knows what was announced last under each id. Then words of the input as strings: whatever is sent arrives.
pub fn dictionary(data: &[u8]) {
    let Some((&size, items)) = data.split_first() else { return };
    receive(usize::from(size), items);
    send(items);
}

fn receive(buffer_size: usize, bytes: &[u8]) {
    let mut received = ReceiveDictionary::with_buffer_size(buffer_size);
    let max_string = received.max_string();
    let mut announced = BTreeMap::new();
    let mut reader = Reader::new(bytes, 0);
    while !reader.is_empty() {
        let (from, mut other) = (reader.offset(), reader.clone());
        let item = DictionaryItem::decode(&mut other, max_string);
        let found = received.decode(&mut reader);
        let item = match (item, found) {
            (Err(expected), Err(error)) => {
                assert_eq!(expected, error);
                assert!((from..=bytes.len() as u64).contains(&error.offset));
                return;
            }
            (Ok(item), Ok(text)) => {
                assert_eq!(reader.offset(), other.offset());
                let expected = match &item {
                    DictionaryItem::None => None,
                    DictionaryItem::Known(id) => announced.get(id).cloned(),
                    DictionaryItem::New(id, _) => {
                        let text = text.clone().expect("an announcement has a text");
                        announced.insert(*id, text);
                        announced.get(id).cloned()
                    }
                };
                assert_eq!(text, expected);
                item
            }
            (item, found) => panic!("{item:?}, but {found:?}"),
        };
        if let (DictionaryItem::New(_, raw), Some(text)) = (&item, announced.values().next()) {
            assert!(raw.len() <= max_string);
            // Each byte that is not text takes four.
            assert!(text.len() <= 4 * max_string);
        }
        let mut written = Vec::new();
        item.encode(&mut written);
        assert!(written.len() as u64 <= reader.offset() - from);
        assert_eq!(DictionaryItem::decode(&mut Reader::new(&written, 0), max_string), Ok(item.into_owned()));
    }
    assert!(received.strings().len() <= DICTIONARY_SLOTS);
}

fn send(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut sent = SendDictionary::new();
    let mut received = ReceiveDictionary::with_buffer_size(usize::MAX);
    for word in text.split('\u{fffd}') {
        let word: Arc<str> = word.into();
        let mut wire = Vec::new();
        sent.item(&word).encode(&mut wire);
        assert!(wire.len() <= SendDictionary::max_item_len(&word));
        let mut reader = Reader::new(&wire, 0);
        assert_eq!(received.decode(&mut reader), Ok(Some(word)));
        assert!(reader.is_empty());
    }
    assert!(sent.strings().len() <= DICTIONARY_SLOTS);
}
