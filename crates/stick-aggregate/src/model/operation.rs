//! What the model is asked to do.

use proptest::prelude::*;
use stick_table::FrequencyCounter;

use super::KEYS;
use crate::Rule;

/// Values in the order of the columns: server_id, gpt0, conn_cnt, conn_cur, rate, bytes, server_key.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Values {
    pub(super) id: Option<i32>,
    pub(super) tag: Option<u32>,
    pub(super) count: u32,
    pub(super) open: Option<u32>,
    pub(super) rate: FrequencyCounter,
    pub(super) bytes: u64,
    pub(super) server: Option<u8>,
}

#[derive(Clone, Debug)]
pub(super) enum Operation {
    Tell {
        node: u16,
        lesson: bool,
        lifetime: Option<u32>,
        keep: bool,
        few: bool,
        changes: Vec<(u8, Values)>,
    },
    Restart {
        node: u16,
    },
    /// So many sessions that their numbers begin again.
    RestartOften {
        node: u16,
        times: u32,
    },
    Teach {
        node: u16,
        limit: usize,
    },
    Taught {
        node: u16,
    },
    TaughtElsewhere {
        node: u16,
        ago: u64,
    },
    Forget {
        node: u16,
    },
    Heal,
    Clear {
        number: u8,
    },
    ClearAll,
    Refresh {
        budget: usize,
    },
    RefreshAll,
    Pass {
        ms: u64,
    },
}

fn values() -> impl Strategy<Value = Values> {
    let number = || prop_oneof![4 => 0u32..20, 2 => 0u32..1_000, 1 => Just(u32::MAX - 3)];
    let rate = (0u32..2_500, prop_oneof![0u32..3, 0u32..5_000], prop_oneof![0u32..3, 0u32..5_000]);
    (
        -3i32..4,
        number(),
        number(),
        number(),
        rate,
        prop_oneof![0u64..50, Just(u64::MAX - 9)],
        proptest::option::of(0u8..4),
    )
        .prop_map(|(id, tag, count, open, (age, current, previous), bytes, server)| Values {
            id: Some(id),
            tag: Some(tag),
            count,
            open: Some(open),
            // The age stands in the tick until it is told.
            rate: FrequencyCounter { tick: age, current, previous },
            bytes,
            server,
        })
}

pub(super) fn operation() -> impl Strategy<Value = Operation> {
    let node = || 1u16..5;
    let changes = proptest::collection::vec((0..KEYS, values()), 1..10);
    let lifetime = proptest::option::weighted(0.3, prop_oneof![1 => Just(0), 4 => 0u32..4_000]);
    prop_oneof![
        10 => (node(), any::<bool>(), lifetime, proptest::bool::weighted(0.1), proptest::bool::weighted(0.2), changes)
            .prop_map(|(node, lesson, lifetime, keep, few, changes)| {
                Operation::Tell { node, lesson, lifetime, keep, few, changes }
            }),
        2 => node().prop_map(|node| Operation::Restart { node }),
        1 => (node(), 250u32..260).prop_map(|(node, times)| Operation::RestartOften { node, times }),
        1 => (node(), 1usize..30).prop_map(|(node, limit)| Operation::Teach { node, limit }),
        1 => node().prop_map(|node| Operation::Taught { node }),
        1 => (node(), 0u64..2_000).prop_map(|(node, ago)| Operation::TaughtElsewhere { node, ago }),
        1 => node().prop_map(|node| Operation::Forget { node }),
        2 => Just(Operation::Heal),
        1 => (0..KEYS).prop_map(|number| Operation::Clear { number }),
        1 => proptest::bool::weighted(0.1).prop_map(|all| if all { Operation::ClearAll } else { Operation::RefreshAll }),
        2 => (1usize..6).prop_map(|budget| Operation::Refresh { budget }),
        2 => Just(Operation::RefreshAll),
        3 => (0u64..900).prop_map(|ms| Operation::Pass { ms }),
    ]
}

/// How one of the columns is summed.
pub(super) fn rule() -> impl Strategy<Value = Rule> {
    proptest::sample::select(Rule::ALL.to_vec())
}
