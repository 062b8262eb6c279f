//! Which data words the changes of a batch write.

use std::ops::Range;

use thiserror::Error;

use super::Batch;

/// Why [`Batch::set_columns`] or [`Batch::fill_gaps`] sets nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ColumnsError {
    #[error("the table's rows have {words} data words: {start}..{end} is no range of them")]
    Range { start: usize, end: usize, words: usize },
    #[error("the batch has {0} changes, which write the columns of before: apply them first")]
    HasChanges(usize),
}

impl Batch {
    /// Sets which data words the following changes write, as ranges of offsets by the table's
    /// [`Layout`](crate::Layout). The batch must be empty.
    ///
    /// # Errors
    /// When a range is none of the layout's, or the batch has changes: these have the columns of before. Nothing is set then.
    pub fn set_columns(
        &mut self,
        columns: impl IntoIterator<Item = Range<usize>>,
    ) -> Result<(), ColumnsError> {
        if !self.is_empty() {
            return Err(ColumnsError::HasChanges(self.len()));
        }
        let columns = self.checked(columns)?;
        self.set_known_columns(columns);
        Ok(())
    }

    /// As [`set_columns`](Self::set_columns), without a look at ranges that are known to be of the table's layout.
    pub fn set_known_columns(&mut self, columns: impl IntoIterator<Item = Range<usize>>) {
        debug_assert!(self.is_empty(), "changes of a batch write the same columns");
        self.columns.clear();
        self.dictionary_offset = None;
        let dictionary = self.common.layout.dictionary_offset();
        for range in columns {
            let data_words = self.stride - self.key_words;
            let range = range.start.min(data_words)..range.end.min(data_words);
            let Some(text) = dictionary.filter(|text| range.contains(text)) else {
                self.add_column(range);
                continue;
            };
            self.dictionary_offset = dictionary;
            self.add_column(range.start..text);
            self.add_column(text + 1..range.end);
        }
        self.writes_all = self.columns.first() == Some(&(0..self.stride - self.key_words));
    }

    /// Adds a run of words to copy, to the last one where it goes on.
    fn add_column(&mut self, range: Range<usize>) {
        match self.columns.last_mut() {
            _ if range.is_empty() => {}
            Some(last) if last.end == range.start => last.end = range.end,
            _ => self.columns.push(range),
        }
    }

    /// Lets changes that are outdated by [`Precedence`](crate::Precedence) write these runs of data words all the same, where an
    /// entry holds nothing in them: what was told of it before told nothing of them. Not of a `server_key`, whose string is kept
    /// apart.
    ///
    /// # Errors
    /// When a range is none of the layout's; nothing is set then.
    pub fn fill_gaps(&mut self, gaps: impl IntoIterator<Item = Range<usize>>) -> Result<(), ColumnsError> {
        let mut gaps = self.checked(gaps)?;
        if let Some(text) = self.common.layout.dictionary_offset() {
            gaps.retain(|gap| !gap.contains(&text));
        }
        self.gaps = gaps;
        Ok(())
    }

    /// Ranges, if all of them are of the rows' data words.
    fn checked(
        &self,
        ranges: impl IntoIterator<Item = Range<usize>>,
    ) -> Result<Vec<Range<usize>>, ColumnsError> {
        let words = self.stride - self.key_words;
        let check = |range: Range<usize>| match range.start < range.end && range.end <= words {
            true => Ok(range),
            false => Err(ColumnsError::Range { start: range.start, end: range.end, words }),
        };
        ranges.into_iter().map(check).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DataType, KeyType, Lifetime, Origin, Precedence, Table, TableDefinition, Value};

    const KEY: [u8; 4] = [10, 0, 0, 1];

    /// Words: `server_id`, `gpc0`, `server_key`.
    fn table() -> Table {
        let definition = TableDefinition::new("t", KeyType::Ip, 10);
        let columns = ["server_id", "gpc0", "server_key"];
        let definition = columns
            .into_iter()
            .fold(definition, |definition, column| definition.with_column(column.parse().unwrap()).unwrap());
        Table::new(definition, 1).unwrap()
    }

