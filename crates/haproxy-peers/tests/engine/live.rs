//! Live updates and signs of life (peers-protocol §3.1, §12).

use std::sync::Arc;

use haproxy_peers::{
    Control, Definition, EndReason, Limits, Padding, PeerLevel, ProtocolVersion, Relays, Resume, Role,
    Session, SessionError, SessionSetup, TableSet, Update, UpdateHeader, WireValue,
};

use stick_table::{DataType, Lifetime, Origin, Table};

use crate::sharing::integers;
use crate::support::{Script, Setup, World, counters, gpc0, key, learn, set};

fn one_node(seed: u64) -> (World, usize) {
    let mut world = World::new(seed);
    let node = world.add(Setup::new("n").peer("h").peer("i").table(counters("t")));
    (world, node)
}

/// peers-protocol §8.3.9: no gossip.
#[test]
fn local_changes_are_pushed_and_learned_ones_are_not() {
    let (mut world, node) = one_node(1);
    let mut first = Script::call(&mut world, node, "h", "2.1");
    let mut second = Script::call(&mut world, node, "i", "2.1");
    first.control(&mut world, Control::ResyncFinished);
    second.control(&mut world, Control::ResyncFinished);
    first.define(&mut world, 1, &counters("t"));
    first.update(&mut world, Some(1), None, 1, 5);
    learn(&world, node, 2, 6, 9_000);
    set(&world, node, 3, 7);
    world.run(10);
    assert_eq!(gpc0(&world, node, 1).unwrap().0, 5);
    for peer in [&mut first, &mut second] {
        let updates: Vec<_> =
            peer.news(&mut world).into_iter().filter(|line| line.starts_with("t ")).collect();
        assert_eq!(updates, ["t 1 3 7 srv7"], "untimed, because it is fresh");
    }
}

/// peers-protocol §12.1.
#[test]
fn changes_of_an_entry_are_coalesced_until_they_are_pushed() {
    let (mut world, node) = one_node(1);
    for value in 1..100 {
        set(&world, node, 1, value);
    }
    let mut peer = Script::call(&mut world, node, "h", "2.1");
    assert_eq!(peer.heard(&mut world), ["request", "define 1 t", "t 1 1 99 srv99"]);
    set(&world, node, 1, 100);
    set(&world, node, 1, 101);
    world.run(5);
    assert_eq!(peer.heard(&mut world), ["t 2 1 101 srv101"], "one definition for a connection");
}

/// peers-protocol §12.4: what was touched a while ago tells what is left of its life.
#[test]
fn an_update_that_waited_carries_its_remaining_lifetime() {
    let (mut world, node) = one_node(1);
    set(&world, node, 1, 5);
    world.run(1_500);
    let mut new = Script::call(&mut world, node, "h", "2.1");
    let mut old = Script::call(&mut world, node, "i", "2.0");
    assert!(new.news(&mut world).contains(&"t 1 1 5 srv5 left=58499".to_owned()));
    assert!(old.news(&mut world).contains(&"t 1 1 5 srv5".to_owned()));
}

/// Waits until heartbeats come every 3 s.
fn settle(world: &mut World, peer: &mut Script) {
    world.run(2_600);
    peer.control(world, Control::Heartbeat);
    peer.heard(world);
    while peer.heard(world).is_empty() {
        world.run(10);
    }
    peer.control(world, Control::Heartbeat);
}

/// HAProxy looks for a sign of life within 2 s after it replaced a session.
#[test]
fn a_young_session_gives_signs_of_life_more_often() {
    let (mut world, node) = one_node(1);
    let mut peer = Script::call(&mut world, node, "h", "2.1");
    peer.control(&mut world, Control::ResyncFinished);
    peer.heard(&mut world);
    for _ in 0..8 {
        world.run(300);
        let heard = peer.heard(&mut world);
        assert!(!heard.is_empty() && heard.iter().all(|line| line == "heartbeat"), "{heard:?}");
    }
}

/// peers-protocol §3.1.
#[test]
fn a_heartbeat_is_sent_after_3_s_without_having_sent_anything() {
    let (mut world, node) = one_node(1);
    let mut peer = Script::call(&mut world, node, "h", "2.1");
    peer.control(&mut world, Control::ResyncFinished);
    assert_eq!(peer.heard(&mut world), ["request", "confirm"]);
    settle(&mut world, &mut peer);
    world.run(1_500);
    set(&world, node, 1, 1);
    world.run(2_900);
    assert_eq!(peer.news(&mut world).len(), 1);
    peer.control(&mut world, Control::Heartbeat);
    world.run(200);
    assert_eq!(peer.heard(&mut world), ["heartbeat"]);
}

