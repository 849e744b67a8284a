//! `PATCH /v3/domains/{domain_id}`

use axum::Json;
use axum::extract::{Path, State};

use super::{DomainBody, DomainView, NAME, fill, find_to_change, stored};
use crate::identity_api::Api;
use crate::identity_api::asker::Asker;
use crate::identity_api::body::Body;
use crate::identity_api::fault::{FaultBody, Result};
use crate::identity_api::links::Base;

/// Changes a domain. While it is disabled, nobody of it comes in.
#[utoipa::path(
    patch, path = "/v3/domains/{domain_id}", tag = "domains", operation_id = "update_domain",
    params(("domain_id" = String, Path)),
    request_body(content = Object, description = "`domain`: what is to change"),
    responses(
        (status = 200, body = DomainBody),
        (status = 400, description = "The request is malformed", body = FaultBody),
        (status = 403, description = "Not an administrator", body = FaultBody),
        (status = 404, description = "There is no such domain", body = FaultBody),
        (status = 409, description = "There is another domain of this name", body = FaultBody),
    ),
)]
pub(in crate::identity_api) async fn update(
    State(api): State<Api>,
    asker: Asker,
    Path(id): Path<String>,
    base: Base,
    body: Body,
) -> Result<Json<DomainBody>> {
    asker.may_change("identity:update_domain")?;
    let fields = body.about("domain")?;
    let mut repository = api.app.database.begin().await?;
    let mut domain = find_to_change(&mut repository, &id).await?;
    if let Some(name) = fields.name(NAME)? {
        domain.name = name;
    }
    fill(&mut domain, &fields)?;
    repository.update_domain(&domain).await.map_err(|error| stored(error, &domain))?;
    repository.commit().await?;
    api.standalone.changed();
    Ok(Json(DomainBody { domain: DomainView::new(domain, &base) }))
}
