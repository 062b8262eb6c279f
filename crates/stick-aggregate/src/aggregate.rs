//! The contributions of all nodes, and the table of their results.

use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, MutexGuard};
use stick_table::{
    Batch, FrequencyCounter, KeyError, Layout, Lifetime, Millis, Origin, Schema, Storage, Table,
    TableDefinition, Value,
};

use crate::columns::{AggregateError, Columns};
use crate::contribution::{Absorbed, Contribution, Refreshed, Told, Usage};
use crate::left_out::{LeftOut, LeftOutReason};
use crate::nodes::{Nodes, Telling};
use crate::own::{OwnValue, OwnWalk};
use crate::part::{Head, PART_HEAD, left};
use crate::replacement::Replacement;
use crate::room::Room;
use crate::rule::Rules;
use crate::stripe::{Shared, Stripe, Teller, told_by};

/// Stripes of a large aggregate.
const MAX_STRIPES: u32 = 64;
/// Aggregates get one stripe for each so many keys: an index of 65,536 buckets is well filled by them, and not too small when
/// stripes fill unevenly. Few in tests, to have stripes.
const KEYS_PER_STRIPE: u32 = if cfg!(test) { 16 } else { 53_000 };
/// Slots looked at in one call of a walk. Few in tests, so that calls end early.
const SLOTS_PER_CALL: u32 = if cfg!(test) { 7 } else { 1 << 14 };
/// Slots looked at by a refresh for each key of its budget.
const SLOTS_PER_KEY: usize = 64;

/// How far a refresh is.
#[derive(Default)]
struct Turn {
    stripe: usize,
    /// Stripes that were gone over to their end, in this round.
    done: usize,
}

/// The contributions of all nodes to a source table, summed into another one.
///
/// All methods may be called by several threads. `now` is a point on one monotonic clock in ms, that of the output.
pub struct Aggregate {
    pub(crate) shared: Shared,
    pub(crate) stripes: Box<[Mutex<Stripe>]>,
    /// What takes its place.
    pub(crate) replacement: OnceLock<Replacement>,
    /// Where the next refresh goes on.
    turn: Mutex<Turn>,
}

impl Aggregate {
    /// An aggregate without contributions. `source` is the nodes' table, its `size` the most keys that are kept; `output`
    /// gets the results of the columns that it stores as well. `seed` makes the places of keys unpredictable: pass a random
    /// number where keys come from outside.
    ///
    /// # Errors
    /// When the tables do not fit each other: keys of another type, another period or `brates-factor` of a common rate, no
    /// `expire` although the source has one, or nothing in common; or when the source cannot be a table.
    pub fn new(
        source: TableDefinition,
        output: Arc<Table>,
        rules: &Rules,
        seed: u64,
    ) -> Result<Self, AggregateError> {
        let name = source.name.clone();
        let schema = Schema::new(source, seed).map_err(|error| AggregateError::Definition(name, error))?;
        let columns = Columns::new(&schema, &output, rules)?;
        let count = schema.definition().size.div_ceil(KEYS_PER_STRIPE).clamp(1, MAX_STRIPES);
        let shared = Shared::new(schema, output, columns);
        let stripes = (0..count).map(|_| Mutex::new(Stripe::new(&shared))).collect();
        Ok(Self { shared, stripes, replacement: OnceLock::new(), turn: Mutex::default() })
    }

    /// Lets it take its memory from a room that others share.
    #[must_use]
    pub fn within(mut self, room: Arc<Room>) -> Self {
        self.shared.room = room;
        self
    }

    /// What the nodes' table is.
    pub fn source(&self) -> &TableDefinition {
        self.shared.schema.definition()
    }

    /// Where each element is in the data words of a contribution.
    pub fn layout(&self) -> &Layout {
        self.shared.schema.layout()
    }

    /// The table of the results.
    pub fn output(&self) -> &Arc<Table> {
        &self.shared.output
    }

    /// An empty batch by the source's layout, for [`absorb`](Self::absorb).
    pub fn batch(&self) -> Batch {
        self.shared.schema.batch()
    }

    /// Stripes take bits of the hash that their indexes do not use.
    pub(crate) fn stripe_of(&self, hash: u64) -> usize {
        ((u64::from((hash >> 16) as u32) * self.stripes.len() as u64) >> 32) as usize
    }

