//! The process, its peers, hubs and limits, as in the [`view`](crate::view).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::App;
use super::gate::Rights;
use super::problem::Problem;
use crate::config::Level;
use crate::view::{HubView, LimitsView, ProcessView, SectionView, StateView};

/// The routes.
pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(info))
        .routes(routes!(peers))
        .routes(routes!(hubs))
        .routes(routes!(limits))
        .routes(routes!(state))
}

/// Sections with their peers.
#[derive(Serialize, ToSchema)]
struct Sections {
    /// The most recently declared first.
    #[schema(value_type = Vec<Object>)]
    sections: Vec<SectionView>,
}

/// The `aggregations` sections.
#[derive(Serialize, ToSchema)]
struct Hubs {
    #[schema(value_type = Vec<Object>)]
    hubs: Vec<HubView>,
}

/// Tables on disk.
#[derive(Serialize, ToSchema)]
struct OnDisk {
    /// `null` without a `state` line.
    #[schema(value_type = Option<Object>)]
    state: Option<StateView>,
}

/// Show the process and its counts, as `show info`.
#[utoipa::path(get, path = "/v1/info", tag = "process", responses((status = 200, body = serde_json::Value), (status = "4XX", body = Problem)))]
async fn info(State(app): State<Arc<App>>, rights: Rights) -> Result<Json<ProcessView>, Problem> {
    rights.need(Level::User)?;
    Ok(Json(app.context.process()))
}

/// Show sections, peers and sessions, as `show peers`.
#[utoipa::path(get, path = "/v1/peers", tag = "process", responses((status = 200, body = Sections), (status = "4XX", body = Problem)))]
async fn peers(State(app): State<Arc<App>>, rights: Rights) -> Result<Json<Sections>, Problem> {
    rights.need(Level::User)?;
    Ok(Json(Sections { sections: app.context.sections() }))
}

/// Show hubs and their sums, as `show aggregations`.
#[utoipa::path(get, path = "/v1/hubs", tag = "process", responses((status = 200, body = Hubs), (status = "4XX", body = Problem)))]
async fn hubs(State(app): State<Arc<App>>, rights: Rights) -> Result<Json<Hubs>, Problem> {
    rights.need(Level::User)?;
    Ok(Json(Hubs { hubs: app.context.hubs() }))
}

/// Show limits: what is taken of each, and how often it was reached.
#[utoipa::path(get, path = "/v1/limits", tag = "process", responses((status = 200, body = serde_json::Value), (status = "4XX", body = Problem)))]
async fn limits(State(app): State<Arc<App>>, rights: Rights) -> Result<Json<LimitsView>, Problem> {
    rights.need(Level::User)?;
    Ok(Json(app.context.process().limits))
}

/// Show tables on disk.
#[utoipa::path(get, path = "/v1/state", tag = "process", responses((status = 200, body = OnDisk), (status = "4XX", body = Problem)))]
async fn state(State(app): State<Arc<App>>, rights: Rights) -> Result<Json<OnDisk>, Problem> {
    rights.need(Level::User)?;
    Ok(Json(OnDisk { state: app.context.process().state }))
}
