//! The three lines by which rules trust sums only while they are whole: examples/hub has them.

use stickd_testkit::Release;

use crate::cluster::Cluster;
use crate::fallback;
use crate::trials::tests;

tests!(
    nodes_fall_back_to_their_own_limit_when_the_hub_is_killed,
    nodes_fall_back_to_their_own_limit_when_the_hub_is_silent,
    nodes_fall_back_to_their_own_limit_when_a_node_is_gone
);

fn start(release: &Release) -> Cluster {
    let cluster = fallback::start(release, "type string len 32 size 1k expire 1h store http_req_cnt", "");
    wait_complete(&cluster, &[0, 1], Some(1));
    cluster.assert_common_limit("k", "the start");
    cluster
}

/// Waits for what nodes read of the hub's state; `None` when there is nothing to read.
#[track_caller]
fn wait_complete(cluster: &Cluster, nodes: &[usize], wanted: Option<u64>) {
    cluster.wait_hub_says(nodes, "complete", |complete| complete == wanted);
}

fn nodes_fall_back_to_their_own_limit_when_the_hub_is_killed(release: &Release) {
    let cluster = start(release);
    cluster.hub.daemon().kill9();
    wait_complete(&cluster, &[0, 1], None);
    assert_eq!(cluster.request(1, "/count", "k", 3), [200, 200, 429], "three of its own five are counted");
    cluster.assert_own_limits(&[0, 1], "new", "a hub that is gone");
}

fn nodes_fall_back_to_their_own_limit_when_the_hub_is_silent(release: &Release) {
    let cluster = start(release);
    // Connections stay, and nothing comes: the process is stopped.
    cluster.hub.signal(stickd_testkit::Signal::STOP);
    wait_complete(&cluster, &[0, 1], None);
    cluster.assert_own_limits(&[0, 1], "new", "a silent hub");
    cluster.hub.signal(stickd_testkit::Signal::CONT);
    wait_complete(&cluster, &[0, 1], Some(1));
}

fn nodes_fall_back_to_their_own_limit_when_a_node_is_gone(release: &Release) {
    let mut cluster = start(release);
    cluster.nodes.remove(1);
    wait_complete(&cluster, &[0], Some(0));
    cluster.assert_own_limits(&[0], "new", "a node that is gone");
}
