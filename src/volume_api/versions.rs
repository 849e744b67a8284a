//! `GET /`, `GET /v3/`, `GET /v3`, `GET /healthcheck`: what stands outside of any version.

use axum::Extension;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::fault::{Unversioned, answer};
use super::links::Links;

#[derive(Serialize, ToSchema)]
pub struct Versions {
    #[schema(value_type = Vec<Version>)]
    versions: [Version; 1],
}

#[derive(Serialize, ToSchema)]
pub struct Version {
    id: &'static str,
    status: &'static str,
    version: &'static str,
    min_version: &'static str,
    updated: &'static str,
    #[schema(value_type = Vec<Object>)]
    links: [VersionLink; 2],
    #[serde(rename = "media-types")]
    #[schema(value_type = Vec<Object>)]
    media_types: [MediaType; 1],
}

#[derive(Serialize)]
struct VersionLink {
    rel: &'static str,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    media_type: Option<&'static str>,
    href: String,
}

#[derive(Serialize)]
struct MediaType {
    base: &'static str,
    #[serde(rename = "type")]
    media_type: &'static str,
}

#[utoipa::path(
    get, path = "/", tag = "versions", operation_id = "choose_version",
    responses((status = 300, body = Versions)),
)]
pub async fn choices(Extension(links): Extension<Links>) -> Response {
    document(StatusCode::MULTIPLE_CHOICES, &links)
}

#[utoipa::path(
    get, path = "/v3/", tag = "versions", operation_id = "show_version",
    responses((status = 200, body = Versions)),
)]
pub async fn v3(Extension(links): Extension<Links>) -> Response {
    document(StatusCode::OK, &links)
}

#[utoipa::path(
    get, path = "/v3", tag = "versions", operation_id = "find_version",
    responses((status = 302, description = "To `/v3/`", headers(("Location" = String, description = "Its address")))),
)]
pub async fn moved(Extension(links): Extension<Links>) -> Response {
    unversioned((StatusCode::FOUND, [(LOCATION, links.version())]).into_response())
}

#[utoipa::path(
    get, path = "/healthcheck", tag = "versions", operation_id = "check_health",
    responses((status = 200, body = String)),
)]
pub async fn health() -> Response {
    unversioned(([(CONTENT_TYPE, "text/plain; charset=UTF-8")], "OK").into_response())
}

fn document(status: StatusCode, links: &Links) -> Response {
    let version = Version {
        id: "v3.0",
        status: "CURRENT",
        version: "3.71",
        min_version: "3.0",
        updated: "2023-08-31T00:00:00Z",
        links: [
            VersionLink {
                rel: "describedby",
                media_type: Some("text/html"),
                href: "https://docs.openstack.org/".to_owned(),
            },
            VersionLink { rel: "self", media_type: None, href: links.version() },
        ],
        media_types: [MediaType {
            base: "application/json",
            media_type: "application/vnd.openstack.volume+json;version=3",
        }],
    };
    unversioned(answer(status, &Versions { versions: [version] }))
}

fn unversioned(mut response: Response) -> Response {
    response.extensions_mut().insert(Unversioned);
    response
}
