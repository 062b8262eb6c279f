//! `GET /v1/events`: what changes, as it changes: entries of a table, peers, tables.
//!
//! A reader of a table has a feed, so a slow one costs nothing: an entry that changed several times is sent once, with its newest
//! values. The id of an event is how far the reader has come, and a reader that sends it goes on from there.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use serde_json::json;
use stick_table::{Change, Feed, Follow, Table};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::gate::Rights;
use super::input::Parameters;
use super::limits::STREAMS;
use super::problem::Problem;
use crate::config::Level;
use crate::view::entry::{Shown, plain};

/// Pause between two looks at what changed: at most four frames a second.
const LOOK: Duration = Duration::from_millis(250);
/// A comment is sent after so long without an event, so that either side notices when the other is gone.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Most changes of a table in a frame.
const CHANGES: usize = 1_000;
/// Looks at the table until peers and tables are looked at again.
const LOOKS: u32 = 4;

/// What to follow.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Selection {
    /// Changes of the entries of this table, which need the level operator. Without it only of peers and tables.
    table: Option<String>,
    /// Begin with all entries that the table has, not with the next change.
    #[serde(default)]
    all: bool,
    /// `sse` for server-sent events, `ndjson` for lines of JSON; as `Accept`.
    #[param(inline)]
    format: Option<Format>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Format {
    Sse,
    Ndjson,
}

/// Follow changes until the client closes the connection.
///
/// Events are `entry` and `removed` of the table, `start_over` when the reader missed removals and all entries follow, `peer` when a
/// session begins or ends, and `table` when a table is made or goes. `Last-Event-ID` resumes.
#[utoipa::path(
    get,
    path = "/v1/events",
    tag = "process",
    params(Selection),
    responses((status = 200, body = String, content_type = "text/event-stream"), (status = "4XX", body = Problem), (status = 503, body = Problem)),
)]
pub(super) async fn follow(
    State(app): State<Arc<App>>,
    rights: Rights,
    Parameters(selection): Parameters<Selection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    rights.need(if selection.table.is_some() { Level::Operator } else { Level::User })?;
    let table = selection.table.as_deref().map(|name| app.table(name)).transpose()?;
    let turn = Arc::clone(&app.streams).try_acquire_owned().map_err(|_| {
        let text = format!("{STREAMS} clients follow events already: try again later");
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, text)
    })?;
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_lines = text(header::ACCEPT).contains("ndjson");
    let format = selection.format.unwrap_or(if is_lines { Format::Ndjson } else { Format::Sse });
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let followed = table.map(|table| Followed::begin(table, selection.all, last));
    let watcher = Watcher::new(app, turn, followed, format);
    let frames = stream::unfold(watcher, |mut watcher| async move {
        let frame = watcher.next().await?;
        Some((Ok::<_, Infallible>(Bytes::from(frame)), watcher))
    });
    let content_type = match format {
        Format::Sse => "text/event-stream",
        Format::Ndjson => "application/x-ndjson",
    };
    Ok(([(header::CONTENT_TYPE, content_type)], Body::from_stream(frames)).into_response())
}

/// A table that is followed.
struct Followed {
    table: Arc<Table>,
    feed: Feed<()>,
    /// Whether the reader must be told that what it has counts no longer.
    starts_over: bool,
}

impl Followed {
    fn begin(table: Arc<Table>, all: bool, last: Option<&str>) -> Self {
        let resumed = last.and_then(|id| {
            let (process, numbers) = id.split_once('.')?;
            let numbers: Option<Vec<_>> =
                numbers.split('-').map(|number| u64::from_str_radix(number, 16).ok()).collect();
            (process == std::process::id().to_string()).then(|| table.position_at(&numbers?))?
        });
        // A reader of another process has missed what nobody knows.
        let starts_over = last.is_some() && resumed.is_none();
        let from = match resumed {
            Some(position) => position,
            None if all || starts_over => table.start(),
            None => table.position(),
        };
        Self { feed: Feed::new(Arc::clone(&table), Follow::AllAndRemovals, from), table, starts_over }
    }

    /// How far the reader has come.
    fn id(&self) -> String {
        let mut id = format!("{}.", std::process::id());
        for (place, number) in self.feed.acknowledged().numbers().iter().enumerate() {
            let _ = write!(id, "{}{number:x}", if place > 0 { "-" } else { "" });
        }
        id
    }
}

/// One reader.
struct Watcher {
    app: Arc<App>,
    followed: Option<Followed>,
    format: Format,
    peers: BTreeMap<(String, String), String>,
    tables: BTreeSet<String>,
    looks: u32,
    sent: Instant,
    _turn: OwnedSemaphorePermit,
}

impl Watcher {
    fn new(app: Arc<App>, turn: OwnedSemaphorePermit, followed: Option<Followed>, format: Format) -> Self {
        let (peers, tables) = (peers(&app), tables(&app));
        Self { app, followed, format, peers, tables, looks: 0, sent: Instant::now(), _turn: turn }
    }

