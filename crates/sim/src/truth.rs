//! What was written, and what each process may therefore hold: the writes, carried on by what passes on the wire.
//!
//! Nothing here reads a lifetime or a count from the wire. Of an update only its key, its value, and whether it tells a
//! lifetime at all are looked at; how long an entry has left and what its counter reads follows from when it was written
//! and how long each message took.

use std::collections::BTreeMap;

use stick_table::{FrequencyCounter, Millis};

use crate::plan::Plan;
use crate::tap::Update;

/// Period of the frequency counters, in ms.
pub(crate) const PERIOD_MS: u32 = 10_000;
/// A live update of an entry that was touched within this time may be untimed, in ms.
const FRESH_MS: u64 = 1_000;
/// In sessions of 2.0 ages are sent up to this much later than they are, in ms (peers-protocol §18.3).
const AGE_2_0_MS: i64 = 2_100;

/// A key by the place of its table and its number.
pub(crate) type Key = (usize, u32);
/// A process, by a number that is never used again.
pub(crate) type SlotId = usize;

/// One write.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    /// What was written; the next one is larger.
    pub(crate) value: u32,
    /// The key.
    pub(crate) key: Key,
    /// When, in the world's time.
    pub(crate) written: Millis,
    /// The process that wrote it.
    pub(crate) slot: SlotId,
    /// The counter after it, on that process's clock, if it is certain.
    pub(crate) counter: Option<FrequencyCounter>,
}

/// What a process may hold of one write, on its own clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    /// The write.
    pub(crate) value: u32,
    /// When the entry is over at the latest; `None` when it never is.
    pub(crate) upper: Option<Millis>,
    /// When it is over at the earliest.
    pub(crate) lower: Option<Millis>,
    /// How much the writer's clock is ahead of this one's, so far as counters tell: at least and at most.
    pub(crate) ahead: (i64, i64),
}

/// An update on its way.
#[derive(Clone, Debug)]
pub(crate) struct Carried {
    /// Its key.
    pub(crate) key: Key,
    /// The value.
    pub(crate) value: u32,
    /// What is left of its entry's life: at most, at least; `None` without an end.
    upper: Option<Millis>,
    lower: Option<Millis>,
    /// The writer's clock when it was put into words.
    writer: (i64, i64),
    /// Whether its receiver starts the lifetime again, and may.
    restarts: bool,
    timed: bool,
    /// Whether its sender tells again, without lifetimes, what a lesson told (peers-protocol §13.2).
    repeats: bool,
    /// Whether its sender was misled when it said so; it may know better by the time this is heard.
    by_misled: bool,
}

/// How the sender of an update puts it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sender {
    /// The process.
    pub(crate) slot: SlotId,
    /// Its node.
    pub(crate) node: usize,
    /// Between which moments of its clock it put the update into words.
    pub(crate) clock: (Millis, Millis),
    /// Whether the session is of 2.0, or the process never tells lifetimes of live updates.
    pub(crate) untimed: bool,
    /// Whether the session is of 2.0.
    pub(crate) old: bool,
}

/// Who hears an update, and what it makes of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hearer {
    /// The process.
    pub(crate) slot: SlotId,
    /// Its node.
    pub(crate) node: usize,
    /// Its clock.
    pub(crate) clock: Millis,
    /// Whether it takes nothing from a lesson that it wrote itself.
    pub(crate) keeps_own: bool,
    /// Whether a lifetime that is told counts up to its own table's at most (peers-protocol §8.3).
    pub(crate) clamps: bool,
    /// Whether it began after the last write of the key, by a HAProxy.
    pub(crate) is_late: bool,
}

/// The writes, and what follows from them.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    versions: Vec<Version>,
    last: BTreeMap<Key, u32>,
    held: BTreeMap<(SlotId, Key), Vec<Held>>,
    /// Keys whose last write may be lost: the least value that everybody has at least; 0 when it may be gone.
    floors: BTreeMap<Key, u32>,
    /// The same of single processes, which took an older write for the newest one: see [`Truth::mislead`].
    misled: BTreeMap<(SlotId, Key), u32>,
    /// Changes of each table that each process made or was told.
    changes: BTreeMap<(SlotId, usize), u32>,
    /// Values written so far.
    pub(crate) next_value: u32,
}

impl Truth {
    /// The write of a value.
    pub(crate) fn version(&self, value: u32) -> Option<&Version> {
        let place = self.versions.binary_search_by_key(&value, |version| version.value).ok()?;
        self.versions.get(place)
    }

    /// The last write of a key.
    pub(crate) fn last(&self, key: Key) -> Option<&Version> {
        self.version(*self.last.get(&key)?)
    }

    /// The last writes of all keys.
    pub(crate) fn all_last(&self) -> impl Iterator<Item = &Version> {
        self.last.values().filter_map(|value| self.version(*value))
    }

    /// What a process may hold of a write, if it ever held that.
    pub(crate) fn held(&self, slot: SlotId, key: Key, value: u32) -> Option<&Held> {
        self.held.get(&(slot, key))?.iter().rev().find(|held| held.value == value)
    }

