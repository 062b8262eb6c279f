//! The soft stop: teaching the next process (peers-protocol §13.4).

use haproxy_peers::{
    Action, Control, EndReason, Limits, Section, SectionConfig, Status, StopProgress, TableSet,
};

use crate::support::{Script, Setup, World, control, counters, gpc0, learn, set};

fn stop(world: &mut World, node: usize) {
    world.nodes[node].listens = false;
    let now = world.nodes[node].clock(world.now);
    world.nodes[node].section.stop(now);
}

fn progress(world: &World, node: usize) -> StopProgress {
    world.nodes[node].section.stop_progress().unwrap()
}

#[test]
fn a_successor_is_taught_everything_with_its_lifetimes() {
    for seed in 0..10 {
        let mut world = World::new(seed);
        let old = world.add(Setup::new("n").peer("h").table(counters("t")));
        let mut peer = Script::call(&mut world, old, "h", "2.1");
        peer.control(&mut world, Control::ResyncFinished);
        set(&world, old, 1, 10);
        learn(&world, old, 2, 20, 9_000);
        world.run(500);
        let new = world.add(Setup::new("n").peer("h").table(counters("t")).expects_predecessor());
        stop(&mut world, old);
        assert!(world.run_until(3_000, |world| progress(world, old) == StopProgress::Taught));
        world.run(10);
        assert!(peer.is_closed(&world));
        assert_eq!(
            gpc0(&world, old, 1).unwrap(),
            gpc0(&world, new, 1).map(|(value, left)| (value, left - 1)).unwrap()
        );
        assert_eq!(
            gpc0(&world, old, 2).unwrap(),
            gpc0(&world, new, 2).map(|(value, left)| (value, left - 1)).unwrap()
        );
        assert_eq!(world.nodes[old].ended.last(), Some(&EndReason::Closed("the successor has everything")));
        assert!(world.nodes[new].section.is_up_to_date());
        assert_eq!(world.nodes[new].requests, 0, "the old process knew what the others know");
    }
}

/// It says that it is up to date, as nobody could help it. Its successor may meet somebody who can.
#[test]
fn the_successor_of_a_process_that_waited_for_lessons_in_vain_asks_for_them() {
    let mut world = World::new(1);
    let setup = || Setup::new("n").peer("h").table(counters("t"));
    let old = world.add(setup());
    world.run(6_000);
    assert!(world.nodes[old].section.is_up_to_date());
    let new = world.add(setup().expects_predecessor());
    stop(&mut world, old);
    assert!(world.run_until(3_000, |world| progress(world, old) == StopProgress::Taught));
    let mut peer = Script::call(&mut world, new, "h", "2.1");
    world.run(10);
    assert!(peer.news(&mut world).contains(&"request".to_owned()));
}

#[test]
fn without_a_successor_the_search_ends_after_5_s() {
    let mut world = World::new(1);
    let node = world.add(Setup::new("n").peer("h").table(counters("t")));
    world.run(10);
    stop(&mut world, node);
    let hellos = world.nodes[node].hellos.len();
    world.run(4_900);
    assert_eq!(progress(&world, node), StopProgress::Teaching);
    assert_eq!(world.nodes[node].hellos.len() - hellos, 10, "every 500 ms");
    world.run(600);
    assert_eq!(progress(&world, node), StopProgress::Alone);
    assert_eq!(world.nodes[node].section.poll_timeout(), None);
    assert!(world.nodes[node].hellos[hellos..].iter().all(|hello| hello.contains("\nn\nn ")));
}

/// A machine is suspended, or its clock jumps, for longer than the search takes.
#[test]
fn a_search_that_had_no_time_makes_one_more_attempt() {
    for ms in [5_000, 30_000] {
        let mut world = World::new(1);
        world.scripted.push("n");
        let node = world.add(Setup::new("n").peer("h").table(counters("t")));
        learn(&world, node, 1, 1, 500_000);
        stop(&mut world, node);
        world.run(1);
        world.nodes[node].skew += ms;
        let mut successor = Script::answer(&mut world, 600, "200");
        assert_eq!(successor.news(&mut world).len(), 2, "{ms}");
        successor.say(&mut world, &control(Control::ResyncConfirm));
        assert_eq!(progress(&world, node), StopProgress::Taught, "{ms}");
    }
}

