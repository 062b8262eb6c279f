//! What seeds found, as the steps that were left of them.

use haproxy_peers::UpdateIds;
use stick_table::defect::Defect;
use stickd_sim::{Line, NodePlan, Plan, Release, Step, TablePlan, Violation, What, World};

/// Three nodes, one table of six keys, of which node n has key n and key n + 3; a network of 5 ms.
fn plan(steps: &[(u64, What)]) -> Plan {
    let node = |number: u64| NodePlan {
        clock: 4_000_000 + number * 77_777,
        drift_ppm: 0,
        old: false,
        confirms: true,
        haproxy: None,
        shard: 0,
        chunk: 65_536,
        max_updates: 200,
        ids: UpdateIds::default(),
    };
    let table =
        TablePlan { section: 0, keys: 6, size: 1_000, no_purge: false, expire: vec![Some(90_000); 3] };
    Plan {
        seed: 1,
        profile: "regression",
        nodes: (0..3).map(node).collect(),
        tables: vec![table],
        sections: 1,
        shards: None,
        hubs: None,
        one_writer: false,
        anonymous: false,
        copies: false,
        line: Line { delay_ms: (5, 5), room: 65_536, split: 0, read: (16_384, 16_384) },
        steps: steps.iter().map(|&(at, what)| Step { at, what }).collect(),
    }
}

fn violations(plan: &Plan, defect: Option<Defect>) -> Vec<Violation> {
    assert!(Defect::switch(defect));
    let outcome = World::run(plan, false);
    Defect::switch(None);
    outcome.violations
}

/// Seed 2 of profile `clocks`: a node that restarts learns an old value from one who was cut off from its writer. What the
/// writer teaches then is not taken, and what the process before had acknowledged was not pushed again.
#[test]
fn a_restarted_node_learns_the_newest_value_whoever_teaches_it_first() {
    let write = What::Write { table: 0, key: 2, requests: 0 };
    let mut plan = plan(&[
        (15_000, write),
        (16_000, What::Partition { nodes: (0, 2), ms: 20_000 }),
        (17_000, write),
        (19_000, What::Kill { node: 1, quietly: false, ms: 100 }),
        (22_000, What::Calm),
        (57_000, What::Compare),
    ]);
    assert_eq!(violations(&plan, None), []);
    // Lifetimes tell which lesson is newer, where there are any.
    plan.tables[0].expire = vec![None; 3];
    mended(&plan, Defect::AcksOutliveProcesses);
}

/// Seed 715 of profile `restarts`: a process that starts alone gives up waiting for a lesson, and hands over to the next one,
/// which then asked nobody for what the process before both had acknowledged.
#[test]
fn the_successor_of_a_process_that_learned_nothing_asks_the_others() {
    let plan = plan(&[
        (15_000, What::Write { table: 0, key: 1, requests: 0 }),
        (18_000, What::Partition { nodes: (0, 1), ms: 20_000 }),
        (18_000, What::Partition { nodes: (0, 2), ms: 20_000 }),
        (20_000, What::Kill { node: 0, quietly: false, ms: 100 }),
        (26_000, What::HandOver { node: 0 }),
        (27_000, What::Calm),
        (62_000, What::Compare),
    ]);
    mended(&plan, Defect::PredecessorGaveUp);
}

/// Seed 733 of profile `mixed`: a node at 2.0 learned an old value from one peer, and then the new one from the HAProxy that
/// wrote it, by what that repeats after its lesson. The entry kept the lifetime of the old value, and ended early.
#[test]
fn what_repeats_a_lesson_at_2_0_has_a_lifetime_of_its_own() {
    let write = What::Write { table: 0, key: 1, requests: 0 };
    let mut plan = plan(&[
        (2_400, What::Partition { nodes: (0, 1), ms: 9_000 }),
        (2_500, write),
        (11_600, write),
        (12_000, What::Calm),
        (47_000, What::Compare),
    ]);
    plan.nodes[0].old = true;
    plan.nodes[1].haproxy = Some(Release::V2_4);
    assert_eq!(violations(&plan, None), []);
    let without = violations(&plan, Some(Defect::StaleRepetitions));
    assert!(without.iter().any(|violation| violation.invariant == "lifetimes"), "{without:?}");
}

/// Seed 200432 of profile `mixed`: a node that restarts learns an old value from one peer. The HAProxy that was cut off from it
/// and wrote since teaches the new one, and repeats it under the same id.
#[test]
fn a_restarted_node_takes_the_newest_touch_from_the_lesson_that_comes_last() {
    let write = What::Write { table: 0, key: 2, requests: 0 };
    let mut plan = plan(&[
        (15_000, write),
        (20_000, What::Partition { nodes: (1, 2), ms: 40_000 }),
        (21_000, What::Kill { node: 1, quietly: false, ms: 100 }),
        (45_000, write),
        (50_000, What::Calm),
        (85_000, What::Compare),
    ]);
    plan.nodes[2].haproxy = Some(Release::V3_4);
    assert_eq!(violations(&plan, None), []);
}

/// Seed 306060 of profile `storm`: a node that restarts learns an old value from one that was cut off, and teaches it to those
/// who know the newest one from its process before.
#[test]
fn a_restarted_node_does_not_set_others_back() {
    let write = What::Write { table: 0, key: 2, requests: 0 };
    let plan = plan(&[
        (15_000, write),
        (20_000, What::Partition { nodes: (0, 2), ms: 60_000 }),
        (25_000, write),
        (30_000, What::Kill { node: 2, quietly: false, ms: 100 }),
        (31_000, What::Partition { nodes: (1, 2), ms: 30_000 }),
        (70_000, What::Calm),
        (105_000, What::Compare),
    ]);
    assert_eq!(violations(&plan, None), []);
}

/// Seed 301785 of profile `levels`: little room in a connection does not keep a HAProxy from sending, as its own buffer holds
/// more.
#[test]
fn a_haproxy_sends_over_connections_with_little_room() {
    let mut plan = plan(&[
        (15_000, What::Write { table: 0, key: 2, requests: 0 }),
        (20_000, What::Calm),
        (55_000, What::Compare),
    ]);
    plan.nodes[2].haproxy = Some(Release::V3_4);
    plan.line.room = 20;
    assert_eq!(violations(&plan, None), []);
}

/// Nothing fails, and it would without the mend.
fn mended(plan: &Plan, defect: Defect) {
    assert_eq!(violations(plan, None), []);
    let without = violations(plan, Some(defect));
    assert!(without.iter().any(|violation| violation.invariant == "convergence"), "{without:?}");
}