    /// The next frame; `None` when the process stops.
    async fn next(&mut self) -> Option<String> {
        loop {
            if self.app.context.is_stopping() {
                return None;
            }
            let mut frame = Frame { text: String::new(), format: self.format };
            self.look_at_table(&mut frame);
            if self.looks.is_multiple_of(LOOKS) {
                self.look_at_peers(&mut frame);
            }
            self.looks = self.looks.wrapping_add(1);
            if frame.text.is_empty() && self.sent.elapsed() < HEARTBEAT && self.looks > 1 {
                sleep(LOOK).await;
                continue;
            }
            if self.looks == 1 && self.format == Format::Sse {
                frame.text.insert_str(0, "retry: 1000\n\n");
            } else if self.looks > 1 && !frame.text.is_empty() {
                // A reader gets at most four frames a second.
                sleep(LOOK).await;
            }
            self.sent = Instant::now();
            frame.end(self.followed.as_ref().map(Followed::id));
            return Some(frame.text);
        }
    }

    fn look_at_table(&mut self, frame: &mut Frame) {
        let Some(followed) = &mut self.followed else { return };
        if std::mem::take(&mut followed.starts_over) {
            frame.event("start_over", &json!({ "table": followed.table.definition().name }));
        }
        let shared = self.app.frame(&followed.table);
        let table = Arc::clone(&followed.table);
        let definition = table.definition();
        followed.feed.read(CHANGES, shared.now, |change| match change {
            Change::StartOver => frame.event("start_over", &json!({ "table": definition.name })),
            Change::Removed(key) => {
                frame.event("removed", &json!({ "key": plain(definition.key_type, key) }));
            }
            Change::Entry(entry) => {
                frame.event("entry", &Shown { frame: &shared, definition, entry: &entry });
            }
        });
        followed.feed.end_batch(());
        followed.feed.acknowledge(|()| true);
    }

    fn look_at_peers(&mut self, frame: &mut Frame) {
        let (peers, tables) = (peers(&self.app), tables(&self.app));
        for ((section, peer), state) in &peers {
            if self.peers.get(&(section.clone(), peer.clone())) != Some(state) {
                frame.event("peer", &json!({ "section": section, "peer": peer, "state": state }));
            }
        }
        for (section, peer) in self.peers.keys().filter(|known| !peers.contains_key(*known)) {
            frame.event("peer", &json!({ "section": section, "peer": peer, "state": "forgotten" }));
        }
        for name in tables.difference(&self.tables) {
            frame.event("table", &json!({ "table": name, "state": "made" }));
        }
        for name in self.tables.difference(&tables) {
            frame.event("table", &json!({ "table": name, "state": "gone" }));
        }
        (self.peers, self.tables) = (peers, tables);
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        if let Some(Followed { table, feed, .. }) = self.followed.take() {
            self.app.absent.keep(&table.definition().name, feed);
        }
    }
}

/// Each peer with the state of its session.
fn peers(app: &App) -> BTreeMap<(String, String), String> {
    let sections = app.context.sections();
    let peers = sections.iter().flat_map(|section| section.peers.iter().map(move |peer| (section, peer)));
    let remote = peers.filter(|(_, peer)| !peer.local);
    remote
        .map(|(section, peer)| {
            ((section.name.clone(), peer.name.clone()), peer.state.to_string().to_lowercase())
        })
        .collect()
}

fn tables(app: &App) -> BTreeSet<String> {
    app.context.tables().iter().map(|table| table.definition().name.clone()).collect()
}

/// An event on a line.
#[derive(Serialize)]
struct Line<'a, T> {
    event: &'a str,
    data: &'a T,
}

fn text(data: &impl Serialize) -> String {
    serde_json::to_string(data).expect("numbers and texts are JSON")
}

/// Events that are sent together.
struct Frame {
    text: String,
    format: Format,
}

impl Frame {
    fn event(&mut self, event: &str, data: &impl Serialize) {
        // Writing to a string cannot fail. JSON has no end of line.
        let _ = match self.format {
            Format::Sse => write!(self.text, "event: {event}\ndata: {}\n\n", text(data)),
            Format::Ndjson => writeln!(self.text, "{}", text(&Line { event, data })),
        };
    }

    /// Ends the frame with how far the reader has come, or with a sign of life.
    fn end(&mut self, id: Option<String>) {
        match (self.format, id) {
            (Format::Ndjson, Some(id)) => {
                let _ = writeln!(self.text, "{}", json!({ "event": "position", "id": id }));
            }
            (Format::Ndjson, None) => self.text.push('\n'),
            (Format::Sse, Some(id)) => {
                let _ = write!(self.text, "event: position\nid: {id}\ndata: {{}}\n\n");
            }
            (Format::Sse, None) => self.text.push_str(": here\n\n"),
        }
    }
}