    /// What a process held of a key when it was seen last.
    pub(crate) fn last_held(&self, slot: SlotId, key: Key) -> Option<&Held> {
        self.held.get(&(slot, key))?.last()
    }

    /// Changes of a table that a process made or was told, at least.
    pub(crate) fn changes(&self, slot: SlotId, table: usize) -> u32 {
        self.changes.get(&(slot, table)).copied().unwrap_or(0)
    }

    /// The least value that everybody holds of a key whose last write may be lost; `None` when it cannot be.
    pub(crate) fn floor(&self, key: Key) -> Option<u32> {
        self.floors.get(&key).copied()
    }

    /// The least value that a process holds of a key, if it may be another one than the last; `None` when it may not.
    pub(crate) fn floor_of(&self, slot: SlotId, key: Key) -> Option<u32> {
        [self.floor(key), self.misled.get(&(slot, key)).copied()].into_iter().flatten().min()
    }

    /// Whether a process took an older write for the newest one.
    pub(crate) fn is_misled(&self, slot: SlotId, key: Key) -> bool {
        self.misled.contains_key(&(slot, key))
    }

    /// A process takes an update from another one, and holds it now. Whether that is the last write nobody tells (the last
    /// message wins, peers-protocol §8.3), so it may be an older one:
    ///
    /// - when it is what its sender wrote itself, cut off from another node that wrote since: the key has two writers that do
    ///   not know of each other;
    /// - when its hearer is a HAProxy, which also takes what a lesson tells;
    /// - when its hearer began after the last write and hears of that by a lesson only: a HAProxy does not push again what the
    ///   process before acknowledged, and of two lessons nobody knows which is newer, so the first one counts;
    /// - when its sender holds it for one of these reasons.
    pub(crate) fn mislead(&mut self, sends_own: bool, hearer: &Hearer, carried: &Carried) {
        let Carried { key, value, by_misled, .. } = *carried;
        let slot = hearer.slot;
        if self.last.get(&key).is_none_or(|last| *last <= value) {
            self.misled.remove(&(slot, key));
            return;
        }
        let goes_back = self.last_held(slot, key).is_some_and(|held| held.value > value);
        let may_be = if goes_back { sends_own || !hearer.keeps_own } else { hearer.is_late };
        if by_misled || may_be {
            let floor = self.misled.entry((slot, key)).or_insert(value);
            *floor = value.min(*floor);
        }
    }

    /// A HAProxy begins. Nobody tells it again what the process before it was told; it learns that from one peer, which may
    /// know less, or from nobody, when none answers in time (peers-protocol §2.3, §12.3, §13.1).
    pub(crate) fn begins_anew(&mut self, slot: SlotId, before: &[SlotId]) {
        for (&key, &value) in &self.last {
            if before.iter().any(|before| self.held(*before, key, value).is_some()) {
                self.misled.insert((slot, key), 0);
            }
        }
    }

    /// The last write of a key may be lost, and everybody holds `floor` or something later.
    pub(crate) fn may_be_lost(&mut self, key: Key, floor: u32) {
        let at = self.floors.entry(key).or_insert(floor);
        *at = floor.min(*at);
    }

    /// Notes a write. `before` is the value that the entry had, if it was there.
    pub(crate) fn write(
        &mut self,
        (slot, clock): (SlotId, Millis),
        (key, value): (Key, u32),
        (requests, expire): (u32, Option<u32>),
        before: Option<u32>,
        now: Millis,
    ) {
        let known = before.and_then(|before| Some((*self.held(slot, key, before)?, self.version(before)?)));
        let mut counter = Some(FrequencyCounter::default());
        let mut ahead = (0, 0);
        if let Some((held, version)) = known {
            let carried = version.slot != slot || held.ahead != (0, 0);
            let add = |ahead: i64| {
                // An empty counter that came over the wire begins its period when it came, or a process's clock ago.
                let known = version.counter.filter(|counter| !carried || counter.sums() != (0, 0))?;
                let mut counter = known.shifted(-ahead);
                if (clock as u32).wrapping_sub(counter.tick).cast_signed() < 0 {
                    // Rounded into the future.
                    counter.tick = clock as u32 & !1;
                }
                if requests > 0 {
                    counter.add(requests, PERIOD_MS, clock as u32);
                }
                Some(counter)
            };
            // Whether a period was over may hang on how long messages took; then nobody knows what is right.
            let (one, other) = (add(held.ahead.0), add(held.ahead.1));
            let same = one.zip(other).is_some_and(|(one, other)| one.sums() == other.sums());
            counter = one.filter(|_| same);
            if held.ahead != (0, 0) && one != other {
                ahead = (-2, held.ahead.1 - held.ahead.0 + 2);
            }
        } else if requests > 0
            && let Some(counter) = &mut counter
        {
            counter.add(requests, PERIOD_MS, clock as u32);
        }
        *self.changes.entry((slot, key.0)).or_default() += 1;
        self.versions.push(Version { value, key, written: now, slot, counter });
        self.last.insert(key, value);
        self.floors.remove(&key);
        self.misled.retain(|(_, other), _| *other != key);
        let end = expire.map(|ms| clock + Millis::from(ms));
        let held = Held { value, upper: end, lower: end, ahead };
        self.held.entry((slot, key)).or_default().push(held);
    }

