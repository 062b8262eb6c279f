//! A node's process goes, and another one comes.

use stick_aggregate::{OwnWalk, Rule, Rules, Told};
use stick_table::{DataType, FrequencyCounter, Lifetime, Origin, Value};

use crate::hub::{EXPIRE, Hub};

const NODE: Origin = Origin::peer(1).unwrap();

/// What the hub would teach node 1: first data word and remaining lifetime.
fn own(hub: &Hub) -> Vec<(u32, u32)> {
    let mut values = Vec::new();
    let mut walk = OwnWalk::default();
    while hub.aggregate.own_values(NODE, &mut walk, 10, hub.now, |own| {
        assert_eq!(own.key(), Hub::key(0));
        values.push((own.words()[0], own.remaining().unwrap()));
    }) {}
    values
}

#[test]
fn a_process_that_begins_anew_counts_on() {
    let mut hub = Hub::new(&["gpc0"]);
    hub.tell_number(1, 80);
    hub.tell_number(2, 1_000);
    hub.pass(5_000);
    hub.restart(1);
    assert_eq!(hub.number(), Some(1_080));
    hub.tell_number(1, 1);
    assert_eq!(hub.number(), Some(1_081), "what the former process told is not lost");
    hub.tell_number(1, 5);
    assert_eq!(hub.number(), Some(1_085));
    let mut told = hub.aggregate.contributions(&Hub::key(0), hub.now).unwrap();
    told.retain(|told| told.node == NODE);
    assert_eq!(told.iter().filter(|told| told.former).count(), 1);

    assert_eq!(own(&hub), [(85, EXPIRE)]);
    assert_eq!(hub.tell_number(1, 6).skipped, 1, "it does not know yet");
    assert_eq!(hub.number(), Some(1_085));
    hub.aggregate.taught(NODE);
    assert_eq!(hub.tell_number(1, 86).updated, 1);
    assert_eq!(hub.number(), Some(1_086));
    hub.tell_number(1, 2);
    assert_eq!(hub.number(), Some(1_002), "an administrator may clear it");
    assert_eq!(hub.aggregate.usage().contributions, 2);
    assert_eq!(own(&hub), [], "it knows what it told");
}

#[test]
fn a_process_that_was_taught_by_the_one_before_is_not_counted_twice() {
    let hub = Hub::new(&["gpc0"]);
    hub.tell_number(1, 80);
    hub.restart(1);
    hub.tell_number(1, 81);
    assert_eq!(hub.number(), Some(81));
    assert_eq!(own(&hub), []);
}

#[test]
fn nor_one_that_counted_before_it_was_taught() {
    let hub = Hub::new(&["gpc0"]);
    hub.tell_number(1, 80);
    hub.restart(1);
    hub.tell_number(1, 2);
    assert_eq!(hub.number(), Some(82));
    hub.tell_number(1, 84);
    assert_eq!(hub.number(), Some(84), "it cannot have counted so far by itself");
}

#[test]
fn one_that_counts_past_the_former_value_keeps_it() {
    let hub = Hub::new(&["gpc0"]);
    hub.tell_number(1, 80);
    hub.restart(1);
    for number in 1..=100 {
        hub.tell_number(1, number);
        assert_eq!(hub.number(), Some(80 + u64::from(number)));
    }
}

#[test]
fn a_session_that_was_lost_changes_nothing() {
    let mut hub = Hub::new(&["http_req_rate(10s)", "gpc0"]);
    let mut counter = FrequencyCounter::set(0, hub.now as u32);
    let mut count = 0;
    for step in 0..400 {
        hub.pass(53);
        counter.add(3, 10_000, hub.now as u32);
        count += 3;
        if step % 7 == 0 {
            hub.restart(1);
        }
        // Each message takes another time.
        let late = FrequencyCounter { tick: counter.tick.wrapping_add((step % 5 * 40) & !1), ..counter };
        let late = if late.tick > hub.now as u32 { counter } else { late };
        hub.tell(
            1,
            &[
                (DataType::HttpReqRate, 0, Value::Frequency(late)),
                (DataType::Gpc0, 0, Value::Unsigned(count)),
            ],
        );
        assert_eq!(hub.aggregate.usage().contributions, 1);
        assert_eq!(hub.value(DataType::Gpc0, 0), Some(Value::Unsigned(count)));
    }
}

