//! The listeners: bound, taken over, and stopped as those of the runtime API.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::App;
use super::connection::{self, Guest};
use super::gate::Door;
use super::limits::{CONNECTIONS, STOP_GRACE};
use super::routes;
use super::tokens::{TokenError, Tokens};
use crate::config::{Address, Config, HttpBind};
use crate::net::Stream;
use crate::runtime::{BindError, Context, Listener, Places, RuntimeUsage};
use crate::tls::{Acceptor, TlsError};

/// Pause after the system refused a connection, most likely for lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Pause between two lines of the log about that.
const REPORT_PAUSE: Duration = Duration::from_secs(60);
/// How long to look for connections that wait in the system's queue when the listener closes.
const QUEUE_LOOK: Duration = Duration::from_millis(1);

/// Why HTTP cannot be served.
#[derive(Debug, Error)]
pub(crate) enum ServerError {
    #[error(transparent)]
    Tokens(#[from] TokenError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Bind(#[from] BindError),
}

impl ServerError {
    /// Whether another process listens at the address.
    pub(crate) fn is_taken(&self) -> bool {
        matches!(self, Self::Bind(BindError::Bind(_, error)) if error.kind() == io::ErrorKind::AddrInUse)
    }
}

/// The listeners, bound.
pub(crate) struct Server {
    listeners: Vec<Bound>,
    hosts: Vec<String>,
    usage: Arc<RuntimeUsage>,
}

struct Bound {
    listener: Listener,
    door: Arc<Door>,
    tls: Option<Acceptor>,
}

impl Server {
    /// Binds every listener, without disturbing a process that serves it now: see [`publish`](Self::publish).
    ///
    /// # Errors
    /// When a file cannot be used, or an address not be bound.
    pub(crate) async fn bind(config: &Config, predecessors: &[i32]) -> Result<Self, ServerError> {
        let mut listeners = Vec::new();
        let http = &config.global.http;
        for bind in &http.binds {
            let (tokens, tls) = load(config, bind)?;
            let is_unix = matches!(bind.socket.address, Address::Unix(_));
            let door = Arc::new(Door { level: bind.socket.level, tokens, is_unix });
            for listener in Listener::bind(&bind.socket, predecessors).await? {
                listeners.push(Bound { listener, door: Arc::clone(&door), tls: tls.clone() });
            }
        }
        Ok(Self { listeners, hosts: http.hosts.clone(), usage: Arc::default() })
    }

    /// Puts the Unix sockets at their paths: from now on clients reach this process.
    ///
    /// # Errors
    /// When a path cannot be replaced.
    pub(crate) fn publish(&mut self) -> Result<(), BindError> {
        self.listeners.iter_mut().try_for_each(|bound| bound.listener.publish())
    }

    /// Where a browser finds the page; addresses with their protocol.
    pub(crate) fn addresses(&self) -> BTreeSet<String> {
        let address = |bound: &Bound| match bound.listener.local_addr() {
            Some(address) if bound.tls.is_some() => format!("https://{address}/"),
            Some(address) => format!("http://{address}/"),
            None => bound.listener.address.clone(),
        };
        self.listeners.iter().map(address).collect()
    }

    /// Serves until `stopped` says so. Then the listeners close once nobody waits in their queues, idle connections are closed,
    /// and answers that are under way get 2 s more.
    pub(crate) async fn run(self, context: Arc<dyn Context>, mut stopped: watch::Receiver<bool>) {
        let app = Arc::new(App::new(context, self.hosts));
        let shared = Arc::new(Shared {
            router: routes::router(&app),
            app,
            places: Arc::new(Places::new(CONNECTIONS, self.usage)),
            stopped: stopped.clone(),
        });
        let mut accepting = JoinSet::new();
        for bound in self.listeners {
            accepting.spawn(Arc::clone(&shared).accept(bound));
        }
        let _ = stopped.wait_for(|stopped| *stopped).await;
        let all = async { while accepting.join_next().await.is_some() {} };
        let _ = timeout(STOP_GRACE, all).await;
    }
}

/// The files of a listener.
fn load(config: &Config, bind: &HttpBind) -> Result<(Option<Tokens>, Option<Acceptor>), ServerError> {
    let tokens = bind.token_file.as_deref().map(|path: &Path| Tokens::load(path)).transpose()?;
    Ok((tokens, bind.tls.as_ref().map(|tls| config.tls.acceptor(tls)).transpose()?))
}

/// What acceptors share.
struct Shared {
    app: Arc<App>,
    router: axum::Router,
    places: Arc<Places>,
    stopped: watch::Receiver<bool>,
}

impl Shared {
    /// Accepts connections until the stop, then waits for them to end. Dropping the future ends them.
    async fn accept(self: Arc<Self>, bound: Bound) {
        let mut connections = JoinSet::new();
        let mut stopped = self.stopped.clone();
        let mut reported: Option<Instant> = None;
        loop {
            while connections.try_join_next().is_some() {}
            let stream = tokio::select! {
                stream = bound.listener.accept() => stream,
                _ = stopped.wait_for(|stopped| *stopped) => break,
            };
            let stream = match stream {
                Ok(stream) => stream,
                Err(error) => {
                    if reported.is_none_or(|at| at.elapsed() >= REPORT_PAUSE) {
                        tracing::warn!(address = bound.listener.address, %error, "HTTP connection not accepted");
                        reported = Some(Instant::now());
                    }
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            // Taken after the connection: a place must not wait at a quiet listener while another is in need of it.
            tokio::select! {
                biased;
                place = self.places.take() => match place {
                    Some(place) => connections.spawn(connection::serve(self.guest(&bound, stream, place))),
                    None => break,
                },
                _ = stopped.wait_for(|stopped| *stopped) => break,
            };
        }
        // Those that the system accepted already would be reset otherwise. The next process accepts what comes now.
        while let Ok(Ok(stream)) = timeout(QUEUE_LOOK, bound.listener.accept()).await {
            let Some(place) = self.places.take().await else { break };
            connections.spawn(connection::serve(self.guest(&bound, stream, place)));
        }
        drop(bound.listener);
        while connections.join_next().await.is_some() {}
    }

    fn guest(&self, bound: &Bound, stream: Box<dyn Stream>, place: crate::runtime::Place) -> Guest {
        Guest {
            stream,
            place: Arc::new(place),
            door: Arc::clone(&bound.door),
            tls: bound.tls.clone(),
            app: Arc::clone(&self.app),
            router: self.router.clone(),
            stopped: self.stopped.clone(),
        }
    }
}
