//! A hub whose nodes define their tables otherwise in the course of time.

use haproxy_peers::{Control, Order};
use stick_table::{DataType, KeyType, TableDefinition, Value};

use crate::hub::{setup, updates};
use crate::support::{Script, World, table, with_payload};

/// What a hub does every 100 ms.
fn refresh(world: &World, node: usize) {
    let (node, now) = (&world.nodes[node], world.nodes[node].clock(world.now));
    while node.tables.follow_definitions(now, 2) {}
    node.tables.aggregates().iter().for_each(|aggregate| _ = aggregate.refresh(now, 1_000));
}

/// Time passes, and nodes give signs of life.
fn pass(world: &mut World, node: usize, peers: &mut [&mut Script], ms: u64) {
    for _ in 0..ms / 100 {
        refresh(world, node);
        peers.iter_mut().for_each(|peer| peer.control(world, Control::Heartbeat));
        world.run(100);
    }
}

fn counted(columns: &[&str]) -> TableDefinition {
    table("t", KeyType::Integer, 60_000, columns)
}

/// A node connects, ends the lesson that it is asked for, and defines its table.
fn join(world: &mut World, node: usize, name: &str, columns: &[&str]) -> Script {
    let mut peer = Script::call(world, node, name, "2.1");
    peer.define(world, 1, &counted(columns));
    peer.control(world, Control::ResyncFinished);
    peer.heard(world);
    peer
}

/// An update with values of one byte each.
fn tell(world: &mut World, peer: &mut Script, id: u8, key: u8, values: &[u8]) {
    let head = [0, 0, 0, id, 0, 0, 0, key];
    peer.say(world, &with_payload(10, 0x80, &[&head[..], values].concat()));
}

fn reasons(world: &World, node: usize) -> Vec<&'static str> {
    let state = world.nodes[node].section.hub_state(true);
    assert_eq!(state.is_complete(), state.left_out.is_empty() && state.nodes == state.expected);
    state.left_out.iter().map(|it| it.reason.word()).collect()
}

/// What the hub publishes of a key.
fn sum(world: &World, node: usize, key: u32, data_type: DataType) -> Option<Value> {
    let (node, now) = (&world.nodes[node], world.nodes[node].clock(world.now));
    let output = node.tables.aggregates()[0].output().clone();
    output.get(&key.to_be_bytes(), now, |entry| entry.value(data_type, 0)).unwrap().flatten()
}

fn contributions(world: &World, node: usize, key: u32) -> usize {
    let (node, now) = (&world.nodes[node], world.nodes[node].clock(world.now));
    let sums = node.tables.aggregates();
    assert_eq!(sums.len(), 1);
    sums[0].contributions(&key.to_be_bytes(), now).unwrap().len()
}

/// A node answers the requests for lessons that it got, if any.
fn answer(world: &mut World, peer: &mut Script, columns: &[&str], rows: &[(u8, u8, &[u8])]) -> bool {
    let asked = peer.heard(world).contains(&"request".to_owned());
    if asked {
        peer.define(world, 1, &counted(columns));
        for (id, key, values) in rows {
            let head = [0, 0, 0, *id, 0, 0, 0xc3, 0x50, 0, 0, 0, *key];
            peer.say(world, &with_payload(10, 0x85, &[&head[..], values].concat()));
        }
        peer.control(world, Control::ResyncFinished);
    }
    asked
}

const OLD: &[&str] = &["gpc0", "gpc1"];
const NEW: &[&str] = &["gpc0", "http_req_cnt"];

