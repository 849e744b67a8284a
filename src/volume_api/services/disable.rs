//! `PUT /os-services/disable` and `/disable-log-reason`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;

use super::super::fault::{Fault, answer};
use super::super::request::{Body, Call};
use super::super::schema::Object;
use super::{Named, Switched};
use crate::http::App;
use crate::identity::policy::volume as rules;

#[utoipa::path(
    put, path = "/v3/os-services/disable", tag = "services", operation_id = "disable_service",
    description = "No new volumes are put there; those that are there stay. The body has `host` and `binary`.",
    request_body = Object,
    responses(
        (status = 200, body = Switched),
        (status = 400, description = "The body is not usable"),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such service"),
    ),
)]
pub async fn disable(State(app): State<App>, call: Call, Body(body): Body) -> Result<Response, Fault> {
    let view = disabled(&app, &call, &body, false).await?;
    Ok(answer(StatusCode::OK, &view))
}

#[utoipa::path(
    put, path = "/v3/os-services/disable-log-reason", tag = "services",
    operation_id = "disable_service_with_reason",
    description = "As disable, and says why: `disabled_reason`.",
    request_body = Object,
    responses(
        (status = 200, body = Switched),
        (status = 400, description = "The body is not usable"),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such service"),
    ),
)]
pub async fn disable_log_reason(
    State(app): State<App>,
    call: Call,
    Body(body): Body,
) -> Result<Response, Fault> {
    let view = disabled(&app, &call, &body, true).await?;
    Ok(answer(StatusCode::OK, &view))
}

async fn disabled<'a>(
    app: &App,
    call: &Call,
    body: &'a Value,
    with_reason: bool,
) -> Result<Switched<'a>, Fault> {
    let named = Named::read(&Object::body(body)?, with_reason)?;
    call.check_own(rules::SERVICES_UPDATE)?;
    let mut repository = app.database.begin().await?;
    let mut service = named.find_to_change(&mut repository).await?;
    service.disabled = true;
    if let Some(reason) = named.disabled_reason {
        service.disabled_reason = Some(reason.to_owned());
    }
    service.updated_at = Some(app.world.now());
    repository.update_service(&service).await?;
    repository.commit().await?;
    Ok(Switched {
        host: service.host,
        service: named.service,
        binary: named.binary,
        status: "disabled",
        disabled: true,
        disabled_reason: with_reason.then_some(named.disabled_reason),
    })
}
