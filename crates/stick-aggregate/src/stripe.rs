//! One part of an aggregate: what the nodes told of some keys.

mod partial;
mod refresh;
mod settle;
mod take_over;
mod tell;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use stick_table::defect::Defect;
use stick_table::{Batch, Dictionary, Lifetime, Millis, Origin, Precedence, Schema, Table};

use crate::columns::Columns;
use crate::course::Course;
use crate::left_out::{Completeness, LeftOuts};
use crate::nodes::Nodes;
use crate::part::{Head, PART_HEAD, left};
use crate::result::{self, Fall, NEVER, Parts, Survey};
use crate::room::Room;
use crate::store::Store;

pub(crate) use self::take_over::Carried;
pub(crate) use self::tell::{Teller, told_by};

/// Longest lifetime of the zeros that are published when the last contribution was forgotten, in ms.
const LAST_WORDS: u32 = 6_000;
/// Keys looked at in search of one that has ended.
const SAMPLE: u32 = 32;

/// What all stripes share.
pub(crate) struct Shared {
    pub(crate) schema: Schema,
    pub(crate) output: Arc<Table>,
    pub(crate) columns: Columns,
    pub(crate) nodes: Nodes,
    pub(crate) left_out: LeftOuts,
    pub(crate) room: Arc<Room>,
    /// Bytes of an entry of the output.
    entry_bytes: usize,
    /// Keys that lack a contribution, or may lack one.
    pub(crate) partial_keys: AtomicU32,
    /// Keys of all stripes.
    used: AtomicU32,
}

impl Shared {
    pub(crate) fn new(schema: Schema, output: Arc<Table>, columns: Columns) -> Self {
        let mut one = output.definition().clone();
        one.size = 1;
        Self {
            schema,
            columns,
            nodes: Nodes::default(),
            left_out: LeftOuts::default(),
            room: Arc::default(),
            entry_bytes: one.full_bytes() as usize,
            partial_keys: AtomicU32::new(0),
            used: AtomicU32::new(0),
            output,
        }
    }

    pub(crate) fn expire(&self) -> Option<u32> {
        self.schema.definition().expire
    }