#[test]
fn several_restarts_add_up() {
    let hub = Hub::new(&["gpc0"]);
    for (restarts, number) in [(0, 80), (300, 20), (1, 5), (256, 3)] {
        (0..restarts).for_each(|_| hub.restart(1));
        hub.tell_number(1, number);
    }
    assert_eq!(hub.number(), Some(108));
    assert_eq!(hub.aggregate.usage().contributions, 2, "all former ones are one");
    assert_eq!(own(&hub), [(108, EXPIRE)]);
}

#[test]
fn a_lesson_that_did_not_come_through_is_not_counted() {
    let hub = Hub::new(&["gpc0"]);
    hub.tell_number(1, 80);
    hub.restart(1);
    hub.tell_number(1, 20);
    assert_eq!(own(&hub), [(100, EXPIRE)]);
    // The session is lost before the node knows; the same process comes back.
    hub.restart(1);
    hub.tell_number(1, 21);
    assert_eq!(hub.number(), Some(101));
    assert_eq!(own(&hub), [(101, EXPIRE)]);
    hub.aggregate.taught(NODE);
    hub.restart(1);
    hub.tell_number(1, 102);
    assert_eq!(hub.number(), Some(102));
}

#[test]
fn what_was_not_told_since_is_taught_as_well() {
    let mut hub = Hub::new(&["gpc0"]);
    hub.tell_number(1, 80);
    hub.tell_number(2, 1);
    hub.pass(1_000);
    hub.restart(1);
    assert_eq!(own(&hub), [(80, EXPIRE - 1_000)]);
    assert_eq!(hub.tell_number(1, 1).skipped, 1);
    assert_eq!(hub.number(), Some(81));
    hub.aggregate.taught(NODE);
    hub.tell_number(1, 81);
    assert_eq!(hub.number(), Some(82));
}

#[test]
fn rates_of_both_processes_are_summed_while_they_last() {
    let mut hub = Hub::new(&["http_req_rate(10s)"]);
    let start = hub.now as u32;
    let former = FrequencyCounter { tick: start, current: 900, previous: 0 };
    hub.tell_counter(1, former);
    hub.pass(4_000);
    hub.restart(1);
    let mut counter = FrequencyCounter::default();
    for _ in 0..250 {
        hub.pass(40);
        counter.add(4, 10_000, hub.now as u32);
        hub.tell_counter(1, counter);
        let (tick, sum) = (hub.now as u32, hub.number().unwrap());
        let both = u64::from(former.read(10_000, tick)) + u64::from(counter.read(10_000, tick));
        assert!(sum.abs_diff(both) <= 2, "{sum} {both}");
    }
}

#[test]
fn connections_end_with_their_process_and_tags_are_the_newest() {
    let hub = Hub::new(&["conn_cnt", "conn_cur", "gpt0"]);
    let values = |count, open, tag| {
        [
            (DataType::ConnCnt, 0, Value::Unsigned(count)),
            (DataType::ConnCur, 0, Value::Unsigned(open)),
            (DataType::Gpt0, 0, Value::Unsigned(tag)),
        ]
    };
    hub.tell(1, &values(100, 30, 7));
    hub.tell(2, &values(1, 1, 0));
    hub.restart(1);
    hub.tell(1, &values(2, 2, 5));
    let published = |hub: &Hub| {
        [DataType::ConnCnt, DataType::ConnCur, DataType::Gpt0]
            .map(|data_type| hub.value(data_type, 0).unwrap())
    };
    assert_eq!(published(&hub), [103, 3, 5].map(Value::Unsigned));
    own(&hub);
    hub.tell(1, &values(3, 3, 6));
    assert_eq!(published(&hub), [103, 4, 6].map(Value::Unsigned), "no lesson tells these");
}

#[test]
fn a_former_part_lives_on_with_the_key() {
    let mut hub = Hub::new(&["gpc0"]);
    hub.tell_as(1, Told::Live, Lifetime::Exactly(1_000), &[(DataType::Gpc0, 0, Value::Unsigned(80))]);
    hub.restart(1);
    hub.tell_number(1, 1);
    hub.pass(30_000);
    hub.refresh();
    assert_eq!(hub.number(), Some(81));
    hub.pass(30_000);
    hub.refresh();
    assert_eq!((hub.number(), hub.aggregate.usage().contributions), (None, 0));
}

