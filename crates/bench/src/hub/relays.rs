//! Relays between HAProxys that count what passes.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Result;

/// Pause between two looks for connections, and longest time without looking whether to stop.
const PAUSE: Duration = Duration::from_millis(20);
/// Bytes read at once.
const PIECE: usize = 64 * 1_024;

/// What passed through all relays of a cluster.
#[derive(Clone, Debug, Default)]
pub(super) struct Passed(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    bytes: AtomicU64,
    pieces: AtomicU64,
    stop: AtomicBool,
}

impl Passed {
    /// Passes on what comes at a free address to `target`, which need not listen yet; returns the address.
    pub(super) fn relay(&self, target: SocketAddr) -> Result<SocketAddr> {
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let counts = self.0.clone();
        thread::spawn(move || {
            while !counts.stop.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((stream, _)) => connect(&stream, target, &counts),
                    Err(_) => thread::sleep(PAUSE),
                }
            }
        });
        Ok(address)
    }

    /// Bytes so far, both ways, and how many reads they came in.
    pub(super) fn so_far(&self) -> (u64, u64) {
        (self.0.bytes.load(Ordering::Relaxed), self.0.pieces.load(Ordering::Relaxed))
    }

    /// Ends all relays and their connections.
    pub(super) fn stop(&self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}

fn connect(from: &TcpStream, target: SocketAddr, counts: &Arc<Counts>) {
    let Ok(to) = TcpStream::connect(target) else { return };
    let pair = || -> std::io::Result<[(TcpStream, TcpStream); 2]> {
        Ok([(from.try_clone()?, to.try_clone()?), (to.try_clone()?, from.try_clone()?)])
    };
    // Without its two directions a connection is closed: its peer sees that.
    for (from, to) in pair().into_iter().flatten() {
        let counts = counts.clone();
        thread::spawn(move || {
            // An error ends the connection, as the two sides get to see.
            let _ = pass(&from, &to, &counts);
            let _ = from.shutdown(Shutdown::Both);
            let _ = to.shutdown(Shutdown::Both);
        });
    }
}

fn pass(mut from: &TcpStream, mut to: &TcpStream, counts: &Counts) -> std::io::Result<()> {
    from.set_nonblocking(false)?;
    from.set_read_timeout(Some(PAUSE))?;
    to.set_nodelay(true)?;
    let mut piece = vec![0; PIECE];
    while !counts.stop.load(Ordering::Relaxed) {
        let count = match from.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock) => continue,
            Err(error) => return Err(error),
        };
        to.write_all(&piece[..count])?;
        counts.bytes.fetch_add(count as u64, Ordering::Relaxed);
        counts.pieces.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_either_way_is_counted() {
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).unwrap();
        let passed = Passed::default();
        let mut near = TcpStream::connect(passed.relay(listener.local_addr().unwrap()).unwrap()).unwrap();
        let mut far = listener.accept().unwrap().0;
        let mut got = [0; 5];
        near.write_all(b"hello").unwrap();
        far.read_exact(&mut got).unwrap();
        far.write_all(b"bye").unwrap();
        near.read_exact(&mut got[..3]).unwrap();
        assert_eq!(&got, b"byelo");
        stickd_testkit::wait::until(Duration::from_secs(5), "eight bytes", || {
            (passed.so_far().0 == 8).then_some(())
        });
        drop(near);
        assert_eq!(far.read(&mut got).unwrap(), 0, "an end passes too");
        passed.stop();
    }
}
