//! `clear table … cluster` and `set table … cluster`: change entries on all nodes, as far as the protocol permits.
//!
//! There is no message that deletes. What works is an update with all values 0 and little lifetime left: nodes read zeros at
//! once, and their entry ends soon. The time is long enough for a node whose session was cut to come back and hear of it.
//!
//! In a `peers` section this side's table is everybody's, so what is set here is set there. In an `aggregations` section the
//! nodes' own entries are changed, and with them the sum.

use std::sync::Arc;

use haproxy_peers::{ORDER_MS, Order, OrderError, Orders};
use stick_aggregate::Aggregate;
use stick_table::{EntryMut, EntryRef, Lifetime, Origin, Table, Walk};

use super::Context;
use super::filter::Filter;
use super::table_command::Target;

/// The word that asks for it.
const WORD: &[u8] = b"cluster";
/// Keys of a hub that are looked for in one go.
const KEYS_AT_ONCE: usize = 1_024;

/// Takes the word from the end of the words behind a table's name; whether it was there. A key may be called so too.
pub(crate) fn take_word(words: &[Vec<u8>]) -> (&[Vec<u8>], bool) {
    take_last(words, WORD)
}

/// The same for any word that asks for something else.
pub(crate) fn take_last<'w>(words: &'w [Vec<u8>], wanted: &[u8]) -> (&'w [Vec<u8>], bool) {
    let Some((last, before)) = words.split_last() else { return (words, false) };
    let completes = match before.first().map(Vec::as_slice) {
        None => true,
        Some(b"key" | b"ptr") => before.len() >= 2,
        // Filters are three words each.
        Some(_) => before.len() % 3 == 0,
    };
    if last == wanted && completes { (before, true) } else { (words, false) }
}

/// The same for `set table`, where a name and a value follow the key, as often as is wanted.
pub(crate) fn take_word_of_set(words: &[Vec<u8>]) -> (&[Vec<u8>], bool) {
    match words.split_last() {
        Some((last, before)) if last == WORD && before.len() >= 2 && before.len() % 2 == 0 => (before, true),
        _ => (words, false),
    }
}

/// The sums that a table of a hub is about, by its name or that of its source.
pub(crate) fn sum_of(context: &dyn Context, name: &[u8]) -> Option<Arc<Aggregate>> {
    context.sum(std::str::from_utf8(name).ok()?)
}

/// All values to zero.
fn zero(entry: &mut EntryMut<'_>) {
    entry.reset();
}

/// Lets entries end on all nodes.
pub(crate) fn clear(context: &dyn Context, table: &Table, target: &Target) {
    let (now, lifetime) = (context.now(), Lifetime::Exactly(ORDER_MS));
    match target {
        Target::Key(key) => {
            // Others may have the entry though it is not here. In a table that is full and purges nothing there is no room to
            // say so.
            let _ = table.update(key, Origin::LOCAL, lifetime, now, zero);
        }
        Target::All => {
            table.update_where(Origin::LOCAL, lifetime, now, |_| true, zero);
        }
        Target::Matching(filters) => {
            let matches = |entry: EntryRef<'_>| holds(filters, entry, table, now);
            table.update_where(Origin::LOCAL, lifetime, now, matches, zero);
        }
    }
    context.changed();
}

fn holds(filters: &[Filter], entry: EntryRef<'_>, table: &Table, now: u64) -> bool {
    filters.iter().all(|filter| filter.holds(&entry, table.definition(), now))
}

/// Lets the entries of all nodes of a hub end; filters are about the sums.
///
/// # Errors
/// When nodes cannot be told; what they were told before that is cleared.
pub(crate) fn clear_nodes(
    context: &dyn Context,
    sum: &Arc<Aggregate>,
    target: &Target,
) -> Result<(), OrderError> {
    let orders = context.orders(sum, Order::Clear)?;
    let done = match target {
        Target::Key(key) => orders.give(key, context.now()),
        Target::All => clear_matching(context, sum.output(), &[], &orders),
        Target::Matching(filters) => clear_matching(context, sum.output(), filters, &orders),
    };
    context.changed();
    done
}

fn clear_matching(
    context: &dyn Context,
    sums: &Table,
    filters: &[Filter],
    orders: &Orders<'_>,
) -> Result<(), OrderError> {
    let (mut walk, mut more) = (Walk::default(), true);
    while more {
        let mut keys = Vec::new();
        let now = context.now();
        more = sums.walk(&mut walk, KEYS_AT_ONCE, now, |entry| {
            if holds(filters, entry, sums, now) {
                keys.push(entry.key().to_vec());
            }
        });
        keys.iter().try_for_each(|key| orders.give(key, now))?;
        // Orders do not live long: sessions begin to tell them now.
        context.changed();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Node, split};
    use super::*;
    use stick_table::Follow;

    #[test]
    fn the_word_is_found_where_it_means_something() {
        for (text, rest, found) in [
            ("", "", false),
            ("cluster", "", true),
            ("key cluster", "key cluster", false),
            ("key cluster cluster", "key cluster", true),
            ("key k cluster", "key k", true),
            ("ptr 0x1 cluster", "ptr 0x1", true),
            ("data.gpc0 gt cluster", "data.gpc0 gt cluster", false),
            ("data.gpc0 gt 1 cluster", "data.gpc0 gt 1", true),
            ("key k", "key k", false),
        ] {
            let words = split(text);
            assert_eq!(take_word(&words), (&split(rest)[..], found), "{text}");
        }
    }

    #[test]
    fn the_word_ends_the_pairs_of_a_set() {
        for (text, rest, found) in [
            ("key k cluster", "key k", true),
            ("key cluster", "key cluster", false),
            ("key cluster cluster", "key cluster", true),
            ("key k data.gpc0 cluster", "key k data.gpc0 cluster", false),
            ("key k data.gpc0 1 cluster", "key k data.gpc0 1", true),
            ("cluster", "cluster", false),
            ("", "", false),
        ] {
            let words = split(text);
            assert_eq!(take_word_of_set(&words), (&split(rest)[..], found), "{text}");
        }
    }

    #[test]
    fn entries_become_zeros_that_end_soon_and_peers_are_told() {
        let node = Node::sample();
        let table = node.table("p/t1").unwrap();
        for number in 1..=3 {
            node.run(&format!("set table p/t1 key 10.0.0.{number} data.gpc0 {number}"));
        }
        let mut cursor = table.follow(Follow::Local, &table.position());
        for (command, told) in [
            ("clear table p/t1 key 10.0.0.3 cluster", 1),
            ("clear table p/t1 key 10.0.0.9 cluster", 1),
            ("clear table p/t1 data.gpc0 eq 2 cluster", 1),
            ("clear table p/t1 cluster", 4),
        ] {
            let changes = node.changes();
            assert_eq!(node.run(command), "\n", "{command}");
            assert_eq!(node.changes(), changes + 1);
            let seen = table.read(&mut cursor, 9, node.now(), |entry| {
                assert_eq!(entry.remaining(), Some(ORDER_MS));
                assert!(entry.words().iter().all(|&word| word == 0));
            });
            assert_eq!(seen, told, "{command}");
        }
        node.advance(u64::from(ORDER_MS));
        assert_eq!(node.run("show table p/t1").lines().filter(|line| line.contains("key=")).count(), 0);
    }
}
