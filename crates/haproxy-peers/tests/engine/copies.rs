//! What `write-to` copies into another table, and who is told of the copy (peers-protocol §16).

use std::sync::Arc;

use haproxy_peers::Control;
use stick_table::{DataType, Origins, Table, TableDefinition, Value};

use crate::sharing::{connected, integers, say_update, values};
use crate::support::{Script, Setup, World};

/// peers-protocol §16: `write-to`.
#[test]
fn write_to_copies_as_is_types_and_is_not_pushed() {
    let columns = ["server_id", "gpt0", "gpc0", "server_key"];
    let target: Arc<Table> = Table::new(integers("copy", &columns), 1).unwrap().into();
    let source = integers("t", &columns);
    let setup = Setup::new("n")
        .peer("h")
        .table_and_copy(Table::new(source.clone(), 2).unwrap().into(), Some(Arc::clone(&target)))
        .table_and_copy(Arc::clone(&target), None);
    let (mut world, mut peer) = connected(setup);
    peer.define(&mut world, 1, &source);
    say_update(&mut world, &mut peer, 1, 1, &[1, 2, 3, 6, 1, 4, b's', b'r', b'v', b'1']);
    let number = |place, data_type| values(&world, place, data_type, 0, &[1])[0].clone().unwrap();
    let string = Value::Dictionary(Some("srv1".into()));
    assert_eq!(number(0, DataType::Gpc0), Value::Unsigned(3));
    assert_eq!([DataType::Gpt0, DataType::Gpc0].map(|it| number(1, it)), [2, 0].map(Value::Unsigned));
    assert_eq!((number(1, DataType::ServerId), number(1, DataType::ServerKey)), (Value::Signed(1), string));
    assert_eq!(peer.news(&mut world), ["ack 1 1"]);
}

/// A table of tags, of which one is copied: entries do not end, as the clocks of two nodes of a test differ.
fn tags(name: &str) -> TableDefinition {
    integers(name, &["gpt0"]).with_expire(None)
}

/// The peer told of the table that is copied, and nothing of the copy.
#[test]
fn a_copy_of_what_a_peer_told_is_taught_to_that_peer() {
    let copy: Arc<Table> = Table::new(tags("copy"), 1).unwrap().into();
    let setup = Setup::new("n")
        .peer("h")
        .table_and_copy(Table::new(tags("t"), 2).unwrap().into(), Some(Arc::clone(&copy)))
        .table_and_copy(copy, None);
    let (mut world, mut peer) = connected(setup);
    peer.define(&mut world, 1, &tags("t"));
    say_update(&mut world, &mut peer, 1, 1, &[7]);
    peer.take(&mut world);
    peer.control(&mut world, Control::ResyncRequest);
    assert_eq!(peer.news(&mut world), ["copy 1 1 7", "finished"]);
}

/// A section whose table is copied to that of another section of the process.
#[test]
fn a_copy_reaches_all_peers_of_another_section() {
    for relays in [false, true] {
        let origins = Origins::shared();
        let target: Arc<Table> = Table::new(tags("t"), 1).unwrap().into();
        let source = Table::new(tags("t"), 2).unwrap().into();
        let mut world = World::new(1);
        let from = Setup::new("a").peer("a1").origins(&origins);
        world.add(from.table_and_copy(source, Some(Arc::clone(&target))));
        let to = Setup::new("b").peer("b1").peer("b2").origins(&origins).table_and_copy(target, None);
        world.add(if relays { to.relay() } else { to });
        let mut peers = [(0, "a1"), (1, "b1"), (1, "b2")].map(|(node, name)| {
            let mut peer = Script::call(&mut world, node, name, "2.1");
            peer.control(&mut world, Control::ResyncFinished);
            peer
        });
        world.run(2_000);
        peers[0].define(&mut world, 1, &tags("t"));
        say_update(&mut world, &mut peers[0], 1, 1, &[7]);
        for peer in &mut peers[1..] {
            let live = peer.news(&mut world);
            assert_eq!(live.iter().any(|line| line == "t 1 1 7"), relays, "{live:?}");
            peer.control(&mut world, Control::ResyncRequest);
            let lesson = peer.news(&mut world);
            assert!(lesson.iter().any(|line| line.ends_with(" 1 7")), "{lesson:?}");
        }
    }
}

/// A lesson fills gaps, in a copy too: nobody knows how old it is.
#[test]
fn a_lesson_does_not_overwrite_a_copy_of_what_another_peer_told() {
    let copy: Arc<Table> = Table::new(tags("copy"), 1).unwrap().into();
    let setup = Setup::new("n")
        .peer("h")
        .peer("i")
        .table_and_copy(Table::new(tags("t"), 2).unwrap().into(), Some(Arc::clone(&copy)))
        .table_and_copy(copy, None);
    let (mut world, mut peer) = connected(setup);
    peer.define(&mut world, 1, &tags("t"));
    say_update(&mut world, &mut peer, 1, 1, &[7]);
    let mut other = Script::call(&mut world, 0, "i", "2.1");
    assert!(other.news(&mut world).contains(&"request".to_owned()));
    other.define(&mut world, 1, &tags("t"));
    say_update(&mut world, &mut other, 1, 1, &[6]);
    say_update(&mut world, &mut other, 2, 2, &[6]);
    other.control(&mut world, Control::ResyncFinished);
    for place in 0..2 {
        let tags = values(&world, place, DataType::Gpt0, 0, &[1, 2]);
        assert_eq!(tags, [7, 6].map(|tag| Some(Value::Unsigned(tag))), "{place}");
    }
}
