//! Keys that lack a contribution: what is published of them is no sum, but nothing less than a node's own value.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use stick_table::{ChangeRef, DataType, Lifetime, Millis};

use super::{Shared, Stripe, Teller};
use crate::left_out::LeftOutReason;
use crate::part::PART_HEAD;
use crate::result::{self, Parts};

impl Stripe {
    /// Notes whether a key lacks a contribution.
    pub(super) fn set_partial(&mut self, shared: &Shared, slot: u32, is_partial: bool) {
        if self.store.is_partial(slot) != is_partial {
            self.store.set_partial(slot, is_partial);
            let change = if is_partial { 1 } else { u32::MAX };
            shared.partial_keys.fetch_add(change, Ordering::Relaxed);
        }
    }

    /// Refuses a change of a key, which has a slot or not: what is published of it is raised to the node's own values.
    #[cold]
    pub(super) fn refuse(
        &mut self,
        shared: &Shared,
        teller: &Teller<'_>,
        change: ChangeRef<'_>,
        slot: Option<u32>,
        now: Millis,
    ) {
        shared.left_out.refuse(teller.node, LeftOutReason::NoRoom, 1, now);
        if let Some(slot) = slot {
            self.set_partial(shared, slot, true);
        }
        // What waits to be published may be of this key.
        self.publish(shared, now);
        if shared.output.get(change.key(), now, |_| ()).is_ok_and(|found| found.is_none()) {
            return;
        }
        let mut part = std::mem::take(&mut self.parts);
        part.clear();
        part.resize(PART_HEAD + shared.columns.data_words, 0);
        part[0] = teller.head().word();
        for range in teller.ranges {
            part[PART_HEAD..][range.clone()].copy_from_slice(&change.words()[range.clone()]);
        }
        self.should.clear();
        self.should.resize(shared.output.layout().data_words(), 0);
        let one = Parts { words: &part, width: part.len() };
        let Self { should, falls, .. } = self;
        shared.with_written(|written| {
            result::count(&shared.columns, (&one, &one), written, now as u32, should, falls)
        });
        self.parts = part;
        let string = teller.string.and_then(|_| change.string());
        self.raise(shared, change.key(), change.lifetime(), string, now);
    }

    /// As [`count`](Self::count), of a key that lacks a contribution: what is published of it only rises, and nothing is if
    /// nothing was.
    #[cold]
    pub(super) fn count_partial(&mut self, shared: &Shared, slot: u32, now: Millis) {
        let tick = now as u32;
        self.should.clear();
        self.should.resize(shared.output.layout().data_words(), 0);
        let Self { store, should, parts: scratch, dictionary, falls, .. } = self;
        let parts = Parts { words: store.parts(slot), width: PART_HEAD + shared.columns.data_words };
        let survey = parts.survey(tick);
        let (lifetime, look) = shared.lifetime(survey);
        let counted = shared.with_written(|written| {
            let nodes = parts.by_node(survey.has_former, &shared.columns, written, scratch, tick);
            result::count(&shared.columns, (&parts, &nodes), written, tick, should, falls)
        });
        let string = dictionary.get(counted.string).cloned();
        let mut key = std::mem::take(&mut self.key);
        key.clear();
        key.extend_from_slice(self.store.key(slot));
        self.store.set_due(slot, tick.wrapping_add(counted.holds.min(look)));
        self.raise(shared, &key, lifetime, string.as_ref(), now);
        self.key = key;
    }

    /// Raises what is published of a key to the words in `should`, if something is.
    fn raise(
        &mut self,
        shared: &Shared,
        key: &[u8],
        lifetime: Lifetime,
        string: Option<&Arc<str>>,
        now: Millis,
    ) {
        // What waits to be published may be of this key.
        self.publish(shared, now);
        let is = &mut self.is;
        let remaining = shared.output.get(key, now, |entry| {
            is.clear();
            is.extend_from_slice(entry.words());
            entry.remaining()
        });
        let remaining = remaining.ok().flatten();
        let Some(remaining) = remaining else { return };
        let is_raised = crate::partial::raise(&shared.columns, is, &self.should, now as u32);
        let told = match lifetime {
            Lifetime::Restart => shared.expire(),
            Lifetime::Touched(age) => shared.expire().map(|expire| expire.saturating_sub(age)),
            Lifetime::Exactly(ms) => shared.expire().map(|expire| ms.min(expire)),
            Lifetime::Keep => None,
        };
        if !is_raised && told <= remaining {
            return;
        }
        let lifetime = match remaining.max(told) {
            Some(ms) => Lifetime::Exactly(ms),
            None => Lifetime::Restart,
        };
        let words = self.results.push_canonical(key, lifetime);
        let at = shared.output.layout().offset(DataType::ServerKey, 0);
        for (place, (word, raised)) in words.iter_mut().zip(&self.is).enumerate() {
            // That of a string that is not told is to be left as it is.
            if Some(place) != at {
                *word = *raised;
            }
        }
        if let Some(string) = string {
            self.results.set_string(string);
        }
        self.publish(shared, now);
    }
}
