//! Who connects when, and to whom the answer is no (peers-protocol §2, §3).

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use haproxy_peers::{Control, Greeting, Hello, PeerKind, ProtocolVersion, SessionEvent, Status};
use stick_table::{Lifetime, Origin};

use crate::support::{Script, Setup, World, counters, key};

fn node(world: &mut World) -> usize {
    world.add(Setup::new("n").peer("h").table(counters("t")))
}

/// Times from now at which a node attempts to connect, within `ms`.
fn attempts(world: &mut World, number: usize, ms: u64) -> Vec<u64> {
    let start = world.now;
    let mut times = Vec::new();
    while world.now < start + ms {
        let known = world.nodes[number].hellos.len();
        world.run(10);
        times.extend((known < world.nodes[number].hellos.len()).then(|| world.now - start));
    }
    times
}

#[test]
fn an_unreachable_peer_is_tried_every_5_s() {
    let mut world = World::new(1);
    let node = node(&mut world);
    assert_eq!(attempts(&mut world, node, 16_000).len(), 4);
}

/// A peer whose address is not known is waited for: not called at the start, nor after a session, nor to find out whether
/// it speaks 2.1.
#[test]
fn a_peer_that_is_not_called_is_waited_for() {
    let mut world = World::new(1);
    world.scripted.push("h");
    let node = world.add(Setup::new("n").awaited_peer("h").table(counters("t")));
    assert!(attempts(&mut world, node, 20_000).is_empty());
    for version in ["2.1", "2.0"] {
        let mut peer = Script::call(&mut world, node, "h", version);
        let view = world.nodes[node].section.view(world.now);
        assert_eq!((view.peers[1].kind, view.peers[1].connect_at), (PeerKind::Static, None));
        for _ in 0..40 {
            world.run(2_000);
            peer.control(&mut world, Control::Heartbeat);
        }
        assert!(!peer.is_closed(&world), "{version}");
        let hellos = &world.nodes[node].hellos;
        assert!(hellos.is_empty(), "{version}: a probe: {hellos:?}");
        peer.close(&mut world);
        assert!(attempts(&mut world, node, 20_000).is_empty(), "{version}: called after a session");
    }
}

/// To HAProxy a status is final; this side tries again, more and more seldom (peers-protocol §2.3).
#[test]
fn a_refusal_is_followed_by_attempts_with_back_off() {
    for status in ["300", "501", "503", "504", "777"] {
        let mut world = World::new(1);
        world.scripted.push("h");
        let node = node(&mut world);
        let mut at = world.now;
        let mut pauses = Vec::new();
        for _ in 0..6 {
            Script::answer(&mut world, 70_000, status);
            pauses.push(world.now - at);
            at = world.now;
        }
        let seconds: Vec<_> = pauses.iter().map(|pause| pause.div_ceil(1_000) - 1).collect();
        assert_eq!(seconds, [0, 5, 10, 20, 40, 60], "{status}");
        let view = world.nodes[node].section.view(world.now);
        assert_eq!(
            view.peers[1].last_status.word(),
            match status {
                "300" => "RETR",
                "501" => "PROT",
                "503" => "NAME",
                "504" => "UNKN",
                _ => "NONE",
            }
        );
        assert!(view.peers[1].last_reason.as_ref().unwrap().contains(status));
        // A session forgets the refusals.
        let mut peer = Script::call(&mut world, node, "h", "2.1");
        peer.close(&mut world);
        assert!(attempts(&mut world, node, 2_100).len() == 1, "{status}");
    }
}

/// peers-protocol §2.5: the new session wins.
#[test]
fn a_new_session_of_a_peer_replaces_the_old_one() {
    let mut world = World::new(1);
    let node = node(&mut world);
    let old = Script::call(&mut world, node, "h", "2.1");
    let mut new = Script::call(&mut world, node, "h", "2.1");
    world.run(10);
    assert!(old.is_closed(&world) && !new.is_closed(&world));
    assert_eq!(new.news(&mut world), ["request"], "its lesson broke off");
    let view = world.nodes[node].section.view(world.now);
    assert_eq!((view.peers[1].counters.collisions, view.peers[1].counters.sessions), (1, 2));
    assert!(attempts(&mut world, node, 5_000).is_empty(), "it has a session");
}

