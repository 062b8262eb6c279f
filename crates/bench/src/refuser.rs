//! What subjects find where they look for the driver: somebody who wants none of them.
//!
//! The driver connects itself, when it likes. A HAProxy whose own attempt to connect to a peer is failing at that moment may
//! end the session that comes from that peer instead; one that was answered 503 makes no further attempt (peers-protocol §2.3).

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use haproxy_peers::Status;

/// Lines of a hello.
const LINES: usize = 3;
/// Longest wait for them.
const PATIENCE: Duration = Duration::from_secs(2);

/// The address, the same until the process ends.
pub(crate) fn address() -> Result<SocketAddr> {
    static ADDRESS: OnceLock<SocketAddr> = OnceLock::new();
    if let Some(address) = ADDRESS.get() {
        return Ok(*address);
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Each in its turn: a hello comes at once. One that breaks off is none of ours.
            let _ = refuse(stream);
        }
    });
    Ok(*ADDRESS.get_or_init(|| address))
}

fn refuse(mut stream: TcpStream) -> Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    for line in BufReader::new(stream.try_clone()?).split(b'\n').take(LINES) {
        line?;
    }
    let mut status = Vec::new();
    Status::NameMismatch.encode(&mut status);
    stream.write_all(&status)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn every_hello_is_answered_503() {
        for _ in 0..3 {
            let mut stream = TcpStream::connect(address().unwrap()).unwrap();
            stream.write_all(b"HAProxyS 2.1\ndriver\nstickd 17 1\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert_eq!(answer, "503\n");
        }
    }
}
