//! What comes with a request: path, query and body, read within bounds. Each fault is a [`Problem`] that names its place.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::App;
use super::gate::Rights;
use super::limits::{BODY, BODY_BYTES};
use super::problem::Problem;
use crate::config::Level;

impl FromRequestParts<Arc<App>> for Rights {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Problem> {
        let rights = parts.extensions.get().copied();
        rights.ok_or_else(|| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the request passed no gate"))
    }
}

/// Segments of the path, decoded.
pub(super) struct Segments<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<App>> for Segments<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        match Path::from_request_parts(parts, app).await {
            Ok(Path(segments)) => Ok(Self(segments)),
            Err(rejection) => Err(Problem::bad_request(rejection.body_text()).at("path")),
        }
    }
}

/// The query.
pub(super) struct Parameters<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<Arc<App>> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Problem> {
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(parameters)) => Ok(Self(parameters)),
            Err(rejection) => Err(Problem::bad_request(rejection.body_text()).at("query")),
        }
    }
}

/// A body of JSON.
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &Arc<App>) -> Result<Self, Problem> {
        check_type(request.headers(), &["application/json"])?;
        let body = read(request.into_body(), BODY_BYTES).await?;
        parse(&body).map(Self)
    }
}

/// Reads JSON.
///
/// # Errors
/// With line and column of what is wrong.
pub(super) fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(json).map_err(|error| {
        let place = format!("body, line {}, column {}", error.line(), error.column());
        let text = error.to_string();
        let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
        Problem::bad_request(text).at(place)
    })
}

/// Refuses a body that is said to be something else, as a form of another site would say.
pub(super) fn check_type(headers: &HeaderMap, wanted: &[&str]) -> Result<(), Problem> {
    let said = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let said = said.split(';').next().unwrap_or_default().trim();
    if wanted.iter().any(|wanted| said.eq_ignore_ascii_case(wanted)) {
        return Ok(());
    }
    let text = format!("the body must be said to be {}", wanted.join(" or "));
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text).at("Content-Type"))
}

/// Reads a body of at most `limit` bytes.
pub(super) async fn read(body: Body, limit: usize) -> Result<Bytes, Problem> {
    match timeout(BODY, axum::body::to_bytes(body, limit)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if is_too_long(&error) => {
            let text = format!("the body has more than {limit} bytes");
            Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, text).at("body"))
        }
        Ok(Err(error)) => Err(Problem::bad_request(format!("the body cannot be read: {error}")).at("body")),
        Err(_) => {
            let text = format!("the body did not come within {} s", BODY.as_secs());
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, text).at("body"))
        }
    }
}

fn is_too_long(error: &axum::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if error.is::<http_body_util::LengthLimitError>() {
            return true;
        }
        source = error.source();
    }
    false
}

/// What a request must be allowed to that changes something: the level, and a process that is not about to end.
pub(super) fn may_change(app: &App, rights: Rights) -> Result<(), Problem> {
    rights.need(Level::Operator)?;
    if app.context.is_stopping() {
        let text = "this process hands over to the next one, which would not see the change: try again";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, text));
    }
    Ok(())
}
