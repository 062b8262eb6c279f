//! Tables of a hub that become what their nodes define by now.
//!
//! A source and its result are replaced as a pair, and take the ids of the former ones. What both store in the same way goes
//! over; the former pair is in service until all of it is there. Then each session binds the peer's definition to the new
//! table, sends its own definition again, and asks the peer for a lesson, as the new table has columns of which it was told
//! nothing. Until that lesson has ended the peer stands among those that are left out.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use stick_aggregate::CarryWalk;
use stick_table::defect::Defect;
use stick_table::{Lifetime, Millis, Origin, Table, TableDefinition, Value, Walk};

use super::{SharedTable, TablePart, TableSet, result_of};
use crate::{Definition, PeerLevel};

/// A table that is about to take the place of another one, with its result if it is a source.
pub(super) struct Replacing {
    pairs: Vec<[Arc<SharedTable>; 2]>,
    contributions: CarryWalk,
    /// How far in the entries of the first pair.
    rows: Option<Walk>,
}

impl TableSet {
    /// Lets the tables of a hub become what their nodes define by now, where no node that is connected, or counts still, defines
    /// any more what they are. Contributions and entries of up to `keys` keys go over in one call. To be called about every
    /// 100 ms; `true` when there is more to do at once. See [`take_news`](Self::take_news) for what follows.
    ///
    /// Tables whose definition is configured stay as they are. In the first seconds, as long as
    /// [results are held](Self::holds_results), so do all: nodes that define them may be about to come.
    pub fn follow_definitions(&self, now: Millis, keys: usize) -> bool {
        if !self.is_hub() || self.holds_results() || Defect::DefinitionsStay.is_on() {
            return false;
        }
        let mut all = self.replacing.lock();
        if all.is_empty() && self.forms.take_changed() {
            *all = self.all().iter().filter_map(|shared| self.replacing(shared)).collect();
        }
        while let Some(replacing) = all.last_mut() {
            if replacing.carry(keys, now) {
                return true;
            }
            if let Some(done) = all.pop() {
                self.put(&done);
            }
        }
        false
    }

    /// Begins to replace a table, if it has to become another one.
    fn replacing(&self, shared: &Arc<SharedTable>) -> Option<Replacing> {
        let name = shared.definition().network_name();
        let seed = self.seed.wrapping_add(self.version()).wrapping_add(shared.id.into());
        let share = |old: &SharedTable, (table, part): (Arc<Table>, TablePart)| {
            Arc::new(self.share(old.id, table, part))
        };
        match shared.part() {
            TablePart::Source(aggregate) => {
                if self.hub.as_ref()?.table(name.trim_start_matches('/')).is_some() {
                    return None;
                }
                let next = self.forms.next_of(name.as_bytes(), aggregate.source())?;
                let is_result = |other: &&Arc<SharedTable>| Arc::ptr_eq(other.table(), aggregate.output());
                let result = self.all().iter().find(is_result)?.clone();
                let result_name = result.definition().name.clone();
                let [output, source] =
                    self.sums_of(next.clone(), result_of(&next, result_name), seed).ok()?;
                let pairs = vec![
                    [Arc::clone(&result), share(&result, output)],
                    [Arc::clone(shared), share(shared, source)],
                ];
                if let Some(next) = pairs[1][1].aggregate() {
                    aggregate.replace_by(Arc::clone(next));
                }
                Some(Replacing::new(pairs))
            }
            TablePart::PassedOn => {
                let mut next = self.forms.next_of(name.as_bytes(), shared.definition())?;
                next.size = self.dynamic?.size;
                next.size = self.passed_on_size(&next);
                let table = Arc::new(Table::new(next, seed).ok()?);
                Some(Replacing::new(vec![[Arc::clone(shared), share(shared, (table, TablePart::PassedOn))]]))
            }
            _ => None,
        }
    }

    /// Puts tables in the places of others. Their nodes have to tell again what they have.
    fn put(&self, done: &Replacing) {
        {
            let mut list = self.tables.write();
            for [old, new] in &done.pairs {
                list[old.id as usize - 1] = Arc::clone(new);
            }
        }
        for [old, _] in done.pairs.iter().filter(|[old, _]| old.aggregate().is_some()) {
            let name = old.definition().network_name();
            for node in self.forms.definers(name.as_bytes()) {
                self.left_outs.table_replaced(node, name);
            }
        }
        self.version.fetch_add(1, Ordering::Relaxed);
        self.news.store(true, Ordering::Relaxed);
    }

