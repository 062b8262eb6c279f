//! A hub: what it sums, and who is told what.

use haproxy_peers::{Control, Hub, Mapping, SessionEvent};

use stick_table::{DataType, KeyType, Value};

use crate::support::{Script, Setup, World, control, counters, set, table, with_payload};

/// Any table becomes one with `.agg` behind its name.
pub(crate) fn hub() -> Hub {
    let mappings = vec![Mapping { from: None, to: ".agg".to_owned() }];
    Hub { mappings, node_timeout: 30_000, ..Hub::default() }
}

pub(crate) fn setup(peers: &[&str]) -> Setup {
    peers.iter().fold(Setup::new("h").hub(hub()), |setup, peer| setup.peer(peer))
}

/// A node connects, ends the lesson that it is asked for, and defines its table.
pub(crate) fn join(world: &mut World, node: usize, name: &str) -> Script {
    join_at(world, node, name, "2.1")
}

fn join_at(world: &mut World, node: usize, name: &str, version: &str) -> Script {
    let mut peer = Script::call(world, node, name, version);
    peer.control(world, Control::ResyncFinished);
    peer.define(world, 1, &counters("t"));
    peer.heard(world);
    peer
}

/// The updates a peer got.
pub(crate) fn updates(world: &mut World, peer: &mut Script) -> Vec<String> {
    let mut lines = peer.news(world);
    lines.retain(|line| line.starts_with('t') || line.starts_with('u'));
    lines
}

/// Two nodes and their hub.
fn two_nodes() -> (World, usize, [Script; 2]) {
    let mut world = World::new(1);
    let node = world.add(setup(&["a", "b"]));
    let peers = ["a", "b"].map(|name| join(&mut world, node, name));
    (world, node, peers)
}

#[test]
fn the_sum_reaches_all_nodes_and_their_own_tables_nobody() {
    let (mut world, _, [mut a, mut b]) = two_nodes();
    a.update(&mut world, Some(1), None, 1, 2);
    world.run(10);
    assert_eq!(a.news(&mut world), ["ack 1 1", "t.agg 1 1 2"]);
    assert_eq!(updates(&mut world, &mut b), ["t.agg 1 1 2"]);
    b.update(&mut world, Some(1), None, 1, 3);
    world.run(10);
    assert_eq!(updates(&mut world, &mut a), ["t.agg 2 1 5"]);
    assert_eq!(updates(&mut world, &mut b), ["t.agg 2 1 5"]);
    // A node's next value replaces its own only.
    a.update(&mut world, Some(2), None, 1, 10);
    world.run(10);
    assert_eq!(updates(&mut world, &mut b), ["t.agg 3 1 13"]);
}

#[test]
fn its_own_result_is_never_input() {
    let (mut world, _, [mut a, mut b]) = two_nodes();
    a.update(&mut world, Some(1), None, 1, 2);
    world.run(10);
    b.heard(&mut world);
    // As HAProxy does in a lesson: what it learned is told back.
    b.define(&mut world, 7, &counters("t.agg"));
    b.update(&mut world, Some(1), Some(50_000), 1, 2);
    b.update(&mut world, Some(2), None, 1, 200);
    world.run(10);
    assert_eq!(b.news(&mut world), ["ack 7 1", "ack 7 2"]);
    b.define(&mut world, 1, &counters("t"));
    b.update(&mut world, Some(1), None, 1, 3);
    world.run(10);
    assert_eq!(updates(&mut world, &mut b), ["t.agg 2 1 5"]);
}

#[test]
fn a_result_that_comes_before_its_source_makes_no_table_and_no_noise() {
    let mut world = World::new(1);
    let node = world.add(setup(&["a"]));
    let mut a = Script::call(&mut world, node, "a", "2.1");
    a.define(&mut world, 2, &counters("t.agg"));
    a.update(&mut world, Some(1), Some(50_000), 1, 2);
    assert!(world.nodes[node].tables.is_empty());
    assert_eq!(world.nodes[node].count(|event| matches!(event, SessionEvent::TableIgnored { .. })), 0);
}

#[test]
fn the_result_lives_as_long_as_the_longest_of_its_parts() {
    let (mut world, _, [mut a, mut b]) = two_nodes();
    a.update(&mut world, Some(1), Some(9_000), 1, 2);
    world.run(10);
    assert_eq!(updates(&mut world, &mut b), ["t.agg 1 1 2 left=9000"]);
    b.update(&mut world, Some(1), Some(5_000), 1, 3);
    world.run(10);
    let lines = updates(&mut world, &mut b);
    assert!(lines.len() == 1 && lines[0].starts_with("t.agg 2 1 5 left=89"), "{lines:?}");
}

