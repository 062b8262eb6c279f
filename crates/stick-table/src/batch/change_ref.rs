//! A batch's changes as a reader sees them.

use std::ops::Range;
use std::sync::Arc;

use super::Batch;
use crate::Lifetime;

/// One change of a [`Batch`], see [`Batch::changes_of_stripe`].
#[derive(Clone, Copy)]
pub struct ChangeRef<'a> {
    batch: &'a Batch,
    index: usize,
}

impl<'a> ChangeRef<'a> {
    /// The key in canonical form (see [`KeyType`](crate::KeyType)).
    #[inline]
    pub fn key(&self) -> &'a [u8] {
        let batch = self.batch;
        if batch.key_words > 0 {
            let start = self.index * batch.stride;
            return batch.common.layout.padded_key(&batch.words[start..start + batch.key_words]);
        }
        batch.long_key(self.index)
    }

    /// The hash of the key.
    #[inline]
    pub fn hash(&self) -> u64 {
        self.batch.changes[self.index].hash
    }

    /// How long the entry lives on.
    #[inline]
    pub fn lifetime(&self) -> Lifetime {
        self.batch.changes[self.index].lifetime
    }

    /// The data words. Only those of [`Batch::columns`] mean something, and never that of `server_key`.
    #[inline]
    pub fn words(&self) -> &'a [u32] {
        let batch = self.batch;
        &batch.words[self.index * batch.stride + batch.key_words..(self.index + 1) * batch.stride]
    }

    /// The string of [`Batch::set_string`]; `None` when the change leaves `server_key` as it is.
    #[inline]
    pub fn string(&self) -> Option<&'a Arc<str>> {
        let word = self.words()[self.batch.dictionary_offset?];
        self.batch.strings.get(word as usize)
    }
}

impl Batch {
    /// The data words that the changes write, in runs; that of `server_key` as a run of its own.
    pub fn columns(&self) -> impl Iterator<Item = Range<usize>> {
        let string = self.dictionary_offset.map(|offset| offset..offset + 1);
        self.columns.iter().cloned().chain(string)
    }

    /// The changes of a stripe in their order, after [`order_by_stripe`](Self::order_by_stripe).
    pub fn changes_of_stripe(&self, stripe: usize) -> impl ExactSizeIterator<Item = ChangeRef<'_>> {
        let order = &self.order[self.of_stripe(stripe)];
        order.iter().map(|&index| ChangeRef { batch: self, index: index as usize })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{KeyType, Schema, TableDefinition};

    fn schema(key_type: KeyType) -> Schema {
        let definition = ["server_id", "server_key", "gpc0"]
            .into_iter()
            .fold(TableDefinition::new("t", key_type, 9), |definition, column| {
                definition.with_column(column.parse().unwrap()).unwrap()
            });
        Schema::new(definition, 1).unwrap()
    }

    #[test]
    fn changes_are_read_as_they_were_made() {
        for key_type in [KeyType::String { max_len: 5 }, KeyType::String { max_len: 500 }] {
            let schema = schema(key_type);
            let mut batch = schema.batch();
            batch.set_columns([0..1, 1..2, 2..3]).unwrap();
            assert_eq!(batch.columns().collect::<Vec<_>>(), [0..2, 2..3]);
            let string: Arc<str> = "srv".into();
            for (number, key) in ["", "a", "abc", "abcde"].into_iter().enumerate() {
                let words = batch.push(key.as_bytes(), Lifetime::Exactly(number as u32)).unwrap();
                (words[0], words[1]) = (number as u32, 7);
                if number == 2 {
                    batch.set_string(&string);
                }
            }
            batch.push(b"gone", Lifetime::Restart).unwrap();
            batch.pop();
            assert!(schema.is_of(&batch) && !schema.clone().batch().columns().any(|_| true));
            batch.order_by_stripe(2, |hash| (hash & 1) as usize);
            let mut seen = Vec::new();
            for stripe in 0..2 {
                for change in batch.changes_of_stripe(stripe) {
                    assert_eq!(schema.hash(change.key()), Ok(change.hash()));
                    assert_eq!((change.hash() & 1) as usize, stripe);
                    assert_eq!(change.lifetime(), Lifetime::Exactly(change.words()[0]));
                    assert_eq!(change.string(), (change.words()[0] == 2).then_some(&string));
                    seen.push((change.words()[0], change.key().to_vec(), change.words()[1]));
                }
            }
            seen.sort();
            let expected = [(0, ""), (1, "a"), (2, "abc"), (3, "abcde")];
            assert_eq!(seen, expected.map(|(number, key)| (number, key.as_bytes().to_vec(), 7)));
        }
    }

    #[test]
    fn a_key_that_is_too_long_has_no_hash() {
        assert_eq!(schema(KeyType::Ip).hash(&[1; 5]), KeyType::Ip.check(&[1; 5]).map(|()| 0));
        assert!(schema(KeyType::Ip).hash(&[1; 4]).is_ok());
    }
}
