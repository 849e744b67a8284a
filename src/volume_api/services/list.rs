//! `GET /os-services`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::fault::{Fault, answer};
use super::super::microversion::Microversion;
use super::super::request::{Call, Moment};
use super::is_up;
use crate::db::{Service, ServiceFilter};
use crate::http::App;
use crate::identity::policy::volume as rules;
use crate::model::Timestamp;

#[derive(Serialize, ToSchema)]
#[schema(as = Service)]
struct View<'a> {
    binary: &'a str,
    host: &'a str,
    zone: &'a str,
    status: &'static str,
    state: &'static str,
    #[schema(value_type = String)]
    updated_at: Moment,
    /// Since 3.49, of places for volumes.
    #[serde(skip_serializing_if = "Option::is_none")]
    backend_state: Option<&'static str>,
    /// Since 3.7.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    cluster: Option<Option<&'a str>>,
    disabled_reason: Option<&'a str>,
    #[serde(flatten)]
    place: Option<Place<'a>>,
}

/// What only places for volumes have.
#[derive(Serialize, ToSchema)]
#[schema(as = ServicePlace)]
struct Place<'a> {
    replication_status: &'static str,
    active_backend_id: Option<&'a str>,
    frozen: bool,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Services)]
struct Many<'a> {
    services: Vec<View<'a>>,
}

#[utoipa::path(
    get, path = "/v3/os-services", tag = "services", operation_id = "list_services",
    params(
        ("host" = Option<String>, Query, description = "A host, with all its backends, or one of these"),
        ("binary" = Option<String>, Query),
    ),
    responses((status = 200, body = Many), (status = 403, description = "The policy does not allow it")),
)]
pub async fn list(State(app): State<App>, call: Call) -> Result<Response, Fault> {
    call.check_own(rules::SERVICES_INDEX)?;
    let given = |key: &str| call.query.last(key).filter(|text| !text.is_empty()).map(str::to_owned);
    let filter = ServiceFilter { host: given("host"), binary: given("binary"), disabled: None };
    let services = app.database.read().await?.services(&filter).await?;
    let now = app.world.now();
    let services = services.iter().map(|service| View::new(service, &call, now)).collect();
    Ok(answer(StatusCode::OK, &Many { services }))
}

impl<'a> View<'a> {
    fn new(service: &'a Service, call: &Call, now: Timestamp) -> Self {
        let is_place = service.binary == Service::VOLUME;
        let tells_state = is_place && call.version >= Microversion::BACKEND_STATE;
        Self {
            binary: &service.binary,
            host: &service.host,
            zone: &service.zone,
            status: if service.disabled { "disabled" } else { "enabled" },
            state: if is_up(service, now) { "up" } else { "down" },
            updated_at: Moment(service.updated_at.unwrap_or(service.seen_at).max(service.seen_at)),
            backend_state: tells_state.then_some(if service.answers { "up" } else { "down" }),
            cluster: (call.version >= Microversion::CLUSTERS).then_some(None),
            disabled_reason: service.disabled_reason.as_deref(),
            place: is_place.then_some(Place {
                replication_status: "disabled",
                active_backend_id: None,
                frozen: service.frozen,
            }),
        }
    }
}
