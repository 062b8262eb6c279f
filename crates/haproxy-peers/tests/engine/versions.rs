//! Versions 2.0 and 2.1, and getting back from one to the other (peers-protocol §2.4).

use haproxy_peers::{Control, ProtocolVersion};

use crate::support::{Script, Setup, World, counters};

fn world() -> (World, usize) {
    let mut world = World::new(1);
    world.scripted.push("h");
    (world, 0)
}

fn start(world: &mut World) -> usize {
    world.add(Setup::new("n").peer("h").table(counters("t")))
}

fn last_version(world: &World, node: usize) -> String {
    world.nodes[node].hellos.last().unwrap()[9..12].to_owned()
}

#[test]
fn a_peer_that_refuses_2_1_is_called_with_2_0_within_2_s_and_with_2_1_later() {
    let (mut world, _) = world();
    let node = start(&mut world);
    Script::answer(&mut world, 100, "502");
    assert_eq!(last_version(&world, node), "2.1");
    let mut peer = Script::answer(&mut world, 2_100, "200");
    assert_eq!(last_version(&world, node), "2.0");
    assert_eq!(world.sessions(node).next().unwrap().version(), ProtocolVersion::V2_0);
    assert!(world.nodes[node].section.view(world.now).peers[1].downgraded);
    // After a minute 2.1 is tried beside the session, which goes on when it is refused.
    let mut probe = None;
    for _ in 0..14 {
        peer.control(&mut world, Control::Heartbeat);
        probe = probe.or_else(|| Script::incoming(&mut world, 4_500));
    }
    let mut probe = probe.expect("2.1 is not tried again");
    assert_eq!(last_version(&world, node), "2.1");
    probe.say(&mut world, b"502\n");
    probe.close(&mut world);
    world.run(10);
    assert!(!peer.is_closed(&world));
    assert_eq!(world.sessions(node).count(), 1);
}

#[test]
fn a_session_at_2_0_is_lifted_to_2_1_by_a_probe() {
    let (mut world, _) = world();
    let node = start(&mut world);
    let mut refused = Script::incoming(&mut world, 100).unwrap();
    refused.close(&mut world);
    let old = Script::call(&mut world, node, "h", "2.0");
    let new = Script::answer(&mut world, 5_200, "200");
    assert_eq!(last_version(&world, node), "2.1");
    assert_eq!(
        world.sessions(node).map(haproxy_peers::Session::version).collect::<Vec<_>>(),
        [ProtocolVersion::V2_1]
    );
    assert!(old.is_closed(&world) && !new.is_closed(&world));
    assert_eq!(world.nodes[node].requests, 2, "the lesson that broke off is asked for again");
}

/// HAProxy keeps announcing 2.0 to whom announced 2.0 (peers-protocol §2.4); an inbound 2.1 clears that.
#[test]
fn an_inbound_2_0_hello_does_not_make_this_side_announce_2_0() {
    let (mut world, _) = world();
    let node = start(&mut world);
    Script::incoming(&mut world, 100).unwrap().close(&mut world);
    let mut peer = Script::call(&mut world, node, "h", "2.0");
    peer.close(&mut world);
    Script::incoming(&mut world, 2_100).unwrap();
    assert_eq!(last_version(&world, node), "2.1");
}

/// peers-protocol §2.2.
#[test]
fn unknown_versions_are_refused_and_leading_zeros_are_not() {
    let (mut world, _) = world();
    let node = start(&mut world);
    for (version, answer) in
        [("2.2", "502\n"), ("3.0", "502\n"), ("x", "502\n"), ("2.01", "200\n"), ("2.0", "200\n")]
    {
        let mut peer = Script::hello(&mut world, node, "h", version);
        let bytes = peer.take(&mut world);
        assert!(bytes.starts_with(answer.as_bytes()), "{version}: {}", bytes.escape_ascii());
        peer.close(&mut world);
        world.run(2);
    }
}

