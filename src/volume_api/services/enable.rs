//! `PUT /os-services/enable`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::super::fault::{Fault, answer};
use super::super::request::{Body, Call};
use super::super::schema::Object;
use super::{Named, Switched};
use crate::http::App;
use crate::identity::policy::volume as rules;

#[utoipa::path(
    put, path = "/v3/os-services/enable", tag = "services", operation_id = "enable_service",
    description = "New volumes may be put there again. The body has `host` and `binary`.",
    request_body = Object,
    responses(
        (status = 200, body = Switched),
        (status = 400, description = "The body is not usable"),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such service"),
    ),
)]
pub async fn enable(State(app): State<App>, call: Call, Body(body): Body) -> Result<Response, Fault> {
    let named = Named::read(&Object::body(&body)?, false)?;
    call.check_own(rules::SERVICES_UPDATE)?;
    let mut repository = app.database.begin().await?;
    let mut service = named.find_to_change(&mut repository).await?;
    service.disabled = false;
    service.disabled_reason = None;
    service.updated_at = Some(app.world.now());
    repository.update_service(&service).await?;
    repository.commit().await?;
    let view = Switched {
        host: service.host,
        service: named.service,
        binary: named.binary,
        status: "enabled",
        disabled: false,
        disabled_reason: None,
    };
    Ok(answer(StatusCode::OK, &view))
}
