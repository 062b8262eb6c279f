//! Members that come and go: by themselves, and as a name service lists them.

use haproxy_peers::{
    EndReason, Greeting, Hello, PeerKind, PeerView, ProtocolVersion, Section, SectionConfig, SessionError,
    TableSet,
};

use crate::support::{FORGET_MS, Script, Setup, World, counters, gpc0, set};

fn hub(setup: Setup) -> (World, usize) {
    let mut world = World::new(1);
    let node = world.add(setup.table(counters("t")));
    (world, node)
}

/// Lists a name; the node connects when time passes.
fn list(world: &mut World, node: usize, name: &str) -> bool {
    let now = world.nodes[node].clock(world.now);
    world.nodes[node].section.discover(now, name, 0)
}

fn discover(world: &mut World, node: usize, name: &str) -> bool {
    let done = list(world, node, name);
    world.run(1);
    done
}

fn withdraw(world: &mut World, node: usize, name: &str) {
    let now = world.nodes[node].clock(world.now);
    world.nodes[node].section.withdraw(now, name);
    world.run(1);
}

fn member(world: &World, node: usize, name: &str) -> Option<PeerView> {
    let node = &world.nodes[node];
    node.section.view(node.clock(world.now)).peers.into_iter().find(|peer| peer.name == name)
}

fn value(world: &World, node: usize, key: u32) -> Option<u32> {
    gpc0(world, node, key).map(|(value, _)| value)
}

#[test]
fn a_discovered_member_is_connected_to_and_gets_everything() {
    let (mut world, hub) = hub(Setup::new("n").discovers());
    set(&world, hub, 1, 11);
    world.run(10_000);
    let other = world.add(Setup::new("h").peer("n").table(counters("t")));
    world.nodes[hub].listens = false;
    assert!(discover(&mut world, hub, "h"));
    assert!(world.run_until(3_000, |world| value(world, other, 1) == Some(11)));
    set(&world, other, 2, 22);
    assert!(world.run_until(3_000, |world| value(world, hub, 2) == Some(22)));
    let member = member(&world, hub, "h").unwrap();
    assert_eq!((member.kind, member.established, member.withdrawn), (PeerKind::Discovered, true, false));
    assert_eq!(world.nodes[hub].section.discovered_peers(), 1);
}

/// One that is listed and not there yet is tried as a configured one, and never forgotten.
#[test]
fn a_listed_member_is_tried_again_and_again() {
    let (mut world, hub) = hub(Setup::new("n").discovers());
    assert!(discover(&mut world, hub, "h"));
    world.run(2 * FORGET_MS + 500);
    assert_eq!(world.nodes[hub].hellos.len() as u64, 1 + 2 * FORGET_MS / 5_000);
    let member = member(&world, hub, "h").unwrap();
    assert_eq!((member.forget_at, member.counters.attempts), (None, 1 + 2 * FORGET_MS / 5_000));
    // Where it is has changed: no waiting for the next attempt.
    assert!(discover(&mut world, hub, "h"));
    assert_eq!(world.nodes[hub].hellos.len() as u64, 2 + 2 * FORGET_MS / 5_000);
}

#[test]
fn a_withdrawn_member_keeps_its_session_and_is_not_called_after_it() {
    let (mut world, hub) = hub(Setup::new("n").discovers());
    world.scripted.push("h");
    assert!(list(&mut world, hub, "h"));
    let mut peer = Script::answer(&mut world, 100, "200");
    withdraw(&mut world, hub, "h");
    // The session lives longer than it would be remembered without.
    for _ in 0..2 * FORGET_MS / 2_000 {
        world.run(2_000);
        peer.control(&mut world, haproxy_peers::Control::Heartbeat);
    }
    assert!(!peer.is_closed(&world));
    let view = member(&world, hub, "h").unwrap();
    assert_eq!((view.established, view.withdrawn, view.forget_at), (true, true, None));
    peer.close(&mut world);
    world.run(10);
    let ended = world.now;
    world.run(FORGET_MS - 100);
    assert_eq!(world.nodes[hub].hellos.len(), 1, "it is not called");
    assert!(member(&world, hub, "h").is_some_and(|view| view.forget_at.is_some()));
    assert!(world.nodes[hub].forgotten.is_empty());
    assert!(world.run_until(1_000, |world| member(world, hub, "h").is_none()));
    assert!(world.now >= ended + FORGET_MS - 10);
    assert_eq!(world.nodes[hub].forgotten, ["h"]);
    assert_eq!(Script::hello(&mut world, hub, "h", "2.1").take(&mut world), b"504\n", "a stranger now");
}

