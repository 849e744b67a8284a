//! `PUT /os-services/thaw`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::super::fault::{Fault, empty_json};
use super::super::request::{Body, Call};
use super::{PlaceNamed, place_to_change};
use crate::http::App;
use crate::identity::policy::volume as rules;

#[utoipa::path(
    put, path = "/v3/os-services/thaw", tag = "services", operation_id = "thaw_host",
    description = "Undoes freeze. The body has the `host`.",
    request_body = Object,
    responses(
        (status = 200, description = "It is not frozen any more"),
        (status = 400, description = "There is no such place for volumes, or it is not frozen"),
        (status = 403, description = "The policy does not allow it"),
    ),
)]
pub async fn thaw(State(app): State<App>, call: Call, Body(body): Body) -> Result<Response, Fault> {
    let named = PlaceNamed::read(&body, &[])?;
    call.check_own(rules::SERVICES_UPDATE)?;
    let host = named.host(&call)?;
    call.check_own(rules::THAW_HOST)?;
    let mut repository = app.database.begin().await?;
    let mut service = place_to_change(&mut repository, host).await?;
    if !service.frozen {
        return Err(Fault::InvalidInput(format!("frozen in ['{}'] must be True to failover.", service.host)));
    }
    service.frozen = false;
    service.disabled = false;
    service.disabled_reason = Some(String::new());
    service.updated_at = Some(app.world.now());
    repository.update_service(&service).await?;
    repository.commit().await?;
    Ok(empty_json(StatusCode::OK))
}
