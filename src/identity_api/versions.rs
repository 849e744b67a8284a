//! `GET /`, `GET /v3`: which versions there are.

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::{HeaderName, LOCATION};
use serde::Serialize;
use utoipa::ToSchema;

use super::links::Base;

#[derive(Serialize, ToSchema)]
pub(super) struct Choices {
    versions: Values,
}

#[derive(Serialize, ToSchema)]
struct Values {
    values: [Version; 1],
}

#[derive(Serialize, ToSchema)]
pub(super) struct One {
    version: Version,
}

#[derive(Serialize, ToSchema)]
struct Version {
    id: &'static str,
    status: &'static str,
    updated: &'static str,
    links: [Link; 1],
    #[serde(rename = "media-types")]
    media_types: [MediaType; 1],
}

#[derive(Serialize, ToSchema)]
struct Link {
    rel: &'static str,
    href: String,
}

#[derive(Serialize, ToSchema)]
struct MediaType {
    base: &'static str,
    #[serde(rename = "type")]
    media_type: &'static str,
}

impl Version {
    fn new(base: &Base) -> Self {
        Self {
            id: "v3.14",
            status: "stable",
            updated: "2020-04-07T00:00:00Z",
            links: [Link { rel: "self", href: format!("{}/v3/", base.0) }],
            media_types: [MediaType {
                base: "application/json",
                media_type: "application/vnd.openstack.identity-v3+json",
            }],
        }
    }
}

/// Which versions there are
#[utoipa::path(get, path = "/", tag = "versions", responses((status = 300, body = Choices)))]
pub(super) async fn choices(base: Base) -> (StatusCode, [(HeaderName, String); 1], Json<Choices>) {
    let location = format!("{}/v3/", base.0);
    let choices = Choices { versions: Values { values: [Version::new(&base)] } };
    (StatusCode::MULTIPLE_CHOICES, [(LOCATION, location)], Json(choices))
}

/// The version
#[utoipa::path(get, path = "/v3", tag = "versions", responses((status = 200, body = One)))]
pub(super) async fn v3(base: Base) -> Json<One> {
    Json(One { version: Version::new(&base) })
}

/// The version
#[utoipa::path(get, path = "/v3/", tag = "versions", responses((status = 200, body = One)))]
pub(super) async fn v3_with_slash(base: Base) -> Json<One> {
    v3(base).await
}