/// Of two connections that cross, the one that the lower name opened is kept, also by a HAProxy, which takes whichever comes.
#[test]
fn the_lower_name_keeps_its_attempt_when_hellos_cross() {
    let mut world = World::new(1);
    world.scripted.push("z");
    let node = world.add(Setup::new("n").peer("z").table(counters("t")));
    let mut attempt = Script::incoming(&mut world, 100).unwrap();
    let mut inbound = Script::hello(&mut world, node, "z", "2.1");
    assert_eq!(inbound.take(&mut world), b"", "no status: the peer comes again after none");
    assert!(inbound.is_closed(&world) && !attempt.is_closed(&world));
    attempt.say(&mut world, b"200\n");
    // The peer sent its hello before it answered, and that arrives last.
    let late = Script::hello(&mut world, node, "z", "2.1");
    assert!(late.is_closed(&world) && !attempt.is_closed(&world));
    let view = world.nodes[node].section.view(world.now);
    assert_eq!((view.peers[1].counters.collisions, view.peers[1].counters.sessions), (2, 1));
    // A hello that comes later is one of a new process, say.
    world.run(250);
    let new = Script::call(&mut world, node, "z", "2.1");
    assert!(attempt.is_closed(&world) && !new.is_closed(&world));
}

/// The higher name takes the peer's connection, and waits what becomes of its own: a HAProxy takes that, and closes the other.
#[test]
fn the_higher_name_keeps_the_connection_that_the_peer_keeps() {
    for (answers, closes_first) in [(true, false), (true, true), (false, false)] {
        let mut world = World::new(1);
        world.scripted.push("h");
        let node = node(&mut world);
        let mut attempt = Script::incoming(&mut world, 100).unwrap();
        let mut inbound = Script::call(&mut world, node, "h", "2.1");
        assert!(!attempt.is_closed(&world) && !inbound.is_closed(&world));
        if closes_first {
            inbound.close(&mut world);
            world.run(10);
            assert_eq!(world.sessions(node).count(), 0);
        }
        if answers {
            attempt.say(&mut world, b"200\n");
            assert!(inbound.is_closed(&world) || closes_first);
            assert!(!attempt.is_closed(&world));
        } else {
            attempt.close(&mut world);
            world.run(10);
            assert!(!inbound.is_closed(&world));
        }
        assert_eq!(world.sessions(node).count(), 1);
        assert_eq!(attempts(&mut world, node, 4_000), [0; 0], "it has a session");
    }
}

/// An attempt that stays without an answer gives way: its hello may be lost.
#[test]
fn an_inbound_session_replaces_an_attempt_that_is_not_answered() {
    for name in ["a", "z"] {
        let mut world = World::new(1);
        world.scripted.push("h");
        let node = world.add(Setup::new(name).peer("h").table(counters("t")));
        let mut attempt = Script::incoming(&mut world, 100).unwrap();
        world.run(1_000);
        let inbound = Script::call(&mut world, node, "h", "2.1");
        assert!(attempt.is_closed(&world));
        attempt.say(&mut world, b"200\n");
        assert!(!inbound.is_closed(&world));
        assert_eq!(world.sessions(node).count(), 1);
    }
}

