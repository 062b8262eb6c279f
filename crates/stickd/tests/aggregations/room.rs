//! A hub with room for fewer keys than its nodes have.

use std::time::Duration;

use stickd_testkit::{Release, wait};

use crate::cluster::{CONNECTED, Cluster};
use crate::trials::tests;

tests!(sums_of_a_full_hub_are_right_or_not_there);

/// Keys that the hub has room for, and those that there are.
const ROOM: u32 = 40;
const KEYS: u32 = 60;
/// Lifetime of entries, in s.
const EXPIRE: u64 = 12;

/// An entry with less to live may have ended at the hub, in ms.
const ABOUT_TO_EXPIRE: u64 = 1_000;

/// Two nodes set a counter of the same keys.
fn set(cluster: &Cluster, keys: std::ops::Range<u32>) {
    for (node, count) in [(0, 10), (1, 1)] {
        for key in keys.clone() {
            cluster.nodes[node].cli().run(&format!("set table p/t key {key} data.gpc0 {count}"));
        }
    }
}

/// The sums that a node reads. None is less than the node's own value, unless that is about to expire: the nodes set theirs one after
/// the other, so they end one after the other.
fn sums(cluster: &Cluster, node: usize) -> Vec<u64> {
    let cli = cluster.nodes[node].cli();
    let sums = cli.table("p/t.agg").entries;
    let own = cli.table("p/t").entries;
    for (key, sum) in &sums {
        let own = own.get(key).filter(|own| own.exp > ABOUT_TO_EXPIRE).map_or(0, |own| own.number("gpc0"));
        let sum = sum.number("gpc0");
        assert!(sum >= own, "the sum of {key} is {sum}, and the node's own value {own}");
    }
    sums.values().map(|entry| entry.number("gpc0")).collect()
}

fn wait_sums(cluster: &Cluster, wanted: impl Fn(&[u64]) -> bool) {
    for node in [0, 1] {
        wait::until_or(
            CONNECTED,
            "the sums",
            || cluster.state(),
            || wanted(&sums(cluster, node)).then_some(()),
        );
    }
}

fn sums_of_a_full_hub_are_right_or_not_there(release: &Release) {
    let table = format!("type integer size 10k expire {EXPIRE}s store gpc0");
    let cluster = Cluster::start(release, &table, &format!("  tables size {ROOM}\n"), |config| config);
    // Both are there and were asked for what they have.
    set(&cluster, 9_999..10_000);
    wait_sums(&cluster, |sums| sums == [11]);
    set(&cluster, 0..KEYS);
    // One place is that of the first key.
    let all_there = vec![11; ROOM as usize];
    wait_sums(&cluster, |sums| *sums == all_there);
    // Those that found no room live on when the others end, and nobody touches them again.
    std::thread::sleep(Duration::from_secs(EXPIRE / 2));
    set(&cluster, ROOM..KEYS);
    wait_sums(&cluster, |sums| sums == [11; (KEYS - ROOM) as usize]);
}
