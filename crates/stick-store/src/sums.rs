//! What the nodes of a hub told: the contributions of each key, in blocks of their own.
//!
//! ```text
//! key, as an entry has it | count 2 | contribution | contribution … | next key …
//! … | number of tellers 2 | teller | teller … | strings, as behind entries
//! contribution = teller 2 (bit 15: of a former process) | life 4 | data words 4 each
//! teller       = name: its length 2 and the bytes | number of runs 2 | first word 2 and the word behind the last 2, of each
//! ```
//!
//! All contributions to a key stand together, and replace those that were read before. Bit 15 of the count says that they are more
//! of what the block before had. A teller is a node with the data words that it told; no runs stand for all words.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use stick_aggregate::{Aggregate, Kept};
use stick_table::{Batch, Lifetime, Origin, Table, TableDefinition};

use crate::Clocks;
use crate::block::Blocks;
use crate::mapping::{Mapping, Mismatch, Taken};
use crate::rows::{BodyReader, Shape};

/// Says that contributions are more of the key's, or that a process before the newest one told one.
pub(crate) const FLAG: u16 = 1 << 15;

/// The nodes of a hub, by name: their numbers are others in each process.
pub trait NodeNames: Send + Sync {
    /// The nodes of this moment with their names. Called without a lock of a table or an aggregate.
    fn names(&self) -> Vec<(Origin, String)>;

    /// The node of a name that was stored, to count until it comes back or for as long as any node that is away; `None` when
    /// it is no node of the hub any more.
    fn returns(&self, name: &str) -> Option<Origin>;
}

/// The sums of a source, whose contributions are kept.
#[derive(Clone)]
pub struct Sums {
    /// The contributions.
    pub aggregate: Arc<Aggregate>,
    /// An empty table of the source's definition.
    pub source: Arc<Table>,
    /// Its nodes.
    pub nodes: Arc<dyn NodeNames>,
}

impl Sums {
    /// How contributions stand in a block.
    pub(crate) fn shape(&self) -> Shape {
        Shape::of(self.aggregate.source(), self.aggregate.layout())
    }

    /// Appends what is kept of some keys.
    pub(crate) fn write(
        &self,
        number: u32,
        shape: &Shape,
        keys: &[Vec<u8>],
        blocks: &mut Blocks,
        clocks: &Clocks,
    ) {
        if keys.is_empty() {
            return;
        }
        let mut names: HashMap<Origin, String> = self.nodes.names().into_iter().collect();
        let mut parts: Vec<(Origin, Part)> = Vec::new();
        for key in keys {
            parts.clear();
            // A key of the output that the source cannot have was told by nobody.
            let _ = self.aggregate.kept(key, clocks.now, |kept| parts.push((kept.node, Part::of(&kept))));
            if parts.iter().any(|(node, _)| !names.contains_key(node)) {
                names = self.nodes.names().into_iter().collect();
            }
            // A node without a name is gone.
            let known = parts.iter().filter_map(|(node, part)| Some((names.get(node)?.as_str(), part)));
            blocks.contributions(number, shape, key, known);
        }
    }
}

/// A contribution on its way to a block.
pub(crate) struct Part {
    pub(crate) is_former: bool,
    pub(crate) life: u32,
    pub(crate) columns: Vec<Range<usize>>,
    pub(crate) words: Vec<u32>,
    pub(crate) string: Option<Arc<str>>,
}

impl Part {
    fn of(kept: &Kept<'_>) -> Self {
        let (is_former, life) = (kept.is_former, kept.life);
        let (columns, words) = (kept.columns.to_vec(), kept.words.to_vec());
        Self { is_former, life, columns, words, string: kept.string.cloned() }
    }
}

/// A source while its contributions are loaded from a segment.
pub(crate) struct StoredSums {
    sums: Sums,
    pub(crate) mapping: Mapping,
    /// By name, as far as they were asked for.
    nodes: HashMap<String, Option<Origin>>,
    /// Translates runs of words.
    batch: Batch,
}

/// A teller of a block, as the source has it now.
struct Teller {
    node: Option<Origin>,
    columns: Vec<Range<usize>>,
}

