//! Sections that pass live updates on, and relays that meet.

use std::sync::Arc;

use haproxy_peers::{
    Control, Definition, Limits, Padding, ProtocolVersion, Relays, Resume, Role, Session, SessionEvent,
    SessionSetup, TableSet, UpdateHeader, encode_key,
};
use stick_table::{DataType, KeyType, Lifetime, Origin, Table, TableDefinition, Value};

use crate::support::{Script, Setup, World, control, counters, gpc0, set, table, update};

/// A peer connects, is asked for a lesson perhaps, and defines its table; then it has heard everything.
fn join(world: &mut World, node: usize, name: &str, version: &str) -> Script {
    let mut peer = Script::call(world, node, name, version);
    introduce(world, &mut peer);
    peer
}

/// The same for a peer that relays.
fn join_as_relay(world: &mut World, node: usize, name: &str) -> Script {
    let mut peer = Script::call(world, node, name, "2.1");
    peer.control(world, Control::Relay);
    introduce(world, &mut peer);
    peer
}

fn introduce(world: &mut World, peer: &mut Script) {
    peer.control(world, Control::ResyncFinished);
    peer.define(world, 1, &counters("t"));
    peer.heard(world);
}

/// The updates a peer got.
fn updates(world: &mut World, peer: &mut Script) -> Vec<String> {
    let mut lines = peer.news(world);
    lines.retain(|line| line.starts_with("t "));
    lines
}

fn relay(name: &str, peers: &[&str]) -> Setup {
    peers.iter().fold(Setup::new(name).table(counters("t")).relay(), |setup, peer| setup.peer(peer))
}

/// A relay with the peers a, b and c.
fn three_peers() -> (World, usize, [Script; 3]) {
    let mut world = World::new(1);
    let node = world.add(relay("r", &["a", "b", "c"]));
    let peers = ["a", "b", "c"].map(|name| join(&mut world, node, name, "2.1"));
    (world, node, peers)
}

/// Live updates sent by all nodes.
fn sent(world: &World) -> u64 {
    let nodes = 0..world.nodes.len();
    nodes.flat_map(|node| world.sessions(node)).map(|session| session.sent().live_updates).sum()
}

/// Checks that nothing is sent any more.
fn assert_calm(world: &mut World) {
    let before = sent(world);
    world.run(3_000);
    assert_eq!(sent(world), before, "updates go round");
}

#[test]
fn an_update_reaches_all_peers_but_the_one_it_came_from() {
    let (mut world, node, [mut a, mut b, mut c]) = three_peers();
    a.update(&mut world, Some(1), None, 1, 5);
    world.run(10);
    assert_eq!(a.news(&mut world), ["ack 1 1"]);
    for peer in [&mut b, &mut c] {
        assert_eq!(peer.news(&mut world), ["t 1 1 5"]);
    }
    b.update(&mut world, Some(1), None, 1, 6);
    set(&world, node, 2, 7);
    world.run(10);
    assert_eq!(updates(&mut world, &mut a), ["t 1 1 6", "t 2 2 7 srv7"]);
    assert_eq!(updates(&mut world, &mut b), ["t 2 2 7 srv7"]);
    assert_eq!(updates(&mut world, &mut c), ["t 2 1 6", "t 3 2 7 srv7"]);
    assert_calm(&mut world);
}

#[test]
fn a_plain_section_passes_nothing_on_and_does_not_say_that_it_relays() {
    let mut world = World::new(1);
    let node = world.add(Setup::new("n").peer("a").peer("b").table(counters("t")));
    let mut a = Script::call(&mut world, node, "a", "2.1");
    assert_eq!(a.heard(&mut world), ["request"]);
    introduce(&mut world, &mut a);
    // Not to relays either.
    let mut b = join_as_relay(&mut world, node, "b");
    a.update(&mut world, Some(1), None, 1, 5);
    world.run(100);
    assert_eq!(gpc0(&world, node, 1).unwrap().0, 5);
    assert!(b.news(&mut world).is_empty());
    let view = world.nodes[node].section.view(world.now);
    assert!(!view.relay);
    assert_eq!(view.peers.iter().map(|peer| peer.relay).collect::<Vec<_>>(), [false, false, true]);
}