#[test]
fn a_driver_that_knows_there_is_no_successor_ends_the_search() {
    let mut world = World::new(1);
    let node = world.add(Setup::new("n").peer("h").table(counters("t")));
    stop(&mut world, node);
    world.nodes[node].section.no_successor();
    assert_eq!(progress(&world, node), StopProgress::Alone);
}

#[test]
fn a_broken_lesson_is_given_again() {
    let mut world = World::new(1);
    world.scripted.push("n");
    let node = world.add(Setup::new("n").peer("h").table(counters("t")));
    learn(&world, node, 1, 1, 50_000);
    stop(&mut world, node);
    let mut first = Script::answer(&mut world, 100, "300");
    assert!(first.take(&mut world).is_empty());
    let mut second = Script::answer(&mut world, 600, "200");
    assert_eq!(second.news(&mut world)[0].split(" left").next().unwrap(), "t 1 1 1 srv1");
    second.close(&mut world);
    let mut third = Script::answer(&mut world, 600, "200");
    assert_eq!(third.news(&mut world).len(), 2);
    assert_eq!(progress(&world, node), StopProgress::Teaching);
    third.say(&mut world, &control(Control::ResyncConfirm));
    assert_eq!(progress(&world, node), StopProgress::Taught);
    world.run(10);
    assert!(third.is_closed(&world));
}

/// peers-protocol §2.3: HAProxy comes back when the connection is closed without a status.
#[test]
fn a_stopping_process_accepts_nobody() {
    let mut world = World::new(1);
    let node = world.add(Setup::new("n").peer("h").table(counters("t")));
    world.run(1);
    stop(&mut world, node);
    let mut peer = Script::hello(&mut world, node, "h", "2.1");
    assert!(peer.take(&mut world).is_empty() && peer.is_closed(&world));
}

#[test]
fn a_stopping_process_connects_to_no_remote_peer() {
    let mut world = World::new(1);
    let node = world.add(Setup::new("n").peer("h").table(counters("t")));
    let mut peer = Script::call(&mut world, node, "h", "2.1");
    stop(&mut world, node);
    world.run(10);
    assert!(peer.is_closed(&world));
    peer.close(&mut world);
    world.run(60_000);
    assert!(world.nodes[node].hellos.iter().skip(1).all(|hello| hello.contains("\nn\nn ")));
}

/// What a session still receives must be in the lesson, so all of them end before the successor is called.
#[test]
fn the_successor_is_called_when_the_last_session_has_ended() {
    use haproxy_peers::{
        Action, EndReason, Greeting, Hello, Limits, ProtocolVersion, Section, SectionConfig, TableSet,
    };
    let config = SectionConfig {
        name: "p".into(),
        local_name: "n".into(),
        peers: vec![("h".to_owned(), 0).into()],
        max_dynamic_peers: 0,
        discovers: false,
        forget_ms: 60_000,
        relay: false,
        tables: TableSet::new("p", [], None, None, 1).unwrap().into(),
        limits: Limits::default(),
        expects_predecessor: false,
        pid: 1,
        seed: 1,
    };
    let calls_itself = |section: &mut Section| {
        std::iter::from_fn(|| section.poll_action())
            .any(|action| matches!(action, Action::Connect { name, .. } if name == "n"))
    };
    for ends in [true, false] {
        let config = SectionConfig {
            tables: config.tables.clone(),
            name: "p".into(),
            local_name: "n".into(),
            peers: config.peers.clone(),
            ..config
        };
        let mut section = Section::new(config, 0).unwrap();
        let (target, sender) = ("n".to_owned(), "h".to_owned());
        let hello = Hello { version: ProtocolVersion::V2_1, target, sender, pid: 1, relative_pid: 1 };
        let Greeting::Welcome { id, peer, .. } = section.greet(0, &hello, false) else { panic!("refused") };
        section.stop(10);
        assert!(!calls_itself(&mut section));
        if ends {
            section.session_ended(20, id, peer, &EndReason::Closed("stop"));
        } else {
            // One that does not end in time is not waited for.
            assert_eq!(section.poll_timeout(), Some(1_010));
            section.handle_timeout(1_010);
        }
        assert!(calls_itself(&mut section), "ends: {ends}");
    }
}

