//! `GET /resource_filters`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::fault::{Fault, answer};
use super::filters;
use super::microversion::Microversion;
use super::request::Call;
use crate::http::App;

#[derive(Serialize, ToSchema)]
#[schema(as = ResourceFilters)]
pub struct Many {
    resource_filters: Vec<OfResource>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = FiltersOfResource)]
pub struct OfResource {
    resource: &'static str,
    filters: &'static [&'static str],
}

#[utoipa::path(
    get, path = "/v3/resource_filters", tag = "resource filters", operation_id = "list_resource_filters",
    description = "Since 3.33. What everybody may filter lists by; administrators may filter by more.",
    params(("resource" = Option<String>, Query)),
    responses((status = 200, body = Many)),
)]
pub async fn list(State(_): State<App>, call: Call) -> Result<Response, Fault> {
    call.since(Microversion::RESOURCE_FILTERS)?;
    let wanted = call.query.last("resource").filter(|resource| !resource.is_empty());
    let resource_filters = filters::OF_EVERYBODY
        .into_iter()
        .filter(|(resource, _)| wanted.is_none_or(|wanted| wanted == *resource))
        .map(|(resource, filters)| OfResource { resource, filters })
        .collect();
    Ok(answer(StatusCode::OK, &Many { resource_filters }))
}
