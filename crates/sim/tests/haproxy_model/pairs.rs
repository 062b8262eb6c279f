//! Two processes: models of all releases with each other, and with this project's engine.

use haproxy_peers::{LastStatus, Status};
use stickd_sim::{HaproxyTable, Process, Release};

use crate::net::Net;
use crate::node::{Node, config};

/// The two kinds.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Model(Release),
    Stickd,
}

fn start(net: &mut Net<Node>, kind: Kind, name: &str, peers: &[&str]) -> usize {
    let now = net.now;
    let node = match kind {
        Kind::Model(release) => Node::model(config(name, peers, release.quirks()), now),
        Kind::Stickd => Node::stickd(name, peers, &[HaproxyTable::new("t")], false, now),
    };
    net.start(name, node)
}

/// Pairs that are simulated: each release with itself, with the newest, and with this project's engine, either first.
fn pairs() -> Vec<(Kind, Kind)> {
    let newest = Kind::Model(Release::V3_5Dev);
    let mut pairs = Vec::new();
    for release in Release::ALL {
        let model = Kind::Model(release);
        pairs.extend([
            (model, model),
            (model, newest),
            (newest, model),
            (model, Kind::Stickd),
            (Kind::Stickd, model),
        ]);
    }
    pairs
}

fn couple((first, second): (Kind, Kind)) -> (Net<Node>, usize, usize) {
    let mut net = Net::new();
    let a = start(&mut net, first, "a", &["b"]);
    net.run(20);
    let b = start(&mut net, second, "b", &["a"]);
    (net, a, b)
}

#[test]
fn changes_reach_the_other_with_values_and_lifetimes() {
    for pair in pairs() {
        let (mut net, a, b) = couple(pair);
        net.run(15_000);
        net.write(a, 1, 10);
        net.write(b, 2, 20);
        net.run(100);
        for (node, key, value) in [(a, 1, 10), (a, 2, 20), (b, 1, 10), (b, 2, 20)] {
            let reading = net.at(node).read(net.now, 0, key);
            let reading = reading.unwrap_or_else(|| panic!("{pair:?}: key {key} did not reach {node}"));
            assert_eq!((reading.gpc0, reading.rate), (value, 1), "{pair:?}");
            let left = reading.remaining_ms.unwrap();
            assert!((59_850..=59_905).contains(&left), "{pair:?}: {left} ms left of key {key} at {node}");
        }
        net.run(59_000);
        assert!(net.gpc0(a, 1).is_some() && net.gpc0(b, 1).is_some(), "{pair:?}");
        net.run(1_000);
        assert_eq!((net.at(a).keys(net.now, 0), net.at(b).keys(net.now, 0)), (vec![], vec![]), "{pair:?}");
    }
}

#[test]
fn a_restarted_process_is_taught_what_both_wrote() {
    for pair in pairs() {
        let (mut net, a, b) = couple(pair);
        net.run(15_000);
        (1..=500).for_each(|key| net.write(a, key, key + 7));
        (501..=600).for_each(|key| net.write(b, key, key + 7));
        net.run(20_000);
        net.kill(b);
        net.run(30);
        let b = start(&mut net, pair.1, "b", &["a"]);
        net.run(15_000);
        let taught: Vec<_> = (1..=600).filter(|key| net.gpc0(b, *key) == Some(key + 7)).collect();
        assert_eq!(taught.len(), 600, "{pair:?}: {taught:?}");
        assert_eq!(net.at(b).keys(net.now, 0).len(), 600);
    }
}

#[test]
fn what_was_not_acknowledged_is_repeated_after_a_cut() {
    for pair in pairs() {
        let (mut net, a, b) = couple(pair);
        net.run(15_000);
        net.write(a, 1, 10);
        net.run(1_000);
        net.is_down = true;
        net.write(a, 1, 11);
        net.cut();
        net.write(a, 2, 12);
        net.write(b, 3, 13);
        net.run(8_000);
        assert_eq!((net.gpc0(b, 2), net.gpc0(a, 3)), (None, None));
        net.is_down = false;
        net.run(12_000);
        let found = [(b, 1), (b, 2), (a, 3)].map(|(node, key)| net.gpc0(node, key));
        assert_eq!(found, [Some(11), Some(12), Some(13)], "{pair:?}");
    }
}

