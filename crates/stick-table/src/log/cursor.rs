//! Reading a table's changes in order, and all of it.

use crate::Millis;
use crate::common::Common;
use crate::defect::Defect;
use crate::entry::EntryRef;
use crate::log::ring::Tails;
use crate::stripe::Stripe;

/// Changes that a cursor does not follow are passed over when there are so many: a quarter of a large stripe's log.
const PASS_OVER: u64 = if cfg!(test) { 1 } else { 1 << 11 };

/// Which changes a cursor follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follow {
    /// Those this process made: what is pushed live to peers.
    Local,
    /// Every one.
    All,
    /// Every one, and the removal of keys by [`Table::remove`](crate::Table::remove) and
    /// [`Table::remove_where`](crate::Table::remove_where).
    AllAndRemovals,
}

impl Follow {
    pub(crate) const fn is_local(self) -> bool {
        matches!(self, Self::Local)
    }
}

/// What a cursor visits, see [`Table::read_changes`](crate::Table::read_changes).
pub enum Change<'a> {
    /// Some removals are not known any more: all that was visited before counts no longer, and every entry follows.
    StartOver,
    /// The entry of this canonical key was removed by hand. If it came back since, it follows as an [`Entry`](Self::Entry).
    Removed(&'a [u8]),
    /// The entry changed; with its newest values.
    Entry(EntryRef<'a>),
}

/// How far a table's changes had gone: one sequence number for each stripe. Made by
/// [`Table::position`](crate::Table::position) and [`Cursor::position`].
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Position(pub(crate) Vec<u64>);

impl Position {
    /// The sequence numbers, for a reader outside of the process; see [`Table::position_at`](crate::Table::position_at).
    pub fn numbers(&self) -> &[u64] {
        &self.0
    }

    /// Bytes it takes: some for each stripe.
    pub fn memory(&self) -> usize {
        size_of::<Self>() + size_of::<u64>() * self.0.capacity()
    }

    /// Most bytes that a position of the same table takes, as lists grow by doubling, from four.
    pub fn memory_bound(&self) -> usize {
        size_of::<Self>() + size_of::<u64>() * (2 * self.0.len()).max(4)
    }
}

impl Clone for Position {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }

    // Into the memory that is there: positions are kept for every acknowledgement.
    fn clone_from(&mut self, source: &Self) {
        self.0.clone_from(&source.0);
    }
}

/// A reader's place in the changes of a table, see [`Table::follow`](crate::Table::follow).
///
/// Near the newest change a cursor reads a ring of recent ones; one that fell behind scans the rows in storage order
/// for changes it has not seen. So a slow reader never holds memory, and an entry that changed a thousand times is
/// visited once, with its newest values.
#[derive(Debug)]
pub struct Cursor {
    pub(crate) follow: Follow,
    pub(crate) reader: usize,
    pub(crate) stripes: Vec<StripeCursor>,
    /// The stripe to go on with, so that no stripe starves.
    pub(crate) turn: usize,
    /// By stripe, for a cursor that follows removals: those up to this sequence number were visited.
    pub(crate) removed: Box<[u64]>,
}

/// In place of a sequence number, where a cursor starts over: removals before it reads the stripe do not concern it.
const UNREAD: u64 = u64::MAX;

#[derive(Clone, Copy, Debug)]
pub(crate) struct StripeCursor {
    /// Everything before this sequence number was visited.
    pub(crate) next: u64,
    scan: Option<Scan>,
}

/// A hold of a stripe's lock by the reader of a cursor.
pub(crate) struct Hold<'a> {
    pub(crate) common: &'a Common,
    pub(crate) stripe_number: usize,
    /// The cursor's number among those of the table.
    pub(crate) reader: usize,
    pub(crate) follow: Follow,
    pub(crate) now: Millis,
}

/// A pass over the rows for changes from `StripeCursor::next` up to `upto`.
#[derive(Clone, Copy, Debug)]
struct Scan {
    upto: u64,
    row: u32,
}

impl Cursor {
    /// Reads all entries once more.
    pub(crate) fn start_over(&mut self) {
        self.stripes.fill(StripeCursor::after(0));
        self.removed.fill(UNREAD);
    }

    /// Reads no removals but those to come. A defect.
    pub(crate) fn pass_removals(&mut self) {
        self.removed.fill(UNREAD);
    }

    /// Visits the removals of a stripe that follow those visited before, up to `limit`; returns how many, or `None` when some
    /// are not known any more. No entry is visited before all of them are: an entry that is there was made after its removal.
    pub(crate) fn read_removals(
        &mut self,
        number: usize,
        stripe: &Stripe,
        limit: usize,
        visit: &mut dyn FnMut(Change<'_>),
    ) -> Option<usize> {
        let Some(visited) = self.removed.get_mut(number) else { return Some(0) };
        let log = &stripe.log;
        if *visited == UNREAD {
            *visited = log.tail();
        } else if !log.removals().are_complete_after(*visited) && !Defect::MissedRemovalsPass.is_on() {
            return None;
        }
        let mut count = 0;
        for (sequence, key) in log.removals().after(*visited).take(limit) {
            visit(Change::Removed(key));
            *visited = sequence;
            count += 1;
        }
        if count < limit {
            *visited = log.tail();
        }
        Some(count)
    }

    /// How far this cursor has read: to follow on from there later, even with a new cursor. During a scan this is where
    /// the scan started.
    pub fn position(&self) -> Position {
        let mut position = Position::default();
        self.write_position(&mut position);
        position
    }

    /// As [`position`](Self::position), into a position that was used before.
    pub fn write_position(&self, position: &mut Position) {
        position.0.clear();
        position.0.extend(self.stripes.iter().map(|stripe| stripe.next - 1));
    }
}

impl StripeCursor {
    pub(crate) fn after(position: u64) -> Self {
        Self { next: position + 1, scan: None }
    }