/// One node alone, so that nothing but its two processes makes a sum: it has to be looked at again as well.
#[test]
fn rates_of_both_processes_are_summed_when_nobody_tells_any_more() {
    for rule in [Rule::Sum, Rule::Max, Rule::Min] {
        let mut rules = Rules::default();
        rules.set(DataType::HttpReqRate, rule).unwrap();
        let mut hub = Hub::with_rules(&["http_req_rate(1s)"], &rules);
        let start = hub.now as u32;
        let former = FrequencyCounter { tick: start, current: 0, previous: 1_307 };
        let newer = FrequencyCounter { tick: start - 656, current: 0, previous: 330 };
        hub.tell_counter(1, former);
        hub.restart(1);
        hub.tell_counter(1, newer);
        assert_eq!(hub.aggregate.usage().contributions, 2);
        for _ in 0..1_100 {
            hub.pass(1);
            hub.refresh();
            let now = hub.now as u32;
            let both = u64::from(former.read(1_000, now)) + u64::from(newer.read(1_000, now));
            let (sum, bound) = (hub.number().unwrap(), 3 + (both / 64).max(1) + (1_307 + 330) / 64);
            assert!(sum.abs_diff(both) <= bound, "{rule}: {sum} is not {both} at {}", now - start);
        }
    }
}

#[test]
fn what_another_hub_taught_is_not_counted_beside_what_the_former_process_told() {
    // A leap that is not one from less than half of what was told before.
    let mut hub = Hub::new(&["gpc0"]);
    hub.tell_number(1, 38);
    hub.restart(1);
    hub.tell_number(1, 30);
    let began = hub.now;
    hub.pass(10);
    hub.tell_number(1, 72);
    assert_eq!(hub.number(), Some(110), "nobody can tell yet");
    hub.aggregate.taught_elsewhere(NODE, began);
    hub.aggregate.refresh(hub.now, 100);
    assert_eq!(hub.number(), Some(72));
    hub.tell_number(1, 73);
    assert_eq!(hub.number(), Some(73));
}

#[test]
fn what_crosses_the_other_hub_s_word_counts_on_top_until_the_process_tells_as_much() {
    let mut hub = Hub::new(&["gpc0"]);
    hub.tell_number(1, 38);
    hub.restart(1);
    hub.tell_number(1, 2);
    hub.pass(10);
    hub.aggregate.taught_elsewhere(NODE, hub.now);
    hub.tell_number(1, 3);
    assert_eq!(hub.number(), Some(41), "of before the lesson");
    hub.tell_number(1, 39);
    assert_eq!(hub.number(), Some(39), "what crossed the lesson was lost at the node");
    hub.restart(1);
    hub.tell_number(1, 1);
    hub.aggregate.taught_elsewhere(NODE, hub.now);
    hub.aggregate.taught(NODE);
    assert_eq!(hub.number(), Some(40));
    hub.tell_number(1, 31);
    assert_eq!(hub.number(), Some(31), "the other hub knew less: the node has what it tells");
}

#[test]
fn what_another_hub_taught_a_process_that_told_nothing_yet_counts_once() {
    let hub = Hub::new(&["gpc0"]);
    for number in [2, 39] {
        hub.tell_number(1, 38);
        hub.restart(1);
        hub.aggregate.taught_elsewhere(NODE, hub.now);
        hub.tell_number(1, number);
        assert_eq!(hub.number(), Some(if number == 2 { 40 } else { 39 }));
        hub.tell_number(1, 40);
        assert_eq!(hub.number(), Some(40));
        hub.tell_number(1, 38);
        assert_eq!(hub.number(), Some(38), "what it tells is all from now on");
    }
    // The next process is in doubt again.
    hub.aggregate.taught_elsewhere(NODE, hub.now);
    hub.restart(1);
    hub.aggregate.taught(NODE);
    hub.tell_number(1, 1);
    assert_eq!(hub.number(), Some(39));
}

#[test]
fn a_lesson_that_is_told_again_in_the_next_session_adds_up_nothing_that_was_told_since() {
    let mut hub = Hub::new(&["gpc0"]);
    hub.tell_number(1, 30);
    hub.restart(1);
    let began = hub.now;
    hub.pass(10);
    // The other hub knew nothing of this key.
    hub.aggregate.taught_elsewhere(NODE, began);
    hub.tell_number(1, 4);
    assert_eq!(hub.number(), Some(34));
    // The same process comes back.
    hub.restart(1);
    hub.aggregate.taught_elsewhere(NODE, began);
    assert_eq!(hub.number(), Some(34));
    hub.tell_number(1, 11);
    assert_eq!(hub.number(), Some(41), "4 is a part of 11");
    hub.tell_number(1, 45);
    assert_eq!(hub.number(), Some(45), "it has been taught by now");
}
