//! One connection: TLS, then requests, each within its bounds.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_io_timeout::TimeoutStream;
use tower_service::Service;

use super::App;
use super::gate::{Door, protect};
use super::limits::{FIRST_HEAD, HEAD_BYTES, HEADERS, LATER_HEAD, REQUESTS, STOPPED_HEAD, WRITE};
use super::problem::Problem;
use crate::net::Stream;
use crate::runtime::Place;
use crate::tls::Acceptor;

/// A connection with what it needs to be served.
pub(super) struct Guest {
    pub(super) stream: Box<dyn Stream>,
    pub(super) place: Arc<Place>,
    pub(super) door: Arc<Door>,
    pub(super) tls: Option<Acceptor>,
    pub(super) app: Arc<App>,
    pub(super) router: Router,
    pub(super) stopped: watch::Receiver<bool>,
}

/// Serves a connection until either side closes it, it makes the server wait for too long, or the process stops.
pub(super) async fn serve(guest: Guest) {
    let Guest { stream, place, door, tls, app, router, mut stopped } = guest;
    place.waits(true);
    let stream = match tls {
        None => stream,
        Some(tls) => {
            let encrypted = tokio::select! {
                encrypted = timeout(FIRST_HEAD, tls.accept(stream)) => encrypted,
                () = place.has_to_leave() => return,
            };
            match encrypted {
                Ok(Ok(encrypted)) => Box::new(encrypted) as Box<dyn Stream>,
                Ok(Err(error)) => return tracing::debug!(%error, "no TLS with an HTTP client"),
                Err(_) => return,
            }
        }
    };
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE));
    let (has_asked, asked) = (AtomicBool::new(false), Notify::new());
    let service = service_fn(|request: Request<Incoming>| {
        has_asked.store(true, Ordering::Relaxed);
        asked.notify_one();
        let busy = Busy::begin(Arc::clone(&place), &app.requests);
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Arc::clone(&door));
        let mut router = router.clone();
        async move {
            let response = match &busy.turn {
                Some(_) => router.call(request).await?,
                None => too_many(),
            };
            Ok::<_, Infallible>(response.map(|body| Body::new(Answer { body, _busy: busy })))
        }
    });
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(LATER_HEAD)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEADERS);
    let mut connection = pin!(server.serve_connection(TokioIo::new(Box::pin(stream)), service));
    let mut first = pin!(sleep(FIRST_HEAD));
    let (mut is_late, mut is_stopping) = (false, false);
    loop {
        tokio::select! {
            // A client that is gone is no news.
            _ = connection.as_mut() => return,
            () = place.has_to_leave() => return,
            () = first.as_mut(), if !is_late => {
                is_late = true;
                if !has_asked.load(Ordering::Relaxed) {
                    return;
                }
            }
            _ = stopped.wait_for(|stopped| *stopped), if !is_stopping => {
                is_stopping = true;
                if has_asked.load(Ordering::Relaxed) {
                    connection.as_mut().graceful_shutdown();
                } else {
                    // hyper would close it at once, and the request may be on its way.
                    first.as_mut().reset(Instant::now() + STOPPED_HEAD);
                }
            }
            () = asked.notified(), if is_stopping => connection.as_mut().graceful_shutdown(),
        }
    }
}

/// A request under way, from its head to the last byte of its answer: the connection keeps its place meanwhile.
struct Busy {
    place: Arc<Place>,
    /// `None` when too many are under way.
    turn: Option<OwnedSemaphorePermit>,
}

impl Busy {
    fn begin(place: Arc<Place>, requests: &Arc<Semaphore>) -> Self {
        place.works();
        Self { place, turn: Arc::clone(requests).try_acquire_owned().ok() }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.place.waits(false);
    }
}

fn too_many() -> Response {
    let text = format!("{REQUESTS} requests are under way already: try again");
    let mut response = Problem::new(StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    protect(response.headers_mut(), false);
    response
}

/// The body of an answer, which ends the request when it has been sent.
struct Answer {
    body: Body,
    _busy: Busy,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
