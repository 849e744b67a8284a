//! `GET /v3/auth/catalog`

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

use crate::identity::standalone::Target;
use crate::identity_api::asker::Asker;
use crate::identity_api::catalogue::{Catalogue, Service};
use crate::identity_api::fault::{Fault, FaultBody, Result};
use crate::identity_api::links::{Base, SelfLink};

#[derive(Serialize, ToSchema)]
pub(in crate::identity_api) struct CatalogueView {
    catalog: Vec<Service>,
    links: SelfLink,
}

/// Where the services are
#[utoipa::path(
    get, path = "/v3/auth/catalog", tag = "tokens", operation_id = "show_catalogue",
    responses(
        (status = 200, body = CatalogueView),
        (status = 403, description = "The token is unscoped", body = FaultBody),
    ),
)]
pub(in crate::identity_api) async fn catalog(
    asker: Asker,
    catalogue: Catalogue,
    base: Base,
) -> Result<Json<CatalogueView>> {
    if matches!(asker.0.target, Target::Nothing) {
        return Err(Fault::Refused("You are not authorized to perform the requested action."));
    }
    let links = SelfLink::new(&base, "auth/catalog");
    Ok(Json(CatalogueView { catalog: catalogue.services(), links }))
}