/// Both sides connect at once, and keep one of the two connections: nobody has to wait for another attempt.
#[test]
fn nodes_that_connect_at_once_come_together() {
    for seed in 0..10 {
        let mut world = World::new(seed);
        world.delay = 1 + seed * 7;
        // Both try again at the same moment, 5 s later.
        world.refusing = true;
        world.add(Setup::new("a").peer("b").table(counters("t")));
        world.add(Setup::new("b").peer("a").table(counters("t")));
        world.run(100);
        world.refusing = false;
        let again = |world: &mut World| world.nodes.iter().all(|node| node.hellos.len() == 2);
        assert!(world.run_until(10_000, again), "seed {seed}");
        let both = |world: &mut World| (0..2).all(|node| world.sessions(node).count() == 1);
        assert!(world.run_until(10_000, both), "seed {seed}");
        world.run(10_000);
        assert!(both(&mut world), "seed {seed}");
        for node in 0..2 {
            let counters = world.nodes[node].section.view(world.now).peers[1].counters;
            assert_eq!(counters.attempts, 2, "seed {seed}: nobody had to connect again: {counters:?}");
            assert_eq!(counters.collisions, 1, "seed {seed}: {counters:?}");
        }
    }
}

/// peers-protocol §2.2.
#[test]
fn hellos_of_strangers_and_for_strangers_are_refused() {
    let mut world = World::new(1);
    let node = node(&mut world);
    let mut stranger = Script::hello(&mut world, node, "x", "2.1");
    assert_eq!(stranger.take(&mut world), b"504\n");
    assert!(stranger.is_closed(&world));
    world.nodes[node].name = "m".into();
    let mut peer = Script::hello(&mut world, node, "h", "2.1");
    assert_eq!(peer.take(&mut world), b"503\n");
}

#[test]
fn peers_that_are_not_configured_may_join_within_the_limit() {
    let mut world = World::new(1);
    let node = world.add(Setup::new("n").dynamic_peers(2).table(counters("t")));
    let mut first = Script::call(&mut world, node, "x", "2.1");
    let _second = Script::call(&mut world, node, "y", "2.1");
    let mut third = Script::hello(&mut world, node, "z", "2.1");
    assert_eq!(third.take(&mut world), b"504\n");
    first.close(&mut world);
    world.run(10);
    assert_eq!(world.nodes[node].section.dynamic_peers(), 2, "one of them is away");
    Script::call(&mut world, node, "z", "2.1");
    assert_eq!(world.nodes[node].section.dynamic_peers(), 2);
    let view = world.nodes[node].section.view(world.now);
    let names: Vec<_> = view.peers.iter().map(|peer| (peer.name.as_str(), peer.kind)).collect();
    assert_eq!(names, [("n", PeerKind::Local), ("y", PeerKind::Dynamic), ("z", PeerKind::Dynamic)]);
    assert!(attempts(&mut world, node, 10_000).is_empty(), "they come by themselves");
    world.nodes[node].may_join = false;
    assert_eq!(Script::hello(&mut world, node, "x", "2.1").take(&mut world), b"504\n");
}

/// peers-protocol §2.2: CR is dropped, and messages may follow the hello at once.
#[test]
fn a_hello_with_cr_and_messages_behind_it_is_taken() {
    let mut world = World::new(1);
    let node = node(&mut world);
    let mut peer = Script::hello(&mut world, node, "h", "2.1\r");
    assert!(peer.take(&mut world).starts_with(b"200\n"));
    assert_eq!(world.sessions(node).count(), 1);
}

#[test]
fn the_view_tells_what_happened() {
    let mut world = World::new(1);
    world.scripted.push("h");
    let node = node(&mut world);
    Script::incoming(&mut world, 100).unwrap();
    let peer =
        |world: &World| world.nodes[node].section.view(world.nodes[node].clock(world.now)).peers[1].clone();
    assert_eq!((peer(&world).last_status.word(), peer(&world).established), ("HSHK", false));
    let _script = Script::call(&mut world, node, "h", "2.1");
    let view = peer(&world);
    assert_eq!((view.last_status.word(), view.established, view.assigned), ("ESTA", true, true));
    assert_eq!((view.downgraded, view.connect_at, view.last_handshake), (false, None, Some(world.now - 1)));
    assert_eq!(world.nodes[node].section.view(world.now).flags & 7, 5, "from remote, assigned");
    let session = world.sessions(node).next().unwrap().view();
    assert_eq!((session.learning, session.teaching, session.tables.len()), (true, false, 1));
    assert_eq!((session.tables[0].name.as_str(), session.tables[0].local_id), ("t", 1));
    let section = &world.nodes[node].section;
    assert_eq!((section.name(), section.tables().len(), section.dynamic_peers()), ("p", 1, 0));
}

