//! What goes over all entries of a table, a bounded number of rows in each hold of a stripe's lock.

use super::Table;
use crate::Millis;
use crate::entry::{EntryMut, EntryRef};
use crate::lifetime::Lifetime;
use crate::log::cursor::Walk;
use crate::origin::Origin;
use crate::stripe::{Stripe, Touch};

/// Rows looked at in one hold of a stripe's lock by walks and sweeps: about 10 µs.
pub(super) const ROWS_PER_HOLD: u32 = 4096;
/// Rows looked at in one call of a read or a walk. Small in tests, so that calls end early.
pub(super) const ROWS_PER_CALL: u32 = if cfg!(test) { 20 } else { 4 * ROWS_PER_HOLD };

/// Of each so many rows that are swept one is looked at for idle counters: swept each second, that is all of them in about 17
/// minutes.
const SWEPT_FOR_IDLE: u32 = 1 << 10;
/// A pause between sweeps after which ticks may have come round, in ms: 12.4 days. Lifetimes have up to twice as much.
const LONG_PAUSE: Millis = 1 << 30;

/// Where a sweep goes on.
#[derive(Default)]
pub(super) struct SweepTurn {
    stripe: usize,
    /// When the last one was.
    at: Option<Millis>,
}

impl Table {
    /// Removes the entries for which `matches` holds; returns how many.
    pub fn remove_where(&self, now: Millis, matches: impl FnMut(EntryRef<'_>) -> bool) -> u32 {
        self.for_each_match(now, matches, |stripe, row| stripe.remove(&self.common, row))
    }

    /// Lets `change` change each entry for which `matches` holds, and touches it as [`update`](Self::update) does; returns how
    /// many there were.
    pub fn update_where(
        &self,
        origin: Origin,
        lifetime: Lifetime,
        now: Millis,
        matches: impl FnMut(EntryRef<'_>) -> bool,
        mut change: impl FnMut(&mut EntryMut<'_>),
    ) -> u32 {
        let touch = Touch { origin, of_lesson: false, lifetime, now };
        self.for_each_match(now, matches, |stripe, row| {
            stripe.touch(&self.common, row, &touch);
            stripe.tally.add_changes(origin, 1);
            change(&mut EntryMut::new(&self.common, stripe, row, now));
        })
    }

    /// Calls `act` with the row of each entry for which `matches` holds; returns how many there were.
    fn for_each_match(
        &self,
        now: Millis,
        mut matches: impl FnMut(EntryRef<'_>) -> bool,
        mut act: impl FnMut(&mut Stripe, u32),
    ) -> u32 {
        let mut count = 0;
        for (number, stripe) in self.stripes.iter().enumerate() {
            let mut from = 0;
            loop {
                let mut stripe = stripe.lock();
                let end = stripe.row_count().min(from + ROWS_PER_HOLD);
                for row in from..end {
                    if stripe.is_live(&self.common, row, now)
                        && matches(EntryRef::new(&self.common, &stripe, number, row, now))
                    {
                        act(&mut stripe, row);
                        count += 1;
                    }
                }
                from = end;
                if from >= stripe.row_count() {
                    break;
                }
            }
        }
        count
    }

    /// Visits up to `limit` entries in storage order from `walk` on, and moves it; `false` when the walk is at its end.
    /// Start with `Walk::default()`.
    ///
    /// Looks at about 16,000 rows at most, so that a call takes a fraction of a millisecond; it may visit fewer entries
    /// than `limit` for that.
    pub fn walk(
        &self,
        walk: &mut Walk,
        limit: usize,
        now: Millis,
        mut visit: impl FnMut(EntryRef<'_>),
    ) -> bool {
        let (mut count, mut left) = (0, ROWS_PER_CALL);
        while let Some(stripe) = self.stripes.get(walk.stripe) {
            let stripe = stripe.lock();
            let start = walk.row;
            let end = stripe.row_count().min(start.saturating_add(ROWS_PER_HOLD.min(left)));
            while walk.row < end && count < limit {
                if stripe.is_live(&self.common, walk.row, now) {
                    visit(EntryRef::new(&self.common, &stripe, walk.stripe, walk.row, now));
                    count += 1;
                }
                walk.row += 1;
            }
            left -= walk.row - start;
            if walk.row >= stripe.row_count() {
                *walk = Walk { stripe: walk.stripe + 1, row: 0 };
            }
            if count >= limit || left == 0 {
                return walk.stripe < self.stripes.len();
            }
        }
        false
    }

    /// Frees the entries that are over among about `rows` rows, going round; returns how many were freed. Call it so
    /// that the whole table is visited at least every few seconds.
    ///
    /// Looks at a few rows for frequency counters that nobody uses any more, and stops them before their ticks come round.
    /// After a pause of more than 12 days, as of a machine that was suspended, goes over the whole table once.
    pub fn sweep(&self, rows: u32, now: Millis) -> u32 {
        let mut sweep = self.sweep.lock();
        let before = sweep.at.replace(now);
        let turn = &mut sweep.stripe;
        let mut left = rows;
        let mut freed = 0;
        if let Some(before) = before
            && now.saturating_sub(before) > LONG_PAUSE
        {
            for stripe in &self.stripes {
                freed += stripe.lock().end_in_pause(&self.common, before, now - before);
            }
        }
        // Each step is one slice of one stripe; stripes without rows take a step too, so that the loop ends.
        for _ in 0..rows.div_ceil(ROWS_PER_HOLD) as usize + self.stripes.len() {
            if left == 0 {
                break;
            }
            let mut stripe = self.stripes[*turn].lock();
            let slice = left.min(ROWS_PER_HOLD).min(stripe.row_count());
            freed += stripe.sweep(&self.common, slice, now);
            stripe.stop_idle(&self.common, slice.div_ceil(SWEPT_FOR_IDLE), now);
            left -= slice;
            *turn = (*turn + 1) % self.stripes.len();
        }
        freed
    }
}