/// peers-protocol §3.1: a 1.x peer sends no heartbeats.
#[test]
fn a_silent_peer_is_closed_after_5_s_or_10_s_without_heartbeats() {
    for (heartbeats, patience) in [(true, 5_000), (false, 10_000)] {
        let (mut world, node) = one_node(1);
        let mut peer = Script::call(&mut world, node, "h", "2.1");
        peer.control(&mut world, Control::ResyncFinished);
        if heartbeats {
            peer.control(&mut world, Control::Heartbeat);
        }
        world.run(patience - 100);
        assert!(!peer.is_closed(&world));
        world.run(200);
        assert!(peer.is_closed(&world));
        assert_eq!(world.nodes[node].ended, [EndReason::Error(SessionError::Silent(patience))]);
        let view = world.nodes[node].section.view(world.now);
        assert_eq!((view.peers[1].counters.silences, view.peers[1].established), (1, false));
    }
}

/// Two nodes that have nothing to say stay connected, and each says so.
#[test]
fn idle_nodes_stay_connected() {
    let mut world = World::new(4);
    world.add(Setup::new("a").peer("b").table(counters("t")));
    world.add(Setup::new("b").peer("a").table(counters("t")));
    world.run(6_000);
    let sessions: Vec<_> = world.nodes.iter().map(|node| node.ended.len()).collect();
    world.run(60_000);
    assert_eq!(world.nodes.iter().map(|node| node.ended.len()).collect::<Vec<_>>(), sessions);
    assert!(world.sessions(0).all(|session| session.counters().heartbeats_received > 15));
    assert_eq!((world.sessions(0).count(), world.sessions(1).count()), (1, 1));
}

/// The output of one call is bounded by the caller's limit, a table's by `max-updates-at-once`.
#[test]
fn output_is_bounded_per_call_and_nothing_is_left_out() {
    let mut world = World::new(1);
    let limits = Limits { max_updates_at_once: 50, ..Limits::default() };
    let node = world.add(Setup::new("n").peer("h").table(counters("t")).limits(limits));
    for number in 0..1_000 {
        set(&world, node, number, 1);
    }
    world.chunk = 100;
    let mut peer = Script::call(&mut world, node, "h", "2.1");
    peer.control(&mut world, Control::ResyncFinished);
    let lines = peer.news(&mut world);
    assert_eq!(lines.iter().filter(|line| line.starts_with("t ")).count(), 1_000);
    peer.control(&mut world, Control::ResyncRequest);
    let lines = peer.news(&mut world);
    assert_eq!(lines.iter().filter(|line| line.contains("left=")).count(), 1_000);
    assert_eq!(lines.last().unwrap(), "finished");
}

fn session() -> Session {
    session_with(&TableSet::new("p", [], None, None, 1).unwrap().into())
}

fn session_with(tables: &Arc<TableSet>) -> Session {
    let setup = SessionSetup {
        tables: Arc::clone(tables),
        version: ProtocolVersion::V2_1,
        role: Role::Remote,
        origin: Origin::peer(1).unwrap(),
        shard: 0,
        level: PeerLevel::Below,
        up_to_date: Arc::default(),
        limits: Limits::default(),
        resume: Resume::default(),
        relays: Relays::default(),
        awaits_values: Arc::default(),
    };
    Session::new(setup, 0)
}

/// A heartbeat that cannot be sent because the socket is full must not make the driver spin.
#[test]
fn a_heartbeat_that_waits_to_be_sent_is_not_asked_for_again() {
    let mut session = session();
    assert_eq!(session.poll_timeout(), 250);
    session.handle_timeout(3_000).unwrap();
    assert_eq!(session.poll_timeout(), 10_000, "only the peer's silence is left to be watched");
    let mut out = Vec::new();
    session.poll_transmit(4_000, 100, &mut out);
    assert_eq!((out.as_slice(), session.poll_timeout()), (&[0, 4][..], 7_000));
    assert_eq!(session.handle_timeout(10_000), Err(SessionError::Silent(10_000)));
}

/// A peer that ends lessons for ever, and does not read, gets its confirmations in portions.
#[test]
fn confirmations_are_bounded_per_call() {
    let mut session = session();
    session.handle_input(0, &[0, 1].repeat(10_000)).unwrap();
    let mut sizes = Vec::new();
    loop {
        let mut out = Vec::new();
        let more = session.poll_transmit(0, 1_000, &mut out);
        sizes.push(out.len());
        if !more {
            break;
        }
    }
    assert_eq!(sizes, [1_000; 20]);
}

