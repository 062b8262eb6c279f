//! Malformed and unknown messages (peers-protocol §4, §6, §14.1).

use haproxy_peers::{Control, DecodeErrorKind, EndReason, SessionError, SessionEvent};

use crate::support::{Script, Setup, World, control, counters, gpc0, update, with_payload};

fn connected(seed: u64) -> (World, usize, Script) {
    let mut world = World::new(seed);
    let node = world.add(Setup::new("n").peer("h").table(counters("t")));
    let mut peer = Script::call(&mut world, node, "h", "2.1");
    peer.control(&mut world, Control::ResyncFinished);
    peer.define(&mut world, 1, &counters("t"));
    peer.take(&mut world);
    (world, node, peer)
}

/// Malformed bytes, the offset of the error after what came before, what is wrong, and what the peer is told.
type Malformed = (Vec<u8>, u64, fn(DecodeErrorKind) -> bool, [u8; 2]);

fn malformed() -> Vec<Malformed> {
    vec![
        (vec![255, 0], 0, |kind| kind == DecodeErrorKind::ReservedClass, [1, 0]),
        (
            vec![10, 0x80, 0xff, 0xff, 0xff, 0xff, 0xff],
            2,
            |kind| kind == DecodeErrorKind::LengthTooLong,
            [1, 0],
        ),
        // 16 385 bytes: one more than tune.bufsize.
        (
            vec![10, 0x80, 0xf1, 0xf1, 0x06],
            2,
            |kind| matches!(kind, DecodeErrorKind::PayloadTooLarge { .. }),
            [1, 1],
        ),
        (
            with_payload(0, 0x90, &[0; 4]).into_iter().chain([255, 128]).collect(),
            7,
            |kind| kind == DecodeErrorKind::ReservedClass,
            [1, 0],
        ),
        // No id, no key, no values; an unending varint; one over 64 bits.
        (
            with_payload(10, 0x80, &[0, 0, 1]),
            3,
            |kind| matches!(kind, DecodeErrorKind::Truncated { .. }),
            [1, 0],
        ),
        (
            with_payload(10, 0x81, &[0, 0, 1]),
            3,
            |kind| matches!(kind, DecodeErrorKind::Truncated { .. }),
            [1, 0],
        ),
        (
            with_payload(10, 0x81, &[0, 0, 0, 1]),
            7,
            |kind| matches!(kind, DecodeErrorKind::Truncated { .. }),
            [1, 0],
        ),
        (
            with_payload(10, 0x81, &[0, 0, 0, 1, 0xff]),
            7,
            |kind| matches!(kind, DecodeErrorKind::Truncated { .. }),
            [1, 0],
        ),
        (
            with_payload(10, 0x81, &[[0, 0, 0, 1].as_slice(), &[0xff; 11]].concat()),
            7,
            |kind| matches!(kind, DecodeErrorKind::VarintTooLong { .. }),
            [1, 0],
        ),
        (
            with_payload(10, 0x81, &[[0, 0, 0, 1].as_slice(), &[0xff; 9], &[0x7f]].concat()),
            7,
            |kind| matches!(kind, DecodeErrorKind::VarintOverflow { .. }),
            [1, 0],
        ),
        // Dictionary ids 0 and 129, an announcement longer than the payload (peers-protocol §10).
        (
            with_payload(10, 0x81, &[0, 0, 0, 1, 1, 1, 0]),
            9,
            |kind| kind == DecodeErrorKind::DictionaryId { id: 0 },
            [1, 0],
        ),
        (
            with_payload(10, 0x81, &[0, 0, 0, 1, 1, 1, 129]),
            9,
            |kind| kind == DecodeErrorKind::DictionaryId { id: 129 },
            [1, 0],
        ),
        (
            with_payload(10, 0x81, &[0, 0, 0, 1, 1, 9, 1, 7, 65]),
            9,
            |kind| matches!(kind, DecodeErrorKind::Truncated { .. }),
            [1, 0],
        ),
        // Definitions (peers-protocol §7.3), acknowledgement, switch.
        (with_payload(10, 0x82, &[]), 3, |kind| matches!(kind, DecodeErrorKind::Truncated { .. }), [1, 0]),
        (with_payload(10, 0x82, &[1, 0, 2, 4, 0]), 4, |kind| kind == DecodeErrorKind::EmptyTableName, [1, 0]),
        (
            with_payload(10, 0x82, &[1, 1, b't']),
            4,
            |kind| matches!(kind, DecodeErrorKind::TableNameReachesEnd { .. }),
            [1, 0],
        ),
        (
            with_payload(10, 0x82, &[1, 1, b't', 2]),
            7,
            |kind| matches!(kind, DecodeErrorKind::Truncated { .. }),
            [1, 0],
        ),
        (
            with_payload(10, 0x84, &[1, 0, 0, 0]),
            4,
            |kind| matches!(kind, DecodeErrorKind::Truncated { .. }),
            [1, 0],
        ),
        (with_payload(10, 0x83, &[]), 3, |kind| matches!(kind, DecodeErrorKind::Truncated { .. }), [1, 0]),
    ]
}