/// What it has got already is remembered too.
#[test]
fn a_withdrawn_member_may_come_back_until_it_is_forgotten() {
    let (mut world, hub) = hub(Setup::new("n").discovers());
    assert!(discover(&mut world, hub, "h"));
    withdraw(&mut world, hub, "h");
    withdraw(&mut world, hub, "h");
    world.run(FORGET_MS / 2);
    let mut peer = Script::call(&mut world, hub, "h", "2.1");
    assert_eq!(member(&world, hub, "h").unwrap().forget_at, None);
    peer.close(&mut world);
    world.run(FORGET_MS - 1_000);
    // Listed again: called at once, and not forgotten.
    assert!(discover(&mut world, hub, "h"));
    assert_eq!(world.nodes[hub].hellos.len(), 2);
    world.run(2 * FORGET_MS);
    let view = member(&world, hub, "h").unwrap();
    assert_eq!((view.withdrawn, view.forget_at), (false, None));
    assert!(world.nodes[hub].forgotten.is_empty());
}

/// An attempt that is under way when the name goes must not become a session.
#[test]
fn an_attempt_to_reach_a_member_that_is_withdrawn_is_given_up() {
    let (mut world, hub) = hub(Setup::new("n").discovers());
    world.scripted.push("h");
    assert!(list(&mut world, hub, "h"));
    let mut attempt = Script::incoming(&mut world, 100).unwrap();
    withdraw(&mut world, hub, "h");
    assert!(attempt.is_closed(&world));
    attempt.say(&mut world, b"200\n");
    assert_eq!(world.sessions(hub).count(), 0);
    world.run(FORGET_MS + 100);
    assert_eq!(world.nodes[hub].forgotten, ["h"]);
}

/// A name that says hello before it is listed.
#[test]
fn a_dynamic_member_becomes_a_discovered_one_and_keeps_its_session() {
    let (mut world, hub) = hub(Setup::new("n").discovers().dynamic_peers(1));
    let mut peer = Script::call(&mut world, hub, "h", "2.1");
    assert_eq!(member(&world, hub, "h").unwrap().kind, PeerKind::Dynamic);
    assert!(discover(&mut world, hub, "h"));
    let view = member(&world, hub, "h").unwrap();
    assert_eq!((view.kind, view.established, view.counters.sessions), (PeerKind::Discovered, true, 1));
    assert!(!peer.is_closed(&world) && world.nodes[hub].hellos.is_empty());
    // It takes no place of the dynamic ones any more.
    let _second = Script::call(&mut world, hub, "i", "2.1");
    peer.close(&mut world);
    world.run(3_000);
    assert_eq!(world.nodes[hub].hellos.len(), 1, "it is called from now on");
}

#[test]
fn a_dynamic_member_that_stays_away_is_forgotten() {
    let (mut world, hub) = hub(Setup::new("n").dynamic_peers(10));
    let mut peer = Script::call(&mut world, hub, "h", "2.1");
    let mut other = Script::call(&mut world, hub, "i", "2.1");
    peer.close(&mut world);
    other.close(&mut world);
    world.run(FORGET_MS - 1_000);
    assert_eq!(world.nodes[hub].section.dynamic_peers(), 2);
    let _back = Script::call(&mut world, hub, "i", "2.1");
    world.run(1_100);
    assert_eq!(
        (world.nodes[hub].section.dynamic_peers(), &world.nodes[hub].forgotten[..]),
        (1, &["h".to_owned()][..])
    );
}

