//! What signals ask of the process.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// SIGTERM or SIGINT: end at once; holds the signal's name.
    Stop(&'static str),
    /// SIGUSR1: a soft stop.
    SoftStop,
    /// SIGUSR2: let another process of the same command line take over.
    Reload,
    /// SIGHUP: write the state into the log.
    Report,
}

/// The signals that the process handles. Those that it does not handle keep the system's meaning; SIGPIPE is ignored.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    soft_stop: Signal,
    reload: Signal,
    report: Signal,
}

impl Signals {
    /// Begins to handle them.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            soft_stop: signal(SignalKind::user_defined1())?,
            reload: signal(SignalKind::user_defined2())?,
            report: signal(SignalKind::hangup())?,
        })
    }

    /// The next request. Signals of a kind that come while one is handled are one request.
    pub(crate) async fn next(&mut self) -> Request {
        tokio::select! {
            Some(()) = self.terminate.recv() => Request::Stop("SIGTERM"),
            Some(()) = self.interrupt.recv() => Request::Stop("SIGINT"),
            Some(()) = self.soft_stop.recv() => Request::SoftStop,
            Some(()) = self.reload.recv() => Request::Reload,
            Some(()) = self.report.recv() => Request::Report,
            else => std::future::pending().await,
        }
    }

    /// The next request to stop at once; others are dropped.
    pub(crate) async fn stop(&mut self) -> &'static str {
        loop {
            if let Request::Stop(name) = self.next().await {
                return name;
            }
        }
    }
}
