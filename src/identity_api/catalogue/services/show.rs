//! `GET /v3/services/{service_id}`

use axum::Json;
use axum::extract::Path;
use serde::Serialize;
use utoipa::ToSchema;

use super::ServiceView;
use crate::identity_api::asker::Asker;
use crate::identity_api::catalogue::Catalogue;
use crate::identity_api::fault::{Fault, FaultBody, Result};
use crate::identity_api::links::Base;

#[derive(Serialize, ToSchema)]
pub(in crate::identity_api) struct ServiceBody {
    service: ServiceView,
}

/// One service of the catalogue
#[utoipa::path(
    get, path = "/v3/services/{service_id}", tag = "catalogue", operation_id = "show_service",
    params(("service_id" = String, Path)),
    responses(
        (status = 200, body = ServiceBody),
        (status = 403, description = "Not an administrator", body = FaultBody),
        (status = 404, description = "There is no such service", body = FaultBody),
    ),
)]
pub(in crate::identity_api) async fn show(
    asker: Asker,
    Path(id): Path<String>,
    catalogue: Catalogue,
    base: Base,
) -> Result<Json<ServiceBody>> {
    asker.may_see("identity:get_service")?;
    let found = catalogue.services().into_iter().find(|service| service.id == id);
    let service = found.ok_or(Fault::Missing("service", id))?;
    Ok(Json(ServiceBody { service: ServiceView::new(service, &base) }))
}
