//! `show top`: the entries with the largest values of a data type.

use std::sync::Arc;

use stick_table::Walk;

use super::Context;
use super::filter::{DataName, parse_value};
use super::level::DENIED;
use super::reply::Reply;
use super::show_json;
use super::show_table::put_found;
use super::table_command::Action;
use crate::config::Level;
use crate::view::entry::{Frame, Shown};
use crate::view::top::Top;

const USAGE: &str = "Required arguments: <table> data.<store_data_type> [<number>] [json]";

/// Most entries of an answer.
const MOST: i64 = 1_000;
/// Entries of an answer when no number is given.
const DEFAULT: i64 = 20;

/// Runs `show top` with its arguments.
pub(crate) fn run(context: &Arc<dyn Context>, level: Level, arguments: &[Vec<u8>]) -> Reply {
    if level < Level::Operator {
        return Reply::line(DENIED);
    }
    let (arguments, is_json) = match arguments.split_last() {
        Some((last, before)) if last == show_json::WORD && before.len() >= 2 => (before, true),
        _ => (arguments, false),
    };
    let table = match Action::Show.table(&**context, arguments) {
        Ok(table) => table,
        Err(error) => return Reply::line(error),
    };
    let (Some(name), None) = (arguments.get(1), arguments.get(3)) else { return Reply::line(USAGE) };
    let number = arguments.get(2).map_or(Some(DEFAULT), |word| parse_value(word));
    let Some(number) = number.filter(|number| (1..=MOST).contains(number)) else {
        return Reply::line(format_args!("The number of entries must be from 1 to {MOST}"));
    };
    let definition = table.definition();
    let found = name.strip_prefix(b"data.").and_then(|name| DataName::find(name, definition).ok());
    let Some((element, column)) = found.and_then(|(name, column)| Some((name.element_of(&column)?, column)))
    else {
        return Reply::line("Data type not stored in this table");
    };
    let context = Arc::clone(context);
    let table = Arc::clone(&table);
    Reply::Work(Box::new(move || {
        let mut top = Top::new(column, element, number as usize);
        let (mut walk, mut more) = (Walk::default(), true);
        while more {
            more = top.look(&table, &mut walk, &[], context.now());
        }
        let keys = top.keys();
        if !is_json {
            return put_found(&*context, &table, &keys);
        }
        let frame = Frame { shared: context.shared(&table), now: context.now() };
        let definition = table.definition();
        let shown = keys.iter().filter_map(|key| {
            let shown = table.get(key, frame.now, |entry| {
                show_json::text(&Shown { frame: &frame, definition, entry: &entry })
            });
            shown.ok().flatten()
        });
        format!("[{}]\n", shown.collect::<Vec<_>>().join(",\n"))
    }))
}

#[cfg(test)]
mod tests {
    use super::super::testing::Node;
    use super::*;

    #[test]
    fn the_largest_come_first() {
        let node = Node::sample();
        for number in [3, 9, 1, 7] {
            node.run(&format!("set table p/t1 key 10.0.0.{number} data.gpc0 {number}"));
        }
        let keys = |answer: &str| -> Vec<String> {
            let keys = answer.lines().filter_map(|line| line.split_once("key=10.0.0.")?.1.split_once(' '));
            keys.map(|(key, _)| key.to_owned()).collect()
        };
        let answer = node.run("show top p/t1 data.gpc0 3");
        assert!(answer.starts_with("# table: p/t1, type: ip, size:1024, used:4\n0x"), "{answer}");
        assert_eq!(keys(&answer), ["9", "7", "3"]);
        assert_eq!(keys(&node.run("show top p/t1 data.gpc0")).len(), 4);
        let json = node.run("show top p/t1 data.gpc0 1 json");
        assert!(json.starts_with("[{\"key\":\"10.0.0.9\","), "{json}");
        for (command, says) in [
            ("show top", super::super::table_command::TargetError::Usage(Action::Show).to_string()),
            ("show top zz data.gpc0", "No such table".to_owned()),
            ("show top p/t1", USAGE.to_owned()),
            ("show top p/t1 data.gpc0 1 2", USAGE.to_owned()),
            ("show top p/t1 data.gpc1", "Data type not stored in this table".to_owned()),
            ("show top p/t1 gpc0", "Data type not stored in this table".to_owned()),
            ("show top p/t1 data.gpc0 0", "The number of entries must be from 1 to 1000".to_owned()),
        ] {
            assert_eq!(node.run(command), format!("{says}\n\n"), "{command}");
        }
        assert_eq!(node.run_as(Level::User, "show top p/t1 data.gpc0"), "Permission denied\n\n");
    }
}