#[test]
fn a_node_that_restarts_is_taught_the_sums_and_then_its_own_values() {
    let (mut world, node, [mut a, mut b]) = two_nodes();
    a.update(&mut world, Some(1), None, 1, 20);
    b.update(&mut world, Some(1), None, 1, 30);
    b.update(&mut world, Some(2), None, 2, 4);
    world.run(1_000);
    a.close(&mut world);
    world.run(500);
    let mut again = join(&mut world, node, "a");
    again.control(&mut world, Control::ResyncRequest);
    again.control(&mut world, Control::ResyncFinished);
    world.run(10);
    let mut heard = again.heard(&mut world);
    heard.retain(|line| line != "heartbeat" && !line.starts_with("ack"));
    let lives = heard.iter().filter(|line| line.contains(" left=58")).count();
    assert_eq!(lives, 3, "with what is left: {heard:?}");
    heard.iter_mut().for_each(|line| line.truncate(line.find(" left=").unwrap_or(line.len())));
    let place = |line: &str| {
        heard.iter().position(|heard| heard == line).unwrap_or_else(|| panic!("{line}: {heard:?}"))
    };
    let own = place("t 1 1 20");
    assert!(heard.iter().position(|line| line.ends_with(" 1 50")) < Some(own), "the sum first: {heard:?}");
    assert!(!heard.iter().any(|line| line.starts_with("t ") && line.ends_with(" 2 4")), "not b's: {heard:?}");
    assert!(place("finished") > own);
}

/// HAProxy pushes nothing to a peer that teaches it, so what it counted meanwhile is in its own lesson only, and a lesson without
/// that would overwrite it.
#[test]
fn a_node_that_restarts_is_taught_after_it_told_what_it_has_counted_by_then() {
    let (mut world, node, [mut a, _]) = two_nodes();
    a.update(&mut world, Some(1), None, 1, 10);
    world.run(1_000);
    a.close(&mut world);
    world.run(500);
    let mut again = Script::call(&mut world, node, "a", "2.1");
    again.control(&mut world, Control::ResyncRequest);
    assert!(again.news(&mut world).contains(&"request".to_owned()));
    world.run(1_000);
    assert_eq!(updates(&mut world, &mut again), [""; 0], "neither its own values nor sums");
    again.define(&mut world, 1, &counters("t"));
    again.update(&mut world, Some(1), Some(59_000), 1, 6);
    again.control(&mut world, Control::ResyncFinished);
    world.run(10);
    let taught = updates(&mut world, &mut again);
    assert!(taught.iter().any(|line| line.starts_with("t 1 1 16 ")), "{taught:?}");
    // One that tells nothing is taught all the same, in the end.
    again.close(&mut world);
    world.run(500);
    let mut silent = Script::call(&mut world, node, "a", "2.1");
    silent.control(&mut world, Control::ResyncRequest);
    let mut taught = Vec::new();
    let mut wait = |world: &mut World, ms| {
        world.run(ms);
        silent.control(world, Control::Heartbeat);
        taught.extend(updates(world, &mut silent));
        taught.iter().any(|line| line.starts_with("t 1 1 16 "))
    };
    assert!(!wait(&mut world, 4_000));
    assert!(wait(&mut world, 1_500));
}

/// HAProxy 2.6 to 3.4 end the lesson that they were asked for a moment ago when a confirmation of an earlier one comes behind.
#[test]
fn a_node_is_asked_again_after_its_lesson_was_confirmed() {
    let mut world = World::new(1);
    let node = world.add(setup(&["a"]));
    let mut a = Script::call(&mut world, node, "a", "2.1");
    assert!(a.news(&mut world).contains(&"request".to_owned()));
    a.say(&mut world, &[control(Control::ResyncFinished), control(Control::ResyncRequest)].concat());
    let mut lines = a.news(&mut world);
    lines.retain(|line| line == "confirm" || line == "request");
    assert_eq!(lines, ["confirm", "request"]);
}

