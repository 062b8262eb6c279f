//! `clear table`: removes entries. Peers do not learn of it: the protocol has no delete message (stick-tables §7.4).

use std::sync::Arc;

use crate::config::Level;

use super::Context;
use super::cluster_wide;
use super::level::DENIED;
use super::reply::Reply;
use super::table_command::{Action, Target, TargetError};

/// Runs `clear table` with its arguments. Nothing refers to an entry outside of a lock, so none is ever in use.
pub(crate) fn run(context: &Arc<dyn Context>, level: Level, arguments: &[Vec<u8>]) -> Reply {
    clear(context, level, arguments).unwrap_or_else(Reply::line)
}

fn clear(context: &Arc<dyn Context>, level: Level, arguments: &[Vec<u8>]) -> Result<Reply, TargetError> {
    let (words, cluster) = cluster_wide::take_word(arguments.get(1..).unwrap_or_default());
    let sum = arguments.first().filter(|_| cluster).and_then(|name| cluster_wide::sum_of(&**context, name));
    let table = match &sum {
        Some(sum) => Arc::clone(sum.output()),
        None => Action::Clear.table(&**context, arguments)?,
    };
    if level < Level::Operator {
        return Ok(Reply::line(DENIED));
    }
    let target = Action::Clear.target(&**context, &table, words)?;
    if let Some(sum) = sum {
        let context = Arc::clone(context);
        return Ok(Reply::Work(Box::new(move || {
            let done = cluster_wide::clear_nodes(&*context, &sum, &target);
            done.map_or_else(|error| format!("{error}\n"), |()| String::new())
        })));
    }
    if cluster {
        let context = Arc::clone(context);
        return Ok(Reply::Work(Box::new(move || {
            cluster_wide::clear(&*context, &table, &target);
            String::new()
        })));
    }
    let filters = match target {
        Target::Key(key) => {
            let removed = table.remove(&key, context.now());
            return Ok(removed.map_or_else(Reply::line, |_| Reply::done()));
        }
        Target::Matching(filters) => filters,
        Target::All => Vec::new(),
    };
    let now = context.now();
    Ok(Reply::Work(Box::new(move || {
        let definition = table.definition();
        table.remove_where(now, |entry| filters.iter().all(|filter| filter.holds(&entry, definition, now)));
        String::new()
    })))
}

#[cfg(test)]
mod tests {
    use super::super::testing::Node;
    use super::*;

    fn keys(node: &Arc<Node>) -> Vec<String> {
        let answer = node.run("show table p/t1");
        let keys = answer.lines().filter_map(|line| line.split_once("key=10.0.0.")?.1.split_once(' '));
        let mut keys: Vec<_> = keys.map(|(key, _)| key.to_owned()).collect();
        keys.sort();
        keys
    }

    fn filled() -> Arc<Node> {
        let node = Node::sample();
        for number in 1..=4 {
            node.run(&format!("set table p/t1 key 10.0.0.{number} data.gpc0 {number}"));
        }
        node
    }

    #[test]
    fn entries_are_removed_by_key_pointer_and_filter() {
        for (command, left) in [
            ("clear table p/t1", &[][..]),
            ("clear table p/t1 key 10.0.0.2", &["1", "3", "4"]),
            ("clear table p/t1 key 10.0.0.2 foo", &["1", "3", "4"]),
            ("clear table p/t1 key 10.0.0.9", &["1", "2", "3", "4"]),
            ("clear table p/t1 data.gpc0 gt 2", &["1", "2"]),
            ("clear table p/t1 data.gpc0 gt 1 data.gpc0 ne 3", &["1", "3"]),
        ] {
            let node = filled();
            assert_eq!(node.run(command), "\n", "{command}");
            assert_eq!(keys(&node), left, "{command}");
        }
        let node = filled();
        let answer = node.run("show table p/t1 key 10.0.0.3");
        let pointer = answer.lines().nth(1).unwrap().split(':').next().unwrap();
        assert_eq!(node.run(&format!("clear table p/t1 ptr {pointer}")), "\n");
        assert_eq!(keys(&node), ["1", "2", "4"]);
    }

    #[test]
    fn clearing_needs_operator() {
        let node = filled();
        assert_eq!(node.run_as(Level::User, "clear table p/t1"), "Permission denied\n\n");
        assert_eq!(node.run_as(Level::User, "clear table p/t1 data.foo gt 1"), "Permission denied\n\n");
        assert_eq!(keys(&node).len(), 4);
        assert_eq!(node.run_as(Level::Operator, "clear table p/t1"), "\n");
        assert_eq!(node.run_as(Level::Operator, "clear table zz"), "No such table\n\n");
    }
}