/// One that asks again while its session is about to be closed, and confirms again.
#[test]
fn a_successor_s_session_is_closed_once() {
    let config = SectionConfig {
        name: "p".into(),
        local_name: "n".into(),
        peers: Vec::new(),
        max_dynamic_peers: 0,
        discovers: false,
        forget_ms: 60_000,
        relay: false,
        tables: TableSet::new("p", [], None, None, 1).unwrap().into(),
        limits: Limits::default(),
        expects_predecessor: false,
        pid: 7,
        seed: 1,
    };
    let mut section = Section::new(config, 0).unwrap();
    section.stop(10);
    let Some(Action::Connect { session: id, .. }) = section.poll_action() else { panic!("no attempt") };
    let mut session = section.handle_status(20, id, Status::Accepted).unwrap();
    let mut out = Vec::new();
    for _ in 0..2 {
        assert!(!session.poll_transmit(20, 1_000, &mut out));
        session.handle_input(20, &control(Control::ResyncConfirm)).unwrap();
        session.handle_input(20, &control(Control::ResyncRequest)).unwrap();
        while let Some(event) = session.poll_event() {
            section.handle_event(20, id, &event);
        }
    }
    let actions: Vec<_> = std::iter::from_fn(|| section.poll_action()).collect();
    assert_eq!(actions, [Action::Close { session: id, reason: "the successor has everything" }]);
}

#[test]
fn a_second_stop_does_not_start_the_search_again() {
    let mut world = World::new(1);
    let node = world.add(Setup::new("n").peer("h").table(counters("t")));
    stop(&mut world, node);
    world.run(4_000);
    stop(&mut world, node);
    world.run(900);
    assert_eq!(progress(&world, node), StopProgress::Teaching);
    world.run(200);
    assert_eq!(progress(&world, node), StopProgress::Alone);
    // Nor does a driver that looks at the clock for ever.
    let hellos = world.nodes[node].hellos.len();
    let later = world.nodes[node].clock(world.now) + 60_000;
    world.nodes[node].section.handle_timeout(later);
    assert!(world.nodes[node].section.poll_action().is_none());
    assert_eq!((progress(&world, node), world.nodes[node].hellos.len()), (StopProgress::Alone, hellos));
}

/// A successor that takes the lesson and breaks off is one that cannot be taught.
#[test]
fn a_successor_that_breaks_its_lesson_off_three_times_is_given_up() {
    let mut world = World::new(1);
    world.scripted.push("n");
    let node = world.add(Setup::new("n").peer("h").table(counters("t")));
    learn(&world, node, 1, 1, 50_000);
    stop(&mut world, node);
    for round in 0..3 {
        assert_eq!(progress(&world, node), StopProgress::Teaching, "round {round}");
        let mut successor = Script::answer(&mut world, 600, "200");
        // Longer than the search takes: it is suspended while a lesson runs.
        for _ in 0..2 {
            world.run(3_000);
            successor.control(&mut world, Control::Heartbeat);
        }
        let now = world.nodes[node].clock(world.now);
        world.nodes[node].section.handle_timeout(now);
        assert!(!successor.is_closed(&world), "round {round}");
        assert_eq!(successor.news(&mut world).last().unwrap(), "partial");
        successor.close(&mut world);
        world.run(10);
    }
    assert_eq!(progress(&world, node), StopProgress::Alone);
    assert!(Script::incoming(&mut world, 10_000).is_none());
}

#[test]
fn a_probe_under_way_is_closed() {
    let mut world = World::new(1);
    world.scripted.push("h");
    let node = world.add(Setup::new("n").peer("h").table(counters("t")));
    Script::incoming(&mut world, 100).unwrap().close(&mut world);
    let peer = Script::call(&mut world, node, "h", "2.0");
    let probe = Script::incoming(&mut world, 5_100).unwrap();
    stop(&mut world, node);
    world.run(10);
    assert!(probe.is_closed(&world) && peer.is_closed(&world));
}

/// Three reloads in a row: each process is stopped before it was taught. What only the first knew reaches the last.
#[test]
fn a_process_that_is_still_to_be_taught_hands_over_what_it_learns() {
    for seed in 0..10 {
        let mut world = World::new(seed);
        let setup = || Setup::new("n").peer("h").table(counters("t"));
        let first = world.add(setup());
        for number in 0..200 {
            learn(&world, first, number, 7, 50_000);
        }
        let mut before = first;
        for _ in 0..3 {
            let next = world.add(setup().expects_predecessor());
            stop(&mut world, before);
            before = next;
        }
        let done = |world: &World| (0..3).all(|node| progress(world, node) == StopProgress::Taught);
        assert!(
            world.run_until(10_000, |world| done(world)),
            "{:?}",
            [0, 1, 2].map(|at| progress(&world, at))
        );
        let values: Vec<_> = (0..200).filter(|number| gpc0(&world, before, *number).is_some()).collect();
        assert_eq!(values.len(), 200, "seed {seed}");
    }
}

