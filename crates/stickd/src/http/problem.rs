//! Errors of HTTP clients, as JSON: what is wrong, where, and what to do.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// Why a request is refused. The Data Plane API answers in the same form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// The status of the answer.
    #[schema(value_type = u16, example = 404)]
    #[serde(serialize_with = "number")]
    code: StatusCode,
    /// What is wrong, and what to do.
    #[schema(example = "there is no table \"rates\": GET /v1/tables lists them")]
    message: String,
    /// Where in the request: the name of a parameter, of a header, or of a field of the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "data.gpc0")]
    at: Option<String>,
}

fn number<S: serde::Serializer>(code: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(code.as_u16())
}

impl Problem {
    pub(super) fn new(code: StatusCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), at: None }
    }

    /// 400.
    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// The same with its place in the request.
    pub(super) fn at(mut self, place: impl Into<String>) -> Self {
        self.at = Some(place.into());
        self
    }

    pub(super) fn code(&self) -> StatusCode {
        self.code
    }

    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// Where in the request.
    pub(super) fn place(&self) -> Option<&str> {
        self.at.as_deref()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let code = self.code;
        let mut response = (code, Json(self)).into_response();
        let headers = response.headers_mut();
        match code {
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"stickd\""));
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response
    }
}
