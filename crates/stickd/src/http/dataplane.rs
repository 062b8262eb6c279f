//! The paths of HAProxy's Data Plane API v3 for stick tables, so that its clients work with stickd.
//!
//! What its form lacks stands beside it: all elements of arrays (`gpc_all`), `server_key`, `shard`, `refs`, DELETE, and `exp` when
//! an entry is set.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Any, json};
use stick_table::{EntryRef, Millis, Table, Walk};
use tokio::task::yield_now;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::App;
use super::entries::change::{Change, Rules, Sent};
use super::entries::{Encoding, filters, key};
use super::entries::{Rest, is_sum, store};
use super::gate::Rights;
use super::input::{self, Parameters, Segments, may_change};
use super::problem::Problem;
use crate::config::Level;
use crate::runtime::filter::Filter;
use crate::view::entry::{Values, plain};

/// Entries looked at before others have their turn.
const PER_TURN: usize = 1024;
/// Most entries of an answer: the form has no cursor.
const MOST: usize = 100_000;

/// The routes.
pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(tables)).routes(routes!(table)).routes(routes!(entries, set, delete))
}

/// A table in the form of the Data Plane API.
#[derive(Serialize, ToSchema)]
struct StickTable {
    name: String,
    r#type: &'static str,
    size: u32,
    used: u32,
    fields: Vec<StickField>,
}

/// What a table stores; an array once for each element.
#[derive(Serialize, ToSchema)]
struct StickField {
    field: &'static str,
    /// `rate` or `counter`.
    r#type: &'static str,
    /// Of a rate, in ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    period: Option<u32>,
    /// Number of elements of an array.
    #[serde(skip_serializing_if = "Option::is_none")]
    idx: Option<u32>,
}

impl StickTable {
    fn of(table: &Table) -> Self {
        let definition = table.definition();
        let fields = definition.columns().iter().map(|column| {
            let (data_type, is_rate) = (column.data_type(), column.data_type().has_period());
            StickField {
                field: data_type.name(),
                r#type: if is_rate { "rate" } else { "counter" },
                period: is_rate.then_some(column.period()),
                idx: data_type.is_array().then_some(column.count()),
            }
        });
        Self {
            name: definition.name.clone(),
            r#type: definition.key_type.word(),
            size: definition.size,
            used: table.len(),
            fields: fields.collect(),
        }
    }
}

/// List the tables as the Data Plane API does.
#[utoipa::path(
    get,
    path = "/v3/services/haproxy/runtime/stick_tables",
    tag = "data plane",
    responses((status = 200, body = Vec<StickTable>), (status = "4XX", body = Problem)),
)]
async fn tables(State(app): State<Arc<App>>, rights: Rights) -> Result<Json<Vec<StickTable>>, Problem> {
    rights.need(Level::User)?;
    Ok(Json(app.context.tables().iter().map(|table| StickTable::of(table)).collect()))
}

/// Show one table as the Data Plane API does.
#[utoipa::path(
    get,
    path = "/v3/services/haproxy/runtime/stick_tables/{name}",
    tag = "data plane",
    params(("name" = String, Path, description = "Name of the table, `/` in it as %2F.")),
    responses((status = 200, body = StickTable), (status = "4XX", body = Problem)),
)]
async fn table(
    State(app): State<Arc<App>>,
    rights: Rights,
    Segments(name): Segments<String>,
) -> Result<Json<StickTable>, Problem> {
    rights.need(Level::User)?;
    Ok(Json(StickTable::of(&*app.table(&name)?)))
}

/// Which entries.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Selection {
    /// Filters, separated by commas: `data.gpc0 gt 5`. All must hold.
    filter: Option<String>,
    /// Only the entry of this key.
    key: Option<String>,
    /// Most entries.
    count: Option<usize>,
    /// Entries to leave out at the start.
    offset: Option<usize>,
}

/// List entries as the Data Plane API does.
#[utoipa::path(
    get,
    path = "/v3/services/haproxy/runtime/stick_tables/{parent_name}/entries",
    tag = "data plane",
    params(("parent_name" = String, Path, description = "Name of the table, `/` in it as %2F."), Selection),
    responses((status = 200, body = Vec<serde_json::Value>), (status = "4XX", body = Problem)),
)]
async fn entries(
    State(app): State<Arc<App>>,
    rights: Rights,
    Segments(name): Segments<String>,
    Parameters(selection): Parameters<Selection>,
) -> Result<Json<Vec<Any>>, Problem> {
    rights.need(Level::Operator)?;
    let table = app.table(&name)?;
    let definition = table.definition();
    let filters = filters(definition, selection.filter.as_deref()).map_err(|problem| problem.at("filter"))?;
    let shared = app.context.shared(&table);
    let shard = |entry: &EntryRef<'_>| shared.as_deref().map_or(0, |shared| shared.shard_of(entry.key()));
    let matches = |filters: &[Filter], entry: &EntryRef<'_>, now| {
        filters.iter().all(|filter| filter.holds(entry, definition, now))
    };
    let mut found = Vec::new();
    if let Some(word) = &selection.key {
        let (key, now) = (key(definition, word, Encoding::Text)?, app.context.now());
        let shown = table.get(&key, now, |entry| {
            matches(&filters, &entry, now).then(|| stick_entry(&table, &entry, shard(&entry), now))
        });
        found.extend(shown.ok().flatten().flatten());
        return Ok(Json(found));
    }
    let (mut offset, most) = (selection.offset.unwrap_or(0), selection.count.unwrap_or(MOST).min(MOST));
    let (mut walk, mut more) = (Walk::default(), true);
    while more && found.len() < most {
        let now = app.context.now();
        more = table.walk(&mut walk, PER_TURN, now, |entry| {
            if found.len() == most || !matches(&filters, &entry, now) {
                return;
            }
            if offset > 0 {
                offset -= 1;
            } else {
                found.push(stick_entry(&table, &entry, shard(&entry), now));
            }
        });
        yield_now().await;
    }
    Ok(Json(found))
}

