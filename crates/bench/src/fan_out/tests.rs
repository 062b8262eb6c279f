//! The load and the receivers against a relay of a few lines, which does right or leaves something out.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use haproxy_peers::{class, decode_frame, kind};

use super::load::Load;
use super::receivers::Receivers;
use super::{KEYS, PER_TICK, SENDERS, SESSIONS};

/// Both ends of the sessions: the driver's, and the relay's.
fn sessions() -> (Vec<TcpStream>, Vec<TcpStream>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let pair = |_| {
        let driver = TcpStream::connect(address).unwrap();
        driver.set_nonblocking(true).unwrap();
        (driver, listener.accept().unwrap().0)
    };
    (0..SESSIONS).map(pair).unzip()
}

/// Passes every update and definition of each sender on to all others, except the update with the number `lost`.
fn relay(sockets: Vec<TcpStream>, lost: Option<u32>) {
    let outputs: Arc<Vec<Mutex<TcpStream>>> =
        Arc::new(sockets.iter().map(|socket| Mutex::new(socket.try_clone().unwrap())).collect());
    for (from, mut socket) in sockets.into_iter().enumerate() {
        let outputs = outputs.clone();
        thread::spawn(move || {
            let (mut input, mut piece) = (Vec::new(), vec![0; 65_536]);
            while let Ok(count @ 1..) = socket.read(&mut piece) {
                input.extend_from_slice(&piece[..count]);
                let (mut taken, mut output) = (0, Vec::new());
                while let Some((frame, size)) = decode_frame(&input[taken..], 0, 65_536).unwrap() {
                    let id = frame.payload().first_chunk().map(|id| u32::from_be_bytes(*id));
                    let is_lost = frame.kind == kind::UPDATE && id == lost && lost.is_some();
                    if from < SENDERS
                        && frame.class == class::STICK_TABLE
                        && frame.kind != kind::ACK
                        && !is_lost
                    {
                        output.extend_from_slice(&input[taken..taken + size]);
                    }
                    taken += size;
                }
                input.drain(..taken);
                for (_, socket) in
                    outputs.iter().enumerate().filter(|(to, _)| *to != from && !output.is_empty())
                {
                    // The driver may be gone already.
                    let _ = socket.lock().unwrap().write_all(&output);
                }
            }
        });
    }
}

/// Updates received, and what verification says, after every key was sent once.
fn run(lost: Option<u32>) -> (u64, anyhow::Result<()>) {
    let (driver, other) = sessions();
    relay(other, lost);
    let writers = driver.iter().map(|socket| socket.try_clone().unwrap()).collect();
    let mut receivers = Receivers::new(driver, vec![Vec::new(); SESSIONS]);
    let (load_state, state) = (receivers.state(), receivers.state());
    let reader = thread::spawn(move || receivers.run().map(|()| receivers));
    let mut load = Load::new(writers, load_state);
    load.run(KEYS / PER_TICK).unwrap();
    let settled = load.settle(Duration::from_secs(if lost.is_some() { 3 } else { 60 }));
    assert_eq!(settled.is_err(), lost.is_some());
    state.stop();
    let receivers = reader.join().unwrap().unwrap();
    let verified = receivers.verify(load.sent());
    (receivers.latency().1, verified)
}

#[test]
fn what_is_relayed_is_counted() {
    let (received, verified) = run(None);
    verified.unwrap();
    assert_eq!(received, KEYS * (SESSIONS as u64 - 1));
}

#[test]
fn an_update_that_is_lost_is_named() {
    let (_, verified) = run(Some(123_456));
    let fault = verified.unwrap_err().to_string();
    assert!(fault.contains("has not got update 123456 of 200000"), "{fault}");
}