/// A timed update says that less is left than the whole; protocol 2.0 cannot say it.
#[test]
fn the_remaining_lifetime_is_passed_on_where_the_protocol_can() {
    let mut world = World::new(1);
    let node = world.add(relay("r", &["a", "b", "c"]));
    let mut a = join(&mut world, node, "a", "2.1");
    let mut b = join(&mut world, node, "b", "2.1");
    let mut old = join(&mut world, node, "c", "2.0");
    a.update(&mut world, Some(1), Some(5_000), 1, 5);
    world.run(10);
    assert_eq!(updates(&mut world, &mut b), ["t 1 1 5 left=5000"]);
    assert_eq!(updates(&mut world, &mut old), ["t 1 1 5"]);
    old.update(&mut world, Some(1), None, 2, 6);
    world.run(10);
    assert_eq!(updates(&mut world, &mut a), ["t 1 2 6"]);
    assert_eq!(updates(&mut world, &mut b), ["t 2 2 6"]);
}

#[test]
fn what_a_lesson_told_is_not_passed_on() {
    let mut world = World::new(1);
    let node = world.add(relay("r", &["a", "b"]));
    let mut a = Script::call(&mut world, node, "a", "2.1");
    let mut b = join(&mut world, node, "b", "2.1");
    assert_eq!(a.heard(&mut world), ["relay", "request"]);
    a.define(&mut world, 1, &counters("t"));
    a.update(&mut world, Some(1), Some(30_000), 1, 5);
    a.update(&mut world, Some(2), Some(30_000), 2, 6);
    a.control(&mut world, Control::ResyncFinished);
    world.run(100);
    assert_eq!(gpc0(&world, node, 1).unwrap().0, 5);
    assert!(updates(&mut world, &mut b).is_empty());
    a.update(&mut world, Some(3), None, 1, 7);
    world.run(10);
    assert_eq!(updates(&mut world, &mut b), ["t 1 1 7"]);
}

/// A lesson of the peer itself makes nothing older of what it told live.
#[test]
fn an_update_that_waits_for_a_peer_is_not_lost_by_a_lesson_that_tells_it_too() {
    let mut world = World::new(1);
    let node = world.add(relay("r", &["a", "b"]));
    let mut a = Script::call(&mut world, node, "a", "2.1");
    let mut b = join(&mut world, node, "b", "2.1");
    b.control(&mut world, Control::ResyncRequest);
    a.define(&mut world, 1, &counters("t"));
    a.update(&mut world, Some(1), None, 1, 5);
    a.update(&mut world, Some(1), Some(59_000), 1, 5);
    a.control(&mut world, Control::ResyncFinished);
    assert!(updates(&mut world, &mut b).is_empty());
    b.control(&mut world, Control::ResyncConfirm);
    let lines = updates(&mut world, &mut b);
    assert!(lines.len() == 1 && lines[0].starts_with("t 1 1 5"), "{lines:?}");
}

#[test]
fn updates_that_come_while_a_peer_is_taught_reach_it_after_the_lesson() {
    let (mut world, _, [mut a, mut b, mut c]) = three_peers();
    a.update(&mut world, Some(1), None, 1, 5);
    b.control(&mut world, Control::ResyncRequest);
    a.update(&mut world, Some(2), None, 2, 6);
    a.update(&mut world, Some(3), None, 1, 7);
    world.run(10);
    assert_eq!(b.news(&mut world).last().unwrap(), "finished");
    b.control(&mut world, Control::ResyncConfirm);
    world.run(10);
    let lines = updates(&mut world, &mut b);
    let keys: Vec<_> =
        lines.iter().map(|line| line.split_once(' ').unwrap().1.split_once(' ').unwrap().1).collect();
    assert_eq!(keys, ["2 6", "1 7"]);
    assert_eq!(updates(&mut world, &mut c).len(), 3);
    assert!(updates(&mut world, &mut a).is_empty());
}