    /// Takes the place of one more key, if there is one.
    fn take_place(&self) -> bool {
        let size = self.schema.definition().size;
        let more = |used: u32| (used < size).then_some(used + 1);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// Whether so much is free that what was refused may come again.
    pub(crate) fn is_free_again(&self) -> bool {
        let size = self.schema.definition().size;
        self.used.load(Ordering::Relaxed) <= size - size.div_ceil(8) && self.room.is_free_again()
    }

    fn give_place_back(&self) {
        self.used.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether a part is over.
    #[inline]
    pub(crate) fn is_over(&self, part: &[u32], now: u32) -> bool {
        self.expire().is_some() && left(part[1], now) == 0
    }

    /// Number of keys.
    #[cfg(test)]
    pub(crate) fn used(&self) -> u32 {
        self.used.load(Ordering::Relaxed)
    }

    /// Calls `use_it` with what tells whether a part wrote a data word.
    #[inline]
    fn with_written<R>(&self, use_it: impl FnOnce(&dyn Fn(Head, usize) -> bool) -> R) -> R {
        if self.columns.needs_sets { self.nodes.with_written(use_it) } else { use_it(&|_, _| true) }
    }
}

/// Keys whose hashes are of this stripe. The aggregate puts a lock around each, and holds it until the results are in the
/// output, so that an older one never follows a newer one.
pub(crate) struct Stripe {
    pub(crate) store: Store,
    pub(crate) dictionary: Dictionary,
    results: Batch,
    /// Room for the parts of a key, for the words of a result, and for those that the output has.
    parts: Vec<u32>,
    should: Vec<u32>,
    is: Vec<u32>,
    key: Vec<u8>,
    /// How the rates of a result fall, and how those that are sums go on.
    falls: Vec<Fall>,
    courses: Vec<Course>,
    /// Bytes that the room knows of.
    accounted: u64,
    /// Where refresh goes on, and the search for a key that has ended.
    hand: u32,
    sample_hand: u32,
}

impl Stripe {
    pub(crate) fn new(shared: &Shared) -> Self {
        let columns = &shared.columns;
        let mut results = Batch::new(&shared.output);
        results.set_known_columns(columns.all.iter().filter_map(|column| {
            let (to, count) = column.to?;
            Some(to..to + count * column.width)
        }));
        Self {
            store: Store::new(shared.schema.definition().key_type, PART_HEAD + columns.data_words),
            dictionary: Dictionary::default(),
            results,
            parts: Vec::new(),
            should: Vec::new(),
            is: Vec::new(),
            key: Vec::new(),
            falls: Vec::new(),
            courses: Vec::new(),
            accounted: 0,
            hand: 0,
            sample_hand: 0,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        let room = self.parts.capacity() + self.should.capacity() + self.is.capacity();
        self.store.bytes()
            + self.dictionary.bytes()
            + self.results.memory()
            + 4 * room
            + size_of::<Fall>() * self.falls.capacity()
            + size_of::<Course>() * self.courses.capacity()
    }

    /// Bytes of the results: each key has one.
    pub(crate) fn result_bytes(&self, shared: &Shared) -> usize {
        // The output has long keys and strings of its own.
        self.store.keys() * shared.entry_bytes + self.store.long_key_bytes() + self.dictionary.bytes()
    }

    /// Lets the room know what is taken by now.
    fn account(&mut self, shared: &Shared) {
        let bytes = (self.bytes() + self.result_bytes(shared)) as u64;
        if bytes != self.accounted {
            shared.room.account(self.accounted, bytes);
            self.accounted = bytes;
        }
    }

    /// Gives back what the room knows of.
    pub(crate) fn leave(&mut self, shared: &Shared) {
        shared.room.account(self.accounted, 0);
        self.accounted = 0;
    }

    /// Publishes what was counted.
    pub(crate) fn publish(&mut self, shared: &Shared, now: Millis) {
        if !self.results.is_empty() {
            shared.output.apply(&mut self.results, Origin::LOCAL, Precedence::Newest, now);
        }
        self.account(shared);
    }

    /// Counts the result of a key, to be published. None of its parts is over.
    pub(crate) fn count(&mut self, shared: &Shared, slot: u32, now: Millis) {
        if self.store.is_partial(slot) {
            self.count_partial(shared, slot, now);
            return;
        }
        if self.results.is_full() {
            self.publish(shared, now);
        }
        let tick = now as u32;
        let Self { store, results, parts: scratch, dictionary, falls, .. } = self;
        let parts = Parts { words: store.parts(slot), width: PART_HEAD + shared.columns.data_words };
        let survey = parts.survey(tick);
        let (lifetime, look) = shared.lifetime(survey);
        let words = results.push_canonical(store.key(slot), lifetime);
        let counted = shared.with_written(|written| {
            let nodes = parts.by_node(survey.has_former, &shared.columns, written, scratch, tick);
            result::count(&shared.columns, (&parts, &nodes), written, tick, words, falls)
        });
        if let Some(string) = dictionary.get(counted.string) {
            results.set_string(string);
        }
        store.set_due(slot, tick.wrapping_add(counted.holds.min(look)));
    }

    /// Publishes zeros for a key whose contributions end all at once, so that the nodes get to know.
    fn count_nothing(&mut self, shared: &Shared, slot: u32, lifetime: Lifetime, now: Millis) {
        if self.results.is_full() {
            self.publish(shared, now);
        }
        let words = self.results.push_canonical(self.store.key(slot), lifetime);
        let parts = Parts { words: &[], width: PART_HEAD + shared.columns.data_words };
        result::count(&shared.columns, (&parts, &parts), |_, _| true, now as u32, words, &mut self.falls);
    }

    /// As [`remove_parts`](Self::remove_parts), of parts that are not over; if none remains, that is published.
    pub(crate) fn remove_parts_or_key(
        &mut self,
        shared: &Shared,
        slot: u32,
        is_it: impl Fn(&[u32]) -> bool,
        now: Millis,
    ) -> (usize, bool) {
        let width = PART_HEAD + shared.columns.data_words;
        // Of a key that lacks a contribution zeros would be less than that.
        if !self.store.is_partial(slot) && self.store.parts(slot).chunks_exact(width).all(&is_it) {
            let lifetime = match shared.output.definition().expire {
                Some(_) => Lifetime::Exactly(LAST_WORDS),
                None => Lifetime::Restart,
            };
            self.count_nothing(shared, slot, lifetime, now);
        }
        self.remove_parts(shared, slot, is_it)
    }

    /// Removes a part of a key, which is not the last one.
    fn remove_part(&mut self, shared: &Shared, slot: u32, number: usize) {
        let part = self.store.part_mut(slot, number);
        shared.nodes.removed(std::iter::once(Head::of(part)));
        if let Some(string) = shared.columns.string {
            let word = part[PART_HEAD + string];
            self.dictionary.release(word);
        }
        self.store.remove_part(slot, number);
    }

    /// Removes the parts of a key for which `is_it` holds, all at once; returns how many, and whether the key is there still.
    pub(crate) fn remove_parts(
        &mut self,
        shared: &Shared,
        slot: u32,
        is_it: impl Fn(&[u32]) -> bool,
    ) -> (usize, bool) {
        let width = PART_HEAD + shared.columns.data_words;
        let parts = self.store.parts(slot).chunks_exact(width);
        let (all, removed) = (parts.len(), parts.filter(|part| is_it(part)).count());
        if removed == 0 {
            return (0, true);
        }
        let gone = || self.store.parts(slot).chunks_exact(width).filter(|part| is_it(part));
        shared.nodes.removed(gone().map(Head::of));
        if let Some(string) = shared.columns.string {
            gone().for_each(|part| self.dictionary.release(part[PART_HEAD + string]));
        }
        if removed < all {
            self.store.retain_parts(slot, removed, |part| !is_it(part));
            return (removed, true);
        }
        self.set_partial(shared, slot, false);
        self.store.remove(&shared.schema, slot);
        shared.give_place_back();
        (removed, false)
    }

    /// Makes place for a new key: a free one, or that of a key among some that has ended. A key that lives keeps its place: its
    /// sum would be wrong without what was dropped, and nobody would know.
    fn make_place(&mut self, shared: &Shared, now: Millis) -> bool {
        if Defect::FullHubEvicts.is_on() {
            return shared.take_place() || self.evict(shared);
        }
        if shared.left_out.completeness() == Completeness::Closed || !shared.room.has_for_key() {
            return false;
        }
        if shared.take_place() {
            return true;
        }
        let slots = self.store.slot_count();
        for _ in 0..SAMPLE.min(slots) {
            self.sample_hand = if self.sample_hand + 1 < slots { self.sample_hand + 1 } else { 0 };
            let slot = self.sample_hand;
            if self.store.is_used(slot) && self.settle(shared, slot, now).is_empty {
                return shared.take_place();
            }
        }
        false
    }

    /// What must never happen: a key makes place for another one.
    fn evict(&mut self, shared: &Shared) -> bool {
        let slots = self.store.slot_count();
        let used = (0..slots).find(|&slot| self.store.is_used(slot));
        used.is_some_and(|slot| !self.remove_parts(shared, slot, |_| true).1) && shared.take_place()
    }
}

impl Shared {
    /// The lifetime of a key's result, and after how many ms the key has to be looked at whatever its values do.
    fn lifetime(&self, Survey { first, last, .. }: Survey) -> (Lifetime, u32) {
        let published = self.output.definition().expire;
        let Some(expire) = published else { return (Lifetime::Restart, NEVER) };
        if self.expire().is_none() {
            return (Lifetime::Restart, expire / 2);
        }
        let last = if Defect::SumsLiveAnew.is_on() { expire } else { last };
        // The output's entries may end sooner: then they are renewed.
        let renew = if last > expire { expire / 2 } else { NEVER };
        (Lifetime::Exactly(last), first.min(renew))
    }
}
