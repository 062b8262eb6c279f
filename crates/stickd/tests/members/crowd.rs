//! Many members that need no line.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};

use haproxy_peers::Control;
use socket2::{Domain, Socket, Type};
use stickd_testkit::wait::SOON;

use crate::Node;

const MANY: usize = 300;
const ALLOWED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 5);
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 1, 5);

/// Connects from an address, says hello, and returns the status.
fn hello(from: Ipv4Addr, to: SocketAddr, name: &str) -> (String, TcpStream) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(IpAddr::V4(from), 0).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(format!("HAProxyS 2.1\nstickd\n{name} 1 1\n").as_bytes()).unwrap();
    let mut status = [0; 4];
    stream.read_exact(&mut status).unwrap();
    (String::from_utf8(status.to_vec()).unwrap(), stream)
}

#[test]
fn hundreds_of_unlisted_peers_connect_from_given_networks_only() {
    let node = Node::start(&format!("  dynamic-peers from 127.0.0.0/24 max {MANY}\n  forget 1s\n"));
    // First: all that have no line share a quota of the log.
    assert_eq!(hello(ELSEWHERE, node.bind, "elsewhere").0, "504\n");
    assert_eq!(node.logged("refused an unknown peer"), 1, "{}", node.stickd.daemon().log());
    let mut members: Vec<TcpStream> = Vec::new();
    let mut heartbeat = Vec::new();
    Control::Heartbeat.encode(&mut heartbeat);
    for number in 0..MANY {
        let (status, stream) = hello(ALLOWED, node.bind, &format!("node{number}"));
        assert_eq!(status, "200\n", "node{number}");
        members.push(stream);
        // Who is silent for 5 s loses its session.
        for stream in &mut members {
            stream.write_all(&heartbeat).unwrap();
        }
    }
    assert_eq!(node.info("ConnectedPeers"), MANY as u64);
    assert_eq!((node.info("Stickd_dynamic_peers"), node.info("Stickd_dynamic_peers_limit")), (300, 300));
    assert!(node.member("node299").is_some_and(|member| member.contains("member=dynamic relay=0")));
    assert_eq!(hello(ALLOWED, node.bind, "one-more").0, "504\n", "the limit");
    assert_eq!((node.info("Stickd_dynamic_peers_refused"), node.info("Stickd_refused_connections")), (1, 2));
    // They go, and are forgotten.
    drop(members);
    node.wait_info("Stickd_dynamic_peers", 0);
    assert!(node.member("node7").is_none());
    assert_eq!(hello(ALLOWED, node.bind, "one-more").0, "200\n");
}
