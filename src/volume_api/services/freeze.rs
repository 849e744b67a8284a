//! `PUT /os-services/freeze`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::super::fault::{Fault, empty_json};
use super::super::request::{Body, Call};
use super::{PlaceNamed, place_to_change};
use crate::http::App;
use crate::identity::policy::volume as rules;

#[utoipa::path(
    put, path = "/v3/os-services/freeze", tag = "services", operation_id = "freeze_host",
    description = "No volume is put there, and none that is there can be deleted, or get or lose a snapshot. The body \
        has the `host`.",
    request_body = Object,
    responses(
        (status = 200, description = "It is frozen"),
        (status = 400, description = "There is no such place for volumes, or it is frozen already"),
        (status = 403, description = "The policy does not allow it"),
    ),
)]
pub async fn freeze(State(app): State<App>, call: Call, Body(body): Body) -> Result<Response, Fault> {
    let named = PlaceNamed::read(&body, &[])?;
    call.check_own(rules::SERVICES_UPDATE)?;
    let host = named.host(&call)?;
    call.check_own(rules::FREEZE_HOST)?;
    let mut repository = app.database.begin().await?;
    let mut service = place_to_change(&mut repository, host).await?;
    if service.frozen {
        return Err(Fault::InvalidInput(format!(
            "frozen in ['{}'] must be False to failover.",
            service.host
        )));
    }
    service.frozen = true;
    service.disabled = true;
    service.disabled_reason = Some("frozen".to_owned());
    service.updated_at = Some(app.world.now());
    repository.update_service(&service).await?;
    repository.commit().await?;
    Ok(empty_json(StatusCode::OK))
}
