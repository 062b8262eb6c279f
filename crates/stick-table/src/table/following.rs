//! Cursors over a table's changes.

use super::Table;
use super::all::{ROWS_PER_CALL, ROWS_PER_HOLD};
use crate::log::cursor::{Change, Cursor, Follow, Hold, Position, StripeCursor};
use crate::{EntryRef, Millis};

impl Table {
    /// A cursor that visits the changes after `position`. Give it back with [`unfollow`](Self::unfollow). A
    /// [`Feed`](crate::Feed) is a cursor for a receiver that acknowledges.
    ///
    /// Removals are kept only while a cursor [follows](Follow::AllAndRemovals) them. A new one starts over, unless another one
    /// was there since `position`, or nothing ever changed.
    pub fn follow(&self, follow: Follow, position: &Position) -> Cursor {
        let reader = self.take_reader();
        let with_removals = follow == Follow::AllAndRemovals;
        let stripes: Vec<_> = (self.stripes.iter().zip(&self.tails).enumerate())
            .map(|(number, (stripe, tails))| {
                if follow == Follow::All && tails.all() == 0 {
                    return StripeCursor::after(0);
                }
                let mut stripe = stripe.lock();
                let after = position.0.get(number).copied().unwrap_or(0).min(stripe.log.tail());
                if follow.is_local() {
                    stripe.log.saw_local(after);
                    stripe.log.set_live(reader, after + 1);
                } else {
                    stripe.log.saw_all(after);
                }
                if with_removals {
                    stripe.log.follow_removals();
                }
                StripeCursor::after(after)
            })
            .collect();
        let removed = stripes.iter().filter(|_| with_removals).map(|at| at.next - 1).collect();
        Cursor { follow, reader, stripes, turn: 0, removed }
    }

    /// Ends a cursor and returns its position.
    #[expect(clippy::needless_pass_by_value, reason = "a cursor that has ended must not be used")]
    pub fn unfollow(&self, cursor: Cursor) -> Position {
        self.release(&cursor);
        cursor.position()
    }

    /// Ends a cursor that is not used any more.
    pub(crate) fn release(&self, cursor: &Cursor) {
        // Others are not known to the stripes.
        if cursor.follow != Follow::All {
            for stripe in &self.stripes {
                let log = &mut stripe.lock().log;
                match cursor.follow {
                    Follow::AllAndRemovals => log.unfollow_removals(),
                    Follow::Local | Follow::All => log.clear_live(cursor.reader),
                }
            }
        }
        self.readers.lock()[cursor.reader] = false;
    }

    fn take_reader(&self) -> usize {
        let mut readers = self.readers.lock();
        let free = readers.iter().position(|&taken| !taken);
        let reader = free.unwrap_or_else(|| {
            readers.push(false);
            readers.len() - 1
        });
        readers[reader] = true;
        reader
    }

    /// Visits up to `limit` entries that changed since the cursor's position; returns how many. The cursor has caught up
    /// when it [has no news](Self::has_news) afterwards. Each entry is visited with its newest values.
    ///
    /// Looks at about 16,000 rows at most, so that a call takes a fraction of a millisecond; it may visit fewer entries
    /// than `limit` for that.
    pub fn read(
        &self,
        cursor: &mut Cursor,
        limit: usize,
        now: Millis,
        mut visit: impl FnMut(EntryRef<'_>),
    ) -> usize {
        self.read_changes(cursor, limit, now, |change| {
            if let Change::Entry(entry) = change {
                visit(entry);
            }
        })
    }

    /// As [`read`](Self::read), with the [removals](Follow::AllAndRemovals) that the cursor follows. They count as visited
    /// entries do.
    ///
    /// Who applies what is visited to a copy, in that order, has the table's entries when the cursor has caught up, and beside
    /// them only what [expired](EntryRef::remaining) since or was evicted from a full table.
    pub fn read_changes(
        &self,
        cursor: &mut Cursor,
        limit: usize,
        now: Millis,
        mut visit: impl FnMut(Change<'_>),
    ) -> usize {
        let (mut count, mut left) = (0, ROWS_PER_CALL);
        for _ in 0..self.stripes.len() {
            // Each stripe has its turn, also when one of them has news all the time.
            let number = cursor.turn;
            cursor.turn = (number + 1) % self.stripes.len();
            let (common, reader, follow) = (&*self.common, cursor.reader, cursor.follow);
            let hold = Hold { common, stripe_number: number, reader, follow, now };
            while cursor.stripes[number].is_due(&self.tails[number], follow) {
                let mut budget = left.min(ROWS_PER_HOLD);
                left -= budget;
                let mut stripe = self.stripes[number].lock();
                let Some(removals) = cursor.read_removals(number, &stripe, limit - count, &mut visit) else {
                    cursor.start_over();
                    visit(Change::StartOver);
                    return count + 1;
                };
                count += removals;
                let at = &mut cursor.stripes[number];
                count += at.read(&mut stripe, &hold, limit - count, &mut budget, &mut visit);
                left += budget;
                if count >= limit || left == 0 {
                    return count;
                }
            }
        }
        count
    }

    /// Whether a cursor should [read](Self::read): there is news, or there is much that it does not follow, which it passes
    /// over before the change log forgets it. Takes no lock.
    pub fn is_due(&self, cursor: &Cursor) -> bool {
        self.tails.iter().zip(&cursor.stripes).any(|(tails, at)| at.is_due(tails, cursor.follow))
    }

    /// Whether a cursor may have something to read. Takes no lock.
    pub fn has_news(&self, cursor: &Cursor) -> bool {
        self.tails.iter().zip(&cursor.stripes).any(|(tails, at)| at.backlog(tails, cursor.follow) > 0)
    }

    /// Changes that a cursor has not visited yet, at most: an entry that changed twice since counts twice. Takes no lock.
    pub fn backlog(&self, cursor: &Cursor) -> u64 {
        self.tails.iter().zip(&cursor.stripes).map(|(tails, at)| at.backlog(tails, cursor.follow)).sum()
    }
}