#[test]
fn no_sum_falls_because_a_node_restarted() {
    let (mut world, node, [mut a, mut b]) = two_nodes();
    a.update(&mut world, Some(1), None, 1, 20);
    b.update(&mut world, Some(1), None, 1, 30);
    world.run(10);
    a.close(&mut world);
    world.run(500);
    b.heard(&mut world);
    // The new process counts before it is taught.
    let mut again = join(&mut world, node, "a");
    again.update(&mut world, Some(1), None, 1, 1);
    world.run(10);
    assert_eq!(updates(&mut world, &mut b), ["t.agg 3 1 51"]);
    again.control(&mut world, Control::ResyncRequest);
    again.control(&mut world, Control::ResyncFinished);
    world.run(10);
    let taught = again.heard(&mut world);
    assert!(taught.iter().any(|line| line.starts_with("t ") && line.contains(" 1 21 ")), "{taught:?}");
    again.control(&mut world, Control::ResyncConfirm);
    again.update(&mut world, Some(2), None, 1, 22);
    world.run(10);
    assert_eq!(updates(&mut world, &mut b), ["t.agg 4 1 52"]);
}

/// Seed 6 of profile `levels` of the simulator: the lower value was taken for that of a process which began anew.
#[test]
fn the_sum_of_a_lower_hub_may_be_less_in_its_next_session() {
    let mut world = World::new(1);
    let node = world.add(setup(&["b"]).lower_hub("l"));
    let [mut lower, mut b] = ["l", "b"].map(|name| join(&mut world, node, name));
    lower.update(&mut world, Some(1), None, 1, 25);
    b.update(&mut world, Some(1), None, 1, 30);
    world.run(10);
    lower.close(&mut world);
    world.run(500);
    // Meanwhile one of its nodes went away.
    let mut lower = join(&mut world, node, "l");
    lower.update(&mut world, Some(2), None, 1, 5);
    world.run(10);
    assert_eq!(updates(&mut world, &mut b).last().unwrap(), "t.agg 3 1 35");
    // It takes nothing back, so it is taught nothing.
    lower.control(&mut world, Control::ResyncRequest);
    world.run(10);
    let taught = lower.heard(&mut world);
    assert!(!taught.iter().any(|line| line.starts_with("t ")), "{taught:?}");
}

#[test]
fn a_node_that_stays_away_counts_no_more() {
    let (mut world, node, [mut a, mut b]) = two_nodes();
    a.update(&mut world, Some(1), None, 1, 20);
    b.update(&mut world, Some(1), None, 1, 30);
    world.run(10);
    a.close(&mut world);
    world.run(29_000);
    for aggregate in world.nodes[node].tables.aggregates() {
        assert_eq!(
            aggregate.contributions(&1_u32.to_be_bytes(), world.nodes[node].clock(world.now)).unwrap().len(),
            2
        );
    }
    world.run(2_000);
    for aggregate in world.nodes[node].tables.aggregates() {
        assert_eq!(
            aggregate.contributions(&1_u32.to_be_bytes(), world.nodes[node].clock(world.now)).unwrap().len(),
            1
        );
    }
    b.heard(&mut world);
}

/// Seed 78 of profile `two-hubs` of the simulator: what the node had told, and the hub had acknowledged, it did not tell again.
#[test]
fn a_node_that_was_forgotten_is_asked_for_what_it_has() {
    let mut world = World::new(1);
    let node = world.add(setup(&["a"]));
    let mut a = join(&mut world, node, "a");
    a.update(&mut world, Some(1), None, 1, 20);
    world.run(10);
    a.close(&mut world);
    world.run(29_000);
    let mut again = Script::call(&mut world, node, "a", "2.1");
    assert!(!again.news(&mut world).contains(&"request".to_owned()), "it is known what it has");
    again.close(&mut world);
    world.run(31_000);
    let mut again = Script::call(&mut world, node, "a", "2.1");
    assert!(again.news(&mut world).contains(&"request".to_owned()));
    again.define(&mut world, 1, &counters("t"));
    again.update(&mut world, Some(1), Some(10_000), 1, 20);
    again.control(&mut world, Control::ResyncFinished);
    world.run(10);
    let lines = updates(&mut world, &mut again);
    assert!(lines.len() == 1 && lines[0].starts_with("t.agg 1 1 20 left=99"), "{lines:?}");
}

