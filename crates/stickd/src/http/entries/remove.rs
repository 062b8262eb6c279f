//! `DELETE`: one entry, or those that match.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::one::is_sum;
use super::{Which, filters, key};
use crate::http::App;
use crate::http::gate::Rights;
use crate::http::input::{Parameters, Segments, may_change};
use crate::http::problem::Problem;
use crate::runtime::cluster_wide;
use crate::runtime::table_command::Target;

/// Delete one entry.
#[utoipa::path(
    delete,
    path = "/v1/tables/{table}/entries/{key}",
    tag = "entries",
    params(
        ("table" = String, Path, description = "Name of the table, `/` in it as %2F."),
        ("key" = String, Path, description = "The key."),
        Which,
    ),
    responses(
        (status = 204, description = "The entry is gone; with `cluster` nodes clear theirs within seconds."),
        (status = "4XX", body = Problem),
    ),
)]
pub(super) async fn remove(
    State(app): State<Arc<App>>,
    rights: Rights,
    Segments((name, word)): Segments<(String, String)>,
    Parameters(which): Parameters<Which>,
) -> Result<Response, Problem> {
    may_change(&app, rights)?;
    if which.cluster {
        let sum = app.context.sum(&name);
        let table = sum.as_ref().map_or_else(|| app.table(&name), |sum| Ok(Arc::clone(sum.output())))?;
        let target = Target::Key(key(table.definition(), &word, which.encoding)?);
        match sum {
            Some(sum) => cluster_wide::clear_nodes(&*app.context, &sum, &target)
                .map_err(|error| Problem::new(StatusCode::CONFLICT, error.to_string()))?,
            None => cluster_wide::clear(&*app.context, &table, &target),
        }
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let table = app.table(&name)?;
    let key = key(table.definition(), &word, which.encoding)?;
    match table.remove(&key, app.context.now()) {
        Ok(true) => Ok(StatusCode::NO_CONTENT.into_response()),
        Ok(false) => Err(Problem::new(StatusCode::NOT_FOUND, "the table has no entry of this key").at("key")),
        Err(error) => Err(Problem::bad_request(error.to_string()).at("key")),
    }
}

/// Which entries to delete.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Matching {
    /// Entries for which up to four filters hold, separated by commas, as in `clear table`: `data.gpc0 gt 5`.
    r#where: Option<String>,
    /// Every entry: needed when there is no filter.
    #[serde(default)]
    all: bool,
    /// On all nodes, as `cluster` on the runtime socket.
    #[serde(default)]
    cluster: bool,
}

/// What was deleted.
#[derive(Serialize, ToSchema)]
pub(super) struct Removed {
    /// How many entries; absent with `cluster`, where nodes clear theirs.
    #[serde(skip_serializing_if = "Option::is_none")]
    removed: Option<u32>,
}

/// Delete the entries for which filters hold, or all.
#[utoipa::path(
    delete,
    path = "/v1/tables/{table}/entries",
    tag = "entries",
    params(("table" = String, Path, description = "Name of the table, `/` in it as %2F."), Matching),
    responses((status = 200, body = Removed), (status = "4XX", body = Problem)),
)]
pub(super) async fn remove_matching(
    State(app): State<Arc<App>>,
    rights: Rights,
    Segments(name): Segments<String>,
    Parameters(matching): Parameters<Matching>,
) -> Result<Json<Removed>, Problem> {
    may_change(&app, rights)?;
    let sum = app.context.sum(&name).filter(|_| matching.cluster);
    let table = sum.as_ref().map_or_else(|| app.table(&name), |sum| Ok(Arc::clone(sum.output())))?;
    if !matching.cluster && app.sums_of(&table).is_some() {
        return Err(is_sum());
    }
    let filters = filters(table.definition(), matching.r#where.as_deref())?;
    if filters.is_empty() != matching.all {
        let text = "give filters in `where`, or `all=true` to delete every entry of the table, and not both";
        return Err(Problem::bad_request(text).at("where"));
    }
    let work = move || -> Result<Option<u32>, Problem> {
        let target = if filters.is_empty() { Target::All } else { Target::Matching(filters.clone()) };
        match (sum, matching.cluster) {
            (Some(sum), _) => {
                let done = cluster_wide::clear_nodes(&*app.context, &sum, &target);
                done.map(|()| None).map_err(|error| Problem::new(StatusCode::CONFLICT, error.to_string()))
            }
            (None, true) => {
                cluster_wide::clear(&*app.context, &table, &target);
                Ok(None)
            }
            (None, false) => {
                let (now, definition) = (app.context.now(), table.definition());
                let matches = |entry: stick_table::EntryRef<'_>| {
                    filters.iter().all(|filter| filter.holds(&entry, definition, now))
                };
                Ok(Some(table.remove_where(now, matches)))
            }
        }
    };
    let done = tokio::task::spawn_blocking(work).await;
    let failed =
        |_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the entries could not be deleted: see the log");
    Ok(Json(Removed { removed: done.map_err(failed)?? }))
}