/// An entry in the form of the Data Plane API.
fn stick_entry(table: &Table, entry: &EntryRef<'_>, shard: u32, now: Millis) -> Any {
    let definition = table.definition();
    let mut object = Map::new();
    object.insert("id".to_owned(), json!(format!("{:#x}", entry.handle())));
    object.insert("key".to_owned(), plain(definition.key_type, entry.key()));
    object.insert("use".to_owned(), json!(false));
    object.insert("refs".to_owned(), json!(0));
    object.insert("exp".to_owned(), json!(entry.remaining().unwrap_or(0)));
    object.insert("shard".to_owned(), json!(shard));
    let value_of = |data_type, element| entry.value(data_type, element);
    let values = serde_json::to_value(Values { definition, now, value_of }).unwrap_or_default();
    let Any::Object(values) = values else { return Any::Object(object) };
    for (name, value) in values {
        match value {
            Any::Array(elements) => {
                if let Some(first) = elements.first() {
                    object.insert(name.clone(), json!({"idx": 0, "value": first}));
                }
                let all = elements.iter().enumerate().map(|(idx, value)| json!({"idx": idx, "value": value}));
                object.insert(format!("{name}_all"), all.collect());
            }
            value => {
                object.insert(name, value);
            }
        }
    }
    Any::Object(object)
}

/// An entry to set, as the Data Plane API takes it.
#[derive(Clone, Debug, Deserialize, ToSchema)]
struct NewEntry {
    /// The key.
    key: String,
    /// Values by data type; `exp` is the lifetime in ms. Fields of an entry that say what it is, such as `id`, have no effect.
    #[serde(default)]
    #[schema(value_type = Object)]
    data_type: BTreeMap<String, Any>,
}

/// Set an entry as the Data Plane API does, all values at once.
#[utoipa::path(
    post,
    path = "/v3/services/haproxy/runtime/stick_tables/{parent_name}/entries",
    tag = "data plane",
    params(("parent_name" = String, Path, description = "Name of the table, `/` in it as %2F.")),
    request_body = NewEntry,
    responses((status = 204, description = "The entry is set."), (status = "4XX", body = Problem), (status = 507, body = Problem)),
)]
async fn set(
    State(app): State<Arc<App>>,
    rights: Rights,
    Segments(name): Segments<String>,
    input::Json(new): input::Json<NewEntry>,
) -> Result<StatusCode, Problem> {
    may_change(&app, rights)?;
    let table = app.table(&name)?;
    if app.sums_of(&table).is_some() {
        return Err(is_sum());
    }
    let definition = table.definition();
    let key = key(definition, &new.key, Encoding::Text)?;
    let mut sent = Sent::default();
    for (name, value) in new.data_type {
        match name.as_str() {
            "id" | "key" | "use" | "refs" | "shard" => {}
            "exp" => {
                let ms = value
                    .as_u64()
                    .ok_or_else(|| Problem::bad_request("a number of ms is expected").at("data_type.exp"))?;
                sent.expires_ms = Some(ms).filter(|&ms| ms > 0);
            }
            _ => {
                // An element of an array: {"idx": 2, "value": 5}.
                match (value.get("idx").and_then(Any::as_u64), value.get("value")) {
                    (Some(idx), Some(value)) => sent.data.insert(format!("{name}[{idx}]"), value.clone()),
                    _ => sent.data.insert(name, value),
                };
            }
        }
    }
    let (max_server_key, now) = (app.context.max_server_key(), app.context.now());
    let change = Change::read(&sent, &Rules { definition, max_server_key, now })?;
    store(&table, &key, &change, Rest::Keep, now)?;
    app.context.changed();
    Ok(StatusCode::NO_CONTENT)
}

/// The key of an entry to delete.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Deleted {
    /// The key.
    key: String,
}

/// Delete an entry, which the Data Plane API cannot.
#[utoipa::path(
    delete,
    path = "/v3/services/haproxy/runtime/stick_tables/{parent_name}/entries",
    tag = "data plane",
    params(("parent_name" = String, Path, description = "Name of the table, `/` in it as %2F."), Deleted),
    responses((status = 204, description = "The entry is gone."), (status = "4XX", body = Problem)),
)]
async fn delete(
    State(app): State<Arc<App>>,
    rights: Rights,
    Segments(name): Segments<String>,
    Parameters(deleted): Parameters<Deleted>,
) -> Result<StatusCode, Problem> {
    may_change(&app, rights)?;
    let table = app.table(&name)?;
    let key = key(table.definition(), &deleted.key, Encoding::Text)?;
    match table.remove(&key, app.context.now()) {
        Ok(true) => Ok(StatusCode::NO_CONTENT),
        Ok(false) => Err(Problem::new(StatusCode::NOT_FOUND, "the table has no entry of this key").at("key")),
        Err(error) => Err(Problem::bad_request(error.to_string()).at("key")),
    }
}