/// Seed 28 of profile `levels` of the simulator: without what the node has, the sum is lower than that.
#[test]
fn a_node_hears_no_sum_before_it_told_what_it_has() {
    let (mut world, node, [mut a, _]) = two_nodes();
    a.update(&mut world, Some(1), None, 1, 20);
    world.run(10);
    a.close(&mut world);
    world.run(31_000);
    let mut b = join(&mut world, node, "b");
    b.update(&mut world, Some(2), None, 1, 31);
    let mut again = Script::call(&mut world, node, "a", "2.1");
    again.control(&mut world, Control::ResyncRequest);
    world.run(1_000);
    assert_eq!(updates(&mut world, &mut again), [""; 0]);
    again.define(&mut world, 1, &counters("t"));
    again.update(&mut world, Some(1), Some(10_000), 1, 20);
    world.run(1_000);
    assert_eq!(updates(&mut world, &mut again), [""; 0], "there may be more to come");
    assert!(!again.news(&mut world).contains(&"finished".to_owned()), "a lesson has the sums as well");
    again.control(&mut world, Control::ResyncFinished);
    world.run(10);
    let lines = updates(&mut world, &mut again);
    assert!(lines.len() == 1 && lines[0].contains(" 1 51"), "{lines:?}");
    // One that tells nothing gets them all the same, in the end.
    again.close(&mut world);
    world.run(31_000);
    let mut b = join(&mut world, node, "b");
    let mut again = Script::call(&mut world, node, "a", "2.1");
    b.update(&mut world, Some(3), None, 1, 32);
    world.run(4_900);
    assert_eq!(updates(&mut world, &mut again), [""; 0]);
    again.control(&mut world, Control::Heartbeat);
    world.run(3_000);
    assert!(updates(&mut world, &mut again)[0].contains(" 1 32"));
}

#[test]
fn an_old_node_gets_the_sums_too() {
    let mut world = World::new(1);
    let node = world.add(setup(&["a", "b"]));
    let mut a = join(&mut world, node, "a");
    let mut old = join_at(&mut world, node, "b", "2.0");
    a.update(&mut world, Some(1), Some(9_000), 1, 2);
    old.update(&mut world, Some(1), None, 1, 3);
    world.run(10);
    assert_eq!(updates(&mut world, &mut old).last().unwrap(), "t.agg 2 1 5");
}

#[test]
fn tables_of_an_upper_hub_are_passed_down_and_not_back() {
    let mut world = World::new(1);
    let mappings = vec![Mapping { from: Some(".local".to_owned()), to: ".aggr".to_owned() }];
    let node = world
        .add(Setup::new("h").hub(Hub { mappings, ..hub() }).peer("a").peer_above("up").peer_above("up2"));
    let mut a = join(&mut world, node, "a");
    let [mut up, mut up2] = ["up", "up2"].map(|name| {
        let mut up = Script::call(&mut world, node, name, "2.1");
        up.control(&mut world, Control::ResyncFinished);
        up.heard(&mut world);
        up
    });
    // The upper ones get what this one sums.
    a.define(&mut world, 1, &counters("t.local"));
    a.update(&mut world, Some(1), None, 1, 2);
    world.run(10);
    assert_eq!(updates(&mut world, &mut a), ["t.aggr 1 1 2"]);
    assert_eq!(updates(&mut world, &mut up), ["t.aggr 1 1 2"]);
    // What they sum of it goes to the nodes, and to no upper one.
    up.define(&mut world, 1, &counters("t.l2"));
    up.update(&mut world, Some(1), Some(9_000), 1, 77);
    world.run(10);
    assert_eq!(updates(&mut world, &mut a), ["t.l2 1 1 77 left=9000"]);
    a.define(&mut world, 2, &counters("t.l2"));
    a.update(&mut world, Some(1), None, 1, 88);
    // Nor are their copies of sources and results taken.
    for (id, name) in [(2, "t.local"), (3, "t.aggr")] {
        up.define(&mut world, id, &counters(name));
        up.update(&mut world, Some(1), None, 1, 99);
    }
    world.run(10);
    for peer in [&mut a, &mut up, &mut up2] {
        let lines = updates(&mut world, peer);
        assert!(!lines.iter().any(|line| !line.starts_with("t.aggr 1 1 2")), "{lines:?}");
    }
    // A node that comes later is taught all of it.
    a.control(&mut world, Control::ResyncRequest);
    a.control(&mut world, Control::ResyncFinished);
    world.run(10);
    let taught = updates(&mut world, &mut a);
    assert!(taught.iter().any(|line| line.starts_with("t.l2 ") && line.contains(" 1 77 ")), "{taught:?}");
}