    /// What a write counted is not known: a HAProxy had perhaps not freed the entry that was over, and counted on
    /// (peers-protocol §8.3).
    pub(crate) fn counts_unknown(&mut self, value: u32) {
        if let Some(version) = self.versions.last_mut().filter(|version| version.value == value) {
            version.counter = None;
        }
    }

    /// What an update means, when it is said; `None` when its sender never held that.
    pub(crate) fn carry(&self, plan: &Plan, sender: Sender, key: Key, update: &Update) -> Option<Carried> {
        let held = self.held(sender.slot, key, update.value)?;
        let (first, last) = sender.clock;
        let expire = plan.tables[key.0].expire[sender.node].map(Millis::from);
        let upper = held.upper.map(|end| end.saturating_sub(first));
        let fresh = upper.zip(expire).is_none_or(|(left, expire)| left + FRESH_MS >= expire);
        let age = if sender.old { AGE_2_0_MS } else { 0 };
        Some(Carried {
            key,
            value: update.value,
            upper,
            lower: held.lower.map(|end| end.saturating_sub(last)),
            writer: (first as i64 + held.ahead.0, last as i64 + held.ahead.1 + age),
            restarts: !update.timed && (fresh || sender.untimed || expire.is_none()),
            timed: update.timed,
            repeats: !update.timed && sender.untimed && !sender.old,
            by_misled: self.misled.get(&(sender.slot, key)).is_some_and(|floor| *floor <= update.value),
        })
    }

    /// An update was heard by a process, which holds its value now, with `left` of its life.
    pub(crate) fn hear(&mut self, plan: &Plan, hearer: &Hearer, carried: &Carried, left: Option<u32>) {
        let Hearer { slot, node, clock, keeps_own, clamps, .. } = *hearer;
        *self.changes.entry((slot, carried.key.0)).or_default() += 1;
        let end_now = left.map(|left| clock + Millis::from(left));
        let expire = plan.tables[carried.key.0].expire[node].map(Millis::from);
        let ahead = (carried.writer.0 - clock as i64, carried.writer.1 - clock as i64 + 1);
        let end = |left: Option<Millis>| {
            let expire = expire?;
            let told = |left: Millis| if clamps { left.min(expire) } else { left };
            Some(clock + left.map_or(expire, told))
        };
        let upper = if carried.restarts { end(None) } else { end(carried.upper) };
        let lower = if carried.timed { end(carried.lower) } else { end(None) };
        // What may be a repetition, by its id, keeps the life that a lesson told, also when it is of a later write.
        let before = self.last_held(slot, carried.key).filter(|_| carried.repeats).map(|held| held.lower);
        let lower = before.map_or(lower, |before| lower.min(before));
        let may_be_full = plan.tables[carried.key.0].may_be_full();
        let own = keeps_own && self.version(carried.value).is_some_and(|version| version.slot == slot);
        let list = self.held.entry((slot, carried.key)).or_default();
        let known = list.iter().position(|held| held.value == carried.value).map(|place| list.remove(place));
        list.push(match known {
            // What somebody tells back to the one who wrote it, while it is there, has no effect. In a full table it may have
            // gone and come again.
            Some(held) if own && !may_be_full && (held.lower, held.lower) == (end_now, held.upper) => held,
            // Whether this one counted or the one before is not known.
            Some(held) => Held {
                value: held.value,
                upper: held.upper.max(upper),
                lower: held.lower.min(lower),
                ahead: (held.ahead.0.min(ahead.0), held.ahead.1.max(ahead.1)),
            },
            None => Held { value: carried.value, upper, lower, ahead },
        });
    }
}

impl Carried {
    /// Whether the entry may have been over when this was put into words: HAProxy tells what it has not freed.
    pub(crate) fn may_be_over(&self) -> bool {
        self.timed && self.lower.is_some_and(|left| left <= 1)
    }
}

impl Held {
    /// What its counter reads on its holder's clock: at least and at most.
    pub(crate) fn rate(&self, counter: &FrequencyCounter, clock: Millis) -> (u32, u32) {
        let at = |ahead: i64| counter.read(PERIOD_MS, (clock as i64 + ahead) as u32);
        // No event comes any more, so what is later reads less. The last event counts as one to the end, and a fraction of
        // one is cut off.
        (at(self.ahead.1).saturating_sub(1), at(self.ahead.0) + 1)
    }
}

trait Shifted {
    /// The counter on a clock that shows `ms` more.
    fn shifted(self, ms: i64) -> Self;
    /// The two sums.
    fn sums(&self) -> (u32, u32);
}

impl Shifted for FrequencyCounter {
    fn shifted(self, ms: i64) -> Self {
        if self.sums() == (0, 0) {
            // Its beginning says nothing.
            return Self::default();
        }
        Self { tick: self.tick.wrapping_add(ms as u32) & !1, ..self }
    }

    fn sums(&self) -> (u32, u32) {
        (self.current, self.previous)
    }
}
