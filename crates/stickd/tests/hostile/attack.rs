//! What attackers have in common.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};
use stickd_testkit::wait::SOON;

/// Where attackers come from: another loopback address than that of honest peers.
pub(crate) const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// How long an attack of a flood lasts.
pub(crate) const LONG: Duration = Duration::from_secs(2);

/// Connects from an address.
pub(crate) fn connect_from(source: Ipv4Addr, address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(IpAddr::V4(source), 0).into()).unwrap();
    socket.connect(&address.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream
}

/// An accepted session under a name.
pub(crate) fn join(address: SocketAddr, name: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    assert_eq!(hello(&mut stream, name), "200\n");
    stream
}

/// Says a hello; the status, nothing when the connection was closed.
pub(crate) fn hello(stream: &mut TcpStream, name: &str) -> String {
    let mut status = [0; 4];
    let said = stream.write_all(format!("HAProxyS 2.1\nstickd\n{name} 1 1\n").as_bytes());
    match said.and_then(|()| stream.read_exact(&mut status)) {
        Ok(()) => String::from_utf8(status.to_vec()).unwrap(),
        Err(_) => String::new(),
    }
}

/// Whether the other side has closed a connection; what it said before is thrown away.
pub(crate) fn is_closed(stream: &mut TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let closed = loop {
        match stream.read(&mut [0; 4096]) {
            Ok(0) => break true,
            Ok(_) => {}
            Err(error) => break error.kind() != ErrorKind::WouldBlock,
        }
    };
    stream.set_nonblocking(false).unwrap();
    closed
}

/// Writes the same bytes again and again for a while, and throws away what comes back; how many times. Ends early when the
/// other side closes.
pub(crate) fn flood(mut stream: TcpStream, bytes: &[u8], time: Duration) -> u64 {
    let over = AtomicBool::new(false);
    let mut reader = stream.try_clone().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            reader.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            let mut part = vec![0; 64 * 1024];
            while !over.load(Ordering::Relaxed) {
                match reader.read(&mut part) {
                    Ok(0) => break,
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(_) => break,
                }
            }
        });
        let (started, mut times) = (Instant::now(), 0);
        while started.elapsed() < time && stream.write_all(bytes).is_ok() {
            times += 1;
        }
        over.store(true, Ordering::Relaxed);
        times
    })
}