    /// Takes the changes of a batch as told by a node, in their order, publishes the results, and empties the batch.
    ///
    /// Of `told`: each contribution has one writer, its node, and a session tells in order what it has at that moment. So
    /// what comes later is never older, in a lesson or not, and is taken. But a lesson does not say *when* a value was set:
    /// it does not make its node the one that told the key last ([`Rule::Last`](crate::Rule::Last)).
    ///
    /// # Panics
    /// When the batch was made by another aggregate, or a table.
    pub fn absorb(&self, batch: &mut Batch, node: Origin, told: Told, now: Millis) -> Absorbed {
        let shared = &self.shared;
        assert!(shared.schema.is_of(batch), "the batch was made for another table");
        let mut absorbed = Absorbed::default();
        let (ranges, string) = told_by(batch, shared.columns.string);
        let translated = self.translated(batch);
        let columns: Vec<_> = batch.columns().collect();
        let telling = shared.nodes.teller(node.number());
        if let Some((telling, set)) = telling.and_then(|it| self.set(&it, &columns).map(|set| (it, set))) {
            let teller = Teller { node: node.number(), telling, set, told, ranges: &ranges, string };
            batch.order_by_stripe(self.stripes.len(), |hash| self.stripe_of(hash));
            for (number, stripe) in self.stripes.iter().enumerate() {
                let mut changes = batch.changes_of_stripe(number);
                if changes.len() == 0 {
                    continue;
                }
                let mut stripe = stripe.lock();
                while stripe.absorb(shared, &teller, &mut changes, now, &mut absorbed) {
                    // Others may want in.
                    MutexGuard::bump(&mut stripe);
                }
            }
        } else {
            absorbed.refused += batch.len() as u64;
            shared.left_out.refuse(node.number(), LeftOutReason::TooManyColumns, absorbed.refused, now);
        }
        batch.clear();
        if let Some((next, mut translated)) = translated {
            next.absorb(&mut translated, node, told, now);
        }
        absorbed
    }

    /// The number of the columns that a node tells; `None` when there are too many different ones.
    pub(crate) fn set(&self, telling: &Telling<'_>, columns: &[Range<usize>]) -> Option<u8> {
        let shared = &self.shared;
        let told: usize = columns.iter().map(ExactSizeIterator::len).sum();
        if told == shared.columns.data_words {
            return Some(0);
        }
        shared.nodes.set(telling, columns)
    }

    /// Calls `visit` with all stripes, one hold of a lock after the other; it returns where to go on in the stripe.
    fn for_each_hold(&self, mut visit: impl FnMut(&mut Stripe, u32) -> Option<u32>) {
        for stripe in &self.stripes {
            let mut from = Some(0);
            while let Some(start) = from {
                from = visit(&mut stripe.lock(), start);
            }
        }
    }

    /// A new session of the node began. Its process may be another one, that knows nothing of what was told before; see
    /// [the crate's page](crate#restarts).
    pub fn process_may_have_changed(&self, node: Origin) {
        self.in_both(node, Nodes::next_session);
    }

