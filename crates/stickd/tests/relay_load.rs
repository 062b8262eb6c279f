//! What a relay sends while many updates come, one at a time.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use haproxy_peers::{
    Control, Decoder, Definition, Message, Padding, UpdateHeader, encode_key, encode_unsigned,
};
use stick_table::{KeyType, TableDefinition};
use stickd_testkit::stickd::{config, table};
use stickd_testkit::wait::SOON;
use stickd_testkit::{StickdProcess, ports};

const STICKD: &str = env!("CARGO_BIN_EXE_stickd");
/// Peers that are told, and updates of the one that tells.
const PEERS: usize = 12;
const UPDATES: u32 = 5_000;
/// Time between two updates.
const PACE: Duration = Duration::from_micros(100);

fn join(bind: SocketAddr, name: &str) -> TcpStream {
    let mut stream = TcpStream::connect(bind).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.write_all(format!("HAProxyS 2.1\nstickd\n{name} 1 1\n").as_bytes()).unwrap();
    let mut status = [0; 4];
    stream.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"200\n");
    stream
}

fn update(key: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut frame = UpdateHeader { id: Some(key), lifetime_ms: None }.begin(&mut bytes);
    encode_key(KeyType::Integer, &key.to_be_bytes(), frame.payload());
    encode_unsigned(key, frame.payload());
    frame.finish(Padding::None);
    bytes
}

/// Reads until all updates came; how many reads had something.
fn hear(mut stream: TcpStream) -> u32 {
    let (mut decoder, mut received, mut part) = (Decoder::new(), Vec::new(), vec![0; 64 * 1024]);
    let (mut missing, mut reads) = (UPDATES, 0);
    let mut known = vec![false; UPDATES as usize];
    let (mut heartbeat, mut beaten) = (Vec::new(), Instant::now());
    Control::Heartbeat.encode(&mut heartbeat);
    while missing > 0 {
        let count = stream.read(&mut part).unwrap();
        assert!(count > 0, "closed");
        reads += 1;
        received.extend_from_slice(&part[..count]);
        let mut taken = 0;
        while let Some((message, size)) = decoder.decode(&received[taken..]).unwrap() {
            taken += size;
            if let Message::Update(update) = message {
                let key = u32::from_be_bytes(update.update.key[..].try_into().unwrap()) as usize;
                missing -= u32::from(!std::mem::replace(&mut known[key], true));
            }
        }
        received.drain(..taken);
        if beaten.elapsed() > Duration::from_secs(1) {
            stream.write_all(&heartbeat).unwrap();
            beaten = Instant::now();
        }
    }
    reads
}

/// Processor time of a process so far.
fn cpu(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_ascii_whitespace().collect();
    Duration::from_millis(10 * (fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()))
}

/// A session sends what changed at once after a pause, and then what has gathered, at most once in a millisecond: with many
/// peers most of the work would else be to wake all of them for every single update.
#[test]
fn updates_that_come_close_together_leave_together() {
    let bind = ports::free_address();
    let names: Vec<_> = (0..=PEERS).map(|number| format!("P{number}")).collect();
    let nobody = ports::free_address();
    let peers: Vec<_> = names.iter().map(|name| (name.as_str(), nobody)).collect();
    let text =
        config(bind, &peers) + "  relay\n" + &table("t", "type integer size 100k expire 1h store gpc0");
    let stickd = StickdProcess::start(STICKD, Some(&text), &[]);
    let hearers: Vec<_> = names[1..]
        .iter()
        .map(|name| {
            let stream = join(bind, name);
            thread::spawn(move || hear(stream))
        })
        .collect();
    let mut teller = join(bind, "P0");
    let definition = TableDefinition::new("t", KeyType::Integer, 1).with_expire(Some(3_600_000));
    let definition = definition.with_column("gpc0".parse().unwrap()).unwrap();
    let mut bytes = Vec::new();
    Definition::from_table(1, &definition).unwrap().encode(Padding::None, &mut bytes).unwrap();
    teller.write_all(&bytes).unwrap();
    let (before, started) = (cpu(stickd.pid()), Instant::now());
    for key in 0..UPDATES {
        teller.write_all(&update(key)).unwrap();
        // Not a sleep: that would take longer than the pace.
        while started.elapsed() < PACE * (key + 1) {
            std::hint::spin_loop();
        }
    }
    let reads: Vec<_> = hearers.into_iter().map(|hearer| hearer.join().unwrap()).collect();
    let (took, busy) = (started.elapsed(), cpu(stickd.pid()) - before);
    println!("{UPDATES} updates to {PEERS} peers in {took:?}: {busy:?} of CPU, reads {reads:?}");
    let most = 2 * took.as_millis() as u32 + 100;
    assert!(reads.iter().all(|&reads| reads <= most), "more than {most} in {took:?}: {reads:?}");
}
