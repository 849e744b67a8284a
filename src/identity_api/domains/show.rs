//! `GET /v3/domains/{domain_id}`

use axum::Json;
use axum::extract::{Path, State};

use super::{DomainBody, DomainView, find};
use crate::identity_api::Api;
use crate::identity_api::asker::Asker;
use crate::identity_api::fault::{FaultBody, Result};
use crate::identity_api::links::Base;

/// One domain
#[utoipa::path(
    get, path = "/v3/domains/{domain_id}", tag = "domains", operation_id = "show_domain",
    params(("domain_id" = String, Path)),
    responses(
        (status = 200, body = DomainBody),
        (status = 403, description = "Not an administrator, and another domain than the token's",
            body = FaultBody),
        (status = 404, description = "There is no such domain", body = FaultBody),
    ),
)]
pub(in crate::identity_api) async fn show(
    State(api): State<Api>,
    asker: Asker,
    Path(id): Path<String>,
    base: Base,
) -> Result<Json<DomainBody>> {
    let caller = &asker.0.caller;
    let is_own = [&caller.project_domain_id, &caller.domain_id].contains(&&Some(id.clone()));
    if !is_own {
        asker.may_see("identity:get_domain")?;
    }
    let domain = find(&mut api.app.database.read().await?, &id).await?;
    Ok(Json(DomainBody { domain: DomainView::new(domain, &base) }))
}
