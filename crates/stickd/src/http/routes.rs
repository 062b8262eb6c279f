//! The handler of each path, and the OpenAPI document.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::{Router, middleware};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::limits::BODY_BYTES;
use super::problem::Problem;
use super::{App, dataplane, entries, events, gate, health, metrics, page, process, tables};
use crate::config::Level;

/// The document, without its paths.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "stickd",
        description = "Stick tables, peers and hubs of a stickd. Errors are JSON: what is wrong, where, and what to do.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    tags(
        (name = "tables", description = "Tables and their definitions."),
        (name = "entries", description = "Entries of a table. They need the level operator."),
        (name = "data plane", description = "Paths of HAProxy's Data Plane API v3."),
        (name = "process", description = "The process, its peers, hubs and limits."),
    ),
)]
struct Document;

/// All routes behind the gate.
pub(super) fn router(app: &Arc<App>) -> Router {
    let (router, document) = documented().split_for_parts();
    let document = document.to_pretty_json().expect("the document has texts and numbers only");
    let document: Arc<str> = document.into();
    let show = move |State(_): State<Arc<App>>, rights: gate::Rights| {
        let document = Arc::clone(&document);
        async move {
            rights.need(Level::User)?;
            Ok::<_, Problem>(([(header::CONTENT_TYPE, "application/json")], document.to_string()))
        }
    };
    router
        .route("/openapi.json", axum::routing::get(show))
        .merge(page::router())
        .fallback(unknown_path)
        .method_not_allowed_fallback(unknown_method)
        .layer(middleware::from_fn_with_state(Arc::clone(app), gate::pass))
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .with_state(Arc::clone(app))
}

fn documented() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(metrics::show))
        .routes(routes!(events::follow))
        .merge(process::router())
        .merge(tables::router())
        .merge(entries::router())
        .merge(dataplane::router())
}

async fn unknown_path(uri: Uri) -> Response {
    let text = format!(
        "there is nothing at {}: GET /openapi.json lists the paths; write %2F for a slash in a name",
        uri.path()
    );
    Problem::new(StatusCode::NOT_FOUND, text).at("path").into_response()
}

async fn unknown_method(uri: Uri) -> Response {
    let text = format!("{} has no such method: GET /openapi.json lists them", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, text).at("method").into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What clients are made from. `BLESS=1` writes it.
    #[test]
    fn the_document_is_the_one_that_users_have() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
        let document = documented().into_openapi().to_pretty_json().unwrap() + "\n";
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(file, &document).unwrap();
        }
        let saved = std::fs::read_to_string(file).unwrap_or_default();
        assert!(saved == document, "docs/openapi.json is not what the routes say: BLESS=1 writes it");
    }
}
