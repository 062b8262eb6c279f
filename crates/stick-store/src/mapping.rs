//! From a table as it was stored to the table as it is configured now.

use std::ops::Range;
use std::sync::Arc;

use stick_table::{Batch, DataType, DefinitionError, Lifetime, Schema, Storage, Table, TableDefinition};

use crate::rows::{BodyReader, Shape, StoredEntry};

/// Oldest tick of a frequency counter that is told apart from a new one, in ms.
const OLDEST_TICK: u64 = 1 << 31;

/// How entries of one definition become those of a table.
pub(crate) struct Mapping {
    shape: Shape,
    copies: Vec<Copied>,
    /// Where a `server_key` was, and is.
    text: Option<[usize; 2]>,
    lives: Lives,
    /// Whether entries of the table end.
    ends: bool,
    /// What is not taken, in words.
    pub(crate) left_out: Vec<String>,
}

/// How entries live that were stored.
#[derive(Clone, Copy)]
enum Lives {
    /// For what was left.
    On,
    /// Without an end, and when they were touched counts.
    WithoutEnd,
    /// They had no end, and have one now: from now on.
    FromNow,
}

impl Lives {
    /// The lifetime of an entry that was stored with a life `passed` ms ago.
    fn lifetime(self, life: u32, passed: u64) -> Lifetime {
        match self {
            Self::On => Lifetime::Exactly(u64::from(life).saturating_sub(passed) as u32),
            Self::WithoutEnd => {
                Lifetime::Touched(u32::try_from(u64::from(life) + passed).unwrap_or(u32::MAX))
            }
            Self::FromNow => Lifetime::Restart,
        }
    }
}

/// Data words that are copied.
struct Copied {
    from: usize,
    to: usize,
    words: usize,
    is_rate: bool,
}

/// What became of the entries of a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) entries: u64,
    /// Their life had ended by now.
    pub(crate) expired: u64,
    /// The table was full, or they were over.
    pub(crate) refused: u64,
}

/// Why no entry of a table can be taken.
#[derive(Debug)]
pub(crate) enum Mismatch {
    /// Its keys are others.
    Keys(String),
    /// Its definition is not possible.
    Definition(DefinitionError),
}

impl Mapping {
    /// Columns are matched by data type and element. New ones begin with 0; those that are gone, and rates of another period, are
    /// left out.
    pub(crate) fn new(stored: &TableDefinition, table: &Table) -> Result<Self, Mismatch> {
        let now = table.definition();
        if stored.key_type != now.key_type {
            let keys = |definition: &TableDefinition| match definition.key_type.is_fixed() {
                true if definition.key_type.word() != "binary" => definition.key_type.word().to_owned(),
                _ => format!("{} of {} bytes", definition.key_type.word(), definition.key_type.max_bytes()),
            };
            return Err(Mismatch::Keys(format!("its keys were {}, and are {} now", keys(stored), keys(now))));
        }
        let mut named = stored.clone();
        named.name.clone_from(&now.name);
        let schema = Schema::new(named, 0).map_err(Mismatch::Definition)?;
        let mut copies = Vec::new();
        let mut left_out = Vec::new();
        for (column, from) in schema.layout().columns() {
            let data_type = column.data_type();
            let Some(other) = now.column(data_type) else {
                left_out.push(format!("{} is not stored any more", data_type.name()));
                continue;
            };
            let storage = data_type.storage();
            if storage == Storage::Frequency && column.period() != other.period() {
                let (was, is) = (column.period(), other.period());
                left_out.push(format!("the period of {} was {was} ms, and is {is} ms now", data_type.name()));
                continue;
            }
            let Some(to) = table.layout().offset(data_type, 0).filter(|_| storage != Storage::Dictionary)
            else {
                continue;
            };
            let words = storage.words();
            for element in 0..column.count().min(other.count()) as usize {
                let [from, to] = [from + element * words, to + element * words];
                copies.push(Copied { from, to, words, is_rate: storage == Storage::Frequency });
            }
        }
        copies.sort_unstable_by_key(|copied| copied.to);
        let text = schema.layout().offset(DataType::ServerKey, 0);
        let text = text.zip(table.layout().offset(DataType::ServerKey, 0)).map(|(from, to)| [from, to]);
        let shape = Shape::of(schema.definition(), schema.layout());
        let lives = match (stored.expire, now.expire) {
            (Some(_), _) => Lives::On,
            (None, None) => Lives::WithoutEnd,
            (None, Some(_)) => Lives::FromNow,
        };
        Ok(Self { shape, copies, text, lives, ends: now.expire.is_some(), left_out })
    }

