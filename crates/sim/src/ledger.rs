//! What was told between the nodes and hubs of a world, and how long it lives.
//!
//! As in [`Truth`](crate::truth::Truth), nothing here reads a lifetime or a rate from the wire: how long an entry has left follows
//! from what its sender held when it was put into words, and from how long the message took.

use std::collections::{BTreeMap, BTreeSet};

use stick_table::Millis;

use crate::Part;
use crate::stage::{MARGIN_MS, Stage};
use crate::tap::{Noted, Said, Update};
use crate::truth::{Key, SlotId};

/// How much older a rate may look that passed through a session of 2.0, in ms (peers-protocol §18.3).
const AGE_2_0_MS: u64 = 2_100;

/// An update on its way.
#[derive(Clone, Debug)]
pub(crate) struct Word {
    pub(crate) part: Part,
    pub(crate) key: Key,
    pub(crate) value: u32,
    /// What is left of the entry's life at its sender, at most and at least; `None` when there is no such entry.
    pub(crate) left: Option<(u64, u64)>,
    pub(crate) timed: bool,
    /// How often its sender began to count from nothing, or from less than before.
    life: u32,
    /// Whether the session is of 2.0.
    pub(crate) old: bool,
    /// When it was put into words at the earliest, in the world's time.
    made: Millis,
    /// How old the events were by then that it counts, beyond what it says.
    lag: Lag,
}

/// By how much a rate may differ in time from that of the node that counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lag {
    /// It may read as it did so much earlier, in ms.
    pub(crate) late: u64,
    /// It may read as it will so much later, in ms.
    pub(crate) early: u64,
}

/// What a process was told last of a key by a node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told {
    pub(crate) value: u32,
    /// How often the node's process had begun to count from nothing.
    pub(crate) life: u32,
    /// The node's process.
    pub(crate) by: SlotId,
    /// When, in the world's time.
    pub(crate) heard: Millis,
    /// When it is over at the latest and at the earliest, by the hearer's clock.
    pub(crate) upper: Millis,
    pub(crate) lower: Millis,
    /// Whether a process of the node before this one told the key as well, which its hearer may count beside this.
    pub(crate) former: bool,
    /// Whether it is what its hearer taught the node.
    taught: bool,
    /// The most that a hub may count of all the node's processes.
    pub(crate) most: u32,
    /// Whether a hub counts this value, and not another one that it cannot know to be wrong.
    pub(crate) sure: bool,
    /// Whether the node was away for so long that it may have been forgotten.
    pub(crate) doubtful: bool,
    /// Whether it was away for so long that it must have been forgotten.
    pub(crate) forgotten: bool,
    pub(crate) lag: Lag,
}

/// What made an own value of a node what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// The process counted.
    Counted,
    /// This process of a hub taught it.
    Taught(SlotId),
}

/// The highest value that each process told in each life of its entry.
type Mosts = BTreeMap<(SlotId, u32), u32>;

/// The books of a world with hubs.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// By hearer, teller's node, table and key.
    told: BTreeMap<(SlotId, usize, Part, Key), Told>,
    changes: BTreeMap<(SlotId, Key), Change>,
    /// The own value of each node's process.
    own: BTreeMap<(SlotId, Key), u32>,
    /// Events that each node counted since the world began.
    counted: BTreeMap<(usize, Key), u64>,
    /// Leaves' processes, and hubs whose lesson they heard to its end.
    learned: BTreeSet<(SlotId, usize)>,
    /// The most that a hub's process was told of a node's key by one of the node's processes.
    most: BTreeMap<(SlotId, Part, Key), Mosts>,
    /// How often a process began to count from nothing, or from less than before.
    lives: BTreeMap<(SlotId, Key), u32>,
    /// When a hub's process had a session with a node last, in the world's time.
    seen: BTreeMap<(SlotId, usize), Millis>,
    /// The same with any connection.
    linked: BTreeMap<(SlotId, usize), Millis>,
}

impl Ledger {
    /// A node counts: from nothing when it has no entry of the key (any more), and now `value`.
    pub(crate) fn counted(
        &mut self,
        (slot, node): (SlotId, usize),
        key: Key,
        (before, value): (Option<u32>, u32),
    ) {
        let events = value - before.unwrap_or(0);
        *self.counted.entry((node, key)).or_default() += u64::from(events);
        self.changes.insert((slot, key), Change::Counted);
        self.own.insert((slot, key), value);
        if before.is_none() {
            *self.lives.entry((slot, key)).or_default() += 1;
            // Where the entry of before has not ended yet, what is less looks like from a process that begins anew.
            self.each_told_own(node, key, |_, told| told.former = true);
        }
    }

    /// Calls `change` with what each process of a hub was told of a node's own key.
    fn each_told_own(&mut self, node: usize, key: Key, mut change: impl FnMut(SlotId, &mut Told)) {
        for ((hearer, teller, part, other), told) in &mut self.told {
            if (*teller, *part, *other) == (node, Part::Own, key) {
                change(*hearer, told);
            }
        }
    }

    /// What made an own value what it is.
    pub(crate) fn change(&self, slot: SlotId, key: Key) -> Option<Change> {
        self.changes.get(&(slot, key)).copied()
    }

