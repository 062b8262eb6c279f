//! The sending side of a session: lessons and live updates.
//!
//! Live are the changes of this process, in a section that relays those of other peers as well (see [`Relays`]).

mod send_table;
pub(crate) use send_table::SendTable;

use std::sync::Arc;

use stick_aggregate::OwnWalk;
use stick_table::defect::Defect;
use stick_table::{EntryRef, Follow, Millis, Origin, Position, Table, Walk};

use super::Resume;
use super::relays::Relays;
use super::row::{RowContext, Scratch};
use crate::{
    Ack, Control, Definition, Padding, PeerLevel, SendDictionary, SharedTable, TablePart, TableSet,
    UpdateHeader, UpdateIds,
};

/// Entries encoded in one hold of a stripe's lock.
const ENTRIES_PER_HOLD: usize = 128;
/// Holds in one call that gave nothing to teach: where most entries are of no use to the peer, others have their turn too.
const MAX_FRUITLESS: u32 = 4;
/// A live update whose entry was touched longer ago than this carries its remaining lifetime, in ms, instead of letting
/// the receiver start the whole one.
const FRESH_MS: u32 = 1_000;

/// How long a peer may take to confirm its lesson, in ms, counted from when the end of the lesson was handed out. HAProxy
/// confirms as soon as it read the end, so the time is that of what is left in buffers; a peer that confirms never must hear of
/// changes all the same.
const CONFIRMATION_MS: u64 = 60_000;

/// The lesson this side gives.
enum Lesson {
    None,
    Running(LessonWalk),
    /// Ended at this time, in ms; nothing is sent until the peer confirms.
    Unconfirmed(Millis),
}

/// How far a lesson is.
#[derive(Clone, Copy, Default)]
struct LessonWalk {
    /// The place of the table.
    table: usize,
    /// How far in its entries.
    rows: Walk,
    /// How far in what the peer told of it itself.
    own: OwnWalk,
}

/// Counts of what was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Live updates.
    pub live_updates: u64,
    /// Updates of lessons.
    pub lesson_updates: u64,
    /// Lessons that the peer confirmed.
    pub lessons: u64,
}

pub(crate) struct Teacher {
    set: Arc<TableSet>,
    /// Whether `tables` has been filled.
    has_begun: bool,
    /// What [`TableSet::version`] was when it was last looked for tables that took the place of others.
    looked_at: u64,
    pub(crate) tables: Vec<SendTable>,
    /// The table to push next, so that none starves.
    turn: usize,
    /// The table whose definition was sent last.
    pub(crate) defined: Option<usize>,
    pub(crate) dictionary: SendDictionary,
    scratch: Scratch,
    lesson: Lesson,
    resume: Resume,
    /// The peer's number.
    origin: Origin,
    /// The peer's shard, 0 for all.
    shard: u32,
    level: PeerLevel,
    timed: bool,
    padding: Padding,
    /// Whether the peer is told no results yet.
    holds_results: bool,
    /// Most live updates of a table in one pass.
    max_updates: usize,
    /// Set where changes of other peers are passed on.
    relays: Option<Relays>,
    pub(crate) sent: Sent,
}

impl Teacher {
    pub(crate) fn new(
        set: Arc<TableSet>,
        resume: Resume,
        (origin, shard, level): (Origin, u32, PeerLevel),
        timed: bool,
        max_updates: usize,
        relays: Option<Relays>,
    ) -> Self {
        Self {
            set,
            has_begun: false,
            looked_at: 0,
            tables: Vec::new(),
            turn: 0,
            defined: None,
            dictionary: SendDictionary::new(),
            scratch: Scratch::new(),
            lesson: Lesson::None,
            resume,
            origin,
            shard,
            level,
            timed,
            padding: Padding::ForOldReceivers,
            holds_results: false,
            max_updates,
            relays,
            sent: Sent::default(),
        }
    }

    /// Follows all tables. To be called before anything of the session is taken or sent, and not by who made it: that takes
    /// the locks of all stripes of all tables, and whoever makes a session holds the section's.
    pub(crate) fn begin(&mut self) {
        self.begin_some(usize::MAX);
    }

    /// The same for as many tables at most; whether there are more.
    pub(crate) fn begin_some(&mut self, tables: usize) -> bool {
        if !self.has_begun {
            let most = self.tables.len().saturating_add(tables);
            self.add_tables(Table::mark, most);
            self.has_begun = self.tables.len() < most;
        }
        !self.has_begun
    }

    /// The peer showed that it reads every payload length right, so none needs to be lengthened.
    pub(crate) fn peer_reads_all_lengths(&mut self) {
        self.padding = Padding::None;
    }