impl StoredSums {
    pub(crate) fn new(stored: &TableDefinition, sums: Sums) -> Result<Self, Mismatch> {
        let mapping = Mapping::new(stored, &sums.source)?;
        let batch = sums.aggregate.batch();
        Ok(Self { sums, mapping, nodes: HashMap::new(), batch })
    }

    /// The names of nodes that are none any more.
    pub(crate) fn gone(&self) -> impl Iterator<Item = &str> {
        self.nodes.iter().filter(|(_, node)| node.is_none()).map(|(name, _)| name.as_str())
    }

    /// Puts the contributions of a block back; `None` when the body is not what its head says.
    pub(crate) fn take(&mut self, body: &[u8], keys: u32, passed: u64, clocks: &Clocks) -> Option<Taken> {
        let (tellers, strings) = self.behind(body, keys)?;
        let shape = self.mapping.shape();
        let mut reader = BodyReader(body);
        let mut taken = Taken::default();
        let mut words = Vec::new();
        let mut parts: Vec<(usize, bool, u32, Option<usize>)> = Vec::new();
        for _ in 0..keys {
            let (key, count) = (reader.key_of(shape)?, reader.number()?);
            words.clear();
            parts.clear();
            for _ in 0..count & !FLAG {
                let teller = reader.number()?;
                let stored = reader.words(shape, key)?;
                let life = match self.mapping.lifetime(stored.life, passed) {
                    Lifetime::Exactly(life) | Lifetime::Touched(life) => life,
                    _ => self.sums.aggregate.source().expire.unwrap_or(0),
                };
                let start = words.len();
                words.resize(start + self.sums.aggregate.layout().data_words(), 0);
                self.mapping.write(&stored, passed, clocks.now as u32, &mut words[start..]);
                let string = self.mapping.string_of(&stored);
                parts.push((usize::from(teller & !FLAG), teller & FLAG != 0, life, string));
            }
            let width = self.sums.aggregate.layout().data_words();
            let mut kept = Vec::with_capacity(parts.len());
            for (place, &(teller, is_former, life, string)) in parts.iter().enumerate() {
                let teller = tellers.get(teller)?;
                let Some(node) = teller.node else {
                    taken.refused += 1;
                    continue;
                };
                let string = string.and_then(|string| strings.get(string));
                let words = &words[place * width..(place + 1) * width];
                kept.push(Kept { node, is_former, life, columns: &teller.columns, words, string });
            }
            match self.sums.aggregate.put_back(key, &kept, count & FLAG != 0, clocks.now) {
                Ok(done) => {
                    taken.entries += done.taken;
                    taken.expired += done.ended;
                    taken.refused += done.refused;
                }
                Err(_) => taken.refused += kept.len() as u64,
            }
        }
        Some(taken)
    }

    /// Reads the tellers and strings, which follow the `keys` keys of a body.
    fn behind(&mut self, body: &[u8], keys: u32) -> Option<(Vec<Teller>, Vec<Arc<str>>)> {
        let mut reader = BodyReader(body);
        {
            let shape = self.mapping.shape();
            for _ in 0..keys {
                let key = reader.key_of(shape)?;
                for _ in 0..reader.number()? & !FLAG {
                    reader.number()?;
                    reader.words(shape, key)?;
                }
            }
        }
        let count = reader.number()?;
        let mut tellers = Vec::new();
        for _ in 0..count {
            let name = std::str::from_utf8(reader.key()?).ok()?;
            let mut runs = Vec::new();
            for _ in 0..reader.number()? {
                runs.push(usize::from(reader.number()?)..usize::from(reader.number()?));
            }
            let columns = self.mapping.runs(&runs);
            self.batch.set_columns(columns).ok()?;
            let known = self.nodes.get(name).copied();
            let node = known.unwrap_or_else(|| {
                let node = self.sums.nodes.returns(name);
                self.nodes.insert(name.to_owned(), node);
                node
            });
            tellers.push(Teller { node, columns: self.batch.columns().collect() });
        }
        Some((tellers, reader.rest_of_strings()?))
    }
}
