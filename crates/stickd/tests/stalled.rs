//! A peer that takes nothing and says nothing, while much is to be sent to it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use haproxy_peers::{Control, Definition, Padding, UpdateHeader, encode_key, encode_unsigned};
use stick_table::{KeyType, TableDefinition};
use stickd_testkit::stickd::{config, table};
use stickd_testkit::{StickdProcess, ports, wait};

const STICKD: &str = env!("CARGO_BIN_EXE_stickd");
/// More than the buffers of two sockets hold.
const UPDATES: u32 = 500_000;
/// A peer that never said anything is given up after 10 s.
const GIVEN_UP: Duration = Duration::from_secs(40);

fn connect(address: SocketAddr, name: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(format!("HAProxyS 2.1\nstickd\n{name} 1 1\n").as_bytes()).unwrap();
    let mut status = [0; 4];
    stream.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"200\n");
    stream
}

fn definition() -> TableDefinition {
    TableDefinition::new("t", KeyType::Integer, 1_000_000)
        .with_expire(Some(3_600_000))
        .with_column("gpc0".parse().unwrap())
        .unwrap()
}

fn updates(keys: std::ops::Range<u32>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for key in keys {
        let mut frame = UpdateHeader { id: Some(key + 1), lifetime_ms: None }.begin(&mut bytes);
        encode_key(KeyType::Integer, &key.to_be_bytes(), frame.payload());
        encode_unsigned(7, frame.payload());
        frame.finish(Padding::None);
    }
    bytes
}

#[test]
fn it_is_given_up_and_others_go_on() {
    let [hub, a, b] = [(); 3].map(|()| ports::free_address());
    let section = config(hub, &[("A", a), ("B", b)])
        + "  relay\n"
        + &table("t", "type integer size 1m expire 1h store gpc0");
    let stickd = StickdProcess::start(STICKD, Some(&section), &[]);
    let _silent = connect(hub, "A");
    let mut told = connect(hub, "B");
    let mut bytes = Vec::new();
    Definition::from_table(1, &definition()).unwrap().encode(Padding::None, &mut bytes).unwrap();
    bytes.extend(updates(0..UPDATES));
    told.write_all(&bytes).unwrap();
    // What it is sent is of no interest, but has to go somewhere.
    let mut reader = told.try_clone().unwrap();
    let drained = std::thread::spawn(move || while matches!(reader.read(&mut [0; 4096]), Ok(1..)) {});

    let mut heartbeat = Vec::new();
    Control::Heartbeat.encode(&mut heartbeat);
    let mut last = Instant::now();
    wait::until_or(
        GIVEN_UP,
        "the silent peer to be given up",
        || stickd.cli().run("show peers") + &stickd.daemon().log(),
        || {
            if last.elapsed() > Duration::from_secs(1) {
                told.write_all(&heartbeat).unwrap();
                last = Instant::now();
            }
            let log = stickd.daemon().log();
            let mut lines = log.lines().filter(|line| line.contains("nothing was received"));
            lines.next().map(|line| assert!(line.contains('A'), "{line}"))
        },
    );
    // The other one's session is there, and did all it was for.
    told.write_all(&updates(UPDATES..UPDATES + 1)).unwrap();
    let last = format!("show table t key {UPDATES}");
    wait::until(GIVEN_UP, "the last update", || stickd.cli().run(&last).contains("gpc0=7").then_some(()));
    told.shutdown(std::net::Shutdown::Both).unwrap();
    drained.join().unwrap();
}
