//! Where each word of a row is.

use crate::{Column, DataType, TableDefinition};

/// Keys of up to this many bytes stand in the row; longer key types put a handle there.
const INLINE_KEY_BYTES: usize = 4 * INLINE_KEY_WORDS;
/// Most words of a key that stands in its row.
pub(crate) const INLINE_KEY_WORDS: usize = 16;

/// Bytes for an entry beside its row: its deadline, its place in the index and in the change log, and what blocks that are
/// not full leave unused.
const BESIDE_ROW: usize = 32;

/// Words of a row's [stamp](crate::row::stamp::Stamp).
pub(crate) const STAMP_WORDS: usize = 2;

/// The fixed layout of a table's rows, in 32-bit words: when the row changed, the key, then the elements of each stored
/// data type in the order of the types' numbers. All that an update needs to look at stands together.
///
/// ```text
/// | stamp (2) | key, zero padded, or the handle of a long key | server_id | gpc0 | tick current previous | … |
/// ```
#[derive(Clone, Debug)]
pub struct Layout {
    /// Most bytes of a key, whether all keys have that many, and whether they stand in the row.
    key_bytes: usize,
    key_is_fixed: bool,
    key_is_inline: bool,
    key_words: usize,
    data_words: usize,
    columns: Vec<(Column, usize)>,
}

impl Layout {
    pub(crate) fn new(definition: &TableDefinition) -> Self {
        let key_bytes = definition.key_type.max_bytes();
        let key_is_inline = key_bytes <= INLINE_KEY_BYTES;
        let key_words = if key_is_inline { key_bytes.div_ceil(4).max(1) } else { 1 };
        let key_is_fixed = definition.key_type.is_fixed();
        let mut data_words = 0;
        let columns = definition
            .columns()
            .iter()
            .map(|&column| {
                let offset = data_words;
                data_words += column.words();
                (column, offset)
            })
            .collect();
        Self { key_bytes, key_is_fixed, key_is_inline, key_words, data_words, columns }
    }

    /// The stored data types with the offset of their first element in the data words of a row.
    pub fn columns(&self) -> &[(Column, usize)] {
        &self.columns
    }

    /// Offset of an element in the data words of a row, `None` when the table does not store it.
    pub fn offset(&self, data_type: DataType, element: u32) -> Option<usize> {
        let &(column, offset) = self.columns.iter().find(|(column, _)| column.data_type() == data_type)?;
        (element < column.count()).then(|| offset + element as usize * data_type.storage().words())
    }

    /// Number of data words of a row.
    pub fn data_words(&self) -> usize {
        self.data_words
    }

    /// The offset of `server_key` in the data words, the only one that refers to a dictionary.
    pub(crate) fn dictionary_offset(&self) -> Option<usize> {
        self.offset(DataType::ServerKey, 0)
    }

    #[inline]
    pub(crate) fn key_words(&self) -> usize {
        self.key_words
    }

    /// Where the data words of a row begin.
    #[inline]
    pub(crate) fn data_start(&self) -> usize {
        STAMP_WORDS + self.key_words
    }

    pub(crate) fn stride(&self) -> usize {
        self.data_start() + self.data_words
    }

    /// Bytes of an entry, at most about: its row, what else stands for it, and a key outside of the row.
    pub(crate) fn entry_bytes(&self) -> usize {
        let long_key = if self.key_is_inline { 0 } else { self.key_bytes + size_of::<Box<[u8]>>() };
        4 * self.stride() + BESIDE_ROW + long_key
    }

    /// The key words of a row.
    #[inline]
    pub(crate) fn key_of<'a>(&self, row: &'a [u32]) -> &'a [u32] {
        &row[STAMP_WORDS..self.data_start()]
    }

    #[inline]
    pub(crate) fn key_is_inline(&self) -> bool {
        self.key_is_inline
    }

    /// Writes a canonical key into the key words of a row that keeps it inside. No longer than the key type allows.
    #[inline]
    pub(crate) fn pad_key(&self, words: &mut [u32], key: &[u8]) {
        if let ([word], &[a, b, c, d]) = (&mut *words, key) {
            *word = u32::from_ne_bytes([a, b, c, d]);
            return;
        }
        let bytes = bytemuck::cast_slice_mut::<u32, u8>(words);
        bytes[..key.len()].copy_from_slice(key);
        bytes[key.len()..].fill(0);
    }

    /// The canonical key in the key words of a row that keeps it inside. A string has no NUL, so it ends where the padding
    /// begins.
    #[inline]
    pub(crate) fn padded_key<'a>(&self, words: &'a [u32]) -> &'a [u8] {
        let bytes = &bytemuck::cast_slice::<u32, u8>(words)[..self.key_bytes];
        if self.key_is_fixed {
            return bytes;
        }
        let padding = bytes.iter().rev().take_while(|&&byte| byte == 0).count();
        &bytes[..bytes.len() - padding]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KeyType;

    #[test]
    fn elements_stand_one_after_the_other() {
        let definition = ["bytes_in_cnt", "server_id", "gpt(3)", "gpc_rate(2,1s)"]
            .into_iter()
            .fold(TableDefinition::new("t", KeyType::Ipv6, 1), |definition, column| {
                definition.with_column(column.parse().unwrap()).unwrap()
            });
        let layout = Layout::new(&definition);
        assert_eq!(layout.stride(), 2 + 4 + 1 + 2 + 3 + 6);
        assert_eq!(layout.offset(DataType::ServerId, 0), Some(0));
        assert_eq!(layout.offset(DataType::BytesInCnt, 0), Some(1));
        assert_eq!(layout.offset(DataType::Gpt, 2), Some(5));
        assert_eq!(layout.offset(DataType::Gpt, 3), None);
        assert_eq!(layout.offset(DataType::GpcRate, 1), Some(9));
        assert_eq!(layout.offset(DataType::Gpc0, 0), None);
    }

    #[test]
    fn inline_keys_come_back() {
        let layout = Layout::new(&TableDefinition::new("t", KeyType::String { max_len: 6 }, 1));
        let mut words = [u32::MAX; 2];
        for key in [&b""[..], b"a", b"abcd", b"abcdef"] {
            layout.pad_key(&mut words, key);
            assert_eq!(layout.padded_key(&words), key);
        }
        let binary = Layout::new(&TableDefinition::new("t", KeyType::Binary { len: 3 }, 1));
        let mut words = [u32::MAX];
        binary.pad_key(&mut words, &[1, 0, 0]);
        assert_eq!(binary.padded_key(&words), [1, 0, 0]);
        let integer = Layout::new(&TableDefinition::new("t", KeyType::Integer, 1));
        integer.pad_key(&mut words, &[1, 2, 3, 4]);
        assert_eq!(integer.padded_key(&words), [1, 2, 3, 4]);
    }
}