/// A learned change on a local one that some peer has yet to get goes to that peer, never back to who made it.
#[test]
fn a_peer_s_own_change_is_not_echoed_while_another_peer_is_behind() {
    let mut world = World::new(1);
    let node = world.add(Setup::new("n").peer("a").peer("b").peer("c").table(counters("t")));
    let mut a = Script::call(&mut world, node, "a", "2.1");
    a.define(&mut world, 1, &counters("t"));
    // b takes a lesson and has not confirmed it: its live updates wait.
    let mut b = Script::call(&mut world, node, "b", "2.1");
    b.control(&mut world, Control::ResyncRequest);
    set(&world, node, 1, 5);
    world.run(5);
    assert_eq!(a.news(&mut world).last().unwrap(), "t 1 1 5 srv5");
    // A session that begins gives the change a new number.
    let _c = Script::call(&mut world, node, "c", "2.1");
    a.update(&mut world, Some(1), None, 1, 100);
    world.run(50);
    assert!(a.news(&mut world).iter().all(|line| !line.starts_with("t ")), "no echo");
    b.news(&mut world);
    b.control(&mut world, Control::ResyncConfirm);
    world.run(50);
    assert!(b.news(&mut world).iter().any(|line| line.contains(" 1 100 ")));
}

/// What ended a session stays the reason, whatever it is asked afterwards.
#[test]
fn an_error_is_repeated() {
    let mut silent = session();
    let error = silent.handle_timeout(20_000).unwrap_err();
    assert_eq!(error, SessionError::Silent(20_000));
    assert_eq!(silent.handle_timeout(90_000), Err(error));
    let mut malformed = session();
    let error = malformed.handle_input(0, &[0xff]).unwrap_err();
    assert_eq!(malformed.handle_timeout(90_000), Err(error));
    assert_eq!(malformed.handle_input(90_000, &[0, 4]), Err(error));
}

/// The table that has much to push does not keep the others waiting.
#[test]
fn no_table_starves_where_the_socket_takes_little() {
    let mut world = World::new(1);
    let node = world.add(Setup::new("n").peer("h").table(counters("t")).table(counters("u")));
    for number in 0..1_000 {
        set(&world, node, number, 1);
    }
    let rare = world.nodes[node].table(1);
    let now = world.nodes[node].clock(world.now);
    rare.update(&key(7), Origin::LOCAL, Lifetime::Restart, now, |_| ()).unwrap();
    world.chunk = 1;
    let mut peer = Script::call(&mut world, node, "h", "2.1");
    let mut lines = peer.news(&mut world);
    lines.retain(|line| line != "request");
    assert_eq!(lines.len(), 1_001);
    let place = lines.iter().position(|line| line.starts_with("u ")).unwrap();
    assert!(place <= 2 * 128, "after {place} others");
}

/// A peer may send half a message, and fall silent. The room for it stays, for the next one.
#[test]
fn an_incomplete_message_is_held_and_bounded() {
    let mut session = session();
    let before = session.memory();
    let message = crate::support::with_payload(10, 0x80, &[0; 10_000]);
    session.handle_input(0, &message[..6_000]).unwrap();
    let held = session.memory() - before;
    assert!((6_000..2 * 10_000).contains(&held), "{held}");
    assert_eq!(session.memory(), session.memory_within_bounds());
    session.handle_input(0, &message[6_000..]).unwrap();
    assert!(session.memory() - before < 4 * 10_000, "{}", session.memory());
    // Its length says that it will not fit: nothing of it is kept.
    let full = session.memory();
    let error = session.handle_input(0, &[10, 0x80, 0xff, 0xff, 0x7f]).unwrap_err();
    assert!(matches!(error, SessionError::Malformed(_)));
    assert!(session.memory() <= full);
    assert_eq!(session.memory(), session.memory_within_bounds());
}

/// Of the tables that a peer is not telling of at the moment.
#[test]
fn memory_for_changes_of_other_tables_is_given_back() {
    let tables: Vec<_> = (1..=9).map(|number| integers(&format!("t{number}"), &["gpc(100)"])).collect();
    let shared = tables.iter().map(|table| (Arc::new(Table::new(table.clone(), 1).unwrap()), None));
    let set = Arc::new(TableSet::new("p", shared, None, None, 1).unwrap());
    let mut session = session_with(&set);
    for (id, table) in (1..).zip(&tables) {
        let mut bytes = Vec::new();
        let definition = Definition::from_table(id, table).unwrap();
        definition.encode(Padding::None, &mut bytes).unwrap();
        for number in 0..1_200_u32 {
            let update = Update {
                header: UpdateHeader { id: Some(number + 1), lifetime_ms: None },
                key: number.to_be_bytes().to_vec(),
                values: vec![(DataType::Gpc, vec![WireValue::Unsigned(1); 100])],
                trailing: Vec::new(),
            };
            update.encode(&definition, Padding::None, &mut bytes).unwrap();
        }
        session.handle_input(0, &bytes).unwrap();
        assert_eq!(session.memory(), session.memory_within_bounds(), "after {id} tables");
        let most = Session::most_memory(&set, &Limits::default());
        assert!(session.memory() as u64 <= most, "{} of {most}", session.memory());
    }
    assert!(session.memory() > 400_000, "{}: that of the last table stays", session.memory());
}
