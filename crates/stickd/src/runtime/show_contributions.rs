//! `show contributions`: what each node counts of a key, and what becomes of it.

use std::sync::Arc;

use stick_aggregate::{Aggregate, Contribution};
use stick_table::Millis;

use crate::config::Level;

use super::Context;
use super::level::DENIED;
use super::reply::{Reply, put};
use super::show_table::put_values;
use super::table_command::{Action, parse_key};
use crate::view::HubView;

const USAGE: &str = "Required arguments: <table> key <key>, with a table that is summed or its result";

/// Runs `show contributions` with its arguments.
pub(crate) fn run(context: &Arc<dyn Context>, level: Level, arguments: &[Vec<u8>]) -> Reply {
    if level < Level::Operator {
        return Reply::line(DENIED);
    }
    let [name, word, key, ..] = arguments else { return Reply::line(USAGE) };
    if word != b"key" {
        return Reply::line(USAGE);
    }
    let name = String::from_utf8_lossy(name);
    let hub = context.hubs().into_iter().find(|hub| hub.has(&name));
    let (Some(hub), Some(sum)) = (hub, context.sum(&name)) else {
        return Reply::line("No such table of an aggregations section");
    };
    let key = match parse_key(Action::Show, sum.source().key_type, key) {
        Ok(key) => key,
        Err(error) => return Reply::line(error),
    };
    let now = context.now();
    let contributions = match sum.contributions(&key, now) {
        Ok(contributions) => contributions,
        Err(error) => return Reply::line(error),
    };
    if contributions.is_empty() {
        return Reply::done();
    }
    let mut out = String::new();
    let (source, result) = (&sum.source().name, &sum.output().definition().name);
    let text = sum.source().key_type.text(&key);
    put(&mut out, format_args!("# table: {source}, result: {result}, key: {text}\n"));
    for contribution in &contributions {
        put_contribution(&mut out, &hub, &sum, contribution, now);
    }
    let table = sum.output();
    let result = table.get(&key, now, |entry| {
        put(&mut out, format_args!("result: exp={}", entry.remaining().unwrap_or(0)));
        put_values(&mut out, table.definition(), now, |data_type, element| entry.value(data_type, element));
        out.push('\n');
    });
    result.map_or_else(Reply::line, |_| Reply::Text(out))
}

fn put_contribution(
    out: &mut String,
    hub: &HubView,
    sum: &Aggregate,
    contribution: &Contribution,
    now: Millis,
) {
    let origin = contribution.node.number();
    match hub.name_of(origin) {
        Some(name) => put(out, format_args!("node={name}")),
        None => put(out, format_args!("node=#{origin}")),
    }
    if contribution.former {
        // What it told before it lost it.
        out.push_str(" former=1");
    }
    put(out, format_args!(" exp={} age={}", contribution.remaining.unwrap_or(0), contribution.age));
    let value_of = |data_type, element| {
        let told =
            contribution.values.iter().find(|(told, number, _)| (*told, *number) == (data_type, element));
        told.map(|(_, _, value)| value.clone())
    };
    put_values(out, sum.source(), now, value_of);
    out.push('\n');
}