    /// How often a process began to count from nothing, or from less than before.
    pub(crate) fn life(&self, slot: SlotId, key: Key) -> u32 {
        self.lives.get(&(slot, key)).copied().unwrap_or(0)
    }

    /// The most that a hub's process can know of: what all processes told it, each at its highest.
    pub(crate) fn most(&self, hub: SlotId, part: Part, key: Key) -> u64 {
        self.most.get(&(hub, part, key)).map_or(0, |told| told.values().map(|most| u64::from(*most)).sum())
    }

    /// Events that a node counted since the world began.
    pub(crate) fn total(&self, node: usize, key: Key) -> u64 {
        self.counted.get(&(node, key)).copied().unwrap_or(0)
    }

    /// A process heard the end of a lesson by a node.
    pub(crate) fn lesson_ended(&mut self, learner: SlotId, teacher: usize) {
        self.learned.insert((learner, teacher));
    }

    /// Whether a process heard a lesson by a node to its end.
    pub(crate) fn has_learned(&self, learner: SlotId, teacher: usize) -> bool {
        self.learned.contains(&(learner, teacher))
    }

    /// What a process was told last.
    pub(crate) fn told(&self, hearer: SlotId, node: usize, part: Part, key: Key) -> Option<&Told> {
        self.told.get(&(hearer, node, part, key))
    }

    /// An update was put into words, that a hearer's process has not heard yet. `old` says that the session is of 2.0.
    pub(crate) fn word(
        stage: &Stage,
        (from, to): (SlotId, SlotId),
        old: bool,
        noted: &Noted,
    ) -> Option<Word> {
        let (hubs, Said::Update(update)) = (stage.plan.hubs?, &noted.said) else { return None };
        let Update { table, key, value, timed, .. } = update;
        let (part, table) = hubs.of_name(table)?;
        let (key, node) = ((table, *key), stage.slots[from].node);
        let clock = |at: Millis| stage.clocks[node].at(at);
        let passed = clock(noted.entered) - clock(noted.made);
        let ledger = &stage.ledger;
        let (left, lag) = if hubs.is_hub(node) && part == hubs.source(node) {
            // A node's own value, which a hub keeps.
            let told = ledger.told(from, stage.slots[to].node, part, key);
            let left = |at: Millis| at.saturating_sub(clock(noted.entered));
            (told.map(|told| (left(told.upper), left(told.lower))), told.map(|told| told.lag))
        } else {
            let reading = stage.read_part(from, part, key);
            let left = reading.and_then(|reading| reading.remaining_ms).map(u64::from);
            let lag = hubs.is_hub(node).then(|| ledger.lag(stage, from, part, key));
            (left.map(|left| (left, left)), lag)
        };
        let left = left.map(|(upper, lower)| (upper + passed, lower));
        let lag = lag.unwrap_or_default();
        let life = ledger.life(from, key);
        Some(Word { part, key, value: *value, left, timed: *timed, life, old, made: noted.made, lag })
    }

    /// By how much the rate of a hub's entry may differ in time from those it was made of.
    pub(crate) fn lag(&self, stage: &Stage, hub: SlotId, part: Part, key: Key) -> Lag {
        let Some(hubs) = stage.plan.hubs else { return Lag::default() };
        let node = stage.slots[hub].node;
        let most = |lags: &mut dyn Iterator<Item = Lag>| {
            lags.fold(Lag::default(), |one, other| Lag {
                late: one.late.max(other.late),
                early: one.early.max(other.early),
            })
        };
        let below = |node| hubs.below(node, stage.plan.nodes.len()).collect::<Vec<_>>();
        let of = |nodes: Vec<usize>, part| {
            let told = nodes.into_iter().filter_map(|other| self.told(hub, other, part, key));
            most(&mut told.map(|told| told.lag))
        };
        if part == hubs.result(node) {
            of(below(node), hubs.source(node))
        } else {
            // Passed on from above.
            of(hubs.above(node).collect(), part)
        }
    }

