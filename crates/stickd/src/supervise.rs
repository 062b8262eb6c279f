//! Tasks that are watched: one that ends unasked ends the process.
//!
//! A listener, the timers of a section, the sweep of tables, the sums of a hub: without one of them a process looks alive and is
//! not. So the first [service](Supervisor::service) that returns before the process stops, and the first panic anywhere, also on a
//! thread that nobody watches, become the [`Failure`] of the process, which ends with an error line and a non-zero status.
//!
//! A panic in a single connection ends the process as well. The engine does not panic on any input, so a panic says that an
//! assumption about shared state is wrong: the table or the section that the connection was changing may be half changed, and
//! would be taught to every peer. The peers hold the data and teach the next process; a service manager starts it.

use std::borrow::Cow;
use std::panic::PanicHookInfo;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::error;

/// How long a process with a failure may take to end in order. After that it is aborted: what failed may hold up the rest.
const END_LIMIT: Duration = Duration::from_secs(5);

/// Name of a task in messages.
type Name = Cow<'static, str>;

/// Why the process has to end.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Failure {
    /// A service returned, and nobody asked it to.
    #[error("the task \"{0}\" ended, and must not before the process stops; please report this")]
    Ended(String),
    /// A task panicked.
    #[error("the task \"{0}\" failed; please report this with the line about it above")]
    Panicked(String),
    /// A thread panicked outside of the tasks that are known by name.
    #[error("the thread \"{0}\" failed; please report this with the line about it above")]
    Thread(String),
}

/// Starts tasks and hears of their end. Clones are of the same process.
#[derive(Clone, Default)]
pub struct Supervisor(Arc<Shared>);

#[derive(Default)]
struct Shared {
    stopping: AtomicBool,
    failure: watch::Sender<Option<Failure>>,
}

impl Supervisor {
    /// One without tasks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Logs every panic of the process and takes it for a failure, and aborts when the process does not end then. For the whole
    /// process, so not in tests.
    pub fn watch_panics(&self) {
        let shared = Arc::clone(&self.0);
        std::panic::set_hook(Box::new(move |panic| {
            let thread = thread::current();
            let name = thread.name().unwrap_or("without a name");
            let place = panic.location().map_or_else(String::new, ToString::to_string);
            error!(
                thread = name,
                place,
                "a fault in stickd, which ends it: {}; report this line",
                message(panic)
            );
            shared.fail(Failure::Thread(name.to_owned()));
            let aborter = thread::Builder::new().name("aborter".to_owned());
            let _ = aborter.spawn(|| {
                thread::sleep(END_LIMIT);
                std::process::abort();
            });
        }));
    }

    /// Starts a task that has to run until the process [stops](Self::stop).
    pub fn service<F>(&self, name: impl Into<Name>, task: F) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.start(name.into(), true, task)
    }

    /// Starts a task that may end, but not by a panic.
    pub fn job<F>(&self, name: impl Into<Name>, task: F) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.start(name.into(), false, task)
    }

    fn start<F>(&self, name: Name, is_service: bool, task: F) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let watch = Watch { shared: Arc::clone(&self.0), name, is_service, has_returned: false };
        tokio::spawn(async move {
            // All of it, not the fields that are used here.
            let mut watch = watch;
            if !fault::occurs(&watch.name) {
                task.await;
            }
            watch.has_returned = true;
        })
    }

    /// From now on services may end.
    pub fn stop(&self) {
        self.0.stopping.store(true, Ordering::Relaxed);
    }

    /// Whether they may.
    pub fn is_stopping(&self) -> bool {
        self.0.stopping.load(Ordering::Relaxed)
    }

    /// Waits for the first failure.
    pub async fn failed(&self) -> Failure {
        let mut failure = self.0.failure.subscribe();
        match failure.wait_for(Option::is_some).await.map(|failure| failure.clone()) {
            Ok(Some(failure)) => failure,
            // The sender lives as long as this.
            _ => std::future::pending().await,
        }
    }
}

impl Shared {
    fn fail(&self, failure: Failure) {
        self.failure.send_if_modified(|first| {
            let is_first = first.is_none();
            first.get_or_insert(failure);
            is_first
        });
    }
}

/// Lives in a task. A task that is dropped before its end, as when the runtime stops, is none that failed.
struct Watch {
    shared: Arc<Shared>,
    name: Name,
    is_service: bool,
    has_returned: bool,
}

impl Drop for Watch {
    fn drop(&mut self) {
        let name = || self.name.to_string();
        if thread::panicking() {
            self.shared.fail(Failure::Panicked(name()));
        } else if self.has_returned && self.is_service && !self.shared.stopping.load(Ordering::Relaxed) {
            self.shared.fail(Failure::Ended(name()));
        }
    }
}

fn message<'p>(panic: &'p PanicHookInfo<'_>) -> &'p str {
    panic.payload_as_str().unwrap_or("a panic without a message")
}

/// Faults that a test switches on in a debug build: `STICKD_FAULT="panic NAME"` or `"return NAME"` for a task's name, or the
/// start of one.
mod fault {
    /// Panics, or says whether a task is to return at once.
    #[cfg(debug_assertions)]
    pub(super) fn occurs(name: &str) -> bool {
        let Ok(fault) = std::env::var("STICKD_FAULT") else { return false };
        match fault.split_once(' ') {
            Some(("panic", task)) if name.starts_with(task) => panic!("switched on by STICKD_FAULT"),
            Some(("return", task)) => name.starts_with(task),
            _ => false,
        }
    }

    #[cfg(not(debug_assertions))]
    pub(super) const fn occurs(_name: &str) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::timeout;

    const SOON: Duration = Duration::from_secs(20);

    async fn failure(supervisor: &Supervisor) -> Option<Failure> {
        timeout(SOON, supervisor.failed()).await.ok()
    }

    #[tokio::test]
    async fn a_service_that_returns_is_a_failure() {
        let supervisor = Supervisor::new();
        supervisor.job("a connection", async {}).await.unwrap();
        supervisor.service("sweep", async {}).await.unwrap();
        assert_eq!(failure(&supervisor).await, Some(Failure::Ended("sweep".into())));
    }

    #[tokio::test]
    async fn a_panic_is_a_failure_wherever_it_is() {
        for is_service in [true, false] {
            let supervisor = Supervisor::new();
            // Also in the middle of it.
            let task = async {
                tokio::task::yield_now().await;
                panic!("a fault of this test");
            };
            let ended = if is_service { supervisor.service("s", task) } else { supervisor.job("j", task) };
            assert!(ended.await.unwrap_err().is_panic());
            let name = if is_service { "s" } else { "j" };
            assert_eq!(failure(&supervisor).await, Some(Failure::Panicked(name.into())));
        }
    }

    #[tokio::test]
    async fn the_first_failure_counts() {
        let supervisor = Supervisor::new();
        supervisor.service("first", async {}).await.unwrap();
        supervisor.service("second", async {}).await.unwrap();
        assert_eq!(failure(&supervisor).await, Some(Failure::Ended("first".into())));
    }

    #[tokio::test]
    async fn what_ends_as_asked_or_is_dropped_is_none() {
        let supervisor = Supervisor::new();
        let running = supervisor.service("for ever", std::future::pending());
        running.abort();
        assert!(running.await.unwrap_err().is_cancelled());
        supervisor.stop();
        supervisor.service("sweep", async {}).await.unwrap();
        assert!(supervisor.0.failure.borrow().is_none());
    }
}
