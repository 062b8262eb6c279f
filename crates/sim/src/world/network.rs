//! Connections: who reaches whom, what is sent, what arrives.

use haproxy_peers::ProtocolVersion;

use super::World;
use crate::ledger::Ledger;
use crate::pipe::{Arrival, Pipe};
use crate::stage::{Connection, End, Seen, Stage, Way, node_name, table_of_name};
use crate::tap::{Noted, Said, Tap};
use crate::truth::{Hearer, Sender, SlotId};
use crate::{Link, Want};

impl World {
    /// Does what processes want until nobody wants anything.
    pub(super) fn settle(&mut self) {
        for _ in 0..super::MAX_ROUNDS {
            let Some(slot) = self.dirty.pop_first() else { return };
            self.serve(slot);
        }
        self.fail("the world does not come to rest".into());
    }

    /// Takes what a process wants and has to send.
    fn serve(&mut self, slot: SlotId) {
        if self.stage.awake(slot, 0) > self.stage.now {
            return;
        }
        self.carry_out(slot);
        for at in 0..self.stage.connections.len() {
            for side in 0..2 {
                let end = self.stage.connections[at].ends[side];
                if end.slot == slot && end.open {
                    self.transmit(at, side);
                }
            }
        }
        self.carry_out(slot);
        self.stage.connections.retain(|connection| connection.ends.iter().any(|end| end.open));
        self.see(&Seen::Acted(slot));
        let it = &mut self.stage.slots[slot];
        // Whatever is done with a process, it is served after that.
        it.timeout = it.process.as_ref().and_then(|process| process.timeout());
        if !it.listens && it.process.as_ref().is_some_and(|process| process.has_stopped()) {
            self.end_process(slot, false);
        }
    }

    fn carry_out(&mut self, slot: SlotId) {
        while let Some(want) = self.stage.slots[slot].process.as_mut().and_then(|process| process.want()) {
            match want {
                Want::Connect { link, peer } => self.connect(slot, link, &peer),
                Want::Close(link) => {
                    if let Some((at, side)) = self.find(slot, link) {
                        // What it said before still goes out.
                        self.transmit(at, side);
                        self.close(at, side);
                    }
                }
            }
        }
    }

    fn find(&self, slot: SlotId, link: Link) -> Option<(usize, usize)> {
        let is_it = |end: &End| end.slot == slot && end.link == link && end.open;
        let found =
            |(at, connection): (usize, &Connection)| Some((at, connection.ends.iter().position(is_it)?));
        self.stage.connections.iter().enumerate().find_map(found)
    }

    /// The process that takes over from one: whatever becomes of that one later.
    fn successor(&self, slot: SlotId) -> Option<SlotId> {
        let it = &self.stage.slots[slot];
        let is_next = |other: &SlotId| {
            let other = &self.stage.slots[*other];
            (other.node, other.section) == (it.node, it.section) && other.process.is_some()
        };
        (slot + 1..self.stage.slots.len()).find(is_next)
    }

    fn connect(&mut self, slot: SlotId, link: Link, peer: &str) {
        let (node, section) = (self.stage.slots[slot].node, self.stage.slots[slot].section);
        let target = (0..self.stage.plan.nodes.len())
            .find(|&node| node_name(node) == peer)
            .filter(|&other| !self.is_parted(node, other))
            .and_then(
                |other| if other == node { self.successor(slot) } else { self.stage.serving(other, section) },
            );
        let clock = self.stage.clock(slot);
        let Some(process) = &mut self.stage.slots[slot].process else { return };
        let Some(target) = target else {
            if peer == node_name(node) {
                process.no_successor(clock);
            }
            process.closed(clock, link);
            return;
        };
        process.connected(clock, link);
        let id = self.next_connection;
        self.next_connection += 1;
        let far = Link(id);
        let pipe = |part: u64| Pipe::new(self.stage.plan.line, self.random(id * 2 + part));
        let mut taps = [Tap::new(true), Tap::new(false)];
        taps.iter_mut().for_each(|tap| tap.nothing(self.stage.now));
        let ends = [End { slot, link, open: true }, End { slot: target, link: far, open: true }];
        let pipes = [pipe(0), pipe(1)];
        self.stage.connections.push(Connection { id, ends, pipes, taps, version: None, established: false });
        let Self { stage: Stage { slots, plan, trace, now, .. }, .. } = self;
        let name = |slot: SlotId| slots[slot].name(plan, slot);
        trace.note(*now, id, || format!("{} connects to {} ({id})", name(slot), name(target)));
        let clock = self.stage.clock(target);
        if let Some(process) = &mut self.stage.slots[target].process {
            process.accepted(clock, far);
        }
        self.dirty.insert(target);
        self.dirty.insert(slot);
    }

