//! Who may ask: the checks that every request passes before it is routed.
//!
//! There are no cookies and no CORS headers, so a page of another site can send a request and never read the answer. It can send
//! none that changes anything: `Sec-Fetch-Site`, `Origin`, and `Host` say where a request comes from, and a body that changes
//! something must be JSON.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::App;
use super::problem::Problem;
use super::tokens::Tokens;
use crate::config::Level;

/// What a listener demands of its clients.
#[derive(Debug)]
pub(super) struct Door {
    /// What a client may do that shows no token, or one without a level.
    pub(super) level: Level,
    /// Tokens of which a client must show one.
    pub(super) tokens: Option<Tokens>,
    /// Browsers do not reach Unix sockets, so any `Host` is right there.
    pub(super) is_unix: bool,
}

/// What the client of a request may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rights(Option<Level>);

impl Rights {
    /// Whether the client may do what `level` may.
    ///
    /// # Errors
    /// 401 without a token where one is needed, 403 when the level is too low.
    pub(super) fn need(self, level: Level) -> Result<(), Problem> {
        match self.0 {
            Some(own) if own >= level => Ok(()),
            Some(own) => {
                let text = format!(
                    "this needs the level {}, and the client has {}: see \"level\" of the http bind line, or of the token",
                    level.word(),
                    own.word()
                );
                Err(Problem::new(StatusCode::FORBIDDEN, text))
            }
            None => {
                let text = "this needs a token: send `Authorization: Bearer TOKEN` with a token of the listener's token-file";
                Err(Problem::new(StatusCode::UNAUTHORIZED, text).at("Authorization"))
            }
        }
    }
}

/// Checks a request and notes the rights of its client; adds the headers that every answer has.
pub(super) async fn pass(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let door = request.extensions().get::<Arc<Door>>().cloned();
    let checked = door.ok_or_else(|| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "no listener"));
    let checked = checked.and_then(|door| check(&app.hosts, &door, &request));
    let is_page = matches!(request.uri().path(), "/" | "/page.css" | "/page.js");
    let mut response = match checked {
        Ok(rights) => {
            request.extensions_mut().insert(rights);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    };
    protect(response.headers_mut(), is_page);
    response
}

fn check(hosts: &[String], door: &Door, request: &Request) -> Result<Rights, Problem> {
    let headers = request.headers();
    if !door.is_unix {
        check_host(hosts, request)?;
    }
    check_site(request)?;
    let Some(tokens) = &door.tokens else { return Ok(Rights(Some(door.level))) };
    let Some(shown) = headers.get(header::AUTHORIZATION) else { return Ok(Rights(None)) };
    let token = bearer(shown).ok_or_else(|| {
        Problem::new(StatusCode::UNAUTHORIZED, "write `Authorization: Bearer TOKEN`").at("Authorization")
    })?;
    let level = tokens.level_of(token, door.level).ok_or_else(|| {
        let text = "the token is none of the listener's token-file";
        Problem::new(StatusCode::UNAUTHORIZED, text).at("Authorization")
    })?;
    Ok(Rights(Some(level)))
}

fn bearer(value: &HeaderValue) -> Option<&[u8]> {
    let (scheme, token) = value.as_bytes().split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

/// A page of another site may have its name lead to this address (DNS rebinding): then `Host` is that name.
fn check_host(hosts: &[String], request: &Request) -> Result<(), Problem> {
    let mut values = request.headers().get_all(header::HOST).iter();
    let (first, second) = (values.next(), values.next());
    let authority = match (request.uri().authority(), first, second) {
        (_, _, Some(_)) => return Err(Problem::bad_request("there are two Host headers").at("Host")),
        (Some(authority), ..) => Some(authority.clone()),
        (None, Some(value), None) => Some(
            Authority::try_from(value.as_bytes())
                .map_err(|_| Problem::bad_request("Host is not a name or an address").at("Host"))?,
        ),
        // HTTP/1.0, as of a health check: no browser speaks it.
        (None, None, None) => None,
    };
    let host = match &authority {
        Some(authority) => authority.host().trim_end_matches('.').to_ascii_lowercase(),
        None if request.version() < axum::http::Version::HTTP_11 => return Ok(()),
        None => return Err(Problem::bad_request("HTTP/1.1 needs a Host header").at("Host")),
    };
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(&host);
    if bare.parse::<IpAddr>().is_ok() || host == "localhost" || hosts.contains(&host) {
        return Ok(());
    }
    let text = "this name is not served: use the address, or add the name to `http hosts` in global";
    Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, text).at("Host"))
}