#[test]
fn a_peer_that_reconnects_gets_what_it_missed() {
    let (mut world, node, [mut a, mut b, mut c]) = three_peers();
    a.update(&mut world, Some(1), None, 1, 5);
    world.run(10);
    b.ack(&mut world, 1, 1);
    b.close(&mut world);
    world.run(10);
    a.update(&mut world, Some(2), None, 2, 6);
    c.update(&mut world, Some(1), None, 3, 7);
    world.run(1_500);
    a.control(&mut world, Control::Heartbeat);
    let mut b = Script::call(&mut world, node, "b", "2.1");
    assert_eq!(b.heard(&mut world)[..2], ["relay", "define 1 t"]);
    b.close(&mut world);
    world.run(10);
    let mut b = Script::call(&mut world, node, "b", "2.1");
    let lines = updates(&mut world, &mut b);
    assert!(lines.len() == 2 && lines[0].starts_with("t 1 2 6 left=584"), "{lines:?}");
    assert!(lines[1].starts_with("t 2 3 7 left="), "{lines:?}");
}

#[test]
fn the_first_bytes_of_a_session_say_that_this_side_relays_and_no_later_ones() {
    let mut world = World::new(1);
    let node = world.add(relay("r", &["a", "b"]));
    set(&world, node, 1, 5);
    let mut a = Script::call(&mut world, node, "a", "2.1");
    assert_eq!(a.heard(&mut world), ["relay", "request", "define 1 t", "t 1 1 5 srv5"]);
    let mut b = Script::call(&mut world, node, "b", "2.0");
    assert_eq!(b.heard(&mut world)[0], "relay");
    for peer in [&mut a, &mut b] {
        peer.control(&mut world, Control::ResyncRequest);
        world.run(500);
        assert!(!peer.heard(&mut world).contains(&"relay".to_owned()));
    }

    // Where the node calls.
    let mut world = World::new(1);
    world.scripted = vec!["a"];
    world.add(relay("r", &["a"]));
    let mut a = Script::answer(&mut world, 10_000, "200");
    assert_eq!(a.take(&mut world)[..2], [0, 0x72]);
}

#[test]
fn what_a_relay_told_goes_to_plain_peers_only() {
    let mut world = World::new(1);
    let node = world.add(relay("r", &["a", "b", "c"]));
    let mut a = join(&mut world, node, "a", "2.1");
    let mut b = join_as_relay(&mut world, node, "b");
    let mut c = join_as_relay(&mut world, node, "c");
    b.update(&mut world, Some(1), None, 1, 5);
    a.update(&mut world, Some(1), None, 2, 6);
    set(&world, node, 3, 7);
    world.run(10);
    assert_eq!(updates(&mut world, &mut a), ["t 1 1 5", "t 2 3 7 srv7"]);
    for peer in [&mut b, &mut c] {
        assert_eq!(updates(&mut world, peer), ["t 1 2 6", "t 2 3 7 srv7"]);
    }
    let view = world.nodes[node].section.view(world.now);
    assert!(view.relay);
    assert_eq!(view.peers.iter().map(|peer| peer.relay).collect::<Vec<_>>(), [false, false, true, true]);
}

/// It may have been configured anew; until its first message it counts as what it was.
#[test]
fn the_first_message_of_each_session_tells_a_relay_from_a_plain_peer() {
    let mut world = World::new(1);
    let node = world.add(relay("r", &["a", "b"]));
    let mut a = join_as_relay(&mut world, node, "a");
    let mut b = join_as_relay(&mut world, node, "b");
    // What a told waits for b.
    b.control(&mut world, Control::ResyncRequest);
    a.update(&mut world, Some(1), None, 1, 5);
    a.close(&mut world);
    world.run(10);
    let mut a = Script::call(&mut world, node, "a", "2.1");
    b.control(&mut world, Control::ResyncConfirm);
    world.run(10);
    assert!(updates(&mut world, &mut b).is_empty(), "told by a relay");
    introduce(&mut world, &mut a);
    // Too late to mean anything.
    a.control(&mut world, Control::Relay);
    a.update(&mut world, Some(1), None, 2, 6);
    world.run(10);
    assert_eq!(updates(&mut world, &mut b), ["t 1 2 6"]);
}