    /// Sends what one end of a connection has to say.
    fn transmit(&mut self, at: usize, side: usize) {
        let now = self.stage.now;
        let (slot, link) =
            (self.stage.connections[at].ends[side].slot, self.stage.connections[at].ends[side].link);
        let clock = self.stage.clock(slot);
        let room = self.stage.connections[at].pipes[side].room();
        if room == 0 {
            return;
        }
        let mut bytes = Vec::new();
        let Some(process) = &mut self.stage.slots[slot].process else { return };
        process.transmit(clock, link, room, &mut bytes);
        let untimed = process.restarts_lifetimes();
        if bytes.is_empty() {
            self.stage.connections[at].taps[side].nothing(now);
            return;
        }
        let node = self.stage.slots[slot].node;
        let stage = &mut self.stage;
        stage.trace.hash(now, &bytes);
        let connection = &mut stage.connections[at];
        let old = connection.version == Some(ProtocolVersion::V2_0);
        let to = connection.ends[1 - side].slot;
        let mut tap = std::mem::replace(&mut connection.taps[side], Tap::new(true));
        let mut said: Vec<(Noted, Way)> = Vec::new();
        let stage = &self.stage;
        let (truth, plan, clocks) = (&stage.truth, &stage.plan, &stage.clocks);
        let result = tap.say(now, &bytes, bytes.len() < room, |noted| {
            let carried = match &noted.said {
                Said::Update(update) => table_of_name(&update.table).and_then(|table| {
                    let clock = (clocks[node].at(noted.made), clocks[node].at(noted.entered));
                    let sender = Sender { slot, node, clock, untimed: old || untimed, old };
                    truth.carry(plan, sender, (table, update.key), update)
                }),
                _ => None,
            };
            let way = Way { carried, word: Ledger::word(stage, (slot, to), old, noted) };
            said.push((noted.clone(), way.clone()));
            way
        });
        let connection = &mut self.stage.connections[at];
        connection.taps[side] = tap;
        connection.pipes[side].send(now, bytes);
        if let Err(error) = result {
            let who = self.stage.name(slot);
            self.fail(format!("{who} says something malformed: {error}"));
        }
        for (noted, way) in &said {
            self.note(at, side, noted);
            self.see(&Seen::Said(at, side, noted, way));
        }
    }

    /// Tells the trace what was said.
    fn note(&mut self, at: usize, side: usize, noted: &Noted) {
        if noted.said == Said::Other {
            return;
        }
        let connection = &self.stage.connections[at];
        let (from, to) = (connection.ends[side].slot, connection.ends[1 - side].slot);
        let id = connection.id;
        let Self { stage: Stage { slots, plan, trace, now, .. }, .. } = self;
        let name = |slot: SlotId| slots[slot].name(plan, slot);
        trace.note(*now, id, || format!("{} to {} ({id}): {:?}", name(from), name(to), noted.said));
    }

    /// One end closes: it hears nothing more, and the other end hears of it after what was sent.
    pub(super) fn close(&mut self, at: usize, side: usize) {
        let now = self.stage.now;
        let connection = &mut self.stage.connections[at];
        connection.ends[side].open = false;
        connection.pipes[side].finish(now);
        connection.pipes[1 - side].mute();
        let (id, slot) = (connection.id, connection.ends[side].slot);
        let Self { stage: Stage { slots, plan, trace, .. }, .. } = self;
        trace.note(now, id, || format!("{} closes ({id})", slots[slot].name(plan, slot)));
    }

