//! Many members and many tables: what is done under a lock takes less than a millisecond all the same.

use std::time::{Duration, Instant};

use haproxy_peers::{Greeting, Hello, ProtocolVersion, Session};
use stick_table::{KeyType, TableDefinition};

use crate::hub::hub;
use crate::support::{Setup, World};

const MEMBERS: usize = 1_000;
/// Longest hold of a lock.
const HOLD: Duration = Duration::from_millis(1);

/// The shortest time of many tries: a busy machine makes some of them longer.
fn shortest(tries: usize, mut work: impl FnMut() -> Duration) -> Duration {
    (0..tries).map(|_| work()).min().unwrap()
}

fn timed<R>(work: impl FnOnce() -> R) -> Duration {
    let began = Instant::now();
    std::hint::black_box(work());
    began.elapsed()
}

fn hello(sender: usize) -> Hello {
    let (target, sender) = ("n".to_owned(), format!("member-with-a-long-name-{sender}"));
    Hello { version: ProtocolVersion::V2_1, target, sender, pid: 1, relative_pid: 1 }
}

fn greet(world: &mut World, member: usize, now: u64) -> Box<Session> {
    match world.nodes[0].section.greet(now, &hello(member), true) {
        Greeting::Welcome { session, .. } => session,
        _ => panic!("member {member} is refused"),
    }
}

#[test]
fn a_hub_with_1_000_members_holds_its_lock_for_less_than_a_millisecond() {
    let mut world = World::new(1);
    world.add(Setup::new("n").dynamic_peers(MEMBERS).hub(hub()));
    let sessions: Vec<_> = (0..MEMBERS).map(|member| greet(&mut world, member, 0)).collect();
    assert_eq!(world.nodes[0].section.view(0).peers.len(), MEMBERS + 1);
    let section = &mut world.nodes[0].section;
    let view = shortest(50, || timed(|| section.view(0)));
    let state = shortest(50, || timed(|| section.hub_state(true)));
    let timers = shortest(50, || {
        timed(|| {
            section.handle_timeout(0);
            section.poll_timeout()
        })
    });
    let greeting = shortest(50, || timed(|| section.greet(0, &hello(MEMBERS - 1), true)));
    println!("{MEMBERS} members: view {view:?}, state {state:?}, timers {timers:?}, greeting {greeting:?}");
    for time in [view, state, timers, greeting] {
        assert!(time < HOLD, "{time:?}");
    }
    drop(sessions);
}

#[test]
fn a_session_follows_256_tables_of_64_shards_in_steps_of_less_than_a_millisecond() {
    let mut world = World::new(1);
    let table = |number| TableDefinition::new(format!("t{number}"), KeyType::Integer, 64 << 16);
    let node =
        (0..256).fold(Setup::new("n").dynamic_peers(MEMBERS), |setup, number| setup.table(table(number)));
    world.add(node);
    let mut members = 0..;
    let greeting = shortest(20, || {
        let member = members.next().unwrap();
        timed(|| greet(&mut world, member, 0))
    });
    // The shortest time of each step over many sessions.
    let mut steps = [HOLD; 17];
    for _ in 0..20 {
        let mut session = greet(&mut world, members.next().unwrap(), 0);
        for (place, shortest) in steps.iter_mut().enumerate() {
            let mut more = false;
            *shortest = timed(|| more = session.begin(16)).min(*shortest);
            assert_eq!(more, place < 16, "16 tables each, and none is left");
        }
    }
    let step = steps.into_iter().max().unwrap();
    println!("256 tables of 64 shards: greeting {greeting:?}, each of 17 steps at most {step:?}");
    assert!(greeting < HOLD && step < HOLD, "{greeting:?}, {step:?}");
}