    /// Visits up to `limit` of the node's own values that its present process may not know, in order to teach it them; `true`
    /// when there are more. What the present process told itself, and has not to be added to what a former one told, is not
    /// visited: a lesson would only set it back.
    ///
    /// From now on, until [`taught`](Self::taught), updates by the node that know less than was visited are ignored.
    ///
    /// Looks at about 16,000 keys at most, so that a call takes a fraction of a millisecond; it may visit fewer for that.
    pub fn own_values(
        &self,
        node: Origin,
        walk: &mut OwnWalk,
        limit: usize,
        now: Millis,
        mut visit: impl FnMut(OwnValue<'_>),
    ) -> bool {
        // Without a part there is nothing to teach.
        let Some(who) = self.shared.nodes.present(node.number()) else { return false };
        self.shared.nodes.offered(who.0);
        let (mut slots, mut values) = (SLOTS_PER_CALL, limit);
        while let Some(stripe) = self.stripes.get(walk.stripe) {
            if slots == 0 || values == 0 {
                return true;
            }
            let limits = (&mut slots, &mut values);
            let is_last = stripe.lock().own_values(&self.shared, who, walk, limits, now, &mut visit);
            if is_last {
                *walk = OwnWalk { stripe: walk.stripe + 1, slot: 0 };
            }
        }
        false
    }

    /// The node confirmed the lesson: what was visited is its own now, and whatever it tells is taken. Takes the same short
    /// time whatever the number of keys.
    pub fn taught(&self, node: Origin) {
        self.in_both(node, Nodes::taught);
    }

    /// Another hub taught the node's process, that of the present session, what the node had told before, in a lesson that began
    /// at `since` and that the process has confirmed. What former processes told of a key counts no more where the process has
    /// told as much since then, or tells as much from now on. What it tells less crossed that lesson and counts on top, until
    /// [`taught`](Self::taught): to be called some seconds later, when all that was told before has arrived. Takes the same short time
    /// whatever the number of keys.
    pub fn taught_elsewhere(&self, node: Origin, since: Millis) {
        self.shared.nodes.taught_elsewhere(node.number(), since as u32);
    }

    /// Ends the contributions of a node that is gone. Takes the same short time whatever their number: each key is published
    /// without them as soon as [`refresh`](Self::refresh) comes to it, or anything else does. A key of which nothing is left
    /// is published once more, with zeros that end after 6 s (where the output does not expire they stay), as that is the
    /// only way to tell the other nodes.
    pub fn forget(&self, node: Origin) {
        self.shared.left_out.forget(node.number());
        self.in_both(node, Nodes::forget);
    }

    /// Whether [`refresh`](Self::refresh) has yet to come to keys that have contributions of nodes which were
    /// [forgotten](Self::forget) or [taught](Self::taught), or that were [left out](Self::left_out) until now.
    pub fn is_behind(&self) -> bool {
        self.shared.nodes.has_ended() || (self.is_whole() && self.partial_keys() > 0)
    }

    /// Drops what all nodes told of a key, whatever process of theirs it was, and publishes zeros with this lifetime, if there
    /// was something; returns how many contributions there were. What a node tells from then on is a new contribution,
    /// whose values are taken as they are.
    ///
    /// Nodes do not know of it: who clears a key for good has their entries changed first. A node's update that was on its
    /// way meanwhile counts with its former values, until the node tells the next one.
    ///
    /// # Errors
    /// When the key is none of the source's, see [`KeyType::check`](stick_table::KeyType::check).
    pub fn clear(&self, key: &[u8], lifetime: Lifetime, now: Millis) -> Result<u32, KeyError> {
        let cleared = self.clear_here(key, lifetime, now)?;
        if let Some(next) = self.next() {
            next.clear(key, lifetime, now)?;
        }
        Ok(cleared)
    }

    fn clear_here(&self, key: &[u8], lifetime: Lifetime, now: Millis) -> Result<u32, KeyError> {
        let hash = self.shared.schema.hash(key)?;
        let mut stripe = self.stripes[self.stripe_of(hash)].lock();
        let found = stripe.store.form().with_key(key, |key| stripe.store.find(hash, key));
        let Some(slot) = found else { return Ok(0) };
        let cleared = stripe.clear(&self.shared, slot, lifetime, now);
        stripe.publish(&self.shared, now);
        Ok(cleared)
    }

    /// As [`clear`](Self::clear), of all keys.
    pub fn clear_all(&self, lifetime: Lifetime, now: Millis) -> u64 {
        let mut cleared = 0;
        self.for_each_hold(|stripe, from| {
            let (more, next) = stripe.clear_from(&self.shared, from, lifetime, now);
            cleared += u64::from(more);
            next
        });
        if let Some(next) = self.next() {
            next.clear_all(lifetime, now);
        }
        cleared
    }

    /// Ends the contributions that are over, and publishes again what reads otherwise by now. Looks closely at up to `budget`
    /// keys, and shortly at up to 64 times as many, going round; a call ends where a round does. To be called about every 100 ms; what that means for rates
    /// is on [the crate's page](crate#rates).
    pub fn refresh(&self, now: Millis, budget: usize) -> Refreshed {
        self.shared.left_out.pass(self.shared.expire(), now, || self.shared.is_free_again());
        let mut turn = self.turn.lock();
        let mut refreshed = Refreshed::default();
        let mut slots = u32::try_from(budget.saturating_mul(SLOTS_PER_KEY)).unwrap_or(u32::MAX);
        while !refreshed.is_round && slots > 0 && refreshed.keys < budget {
            let left = (slots, budget - refreshed.keys);
            let mut stripe = self.stripes[turn.stripe].lock();
            let (looked, is_last) = stripe.refresh(&self.shared, now, left, &mut refreshed);
            slots -= looked.min(slots);
            if is_last {
                turn.stripe = (turn.stripe + 1) % self.stripes.len();
                turn.done += 1;
                refreshed.is_round = turn.done >= self.stripes.len();
                turn.done %= self.stripes.len();
            }
        }
        self.shared.nodes.free_ended();
        refreshed
    }

    /// What the nodes told of a key, in no particular order.
    ///
    /// # Errors
    /// When the key is none of the source's, see [`KeyType::check`](stick_table::KeyType::check).
    pub fn contributions(&self, key: &[u8], now: Millis) -> Result<Vec<Contribution>, KeyError> {
        let hash = self.shared.schema.hash(key)?;
        let mut stripe = self.stripes[self.stripe_of(hash)].lock();
        let found = stripe.store.form().with_key(key, |key| stripe.store.find(hash, key));
        let Some(slot) = found else { return Ok(Vec::new()) };
        if !stripe.look_at(&self.shared, slot, now) {
            return Ok(Vec::new());
        }
        let parts = stripe.store.parts(slot).chunks_exact(PART_HEAD + self.shared.columns.data_words);
        let live = parts.filter(|part| !self.shared.is_over(part, now as u32));
        Ok(live.filter_map(|part| self.contribution(&stripe, part, now as u32)).collect())
    }

    /// `None` for one of a node that went this moment.
    fn contribution(&self, stripe: &Stripe, part: &[u32], now: u32) -> Option<Contribution> {
        let head = Head::of(part);
        let teller = self.shared.nodes.teller_of(head)?;
        let remaining = self.source().expire.map(|_| left(part[1], now));
        let age = match (self.source().expire, remaining) {
            (Some(expire), Some(remaining)) => expire.saturating_sub(remaining),
            _ => now.wrapping_sub(part[1]),
        };
        let former = head.is(Head::FORMER) || teller.is_stale;
        let mut values = Vec::new();
        for column in &self.shared.columns.all {
            for (element, at) in (0..).zip(column.offsets()) {
                if !self.shared.nodes.with_written(|written| written(head, at)) {
                    continue;
                }
                let words = &part[PART_HEAD + at..];
                let value = match column.storage() {
                    Storage::Signed => Value::Signed(words[0].cast_signed()),
                    Storage::Unsigned => Value::Unsigned(words[0]),
                    Storage::Unsigned64 => Value::Unsigned64(u64::from(words[0]) | u64::from(words[1]) << 32),
                    Storage::Frequency => Value::Frequency(FrequencyCounter {
                        tick: words[0],
                        current: words[1],
                        previous: words[2],
                    }),
                    Storage::Dictionary => Value::Dictionary(stripe.dictionary.get(words[0]).cloned()),
                };
                values.push((column.data_type, element, value));
            }
        }
        Some(Contribution { node: Origin::with_number(teller.node), remaining, age, former, values })
    }

    /// What is left out of the sums at the moment, a record for each node of which something is: as long as there is one, sums
    /// may be too low. A record goes when the node's contributions are complete again, when those that were refused have
    /// ended, and when the node is [forgotten](Self::forget).
    pub fn left_out(&self) -> Vec<LeftOut> {
        self.shared.left_out.list()
    }

    /// Whether a node is to be asked for a lesson, as there is room again for what was refused of it. When it is asked, say so
    /// with [`asked`](Self::asked), and when its lesson has ended with [`told_all`](Self::told_all).
    pub fn wants_lesson(&self, node: Origin) -> bool {
        self.shared.left_out.wants_lesson(node.number())
    }

    /// Whether any node is to be asked for a lesson, see [`wants_lesson`](Self::wants_lesson).
    pub fn wants_lessons(&self) -> bool {
        self.shared.left_out.wants_lessons()
    }

    /// A node is asked for all it has, from now on.
    pub fn asked(&self, node: Origin) {
        self.shared.left_out.asked(node.number());
    }

    /// A node has told all it has. When all have of which something was left out, and all of it found room, the sums are whole
    /// again.
    pub fn told_all(&self, node: Origin) {
        self.shared.left_out.told_all(node.number());
    }

    /// Whether nothing is [left out](Self::left_out). Takes no lock.
    pub fn is_whole(&self) -> bool {
        !self.shared.left_out.any()
    }

    /// Updates that were refused since the start, of all nodes.
    pub fn refused_updates(&self) -> u64 {
        self.shared.left_out.refused()
    }

    /// How much is kept.
    pub fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        for stripe in &self.stripes {
            let stripe = stripe.lock();
            usage.keys += stripe.store.keys() as u64;
            usage.contributions += stripe.store.parts_of_all() as u64;
            usage.bytes += (stripe.bytes() + size_of::<Mutex<Stripe>>()) as u64;
            usage.result_bytes += stripe.result_bytes(&self.shared) as u64;
        }
        usage
    }

