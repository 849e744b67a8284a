//! `GET /v3/domains`

use axum::Json;
use axum::extract::State;

use super::{DomainView, Domains};
use crate::http::Query;
use crate::identity_api::Api;
use crate::identity_api::asker::Asker;
use crate::identity_api::fault::{FaultBody, Result};
use crate::identity_api::links::{Base, ListLinks};
use crate::identity_api::projects::truth;

/// Domains, by name
#[utoipa::path(
    get, path = "/v3/domains", tag = "domains", operation_id = "list_domains",
    params(("name" = Option<String>, Query), ("enabled" = Option<String>, Query)),
    responses(
        (status = 200, body = Domains),
        (status = 403, description = "Not an administrator", body = FaultBody),
    ),
)]
pub(in crate::identity_api) async fn list(
    State(api): State<Api>,
    asker: Asker,
    query: Query,
    base: Base,
) -> Result<Json<Domains>> {
    asker.may_see("identity:list_domains")?;
    // There are few of them: they are sorted out here.
    let mut found = api.app.database.read().await?.domains().await?;
    let (name, enabled) = (query.last("name"), truth(&query, "enabled"));
    found.retain(|domain| {
        name.is_none_or(|name| domain.name == name) && enabled.is_none_or(|enabled| domain.enabled == enabled)
    });
    let domains = found.into_iter().map(|domain| DomainView::new(domain, &base)).collect();
    Ok(Json(Domains { domains, links: ListLinks::new(&base, "domains") }))
}
