//! Contributions for a durable copy: read key by key, and put back when a process starts.
//!
//! What is put back counts as told in the node's present session. So the next session decides as it does after any other one,
//! see [the crate's page](crate#restarts): a node that goes on replaces it, and one that began from scratch counts beside it.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use stick_table::{KeyError, Lifetime, Millis, Origin};

use crate::Aggregate;
use crate::nodes::Telling;
use crate::part::{Head, PART_HEAD, left};
use crate::stripe::Carried;

/// Lifetime of the zeros of a key of which nothing is left, in ms.
const LAST_WORDS: u32 = 6_000;

/// What a node told of a key, as it is stored.
#[derive(Clone, Copy, Debug)]
pub struct Kept<'a> {
    /// The node.
    pub node: Origin,
    /// Whether it is what a process before the node's newest one told.
    pub is_former: bool,
    /// Remaining lifetime in ms; in a source without `expire`, the time since the node touched the key.
    pub life: u32,
    /// The data words that the node told; the others are 0.
    pub columns: &'a [Range<usize>],
    /// The data words by the source's layout. Ticks of rates are of the clock `now`.
    pub words: &'a [u32],
    /// The `server_key`.
    pub string: Option<&'a Arc<str>>,
}

/// What became of contributions that were put back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PutBack {
    /// Contributions that are there now.
    pub taken: u64,
    /// Contributions that have ended.
    pub ended: u64,
    /// Contributions for which there is no room, and those with too many different sets of columns.
    pub refused: u64,
}

impl Aggregate {
    /// Visits what the nodes told of a key, in the order in which they did. Nothing is visited of a key that nobody told.
    ///
    /// # Errors
    /// When the key is none of the source's, see [`KeyType::check`](stick_table::KeyType::check).
    pub fn kept(&self, key: &[u8], now: Millis, mut visit: impl FnMut(Kept<'_>)) -> Result<(), KeyError> {
        let shared = &self.shared;
        let hash = shared.schema.hash(key)?;
        let mut stripe = self.stripes[self.stripe_of(hash)].lock();
        let found = stripe.store.form().with_key(key, |key| stripe.store.find(hash, key));
        let Some(slot) = found.filter(|&slot| stripe.look_at(shared, slot, now)) else { return Ok(()) };
        let now = now as u32;
        for part in stripe.store.parts(slot).chunks_exact(PART_HEAD + shared.columns.data_words) {
            let head = Head::of(part);
            let Some(teller) = shared.nodes.teller_of(head).filter(|_| !shared.is_over(part, now)) else {
                continue;
            };
            let life = shared.expire().map_or_else(|| now.wrapping_sub(part[1]), |_| left(part[1], now));
            let string = shared.columns.string.and_then(|at| stripe.dictionary.get(part[PART_HEAD + at]));
            visit(Kept {
                node: Origin::with_number(teller.node),
                is_former: head.is(Head::FORMER),
                life,
                columns: &shared.nodes.columns_of(head, shared.columns.data_words),
                words: &part[PART_HEAD..],
                string,
            });
        }
        Ok(())
    }

    /// Makes these the contributions to a key, and publishes the result; `adds` leaves those that are there, and adds what
    /// other nodes told. For a process that starts, before nodes tell anything.
    ///
    /// # Errors
    /// When the key is none of the source's, see [`KeyType::check`](stick_table::KeyType::check).
    pub fn put_back(
        &self,
        key: &[u8],
        kept: &[Kept<'_>],
        adds: bool,
        now: Millis,
    ) -> Result<PutBack, KeyError> {
        let shared = &self.shared;
        let hash = shared.schema.hash(key)?;
        let mut done = PutBack::default();
        let has_ended = |kept: &Kept<'_>| shared.expire().is_some() && kept.life == 0;
        let live = || kept.iter().filter(|kept| !has_ended(kept));
        done.ended = (kept.len() - live().count()) as u64;
        if live().next().is_none() {
            if !adds {
                self.clear(key, Lifetime::Exactly(LAST_WORDS), now)?;
            }
            return Ok(done);
        }
        let mut tellings = HashMap::new();
        for kept in live() {
            if let Some(telling) = shared.nodes.teller(kept.node.number()) {
                tellings.entry(kept.node).or_insert(telling);
            }
        }
        let carried: Vec<_> =
            live().filter_map(|kept| self.put(kept, tellings.get(&kept.node)?, now)).collect();
        done.refused = (live().count() - carried.len()) as u64;
        let mut stripe = self.stripes[self.stripe_of(hash)].lock();
        if !adds {
            let found = stripe.store.form().with_key(key, |key| stripe.store.find(hash, key));
            if let Some(slot) = found {
                stripe.remove_parts(shared, slot, |_| true);
            }
        }
        let taken =
            if shared.room.has_for_key() { stripe.take_over(shared, (key, hash), &carried, now) } else { 0 };
        (done.taken, done.refused) = (taken as u64, done.refused + (carried.len() - taken) as u64);
        Ok(done)
    }

    /// A contribution as a part; `None` when its node has too many different sets of columns.
    fn put<'a>(&self, kept: &Kept<'_>, telling: &'a Telling<'a>, now: Millis) -> Option<Carried<'a>> {
        let shared = &self.shared;
        let set = self.set(telling, kept.columns)?;
        let mut head = Head::new(telling.generation(), telling.session(), set);
        if kept.is_former {
            head = head.with(Head::FORMER);
        }
        let now = now as u32;
        let deadline = match shared.expire() {
            Some(expire) => now.wrapping_add(kept.life.min(expire)),
            None => now.wrapping_sub(kept.life),
        };
        let mut words = kept.words.to_vec();
        words.resize(shared.columns.data_words, 0);
        if let Some(word) = shared.columns.string.and_then(|at| words.get_mut(at)) {
            *word = 0;
        }
        Some(Carried { head, deadline, words, string: kept.string.cloned(), telling })
    }
}

