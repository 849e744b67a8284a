//! `GET /v3/auth/domains`

use axum::Json;
use axum::extract::State;

use crate::db::RoleAssignmentFilter;
use crate::identity_api::Api;
use crate::identity_api::asker::Asker;
use crate::identity_api::domains::{DomainView, Domains};
use crate::identity_api::fault::Result;
use crate::identity_api::links::{Base, ListLinks};

/// The domains the owner of the token can be scoped to
#[utoipa::path(
    get, path = "/v3/auth/domains", tag = "tokens", operation_id = "list_own_domains",
    responses((status = 200, body = Domains)),
)]
pub(in crate::identity_api) async fn domains(
    State(api): State<Api>,
    asker: Asker,
    base: Base,
) -> Result<Json<Domains>> {
    let mut repository = api.app.database.read().await?;
    let filter = RoleAssignmentFilter {
        user_id: Some(asker.0.user.id.to_string()),
        scope: Some("domain".to_owned()),
        ..RoleAssignmentFilter::default()
    };
    let held = repository.role_assignments(&filter).await?;
    let mut found = repository.domains().await?;
    found.retain(|domain| domain.enabled && held.iter().any(|role| role.scope_id == domain.id.as_str()));
    let domains = found.into_iter().map(|domain| DomainView::new(domain, &base)).collect();
    Ok(Json(Domains { domains, links: ListLinks::new(&base, "auth/domains") }))
}
