//! `GET /v3/regions`

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::identity_api::Api;
use crate::identity_api::asker::Asker;
use crate::identity_api::fault::Result;
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
    let id = api.app.config.identity.region.clone();
    let links = SelfLink::new(&base, &format!("regions/{id}"));
    let region = Region { id, description: "", parent_region_id: None, links };
    Ok(Json(Regions { regions: [region], links: ListLinks::new(&base, "regions") }))
}
