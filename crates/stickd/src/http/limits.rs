//! Bounds of what HTTP clients may ask for; docs/testing/hostile.md has the attacks that they stop.

use std::time::Duration;

pub(super) use crate::files::MAX_HTTP_CONNECTIONS as CONNECTIONS;
use crate::runtime::CHUNK_BYTES;

/// Most bytes of the head of a request: the least that hyper reads into.
pub(super) const HEAD_BYTES: usize = 8 << 10;
/// Most header fields of a request.
pub(super) const HEADERS: usize = 64;
/// Time for the TLS handshake, and from then on for the whole head of the first request.
pub(super) const FIRST_HEAD: Duration = Duration::from_secs(5);
/// The same once the process stops.
pub(super) const STOPPED_HEAD: Duration = Duration::from_millis(500);
/// Time for the head of each later request: so long a connection may also be idle.
pub(super) const LATER_HEAD: Duration = Duration::from_secs(60);
/// How long a client may take nothing of its answer.
pub(super) const WRITE: Duration = Duration::from_secs(10);
/// Time for the whole body of a request.
pub(super) const BODY: Duration = Duration::from_secs(30);
/// Most bytes of the body of a request, but for lines of entries.
pub(super) const BODY_BYTES: usize = 1 << 20;
/// Requests under way over all connections; one more is answered with 503.
pub(super) const REQUESTS: usize = 64;
/// How long answers that are under way may go on after the stop.
pub(super) const STOP_GRACE: Duration = Duration::from_secs(2);
/// Most bytes of the body of a request with many entries.
pub(super) const BULK_BYTES: usize = 32 << 20;
/// Most lines of it.
pub(super) const BULK_LINES: usize = 200_000;
/// Requests with many entries under way at a time.
pub(super) const BULKS: usize = 2;
/// Clients that follow events at a time.
pub(super) const STREAMS: usize = 32;
/// How long a table keeps removed keys for a client that followed it and left.
pub(super) const ABSENCE: Duration = Duration::from_secs(60);

/// Most bytes that clients take together: a head and a piece of the answer for each connection, bodies of the requests under
/// way, of which few may be large, and changes that wait for who follows events.
pub(crate) const MOST_BYTES: usize =
    CONNECTIONS * (2 * HEAD_BYTES + 3 * CHUNK_BYTES) + REQUESTS * BODY_BYTES + BULKS * BULK_BYTES;
