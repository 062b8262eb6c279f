//! Another aggregate takes the place of one, as the table is defined otherwise by now.

use std::sync::Arc;

use stick_aggregate::{CarryWalk, OwnWalk, Rules, Told};
use stick_table::{DataType, Lifetime, Origin, Value};

use crate::hub::{EXPIRE, Hub};

const NODE: Origin = Origin::peer(1).unwrap();

/// One after another with other columns, that nothing went over to.
fn next(hub: &Hub, columns: &[&str]) -> Hub {
    let next = Hub { now: hub.now, ..Hub::new(columns) };
    hub.aggregate.replace_by(Arc::clone(&next.aggregate));
    next
}

fn carry(hub: &Hub) {
    let mut walk = CarryWalk::default();
    while hub.aggregate.carry_over(&mut walk, 1, hub.now) {}
}

fn gpc0(value: u32) -> (DataType, u32, Value) {
    (DataType::Gpc0, 0, Value::Unsigned(value))
}

fn key_of(value: &str) -> (DataType, u32, Value) {
    (DataType::ServerKey, 0, Value::Dictionary(Some(value.into())))
}

#[test]
fn what_both_store_goes_over() {
    let mut hub = Hub::new(&["gpc0", "gpc1", "server_key"]);
    let gpc1 = |value| (DataType::Gpc1, 0, Value::Unsigned(value));
    hub.tell_as(1, Told::Live, Lifetime::Exactly(20_000), &[gpc0(30), gpc1(1), key_of("s1")]);
    hub.tell(2, &[gpc0(12), gpc1(2), key_of("s2")]);
    hub.pass(1_000);
    let next = next(&hub, &["conn_cnt", "gpc0", "server_key"]);
    assert!(hub.aggregate.is_replaced() && !next.aggregate.is_replaced());
    assert_eq!(next.value(DataType::Gpc0, 0), None, "nothing before it is carried over");
    carry(&hub);
    assert_eq!(next.value(DataType::Gpc0, 0), Some(Value::Unsigned(42)));
    assert_eq!(next.value(DataType::ConnCnt, 0), Some(Value::Unsigned(0)));
    assert_eq!(next.value(DataType::ServerKey, 0), Some(Value::Dictionary(Some("s2".into()))), "told last");
    assert_eq!(next.remaining(), Some(EXPIRE - 1_000));
    let told = next.aggregate.contributions(&Hub::key(0), next.now).unwrap();
    let of = |node: u16| told.iter().find(|told| told.node == Origin::peer(node).unwrap()).unwrap();
    assert_eq!((of(1).remaining, of(2).remaining), (Some(19_000), Some(EXPIRE - 1_000)));
    assert!(
        of(1).values.iter().all(|(data_type, ..)| *data_type != DataType::ConnCnt),
        "it did not tell that"
    );
    carry(&hub);
    assert_eq!(next.aggregate.usage().contributions, 2, "each once");
}

#[test]
fn what_is_told_meanwhile_reaches_both() {
    let mut hub = Hub::new(&["gpc0", "gpc1"]);
    hub.tell(1, &[gpc0(30)]);
    hub.tell(2, &[gpc0(12)]);
    let next = next(&hub, &["gpc0"]);
    hub.tell(1, &[gpc0(31)]);
    assert_eq!(next.number(), Some(31), "what came over is all there is");
    carry(&hub);
    assert_eq!((hub.value(DataType::Gpc0, 0), next.number()), (Some(Value::Unsigned(43)), Some(43)));
    hub.tell(2, &[gpc0(20)]);
    assert_eq!(next.number(), Some(51), "by a session that knows the former one still");
    hub.aggregate.forget(NODE);
    hub.pass(10);
    next.aggregate.refresh(hub.now, 100);
    assert_eq!(next.number(), Some(20));
    hub.aggregate.clear(&Hub::key(0), Lifetime::Exactly(5_000), hub.now).unwrap();
    assert_eq!(next.number(), Some(0));
}

#[test]
fn what_former_processes_told_stays_apart() {
    let hub = Hub::new(&["gpc0", "gpc1"]);
    hub.tell(1, &[gpc0(80)]);
    hub.tell(2, &[gpc0(1_000)]);
    hub.restart(1);
    hub.tell(1, &[gpc0(5)]);
    let next = next(&hub, &["gpc0"]);
    carry(&hub);
    assert_eq!(next.number(), Some(1_085));
    next.tell(1, &[gpc0(6)]);
    assert_eq!(next.number(), Some(1_086), "it counts on beside the former one");
    // A session that begins while both are there.
    hub.restart(2);
    next.tell(2, &[gpc0(1)]);
    assert_eq!(next.number(), Some(1_087));
    let mut own = Vec::new();
    let mut walk = OwnWalk::default();
    while next.aggregate.own_values(NODE, &mut walk, 10, next.now, |it| own.push(it.words()[0])) {}
    assert_eq!(own, [86]);
    hub.aggregate.taught(NODE);
    next.tell(1, &[gpc0(3)]);
    assert_eq!(next.number(), Some(1_004), "it was taught, so it knows");
}

#[test]
fn keys_of_another_type_stay_behind() {
    let hub = Hub::new(&["gpc0"]);
    hub.tell(1, &[gpc0(80)]);
    let other = Arc::clone(&Hub::with_rules(&["gpc1"], &Rules::default()).aggregate);
    assert!(!hub.aggregate.replace_by(other), "nothing in common");
    assert!(!hub.aggregate.is_replaced());
    carry(&hub);
}
