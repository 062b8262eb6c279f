//! Nodes that run HAProxy 1.6 or 1.7, which do not say when entries expire: a hub sums them by its `table` line.

use stickd_testkit::stickd::SOCKET;
use stickd_testkit::{StickdProcess, ports, wait};

use crate::cluster::{CONNECTED, STICKD};
use crate::scripted::{Scripted, defined, table, update};
use crate::trials::tests;

tests!(; once counts_of_haproxy_1_6_are_summed_by_a_table_line, without_a_table_line_the_hub_says_which_one_it_needs);

fn hub(line: &str) -> (StickdProcess, [Scripted; 2]) {
    let bind = ports::free_address();
    let config = format!(
        "global\n  localpeer hub\n  stats socket unix@{SOCKET} level admin\n\
         aggregations data\n  peer hub {bind} local\n  peer lb1\n  peer lb2\n  from any to .agg\n{line}"
    );
    let hub = StickdProcess::start(STICKD, Some(&config), &[]);
    let nodes = [("lb1", 5), ("lb2", 7)].map(|(name, count)| {
        let mut node = Scripted::join_old(bind, name);
        node.say(&defined(1, &table("/old", 32, &["gpc0"]), false));
        node.say(&update(1, "x", &[count]));
        node
    });
    (hub, nodes)
}

fn counts_of_haproxy_1_6_are_summed_by_a_table_line() {
    let (hub, _nodes) = hub("  table old type string len 32 size 1k expire 1h store gpc0\n");
    let state = || hub.cli().run("show aggregations") + &hub.daemon().log();
    wait::until_or(CONNECTED, "the sum", state, || {
        let is_complete = hub.cli().run("show aggregations").contains(" complete:1,");
        let sum = hub.cli().find_table("data/old.agg")?.entries.get("x")?.number("gpc0");
        (is_complete && sum == 12).then_some(())
    });
}

fn without_a_table_line_the_hub_says_which_one_it_needs() {
    let (hub, _nodes) = hub("");
    let line =
        "add the line \"table old type string len 32 size 134217728 expire TIME store gpc0\" to the section";
    hub.daemon().wait_log(line, CONNECTED);
    let shown = hub.cli().run("show aggregations");
    assert!(shown.contains(" complete:0,") && shown.contains("refused peer=lb1 table=data/old"), "{shown}");
}
