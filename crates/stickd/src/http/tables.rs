//! `/v1/tables`: which tables there are, and what they store.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use stick_table::{KeyType, Table};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::App;
use super::gate::Rights;
use super::input::Segments;
use super::problem::Problem;
use crate::config::Level;

/// The routes.
pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(get))
}

/// All tables.
#[derive(Serialize, ToSchema)]
struct Tables {
    tables: Vec<TableInfo>,
}

/// A table.
#[derive(Serialize, ToSchema)]
struct TableInfo {
    /// Its name here: `SECTION/NAME`, or the name of a proxy.
    name: String,
    /// Its name on the wire.
    network_name: String,
    /// `ip`, `ipv6`, `integer`, `string` or `binary`.
    r#type: &'static str,
    /// Most bytes of a key, of strings and binary keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    key_bytes: Option<u32>,
    /// Most entries.
    size: u32,
    /// Entries.
    used: u32,
    /// Lifetime of an entry without a change, in ms; `null` when entries do not expire.
    expire_ms: Option<u32>,
    /// Whether a full table refuses entries instead of evicting some.
    nopurge: bool,
    /// What entries store.
    fields: Vec<Field>,
}

/// What the entries of a table store.
#[derive(Serialize, ToSchema)]
struct Field {
    /// The data type.
    name: &'static str,
    /// Elements of an array.
    #[serde(skip_serializing_if = "Option::is_none")]
    elements: Option<u32>,
    /// Period of a rate, in ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    period_ms: Option<u32>,
}

impl TableInfo {
    fn of(table: &Table) -> Self {
        let definition = table.definition();
        let fields = definition.columns().iter().map(|column| Field {
            name: column.data_type().name(),
            elements: column.data_type().is_array().then_some(column.count()),
            period_ms: column.data_type().has_period().then_some(column.period()),
        });
        Self {
            name: definition.name.clone(),
            network_name: definition.network_name().to_owned(),
            r#type: definition.key_type.word(),
            key_bytes: match definition.key_type {
                KeyType::String { max_len: len } | KeyType::Binary { len } => Some(len),
                _ => None,
            },
            size: definition.size,
            used: table.len(),
            expire_ms: definition.expire,
            nopurge: definition.no_purge,
            fields: fields.collect(),
        }
    }
}

/// List the tables.
#[utoipa::path(get, path = "/v1/tables", tag = "tables", responses((status = 200, body = Tables), (status = "4XX", body = Problem)))]
async fn list(State(app): State<Arc<App>>, rights: Rights) -> Result<Json<Tables>, Problem> {
    rights.need(Level::User)?;
    let tables = app.context.tables().iter().map(|table| TableInfo::of(table)).collect();
    Ok(Json(Tables { tables }))
}

/// Show one table.
#[utoipa::path(
    get,
    path = "/v1/tables/{table}",
    tag = "tables",
    params(("table" = String, Path, description = "Name of the table, `/` in it as %2F.")),
    responses((status = 200, body = TableInfo), (status = "4XX", body = Problem)),
)]
async fn get(
    State(app): State<Arc<App>>,
    rights: Rights,
    Segments(name): Segments<String>,
) -> Result<Json<TableInfo>, Problem> {
    rights.need(Level::User)?;
    Ok(Json(TableInfo::of(&*app.table(&name)?)))
}
