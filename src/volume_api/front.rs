//! What happens to a request before it is routed, and to every answer.
//!
//! All paths exist with a project and without one, and with `.json` at their end: both are taken off here, so
//! that the routes are written, and documented, once.

use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, VARY};
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use percent_encoding::percent_decode_str;

use super::fault::{Unversioned, not_found};
use super::links::Links;
use super::microversion::{self, Requested};
use crate::http::{App, RequestId, Unauthenticated, note_global_id};

const COMPUTE_REQUEST_ID: HeaderName = HeaderName::from_static("x-compute-request-id");

/// The project in the path of a request; [`super::request::Call`] compares it with the caller's.
#[derive(Clone, Debug)]
pub struct ProjectInPath(pub Option<String>);

#[derive(Clone)]
pub struct Front {
    pub app: App,
    /// The path below which this router is mounted: empty, or `/volume`.
    pub mount: &'static str,
}

pub async fn front(State(front): State<Front>, request: Request, next: Next) -> Response {
    match *request.method() {
        Method::OPTIONS => return StatusCode::OK.into_response(),
        // The router would answer it as GET; the real service knows no HEAD.
        Method::HEAD => return not_found().await,
        _ => {}
    }
    note_global_id(request.headers());
    let (mut parts, body) = request.into_parts();
    let Some((path, project)) = canonical(parts.uri.path()) else { return not_found().await };
    let Some(uri) = with_path(&parts.uri, path) else { return not_found().await };
    let requested = Requested::from_headers(&parts.headers);
    let request_id = parts.extensions.get::<RequestId>().and_then(|id| HeaderValue::from_str(&id.0).ok());
    let links = Links::new(&front.app.config, &parts, front.mount, project.clone());
    parts.uri = uri;
    parts.extensions.insert(links);
    parts.extensions.insert(ProjectInPath(project));
    parts.extensions.insert(requested.clone());

    let mut response = next.run(Request::from_parts(parts, body)).await;
    let extensions = response.extensions();
    if extensions.get::<Unversioned>().is_some() || extensions.get::<Unauthenticated>().is_some() {
        return response;
    }
    let is_json = response.headers().get(CONTENT_TYPE).is_some_and(|value| value == "application/json");
    let headers = response.headers_mut();
    if let Some(version) = requested.echo().and_then(|text| HeaderValue::from_str(&text).ok()) {
        headers.insert(microversion::HEADER, version);
        headers.insert(VARY, HeaderValue::from_static("OpenStack-API-Version"));
    }
    if let Some(id) = request_id.filter(|_| is_json) {
        headers.insert(COMPUTE_REQUEST_ID, id);
    }
    response
}

/// The path without project and suffix, and the project. `None`: not a path of this API.
fn canonical(path: &str) -> Option<(String, Option<String>)> {
    let decoded = percent_decode_str(path).decode_utf8().ok()?;
    if decoded.contains('\0') {
        return None;
    }
    let path = path.strip_suffix(".json").unwrap_or(path);
    let in_project = path.strip_prefix("/v3/").and_then(|rest| rest.split_once('/'));
    Some(match in_project.filter(|(project, rest)| names_a_project(project) && !rest.is_empty()) {
        Some((project, rest)) => (format!("/v3/{rest}"), Some(project.to_owned())),
        None => (path.to_owned(), None),
    })
}

/// `[0-9a-f\-]+`, which is the real service's default and no name of a resource.
fn names_a_project(segment: &str) -> bool {
    !segment.is_empty() && segment.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f' | b'-'))
}

fn with_path(uri: &Uri, mut path: String) -> Option<Uri> {
    if let Some(query) = uri.query() {
        path.push('?');
        path.push_str(query);
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(path).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn project_and_suffix_are_taken_off() {
        for (path, expected, project) in [
            ("/", "/", None),
            ("/v3/", "/v3/", None),
            ("/v3/volumes", "/v3/volumes", None),
            ("/v3/volumes/detail.json", "/v3/volumes/detail", None),
            ("/v3/0af-1/volumes/x", "/v3/volumes/x", Some("0af-1")),
            ("/v3/0af/", "/v3/0af/", None),
            ("/v3/0af", "/v3/0af", None),
            ("/v3/XYZ/volumes", "/v3/XYZ/volumes", None),
        ] {
            let (path_left, project_found) = canonical(path).unwrap();
            assert_eq!((path_left.as_str(), project_found.as_deref()), (expected, project), "{path}");
        }
        assert!(canonical("/v3/volumes/%00").is_none());
        assert!(canonical("/v3/volumes/%ff").is_none());
    }
}