/// The announcement of a relay is on its way while its session begins here.
#[test]
fn where_there_are_relays_nothing_is_pushed_before_a_peer_s_first_message() {
    let mut world = World::new(1);
    let node = world.add(relay("r", &["a", "b", "c", "d"]));
    let mut a = join(&mut world, node, "a", "2.1");
    let mut b = join_as_relay(&mut world, node, "b");
    a.update(&mut world, Some(1), None, 1, 5);
    b.update(&mut world, Some(1), None, 2, 6);

    let mut c = Script::call(&mut world, node, "c", "2.1");
    world.run(900);
    assert!(updates(&mut world, &mut c).is_empty());
    c.control(&mut world, Control::Relay);
    assert_eq!(updates(&mut world, &mut c), ["t 1 1 5"]);

    let mut d = Script::call(&mut world, node, "d", "2.1");
    world.run(900);
    assert!(updates(&mut world, &mut d).is_empty());
    world.run(400);
    let lines = updates(&mut world, &mut d);
    assert_eq!(
        lines.iter().map(|line| &line[..7]).collect::<Vec<_>>(),
        ["t 1 1 5", "t 2 2 6"],
        "it never speaks"
    );
}

/// Relays as nodes, each with the others and these peers; all are connected to each other.
fn mesh<const N: usize>(peers: [&[&str]; N]) -> World {
    let names = ["r0", "r1", "r2"];
    let mut world = World::new(3);
    for (number, own) in peers.into_iter().enumerate() {
        let others = names[..N].iter().filter(|name| **name != names[number]).copied();
        let all: Vec<_> = others.chain(own.iter().copied()).collect();
        world.add(relay(names[number], &all));
    }
    let connected = |world: &mut World| (0..N).all(|node| world.sessions(node).count() == N - 1);
    assert!(world.run_until(20_000, |world| connected(world)));
    world.run(7_000);
    assert!(connected(&mut world));
    world
}

/// A node's own relay passes its update to the other relays, and those to their nodes.
#[test]
fn three_relays_in_a_full_mesh_bring_each_update_to_each_node_once() {
    let mut world = mesh([&["a"], &["b"], &["c"]]);
    let mut nodes = [(0, "a"), (1, "b"), (2, "c")].map(|(node, name)| join(&mut world, node, name, "2.1"));
    for from in 0..3 {
        let before = sent(&world);
        let number = from as u32;
        nodes[from].update(&mut world, Some(1), None, number, 5);
        world.run(100);
        for (place, node) in nodes.iter_mut().enumerate() {
            let lines = updates(&mut world, node);
            let expected = usize::from(place != from);
            assert_eq!(lines.len(), expected, "{from} to {place}: {lines:?}");
            assert!(lines.iter().all(|line| line.ends_with(&format!(" {from} 5"))));
        }
        assert_eq!(sent(&world) - before, 2 + 2, "to two relays, and from each to its node");
        assert_calm(&mut world);
        nodes.iter_mut().for_each(|node| node.control(&mut world, Control::Heartbeat));
    }
    assert!((0..3).all(|node| world.nodes[node].section.view(0).peers.iter().filter(|peer| peer.relay).count() == 2));
}

/// A chain does not reach further than the neighbours: that is the price of having no loops.
#[test]
fn an_update_ends_at_the_neighbours_of_its_relay() {
    let mut world = World::new(1);
    let setups = [("r0", ["r1", "a"]), ("r1", ["r0", "r2"]), ("r2", ["r1", "c"])];
    setups.iter().for_each(|(name, peers)| {
        world.add(relay(name, peers));
    });
    assert!(world.run_until(20_000, |world| world.sessions(1).count() == 2));
    world.run(7_000);
    let mut a = join(&mut world, 0, "a", "2.1");
    let mut c = join(&mut world, 2, "c", "2.1");
    a.update(&mut world, Some(1), None, 1, 5);
    world.run(100);
    assert_eq!(gpc0(&world, 1, 1).map(|(value, _)| value), Some(5));
    assert_eq!(gpc0(&world, 2, 1), None);
    assert!(updates(&mut world, &mut c).is_empty());
    assert_calm(&mut world);
}

