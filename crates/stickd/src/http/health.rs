//! `/live` and `/ready`, for orchestrators and load balancers. Neither needs a token.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::App;
use crate::view::Timer;

/// Whether the process is ready.
#[derive(Serialize, ToSchema)]
pub(super) struct Readiness {
    ready: bool,
    /// What it waits for, empty when it is ready.
    waits_for: Vec<String>,
}

/// Whether the process runs.
#[utoipa::path(get, path = "/live", tag = "process", responses((status = 200, description = "It does.")))]
pub(super) async fn live() -> &'static str {
    "live\n"
}

/// Whether the process has learned what its peers hold, or need not wait for it any more, and hubs publish their sums.
#[utoipa::path(
    get,
    path = "/ready",
    tag = "process",
    responses((status = 200, body = Readiness), (status = 503, body = Readiness)),
)]
pub(super) async fn ready(State(app): State<Arc<App>>) -> Response {
    let mut waits_for = Vec::new();
    if app.context.is_stopping() {
        waits_for.push("the process stops".to_owned());
    }
    for section in app.context.sections().iter().filter(|section| !section.disabled) {
        if section.resync_timeout != Timer::Never {
            waits_for.push(format!("the section {} learns from its peers", section.name));
        }
    }
    for hub in app.context.hubs().iter().filter(|hub| hub.holding) {
        waits_for.push(format!("the hub {} holds back its sums until it has its nodes' values", hub.name));
    }
    let status = if waits_for.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, axum::Json(Readiness { ready: waits_for.is_empty(), waits_for })).into_response()
}