/// A peer may send the same malformed message again in each session.
#[test]
fn sessions_that_end_malformed_are_followed_by_attempts_with_back_off() {
    let mut world = World::new(1);
    world.scripted.push("h");
    node(&mut world);
    let mut pauses = Vec::new();
    for _ in 0..4 {
        let at = world.now;
        let mut peer = Script::answer(&mut world, 70_000, "200");
        pauses.push((world.now - at).div_ceil(1_000) - 1);
        peer.say(&mut world, &[255, 0]);
        assert!(peer.is_closed(&world));
    }
    assert_eq!(pauses, [0, 5, 10, 20], "in s");
}

/// A driver that reports what happened to an attempt once more, or what was on its way when it was replaced.
#[test]
fn what_is_reported_of_an_attempt_after_its_end_changes_nothing() {
    let mut world = World::new(1);
    world.scripted.push("h");
    let node = node(&mut world);
    let first = Script::answer(&mut world, 100, "200");
    let now = world.nodes[node].clock(world.now);
    let section = &mut world.nodes[node].section;
    let id = section.view(now).peers[1].session.unwrap();
    assert!(section.handle_status(now, id, Status::Accepted).is_none());
    assert!(section.handle_status(now, id, Status::TryLater).is_none());
    section.connect_failed(now, id, "too late".into());
    let peer = &section.view(now).peers[1];
    assert_eq!((peer.session, peer.established, peer.counters.sessions), (Some(id), true, 1));
    assert_eq!((peer.last_status.word(), peer.last_reason.as_deref()), ("ESTA", None));
    // Another session takes its place.
    world.run(250);
    let mut second = Script::call(&mut world, node, "h", "2.1");
    let now = world.nodes[node].clock(world.now);
    let section = &mut world.nodes[node].section;
    section.handle_event(now, id, &SessionEvent::LessonLearned { complete: true });
    assert!(!section.is_up_to_date(), "the lesson was that of a session that is no more");
    assert!(section.handle_status(now, id, Status::Accepted).is_none());
    section.connect_failed(now, id, "too late".into());
    world.run(10);
    assert!(first.is_closed(&world) && !second.is_closed(&world));
    assert_eq!(second.news(&mut world), ["request"]);
    second.control(&mut world, Control::ResyncFinished);
    assert!(world.nodes[node].section.is_up_to_date());
}

/// Whoever answers a hello holds the section's lock, which all sessions wait for: the many locks that a session needs, one for
/// each shard of each table, are taken later.
#[test]
fn a_hello_is_answered_while_a_table_is_busy() {
    let (done, is_done) = mpsc::channel();
    thread::spawn(move || {
        let mut world = World::new(1);
        let node = node(&mut world);
        let (table, section) = (world.nodes[node].table(0), &mut world.nodes[node].section);
        let (target, sender) = ("n".to_owned(), "h".to_owned());
        let hello = Hello { version: ProtocolVersion::V2_1, target, sender, pid: 1, relative_pid: 1 };
        let welcome = table.update(&key(1), Origin::LOCAL, Lifetime::Restart, 1, |_| {
            matches!(section.greet(1, &hello, false), Greeting::Welcome { .. })
        });
        let _ = done.send(welcome);
    });
    assert_eq!(is_done.recv_timeout(Duration::from_secs(20)), Ok(Ok(true)), "it waits for a shard");
}