    /// An update was heard.
    pub(crate) fn hear(stage: &mut Stage, (from, to): (SlotId, SlotId), word: &Word) {
        let (now, clock) = (stage.now, stage.clock(to));
        let (sender, hearer) = (stage.slots[from].node, stage.slots[to].node);
        let Some(hubs) = stage.plan.hubs else { return };
        let whole = stage.plan.tables[word.key.0].expire[hearer].map_or(Millis::MAX / 4, Millis::from);
        let (upper, lower) = match word.left {
            // A HAProxy tells what is over and not freed yet.
            left if word.timed => left.map_or((0, 0), |(upper, lower)| (upper.min(whole), lower.min(whole))),
            _ => (whole, whole),
        };
        let ledger = &mut stage.ledger;
        let before = ledger.told.get(&(to, sender, word.part, word.key));
        let alive = before.filter(|before| before.upper > clock);
        let is_source = hubs.is_hub(hearer) && word.part == hubs.source(hearer);
        // What repeats a lesson keeps the life that the lesson told, also when its teller was taught another value meanwhile.
        let is_taught = matches!(ledger.changes.get(&(from, word.key)), Some(Change::Taught(_)));
        let repeats = alive.filter(|before| {
            !word.timed && before.by == from && (before.value == word.value || is_source && is_taught)
        });
        let same = alive.filter(|before| is_source && before.by == from);
        // In one life a value only rises: this one crossed the lesson by which its hearer taught the node more. Whoever teaches
        // ignores what knows less.
        let knows_less = |before: &&Told| word.life <= before.life && word.value < before.value;
        let ignored = same.filter(|before| before.taught && knows_less(before)).copied();
        // The value is less than one that crossed that lesson. In another session a hub takes it for a restarted process.
        let fell = same.is_some_and(|before| word.life > before.life && word.value < before.value);
        let former = fell || is_source && alive.is_some_and(|before| before.former || before.by != from);
        let most = alive.filter(|_| former).map_or(word.value, |before| {
            let more = if before.by == from { word.value.saturating_sub(before.value) } else { word.value };
            before.most.saturating_add(more)
        });
        let took = now - word.made;
        let told = ignored.map(|before| Told {
            heard: now,
            upper: before.upper.max(clock + upper),
            lower: before.lower.min(clock + lower),
            ..before
        });
        let told = told.unwrap_or_else(|| Told {
            value: word.value,
            life: word.life,
            by: from,
            heard: now,
            // Each life of a node has its own end.
            upper: alive.filter(|_| former).map_or(clock + upper, |before| before.upper.max(clock + upper)),
            lower: repeats.map_or(clock + lower, |before| before.lower.min(clock + lower)),
            former,
            taught: false,
            most,
            sure: !former,
            doubtful: false,
            forgotten: false,
            lag: Lag {
                late: word.lag.late + took,
                early: word.lag.early + if word.old { AGE_2_0_MS } else { 0 },
            },
        });
        ledger.told.insert((to, sender, word.part, word.key), told);
        if is_source {
            let most = ledger.most.entry((to, word.part, word.key)).or_default();
            let most = most.entry((from, word.life)).or_default();
            *most = word.value.max(*most);
        }
        if word.part == Part::Own && !hubs.is_hub(hearer) {
            ledger.changes.insert((to, word.key), Change::Taught(from));
            let before = ledger.own.insert((to, word.key), word.value);
            if before.is_some_and(|before| before > word.value) {
                // It counts on from less than it told.
                *ledger.lives.entry((to, word.key)).or_default() += 1;
            }
            ledger.taught((to, hearer), from, word, before);
        }
    }

    /// A hub taught a node's process its own value; before it had another one, or none.
    fn taught(&mut self, (slot, node): (SlotId, usize), by: SlotId, word: &Word, before: Option<u32>) {
        let value = word.value;
        let life = self.life(slot, word.key);
        self.each_told_own(node, word.key, |hub, told| {
            if hub == by {
                (told.life, told.taught) = (life, true);
                (told.value, told.by, told.former, told.sure, told.most) = (value, slot, false, true, value);
                return;
            }
            // Another hub that counted two processes of the node knows by the next value that one has learned from the other;
            // unless that is less than it counts, which it takes for one that begins anew.
            told.taught = false;
            told.former = match before {
                Some(before) if before == value => told.former,
                before => before.is_some_and(|before| before > value),
            } || told.most > value;
            told.most = if told.former { told.most.max(value) } else { value };
            told.sure &= told.value == value && !told.former;
            told.by = slot;
        });
    }

    /// A process has a connection with a node; one that is not `established` may be a session for one of the two.
    pub(crate) fn saw(&mut self, session: (SlotId, usize), established: bool, now: Millis) {
        if established {
            self.seen.insert(session, now);
        }
        self.linked.insert(session, now);
    }

    /// A while went by: notes which nodes have sessions with hubs, and which may be forgotten.
    pub(crate) fn look(stage: &mut Stage) {
        let (Some(hubs), now) = (stage.plan.hubs, stage.now) else { return };
        let mut sessions = BTreeSet::new();
        for connection in &stage.connections {
            for side in 0..2 {
                let [end, other] = [side, 1 - side].map(|side| connection.ends[side]);
                if end.open {
                    let established = connection.established;
                    sessions.insert((end.slot, stage.slots[other.slot].node, established));
                }
            }
        }
        let ledger = &mut stage.ledger;
        for (slot, node, established) in sessions {
            ledger.saw((slot, node), established, now);
        }
        for ((hearer, node, ..), told) in &mut ledger.told {
            if hubs.is_hub(stage.slots[*hearer].node) {
                let seen = ledger.seen.get(&(*hearer, *node)).copied().unwrap_or(told.heard);
                told.doubtful |= now > (seen + hubs.node_timeout).saturating_sub(MARGIN_MS);
                let linked = ledger.linked.get(&(*hearer, *node)).copied().unwrap_or(seen);
                told.forgotten |= now > linked + hubs.node_timeout + MARGIN_MS;
            }
        }
    }

    /// Whether a process may still hold what it was told.
    pub(crate) fn may_live(told: &Told, clock: Millis) -> bool {
        told.upper + MARGIN_MS > clock
    }
}
