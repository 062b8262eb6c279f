//! Reading a table's changes in order, and all of it.

use crate::Millis;
use crate::entry::EntryRef;
use crate::shard::{Common, Shard};

/// Which changes a cursor follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follow {
    /// Those this process made: what is pushed live to peers.
    Local,
    /// Every one.
    All,
}

/// How far a table's changes had gone: one sequence number for each shard. Made by
/// [`Table::position`](crate::Table::position) and [`Cursor::position`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position(pub(crate) Vec<u64>);

/// A reader's place in the changes of a table, see [`Table::follow`](crate::Table::follow).
///
/// Near the newest change a cursor reads a ring of recent ones; one that fell behind scans the rows in storage order
/// for changes it has not seen. So a slow reader never holds memory, and an entry that changed a thousand times is
/// visited once, with its newest values.
#[derive(Debug)]
pub struct Cursor {
    pub(crate) follow: Follow,
    pub(crate) reader: usize,
    pub(crate) shards: Vec<ShardCursor>,
    /// The shard to go on with, so that no shard starves.
    pub(crate) turn: usize,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct ShardCursor {
    /// Everything before this sequence number was visited.
    pub(crate) next: u64,
    scan: Option<Scan>,
}

/// A pass over the rows for changes from `ShardCursor::next` up to `upto`.
#[derive(Clone, Copy, Debug)]
struct Scan {
    upto: u64,
    row: u32,
}

impl Cursor {
    /// How far this cursor has read: to follow on from there later, even with a new cursor. During a scan this is where
    /// the scan started.
    pub fn position(&self) -> Position {
        Position(self.shards.iter().map(|shard| shard.next - 1).collect())
    }
}

impl ShardCursor {
    pub(crate) fn after(position: u64) -> Self {
        Self { next: position + 1, scan: None }
    }

    /// Visits up to `limit` changed entries of a shard; returns how many. Fewer than `limit` means that the cursor has
    /// caught up.
    pub(crate) fn read(
        &mut self,
        common: &Common,
        shard: &mut Shard,
        (shard_number, reader, follow): (usize, usize, Follow),
        limit: usize,
        now: Millis,
        visit: &mut dyn FnMut(EntryRef<'_>),
    ) -> usize {
        let mut count = 0;
        while count < limit {
            if self.scan.is_none() && !self.begin(shard, follow) {
                break;
            }
            let upto = self.scan.map_or_else(|| shard.log.tail(), |scan| scan.upto);
            while count < limit {
                let Some(row) = self.next_row(shard) else { break };
                let stamp = shard.stamp(row);
                let wanted = (self.next..=upto).contains(&stamp.sequence())
                    && (follow == Follow::All || stamp.is_local())
                    && shard.is_live(common, row, now);
                if wanted {
                    visit(EntryRef::new(common, shard, shard_number, row, now));
                    count += 1;
                }
                if self.scan.is_none() {
                    self.next += 1;
                }
            }
            if self.scan.is_some_and(|scan| scan.row >= shard.row_count()) {
                self.next = upto + 1;
                self.scan = None;
            }
        }
        match follow {
            Follow::All => shard.log.saw_all(self.next - 1),
            Follow::Local => {
                shard.log.saw_local(self.next - 1);
                shard.log.set_live(reader, self.next);
            }
        }
        count
    }

    /// Decides how to go on: `false` when there is nothing to read, else in the ring, or by a scan that it starts.
    fn begin(&mut self, shard: &mut Shard, follow: Follow) -> bool {
        let tail = shard.log.tail();
        if follow == Follow::Local && self.next > shard.log.local_tail() {
            // Nothing but learned changes ahead: pass over them.
            self.next = tail + 1;
        }
        if self.next > tail {
            return false;
        }
        if self.next < shard.log.oldest() {
            self.scan = Some(Scan { upto: tail, row: 0 });
            // From now on a change of a row that the scan has passed must get a number above `upto`.
            match follow {
                Follow::All => shard.log.saw_all(tail),
                Follow::Local => shard.log.saw_local(tail),
            }
        }
        true
    }

    /// The next row to look at: of the scan, else of the ring.
    fn next_row(&mut self, shard: &Shard) -> Option<u32> {
        match &mut self.scan {
            Some(scan) => {
                let row = scan.row;
                scan.row += 1;
                (row < shard.row_count()).then_some(row)
            }
            None => {
                // A ring slot counts only while the row still has the slot's number; the caller checks by this.
                while self.next <= shard.log.tail() {
                    let row = shard.log.row(self.next);
                    if shard.stamp(row).sequence() == self.next {
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
    pub(crate) shard: usize,
    pub(crate) row: u32,
}
