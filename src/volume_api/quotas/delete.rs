//! `DELETE /os-quota-sets/{project_id}`

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::super::fault::{Fault, empty};
use super::super::request::Call;
use crate::http::App;
use crate::identity::policy::{Target, volume as rules};

#[utoipa::path(
    delete, path = "/v3/os-quota-sets/{project_id}", tag = "quotas", operation_id = "delete_quotas",
    description = "The project has the default limits again.",
    params(("project_id" = String, Path)),
    responses(
        (status = 200, description = "It has no limits of its own"),
        (status = 403, description = "The policy does not allow it"),
    ),
)]
pub async fn delete(
    State(app): State<App>,
    call: Call,
    Path(project): Path<String>,
) -> Result<Response, Fault> {
    call.check(rules::QUOTAS_DELETE, &Target::new().with("project_id", &project))?;
    let mut repository = app.database.begin().await?;
    repository.remove_quotas(&project).await?;
    repository.commit().await?;
    Ok(empty(StatusCode::OK))
}