    /// Follows tables that were added since, until there are `most`; `session_start` says where they stood when the session began.
    fn add_tables(&mut self, session_start: fn(&Table) -> Position, most: usize) {
        while self.tables.len() < most
            && let Some(shared) = self.set.get(self.tables.len())
        {
            let start = session_start(shared.table());
            let table = self.send_table(shared, self.set.update_ids(), start);
            self.tables.push(table);
        }
        self.follow_replaced();
    }

    fn send_table(&self, shared: Arc<SharedTable>, ids: UpdateIds, session_start: Position) -> SendTable {
        let passes_on = self.relays.is_some() || matches!(shared.part(), TablePart::PassedOn);
        let follow = if passes_on { Follow::All } else { Follow::Local };
        let follow = shared.is_told_to(self.level).then_some(follow);
        SendTable::new(shared, self.resume.clone(), follow, ids, session_start)
    }

    /// Goes on with the tables that took the place of others: they are announced again, and all of them is new to the peer.
    fn follow_replaced(&mut self) {
        let version = self.set.version();
        if std::mem::replace(&mut self.looked_at, version) == version {
            return;
        }
        for place in 0..self.tables.len() {
            let old = &self.tables[place];
            if self.set.is_current(&old.shared) {
                continue;
            }
            let Some(shared) = self.set.get(place) else { return };
            let (ids, start) =
                (UpdateIds { after: old.last_id, stride: old.id_stride }, shared.table().start());
            self.tables[place] = self.send_table(shared, ids, start);
            self.tables[place].is_news = true;
            if self.defined == Some(place) {
                self.defined = None;
            }
            if let Lesson::Running(walk) = &mut self.lesson
                && walk.table >= place
            {
                *walk = LessonWalk { table: place, ..LessonWalk::default() };
            }
        }
    }

    /// Tells the peer no results for now, or all from now on.
    pub(crate) fn hold_results(&mut self, holds: bool) {
        self.holds_results = holds;
    }

    /// Takes a request for a lesson.
    pub(crate) fn lesson_requested(&mut self) {
        self.start_lesson();
        self.tables.iter_mut().for_each(SendTable::forget_earlier_sessions);
    }

    /// Begins a lesson, from the start also when one is running (peers-protocol §13.2).
    pub(crate) fn start_lesson(&mut self) {
        self.begin();
        self.add_tables(Table::start, usize::MAX);
        self.lesson = Lesson::Running(LessonWalk::default());
        // A lesson announces each table, the first one too.
        self.defined = None;
    }

    /// Whether a lesson is running or waits to be confirmed.
    pub(crate) fn is_teaching(&self) -> bool {
        !matches!(self.lesson, Lesson::None)
    }

    /// Takes a confirmation; whether it ended a lesson. One out of the blue changes nothing.
    pub(crate) fn confirmed(&mut self) -> bool {
        if !matches!(self.lesson, Lesson::Unconfirmed(_)) {
            return false;
        }
        self.end_lesson();
        self.set.taught(self.origin);
        self.sent.lessons += 1;
        true
    }

    /// When the peer is not waited for any more to confirm its lesson, in ms.
    pub(crate) fn confirmation_timeout(&self) -> Option<Millis> {
        match self.lesson {
            Lesson::Unconfirmed(ended) if !Defect::ConfirmationIsAwaited.is_on() => {
                Some(ended + CONFIRMATION_MS)
            }
            _ => None,
        }
    }

    /// Pushes live updates again to a peer that does not confirm its lesson in time; whether that is so.
    pub(crate) fn give_up_confirmation(&mut self, now: Millis) -> bool {
        let is_late = self.confirmation_timeout().is_some_and(|at| now >= at);
        if is_late {
            self.end_lesson();
        }
        is_late
    }

    fn end_lesson(&mut self) {
        self.lesson = Lesson::None;
        self.tables.iter_mut().for_each(SendTable::lesson_ended);
    }

    /// Takes an acknowledgement; whether it is of something sent and not acknowledged. Those of a lesson's updates say
    /// nothing about live ones, and come at any time.
    pub(crate) fn acknowledge(&mut self, ack: Ack) -> bool {
        if self.is_teaching() {
            return false;
        }
        let place = (ack.table_id as usize).checked_sub(1);
        let table = place.and_then(|place| self.tables.get_mut(place));
        table.is_some_and(|table| table.acknowledge(ack.update_id))
    }

    /// Appends what is to be taught, or pushed unless that is `held` back, until `out` holds `limit` bytes; whether there
    /// is more.
    pub(crate) fn transmit(
        &mut self,
        now: Millis,
        up_to_date: bool,
        held: bool,
        limit: usize,
        out: &mut Vec<u8>,
    ) -> bool {
        self.begin();
        self.add_tables(Table::start, usize::MAX);
        match self.lesson {
            // The sums come before the peer's own values.
            Lesson::Running(_) if self.holds_results => false,
            Lesson::Running(walk) => {
                self.teach(walk, now, limit, out);
                if self.awaits_replacement() {
                    return false;
                }
                if let Lesson::Running(walk) = self.lesson
                    && walk.table >= self.tables.len()
                    && !Defect::LessonNeverEnds.is_on()
                {
                    let end = if up_to_date { Control::ResyncFinished } else { Control::ResyncPartial };
                    end.encode(out);
                    self.lesson = Lesson::Unconfirmed(now);
                }
                matches!(self.lesson, Lesson::Running(_))
            }
            Lesson::Unconfirmed(_) => false,
            Lesson::None if held => false,
            Lesson::None => self.push(now, limit, out),
        }
    }

