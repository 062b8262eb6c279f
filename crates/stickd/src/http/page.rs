//! The page: three files, as they are in the program.

use axum::Router;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use std::sync::Arc;

use super::App;

const HTML: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

/// The routes. They need no token: what the page shows, it asks the API for.
pub(super) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/", get(async || file("text/html; charset=utf-8", HTML)))
        .route("/page.css", get(async || file("text/css; charset=utf-8", STYLE)))
        .route("/page.js", get(async || file("text/javascript; charset=utf-8", SCRIPT)))
}

fn file(content_type: &'static str, text: &'static str) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, content_type)], text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The policy lets nothing inline run, and keys are strangers' words.
    #[test]
    fn the_page_has_no_script_and_no_style_of_its_own() {
        for word in ["style=", "onclick=\"", "<style", "http://", "https://"] {
            assert!(!HTML.contains(word), "{word}");
        }
        assert_eq!(HTML.matches("<script").count(), 1);
        for word in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
            assert!(!SCRIPT.contains(word), "{word}");
        }
    }
}