/// Refuses what a browser sends for a page of another site, unless it only opens a link.
fn check_site(request: &Request) -> Result<(), Problem> {
    let headers = request.headers();
    let refused = |place: &str| {
        let text = "the request comes from a page of another site, and is refused";
        Err(Problem::new(StatusCode::FORBIDDEN, text).at(place))
    };
    let is_read = request.method() == Method::GET || request.method() == Method::HEAD;
    let text = |name: &str| headers.get(name).map(HeaderValue::as_bytes);
    let is_link = is_read && text("sec-fetch-mode") == Some(b"navigate");
    if let Some(site) = text("sec-fetch-site")
        && ![&b"same-origin"[..], b"none"].contains(&site)
        && !is_link
    {
        return refused("Sec-Fetch-Site");
    }
    if let Some(origin) = headers.get(header::ORIGIN)
        && !is_own_origin(origin, headers)
    {
        return refused("Origin");
    }
    Ok(())
}

fn is_own_origin(origin: &HeaderValue, headers: &HeaderMap) -> bool {
    let own = headers.get(header::HOST).map(HeaderValue::as_bytes);
    let named = origin.as_bytes();
    let named = named.strip_prefix(b"http://").or_else(|| named.strip_prefix(b"https://"));
    named.is_some_and(|named| own.is_some_and(|own| own.eq_ignore_ascii_case(named)))
}

/// What a browser may do with an answer.
pub(super) fn protect(headers: &mut HeaderMap, is_page: bool) {
    const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                          img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
    for (name, value) in [
        ("content-security-policy", POLICY),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let caching = if is_page { "no-cache" } else { "no-store" };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use std::path::Path;

    fn request(method: &str, headers: &[(&str, &str)]) -> Request {
        let mut request = axum::http::Request::builder().method(method).uri("/v1/tables");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Body::empty()).unwrap()
    }

    fn door(is_unix: bool) -> Door {
        Door { level: Level::Operator, tokens: None, is_unix }
    }

    fn status(headers: &[(&str, &str)]) -> u16 {
        let hosts = ["stickd.example".to_owned()];
        let checked = check(&hosts, &door(false), &request("GET", headers));
        checked.map_or_else(|problem| problem.code().as_u16(), |_| 200)
    }

    #[test]
    fn names_that_may_lead_anywhere_are_refused() {
        for (host, expected) in [
            ("127.0.0.1", 200),
            ("127.0.0.1:8404", 200),
            ("[::1]:8404", 200),
            ("localhost:8404", 200),
            ("LOCALHOST", 200),
            ("stickd.example", 200),
            ("Stickd.Example.:1", 200),
            ("evil.example", 421),
            ("127.0.0.1.evil.example", 421),
            ("", 400),
            ("a b", 400),
        ] {
            assert_eq!(status(&[("host", host)]), expected, "{host}");
        }
        assert_eq!(status(&[]), 400);
        assert_eq!(status(&[("host", "127.0.0.1"), ("host", "localhost")]), 400);
        assert!(check(&[], &door(true), &request("GET", &[("host", "any.example")])).is_ok());
        let mut old = request("GET", &[]);
        *old.version_mut() = axum::http::Version::HTTP_10;
        assert!(check(&[], &door(false), &old).is_ok());
    }

    #[test]
    fn pages_of_other_sites_are_refused() {
        let host = ("host", "127.0.0.1:8404");
        for (headers, expected) in [
            (&[("sec-fetch-site", "same-origin")][..], 200),
            (&[("sec-fetch-site", "none")], 200),
            (&[("sec-fetch-site", "cross-site")], 403),
            (&[("sec-fetch-site", "same-site")], 403),
            (&[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")], 200),
            (&[("origin", "http://127.0.0.1:8404")], 200),
            (&[("origin", "http://127.0.0.1:8405")], 403),
            (&[("origin", "http://evil.example")], 403),
            (&[("origin", "null")], 403),
        ] {
            assert_eq!(status(&[&[host][..], headers].concat()), expected, "{headers:?}");
        }
        let form = [host, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")];
        assert!(check(&[], &door(false), &request("POST", &form)).is_err());
    }

    #[test]
    fn tokens_give_levels() {
        let token = "0123456789abcdef0123456789abcdef";
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("user {token}\n")).unwrap();
        let tokens = Some(Tokens::load(file.path()).unwrap());
        let door = Door { level: Level::Admin, tokens, is_unix: true };
        let rights = |headers: &[(&str, &str)]| check(&[], &door, &request("GET", headers));
        assert_eq!(rights(&[]), Ok(Rights(None)));
        assert_eq!(rights(&[("authorization", &format!("bearer {token}"))]), Ok(Rights(Some(Level::User))));
        for wrong in ["Bearer x", "Basic eDp5", "", token] {
            let problem = rights(&[("authorization", wrong)]).unwrap_err();
            assert_eq!(problem.code(), StatusCode::UNAUTHORIZED, "{wrong}");
        }
        let need = |rights: Rights, level| rights.need(level).map_err(|problem| problem.code().as_u16());
        assert_eq!(need(Rights(None), Level::User), Err(401));
        assert_eq!(need(Rights(Some(Level::User)), Level::Operator), Err(403));
        assert_eq!(need(Rights(Some(Level::Admin)), Level::Operator), Ok(()));
        assert!(Path::new(file.path()).exists());
    }
}
