//! Sums of a stick table's entries over all nodes.
//!
//! A hub has sessions with several HAProxys, its *nodes*. Each tells what it counts in a table of its own, the *source*. An
//! [`Aggregate`] keeps what they told apart, one *contribution* for each key and node with the lifetime that the node told, and
//! publishes what comes of all of them as entries of another [`Table`](stick_table::Table), the *output*: changes of this
//! process ([`Origin::LOCAL`](stick_table::Origin::LOCAL)), which sessions push to all nodes. What nodes tell of the output
//! must not be absorbed: results are no input; that is the caller's concern.
//!
//! The crate does no I/O, reads no clock (`now` is an argument everywhere) and starts no threads.
//!
//! Where to look first:
//!
//! - [`Aggregate`]: [`absorb`](Aggregate::absorb) what a node told, [`refresh`](Aggregate::refresh) every 100 ms.
//! - [`Rules`]: what becomes of the values of each data type.
//!
//! ```
//! use std::sync::Arc;
//! use stick_aggregate::{Aggregate, Rules, Told};
//! use stick_table::{DataType, KeyType, Lifetime, Origin, Table, TableDefinition, Value};
//!
//! let table = |name| {
//!     let empty = TableDefinition::new(name, KeyType::Ip, 1000).with_expire(Some(30_000));
//!     empty.with_column("gpc0".parse().unwrap()).unwrap()
//! };
//! let output = Arc::new(Table::new(table("rates.agg"), 0)?);
//! let aggregate = Aggregate::new(table("rates"), output, &Rules::default(), 0)?;
//! let mut batch = aggregate.batch();
//! batch.set_columns(std::iter::once(0..1))?;
//! for (node, count) in [(1, 30), (2, 12)] {
//!     batch.push(&[10, 0, 0, 1], Lifetime::Restart)?[0] = count;
//!     aggregate.absorb(&mut batch, Origin::peer(node).unwrap(), Told::Live, 0);
//! }
//! let sum = aggregate.output().get(&[10, 0, 0, 1], 0, |entry| entry.value(DataType::Gpc0, 0))?;
//! assert_eq!(sum, Some(Some(Value::Unsigned(42))));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Lifetimes
//!
//! A contribution ends when its node's entry does, and never outlives it; in a source without `expire` it stays until the node
//! is [forgotten](Aggregate::forget). A result lives as long as the longest of its contributions. When another one ends, the
//! next refresh publishes the key again without it; when the last one ends, the published entry ends by itself.
//!
//! Of keys there are at most as many as the source's `size`. Further ones are refused, and
//! [`left_out`](Aggregate::left_out) says of which nodes, until nothing is left out any more.
//!
//! # Rates
//!
//! The sum of several frequency counters is published as one counter. At that moment it reads the exact sum rounded down, or
//! one more; never less than any node's own reading; and at most 2^32 − 1. It falls as all of them do until the first of
//! their periods ends. Then it goes wrong, and `refresh`, which computes when, publishes it again as soon as it is wrong by
//! more than 1 or one in 64, besides rounding. So at any time, if every key that is due was looked at `late` ms ago at most:
//!
//! ```text
//! |published − true sum| ≤ 3 + max(1, sum ÷ 64) + peak ÷ 64 + peak × (late + 2) ÷ period
//! ```
//!
//! where `sum` and `peak` are those when the key was last published or found to be near enough: `peak` is the sum of each
//! counter's larger one of `current` and `previous`, or that of the published counter if it is larger. The true sum is that of
//! the counters' values before each is rounded; nodes that see a single event as 1 to the end of the next period
//! (stick-tables §4) make the sum of their readings larger by up to 1 for each node. A refresh every 100 ms of
//! rates over 10 s thus adds one in 100.
//!
//! # Restarts
//!
//! A process that begins anew does not know what its node told before, and counts from 0. A session does not tell whether its
//! process is another one; so with each session ([`process_may_have_changed`](Aggregate::process_may_have_changed)) what the
//! node told before is in doubt, and the next update of a key decides:
//!
//! - When nothing that only rises is lower, the process knows what was told (it is the same one, or its predecessor taught
//!   it): its values replace the former ones. These are counters, bytes, and rates as they read now, unless their rule is
//!   `last` or `or`; a rate may be lower by 1/8, as messages travel for different times.
//! - Otherwise the process began anew. The former values are kept beside the new ones, and the node counts with both: numbers
//!   and rates are summed, whatever the rule for several nodes; of tags, `server_id`, `server_key`, `conn_cur` and what
//!   has the rule `last`, the newer one counts. The former part lives as long as the newer one. When yet another process
//!   begins, all former ones become one part; of rates one counter, which reads their sum at that moment.
//! - A process that began anew and leaps, from less than half of a former value to no less than all of them, was taught by
//!   its predecessor meanwhile: its values replace both.
//!
//! [`own_values`](Aggregate::own_values) gives a node what it does not know, both lives in one, so that its process can be
//! taught. Until [`taught`](Aggregate::taught) says that it was, its updates that know less are ignored (but for what counts
//! by its newest value); then both become one contribution, and every value is taken as it is.
//!
//! What cannot be told apart: a process that begins anew and tells a key first with a value no less than the former one, is
//! taken for one that knows it.

mod room;
pub use room::Room;

mod rule;
pub use rule::{Rule, RuleError, Rules, UnknownRule};

mod aggregate;
pub use aggregate::Aggregate;

mod columns;
pub use columns::AggregateError;

mod contribution;
pub use contribution::{Absorbed, Contribution, Refreshed, Told, Usage};

mod kept;
pub use kept::{Kept, PutBack};

mod left_out;
pub use left_out::{LeftOut, LeftOutReason};

mod own;
pub use own::{OwnValue, OwnWalk};

mod replacement;
pub use replacement::CarryWalk;

mod course;
mod lives;
mod nodes;
mod part;
mod partial;
mod rate;
mod result;
mod store;
mod stripe;

#[cfg(test)]
mod model;