#[test]
fn malformed_input_is_told_and_what_came_before_it_stays() {
    for (number, (bytes, at, is_it, told)) in malformed().into_iter().enumerate() {
        for seed in 0..5 {
            let (mut world, node, mut peer) = connected(seed);
            let before = world.sessions(node).next().unwrap().counters().bytes_received;
            let first = update(Some(1), None, 1, 42);
            let offset = before + first.len() as u64 + at;
            peer.say(&mut world, &[first, bytes.clone(), update(None, None, 2, 43)].concat());
            let answer = peer.take(&mut world);
            assert_eq!(answer[answer.len() - 2..], told, "case {number}");
            assert!(peer.is_closed(&world), "case {number}");
            let EndReason::Error(SessionError::Malformed(error)) = &world.nodes[node].ended[0] else {
                panic!("case {number}: {:?}", world.nodes[node].ended)
            };
            assert!(is_it(error.kind), "case {number}: {error}");
            assert_eq!(error.offset, offset, "case {number}: {error}");
            assert_eq!(gpc0(&world, node, 1).unwrap().0, 42, "case {number}");
            assert_eq!(gpc0(&world, node, 2), None, "case {number}");
            assert_eq!(world.nodes[node].section.view(world.now).peers[1].counters.protocol_errors, 1);
        }
    }
}

/// peers-protocol §4: unknown classes and types, and the error class, are ignored.
#[test]
fn unknown_messages_are_ignored() {
    let (mut world, node, mut peer) = connected(1);
    let unknown = [
        vec![0, 5, 0, 77, 2, 0, 99, 127, 10, 0, 10, 127, 254, 3],
        with_payload(0, 200, &[1; 300]),
        with_payload(10, 0x87, &[]),
        with_payload(10, 0xff, &[9; 5_000]),
        with_payload(33, 0x80, &[0xff; 16_384]),
        vec![1, 7],
        vec![1, 0],
        vec![1, 1],
        update(Some(1), None, 1, 5),
    ];
    peer.say(&mut world, &unknown.concat());
    assert_eq!(peer.heard(&mut world).last().unwrap(), "ack 1 1");
    assert_eq!(gpc0(&world, node, 1).unwrap().0, 5);
    let reports =
        |size_limit| world.nodes[node].count(|event| *event == SessionEvent::PeerReportsError { size_limit });
    assert_eq!((reports(false), reports(true)), (1, 1), "a repetition is not reported");
}

/// peers-protocol §8.3, §11.2: updates without a table are ignored, and not acknowledged.
#[test]
fn updates_without_a_table_are_ignored() {
    let (mut world, node, mut peer) = connected(1);
    peer.define(&mut world, 2, &counters("unknown"));
    peer.update(&mut world, Some(1), None, 1, 5);
    peer.say(&mut world, &with_payload(10, 0x83, &[9]));
    peer.update(&mut world, Some(2), None, 1, 5);
    assert_eq!((gpc0(&world, node, 1), peer.heard(&mut world)), (None, vec![]));
    peer.say(&mut world, &with_payload(10, 0x83, &[1]));
    peer.update(&mut world, Some(3), None, 1, 6);
    assert_eq!((gpc0(&world, node, 1).unwrap().0, peer.heard(&mut world)), (6, vec!["ack 1 3".to_owned()]));
    assert_eq!(world.sessions(node).next().unwrap().received().ignored_updates, 2);
}

/// peers-protocol §4: trailing bytes of a payload are ignored.
#[test]
fn what_follows_the_last_field_is_ignored() {
    let (mut world, node, mut peer) = connected(1);
    peer.say(&mut world, &with_payload(10, 0x80, &[0, 0, 0, 1, 0, 0, 0, 1, 7, 0, 255, 255, 255]));
    peer.say(&mut world, &with_payload(10, 0x84, &[1, 0, 0, 0, 0, 9, 9]));
    peer.say(&mut world, &control(Control::Heartbeat));
    assert_eq!(gpc0(&world, node, 1).unwrap().0, 7);
    assert!(!peer.is_closed(&world));
}

/// Events are bounded, but not at the cost of those that the section waits for.
#[test]
fn a_flood_of_error_messages_does_not_hide_the_end_of_a_lesson() {
    let mut world = World::new(1);
    let node = world.add(Setup::new("n").peer("h").table(counters("t")));
    let mut peer = Script::call(&mut world, node, "h", "2.1");
    world.split = false;
    peer.say(&mut world, &[[1, 0].repeat(2_000), control(Control::ResyncFinished)].concat());
    assert!(world.nodes[node].section.is_up_to_date());
    assert!(world.nodes[node].events.len() < 300);
}
