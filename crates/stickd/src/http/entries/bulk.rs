//! `POST …/entries`: sets many entries, a line of JSON each, with an answer for each line.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use stick_table::Table;
use utoipa::ToSchema;

use super::change::{Change, Rules, Sent};
use super::one::{Rest, is_sum, store};
use super::{Encoding, key};
use crate::http::App;
use crate::http::gate::Rights;
use crate::http::input::{self, Segments, check_type, may_change};
use crate::http::limits::{BULK_BYTES, BULK_LINES, BULKS};
use crate::http::problem::Problem;

/// A line of the request: the key, with lifetime and values as in `PATCH`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    /// The key: a text, or a number in a table of integers.
    #[schema(value_type = String, example = "192.0.2.1")]
    key: Word,
    /// How `key` is written.
    #[serde(default)]
    #[schema(inline)]
    encoding: Encoding,
    /// As in `PATCH`.
    expires_ms: Option<u64>,
    /// As in `PATCH`.
    #[serde(default)]
    #[schema(value_type = Object)]
    data: std::collections::BTreeMap<String, serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Word {
    Text(String),
    Number(u32),
}

/// The answer to a line.
#[derive(Serialize, ToSchema)]
pub(super) struct Answer {
    /// Number of the line, from 1.
    line: usize,
    /// 200, or the status that the request of this entry alone would have.
    status: u16,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    /// Where in the line.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
}

/// Set many entries, each as `PATCH` does.
///
/// The whole body is read before anything is changed. A line that is wrong changes nothing and does not stop the others.
#[utoipa::path(
    post,
    path = "/v1/tables/{table}/entries",
    tag = "entries",
    params(("table" = String, Path, description = "Name of the table, `/` in it as %2F.")),
    request_body(content = Line, content_type = "application/x-ndjson", description = "At most 200000 lines and 32 MiB."),
    responses(
        (status = 200, body = Answer, content_type = "application/x-ndjson", description = "A line for each line."),
        (status = "4XX", body = Problem),
        (status = 503, body = Problem),
    ),
)]
pub(super) async fn upsert(
    State(app): State<Arc<App>>,
    rights: Rights,
    Segments(name): Segments<String>,
    request: Request,
) -> Result<Response, Problem> {
    may_change(&app, rights)?;
    check_type(request.headers(), &["application/x-ndjson", "application/ndjson", "application/jsonl"])?;
    let table = app.table(&name)?;
    if app.sums_of(&table).is_some() {
        return Err(is_sum());
    }
    let _turn = app.bulks.try_acquire().map_err(|_| {
        let text = format!("{BULKS} requests with many entries are under way already: try again");
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, text)
    })?;
    let body = input::read(request.into_body(), BULK_BYTES).await?;
    let lines = body.iter().filter(|&&byte| byte == b'\n').count();
    if lines > BULK_LINES {
        let text = format!("the body has more than {BULK_LINES} lines: send several requests");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, text).at("body"));
    }
    let worker = Arc::clone(&app);
    let answer = tokio::task::spawn_blocking(move || store_all(&worker, &table, &body)).await;
    let failed =
        |_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the entries could not be set: see the log");
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], answer.map_err(failed)?).into_response())
}

/// Sets all entries and returns the answers.
fn store_all(app: &App, table: &Table, body: &[u8]) -> Vec<u8> {
    let max_server_key = app.context.max_server_key();
    let mut out = Vec::new();
    for (number, line) in body.split(|&byte| byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let stored = store_line(app, table, line, max_server_key);
        if number % WAKE == WAKE - 1 {
            app.context.changed();
        }
        let problem = stored.as_ref().err();
        let answer = Answer {
            line: number + 1,
            status: problem.map_or(200, |problem| problem.code().as_u16()),
            message: problem.map(|problem| problem.message().to_owned()),
            at: problem.and_then(|problem| problem.place().map(str::to_owned)),
        };
        serde_json::to_writer(&mut out, &answer).expect("numbers and texts are JSON");
        out.push(b'\n');
    }
    app.context.changed();
    out
}

/// Lines after which sessions begin to push.
const WAKE: usize = 1024;

fn store_line(app: &App, table: &Table, line: &[u8], max_server_key: u64) -> Result<(), Problem> {
    let Line { key: word, encoding, expires_ms, data } = input::parse(line)?;
    let definition = table.definition();
    let key = match word {
        Word::Text(text) => key(definition, &text, encoding)?,
        Word::Number(number) => key(definition, &number.to_string(), encoding)?,
    };
    let now = app.context.now();
    let change = Change::read(&Sent { expires_ms, data }, &Rules { definition, max_server_key, now })?;
    store(table, &key, &change, Rest::Keep, now)
}
