//! `PUT /os-services/failover_host`: there is nothing to fail over to.

use axum::extract::State;
use axum::response::Response;

use super::super::fault::Fault;
use super::super::request::{Body, Call};
use super::{PlaceNamed, place};
use crate::http::App;
use crate::identity::policy::volume as rules;

#[utoipa::path(
    put, path = "/v3/os-services/failover_host", tag = "services", operation_id = "failover_host",
    description = "No backend is replicated to another one: it is always refused, as the real service refuses it then.",
    request_body = Object,
    responses(
        (status = 400, description = "There is no such place for volumes, or nothing to fail over to"),
        (status = 403, description = "The policy does not allow it"),
    ),
)]
pub async fn failover_host(State(app): State<App>, call: Call, Body(body): Body) -> Result<Response, Fault> {
    let named = PlaceNamed::read(&body, &["backend_id"])?;
    call.check_own(rules::SERVICES_UPDATE)?;
    let host = named.host(&call)?;
    call.check_own(rules::FAILOVER_HOST)?;
    let service = place(&mut app.database.read().await?, host).await?;
    Err(Fault::InvalidInput(format!(
        "replication_status in ['{}'] must be ['enabled', 'failed-over'] and must be up to failover.",
        service.host
    )))
}