    #[test]
    fn ranges_that_are_none_of_the_rows_are_refused() {
        let table = table();
        let words = table.layout().data_words();
        let mut batch = Batch::new(&table);
        batch.set_columns(std::iter::once(0..1)).unwrap();
        #[expect(clippy::reversed_empty_ranges, reason = "what a caller may do")]
        for wrong in [words..words + 1, 0..words + 1, 1..1, 2..1, usize::MAX - 1..usize::MAX] {
            let error = ColumnsError::Range { start: wrong.start, end: wrong.end, words };
            assert_eq!(batch.set_columns([0..1, wrong.clone()]), Err(error));
            assert_eq!(batch.fill_gaps(std::iter::once(wrong)), Err(error));
        }
        assert_eq!(batch.columns().next(), Some(0..1), "an error leaves what was set");
        batch.push(&KEY, Lifetime::Restart).unwrap();
        assert_eq!(batch.set_columns(std::iter::once(0..words)), Err(ColumnsError::HasChanges(1)));
        batch.pop();
        assert_eq!(batch.set_columns(std::iter::once(0..words)), Ok(()));
    }

    /// A lesson that comes late tells a data type that a reload added: it is taken where the entry holds nothing, though what
    /// the entry holds is newer.
    #[test]
    fn gaps_of_an_entry_are_filled_and_nothing_else() {
        for with_key in [false, true] {
            let columns = ["server_id", "gpc0", "server_key"];
            let columns = &columns[..if with_key { 3 } else { 2 }];
            let definition = TableDefinition::new("t", KeyType::Ip, 10);
            let definition = columns.iter().fold(definition, |definition, column| {
                definition.with_column(column.parse().unwrap()).unwrap()
            });
            let table = Table::new(definition, 1).unwrap();
            table
                .update(&KEY, Origin::LOCAL, Lifetime::Restart, 0, |entry| {
                    entry.set(DataType::Gpc0, 0, &Value::Unsigned(5))
                })
                .unwrap();
            let at = |data_type| table.layout().offset(data_type, 0).unwrap();
            let value = |data_type| table.get(&KEY, 0, |entry| entry.value(data_type, 0)).unwrap().flatten();
            let mut batch = Batch::new(&table);
            batch.set_columns(std::iter::once(0..2)).unwrap();
            for (gaps, expected) in [(None, 0), (Some(0..1), 3), (Some(0..1), 3)] {
                let is_first = value(DataType::ServerId) == Some(Value::Signed(0));
                batch.fill_gaps(gaps).unwrap();
                let words = batch.push(&KEY, Lifetime::Restart).unwrap();
                words[at(DataType::ServerId)] = if is_first { 3 } else { 4 };
                words[at(DataType::Gpc0)] = 9;
                table.apply(&mut batch, Origin::peer(1).unwrap(), Precedence::FillGaps, 0);
                assert_eq!(value(DataType::ServerId), Some(Value::Signed(expected)), "{with_key}");
                assert_eq!(value(DataType::Gpc0), Some(Value::Unsigned(5)), "{with_key}");
            }
        }
    }

    #[test]
    fn one_range_for_all_words_has_the_string_in_it() {
        let table = table();
        let mut batch = Batch::new(&table);
        batch.set_columns(std::iter::once(0..table.layout().data_words())).unwrap();
        let words = batch.push(&KEY, Lifetime::Restart).unwrap();
        let at = |data_type| table.layout().offset(data_type, 0).unwrap();
        words[at(DataType::ServerId)] = 3;
        words[at(DataType::Gpc0)] = 7;
        batch.set_string(&"srv1".into());
        table.apply(&mut batch, Origin::peer(1).unwrap(), Precedence::Newest, 0);
        // The same server stays where the next change says none.
        batch.push(&KEY, Lifetime::Restart).unwrap()[at(DataType::ServerId)] = 4;
        table.apply(&mut batch, Origin::peer(1).unwrap(), Precedence::Newest, 0);
        let value = |data_type| table.get(&KEY, 0, |entry| entry.value(data_type, 0)).unwrap().flatten();
        assert_eq!(value(DataType::ServerId), Some(Value::Signed(4)));
        assert_eq!(value(DataType::ServerKey), Some(Value::Dictionary(Some("srv1".into()))));
    }
}
