//! `PUT /clusters/enable` and `PUT /clusters/disable`

use axum::response::Response;
use serde_json::Value;

use super::super::fault::Fault;
use super::super::microversion::Microversion;
use super::super::request::{Body, Call};
use super::super::schema::Object;
use super::missing;
use crate::identity::policy::volume as rules;

#[utoipa::path(
    put, path = "/v3/clusters/enable", tag = "clusters", operation_id = "enable_cluster",
    description = "Since 3.7. There are none.",
    request_body = Object,
    responses(
        (status = 400, description = "The body is not usable"),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such cluster"),
    ),
)]
pub async fn enable(call: Call, Body(body): Body) -> Result<Response, Fault> {
    refused(&call, &body, &["name", "binary"])
}

#[utoipa::path(
    put, path = "/v3/clusters/disable", tag = "clusters", operation_id = "disable_cluster",
    description = "Since 3.7. There are none.",
    request_body = Object,
    responses(
        (status = 400, description = "The body is not usable"),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such cluster"),
    ),
)]
pub async fn disable(call: Call, Body(body): Body) -> Result<Response, Fault> {
    refused(&call, &body, &["name", "binary", "disabled_reason"])
}

fn refused(call: &Call, body: &Value, known: &[&str]) -> Result<Response, Fault> {
    call.since(Microversion::CLUSTERS)?;
    let body = Object::body(body)?;
    let name = body.name("name")?;
    let binary = body.text("binary")?.value();
    if known.contains(&"disabled_reason") {
        body.text("disabled_reason")?;
    }
    body.require("name")?;
    body.only(known)?;
    call.check_own(rules::CLUSTERS_UPDATE)?;
    Err(missing(name.unwrap_or_default(), binary))
}
