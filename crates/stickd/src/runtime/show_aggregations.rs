//! `show aggregations`: what hubs sum, and whose values.

use std::sync::Arc;

use haproxy_peers::one_line;

use super::Context;
use super::reply::{Reply, field, put, quoted};
use crate::view::{HubPeerView, HubView, LeftOutView, SumView};

/// Runs `show aggregations` with its arguments: all sections, or one.
pub(crate) fn run(context: &Arc<dyn Context>, arguments: &[Vec<u8>]) -> Reply {
    let wanted = arguments.first().map(|name| String::from_utf8_lossy(name));
    let hubs: Vec<_> = context
        .hubs()
        .into_iter()
        .filter(|hub| wanted.as_ref().is_none_or(|name| *name == hub.name))
        .collect();
    if let (Some(name), true) = (wanted, hubs.is_empty()) {
        return Reply::line(format_args!("No such aggregations section: {}", one_line(&name)));
    }
    let mut out = String::new();
    hubs.iter().for_each(|hub| put_hub(&mut out, hub));
    Reply::Text(out)
}

fn put_hub(out: &mut String, hub: &HubView) {
    let HubView { name, nodes, expected, complete, left_out, holding, node_timeout_ms, .. } = hub;
    let (complete, holding, refused) = (u8::from(*complete), u8::from(*holding), left_out.len());
    put(
        out,
        format_args!(
            "# aggregations: {name}, nodes:{nodes}, expected:{expected}, complete:{complete}, refused:{refused}, \
             holding:{holding}, node-timeout:{node_timeout_ms}\n"
        ),
    );
    hub.peers.iter().for_each(|peer| put_peer(out, peer));
    left_out.iter().for_each(|left_out| put_left_out(out, left_out));
    for sum in &hub.sums {
        let SumView { table, result, keys, size, contributions, bytes } = sum;
        put(
            out,
            format_args!(
                "  table={table} result={result} keys={keys} size={size} contributions={contributions} bytes={bytes}\n"
            ),
        );
    }
}

fn put_peer(out: &mut String, peer: &HubPeerView) {
    let HubPeerView { name, level, told_all, heard_ms, forgotten_in_ms, .. } = peer;
    put(out, format_args!("  peer={name} level={level} "));
    match (heard_ms, forgotten_in_ms) {
        (Some(ms), _) => put(out, format_args!("state=up heard={ms}")),
        (None, Some(ms)) => put(out, format_args!("state=away forgotten-in={ms}")),
        (None, None) => put(out, format_args!("state=down")),
    }
    put(out, format_args!(" told-all={}\n", u8::from(*told_all)));
}

fn put_left_out(out: &mut String, left_out: &LeftOutView) {
    let LeftOutView { peer, table, reason, text, remedy } = left_out;
    let (peer, table) = (peer.as_deref().unwrap_or("-"), field(table.as_deref().unwrap_or("*")));
    put(out, format_args!("  refused peer={peer} table={table} reason={reason} text={}", quoted(text)));
    if let Some(remedy) = remedy {
        put(out, format_args!(" remedy={}", quoted(remedy)));
    }
    out.push('\n');
}