#[test]
fn a_definition_that_no_node_has_any_more_gives_way_and_values_stay() {
    let mut world = World::new(1);
    let node = world.add(setup(&["a", "b", "c"]));
    let [mut a, mut b, mut c] = ["a", "b", "c"].map(|name| join(&mut world, node, name, OLD));
    tell(&mut world, &mut a, 1, 1, &[10, 1]);
    tell(&mut world, &mut b, 1, 1, &[20, 2]);
    tell(&mut world, &mut c, 1, 1, &[7, 3]);
    pass(&mut world, node, &mut [&mut a, &mut b, &mut c], 500);
    assert_eq!(updates(&mut world, &mut a).last().unwrap(), "t.agg 3 1 37 6");
    assert_eq!(reasons(&world, node), [""; 0]);
    // c is away, and counts still. The others are reloaded with another table, one after the other.
    c.close(&mut world);
    pass(&mut world, node, &mut [&mut a, &mut b], 500);
    a.close(&mut world);
    world.run(200);
    let mut a = join(&mut world, node, "a", NEW);
    pass(&mut world, node, &mut [&mut a, &mut b], 1_000);
    assert_eq!(reasons(&world, node), ["differs"]);
    b.close(&mut world);
    world.run(200);
    let mut b = join(&mut world, node, "b", NEW);
    pass(&mut world, node, &mut [&mut a, &mut b], 1_000);
    assert_eq!(reasons(&world, node), ["differs", "differs"], "c defines it as before");
    assert_eq!(contributions(&world, node, 1), 3);
    // c comes back with the new table: nobody has the old one.
    let mut c = join(&mut world, node, "c", NEW);
    pass(&mut world, node, &mut [&mut a, &mut b, &mut c], 300);
    assert!(!reasons(&world, node).is_empty(), "they have yet to tell the new column");
    assert_eq!(contributions(&world, node, 1), 3, "what stays the same went over");
    assert_eq!(sum(&world, node, 1, DataType::Gpc0), Some(Value::Unsigned(37)));
    let values: [&[u8]; 3] = [&[11, 4], &[21, 5], &[8, 6]];
    let mut asked = [false; 3];
    for _ in 0..300 {
        pass(&mut world, node, &mut [&mut a, &mut b, &mut c], 100);
        for (place, peer) in [&mut a, &mut b, &mut c].into_iter().enumerate() {
            asked[place] |= answer(&mut world, peer, NEW, &[(9, 1, values[place])]);
        }
        if reasons(&world, node).is_empty() {
            break;
        }
    }
    assert_eq!((asked, reasons(&world, node)), ([true; 3], vec![]));
    pass(&mut world, node, &mut [&mut a, &mut b, &mut c], 200);
    assert_eq!(sum(&world, node, 1, DataType::Gpc0), Some(Value::Unsigned(40)));
    assert_eq!(sum(&world, node, 1, DataType::HttpReqCnt), Some(Value::Unsigned(15)));
    assert_eq!(sum(&world, node, 1, DataType::Gpc1), None, "no node has it");
    tell(&mut world, &mut a, 10, 1, &[12, 4]);
    pass(&mut world, node, &mut [&mut a, &mut b, &mut c], 200);
    assert!(updates(&mut world, &mut b).last().unwrap().ends_with(" 1 41 15"), "pushed as it is defined now");
}

#[test]
fn a_column_that_no_node_stores_any_more_goes() {
    let mut world = World::new(1);
    let node = world.add(setup(&["a"]));
    let mut a = join(&mut world, node, "a", OLD);
    tell(&mut world, &mut a, 1, 1, &[10, 1]);
    pass(&mut world, node, &mut [&mut a], 200);
    a.close(&mut world);
    world.run(200);
    let mut a = join(&mut world, node, "a", &["gpc0"]);
    let mut is_told = false;
    for _ in 0..100 {
        pass(&mut world, node, &mut [&mut a], 100);
        is_told |= answer(&mut world, &mut a, &["gpc0"], &[(2, 1, &[12])]);
        if is_told && reasons(&world, node).is_empty() {
            break;
        }
    }
    assert!(is_told && reasons(&world, node).is_empty(), "{:?}", reasons(&world, node));
    let sum = &world.nodes[node].tables.aggregates()[0];
    assert_eq!([sum.source(), sum.output().definition()].map(|table| table.columns().len()), [1, 1]);
    tell(&mut world, &mut a, 3, 1, &[13]);
    pass(&mut world, node, &mut [&mut a], 200);
    assert!(updates(&mut world, &mut a).last().unwrap().ends_with(" 1 13"));
}

