//! What a hub does by the clock: sums lose what is over, and its own state is published.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use haproxy_peers::{LastHeard, Section};
use stick_table::{Column, DataType, KeyType, Lifetime, Millis, Origin, Table, TableDefinition, Value};
use tokio::task::yield_now;
use tokio::time::{MissedTickBehavior, interval};

use super::cluster::Cluster;
use super::journal::LeftOutLog;

/// Pause between two slices of the work.
const PAUSE: Duration = Duration::from_millis(100);
/// The same while there is more to do than a slice holds.
const PAUSE_BEHIND: Duration = Duration::from_millis(10);
/// Keys looked at in one go, between which others have their turn: about a millisecond where each has a hundred contributions
/// that end.
const KEYS_AT_ONCE: usize = 256;
/// Keys looked at in one slice, at most, for each source.
const KEYS_PER_SLICE: usize = 1 << 16;
/// Time between two publications of the state, in ms; a slice may come a little early.
const STATUS_MS: u64 = 990;

/// The nodes of a hub at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HubReport {
    /// Which nodes there are, and what the sums leave out.
    pub state: haproxy_peers::HubState,
    /// Time since the expected node that was heard least recently was heard, in ms; `None` without nodes, and when one was
    /// never heard.
    pub age: Option<u64>,
}

/// Looks at the sums of a hub for ever.
pub(super) async fn keep(cluster: Arc<Cluster>, status: Option<Arc<Table>>) {
    let mut ticks = interval(PAUSE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut published_at: Option<Millis> = None;
    let mut log = LeftOutLog::default();
    let mut hinted = HashSet::new();
    let mut refusals = 0;
    loop {
        ticks.tick().await;
        let mut is_behind = cluster.tables().follow_definitions(cluster.clock().now(), KEYS_AT_ONCE);
        let mut news = cluster.tables().take_news();
        for aggregate in cluster.tables().aggregates() {
            hint_at_conn_cur(&cluster, aggregate.source(), &mut hinted);
            let mut looked_at = 0;
            // Once round, unless very much is due.
            loop {
                let refreshed = aggregate.refresh(cluster.clock().now(), KEYS_AT_ONCE);
                looked_at += refreshed.keys;
                news |= refreshed.published > 0;
                yield_now().await;
                if refreshed.is_round || looked_at >= KEYS_PER_SLICE {
                    break;
                }
            }
            is_behind |= aggregate.is_behind();
        }
        if is_behind {
            // Values of nodes that are gone count as long as they are not collected.
            ticks.reset_after(PAUSE_BEHIND);
        }
        if cluster.tables().wants_lessons() {
            cluster.with_section(Section::handle_timeout);
        }
        let is_time = published_at.is_none_or(|at| cluster.clock().now() >= at + STATUS_MS);
        // What is left out is published at once.
        let refused_before = std::mem::replace(&mut refusals, cluster.tables().refusals());
        if is_time || refused_before != refusals {
            let (report, now) = (cluster.hub_report(), cluster.clock().now());
            published_at = Some(now);
            log.update(&cluster, &report.state, now);
            news |= cluster.tables().note_whole(report.state.is_whole());
            if let Some(table) = &status {
                publish(table, &report, now);
                news = true;
            }
        }
        if news {
            cluster.changed();
        }
    }
}

/// Says once of each table that stores `conn_cur` who can read its sum.
fn hint_at_conn_cur(cluster: &Cluster, source: &TableDefinition, hinted: &mut HashSet<String>) {
    if source.column(DataType::ConnCur).is_some() && hinted.insert(source.name.clone()) {
        cluster.journal.conn_cur_hint(&source.name);
    }
}

/// The table of a hub's own state: strings of up to 32 bytes, each with a tag, that end 3 s after the hub said them last.
///
/// The keys are `nodes`, `expected`, `complete`, `refused` and `age`.
pub fn status_table(name: impl Into<String>) -> TableDefinition {
    let empty = TableDefinition::new(name, KeyType::String { max_len: 32 }, 16).with_expire(Some(3_000));
    let tag = Column::plain(DataType::Gpt0).map(|column| empty.clone().with_column(column));
    // A type without arguments in an empty table: neither can be refused.
    tag.ok().and_then(Result::ok).unwrap_or(empty)
}

/// Writes the state into the table that rules of load balancers read: its entries end soon after the hub does.
fn publish(table: &Table, report: &HubReport, now: Millis) {
    let HubReport { state, age } = report;
    // 0 would say that all nodes were heard just now.
    let age = age.and_then(|age| u32::try_from(age).ok()).unwrap_or(u32::MAX);
    let values = [
        ("nodes", state.nodes),
        ("expected", state.expected),
        ("complete", state.is_complete().into()),
        ("refused", u32::try_from(state.left_out.len()).unwrap_or(u32::MAX)),
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
    /// The nodes of the hub with their names.
    pub(crate) fn nodes(&self) -> Vec<(Origin, String)> {
        self.with_view(Section::nodes)
    }

    /// Expects a node whose values were kept, before the section starts.
    pub(crate) fn expect_node(&self, name: &str) -> Option<Origin> {
        let now = self.clock().now();
        self.with_view_mut(|section| section.expect_node(now, name))
    }

    /// The nodes of a hub at this moment, and what the sums leave out.
    pub fn hub_report(&self) -> HubReport {
        let state = self.with_view(|section| section.hub_state(self.members.are_known()));
        let (connections, now) = (self.connections(), self.clock().now());
        let ages = state.heard.iter().map(|heard| match heard {
            LastHeard::Session(session) => {
                let established = connections.get(session)?.established()?;
                Some(established.session.lock().silent_for(now))
            }
            LastHeard::At(at) => Some(now.saturating_sub(*at)),
            LastHeard::Never => None,
        });
        let age = ages.collect::<Option<Vec<_>>>().and_then(|ages| ages.into_iter().max());
        HubReport { state, age }
    }
}

#[cfg(test)]
mod tests {
    use haproxy_peers::LeftOut;

    use super::*;

    #[test]
    fn the_state_is_five_entries() {
        let table = Table::new(status_table("h/hub"), 1).unwrap();
        let left_out = LeftOut { node: None, table: None, reason: haproxy_peers::LeftOutReason::Held };
        let state =
            haproxy_peers::HubState { nodes: 3, expected: 3, left_out: vec![left_out], heard: Vec::new() };
        publish(&table, &HubReport { state, age: Some(250) }, 1_000);
        let read = |key: &str, now| {
            table.get(key.as_bytes(), now, |entry| entry.value(DataType::Gpt0, 0)).unwrap().flatten()
        };
        for (key, value) in [("nodes", 3), ("expected", 3), ("complete", 0), ("refused", 1), ("age", 250)] {
            assert_eq!(read(key, 1_000), Some(Value::Unsigned(value)), "{key}");
        }
        assert!(read("nodes", 3_999).is_some());
        assert_eq!(read("nodes", 4_000), None, "ends soon after the hub");
        publish(&table, &HubReport::default(), 5_000);
        assert_eq!(read("age", 5_000), Some(Value::Unsigned(u32::MAX)), "nobody is no fresh node");
    }
}
