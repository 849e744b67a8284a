//! `GET /os-quota-sets/{project_id}/defaults`

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Map;

use super::super::fault::{Fault, answer};
use super::super::request::Call;
use super::view::{One, Set};
use super::{defaults, resources};
use crate::http::App;
use crate::identity::policy::{Target, volume as rules};

#[utoipa::path(
    get, path = "/v3/os-quota-sets/{project_id}/defaults", tag = "quotas", operation_id = "show_default_quotas",
    description = "The limits of projects that have none of their own.",
    params(("project_id" = String, Path)),
    responses(
        (status = 200, body = One),
        (status = 403, description = "The policy does not allow it"),
    ),
)]
pub async fn show(
    State(app): State<App>,
    call: Call,
    Path(project): Path<String>,
) -> Result<Response, Fault> {
    call.check(rules::QUOTAS_SHOW, &Target::new().with("project_id", &project))?;
    let mut repository = app.database.read().await?;
    let set = defaults(&mut repository).await?;
    let mut limits = Map::new();
    for resource in resources(&mut repository, &call, &app.config.quotas).await? {
        let limit = set.get(&resource.name).copied().unwrap_or(resource.default);
        limits.insert(resource.name, limit.into());
    }
    Ok(answer(StatusCode::OK, &One { quota_set: Set { limits, id: Some(project) } }))
}