    /// Keys that lack a contribution, or may lack one. What is published of them is no sum.
    pub fn partial_keys(&self) -> u32 {
        self.shared.partial_keys.load(Ordering::Relaxed)
    }

    /// Panics unless the inner structures agree. For tests.
    #[cfg(test)]
    pub(crate) fn validate(&self) {
        let width = PART_HEAD + self.shared.columns.data_words;
        let mut heads = Vec::new();
        for stripe in &self.stripes {
            let stripe = stripe.lock();
            stripe.store.validate(&self.shared.schema);
            for slot in (0..stripe.store.slot_count()).filter(|&slot| stripe.store.is_used(slot)) {
                heads.extend(stripe.store.parts(slot).chunks_exact(width).map(Head::of));
            }
        }
        self.shared.nodes.validate(heads.into_iter());
        assert_eq!(self.usage().keys, u64::from(self.shared.used()));
    }
}

impl Drop for Aggregate {
    fn drop(&mut self) {
        for stripe in &mut self.stripes {
            stripe.get_mut().leave(&self.shared);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use stick_table::KeyType;

    use super::*;

    /// Those who call these hold the lock of a section, which all sessions wait for. With the locks of stripes held for as long
    /// as they like, the calls return all the same: they look at no key.
    #[test]
    fn what_happens_to_a_whole_node_waits_for_no_stripe() {
        let table = |name| TableDefinition::new(name, KeyType::Ip, 1_000).with_expire(Some(60_000));
        let table = |name| table(name).with_column("gpc0".parse().unwrap()).unwrap();
        let output = Arc::new(Table::new(table("o"), 1).unwrap());
        let aggregate = Aggregate::new(table("s"), output, &Rules::default(), 1).unwrap();
        let node = Origin::peer(1).unwrap();
        let mut batch = aggregate.batch();
        batch.set_columns(std::iter::once(0..1)).unwrap();
        for key in 0..500_u32 {
            batch.push(&key.to_be_bytes(), Lifetime::Restart).unwrap()[0] = 1;
        }
        assert_eq!(aggregate.absorb(&mut batch, node, Told::Live, 1).created, 500);
        aggregate.process_may_have_changed(node);
        let mut walk = OwnWalk::default();
        while aggregate.own_values(node, &mut walk, 1_000, 1, |_| ()) {}
        let held: Vec<_> = aggregate.stripes.iter().map(Mutex::lock).collect();
        let (done, is_done) = mpsc::channel();
        std::thread::scope(|scope| {
            let aggregate = &aggregate;
            scope.spawn(move || {
                aggregate.taught(node);
                (0..1_000).for_each(|_| aggregate.process_may_have_changed(node));
                aggregate.forget(node);
                let _ = done.send(());
            });
            let in_time = is_done.recv_timeout(Duration::from_secs(20));
            drop(held);
            assert_eq!(in_time, Ok(()), "it waits for a stripe");
        });
        assert!(aggregate.is_behind());
        while aggregate.is_behind() {
            aggregate.refresh(2, 10);
            aggregate.validate();
        }
        assert_eq!(aggregate.usage().keys, 0);
    }
}