    /// Whether the lesson has come to a source whose place another one is about to take.
    fn awaits_replacement(&self) -> bool {
        let Lesson::Running(walk) = self.lesson else { return false };
        self.tables
            .get(walk.table)
            .and_then(|table| table.shared.aggregate())
            .is_some_and(|source| source.is_replaced())
    }

    fn teach(&mut self, mut walk: LessonWalk, now: Millis, limit: usize, out: &mut Vec<u8>) {
        let mut fruitless = 0;
        while walk.table < self.tables.len() && out.len() < limit && fruitless < MAX_FRUITLESS {
            let before = self.sent.lesson_updates;
            let shared = Arc::clone(&self.tables[walk.table].shared);
            if shared.aggregate().is_some_and(|source| source.is_replaced()) {
                break;
            }
            let more = self.tells(&shared) && !shared.is_of_orders() && {
                self.follow_told_types(walk.table);
                self.define(walk.table, out);
                self.teach_some(&shared, &mut walk, now, out)
            };
            fruitless += u32::from(self.sent.lesson_updates == before);
            if !more {
                walk = LessonWalk { table: walk.table + 1, ..LessonWalk::default() };
            }
        }
        self.lesson = Lesson::Running(walk);
    }

    /// Whether the peer is told of a table now.
    fn tells(&self, shared: &SharedTable) -> bool {
        let holds = (self.holds_results || self.set.holds_results()) && !Defect::TellsAtOnce.is_on();
        let held = shared.is_result() && holds && self.level != PeerLevel::Itself;
        shared.is_told_to(self.level) && !held
    }

    /// Teaches a hold of entries; whether there are more in this table.
    fn teach_some(
        &mut self,
        shared: &SharedTable,
        walk: &mut LessonWalk,
        now: Millis,
        out: &mut Vec<u8>,
    ) -> bool {
        let Self { tables, dictionary, scratch, origin, shard, timed, padding, sent, relays, .. } = self;
        let (origin, shard) = (*origin, *shard);
        let table = &mut tables[walk.table];
        let (padding, is_v2_0) = (*padding, !*timed);
        // Without an expiry here there is no lifetime to tell: the receiver's own applies.
        let tells = *timed && !Defect::LessonWithoutLifetimes.is_on();
        let mut context = RowContext { dictionary, padding, is_v2_0, now: now as u32, scratch, writer: None };
        let SendTable { last_id, id_stride, encoder, session_start, untold, .. } = table;
        // The process before this one may just say, in its session, which data types it does not store. A row that it told holds
        // nothing in them, and must not go out by the definition from before.
        let before = walk.rows;
        let mut is_outdated = false;
        let mut next_header = |remaining: Option<u32>| {
            *last_id = last_id.wrapping_add(*id_stride);
            sent.lesson_updates += 1;
            UpdateHeader { id: Some(*last_id), lifetime_ms: remaining.filter(|_| tells) }
        };
        let more = if let Some(aggregate) = shared.aggregate() {
            // What the peer told before it lost it, and in this session: it is all its own.
            aggregate.own_values(origin, &mut walk.own, ENTRIES_PER_HOLD, now, |own| {
                if Defect::OwnValuesNotTaught.is_on() {
                    return;
                }
                if shard == 0 || shared.shard_of(own.key()) == shard {
                    let remaining = own.remaining().filter(|_| !Defect::OwnValuesLiveAnew.is_on());
                    encoder.encode(&own, next_header(remaining), &mut context, out);
                }
            })
        } else {
            shared.table().walk(&mut walk.rows, ENTRIES_PER_HOLD, now, |entry| {
                is_outdated |= shared.untold() != *untold;
                if is_outdated {
                    return;
                }
                // What the peer told in this session it has, and by now perhaps with newer values.
                let is_its = entry.origin() == origin
                    || relays.as_ref().is_some_and(|it| it.is_told_by(entry.origin(), origin));
                let told = is_its && entry.changed_since(session_start);
                let left_out = Defect::LessonWithoutLearned.is_on() && !entry.origin().is_local();
                if !told && !left_out && !is_foreign(shared, shard, entry) {
                    encoder.encode(entry, next_header(entry.remaining()), &mut context, out);
                }
            })
        };
        context.scratch.flush(out);
        if is_outdated {
            // Again, after another definition.
            walk.rows = before;
        }
        more || is_outdated
    }