#[test]
fn collisions_settle() {
    for first in [Kind::Model(Release::V2_0), Kind::Model(Release::V2_6), Kind::Model(Release::V3_5Dev)] {
        for second in [first, Kind::Stickd] {
            // Both start at the same moment, and call at once.
            let mut net = Net::new();
            let a = start(&mut net, first, "a", &["b"]);
            let b = start(&mut net, second, "b", &["a"]);
            net.run(100);
            assert!(net.at(a).as_model().collisions() > 0, "{first:?} {second:?}: no collision");
            net.run(12_000);
            let calls = net.calls.len();
            net.run(60_000);
            assert_eq!(net.calls.len(), calls, "{first:?} {second:?}: the session does not last");
            assert!(net.at(a).as_model().is_established("b"));
            net.write(a, 1, 5);
            net.run(100);
            assert_eq!(net.gpc0(b, 1), Some(5));
        }
    }
}

/// peers-protocol §2.3: after an error status only a call by the other side helps.
#[test]
fn an_error_status_ends_all_attempts() {
    // 503: the peer at that address has another name; 504: it does not know the caller.
    for (release, status) in [
        (Release::V1_8, Status::UnknownPeer),
        (Release::V3_5Dev, Status::UnknownPeer),
        (Release::V3_5Dev, Status::VersionMismatch),
    ] {
        let mut net = Net::new();
        let peers: &[&str] = if status == Status::UnknownPeer { &["c"] } else { &["a"] };
        net.is_down = true;
        let other = if status == Status::VersionMismatch { Release::V1_6 } else { release };
        let b = start(&mut net, Kind::Model(other), "b", peers);
        net.run(2_500);
        net.is_down = false;
        let a = start(&mut net, Kind::Model(release), "a", &["b"]);
        net.run(1_000);
        assert_eq!(net.at(a).as_model().last_status("b"), Some(LastStatus::Answered(status)));
        let called = |net: &Net<Node>| net.calls.iter().filter(|(_, caller, _)| caller == "a").count();
        assert_eq!(called(&net), 1);
        net.kill(b);
        net.run(60_000);
        assert_eq!(called(&net), 1, "{release:?} calls again after {status}");
        let b = start(&mut net, Kind::Model(Release::V3_5Dev), "b", &["a"]);
        net.run(1_000);
        assert!(net.at(a).as_model().is_established("b") && net.at(b).as_model().is_established("a"));
    }
}

/// §2.4: 502 leads to 2.0 only when the other side calls; and 2.0 sticks.
#[test]
fn a_release_of_2_0_is_reached_when_it_calls() {
    for second in [Kind::Model(Release::V3_5Dev), Kind::Stickd] {
        let mut net = Net::new();
        net.is_down = true;
        let a = start(&mut net, Kind::Model(Release::V1_6), "a", &["b"]);
        net.run(2_500);
        net.is_down = false;
        let b = start(&mut net, second, "b", &["a"]);
        net.write(a, 1, 4);
        net.run(12_000);
        net.write(b, 2, 5);
        net.run(100);
        assert_eq!((net.gpc0(b, 1), net.gpc0(a, 2)), (Some(4), Some(5)), "{second:?}");
    }
}

