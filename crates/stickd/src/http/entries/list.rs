//! `GET …/entries`: pages of entries, or all of them as lines of JSON.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use stick_table::{Table, Walk};
use tokio::task::yield_now;
use utoipa::{IntoParams, ToSchema};

use super::{Encoding, filters, key};
use crate::config::Level;
use crate::http::App;
use crate::http::gate::Rights;
use crate::http::input::{Parameters, Segments};
use crate::http::problem::Problem;
use crate::runtime::filter::Filter;
use crate::view::entry::{Frame, Shown};

/// Most entries of a page.
const MOST: usize = 10_000;
/// Entries of a page when the client does not say how many.
const DEFAULT: usize = 100;
/// Most entries looked at in one hold of a stripe's lock.
const PER_HOLD: usize = 64;
/// Most entries looked at before others have their turn.
const PER_TURN: usize = 4096;
/// Lines are sent when they have about this many bytes.
const CHUNK_BYTES: usize = 32 << 10;

/// Which entries to list.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Selection {
    /// Only the entry of this key.
    key: Option<String>,
    /// How `key` is written.
    #[serde(default)]
    #[param(inline)]
    encoding: Encoding,
    /// Only entries for which up to four filters hold, separated by commas, as in `show table`: `data.gpc0 gt 5`.
    r#where: Option<String>,
    /// Most entries of the page, 1 to 10000; 100 when absent.
    limit: Option<usize>,
    /// Where the page begins: `after` of the page before.
    after: Option<u64>,
    /// `ndjson` for all entries, one on a line; as `Accept: application/x-ndjson`.
    #[param(inline)]
    format: Option<Format>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Format {
    Json,
    Ndjson,
}

/// A page of entries.
#[derive(Serialize, ToSchema)]
pub(super) struct Page {
    /// In the order of the table's memory. An entry that exists all the time is on exactly one page.
    #[schema(value_type = Vec<Object>)]
    entries: Vec<Box<RawValue>>,
    /// What to send for the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<u64>,
}

/// List the entries of a table.
#[utoipa::path(
    get,
    path = "/v1/tables/{table}/entries",
    tag = "entries",
    params(("table" = String, Path, description = "Name of the table, `/` in it as %2F."), Selection),
    responses(
        (status = 200, body = Page, description = "A page of entries, or lines of JSON."),
        (status = "4XX", body = Problem),
    ),
)]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    rights: Rights,
    Segments(name): Segments<String>,
    Parameters(selection): Parameters<Selection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    rights.need(Level::Operator)?;
    let table = app.table(&name)?;
    let filters = filters(table.definition(), selection.r#where.as_deref())?;
    let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_lines = match selection.format {
        Some(format) => format == Format::Ndjson,
        None => accepts.contains("ndjson"),
    };
    if let Some(word) = &selection.key {
        return one(&app, &table, &key(table.definition(), word, selection.encoding)?);
    }
    let walk = selection.after.map_or_else(Walk::default, Walk::from_bits);
    let dump = Dump { app, table, filters, walk, more: true };
    if is_lines {
        return Ok(lines(dump));
    }
    let limit = selection.limit.unwrap_or(DEFAULT);
    if !(1..=MOST).contains(&limit) {
        return Err(Problem::bad_request(format!("a page has 1 to {MOST} entries")).at("limit"));
    }
    page(dump, limit).await
}

fn one(app: &App, table: &Table, key: &[u8]) -> Result<Response, Problem> {
    let (frame, definition) = (app.frame(table), table.definition());
    let shown = table.get(key, frame.now, |entry| raw(&Shown { frame: &frame, definition, entry: &entry }));
    let found = shown.map_err(|error| Problem::bad_request(error.to_string()).at("key"))?;
    Ok(axum::Json(Page { entries: found.into_iter().collect(), after: None }).into_response())
}

fn raw(shown: &Shown<'_>) -> Box<RawValue> {
    to_raw_value(shown).expect("numbers and texts are JSON")
}

/// A walk over a table.
struct Dump {
    app: Arc<App>,
    table: Arc<Table>,
    filters: Vec<Filter>,
    walk: Walk,
    more: bool,
}

impl Dump {
    /// Visits the entries of the next hold that match.
    fn step(&mut self, frame: &Frame, most: usize, mut visit: impl FnMut(&Shown<'_>)) {
        let Self { table, filters, walk, .. } = self;
        let definition = table.definition();
        self.more = table.walk(walk, most.min(PER_HOLD), frame.now, |entry| {
            if filters.iter().all(|filter| filter.holds(&entry, definition, frame.now)) {
                visit(&Shown { frame, definition, entry: &entry });
            }
        });
    }
}

async fn page(mut dump: Dump, limit: usize) -> Result<Response, Problem> {
    let mut entries = Vec::new();
    while dump.more && entries.len() < limit {
        let frame = dump.app.frame(&dump.table);
        for _ in 0..PER_TURN / PER_HOLD {
            // A walk ends behind the last entry that it visits, so it visits no more than the page takes.
            let room = limit - entries.len();
            if !dump.more || room == 0 {
                break;
            }
            dump.step(&frame, room, |shown| entries.push(raw(shown)));
        }
        yield_now().await;
    }
    let after = dump.more.then(|| dump.walk.to_bits());
    Ok(axum::Json(Page { entries, after }).into_response())
}

/// All entries, a line each, made while they are sent.
fn lines(dump: Dump) -> Response {
    let chunks = stream::unfold(dump, |mut dump| async move {
        let mut out = Vec::with_capacity(CHUNK_BYTES + 4096);
        while dump.more && out.len() < CHUNK_BYTES {
            let frame = dump.app.frame(&dump.table);
            for _ in 0..PER_TURN / PER_HOLD {
                if !dump.more || out.len() >= CHUNK_BYTES {
                    break;
                }
                dump.step(&frame, PER_HOLD, |shown| {
                    serde_json::to_writer(&mut out, shown).expect("numbers and texts are JSON");
                    out.push(b'\n');
                });
            }
            yield_now().await;
        }
        (!out.is_empty()).then(|| (Ok::<_, Infallible>(Bytes::from(out)), dump))
    });
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(chunks)).into_response()
}
