//! `GET /v3/projects`

use axum::Json;
use axum::extract::State;

use super::{ProjectView, Projects, enabled};
use crate::db::ProjectFilter;
use crate::http::Query;
use crate::identity_api::Api;
use crate::identity_api::asker::Asker;
use crate::identity_api::fault::{FaultBody, Result};
use crate::identity_api::links::{Base, ListLinks};

/// Projects, by name
#[utoipa::path(
    get, path = "/v3/projects", tag = "projects", operation_id = "list_projects",
    params(
        ("name" = Option<String>, Query), ("domain_id" = Option<String>, Query),
        ("enabled" = Option<String>, Query),
    ),
    responses(
        (status = 200, body = Projects),
        (status = 403, description = "Not an administrator", body = FaultBody),
    ),
)]
pub(in crate::identity_api) async fn list(
    State(api): State<Api>,
    asker: Asker,
    query: Query,
    base: Base,
) -> Result<Json<Projects>> {
    asker.may_see("identity:list_projects")?;
    let filter = ProjectFilter {
        domain_id: query.last("domain_id").map(str::to_owned),
        name: query.last("name").map(str::to_owned),
        enabled: enabled(&query),
    };
    let found = api.app.database.read().await?.projects(&filter).await?;
    let projects = found.into_iter().map(|project| ProjectView::new(project, &base)).collect();
    Ok(Json(Projects { projects, links: ListLinks::new(&base, "projects") }))
}
