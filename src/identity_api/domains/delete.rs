//! `DELETE /v3/domains/{domain_id}`

use axum::extract::{Path, State};
use axum::http::StatusCode;

use super::find;
use crate::identity::standalone::accounts::DEFAULT_DOMAIN;
use crate::identity_api::Api;
use crate::identity_api::asker::Asker;
use crate::identity_api::fault::{Fault, FaultBody, Result};

/// Removes a domain that was disabled before, with its users and projects
#[utoipa::path(
    delete, path = "/v3/domains/{domain_id}", tag = "domains", operation_id = "delete_domain",
    params(("domain_id" = String, Path)),
    responses(
        (status = 204, description = "Gone"),
        (status = 403, description = "Not an administrator, or the domain is enabled, or the default one",
            body = FaultBody),
        (status = 404, description = "There is no such domain", body = FaultBody),
    ),
)]
pub(in crate::identity_api) async fn delete(
    State(api): State<Api>,
    asker: Asker,
    Path(id): Path<String>,
) -> Result<StatusCode> {
    asker.may_change("identity:delete_domain")?;
    let mut repository = api.app.database.begin().await?;
    let domain = find(&mut repository, &id).await?;
    // Whoever names no domain means it, and the shell knows no other.
    if domain.id.as_str() == DEFAULT_DOMAIN {
        return Err(Fault::Refused("Cannot delete the default domain."));
    }
    if domain.enabled {
        return Err(Fault::Refused("Cannot delete a domain that is enabled, please disable it first."));
    }
    repository.remove_domain(&domain.id).await?;
    repository.commit().await?;
    api.standalone.changed();
    Ok(StatusCode::NO_CONTENT)
}
