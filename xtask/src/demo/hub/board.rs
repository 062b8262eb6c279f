//! The live table of the nodes and their hub.

use super::cluster::{LIMIT, OWN_LIMIT};
use super::snapshot::{Hub, Node, Snapshot};
use crate::demo::board::{MEMBER, heading, row};
use crate::demo::paint::Paint;

/// One line a client with what each counts and knows, which limit holds, and what the hub says of its nodes.
pub(super) fn lines(snapshot: &Snapshot, titles: &[String], paint: Paint) -> Vec<String> {
    let node = format!("{:>12} {:>12}", "own count", "sum of all");
    let columns = [node.clone(), node, format!("{:>7}   {:<15}", "sum", "of its nodes")];
    let mut lines = heading(titles, &columns, paint);
    let down = || paint.bad(&format!("{:^MEMBER$}", "not running"));
    let mut add = |first: &str, node: &dyn Fn(&Node) -> String, hub: &dyn Fn(&Hub) -> String| {
        let nodes = snapshot.nodes.iter().map(|it| it.as_ref().map_or_else(down, node));
        let hub = snapshot.hub.as_ref().map_or_else(down, hub);
        lines.push(row(first, nodes.chain([hub]), paint));
    };
    for client in snapshot.clients() {
        add(client, &|node| counts(node, client, paint), &|hub| sum(hub, client));
    }
    add("denies at", &|node| limit(node, paint), &|_| " ".repeat(MEMBER));
    lines.push(String::new());
    lines.push(paint.bold(" show aggregations"));
    match &snapshot.hub {
        Some(hub) => lines.extend(hub.state.iter().map(|line| format!(" {line}"))),
        None => lines.push(format!(" {}", paint.bad("not running"))),
    }
    lines
}

/// What a node counted itself, and its copy of the sum; what reached a limit stands out.
fn counts(node: &Node, client: &str, paint: Paint) -> String {
    let number = |count: Option<&u64>| count.map_or_else(|| "-".to_owned(), u64::to_string);
    let (own, sum) = (node.own.get(client), node.sums.get(client));
    let whole = node.whole == Some(true);
    let cell = |count: Option<&u64>, denies: bool| {
        let text = format!("{:>12}", number(count));
        if denies { paint.bad(&text) } else { text }
    };
    let reached = |count: Option<&u64>, limit: usize| count.is_some_and(|&count| count >= limit as u64);
    format!("{} {}", cell(own, !whole && reached(own, OWN_LIMIT)), cell(sum, whole && reached(sum, LIMIT)))
}

/// A sum and its parts.
fn sum(hub: &Hub, client: &str) -> String {
    let Some(sum) = hub.sums.get(client) else { return format!("{:^MEMBER$}", "-") };
    let parts: Vec<String> = hub
        .contributions
        .get(client)
        .into_iter()
        .flatten()
        .map(|(node, count)| format!("{node} {count}"))
        .collect();
    let text = format!("{sum:>7} = {}", parts.join(" + "));
    format!("{text:<MEMBER$}")
}

/// The limit that a node's rules hold now.
fn limit(node: &Node, paint: Paint) -> String {
    match node.whole {
        Some(true) => format!("{:<MEMBER$}", format!("{LIMIT} of all nodes together")),
        Some(false) => paint.bad(&format!("{:<MEMBER$}", format!("{OWN_LIMIT} of its own: sums lack"))),
        None => paint.bad(&format!("{:<MEMBER$}", format!("{OWN_LIMIT} of its own: no hub"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn count(count: u64) -> BTreeMap<String, u64> {
        BTreeMap::from([("192.0.2.1".to_owned(), count)])
    }

    fn node(own: u64, whole: Option<bool>) -> Option<Node> {
        Some(Node { own: count(own), sums: count(10), whole })
    }

    fn titles() -> Vec<String> {
        ["lb1", "lb2", "hub"].map(str::to_owned).into()
    }

    #[test]
    fn shows_the_parts_of_a_sum_and_the_limit_that_holds() {
        let parts = vec![("lb1".to_owned(), 6), ("lb2".to_owned(), 4)];
        let contributions = BTreeMap::from([("192.0.2.1".to_owned(), parts)]);
        let hub = Hub { contributions, sums: count(10), state: vec!["# aggregations: data".to_owned()] };
        let snapshot = Snapshot { nodes: [node(6, Some(true)), node(4, None)], hub: Some(hub) };
        let lines = lines(&snapshot, &titles(), Paint::none());
        let client = &lines[3];
        assert!(client.starts_with(" 192.0.2.1    │            6           10 │            4"), "{client}");
        assert!(client.contains("10 = lb1 6 + lb2 4"), "{client}");
        assert!(lines[4].contains("10 of all nodes together") && lines[4].contains("5 of its own: no hub"));
        assert!(lines.iter().any(|line| line == " # aggregations: data"));
        let bars = |line: &String| {
            let bars = line.chars().enumerate().filter(|(_, char)| "│┼".contains(*char));
            bars.map(|(column, _)| column).collect::<Vec<_>>()
        };
        assert!(lines[..5].iter().all(|line| bars(line) == [14, 42, 70]), "{lines:#?}");
    }

    #[test]
    fn who_does_not_answer_is_said_to_be_down() {
        let snapshot = Snapshot { nodes: [node(6, None), None], hub: None };
        let text = lines(&snapshot, &titles(), Paint::none()).join("\n");
        assert_eq!(text.matches("not running").count(), 2 * 2 + 1, "{text}");
    }
}
