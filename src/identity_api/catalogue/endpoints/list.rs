//! `GET /v3/endpoints`

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

use super::EndpointView;
use crate::http::Query;
use crate::identity_api::asker::Asker;
use crate::identity_api::catalogue::Catalogue;
use crate::identity_api::fault::{FaultBody, Result};
use crate::identity_api::links::{Base, ListLinks};

#[derive(Serialize, ToSchema)]
pub(in crate::identity_api) struct Endpoints {
    endpoints: Vec<EndpointView>,
    links: ListLinks,
}

/// The addresses in the catalogue
#[utoipa::path(
    get, path = "/v3/endpoints", tag = "catalogue", operation_id = "list_endpoints",
    params(("interface" = Option<String>, Query), ("service_id" = Option<String>, Query)),
    responses(
        (status = 200, body = Endpoints),
        (status = 403, description = "Not an administrator", body = FaultBody),
    ),
)]
pub(in crate::identity_api) async fn list(
    asker: Asker,
    catalogue: Catalogue,
    query: Query,
    base: Base,
) -> Result<Json<Endpoints>> {
    asker.may_see("identity:list_endpoints")?;
    let is_wanted = |key, value: &str| query.last(key).is_none_or(|wanted| wanted == value);
    let mut endpoints = EndpointView::all(catalogue, &base);
    endpoints.retain(|view| {
        is_wanted("interface", view.endpoint.interface) && is_wanted("service_id", &view.service_id)
    });
    Ok(Json(Endpoints { endpoints, links: ListLinks::new(&base, "endpoints") }))
}