#[cfg(test)]
mod tests {
    use stick_table::{DataType, KeyType, Table, TableDefinition, Value};

    use super::*;
    use crate::{Rules, Told};

    const LINE: &str = "type ip size 100 expire 60s store gpc0,server_key,http_req_rate(10s)";

    fn hub() -> Aggregate {
        let table = |name: &str| format!("table {name} {LINE}").parse::<TableDefinition>().unwrap();
        let output = Arc::new(Table::new(table("o"), 1).unwrap());
        assert_eq!(output.definition().key_type, KeyType::Ip);
        Aggregate::new(table("s"), output, &Rules::default(), 1).unwrap()
    }

    fn node(number: u16) -> Origin {
        Origin::peer(number).unwrap()
    }

    fn tell(hub: &Aggregate, number: u16, key: u8, count: u32, now: Millis) {
        let mut batch = hub.batch();
        let at = hub.layout().offset(DataType::Gpc0, 0).unwrap();
        batch.set_columns(std::iter::once(at..at + 1)).unwrap();
        batch.push(&[10, 0, 0, key], Lifetime::Restart).unwrap()[at] = count;
        hub.absorb(&mut batch, node(number), Told::Live, now);
    }

    /// Copies what a hub keeps of a key to another one, `passed` ms later.
    fn copy(from: &Aggregate, to: &Aggregate, key: u8, now: Millis, passed: u32) -> PutBack {
        let mut kept: Vec<(Kept<'_>, Vec<Range<usize>>, Vec<u32>)> = Vec::new();
        from.kept(&[10, 0, 0, key], now, |it| {
            let of = Kept { columns: &[], words: &[], string: None, ..it };
            kept.push((of, it.columns.to_vec(), it.words.to_vec()));
        })
        .unwrap();
        let kept: Vec<_> = kept
            .iter()
            .map(|(it, columns, words)| Kept { columns, words, life: it.life.saturating_sub(passed), ..*it })
            .collect();
        to.put_back(&[10, 0, 0, key], &kept, false, now + u64::from(passed)).unwrap()
    }

    fn sum(hub: &Aggregate, key: u8, now: Millis) -> Option<(u32, u32)> {
        let read = hub.output().get(&[10, 0, 0, key], now, |entry| {
            let Some(Value::Unsigned(sum)) = entry.value(DataType::Gpc0, 0) else { panic!("no sum") };
            (sum, entry.remaining().unwrap())
        });
        read.unwrap()
    }

    #[test]
    fn what_is_put_back_counts_once_whatever_the_node_does() {
        let old = hub();
        tell(&old, 1, 1, 6, 0);
        tell(&old, 2, 1, 4, 1_000);
        let new = hub();
        let done = copy(&old, &new, 1, 1_000, 5_000);
        assert_eq!(done, PutBack { taken: 2, ended: 0, refused: 0 });
        new.validate();
        assert_eq!(sum(&new, 1, 6_000), Some((10, 55_000)));
        // Read twice, as a log has a key in several blocks.
        copy(&old, &new, 1, 1_000, 5_000);
        new.validate();
        assert_eq!((sum(&new, 1, 6_000).unwrap().0, new.usage().contributions), (10, 2));
        // One node goes on, and the other one began from scratch.
        new.process_may_have_changed(node(1));
        new.process_may_have_changed(node(2));
        tell(&new, 1, 1, 7, 6_000);
        assert_eq!(sum(&new, 1, 6_000).unwrap().0, 11);
        tell(&new, 2, 1, 1, 6_000);
        assert_eq!(sum(&new, 1, 6_000).unwrap().0, 12);
        new.validate();
        // Both of its lives go to the next process.
        let next = hub();
        assert_eq!(copy(&new, &next, 1, 6_000, 0).taken, 3);
        assert_eq!(sum(&next, 1, 6_000).unwrap().0, 12);
        next.validate();
        next.forget(node(2));
        next.refresh(6_000, 100);
        assert_eq!(sum(&next, 1, 6_000).unwrap().0, 7);
        next.validate();
    }

    #[test]
    fn what_has_ended_or_was_cleared_does_not_come_back() {
        let old = hub();
        tell(&old, 1, 1, 6, 0);
        tell(&old, 2, 1, 4, 30_000);
        let new = hub();
        assert_eq!(copy(&old, &new, 1, 30_000, 30_000), PutBack { taken: 1, ended: 1, refused: 0 });
        assert_eq!(sum(&new, 1, 60_000), Some((4, 30_000)));
        old.clear(&[10, 0, 0, 1], Lifetime::Exactly(0), 30_000).unwrap();
        copy(&old, &new, 1, 30_000, 30_000);
        assert_eq!((sum(&new, 1, 60_000).unwrap().0, new.usage().keys), (0, 0));
        new.validate();
    }
}
