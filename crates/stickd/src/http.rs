//! HTTP: metrics, an API with JSON, and a page, as `http bind` lines ask for them.
//!
//! A `Server` listens as the runtime API does, and hands each connection to hyper within bounds (`server.rs`,
//! `connection.rs`). Every request passes `gate.rs`, which says what its client may do, and is then routed by axum
//! (`routes.rs`). What is shown and changed comes from the same [`Context`](crate::runtime) as on the runtime socket.
//!
//! Nothing is held while an answer waits for its reader: long answers are made piece by piece, each within a bounded time.

#![expect(unused_qualifications, reason = "macros of utoipa qualify the types of parameters")]

mod absent;
mod connection;
mod dataplane;
mod entries;
mod events;
mod gate;
mod health;
mod input;
mod limits;
mod metrics;
mod page;
mod problem;
mod process;
mod routes;
mod server;
mod start;
mod tables;
mod tokens;

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::runtime::Context;

pub(crate) use limits::MOST_BYTES;
pub(crate) use server::{Server, ServerError};
pub use tokens::{TokenError, Tokens};

/// What all requests share.
pub(crate) struct App {
    context: Arc<dyn Context>,
    /// Names, in lower case, that `Host` may have besides addresses and `localhost`.
    hosts: Vec<String>,
    /// Requests that may be under way.
    requests: Arc<Semaphore>,
    /// Requests with many entries that may be under way.
    bulks: Semaphore,
    /// Clients that may follow events.
    streams: Arc<Semaphore>,
    /// Those that left a moment ago.
    absent: Arc<absent::Absent>,
}

impl App {
    pub(crate) fn new(context: Arc<dyn Context>, hosts: Vec<String>) -> Self {
        let requests = Arc::new(Semaphore::new(limits::REQUESTS));
        let streams = Arc::new(Semaphore::new(limits::STREAMS));
        let (bulks, absent) = (Semaphore::new(limits::BULKS), Arc::default());
        Self { context, hosts, requests, bulks, streams, absent }
    }
}