/// The one that is away for the longest makes room, and is said to be gone.
#[test]
fn a_full_section_takes_the_place_of_who_is_away_longest() {
    let (mut world, hub) = hub(Setup::new("n").dynamic_peers(3));
    let mut first = Script::call(&mut world, hub, "a", "2.1");
    let mut second = Script::call(&mut world, hub, "b", "2.1");
    let _third = Script::call(&mut world, hub, "c", "2.1");
    second.close(&mut world);
    world.run(100);
    first.close(&mut world);
    world.run(100);
    let _fourth = Script::call(&mut world, hub, "d", "2.1");
    assert_eq!(world.nodes[hub].forgotten, ["b"]);
    assert!(member(&world, hub, "a").is_some() && member(&world, hub, "b").is_none());
}

#[test]
fn what_cannot_be_discovered_stays_what_it_is() {
    let (mut world, hub) = hub(Setup::new("n").peer("s").discovers());
    let long = "x".repeat(256);
    for name in ["n", "s", "", "a b", "a\n", &long] {
        assert!(!discover(&mut world, hub, name), "{name:?}");
        withdraw(&mut world, hub, name);
    }
    let kinds = |world: &World| {
        let view = world.nodes[hub].section.view(world.nodes[hub].clock(world.now));
        view.peers.iter().map(|peer| peer.kind).collect::<Vec<_>>()
    };
    assert_eq!(kinds(&world), [PeerKind::Local, PeerKind::Static]);
    world.run(2 * FORGET_MS);
    assert_eq!(kinds(&world), [PeerKind::Local, PeerKind::Static]);
    let now = world.nodes[hub].clock(world.now);
    world.nodes[hub].section.stop(now);
    assert!(!discover(&mut world, hub, "h"), "a section that stops takes nobody");
}

/// A section without any member yet is not up to date at once: those to come are to teach it.
#[test]
fn a_section_that_discovers_waits_for_a_lesson() {
    let (mut world, hub) = hub(Setup::new("n").discovers());
    let other = world.add(Setup::new("h").peer("n").table(counters("t")));
    set(&world, other, 1, 11);
    world.run(1_000);
    assert!(!world.nodes[hub].section.is_up_to_date());
    assert!(discover(&mut world, hub, "h"));
    world.run(10_000);
    assert!(world.nodes[hub].section.is_up_to_date());
    assert_eq!(value(&world, hub, 1), Some(11));
    let (mut world, alone) = self::hub(Setup::new("n"));
    world.run(10);
    assert!(world.nodes[alone].section.is_up_to_date());
}

fn section(max_dynamic_peers: usize) -> Section {
    let config = SectionConfig {
        name: "p".into(),
        local_name: "n".into(),
        peers: vec![("h".to_owned(), 0).into()],
        max_dynamic_peers,
        discovers: false,
        forget_ms: 1_000,
        relay: false,
        tables: TableSet::new("p", [], None, None, 1).unwrap().into(),
        limits: haproxy_peers::Limits::default(),
        expects_predecessor: false,
        pid: 1,
        seed: 1,
    };
    Section::new(config, 0).unwrap()
}

fn hello(name: &str) -> Hello {
    let (target, sender) = ("n".to_owned(), name.to_owned());
    Hello { version: ProtocolVersion::V2_1, target, sender, pid: 1, relative_pid: 1 }
}

/// The end of a connection may be reported when its member is gone and another has come.
#[test]
fn an_end_that_is_reported_late_is_nobody_else_s() {
    let mut section = section(1);
    let malformed = || EndReason::Error(SessionError::Silent(5_000));
    let Greeting::Welcome { id: old, peer: gone, .. } = section.greet(0, &hello("a"), true) else { panic!() };
    // Its second connection takes the place of the first, whose end is not reported yet.
    let Greeting::Welcome { id, peer, .. } = section.greet(0, &hello("a"), true) else { panic!() };
    assert_eq!(peer, gone);
    section.session_ended(10, id, peer, &EndReason::Closed("over"));
    let Greeting::Welcome { peer: next, .. } = section.greet(20, &hello("b"), true) else { panic!() };
    assert_ne!(next, gone);
    section.session_ended(30, old, gone, &malformed());
    let view = section.view(30);
    let b = view.peers.iter().find(|peer| peer.name == "b").unwrap();
    assert_eq!((b.established, b.counters.silences), (true, 0));
}
