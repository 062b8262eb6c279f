use super::*;

fn table(name: &str) -> TableDefinition {
    TableDefinition::new(name, KeyType::Ip, 100).with_expire(Some(1_000))
}

#[test]
fn a_table_is_found_by_its_local_and_its_network_name() {
    let tables = ["t", "p/u"].map(|name| (Table::new(table(name), 1).unwrap().into(), None));
    let set = TableSet::new("p", tables, None, None, 1).unwrap();
    let ids = |found: Option<Arc<SharedTable>>| found.map(|shared| shared.id());
    assert_eq!(
        ["t", "p/u", "/u", "u"].map(|name| ids(set.by_local_name(name))),
        [Some(1), Some(2), None, None]
    );
    assert_eq!(
        ["t", "p/u", "/u", "u"].map(|name| ids(set.by_network_name(name.as_bytes()))),
        [Some(1), None, Some(2), None]
    );
    assert!(!set.is_empty());
    assert!(TableSet::new("p", [], None, None, 1).unwrap().is_empty());
}

#[test]
fn tables_that_cannot_be_together_are_refused() {
    let new = |line: &str| Arc::new(Table::new(line.parse().unwrap(), 1).unwrap());
    let error = |tables: Vec<(Arc<Table>, Option<Arc<Table>>)>| {
        TableSet::new("p", tables, None, None, 1).err().unwrap().to_string()
    };
    let (ip, same) = (new("table p/t type ip size 1"), new("table p/t type string size 1"));
    assert_eq!(
        error(vec![(Arc::clone(&ip), None), (same, None)]),
        "there are two tables of the name \"p/t\""
    );
    let other = new("table q/t type ip size 1");
    assert_eq!(
        error(vec![(Arc::clone(&ip), None), (other, None)]),
        "the tables \"p/t\" and \"q/t\" have the same name for peers"
    );
    assert_eq!(error(vec![(Arc::clone(&ip), Some(Arc::clone(&ip)))]), "the table \"p/t\" writes to itself");
    let long = new("table p/u type string len 9 size 1");
    assert_eq!(
        error(vec![(Arc::clone(&ip), Some(long))]),
        "the table \"p/t\" cannot write to \"p/u\", whose keys are of type string len 9, not ip"
    );
}

/// Each looked for the table before one of them made it.
#[test]
fn two_peers_that_define_a_table_at_once_share_it_also_in_the_last_place() {
    let dynamic = DynamicTables { size: 100, max_tables: 1, max_bytes: 0, max_server_key: 10 };
    let set = TableSet::new("p", [], None, Some(dynamic), 1).unwrap();
    let definition = Definition::from_table(7, &table("t")).unwrap();
    let first = set.create(&definition, PeerLevel::Below).unwrap();
    let second = set.create(&definition, PeerLevel::Below).unwrap();
    assert!(Arc::ptr_eq(&first, &second));
    assert_eq!(
        set.create(&Definition::from_table(8, &table("u")).unwrap(), PeerLevel::Below).err(),
        Some(CreateError::TooMany { limit: 1, keyword: "dynamic-tables" })
    );
    let usage = set.dynamic_usage();
    assert_eq!((set.len(), usage.tables, usage.refused), (1, 1, 1));
}

/// With the limits that a section has without numbers: 256 tables and 1 GiB.
#[test]
fn memory_counts_as_far_as_it_is_used() {
    let dynamic = DynamicTables { size: 102_400, max_tables: 256, max_bytes: 1 << 30, max_server_key: 256 };
    let set = TableSet::new("p", [], None, Some(dynamic), 1).unwrap();
    for number in 0..256 {
        let columns = ["gpc0", "http_req_rate(10s)", "server_key"].map(|column| column.parse().unwrap());
        let wide = TableDefinition::new(format!("t{number}"), KeyType::String { max_len: 256 }, 1);
        let wide = columns.into_iter().fold(wide, |table, column| table.with_column(column).unwrap());
        let made = set.create(
            &Definition::from_table(number + 1, &wide.with_expire(Some(1_000))).unwrap(),
            PeerLevel::Below,
        );
        assert!(made.is_ok(), "{number}: {:?}", made.err());
    }
    let usage = set.dynamic_usage();
    assert_eq!((usage.tables, usage.refused, usage.shortages), (256, 0, 0));
    assert!(usage.bytes < 300 << 20, "{}", usage.bytes);
}