    /// Pushes changes, table by table; whether there may be more.
    fn push(&mut self, now: Millis, limit: usize, out: &mut Vec<u8>) -> bool {
        let count = self.tables.len();
        let mut more = false;
        for step in 0..count {
            let place = (self.turn + step) % count;
            if out.len() >= limit {
                self.turn = place;
                return true;
            }
            more |= self.push_table(place, now, limit, out);
        }
        more
    }

    /// Pushes changes of one table; whether there may be more.
    fn push_table(&mut self, place: usize, now: Millis, limit: usize, out: &mut Vec<u8>) -> bool {
        let is_news = self.tables[place].is_news && self.tables[place].feed.is_some();
        if !(is_news || self.tables[place].is_due()) || !self.tells(&self.tables[place].shared) {
            return false;
        }
        self.follow_told_types(place);
        let mut left = self.max_updates;
        let mut pushed = 0;
        while left > 0 && out.len() < limit {
            let hold = left.min(ENTRIES_PER_HOLD);
            let before = (out.len(), self.defined);
            self.define(place, out);
            let (visited, sent) = self.push_hold(place, hold, now, out);
            if sent == 0 && !self.tables[place].is_news {
                // Only foreign or dead entries: no reason to announce the table.
                out.truncate(before.0);
                self.defined = before.1;
            }
            pushed += sent;
            left -= visited;
            if visited < hold || sent == 0 {
                break;
            }
        }
        self.sent.live_updates += pushed as u64;
        let table = &mut self.tables[place];
        table.is_news = false;
        if pushed > 0 {
            table.shared.table().count_pushed(pushed as u64);
        }
        table.end_pass(pushed);
        table.behind() > 0
    }

    /// Pushes up to `hold` entries of one table; returns how many were visited and how many of them sent.
    fn push_hold(&mut self, place: usize, hold: usize, now: Millis, out: &mut Vec<u8>) -> (usize, usize) {
        let Self { tables, dictionary, scratch, origin, shard, timed, padding, relays, .. } = self;
        let SendTable { shared, encoder, feed, last_id, id_stride, .. } = &mut tables[place];
        let Some(feed) = feed else { return (0, 0) };
        let (padding, is_v2_0) = (*padding, !*timed);
        let mut context = RowContext { dictionary, padding, is_v2_0, now: now as u32, scratch, writer: None };
        let expire = shared.definition().expire;
        let to_relay = relays.as_ref().filter(|relays| relays.contains(*origin));
        let mut sent = 0;
        let visited = feed.read_entries(hold, now, |entry| {
            // A change of the peer itself, of interest to others.
            let is_its = || relays.as_ref().is_some_and(|it| it.is_made_by(entry.origin(), *origin));
            if entry.origin() == *origin || is_foreign(shared, *shard, entry) || is_its() {
                return;
            }
            let not_passed_on =
                || entry.is_of_lesson() || to_relay.is_some_and(|it| it.contains(entry.origin()));
            if relays.is_some() && not_passed_on() {
                return;
            }
            *last_id = last_id.wrapping_add(*id_stride);
            let tells = *timed
                && shared.tells_lifetimes()
                && !Defect::LiveWithoutLifetimes.is_on()
                && !Defect::DeadEntriesReturn.is_on();
            let remaining = entry.remaining().filter(|_| tells);
            let lifetime_ms = remaining.filter(|ms| ms.saturating_add(FRESH_MS) < expire.unwrap_or(0));
            let header = UpdateHeader { id: Some(*last_id), lifetime_ms };
            context.writer = to_relay.and_then(|relays| relays.name_of(entry.origin()));
            encoder.encode(entry, header, &mut context, out);
            sent += 1;
        });
        scratch.flush(out);
        (visited, sent)
    }

    /// Announces a table again when more of it is told by now.
    fn follow_told_types(&mut self, place: usize) {
        if self.tables[place].follow_told_types() && self.defined == Some(place) {
            self.defined = None;
        }
    }

    /// Announces the table at a place unless it was the last one announced (peers-protocol §7.6).
    fn define(&mut self, place: usize, out: &mut Vec<u8>) {
        if self.defined == Some(place) {
            return;
        }
        let shared = &self.tables[place].shared;
        let definition = Definition::of_table(shared.id(), shared.definition());
        definition.telling(|data_type| shared.tells(data_type)).encode_unchecked(self.padding, out);
        self.defined = Some(place);
    }
}

/// Whether an entry belongs to another shard than the peer's (peers-protocol §15).
fn is_foreign(shared: &SharedTable, shard: u32, entry: EntryRef<'_>) -> bool {
    shard != 0 && shared.shard_of(entry.key()) != shard
}

#[cfg(test)]
mod tests;