/// §13.4: the old process teaches the new one, with remaining lifetimes.
#[test]
fn a_process_that_stops_teaches_its_successor() {
    for release in Release::ALL {
        for successor in [Kind::Model(release), Kind::Stickd] {
            let mut net = Net::new();
            let old = start(&mut net, Kind::Model(release), "a", &[]);
            net.run(11_000);
            (1..=300).for_each(|key| net.write(old, key, key));
            net.run(20_000);
            let now = net.now;
            let node = match successor {
                Kind::Model(release) => {
                    let mut config = config("a", &[], release.quirks());
                    config.has_predecessor = true;
                    Node::model(config, now)
                }
                Kind::Stickd => Node::stickd("a", &[], &[HaproxyTable::new("t")], true, now),
            };
            let new = net.start("a", node);
            net.do_at(old, |node, now| node.as_model_mut().stop(now));
            net.run(2_000);
            assert!(net.at(old).as_model().is_over(), "{release:?} {successor:?}");
            assert_eq!(
                net.at(new).keys(net.now, 0),
                (1..=300).collect::<Vec<_>>(),
                "{release:?} {successor:?}"
            );
            let left = net.at(new).read(net.now, 0, 7).unwrap().remaining_ms.unwrap();
            // 2.0 has no remaining lifetimes (§8.2).
            let expected = if release == Release::V1_6 { 58_000..60_001 } else { 37_900..38_100 };
            assert!(expected.contains(&left), "{release:?} {successor:?}: {left} ms");
            // Without other peers this project's engine asks nobody else, whatever the end of the lesson says.
            match net.at(new) {
                Node::Model(model) => assert_eq!(model.is_up_to_date(), release != Release::V2_0),
                Node::Stickd(stickd) => assert!(stickd.is_up_to_date()),
            }
        }
    }
}

/// Ids that wrap, through 2^31 and through 2^32, in live push, in lessons and in repetitions.
#[test]
fn ids_may_wrap() {
    for release in [Release::V2_4, Release::V2_8, Release::V3_0, Release::V3_2, Release::V3_5Dev] {
        for other in [Kind::Model(release), Kind::Stickd] {
            for first_update in [(1u32 << 31) - 50, u32::MAX - 50] {
                let mut net = Net::new();
                let mut config = config("a", &["b"], release.quirks());
                config.tables[0].first_update = first_update;
                let a = net.start("a", Node::model(config, net.now));
                let b = start(&mut net, other, "b", &["a"]);
                net.run(15_000);
                let has = |net: &Net<Node>, key| net.gpc0(b, key) == Some(key);
                (1..=30).for_each(|key| net.write(a, key, key));
                net.run(100);
                assert!((1..=30).all(|key| has(&net, key)), "{release:?} {other:?} {first_update}");
                net.is_down = true;
                net.cut();
                (31..=80).for_each(|key| net.write(a, key, key));
                net.run(1_000);
                net.is_down = false;
                net.run(9_000);
                assert!((31..=80).all(|key| has(&net, key)), "{release:?} {other:?} {first_update}");
                net.kill(b);
                let b = start(&mut net, other, "b", &["a"]);
                net.run(9_000);
                let missing: Vec<_> = (1..=80).filter(|key| net.gpc0(b, *key) != Some(*key)).collect();
                assert_eq!(missing, Vec::<u32>::new(), "{release:?} {other:?} {first_update}");
            }
        }
    }
}

/// Each of the two writes keys of its own, while connections break and bytes come in pieces; in the end both know all.
#[test]
fn random_lives_end_alike() {
    for release in Release::ALL {
        for seed in 0..40u64 {
            let mut random = seed * 1_000 + release as u64 + 1;
            let mut below = |bound: u64| {
                random =
                    random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (random >> 33) % bound
            };
            let kinds = [Kind::Model(release), Kind::Stickd];
            let (first, second) = (below(2) as usize, below(2_000));
            let mut net = Net::new();
            net.room = 50 + below(2_000) as usize;
            net.piece = 1 + below(300) as usize;
            let a = start(&mut net, kinds[first], "a", &["b"]);
            net.run(second);
            let b = start(&mut net, kinds[1 - first], "b", &["a"]);
            // Who asks for a lesson again is set back by it to what it said before (peers-protocol §8.3). So both have theirs first.
            net.run(15_000);
            let mut truth = std::collections::BTreeMap::new();
            for value in 0..60 {
                match below(8) {
                    0 => net.cut(),
                    1 => net.is_down = !net.is_down,
                    2..=4 => net.run(below(900)),
                    _ => {
                        let (node, key) = if below(2) == 0 { (a, below(8)) } else { (b, 100 + below(8)) };
                        net.write(node, key as u32, value);
                        truth.insert(key as u32, value);
                    }
                }
            }
            net.is_down = false;
            net.run(25_000);
            for (key, value) in truth {
                let found = [a, b].map(|node| net.gpc0(node, key));
                assert_eq!(found, [Some(value); 2], "{release:?}, seed {seed}, key {key}, {first} {second}");
            }
        }
    }
}