    /// Changes from here on, at most.
    pub(crate) fn backlog(&self, tails: &Tails, follow: Follow) -> u64 {
        let tail = if follow.is_local() { tails.local() } else { tails.all() };
        // A scan has to come to its end, whatever it finds.
        (tail + 1).saturating_sub(self.next).max(self.scan.is_some().into())
    }

    /// Whether a stripe is worth its lock: there is news, or so much to pass over that the ring may soon forget it.
    pub(crate) fn is_due(&self, tails: &Tails, follow: Follow) -> bool {
        self.backlog(tails, follow) > 0 || tails.all().saturating_sub(self.next) >= PASS_OVER
    }

    /// Visits up to `limit` changed entries of a stripe, and looks at no more than `budget` rows to find them; takes from
    /// the budget what it used. Returns how many were visited.
    pub(crate) fn read(
        &mut self,
        stripe: &mut Stripe,
        hold: &Hold<'_>,
        limit: usize,
        budget: &mut u32,
        visit: &mut dyn FnMut(Change<'_>),
    ) -> usize {
        let &Hold { common, stripe_number, reader, follow, now } = hold;
        let mut count = 0;
        while count < limit && *budget > 0 {
            if self.scan.is_none() && !self.begin(stripe, follow) {
                break;
            }
            let upto = self.scan.map_or_else(|| stripe.log.tail(), |scan| scan.upto);
            while count < limit && *budget > 0 {
                let Some(row) = self.next_row(stripe, budget) else { break };
                let stamp = stripe.stamp(row);
                let wanted = (self.next..=upto).contains(&stamp.sequence())
                    && (!follow.is_local() || stamp.is_local())
                    && (stripe.is_live(common, row, now) || Defect::DeadEntriesReturn.is_on());
                if wanted {
                    visit(Change::Entry(EntryRef::new(common, stripe, stripe_number, row, now)));
                    count += 1;
                }
                if self.scan.is_none() {
                    self.next += 1;
                }
            }
            if self.scan.is_some_and(|scan| scan.row >= stripe.row_count()) {
                self.next = upto + 1;
                self.scan = None;
            }
        }
        if follow.is_local() {
            stripe.log.saw_local(self.next - 1);
            stripe.log.set_live(reader, self.next);
        } else {
            stripe.log.saw_all(self.next - 1);
        }
        count
    }

    /// Decides how to go on: `false` when there is nothing to read, else in the ring, or by a scan that it starts.
    fn begin(&mut self, stripe: &mut Stripe, follow: Follow) -> bool {
        let tail = stripe.log.tail();
        if follow.is_local() && self.next > stripe.log.local_tail() {
            // Nothing but learned changes ahead: pass over them.
            self.next = tail + 1;
        }
        if self.next > tail {
            return false;
        }
        if self.next < stripe.log.oldest() {
            self.scan = Some(Scan { upto: tail, row: 0 });
            // From now on a change of a row that the scan has passed must get a number above `upto`.
            match follow {
                Follow::All | Follow::AllAndRemovals => stripe.log.saw_all(tail),
                Follow::Local if Defect::NoScanMark.is_on() => {}
                Follow::Local => stripe.log.saw_local(tail),
            }
        }
        true
    }

    /// The next row to look at: of the scan, else of the ring.
    fn next_row(&mut self, stripe: &Stripe, budget: &mut u32) -> Option<u32> {
        match &mut self.scan {
            Some(scan) => {
                let row = scan.row;
                scan.row += 1;
                *budget -= 1;
                (row < stripe.row_count()).then_some(row)
            }
            None => {
                // A ring slot counts only while the row still has the slot's number; the caller checks by this.
                while self.next <= stripe.log.tail() && *budget > 0 {
                    let row = stripe.log.row(self.next);
                    *budget -= 1;
                    if stripe.stamp(row).sequence() == self.next {
                        return Some(row);
                    }
                    self.next += 1;
                }
                None
            }
        }
    }
}

/// A walk over all entries of a table in storage order, see [`Table::walk`](crate::Table::walk). Entries that exist for
/// the whole walk are visited exactly once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Walk {
    pub(crate) stripe: usize,
    pub(crate) row: u32,
}

impl Walk {
    /// Where the walk is, for a reader that goes on later.
    pub const fn to_bits(self) -> u64 {
        (self.stripe as u64) << 32 | self.row as u64
    }

    /// The walk that [`to_bits`](Self::to_bits) described. Every number is one: behind the table it is at its end.
    pub const fn from_bits(bits: u64) -> Self {
        Self { stripe: (bits >> 32) as usize, row: bits as u32 }
    }
}