/// Two ways lead from a to b: each relay passes on what it heard from a. Connected to each other, the relays tell each
/// other as well, and who made it: a's own update does not come back to it.
#[test]
fn two_relays_with_the_same_nodes_send_an_update_once_on_each_way() {
    for linked in [true, false] {
        let mut world = if linked {
            mesh([&["a", "b"], &["a", "b"]])
        } else {
            let mut world = World::new(3);
            for name in ["r0", "r1"] {
                world.add(relay(name, &["a", "b"]));
            }
            world
        };
        let mut a = [0, 1].map(|node| join(&mut world, node, "a", "2.1"));
        let mut b = [0, 1].map(|node| join(&mut world, node, "b", "2.1"));
        for number in 0..20 {
            // The relays hear it at different times.
            for (node, wait) in a.iter_mut().zip([u64::from(number % 4), 0]) {
                node.update(&mut world, Some(number), None, number, 5);
                world.run(wait);
            }
        }
        world.run(100);
        for node in 0..2 {
            let echoes = updates(&mut world, &mut a[node]).len();
            assert_eq!(echoes, 0, "linked: {linked}");
            let lines = updates(&mut world, &mut b[node]);
            let most = if linked { 40 } else { 20 };
            assert!((20..=most).contains(&lines.len()), "{lines:?}");
        }
        assert_calm(&mut world);
    }
}

/// The driver polls the other sessions when there is news.
#[test]
fn updates_that_came_are_news_once_and_for_relays_only() {
    for relays in [true, false] {
        let table: Arc<Table> = Table::new(counters("t"), 1).unwrap().into();
        let setup = SessionSetup {
            tables: TableSet::new("p", [(table, None)], None, None, 1).unwrap().into(),
            version: ProtocolVersion::V2_1,
            role: Role::Remote,
            origin: Origin::peer(1).unwrap(),
            shard: 0,
            level: haproxy_peers::PeerLevel::Below,
            up_to_date: Arc::default(),
            limits: Limits::default(),
            resume: Resume::default(),
            relays: Relays::new(relays),
            awaits_values: Arc::default(),
        };
        let mut session = Session::new(setup, 0);
        assert!(!session.take_news());
        let mut bytes = Vec::new();
        Definition::from_table(1, &counters("t")).unwrap().encode(Padding::None, &mut bytes).unwrap();
        session.handle_input(0, &bytes).unwrap();
        assert!(!session.take_news(), "a definition is none");
        for id in 1..3 {
            session.handle_input(0, &update(Some(id), None, 1, 5)).unwrap();
            assert_eq!(session.take_news(), relays);
            assert!(!session.take_news());
        }
        session.handle_input(0, &control(Control::Heartbeat)).unwrap();
        assert!(!session.take_news());
    }
}

/// A table that is pasted without a store list, between peers that store more than servers.
#[test]
fn a_table_without_a_list_stores_and_relays_what_its_first_peer_defines() {
    let columns = ["gpc0", "http_req_rate(10s)", "server_key"];
    let theirs = table("t", KeyType::Integer, 60_000, &columns[..1]);
    let servers = table("t", KeyType::Integer, 60_000, &["server_id", "server_key"]);
    let mut world = World::new(1);
    let node = world.add(Setup::new("r").relay().peer("a").peer("b").open_table(servers));
    let mut peers = ["a", "b"].map(|name| {
        let mut peer = Script::call(&mut world, node, name, "2.1");
        peer.control(&mut world, Control::ResyncFinished);
        peer
    });
    let created = |event: &SessionEvent| matches!(event, SessionEvent::TableCreated { .. });
    peers[0].define(&mut world, 1, &theirs);
    assert_eq!(world.nodes[node].count(created), 1);
    let update = |id, number: u32, value: u8| {
        let mut bytes = Vec::new();
        let mut frame = UpdateHeader { id: Some(id), lifetime_ms: None }.begin(&mut bytes);
        encode_key(KeyType::Integer, &number.to_be_bytes(), frame.payload());
        frame.payload().push(value);
        frame.finish(Padding::None);
        bytes
    };
    peers[0].say(&mut world, &update(1, 7, 5));
    world.run(10);
    assert_eq!(updates(&mut world, &mut peers[1]), ["t 1 7 5"], "b defined nothing yet");
    peers[1].define(&mut world, 1, &theirs);
    peers[1].say(&mut world, &update(1, 8, 6));
    world.run(10);
    assert_eq!(updates(&mut world, &mut peers[0]), ["t 1 8 6"]);
    let stored = world.nodes[node].table(0);
    assert_eq!(stored.definition().columns(), theirs.columns());
    // What a later peer stores besides is not taken, and said.
    let more = table("t", KeyType::Integer, 60_000, &columns);
    let loses = |event: &SessionEvent| {
        let said = |remedy: &String| remedy.contains("stores what the first peer defined");
        matches!(event, SessionEvent::TableLoses { remedy, .. } if said(remedy))
    };
    peers[1].define(&mut world, 1, &more);
    assert_eq!((world.nodes[node].count(created), world.nodes[node].count(loses)), (1, 1));
    assert_eq!(world.nodes[node].table(0).definition().columns(), theirs.columns());
}

