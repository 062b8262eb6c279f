//! Host names by the system's resolver, on threads of its own.
//!
//! The system's resolver blocks a thread, for half a minute when no name server answers. Hundreds of peers with names would fill the
//! pool of threads that commands of the runtime API use. So there is a bound for such threads, and a name that is being looked up
//! takes one, however many wait for it. Who waits has a time limit of its own.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, LazyLock};
use std::thread;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// Most names that are looked up at a time.
const MAX_THREADS: usize = 64;

/// What was found, or why nothing was; nothing yet while the lookup runs.
type Answer = Option<Result<Vec<IpAddr>, Arc<io::Error>>>;

/// The lookups of the process.
static LOOKUPS: LazyLock<Lookups> = LazyLock::new(|| Lookups::new(system));

struct Lookups {
    /// Those that run, by host name.
    running: Arc<Mutex<HashMap<String, watch::Receiver<Answer>>>>,
    places: Arc<Semaphore>,
    look_up: fn(&str) -> io::Result<Vec<IpAddr>>,
}

/// The addresses of a host, in the order of the system's resolver. Set a time limit: it may take long to fail.
///
/// # Errors
/// When the name is unknown, or no name server answers.
pub(super) async fn look_up(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let found = match host.parse() {
        Ok(address) => vec![address],
        Err(_) => LOOKUPS.look_up(host).await?,
    };
    Ok(found.into_iter().map(|address| SocketAddr::new(address, port)).collect())
}

fn system(host: &str) -> io::Result<Vec<IpAddr>> {
    Ok((host, 0).to_socket_addrs()?.map(|address| address.ip()).collect())
}

impl Lookups {
    fn new(look_up: fn(&str) -> io::Result<Vec<IpAddr>>) -> Self {
        Self { running: Arc::default(), places: Arc::new(Semaphore::new(MAX_THREADS)), look_up }
    }

    async fn look_up(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let running = self.running.lock().get(host).cloned();
        let mut answer = match running {
            Some(answer) => answer,
            None => {
                let place = Arc::clone(&self.places).acquire_owned().await.map_err(io::Error::other)?;
                self.begin(host, place)?
            }
        };
        let answer = answer.wait_for(Option::is_some).await.map_err(io::Error::other)?;
        match &*answer {
            Some(Ok(found)) => Ok(found.clone()),
            Some(Err(error)) => {
                let text = error.to_string();
                let why = text.strip_prefix("failed to lookup address information: ").unwrap_or(&text);
                let text = format!(
                    "the name {host} cannot be resolved: {why}; correct it, or see this machine's name servers"
                );
                Err(io::Error::new(error.kind(), text))
            }
            None => Err(io::ErrorKind::Other.into()),
        }
    }

    /// Begins a lookup, or joins one that began while this one waited for its place.
    fn begin(&self, host: &str, place: OwnedSemaphorePermit) -> io::Result<watch::Receiver<Answer>> {
        let mut running = self.running.lock();
        if let Some(answer) = running.get(host) {
            return Ok(answer.clone());
        }
        let (sender, answer) = watch::channel(None);
        let (look_up, name, all) = (self.look_up, host.to_owned(), Arc::clone(&self.running));
        thread::Builder::new().name("resolver".to_owned()).spawn(move || {
            let found = look_up(&name).map_err(Arc::new);
            all.lock().remove(&name);
            let _ = sender.send(Some(found));
            drop(place);
        })?;
        running.insert(host.to_owned(), answer.clone());
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::time::Duration;
    use tokio::time::timeout;

    const SOON: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn names_and_addresses() {
        let found = look_up("localhost", 7).await.unwrap();
        assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() == 7), "{found:?}");
        assert!(!found.is_empty());
        assert_eq!(look_up("192.0.2.1", 7).await.unwrap(), ["192.0.2.1:7".parse().unwrap()]);
        assert_eq!(look_up("::1", 7).await.unwrap(), ["[::1]:7".parse().unwrap()]);
        // No name may have an empty label, so no name server is asked.
        assert!(look_up("a..b", 7).await.is_err());
    }

    /// No name server answers: hundreds of names wait, and work on blocking threads goes on.
    #[tokio::test]
    async fn names_that_hang_take_a_bounded_number_of_threads() {
        static CALLS: AtomicUsize = AtomicUsize::new(0);
        static NOW: AtomicUsize = AtomicUsize::new(0);
        static MOST: AtomicUsize = AtomicUsize::new(0);
        static CLOSED: AtomicBool = AtomicBool::new(true);
        let lookups = Arc::new(Lookups::new(|_| {
            CALLS.fetch_add(1, Ordering::Relaxed);
            MOST.fetch_max(1 + NOW.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
            while CLOSED.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(1));
            }
            NOW.fetch_sub(1, Ordering::Relaxed);
            Err(io::Error::from(io::ErrorKind::TimedOut))
        }));
        // More than the pool of blocking threads has, each name for two peers.
        let waiting: Vec<_> = (0..1_200)
            .map(|number| {
                let lookups = Arc::clone(&lookups);
                tokio::spawn(async move { lookups.look_up(&format!("lb{}", number / 2)).await })
            })
            .collect();
        let work = tokio::task::spawn_blocking(|| 5);
        assert_eq!(timeout(SOON, work).await.unwrap().unwrap(), 5);
        CLOSED.store(false, Ordering::Relaxed);
        for lookup in waiting {
            let error = timeout(SOON, lookup).await.unwrap().unwrap().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        }
        assert!(MOST.load(Ordering::Relaxed) <= MAX_THREADS, "{}", MOST.load(Ordering::Relaxed));
        assert!(lookups.running.lock().is_empty());
        assert!(CALLS.load(Ordering::Relaxed) >= 600);
    }
}
