//! `GET …/top`: the entries with the largest values of a column.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use stick_table::Walk;
use tokio::task::yield_now;
use utoipa::{IntoParams, ToSchema};

use super::filters;
use crate::config::Level;
use crate::http::App;
use crate::http::gate::Rights;
use crate::http::input::{Parameters, Segments};
use crate::http::problem::Problem;
use crate::runtime::filter::DataName;
use crate::view::entry::Shown;
use crate::view::top::Top as LargestFirst;

/// Most entries of an answer.
const MOST: usize = 1_000;

/// What to order by.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Order {
    /// A data type, such as `http_req_rate` or `gpc[2]`.
    by: String,
    /// How many entries, 1 to 1000; 20 when absent.
    n: Option<usize>,
    /// Only entries for which up to four filters hold, separated by commas, as in `show table`.
    r#where: Option<String>,
}

/// The entries with the largest values, the largest first.
#[derive(Serialize, ToSchema)]
pub(super) struct Top {
    /// The data type.
    by: String,
    /// Entries that were looked at.
    entries_seen: u64,
    /// As in a page of entries.
    #[schema(value_type = Vec<Object>)]
    entries: Vec<Box<RawValue>>,
}

/// Show the entries with the largest values of a data type.
#[utoipa::path(
    get,
    path = "/v1/tables/{table}/top",
    tag = "entries",
    params(("table" = String, Path, description = "Name of the table, `/` in it as %2F."), Order),
    responses((status = 200, body = Top), (status = "4XX", body = Problem)),
)]
pub(super) async fn top(
    State(app): State<Arc<App>>,
    rights: Rights,
    Segments(name): Segments<String>,
    Parameters(order): Parameters<Order>,
) -> Result<Json<Top>, Problem> {
    rights.need(Level::Operator)?;
    let table = app.table(&name)?;
    let definition = table.definition();
    let filters = filters(definition, order.r#where.as_deref())?;
    let most = order.n.unwrap_or(20);
    if !(1..=MOST).contains(&most) {
        return Err(Problem::bad_request(format!("1 to {MOST} entries can be asked for")).at("n"));
    }
    let by = order.by.strip_prefix("data.").unwrap_or(&order.by);
    let found = DataName::find(by.as_bytes(), definition).ok();
    let found = found.and_then(|(name, column)| Some((name.element_of(&column)?, column)));
    let Some((element, column)) = found else {
        let known: Vec<_> = definition.columns().iter().map(|column| column.data_type().name()).collect();
        let text = format!("the table has no data type \"{by}\": it stores {}", known.join(", "));
        return Err(Problem::bad_request(text).at("by"));
    };
    let mut top = LargestFirst::new(column, element, most);
    let (mut walk, mut more) = (Walk::default(), true);
    while more {
        more = top.look(&table, &mut walk, &filters, app.context.now());
        yield_now().await;
    }
    let entries_seen = top.seen();
    let frame = app.frame(&table);
    let mut entries = Vec::new();
    for key in top.keys() {
        // One that ended meanwhile is left out.
        let shown = table
            .get(&key, frame.now, |entry| to_raw_value(&Shown { frame: &frame, definition, entry: &entry }));
        entries.extend(shown.ok().flatten().and_then(Result::ok));
    }
    Ok(Json(Top { by: by.to_owned(), entries_seen, entries }))
}
