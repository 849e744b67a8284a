//! `GET /v3/services`

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

use super::ServiceView;
use crate::http::Query;
use crate::identity_api::asker::Asker;
use crate::identity_api::catalogue::Catalogue;
use crate::identity_api::fault::{FaultBody, Result};
use crate::identity_api::links::{Base, ListLinks};

#[derive(Serialize, ToSchema)]
pub(in crate::identity_api) struct Services {
    services: Vec<ServiceView>,
    links: ListLinks,
}

/// The services of the catalogue
#[utoipa::path(
    get, path = "/v3/services", tag = "catalogue", operation_id = "list_services",
    params(("type" = Option<String>, Query), ("name" = Option<String>, Query)),
    responses(
        (status = 200, body = Services),
        (status = 403, description = "Not an administrator", body = FaultBody),
    ),
)]
pub(in crate::identity_api) async fn list(
    asker: Asker,
    catalogue: Catalogue,
    query: Query,
    base: Base,
) -> Result<Json<Services>> {
    asker.may_see("identity:list_services")?;
    let is_wanted = |key, value| query.last(key).is_none_or(|wanted| wanted == value);
    let services = catalogue.services().into_iter();
    let wanted =
        services.filter(|service| is_wanted("type", service.service_type) && is_wanted("name", service.name));
    let services = wanted.map(|service| ServiceView::new(service, &base));
    Ok(Json(Services { services: services.collect(), links: ListLinks::new(&base, "services") }))
}
