//! One entry: shown with what each node contributes, and set at once with all of its values.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use haproxy_peers::Order;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use stick_aggregate::{Aggregate, Contribution};
use stick_table::{DataType, Millis, Origin, Table, UpdateError, Value};
use utoipa::ToSchema;

use super::change::{Change, Rules, Sent};
use super::{Which, key};
use crate::config::Level;
use crate::http::App;
use crate::http::gate::Rights;
use crate::http::input::{Json, Parameters, Segments, may_change};
use crate::http::problem::Problem;
use crate::view::entry::{Shown, Values};

/// An entry.
#[derive(Serialize, ToSchema)]
pub(super) struct Entry {
    /// Key, remaining lifetime, shard, and values by data type.
    #[schema(value_type = Object)]
    entry: Box<RawValue>,
    /// What each node counts, in a table of sums.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    contributions: Vec<Box<RawValue>>,
}

/// What a node counts.
#[derive(Serialize)]
struct Part<V> {
    node: String,
    /// Whether the node sent it before it lost it.
    former: bool,
    expires_ms: Option<u32>,
    /// Time since the node sent it, in ms.
    age_ms: u64,
    data: V,
}

/// Show one entry.
#[utoipa::path(
    get,
    path = "/v1/tables/{table}/entries/{key}",
    tag = "entries",
    params(
        ("table" = String, Path, description = "Name of the table, `/` in it as %2F."),
        ("key" = String, Path, description = "The key."),
        Which,
    ),
    responses((status = 200, body = Entry), (status = "4XX", body = Problem)),
)]
pub(super) async fn get(
    State(app): State<Arc<App>>,
    rights: Rights,
    Segments((name, word)): Segments<(String, String)>,
    Parameters(which): Parameters<Which>,
) -> Result<Response, Problem> {
    rights.need(Level::Operator)?;
    let table = app.table(&name)?;
    let key = key(table.definition(), &word, which.encoding)?;
    show(&app, &table, &key)
}

/// Set an entry: values that are not given become 0.
#[utoipa::path(
    put,
    path = "/v1/tables/{table}/entries/{key}",
    tag = "entries",
    params(
        ("table" = String, Path, description = "Name of the table, `/` in it as %2F."),
        ("key" = String, Path, description = "The key."),
        Which,
    ),
    request_body = Sent,
    responses((status = 200, body = Entry), (status = "4XX", body = Problem), (status = 507, body = Problem)),
)]
pub(super) async fn put(
    State(app): State<Arc<App>>,
    rights: Rights,
    Segments((name, word)): Segments<(String, String)>,
    Parameters(which): Parameters<Which>,
    Json(sent): Json<Sent>,
) -> Result<Response, Problem> {
    may_change(&app, rights)?;
    let target = Target::find(&app, &name, &word, which)?;
    target.set(&app, &sent, Rest::Reset)
}

/// Change an entry, or create it: values that are not given stay as they are.
#[utoipa::path(
    patch,
    path = "/v1/tables/{table}/entries/{key}",
    tag = "entries",
    params(
        ("table" = String, Path, description = "Name of the table, `/` in it as %2F."),
        ("key" = String, Path, description = "The key."),
        Which,
    ),
    request_body = Sent,
    responses((status = 200, body = Entry), (status = "4XX", body = Problem), (status = 507, body = Problem)),
)]
pub(super) async fn patch(
    State(app): State<Arc<App>>,
    rights: Rights,
    Segments((name, word)): Segments<(String, String)>,
    Parameters(which): Parameters<Which>,
    Json(sent): Json<Sent>,
) -> Result<Response, Problem> {
    may_change(&app, rights)?;
    let target = Target::find(&app, &name, &word, which)?;
    target.set(&app, &sent, Rest::Keep)
}

/// What becomes of values that are not given.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Rest {
    Reset,
    Keep,
}

/// The entry of a request that changes it.
struct Target {
    table: Arc<Table>,
    sum: Option<Arc<Aggregate>>,
    key: Vec<u8>,
    which: Which,
}

impl Target {
    fn find(app: &App, name: &str, word: &str, which: Which) -> Result<Self, Problem> {
        let sum = app.context.sum(name);
        let table = match &sum {
            Some(sum) if which.cluster => Arc::clone(sum.output()),
            _ => app.table(name)?,
        };
        let key = key(table.definition(), word, which.encoding)?;
        Ok(Self { table, sum, key, which })
    }