/// Only 502 says that 2.1 is refused; a peer that is busy may well speak it.
#[test]
fn a_probe_that_is_refused_for_another_reason_does_not_downgrade() {
    for (status, next) in [("300", "2.1"), ("502", "2.0")] {
        let (mut world, _) = world();
        let node = start(&mut world);
        Script::incoming(&mut world, 100).unwrap().close(&mut world);
        let mut peer = Script::call(&mut world, node, "h", "2.0");
        Script::answer(&mut world, 5_200, status);
        assert_eq!(last_version(&world, node), "2.1");
        peer.close(&mut world);
        Script::incoming(&mut world, 2_100).unwrap();
        assert_eq!(last_version(&world, node), next, "after {status}");
    }
}

/// The peer is in a session at 2.0, and has sent a heartbeat.
fn at_2_0() -> (World, usize, Script) {
    let (mut world, _) = world();
    let node = start(&mut world);
    Script::incoming(&mut world, 100).unwrap().close(&mut world);
    let mut peer = Script::call(&mut world, node, "h", "2.0");
    peer.control(&mut world, Control::Heartbeat);
    (world, node, peer)
}

/// Lets time pass in which the peer shows that it lives.
fn live(world: &mut World, peer: &mut Script, seconds: u64) {
    for _ in 0..seconds {
        world.run(1_000);
        peer.control(world, Control::Heartbeat);
    }
}

#[test]
fn a_probe_that_reaches_nobody_is_repeated_every_5_s() {
    let (mut world, node, mut peer) = at_2_0();
    world.refusing = true;
    let known = world.nodes[node].hellos.len();
    live(&mut world, &mut peer, 16);
    assert_eq!(world.nodes[node].hellos.len() - known, 3);
    assert!(world.nodes[node].hellos[known..].iter().all(|hello| hello.starts_with("HAProxyS 2.1\n")));
    assert!(!peer.is_closed(&world), "the session goes on meanwhile");
    assert_eq!(world.nodes[node].section.view(world.now).peers[1].last_reason, None);
    world.refusing = false;
    Script::answer(&mut world, 5_100, "200");
    assert!(peer.is_closed(&world));
    assert_eq!(world.sessions(node).next().unwrap().version(), ProtocolVersion::V2_1);
}

/// As an attempt of this side gives way, see `connecting::an_inbound_session_replaces_an_attempt`.
#[test]
fn a_probe_gives_way_to_a_new_session_of_the_peer() {
    let (mut world, node, peer) = at_2_0();
    let mut probe = Script::incoming(&mut world, 5_100).unwrap();
    let new = Script::call(&mut world, node, "h", "2.0");
    world.run(10);
    assert!(probe.is_closed(&world) && peer.is_closed(&world) && !new.is_closed(&world));
    probe.say(&mut world, b"200\n");
    assert!(!new.is_closed(&world), "it comes too late");
    assert_eq!(world.sessions(node).count(), 1);
}

/// The time for a probe may come when the session that it was planned for has ended.
#[test]
fn there_is_no_probe_beside_an_attempt() {
    let (mut world, node, mut peer) = at_2_0();
    live(&mut world, &mut peer, 2);
    peer.close(&mut world);
    let attempt = Script::incoming(&mut world, 2_100).unwrap();
    let known = world.nodes[node].hellos.len();
    world.run(10_000);
    assert_eq!(world.nodes[node].hellos.len(), known);
    assert!(!attempt.is_closed(&world));
}

/// Nobody knows its address.
#[test]
fn a_member_that_is_not_configured_is_not_probed() {
    let mut world = World::new(1);
    world.scripted.push("x");
    let node = world.add(Setup::new("n").dynamic_peers(1).table(counters("t")));
    let mut peer = Script::call(&mut world, node, "x", "2.0");
    live(&mut world, &mut peer, 70);
    assert!(world.nodes[node].hellos.is_empty() && !peer.is_closed(&world));
}