/// The process before the hub's tells its results as they were defined then. No node defines them so by now.
#[test]
fn a_definition_that_only_the_process_before_has_does_not_stay() {
    let mut world = World::new(1);
    let node = world.add(setup(&["a"]).expects_predecessor());
    let mut before = Script::predecessor(&mut world, node);
    let mut result = counted(OLD);
    result.name = "t.agg".to_owned();
    before.define(&mut world, 1, &result);
    tell(&mut world, &mut before, 1, 1, &[10, 1]);
    before.control(&mut world, Control::ResyncFinished);
    before.close(&mut world);
    world.run(100);
    let mut a = join(&mut world, node, "a", NEW);
    for _ in 0..200 {
        pass(&mut world, node, &mut [&mut a], 100);
        answer(&mut world, &mut a, NEW, &[(2, 2, &[12, 3])]);
        if reasons(&world, node).is_empty() {
            break;
        }
    }
    assert_eq!(reasons(&world, node), [""; 0]);
    assert_eq!(sum(&world, node, 2, DataType::HttpReqCnt), Some(Value::Unsigned(3)));
    let kept = sum(&world, node, 1, DataType::Gpc0);
    assert_eq!(kept, Some(Value::Unsigned(10)), "what the process before told of it");
    assert_eq!(sum(&world, node, 1, DataType::Gpc1), None);
}

/// A new process of a node that has nothing to tell says nothing of its tables. Where another node defines them otherwise it is
/// asked.
#[test]
fn a_node_that_is_silent_is_asked_how_it_defines_its_tables() {
    let mut world = World::new(1);
    let node = world.add(setup(&["a", "b"]));
    let [mut a, mut b] = ["a", "b"].map(|name| join(&mut world, node, name, OLD));
    pass(&mut world, node, &mut [&mut a, &mut b], 200);
    b.close(&mut world);
    world.run(200);
    let mut b = Script::call(&mut world, node, "b", "2.1");
    pass(&mut world, node, &mut [&mut a, &mut b], 2_000);
    assert!(!b.heard(&mut world).contains(&"request".to_owned()), "all agree, as far as is known");
    a.close(&mut world);
    world.run(200);
    let mut a = join(&mut world, node, "a", NEW);
    for _ in 0..200 {
        pass(&mut world, node, &mut [&mut a, &mut b], 100);
        [&mut a, &mut b].into_iter().for_each(|peer| _ = answer(&mut world, peer, NEW, &[]));
        if reasons(&world, node).is_empty() {
            break;
        }
    }
    assert_eq!(reasons(&world, node), [""; 0]);
}

/// A hub above knows the result by its former definition, and calls its sums incomplete until it hears of the present one.
#[test]
fn a_changed_table_is_announced_though_there_is_nothing_in_it() {
    let mut world = World::new(1);
    let node = world.add(setup(&["a"]));
    let mut a = join(&mut world, node, "a", OLD);
    tell(&mut world, &mut a, 1, 1, &[10, 1]);
    pass(&mut world, node, &mut [&mut a], 200);
    a.close(&mut world);
    world.run(200);
    let mut a = Script::call(&mut world, node, "a", "2.1");
    a.define(&mut world, 1, &table("t", KeyType::Ip, 60_000, OLD));
    a.control(&mut world, Control::ResyncFinished);
    let mut heard = Vec::new();
    for _ in 0..50 {
        pass(&mut world, node, &mut [&mut a], 100);
        heard.extend(a.heard(&mut world));
    }
    let announced = heard.iter().filter(|line| *line == "define 1 t.agg").count();
    assert_eq!(announced, 2, "as it was, with its entry, and as it is now: {heard:?}");
}

