//! `restore table`: puts an entry of a dump back, with what is left of its life. `stickd restore` sends it.

use std::sync::Arc;

use crate::config::Level;
use crate::dumps::{EXPIRED, Field, Put, Row, WITHOUT, put};

use super::Context;
use super::level::DENIED;
use super::reply::Reply;

const USAGE: &str =
    "Required arguments: <table> key <key> [exp <ms>] [age <ms>] [data.<store_data_type> <value>]*";

/// Runs `restore table` with its arguments. Keys are those of `show table`: hexadecimal digits in a table of type binary. `age` says how
/// long ago values and lifetime were read.
pub(crate) fn run(context: &Arc<dyn Context>, level: Level, arguments: &[Vec<u8>]) -> Reply {
    if level < Level::Operator {
        return Reply::line(DENIED);
    }
    let Some((mut row, age)) = parse(arguments) else { return Reply::line(USAGE) };
    let Some(table) = context.table(&row.table) else {
        let sum = context.sum(&row.table).map(|sum| sum.output().definition().name.clone());
        return Reply::line(match sum {
            Some(sum) => format!("Nodes count in this table, each for itself: their sum is {sum}"),
            None => "No such table".to_owned(),
        });
    };
    if context.sum(&row.table).is_some() {
        return Reply::line("The table holds sums, which nodes tell again at any time");
    }
    if table.definition().expire.is_none() {
        row.exp = None;
    }
    match put(&table, &row, age, context.now()) {
        Put::Whole => {
            context.changed();
            Reply::done()
        }
        Put::Without(names) => {
            context.changed();
            Reply::info(format!("{WITHOUT}{}", names.join(", ")))
        }
        Put::Expired => Reply::info(EXPIRED),
        Put::Refused(reason) => Reply::line(reason),
    }
}

fn parse(arguments: &[Vec<u8>]) -> Option<(Row, u64)> {
    let [table, key_word, key, rest @ ..] = arguments else { return None };
    if key_word != b"key" || !rest.len().is_multiple_of(2) {
        return None;
    }
    let table = String::from_utf8(table.clone()).ok()?;
    let (mut row, mut age) = (Row { table, key: key.clone(), ..Row::default() }, 0);
    for pair in rest.chunks(2) {
        let [name, value] = [&pair[0], &pair[1]].map(|word| std::str::from_utf8(word).ok());
        let (name, value) = (name?, value?);
        match name {
            "exp" => row.exp = Some(value.parse().ok()?),
            "age" => age = value.parse().ok()?,
            name => {
                let name = name.strip_prefix("data.")?;
                row.values.push((name.to_owned(), Field::parse(name, value)?));
            }
        }
    }
    Some((row, age))
}

#[cfg(test)]
mod tests {
    use super::super::testing::Node;
    use super::*;

    #[test]
    fn an_entry_returns_with_its_life() {
        let node = Node::sample();
        let command =
            "restore table p/t1 key 10.0.0.1 exp 5000 age 1000 data.gpc0 3 data.conn_rate(10000) 10";
        assert_eq!(node.run(command), "\n");
        assert_eq!(
            node.run("show table p/t1"),
            "# table: p/t1, type: ip, size:1024, used:1\n\
             0x100000000: key=10.0.0.1 use=0 exp=4000 shard=0 gpc0=3 conn_cnt=0 conn_rate(10000)=10\n\n"
        );
        assert_eq!(node.changes(), 1, "sessions are told");
        assert_eq!(node.run("restore table p/bin key 0a0b0c0D data.gpc0 1"), "\n");
        assert!(node.run("show table p/bin").contains("key=0A0B0C0D use=0 exp=0 shard=0 gpc0=1"));
        assert_eq!(node.run(r"restore table p/s key a\ b data.server_key s\ 1"), "\n");
        assert!(node.run("show table p/s").contains(r"server_key=s\ 1"));
    }

    #[test]
    fn what_is_not_taken_is_said() {
        let node = Node::sample();
        for (text, answer) in [
            ("zz key 1", "No such table"),
            ("p/t1", USAGE),
            ("p/t1 ptr 0x1", USAGE),
            ("p/t1 key 10.0.0.1 exp", USAGE),
            ("p/t1 key 10.0.0.1 exp x", USAGE),
            ("p/t1 key 10.0.0.1 data.gpc0 x", USAGE),
            ("p/t1 key a", "not an IPv4 address"),
            ("p/t1 key 10.0.0.1 exp 7 age 7", EXPIRED),
            ("p/t1 key 10.0.0.1 data.gpc1 7 data.gpc0 1", "Restored without gpc1"),
        ] {
            assert_eq!(node.run(&format!("restore table {text}")), format!("{answer}\n\n"), "{text}");
        }
        let denied = node.run_as(Level::User, "restore table p/t1 key 10.0.0.1");
        assert_eq!(denied, "Permission denied\n\n");
    }
}