/// What a node counts for itself is summed. It is not taught its own of before it restarted: those connections are gone, and
/// HAProxy up to 2.4 would take the number.
#[test]
fn open_connections_are_summed_and_a_node_is_not_taught_its_own() {
    let mut world = World::new(1);
    let node = world.add(setup(&["a", "b"]));
    let counted = table("t", KeyType::Integer, 60_000, &["gpc0", "conn_cur"]);
    let [mut a, mut b] = ["a", "b"].map(|name| {
        let mut peer = Script::call(&mut world, node, name, "2.1");
        peer.control(&mut world, Control::ResyncFinished);
        peer.define(&mut world, 1, &counted);
        peer.heard(&mut world);
        peer
    });
    a.update(&mut world, Some(1), None, 1, 2);
    let three = with_payload(10, 0x80, &[0, 0, 0, 1, 0, 0, 0, 1, 5, 3]);
    b.say(&mut world, &three);
    world.run(10);
    assert_eq!(updates(&mut world, &mut a).last().unwrap(), "t.agg 2 1 7 3");
    b.close(&mut world);
    world.run(500);
    let mut again = Script::call(&mut world, node, "b", "2.1");
    again.control(&mut world, Control::ResyncFinished);
    again.control(&mut world, Control::ResyncRequest);
    again.control(&mut world, Control::ResyncFinished);
    let mut taught = updates(&mut world, &mut again);
    taught.iter_mut().for_each(|line| line.truncate(line.find(" left=").unwrap_or(line.len())));
    assert!(taught.iter().any(|line| line == "t 1 1 5"), "{taught:?}");
}

/// The sums would be without what the other one has.
#[test]
fn results_wait_for_every_node_with_a_line_or_5_seconds() {
    let mut world = World::new(1);
    let node = world.add(setup(&["a", "b"]));
    let holds = |world: &World| world.nodes[node].tables.holds_results();
    assert!(holds(&world));
    join(&mut world, node, "a");
    world.run(10);
    assert!(holds(&world), "b has not told anything");
    join(&mut world, node, "b");
    world.run(10);
    assert!(!holds(&world));

    let mut world = World::new(1);
    let begun = world.now;
    let node = world.add(setup(&["a", "b"]));
    let mut a = join(&mut world, node, "a");
    world.run(begun + 4_900 - world.now);
    a.control(&mut world, Control::Heartbeat);
    assert!(world.nodes[node].tables.holds_results());
    world.run(200);
    assert!(!world.nodes[node].tables.holds_results(), "b may be gone for ever");
}

/// Each waits for up to 5 s, and none for the others.
#[test]
fn many_nodes_are_asked_at_once_and_not_more_than_sixteen() {
    let names: Vec<_> = (0..20).map(|number| format!("n{number}")).collect();
    let mut world = World::new(1);
    let node = world.add(setup(&names.iter().map(String::as_str).collect::<Vec<_>>()));
    let mut nodes: Vec<_> = names.iter().map(|name| Script::call(&mut world, node, name, "2.1")).collect();
    world.run(10);
    let asked = |world: &mut World, nodes: &mut [Script]| {
        let is_asked = |peer: &mut Script| peer.news(world).contains(&"request".to_owned());
        nodes.iter_mut().map(is_asked).filter(|asked| *asked).count()
    };
    assert_eq!(asked(&mut world, &mut nodes), 16);
    // One teaches, one leaves, and two others are asked.
    nodes[3].control(&mut world, Control::ResyncFinished);
    nodes.remove(5).close(&mut world);
    world.run(10);
    assert_eq!(asked(&mut world, &mut nodes), 2);
    for peer in &mut nodes {
        peer.control(&mut world, Control::ResyncFinished);
    }
    world.run(10);
    assert_eq!(asked(&mut world, &mut nodes), 2);
    for peer in &mut nodes[17..] {
        peer.control(&mut world, Control::ResyncFinished);
    }
    // The one that left may come back until its node-timeout, and has taught nothing.
    let untold = |world: &World| world.nodes[node].section.hub_state(true).left_out;
    world.run(10);
    assert!(untold(&world).iter().all(|left_out| left_out.node.is_none()), "{:?}", untold(&world));
}

/// Else nodes would go on with what the process before said of its sums, or know nothing, as long as results are held back.
#[test]
fn the_state_of_a_hub_is_told_while_its_results_are_held_back() {
    let mut world = World::new(1);
    let node = world.add(setup(&["a", "b"]).table(counters("u")));
    let mut a = join(&mut world, node, "a");
    a.update(&mut world, Some(1), None, 1, 2);
    set(&world, node, 7, 3);
    world.run(10);
    assert!(world.nodes[node].tables.holds_results());
    assert_eq!(updates(&mut world, &mut a), ["u 1 7 3 srv3"]);
    // What a node holds of it is not taken.
    a.define(&mut world, 2, &counters("u"));
    a.update(&mut world, Some(1), None, 7, 1);
    world.run(10);
    let state = world.nodes[node].table(0);
    let read = state.get(&7_u32.to_be_bytes(), world.now, |entry| entry.value(DataType::Gpc0, 0));
    assert_eq!(read.unwrap().flatten(), Some(Value::Unsigned(3)));
}
