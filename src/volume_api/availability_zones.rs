//! `GET /os-availability-zone`

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::fault::{Fault, answer};
use super::placement;
use super::request::Call;
use crate::http::App;

#[derive(Serialize, ToSchema)]
#[schema(as = AvailabilityZones)]
pub struct Zones<'a> {
    #[serde(rename = "availabilityZoneInfo")]
    #[schema(value_type = Vec<Zone>)]
    zones: Vec<Zone<'a>>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = AvailabilityZone)]
pub struct Zone<'a> {
    #[serde(rename = "zoneName")]
    name: &'a str,
    #[serde(rename = "zoneState")]
    state: Availability,
}

#[derive(Serialize, ToSchema)]
#[schema(as = AvailabilityZoneState)]
pub struct Availability {
    available: bool,
}

#[utoipa::path(
    get, path = "/v3/os-availability-zone", tag = "availability zones", operation_id = "list_availability_zones",
    responses((status = 200, body = Zones)),
)]
pub async fn list(State(app): State<App>, _: Call) -> Result<Response, Fault> {
    let mut repository = app.database.read().await?;
    let pools = placement::pools(&mut repository, &app).await?;
    let mut zones: BTreeMap<&str, bool> = BTreeMap::new();
    for pool in &pools {
        *zones.entry(&pool.zone).or_default() |= pool.is_enabled;
    }
    let zones = zones.into_iter().map(|(name, available)| Zone { name, state: Availability { available } });
    Ok(answer(StatusCode::OK, &Zones { zones: zones.collect() }))
}