#[test]
fn what_an_upper_hub_defines_otherwise_is_passed_on_so() {
    let mut world = World::new(1);
    let mappings = vec![haproxy_peers::Mapping { from: Some(".local".to_owned()), to: ".aggr".to_owned() }];
    let hub = haproxy_peers::Hub { mappings, ..crate::hub::hub() };
    let node = world.add(crate::support::Setup::new("h").hub(hub).peer("a").peer_above("up"));
    let of = |columns: &[&str]| {
        let mut table = counted(columns);
        table.name = "t.l2".to_owned();
        table
    };
    let [mut a, mut up] = ["a", "up"].map(|name| {
        let mut peer = Script::call(&mut world, node, name, "2.1");
        peer.control(&mut world, Control::ResyncFinished);
        peer.heard(&mut world);
        peer
    });
    up.define(&mut world, 1, &of(OLD));
    tell(&mut world, &mut up, 1, 1, &[10, 1]);
    pass(&mut world, node, &mut [&mut a, &mut up], 200);
    assert_eq!(updates(&mut world, &mut a), ["t.l2 1 1 10 1"]);
    up.heard(&mut world);
    up.define(&mut world, 1, &of(NEW));
    pass(&mut world, node, &mut [&mut a, &mut up], 7_000);
    assert!(up.heard(&mut world).contains(&"request".to_owned()), "it is asked for the new column");
    let heard = updates(&mut world, &mut a);
    assert!(heard.len() == 1 && heard[0].starts_with("t.l2 2 1 10 0"), "{heard:?}");
    up.define(&mut world, 1, &of(NEW));
    tell(&mut world, &mut up, 2, 1, &[11, 5]);
    pass(&mut world, node, &mut [&mut a, &mut up], 200);
    assert_eq!(updates(&mut world, &mut a), ["t.l2 3 1 11 5"]);
}

/// Each set of data types that nodes are told to set needs a table on the wire. One that is idle is used again.
#[test]
fn sets_of_data_types_that_are_idle_are_used_again() {
    let mut world = World::new(1);
    let node = world.add(setup(&["a"]));
    let columns = ["gpc0", "gpc1", "gpt0", "conn_cnt", "sess_cnt"];
    let mut a = join(&mut world, node, "a", &columns);
    tell(&mut world, &mut a, 1, 1, &[1, 1, 1, 1, 1]);
    pass(&mut world, node, &mut [&mut a], 200);
    let types: Vec<DataType> = columns.iter().map(|name| DataType::from_name(name).unwrap()).collect();
    let set = |world: &mut World, bits: usize| {
        let values = types.iter().enumerate().filter(|(bit, _)| bits >> bit & 1 != 0);
        let values = values.map(|(_, data_type)| (*data_type, 0, Value::Unsigned(bits as u32)));
        let values: Vec<_> = values.collect();
        let hub = &world.nodes[node];
        let nodes = vec![hub.section.view(0).peers[1].origin];
        let orders = hub.tables.orders(&hub.tables.aggregates()[0], nodes, Order::Set(&values));
        orders.map(|orders| orders.give(&1_u32.to_be_bytes(), hub.clock(world.now)).unwrap())
    };
    let mut refused = 0;
    for bits in 1..=31 {
        refused += usize::from(set(&mut world, bits).is_err());
    }
    assert_eq!(refused, 14, "17 at a time");
    let tables = world.nodes[node].tables.len();
    pass(&mut world, node, &mut [&mut a], 7_000);
    let now = world.nodes[node].clock(world.now);
    world.nodes[node].tables.all().iter().for_each(|it| _ = it.table().sweep(1_000, now));
    a.heard(&mut world);
    for bits in 20..=31 {
        assert_eq!(set(&mut world, bits), Ok(()), "{bits:b}");
    }
    assert_eq!(world.nodes[node].tables.len(), tables, "no more tables than before");
    pass(&mut world, node, &mut [&mut a], 200);
    let heard = updates(&mut world, &mut a);
    assert!(
        heard.iter().any(|line| line.starts_with("t ") && line.ends_with(" 1 31 31 31 31 31")),
        "{heard:?}"
    );
}
