//! What the service manager is told (sd_notify): ready, how it goes, and that this process is the one to watch.
//!
//! Without `NOTIFY_SOCKET` nobody listens, and nothing is sent. A failure to send is no reason to do anything else: the service manager
//! acts on its own time limits then.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How long a load may take before the service manager is asked for more time.
const MORE_TIME: Duration = Duration::from_secs(30);

/// The service manager.
#[derive(Debug)]
pub(crate) struct Manager {
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// How often it wants to hear of a process that works, at least.
    watchdog: Option<Duration>,
    /// When it was told last that this process works.
    told: Mutex<Option<Instant>>,
}

static MANAGER: OnceLock<Manager> = OnceLock::new();

/// The service manager of this process, if it has one.
pub(crate) fn manager() -> &'static Manager {
    MANAGER.get_or_init(|| Manager::new(|name| std::env::var_os(name)))
}

impl Manager {
    fn new(variable: impl Fn(&str) -> Option<std::ffi::OsString>) -> Self {
        let address = variable("NOTIFY_SOCKET").and_then(|name| match name.as_bytes().split_first() {
            Some((b'@', name)) => SocketAddr::from_abstract_name(name).ok(),
            Some((b'/', _)) => SocketAddr::from_pathname(&name).ok(),
            _ => None,
        });
        let socket = address.and_then(|address| {
            let socket = UnixDatagram::unbound().ok()?;
            socket.set_nonblocking(true).ok()?;
            Some((socket, address))
        });
        // The limit holds for whichever process is the main one, so WATCHDOG_PID, which names the first, does not matter.
        let limit = variable("WATCHDOG_USEC").and_then(|text| text.to_str()?.parse().ok());
        let watchdog = limit.filter(|&limit: &u64| limit > 0).map(|limit| Duration::from_micros(limit / 3));
        Self { socket, watchdog, told: Mutex::new(None) }
    }

    /// The main process is this one from now on. To be said before the one before ends.
    pub(crate) fn takes_over(&self) {
        self.send(&format!("MAINPID={}", std::process::id()));
    }

    /// Everything is served.
    pub(crate) fn ready(&self) {
        self.send(&format!("READY=1\nMAINPID={}", std::process::id()));
    }

    /// The process begins to end, and nothing follows it.
    pub(crate) fn stopping(&self) {
        self.send("STOPPING=1");
    }

    /// Files are read; that may take longer than a start usually does.
    pub(crate) fn loading(&self) {
        let more = MORE_TIME.as_micros();
        self.send(&format!("EXTEND_TIMEOUT_USEC={more}\nSTATUS=reading tables from disk"));
    }

    /// The process works. Says so, with its status, as often as the service manager wants to hear it, and each ten seconds.
    pub(crate) fn works(&self, status: impl FnOnce() -> String) {
        if self.socket.is_none() {
            return;
        }
        let pause = self.watchdog.unwrap_or(Duration::from_secs(10)).min(Duration::from_secs(10));
        let mut told = self.told.lock();
        if told.is_none_or(|told| told.elapsed() >= pause) {
            *told = Some(Instant::now());
            drop(told);
            self.send(&format!("WATCHDOG=1\nSTATUS={}", status()));
        }
    }

    fn send(&self, text: &str) {
        if let Some((socket, address)) = &self.socket {
            let _ = socket.send_to_addr(text.as_bytes(), address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_reaches_the_socket() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let receiver = UnixDatagram::bind(&path).unwrap();
        receiver.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let manager = Manager::new(|name| match name {
            "NOTIFY_SOCKET" => Some(path.clone().into()),
            "WATCHDOG_USEC" => Some("60000000".into()),
            _ => None,
        });
        let pid = std::process::id();
        let read = || {
            let mut bytes = [0; 200];
            let count = receiver.recv(&mut bytes).unwrap();
            String::from_utf8_lossy(&bytes[..count]).into_owned()
        };
        manager.takes_over();
        assert_eq!(read(), format!("MAINPID={pid}"));
        manager.ready();
        assert_eq!(read(), format!("READY=1\nMAINPID={pid}"));
        manager.works(|| "well".to_owned());
        assert_eq!(read(), "WATCHDOG=1\nSTATUS=well");
        manager.works(|| panic!("it was told just now"));
        manager.loading();
        assert_eq!(read(), "EXTEND_TIMEOUT_USEC=30000000\nSTATUS=reading tables from disk");
        manager.stopping();
        assert_eq!(read(), "STOPPING=1");
        assert_eq!(manager.watchdog, Some(Duration::from_secs(20)));
    }

    #[test]
    fn without_a_manager_nothing_is_sent() {
        let manager = Manager::new(|name| (name == "NOTIFY_SOCKET").then(|| "nonsense".into()));
        assert!(manager.socket.is_none());
        manager.ready();
        manager.works(|| panic!("nobody listens"));
    }
}