    /// Puts a table for orders in the place of one that nobody uses any more.
    pub(super) fn reuse(
        &self,
        list: &mut [Arc<SharedTable>],
        idle: &SharedTable,
        table: Arc<Table>,
        part: TablePart,
    ) -> Arc<SharedTable> {
        let shared = Arc::new(self.share(idle.id, table, part));
        list[idle.id as usize - 1] = Arc::clone(&shared);
        self.version.fetch_add(1, Ordering::Relaxed);
        shared
    }

    /// Whether a table has its place still.
    pub(crate) fn is_current(&self, shared: &Arc<SharedTable>) -> bool {
        self.get(shared.id as usize - 1).is_some_and(|current| Arc::ptr_eq(&current, shared))
    }

    /// Notes how a peer defines a table.
    pub(crate) fn note_form(
        &self,
        peer: Origin,
        level: PeerLevel,
        shared: &SharedTable,
        definition: &Definition,
    ) {
        let counts = match shared.part() {
            TablePart::Source(_) => level.is_below(),
            TablePart::PassedOn => level == PeerLevel::Above,
            _ => false,
        };
        if counts {
            self.forms.note(peer, definition);
        }
    }

    /// A lesson of a peer ended, with all tables that it has.
    pub(crate) fn defined_all(&self, peer: Origin) {
        if self.is_hub() {
            self.forms.lesson_ended(peer);
        }
    }
}

impl Replacing {
    fn new(pairs: Vec<[Arc<SharedTable>; 2]>) -> Self {
        let first = pairs.first().map(|[old, new]| (old.definition(), new.definition()));
        let goes_over = first.is_some_and(|(old, new)| has_in_common(old, new));
        Self { pairs, contributions: CarryWalk::default(), rows: goes_over.then(Walk::default) }
    }

    /// Takes over what is kept of up to `keys` keys; `true` when there is more.
    fn carry(&mut self, keys: usize, now: Millis) -> bool {
        let sources = self.pairs.iter().filter_map(|[old, _]| old.aggregate());
        for source in sources {
            if source.carry_over(&mut self.contributions, keys, now) {
                return true;
            }
        }
        let (Some(rows), Some([old, new])) = (&mut self.rows, self.pairs.first()) else { return false };
        copy_rows(old.table(), new.table(), rows, keys, now)
    }
}

/// Whether two tables have keys of one type, and a column.
fn has_in_common(one: &TableDefinition, other: &TableDefinition) -> bool {
    one.key_type == other.key_type && one.columns().iter().any(|column| other.columns().contains(column))
}

/// Copies entries of keys that are not there, as far as both tables store the same; `true` when there are more. Of a result these
/// are those of which this process has no contribution.
pub(super) fn copy_rows(from: &Table, to: &Table, rows: &mut Walk, keys: usize, now: Millis) -> bool {
    let kept: Vec<_> = from.layout().columns().iter().map(|(column, _)| *column).collect();
    let kept: Vec<_> = kept.into_iter().filter(|column| to.definition().columns().contains(column)).collect();
    let mut entries: Vec<(Vec<u8>, Origin, Option<u32>, Vec<_>)> = Vec::new();
    let more = from.walk(rows, keys, now, |entry| {
        let values = kept
            .iter()
            .flat_map(|column| (0..column.count()).map(move |element| (column.data_type(), element)));
        let values = values
            .filter_map(|(data_type, element)| Some((data_type, element, entry.value(data_type, element)?)));
        entries.push((entry.key().to_vec(), entry.origin(), entry.remaining(), values.collect()));
    });
    for (key, origin, remaining, values) in entries {
        if !matches!(to.get(&key, now, |_| ()), Ok(None)) {
            continue;
        }
        let lifetime = remaining.map_or(Lifetime::Restart, Lifetime::Exactly);
        // One that finds no room was not needed more than others.
        let _ = to.update(&key, origin, lifetime, now, |entry| {
            for (data_type, element, value) in &values {
                let value: &Value = value;
                entry.set(*data_type, *element, value);
            }
        });
    }
    more
}