    fn set(self, app: &App, sent: &Sent, rest: Rest) -> Result<Response, Problem> {
        let now = app.context.now();
        let max_server_key = app.context.max_server_key();
        if let Some(sum) = &self.sum {
            if !self.which.cluster {
                return Err(is_sum());
            }
            if sent.expires_ms.is_some() {
                let text = "nodes keep their own lifetimes: leave it out";
                return Err(Problem::bad_request(text).at("expires_ms"));
            }
            let change = Change::read(sent, &Rules { definition: sum.source(), max_server_key, now })?;
            order(app, sum, &self.key, &change, now)?;
        } else {
            let change =
                Change::read(sent, &Rules { definition: self.table.definition(), max_server_key, now })?;
            store(&self.table, &self.key, &change, rest, now)?;
            app.context.changed();
        }
        show(app, &self.table, &self.key)
    }
}

/// The refusal to set a sum.
pub(in crate::http) fn is_sum() -> Problem {
    let text = "the table holds sums, which nodes send again at any time: add ?cluster=true to change the values of all nodes";
    Problem::new(StatusCode::CONFLICT, text).at("table")
}

/// Sets an entry in one hold of its stripe's lock.
///
/// # Errors
/// When the table is full; nothing is changed then.
pub(in crate::http) fn store(
    table: &Table,
    key: &[u8],
    change: &Change,
    rest: Rest,
    now: Millis,
) -> Result<(), Problem> {
    let result = table.update(key, Origin::LOCAL, change.lifetime, now, |entry| {
        if rest == Rest::Reset {
            entry.reset();
        }
        change.apply(entry);
    });
    result.map_err(|error| match error {
        UpdateError::Full => {
            let text = "the table is full, and evicts no entry (nopurge): delete entries, or raise its size";
            Problem::new(StatusCode::INSUFFICIENT_STORAGE, text)
        }
        UpdateError::Key(error) => Problem::bad_request(error.to_string()).at("key"),
    })
}

/// Sets the values of all nodes of a hub.
fn order(app: &App, sum: &Arc<Aggregate>, key: &[u8], change: &Change, now: Millis) -> Result<(), Problem> {
    let values: Vec<_> =
        change.values.iter().map(|set| (set.data_type, set.element, set.value.clone())).collect();
    if values.is_empty() {
        return Err(Problem::bad_request("there is no value to set").at("data"));
    }
    let orders = app.context.orders(sum, Order::Set(&values));
    let given = orders.and_then(|orders| orders.give(key, now));
    given.map_err(|error| Problem::new(StatusCode::CONFLICT, error.to_string()))?;
    app.context.changed();
    Ok(())
}

fn show(app: &App, table: &Table, key: &[u8]) -> Result<Response, Problem> {
    let (frame, definition) = (app.frame(table), table.definition());
    let found = table.get(key, frame.now, |entry| raw(&Shown { frame: &frame, definition, entry: &entry }));
    let found = found.map_err(|error| Problem::bad_request(error.to_string()).at("key"))?;
    let Some(entry) = found else {
        return Err(Problem::new(StatusCode::NOT_FOUND, "the table has no entry of this key").at("key"));
    };
    let contributions =
        app.sums_of(table).map(|sum| contributions(app, &sum, key, frame.now)).unwrap_or_default();
    Ok(axum::Json(Entry { entry, contributions }).into_response())
}

fn contributions(app: &App, sum: &Arc<Aggregate>, key: &[u8], now: Millis) -> Vec<Box<RawValue>> {
    let hubs = app.context.hubs();
    let hub = hubs.iter().find(|hub| hub.has(&sum.source().name));
    let name = |contribution: &Contribution| {
        let name = hub.and_then(|hub| hub.name_of(contribution.node.number()));
        name.map_or_else(|| format!("#{}", contribution.node.number()), str::to_owned)
    };
    // The key was looked up, so it is the table's.
    let found = sum.contributions(key, now).unwrap_or_default();
    let parts = found.iter().map(|contribution| {
        let value_of = |data_type: DataType, number: u32| -> Option<Value> {
            let mut sent = contribution.values.iter();
            let (_, _, value) = sent.find(|(sent, element, _)| (*sent, *element) == (data_type, number))?;
            Some(value.clone())
        };
        raw(&Part {
            node: name(contribution),
            former: contribution.former,
            expires_ms: contribution.remaining,
            age_ms: contribution.age.into(),
            data: Values { definition: sum.source(), now, value_of },
        })
    });
    parts.collect()
}

fn raw(shown: &impl Serialize) -> Box<RawValue> {
    to_raw_value(shown).expect("numbers and texts are JSON")
}
