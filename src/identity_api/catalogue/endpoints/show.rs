//! `GET /v3/endpoints/{endpoint_id}`

use axum::Json;
use axum::extract::Path;
use serde::Serialize;
use utoipa::ToSchema;

use super::EndpointView;
use crate::identity_api::asker::Asker;
use crate::identity_api::catalogue::Catalogue;
use crate::identity_api::fault::{Fault, FaultBody, Result};
use crate::identity_api::links::Base;

#[derive(Serialize, ToSchema)]
pub(in crate::identity_api) struct EndpointBody {
    endpoint: EndpointView,
}

/// One address in the catalogue
#[utoipa::path(
    get, path = "/v3/endpoints/{endpoint_id}", tag = "catalogue", operation_id = "show_endpoint",
    params(("endpoint_id" = String, Path)),
    responses(
        (status = 200, body = EndpointBody),
        (status = 403, description = "Not an administrator", body = FaultBody),
        (status = 404, description = "There is no such endpoint", body = FaultBody),
    ),
)]
pub(in crate::identity_api) async fn show(
    asker: Asker,
    Path(id): Path<String>,
    catalogue: Catalogue,
    base: Base,
) -> Result<Json<EndpointBody>> {
    asker.may_see("identity:get_endpoint")?;
    let found = EndpointView::all(catalogue, &base).into_iter().find(|view| view.endpoint.id == id);
    Ok(Json(EndpointBody { endpoint: found.ok_or(Fault::Missing("endpoint", id))? }))
}
