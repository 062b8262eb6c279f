//! What a contribution takes.

use std::sync::Arc;

use stick_aggregate::{Aggregate, Rules, Told, Usage};
use stick_table::{Lifetime, Origin, Table};

use crate::hub::definition;

const KEYS: u32 = 50_000;

/// What is used when `nodes` nodes told all keys of a full store.
fn usage(columns: &[&str], nodes: u16) -> Usage {
    let output = Arc::new(Table::new(definition("o", 1_000, columns), 1).unwrap());
    let aggregate = Aggregate::new(definition("s", KEYS, columns), output, &Rules::default(), 1).unwrap();
    let mut batch = aggregate.batch();
    let width = aggregate.layout().data_words();
    batch.set_columns(std::iter::once(0..width)).unwrap();
    for node in 1..=nodes {
        for key in 0..KEYS {
            batch.push(&key.to_be_bytes(), Lifetime::Restart).unwrap().fill(key);
            if batch.is_full() || key == KEYS - 1 {
                assert_eq!(
                    aggregate.absorb(&mut batch, Origin::peer(node).unwrap(), Told::Live, 1).refused,
                    0
                );
            }
        }
    }
    let usage = aggregate.usage();
    assert_eq!((usage.keys, usage.contributions), (KEYS.into(), u64::from(KEYS) * u64::from(nodes)));
    usage
}

/// `tables memory` of a hub is 1 GiB unless a line says otherwise, of which a part is kept for keys that are there.
#[test]
fn the_default_memory_of_a_hub_holds_a_million_keys_of_a_rate_from_eight_nodes() {
    let usage = usage(&["http_req_rate(10s)"], 8);
    let of_a_key = (usage.bytes + usage.result_bytes) / u64::from(KEYS);
    println!("{of_a_key} bytes a key: {} of them are its result", usage.result_bytes / u64::from(KEYS));
    assert!(of_a_key * 1_000_000 < (1 << 30) / 16 * 15, "{of_a_key} bytes a key");
}

#[test]
fn a_contribution_takes_little_more_than_its_data() {
    let wide = [
        "conn_cnt",
        "conn_cur",
        "conn_rate(10s)",
        "http_req_cnt",
        "http_req_rate(10s)",
        "bytes_out_cnt",
        "bytes_out_rate(10s)",
        "gpc0",
    ];
    // Three rates of three words, a number of two, and four of one.
    let tables = [(&["http_req_rate(10s)"][..], 12.0), (&["gpc(4)"], 16.0), (&wide, 60.0)];
    for (columns, data) in tables {
        for nodes in [2, 8, 50] {
            let usage = usage(columns, nodes);
            let bytes = usage.bytes as f64 / usage.contributions as f64;
            println!("{columns:?}, {nodes} nodes: {bytes:.1} bytes a contribution");
            let most = 1.3 * data + 8.0;
            // The key, its place in the index and its slot are shared by all nodes that know it.
            let most = if nodes < 8 { most + 32.0 / f64::from(nodes) } else { most };
            assert!(bytes <= most, "{columns:?}, {nodes} nodes: {bytes} of {most}");
        }
    }
}
