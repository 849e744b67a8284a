//! `GET /v3/regions` and `/v3/regions/{region_id}`

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use utoipa::ToSchema;

use crate::identity_api::Api;
use crate::identity_api::asker::Asker;
use crate::identity_api::fault::{Fault, FaultBody, Result};
use crate::identity_api::links::{Base, ListLinks, SelfLink};

#[derive(Serialize, ToSchema)]
pub(in crate::identity_api) struct Regions {
    regions: [Region; 1],
    links: ListLinks,
}

#[derive(Serialize, ToSchema)]
struct Region {
    id: String,
    description: &'static str,
    parent_region_id: Option<String>,
    links: SelfLink,
}

#[derive(Serialize, ToSchema)]
pub(in crate::identity_api) struct OneRegion {
    region: Region,
}

fn ours(api: &Api, base: &Base) -> Region {
    let id = api.app.config.identity.region.clone();
    let links = SelfLink::new(base, &format!("regions/{id}"));
    Region { id, description: "", parent_region_id: None, links }
}

/// The one region there is
#[utoipa::path(
    get, path = "/v3/regions", tag = "catalogue", operation_id = "list_regions",
    responses((status = 200, body = Regions)),
)]
pub(in crate::identity_api) async fn list(
    State(api): State<Api>,
    _asker: Asker,
    base: Base,
) -> Result<Json<Regions>> {
    Ok(Json(Regions { regions: [ours(&api, &base)], links: ListLinks::new(&base, "regions") }))
}

/// The region
#[utoipa::path(
    get, path = "/v3/regions/{region_id}", tag = "catalogue", operation_id = "show_region",
    params(("region_id" = String, Path)),
    responses(
        (status = 200, body = OneRegion),
        (status = 404, description = "There is no such region", body = FaultBody),
    ),
)]
pub(in crate::identity_api) async fn show(
    State(api): State<Api>,
    _asker: Asker,
    base: Base,
    Path(id): Path<String>,
) -> Result<Json<OneRegion>> {
    let region = ours(&api, &base);
    match region.id == id {
        true => Ok(Json(OneRegion { region })),
        false => Err(Fault::Missing("region", id)),
    }
}
