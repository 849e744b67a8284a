//! `GET /os-hosts`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::fault::{Fault, answer};
use super::super::request::{Call, Moment};
use super::super::services::is_up;
use crate::db::ServiceFilter;
use crate::http::App;
use crate::identity::policy::volume as rules;

#[derive(Serialize, ToSchema)]
#[schema(as = Host)]
#[serde(rename_all = "kebab-case")]
struct View<'a> {
    #[serde(rename = "host_name")]
    host_name: &'a str,
    service: &'a str,
    zone: &'a str,
    service_status: &'static str,
    service_state: &'static str,
    #[schema(value_type = String)]
    last_update: Moment,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Hosts)]
struct Many<'a> {
    hosts: Vec<View<'a>>,
}

#[utoipa::path(
    get, path = "/v3/os-hosts", tag = "hosts", operation_id = "list_hosts",
    description = "Services that are not disabled.",
    params(("zone" = Option<String>, Query)),
    responses((status = 200, body = Many), (status = 403, description = "The policy does not allow it")),
)]
pub async fn list(State(app): State<App>, call: Call) -> Result<Response, Fault> {
    call.check_own(rules::HOSTS)?;
    let filter = ServiceFilter { disabled: Some(false), ..ServiceFilter::default() };
    let services = app.database.read().await?.services(&filter).await?;
    let zone = call.query.last("zone").filter(|zone| !zone.is_empty());
    let now = app.world.now();
    let hosts = services
        .iter()
        .filter(|service| zone.is_none_or(|zone| zone == service.zone))
        .map(|service| View {
            host_name: &service.host,
            service: &service.binary,
            zone: &service.zone,
            service_status: if is_up(service, now) { "available" } else { "unavailable" },
            service_state: "enabled",
            last_update: Moment(service.seen_at),
        })
        .collect();
    Ok(answer(StatusCode::OK, &Many { hosts }))
}