    /// Hands over what has arrived.
    pub(super) fn deliver_due(&mut self) {
        for at in 0..self.stage.connections.len() {
            for side in 0..2 {
                let now = self.stage.now;
                let reader = self.stage.connections[at].ends[1 - side];
                if reader.open && self.stage.awake(reader.slot, 0) > now {
                    continue;
                }
                let Some(arrival) = self.stage.connections[at].pipes[side].read(now) else { continue };
                self.dirty.insert(self.stage.connections[at].ends[side].slot);
                if !reader.open {
                    continue;
                }
                self.dirty.insert(reader.slot);
                let clock = self.stage.clock(reader.slot);
                let Some(process) = &mut self.stage.slots[reader.slot].process else { continue };
                match arrival {
                    Arrival::Bytes(bytes) => {
                        process.receive(clock, reader.link, &bytes);
                        self.stage.trace.hash(now, &bytes);
                        self.hear(at, side, bytes.len());
                        // What it closes now hears nothing more.
                        self.carry_out(reader.slot);
                    }
                    Arrival::End => {
                        process.closed(clock, reader.link);
                        self.close(at, 1 - side);
                        self.carry_out(reader.slot);
                    }
                }
            }
        }
    }

    /// Notes what a process has heard, after it did.
    fn hear(&mut self, at: usize, side: usize, bytes: usize) {
        let heard = self.stage.connections[at].taps[side].hear(bytes);
        let [sender, reader] = [side, 1 - side].map(|side| self.stage.connections[at].ends[side].slot);
        let (node, clock) = (self.stage.slots[reader].node, self.stage.clock(reader));
        let session = (reader, self.stage.slots[sender].node);
        let established = self.stage.connections[at].established;
        self.stage.ledger.saw(session, established, self.stage.now);
        for (noted, way) in heard {
            if let Some(word) = &way.word {
                Ledger::hear(&mut self.stage, (sender, reader), word);
            }
            if matches!(noted.said, Said::End { .. }) {
                let teacher = self.stage.slots[sender].node;
                self.stage.ledger.lesson_ended(reader, teacher);
            }
            match (&noted.said, &way.carried) {
                (Said::Hello { version, .. }, _) => {
                    self.stage.connections[at].version = Some(*version);
                }
                (Said::Status(status), _) => {
                    self.stage.connections[at].established = *status == 200;
                }
                (Said::Error, _) => {
                    let who = self.stage.name(reader);
                    self.fail(format!("{who} is told that it said something malformed"));
                }
                (Said::Update(_), Some(carried)) => {
                    let stage = &mut self.stage;
                    let keeps_own = !stage.slots[reader].haproxy;
                    let left = match stage.read(reader, carried.key) {
                        Some(reading) => (reading.gpc0 == carried.value).then_some(reading.remaining_ms),
                        // What is over for its sender is over here (peers-protocol §8.3). A HAProxy holds it, and may tell
                        // it; with a stickd that ends the same value only.
                        None => {
                            let before = stage.truth.last_held(reader, carried.key).map(|held| held.value);
                            let ends = !keeps_own || before == Some(carried.value);
                            (ends && carried.may_be_over()).then_some(Some(0))
                        }
                    };
                    if let Some(left) = left {
                        let process = stage.slots[reader].process.as_ref();
                        let clamps = process.is_none_or(|process| process.clamps_lifetimes());
                        let is_late = stage.is_late(reader, carried.key);
                        let hearer = Hearer { slot: reader, node, clock, keeps_own, clamps, is_late };
                        let sends_own = stage.is_second_writer(sender, carried);
                        stage.truth.mislead(sends_own, &hearer, carried);
                        stage.truth.hear(&stage.plan, &hearer, carried, left);
                    }
                }
                _ => {}
            }
            self.see(&Seen::Heard(at, side, &noted));
        }
    }
}
