//! The sum of open connections: the hub has it, and HAProxy reads it from 3.2 on, where its table says `recv-only`.

use std::net::{SocketAddr, TcpStream};

use stickd_testkit::{Config, HaproxyProcess, Release, ports, wait};

use crate::cluster::{CONNECTED, Cluster};
use crate::trials::tests;

tests!(open_connections_are_summed_and_read_where_haproxy_takes_them);

const TABLE: &str = "type ip size 1k expire 1h store conn_cur,conn_cnt";

/// Connections to a port of their own are tracked as long as they are open.
fn track_connections(config: Config) -> Config {
    let front = ports::free_address();
    config.line(format!(
        "frontend open\n  bind {front}\n  tcp-request connection track-sc0 src table p/t\n  default_backend app"
    ))
}

fn front(node: &HaproxyProcess) -> SocketAddr {
    let text = node.config().text("");
    let (_, rest) = text.split_once("frontend open\n  bind ").unwrap();
    rest.split_whitespace().next().unwrap().parse().unwrap()
}

fn open_connections_are_summed_and_read_where_haproxy_takes_them(release: &Release) {
    let mut cluster = Cluster::start(release, TABLE, "", track_connections);
    let reads_sums = release.branch() >= (3, 2);
    if reads_sums {
        // Without it 3.2 reads 0 as well.
        cluster.change_node(0, TABLE, &format!("{TABLE} recv-only"));
    }
    let open: Vec<_> = cluster.nodes.iter().map(|node| TcpStream::connect(front(node)).unwrap()).collect();
    let read = |place: usize, field: &str| {
        let (cli, table) = cluster.sides().swap_remove(place);
        cli.table(table).entries.get("127.0.0.1").map(|entry| entry.number(field))
    };
    let wait = |place: usize, field: &str, wanted: u64| {
        let state = || cluster.state();
        wait::until_or(CONNECTED, field, state, || (read(place, field) == Some(wanted)).then_some(()));
    };
    wait(2, "conn_cur", 2);
    (0..2).for_each(|node| wait(node, "conn_cnt", 2));
    assert_eq!(read(0, "conn_cur"), Some(if reads_sums { 2 } else { 0 }), "{}", cluster.state());
    assert_eq!(read(1, "conn_cur"), Some(0), "without recv-only: {}", cluster.state());
    let hint = "the sum of conn_cur reads 0 in HAProxy 2.5 to 3.1";
    assert!(cluster.hub.daemon().log().contains(hint));
    drop(open);
    wait(2, "conn_cur", 0);
}
