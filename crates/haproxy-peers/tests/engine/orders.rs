//! What a hub lets all nodes do with their own entries.

use haproxy_peers::{Control, ORDER_MS, Order, OrderError};
use stick_table::{DataType, Origin, Value};

use crate::hub::{join, setup, updates};
use crate::support::{Script, World};

const KEY: [u8; 4] = 1_u32.to_be_bytes();

/// Two nodes that told 20 and 30 of a key, and read the sum.
fn fifty() -> (World, usize, [Script; 2]) {
    let mut world = World::new(1);
    let node = world.add(setup(&["a", "b"]));
    let mut peers = ["a", "b"].map(|name| join(&mut world, node, name));
    for (peer, count) in peers.iter_mut().zip([20, 30]) {
        peer.update(&mut world, Some(1), None, 1, count);
    }
    world.run(10);
    for peer in &mut peers {
        peer.heard(&mut world);
    }
    (world, node, peers)
}

fn order(world: &mut World, node: usize, order: Order<'_>) -> Result<(), OrderError> {
    let now = world.nodes[node].clock(world.now);
    let tables = &world.nodes[node].tables;
    let sum = tables.aggregates().remove(0);
    tables.orders(&sum, Vec::new(), order)?.give(&KEY, now)?;
    world.run(10);
    Ok(())
}

#[test]
fn clearing_lets_the_values_of_all_nodes_end_and_the_sum_with_them() {
    let (mut world, node, mut peers) = fifty();
    order(&mut world, node, Order::Clear).unwrap();
    for peer in &mut peers {
        let lines = updates(&mut world, peer);
        assert!(lines.contains(&format!("t 1 1 0 left={ORDER_MS}")), "{lines:?}");
        assert_eq!(lines.iter().rfind(|line| line.starts_with("t.agg")).unwrap(), "t.agg 3 1 0 left=6000");
    }
    // Who counts on counts alone.
    let [a, b] = &mut peers;
    a.update(&mut world, Some(2), None, 1, 1);
    world.run(10);
    assert_eq!(updates(&mut world, b), ["t.agg 4 1 1"]);
    world.run(u64::from(ORDER_MS));
    let sum = world.nodes[node].tables.aggregates().remove(0);
    let known = sum.contributions(&KEY, world.nodes[node].clock(world.now)).unwrap();
    assert_eq!(known.len(), 1, "{known:?}");
}

/// What its former process told is added to what a node tells, until it is cleared.
#[test]
fn clearing_ends_what_a_former_process_told_too() {
    let (mut world, node, [mut a, mut b]) = fifty();
    a.close(&mut world);
    world.run(500);
    let mut again = join(&mut world, node, "a");
    again.update(&mut world, Some(1), None, 1, 1);
    world.run(10);
    assert_eq!(updates(&mut world, &mut b).last().unwrap(), "t.agg 3 1 51");
    order(&mut world, node, Order::Clear).unwrap();
    again.update(&mut world, Some(2), None, 1, 2);
    world.run(10);
    assert_eq!(updates(&mut world, &mut b).last().unwrap(), "t.agg 5 1 2");
}

#[test]
fn setting_counts_for_each_node_and_tells_no_lifetime() {
    let (mut world, node, mut peers) = fifty();
    order(&mut world, node, Order::Set(&[(DataType::Gpc0, 0, Value::Unsigned(7))])).unwrap();
    for peer in &mut peers {
        let lines = updates(&mut world, peer);
        assert_eq!(lines.iter().rfind(|line| line.starts_with("t ")).unwrap(), "t 1 1 7");
        assert_eq!(lines.iter().rfind(|line| line.starts_with("t.agg")).unwrap(), "t.agg 3 1 14");
    }
}

#[test]
fn a_process_that_comes_later_is_not_taught_orders() {
    let (mut world, node, [mut a, _b]) = fifty();
    order(&mut world, node, Order::Set(&[(DataType::Gpc0, 0, Value::Unsigned(7))])).unwrap();
    a.close(&mut world);
    world.run(u64::from(ORDER_MS));
    let mut again = join(&mut world, node, "a");
    again.control(&mut world, Control::ResyncRequest);
    again.control(&mut world, Control::ResyncFinished);
    world.run(10);
    let mut taught = updates(&mut world, &mut again);
    again.control(&mut world, Control::ResyncConfirm);
    world.run(10);
    taught.extend(updates(&mut world, &mut again));
    let own: Vec<_> = taught.iter().filter(|line| line.starts_with("t ")).collect();
    assert!(own.len() == 1 && own[0].contains(" 1 7 left="), "its own value, once: {taught:?}");
}

#[test]
fn what_cannot_be_told_is_refused_and_changes_nothing() {
    let (mut world, node, mut peers) = fifty();
    let before = world.nodes[node].tables.len();
    for (data_type, value) in
        [(DataType::ConnCnt, Value::Unsigned(1)), (DataType::ServerKey, Value::Dictionary(None))]
    {
        assert_eq!(
            order(&mut world, node, Order::Set(&[(data_type, 0, value)])),
            Err(OrderError::NotSettable(data_type))
        );
    }
    assert_eq!(world.nodes[node].tables.len(), before);
    assert!(peers.iter_mut().all(|peer| updates(&mut world, peer).is_empty()));
    // The tables of orders are nobody's, and take nothing of the limits.
    let usage = world.nodes[node].tables.dynamic_usage();
    order(&mut world, node, Order::Clear).unwrap();
    let after = world.nodes[node].tables.dynamic_usage();
    assert_eq!((after.tables, after.refused), (usage.tables, usage.refused));
    assert!(after.bytes <= usage.bytes, "what is cleared takes less: {after:?} {usage:?}");
    assert_eq!(world.nodes[node].tables.len(), before + 1);
    order(&mut world, node, Order::Clear).unwrap();
    assert_eq!(world.nodes[node].tables.len(), before + 1, "one for all of one kind");
    assert!(!updates(&mut world, &mut peers[0]).is_empty());
}

#[test]
fn a_node_without_the_key_is_told_and_counted() {
    let (mut world, node, mut peers) = fifty();
    let now = world.nodes[node].clock(world.now);
    let tables = &world.nodes[node].tables;
    let sum = tables.aggregates().remove(0);
    let key = 9_u32.to_be_bytes();
    let values = [(DataType::Gpc0, 0, Value::Unsigned(4))];
    let orders = tables.orders(&sum, vec![Origin::peer(1).unwrap()], Order::Set(&values)).unwrap();
    orders.give(&key, now).unwrap();
    assert_eq!(sum.contributions(&key, now).unwrap().len(), 1);
    world.run(10);
    let lines = updates(&mut world, &mut peers[0]);
    assert!(lines.contains(&"t 1 9 4".to_owned()) && lines.contains(&"t.agg 3 9 4".to_owned()), "{lines:?}");
}