/// The process before it does not come: the search begins when it is given up.
#[test]
fn a_process_that_is_taught_in_vain_hands_over_what_it_has() {
    let mut world = World::new(1);
    let setup = || Setup::new("n").peer("h").table(counters("t")).expects_predecessor();
    let node = world.add(setup());
    learn(&world, node, 1, 7, 50_000);
    stop(&mut world, node);
    world.run(3_000);
    let next = world.add(setup());
    assert_eq!((progress(&world, node), gpc0(&world, next, 1)), (StopProgress::Teaching, None));
    assert!(world.run_until(3_000, |world| progress(world, node) == StopProgress::Taught));
    assert_eq!(gpc0(&world, next, 1).unwrap().0, 7);
}

/// A lesson that breaks off is not waited for longer than the one before it.
#[test]
fn a_predecessor_that_breaks_off_does_not_keep_a_stopping_process() {
    let mut world = World::new(1);
    let node = world.add(Setup::new("n").peer("h").table(counters("t")).expects_predecessor());
    let mut old = Script::predecessor(&mut world, node).accepted(&mut world);
    old.define(&mut world, 1, &counters("t"));
    old.update(&mut world, Some(1), Some(50_000), 1, 9);
    stop(&mut world, node);
    world.run(8_000);
    assert_eq!(progress(&world, node), StopProgress::Teaching);
    old.close(&mut world);
    world.run(10);
    let again = Script::predecessor(&mut world, node).accepted(&mut world);
    assert!(!again.is_closed(&world), "it may begin again");
    world.run(12_000);
    let next = world.add(Setup::new("n").peer("h").table(counters("t")).expects_predecessor());
    assert!(world.run_until(20_000, |world| progress(world, node) == StopProgress::Taught));
    assert_eq!(gpc0(&world, next, 1).unwrap().0, 9);
}

/// A predecessor that is busy with its own lesson says that it is there.
#[test]
fn a_predecessor_that_is_there_is_waited_for() {
    let mut world = World::new(1);
    let node = world.add(Setup::new("n").peer("h").table(counters("t")).expects_predecessor());
    let mut peer = Script::call(&mut world, node, "h", "2.1");
    for _ in 0..20 {
        world.run(1_000);
        let now = world.nodes[node].clock(world.now);
        world.nodes[node].section.predecessor_is_there(now);
        peer.control(&mut world, Control::Heartbeat);
    }
    assert!(peer.news(&mut world).is_empty(), "the remote peer is not asked");
    let now = world.nodes[node].clock(world.now);
    world.nodes[node].section.predecessor_is_gone(now);
    world.run(10);
    assert_eq!(peer.news(&mut world), ["request"]);
    // Of no meaning to a process that is up to date.
    peer.control(&mut world, Control::ResyncFinished);
    world.nodes[node].section.predecessor_is_gone(now);
    world.nodes[node].section.predecessor_is_there(now);
    assert!(world.nodes[node].section.is_up_to_date());
}

/// A successor that answers is there: it is searched for as long as another process teaches it, but not for ever.
#[test]
fn a_successor_that_is_taught_by_another_process_is_waited_for() {
    let mut world = World::new(1);
    world.scripted.push("n");
    let node = world.add(Setup::new("n").peer("h").table(counters("t")));
    let stopped = world.now;
    stop(&mut world, node);
    let mut attempts = 0;
    while let Some(mut busy) = Script::incoming(&mut world, 1_000) {
        world.run(2);
        busy.take(&mut world);
        busy.send(&mut world, b"300\n");
        busy.close(&mut world);
        world.run(2);
        attempts += 1;
    }
    assert!(attempts > 60, "{attempts}");
    assert_eq!(progress(&world, node), StopProgress::Alone);
    let took = world.now - stopped;
    assert!((60_000..67_000).contains(&took), "{took}");
}
