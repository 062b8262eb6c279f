//! What a hub does by the clock: sums lose what is over, and its own state is published.

use std::sync::Arc;
use std::time::Duration;

use haproxy_peers::PeerView;
use stick_table::{Column, DataType, KeyType, Lifetime, Millis, Origin, Table, TableDefinition, Value};
use tokio::task::yield_now;
use tokio::time::{MissedTickBehavior, interval};

use super::cluster::Cluster;

/// Pause between two slices of the work.
const PAUSE: Duration = Duration::from_millis(100);
/// Keys looked at in one go, between which others have their turn.
const KEYS_AT_ONCE: usize = 2_048;
/// Keys looked at in one slice, at most, for each source.
const KEYS_PER_SLICE: usize = 32 * KEYS_AT_ONCE;
/// Places of keys that a call looks at, if few of them are due.
const PLACES_PER_CALL: u32 = 64 * KEYS_AT_ONCE as u32;
/// Slices between two publications of the state: every second.
const SLICES_PER_STATUS: u32 = 10;

/// The nodes of a hub at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HubState {
    /// Nodes that tell their values now: load balancers and lower hubs with a session.
    pub nodes: u32,
    /// Nodes that are configured or listed, and others that came and count yet.
    pub expected: u32,
    /// Whether all of them tell their values, and each has told what it held when it came; never while it is not known who
    /// is listed.
    pub complete: bool,
    /// Time since the node that was heard least recently was heard, in ms: 0 without nodes.
    pub age: u64,
}

/// Looks at the sums of a hub for ever.
pub(super) async fn keep(cluster: Arc<Cluster>, status: Option<Arc<Table>>) {
    let mut ticks = interval(PAUSE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut slice = 0_u32;
    loop {
        ticks.tick().await;
        let mut news = cluster.tables().take_news();
        for aggregate in cluster.tables().aggregates() {
            // Once round, as large as it is; a call looks at so many places.
            let mut calls = aggregate.source().size.div_ceil(PLACES_PER_CALL) + 1;
            let mut looked_at = 0;
            while looked_at < KEYS_PER_SLICE && calls > 0 {
                let refreshed = aggregate.refresh(cluster.clock().now(), KEYS_AT_ONCE);
                looked_at += refreshed.keys;
                news |= refreshed.published > 0;
                calls -= u32::from(refreshed.keys < KEYS_AT_ONCE);
                yield_now().await;
            }
        }
        if slice.is_multiple_of(SLICES_PER_STATUS)
            && let Some(table) = &status
        {
            publish(table, cluster.hub_state(), cluster.clock().now());
            news = true;
        }
        slice = slice.wrapping_add(1);
        if news {
            cluster.changed();
        }
    }
}

/// The table of a hub's own state: strings of up to 32 bytes, each with a tag, that end 3 s after the hub said them last.
///
/// The keys are `nodes`, `expected`, `complete` and `age`.
pub fn status_table(name: impl Into<String>) -> TableDefinition {
    let empty = TableDefinition::new(name, KeyType::String { max_len: 32 }, 16).with_expire(Some(3_000));
    let tag = Column::plain(DataType::Gpt0).map(|column| empty.clone().with_column(column));
    // A type without arguments in an empty table: neither can be refused.
    tag.ok().and_then(Result::ok).unwrap_or(empty)
}

/// Writes the state into the table that rules of load balancers read: its entries end soon after the hub does.
fn publish(table: &Table, state: HubState, now: Millis) {
    let age = u32::try_from(state.age).unwrap_or(u32::MAX);
    let values = [
        ("nodes", state.nodes),
        ("expected", state.expected),
        ("complete", state.complete.into()),
        ("age", age),
    ];
    for (key, value) in values {
        // A full table has room for them: nobody else writes it.
        let _ = table.update(key.as_bytes(), Origin::LOCAL, Lifetime::Restart, now, |entry| {
            entry.set(DataType::Gpt0, 0, &Value::Unsigned(value))
        });
    }
}

impl Cluster {
    /// The nodes of a hub at this moment.
    pub fn hub_state(&self) -> HubState {
        let (view, now) = (self.view(), self.clock().now());
        let connections = self.connections();
        let mut state = HubState { complete: true, ..HubState::default() };
        // Who left for good is remembered for longer than it counts, and not missed any more.
        let has_left = |peer: &&PeerView| peer.forget_at.is_some() && peer.counts_until.is_none();
        let below = view.peers.iter().filter(|peer| peer.level.is_below());
        for peer in below.filter(|peer| !has_left(peer)) {
            state.expected += 1;
            let connection = peer.session.and_then(|session| connections.get(&session));
            let Some(established) = connection.and_then(|connection| connection.established()) else {
                state.complete = false;
                continue;
            };
            state.nodes += 1;
            let told_all = peer.told_all;
            state.complete &= told_all;
            state.age = state.age.max(established.session.lock().silent_for(now));
        }
        state.complete &= state.expected > 0 && self.members.are_known() && !self.tables().holds_results();
        state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_is_four_entries() {
        let table = Table::new(status_table("h/hub"), 1);
        publish(&table, HubState { nodes: 2, expected: 3, complete: false, age: 250 }, 1_000);
        let read =
            |key: &str, now| table.get(key.as_bytes(), now, |entry| entry.value(DataType::Gpt0, 0)).flatten();
        for (key, value) in [("nodes", 2), ("expected", 3), ("complete", 0), ("age", 250)] {
            assert_eq!(read(key, 1_000), Some(Value::Unsigned(value)), "{key}");
        }
        assert!(read("nodes", 3_999).is_some());
        assert_eq!(read("nodes", 4_000), None, "ends soon after the hub");
    }
}