/// What says nothing of data types leaves the table as it is.
#[test]
fn a_table_without_a_list_waits_for_a_definition_that_it_can_take() {
    let servers = table("t", KeyType::Integer, 60_000, &["server_id", "server_key"]);
    let mut world = World::new(1);
    let node = world.add(Setup::new("r").relay().peer("a").open_table(servers.clone()));
    world.nodes[node]
        .table(0)
        .update(&[0, 0, 0, 9], Origin::LOCAL, Lifetime::Restart, world.now, |entry| {
            entry.set(DataType::ServerId, 0, &Value::Signed(4));
        })
        .unwrap();
    let mut a = Script::call(&mut world, node, "a", "2.1");
    a.control(&mut world, Control::ResyncFinished);
    a.define(&mut world, 1, &table("t", KeyType::Integer, 60_000, &[]));
    a.define(&mut world, 1, &table("t", KeyType::Ip, 60_000, &["gpc0"]));
    assert_eq!(world.nodes[node].table(0).definition().columns(), servers.columns());
    a.define(&mut world, 1, &table("t", KeyType::Integer, 60_000, &["server_id", "gpc0"]));
    let stored = world.nodes[node].table(0);
    assert_eq!(stored.definition().columns().len(), 2);
    let read = stored.get(&[0, 0, 0, 9], world.now, |entry| entry.value(DataType::ServerId, 0));
    assert_eq!(read.unwrap().flatten(), Some(Value::Signed(4)), "what was set before stays");
}

/// A relay that waits itself says that it stores servers; so does a HAProxy with `stick` lines.
#[test]
fn a_table_without_a_list_keeps_servers_beside_what_a_later_peer_stores() {
    let servers = table("t", KeyType::Integer, 60_000, &["server_id", "server_key"]);
    let mut world = World::new(1);
    let node = world.add(Setup::new("r").relay().peer("a").peer("b").open_table(servers.clone()));
    let mut a = join_with(&mut world, node, "a", &servers);
    assert_eq!(world.nodes[node].table(0).definition().columns(), servers.columns());
    join_with(&mut world, node, "b", &table("t", KeyType::Integer, 60_000, &["gpc0"]));
    let stored = world.nodes[node].table(0);
    let mut names: Vec<_> = stored.definition().columns().iter().map(ToString::to_string).collect();
    names.sort();
    assert_eq!(names, ["gpc0", "server_id", "server_key"]);
    // The first peer's definition is bound to the new table by itself.
    let mut bytes = Vec::new();
    let mut frame = UpdateHeader { id: Some(1), lifetime_ms: None }.begin(&mut bytes);
    encode_key(KeyType::Integer, &[0, 0, 0, 7], frame.payload());
    frame.payload().extend_from_slice(&[3, 0]);
    frame.finish(Padding::None);
    a.say(&mut world, &bytes);
    world.run(10);
    let read = stored.get(&[0, 0, 0, 7], world.now, |entry| entry.value(DataType::ServerId, 0));
    assert_eq!(read.unwrap().flatten(), Some(Value::Signed(3)));
}

fn join_with(world: &mut World, node: usize, name: &str, definition: &TableDefinition) -> Script {
    let mut peer = Script::call(world, node, name, "2.1");
    peer.control(world, Control::ResyncFinished);
    peer.define(world, 1, definition);
    peer
}
