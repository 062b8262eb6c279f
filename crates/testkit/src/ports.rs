//! Free TCP ports on the loopback for processes that cannot be told "any port".

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};
use std::{env, process};

/// Below Linux's default range for outgoing connections (32768 and up), so that none of those takes the port between
/// our look and the process's bind.
const RANGE: std::ops::Range<u16> = 12_000..32_000;

/// The ports handed out by this process: each is one locked file, so that tests running in other processes on the same
/// machine do not get it as well. The system frees the locks when the process ends.
static TAKEN: Mutex<Vec<(u16, File)>> = Mutex::new(Vec::new());

/// A TCP port that is free now and is given to no other caller until this process ends.
///
/// # Panics
///
/// When the whole range is in use or the temporary directory cannot be written.
pub fn free() -> u16 {
    let locks = env::temp_dir().join("stickd-test-ports");
    fs::create_dir_all(&locks).unwrap_or_else(|error| panic!("cannot create {}: {error}", locks.display()));
    let mut taken = TAKEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let start = start();
    let count = RANGE.end - RANGE.start;
    for step in 0..count {
        let port = RANGE.start + ((u32::from(start) + u32::from(step)) % u32::from(count)) as u16;
        if taken.iter().any(|(known, _)| *known == port) {
            continue;
        }
        let path = locks.join(port.to_string());
        let file =
            File::create(&path).unwrap_or_else(|error| panic!("cannot create {}: {error}", path.display()));
        if file.try_lock().is_ok() && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            taken.push((port, file));
            return port;
        }
    }
    panic!("no free port on 127.0.0.1 between {} and {}", RANGE.start, RANGE.end);
}

/// [`free`] as an address on 127.0.0.1.
///
/// # Panics
///
/// As [`free`].
pub fn free_address() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, free()).into()
}

/// Where to start looking: somewhere else in each process and call, to keep clear of ports used a moment ago.
fn start() -> u16 {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.subsec_nanos());
    let mixed = (nanos ^ process::id().rotate_left(16)).wrapping_mul(0x9e37_79b1);
    (mixed >> 16) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_given_twice() {
        let mut ports: Vec<u16> = (0..200).map(|_| free()).collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 200);
    }

    #[test]
    fn the_port_can_be_bound() {
        TcpListener::bind(free_address()).unwrap();
    }
}