    /// The data words that are written, for [`Batch::set_columns`].
    pub(crate) fn columns(&self) -> impl Iterator<Item = Range<usize>> {
        let copies = self.copies.iter().map(|copied| copied.to..copied.to + copied.words);
        copies.chain(self.text.map(|[_, to]| to..to + 1))
    }

    /// How entries were stored.
    pub(crate) fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The lifetime of what was stored with a life `passed` ms ago.
    pub(crate) fn lifetime(&self, life: u32, passed: u64) -> Lifetime {
        self.lives.lifetime(life, passed)
    }

    /// The place of the `server_key` among the strings of a block.
    pub(crate) fn string_of(&self, entry: &StoredEntry<'_>) -> Option<usize> {
        let [from, _] = self.text?;
        (entry.word(from) as usize).checked_sub(1)
    }

    /// Where runs of stored words are in the table.
    pub(crate) fn runs(&self, stored: &[Range<usize>]) -> Vec<Range<usize>> {
        let text = self.text.map(|[from, to]| (from, to, 1));
        let copies = self.copies.iter().map(|copied| (copied.from, copied.to, copied.words)).chain(text);
        let is_in = |from: usize| stored.iter().any(|run| run.contains(&from));
        let mut runs: Vec<_> =
            copies.filter(|&(from, ..)| is_in(from)).map(|(_, to, words)| to..to + words).collect();
        runs.sort_unstable_by_key(|run| run.start);
        runs
    }

    /// Adds the entries of a block to a batch, which calls `apply` when it is full. `passed` ms passed since they were stored; `now` is
    /// the table's clock. `None` when the body is not what its head says.
    pub(crate) fn take(
        &self,
        body: &[u8],
        rows: u32,
        passed: u64,
        now: u32,
        batch: &mut Batch,
        mut apply: impl FnMut(&mut Batch),
    ) -> Option<Taken> {
        let strings = BodyReader(body).strings(&self.shape, rows)?;
        let mut reader = BodyReader(body);
        let mut taken = Taken::default();
        for _ in 0..rows {
            let entry = reader.entry(&self.shape)?;
            let lifetime = self.lives.lifetime(entry.life, passed);
            let has_ended = lifetime == Lifetime::Exactly(0);
            taken.expired += u64::from(has_ended);
            // One that has ended is applied where it ends what was stored of its key before, which may have lived for longer.
            if has_ended && !self.ends {
                continue;
            }
            let Ok(words) = batch.push(entry.key, lifetime) else {
                taken.refused += u64::from(!has_ended);
                continue;
            };
            taken.entries += u64::from(!has_ended);
            self.write(&entry, passed, now, words);
            if let Some([from, _]) = self.text {
                let string = (entry.word(from) as usize).checked_sub(1).and_then(|place| strings.get(place));
                string.into_iter().for_each(|string: &Arc<str>| batch.set_string(string));
            }
            if batch.is_full() {
                apply(batch);
            }
        }
        Some(taken)
    }

    /// Writes the data words of an entry, without the `server_key`.
    pub(crate) fn write(&self, entry: &StoredEntry<'_>, passed: u64, now: u32, words: &mut [u32]) {
        for &Copied { from, to, words: count, is_rate } in &self.copies {
            for place in 0..count {
                words[to + place] = entry.word(from + place);
            }
            if is_rate && words[to..to + count] != [0, 0, 0] {
                let age = u64::from(words[to]) + passed;
                if age < OLDEST_TICK {
                    words[to] = now.wrapping_sub(age as u32);
                } else {
                    words[to..to + count].fill(0);
                }
            }
        }
    }
}
