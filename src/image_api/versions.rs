//! Which versions there are.

use std::convert::Infallible;

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use super::stores;
use crate::http::{App, host};

/// In the order in which Glance without an image cache has them, with several stores and with one. The newest stands in
/// the middle. Minor versions never change an answer.
const WITH_STORES: &[&str] = &[
    "2.15", "2.13", "2.12", "2.11", "2.10", "2.9", "2.8", CURRENT, "2.7", "2.6", "2.5", "2.4", "2.3", "2.2",
    "2.1", "2.0",
];
const WITH_ONE_STORE: &[&str] =
    &["2.15", "2.9", CURRENT, "2.7", "2.6", "2.5", "2.4", "2.3", "2.2", "2.1", "2.0"];
const CURRENT: &str = "2.17";

const ACCEPTED_TYPE: &str = "application/vnd.openstack.images-v";

#[derive(Serialize, ToSchema)]
pub struct Versions {
    versions: Vec<Version>,
}

#[derive(Serialize, ToSchema)]
pub struct Version {
    #[schema(example = "v2.17")]
    id: String,
    /// `CURRENT` for the newest, else `SUPPORTED`.
    status: &'static str,
    links: Vec<Link>,
}

#[derive(Serialize, ToSchema)]
pub struct Link {
    rel: &'static str,
    href: String,
}

/// What a path asks for.
#[derive(Debug, PartialEq)]
pub(super) enum Wanted {
    /// The version document.
    Versions,
    /// The version document, as an answer to a path that names no version.
    Choices,
    /// How the service is.
    Health,
    /// A version and nothing more.
    Root,
    /// A route, its version written as `/v2`.
    Route(String),
}

/// The first segment of the path names the version, or else the `Accept` header does. A first segment that is
/// no version is answered by the document, whatever follows it.
pub(super) fn wanted(path: &str, accept: Option<&str>) -> Wanted {
    if path.strip_prefix("/healthcheck").is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
        return Wanted::Health;
    }
    let path = path.trim_start_matches('/');
    let (first, rest) = match path.split_once('/') {
        Some((first, rest)) => (first, Some(rest)),
        None => (path, None),
    };
    if first == "versions" {
        return Wanted::Versions;
    }
    if let Some(version) = accept.and_then(|accept| accept.strip_prefix(ACCEPTED_TYPE)) {
        return if is_served(version) { Wanted::Route(format!("/v2/{path}")) } else { Wanted::Choices };
    }
    match (first.strip_prefix('v'), rest) {
        (Some(version), Some(rest)) if is_served(version) => Wanted::Route(format!("/v2/{rest}")),
        (Some(version), None) if is_served(version) => Wanted::Root,
        _ => Wanted::Choices,
    }
}

fn is_served(version: &str) -> bool {
    version == "2" || WITH_STORES.contains(&version)
}

/// Where the API is mounted: nothing, or for instance `/image`.
#[derive(Clone, Copy)]
pub(super) struct Mounted(pub &'static str);

/// The address that links start with, without a slash at its end.
pub(super) struct Base(pub String);

impl FromRequestParts<App> for Base {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Infallible> {
        if let Some(endpoint) = &app.config.api.image_public_endpoint {
            return Ok(Base(endpoint.trim_end_matches('/').to_owned()));
        }
        let host = host(&app.config, parts);
        let prefix = parts.extensions.get::<Mounted>().map_or("", |mounted| mounted.0);
        Ok(Base(format!("{}://{host}{prefix}", app.config.scheme())))
    }
}

fn document(app: &App, base: &str) -> Json<Versions> {
    let versions = if stores::are_shown(&app.config) { WITH_STORES } else { WITH_ONE_STORE };
    let versions = versions.iter().map(|version| Version {
        id: format!("v{version}"),
        status: if *version == CURRENT { "CURRENT" } else { "SUPPORTED" },
        links: vec![Link { rel: "self", href: format!("{base}/v2/") }],
    });
    Json(Versions { versions: versions.collect() })
}

/// Which versions there are.
#[utoipa::path(
    get, path = "/versions", tag = "versions", operation_id = "list_versions",
    responses((status = 200, description = "The versions", body = Versions))
)]
pub(super) async fn list(State(app): State<App>, base: Base) -> Json<Versions> {
    document(&app, &base.0)
}

/// Which versions there are. Any path whose first segment is no version is answered like this one.
#[utoipa::path(
    get, path = "/", tag = "versions", operation_id = "choose_version",
    responses((status = 300, description = "The versions", body = Versions))
)]
pub(super) async fn choices(State(app): State<App>, base: Base) -> (StatusCode, Json<Versions>) {
    (StatusCode::MULTIPLE_CHOICES, document(&app, &base.0))
}

/// For who asks whether the service answers at all.
#[utoipa::path(
    get, path = "/healthcheck", tag = "versions", operation_id = "check_health",
    responses((status = 200, description = "`OK`", body = String, content_type = "text/plain"))
)]
pub(super) async fn health() -> ([(HeaderName, &'static str); 1], &'static str) {
    ([(header::CONTENT_TYPE, "text/plain; charset=UTF-8")], "OK")
}

/// A version and nothing more; Glance sends the client to a path that is not there.
#[utoipa::path(
    get, path = "/v2", tag = "versions", operation_id = "find_version",
    responses((status = 302, description = "To `/v2/`", headers(("Location" = String, description = "Its address"))))
)]
pub(super) async fn root(base: Base) -> (StatusCode, [(HeaderName, String); 1]) {
    (StatusCode::FOUND, [(header::LOCATION, format!("{}/v2/", base.0))])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_a_prefix() {
        let route = |path: &str| Wanted::Route(path.to_owned());
        assert_eq!(wanted("/v2/images", None), route("/v2/images"));
        assert_eq!(wanted("/v2.3/images/x", Some("*/*")), route("/v2/images/x"));
        assert_eq!(wanted("//v2/images", None), route("/v2/images"));
        assert_eq!(wanted("/v2", None), Wanted::Root);
        assert_eq!(wanted("/v2/", None), route("/v2/"));
        assert_eq!(wanted("/versions", None), Wanted::Versions);
        let accept = Some("application/vnd.openstack.images-v2.1");
        assert_eq!(wanted("/images", accept), route("/v2/images"));
        assert_eq!(wanted("/images", Some("application/vnd.openstack.images-v9")), Wanted::Choices);
        for path in ["/healthcheck", "/healthcheck/"] {
            assert_eq!(wanted(path, accept), Wanted::Health, "{path}");
        }
        for path in [
            "/healthchecks",
            "//healthcheck",
            "/",
            "",
            "/v3/images",
            "/v2.99/images",
            "/V2/images",
            "/v/images",
            "/images",
        ] {
            assert_eq!(wanted(path, None), Wanted::Choices, "{path}");
        }
    }
}
