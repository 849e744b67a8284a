//! `GET /v3/projects`

use axum::Json;
use axum::extract::State;

use super::{ProjectView, Projects, truth};
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
        ("parent_id" = Option<String>, Query, description = "A domain: there are no projects in projects"),
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
        // Those of a domain have it for their parent.
        domain_id: query.last("domain_id").or(query.last("parent_id")).map(str::to_owned),
        name: query.last("name").map(str::to_owned),
        enabled: truth(&query, "enabled"),
    };
    let found = match asks_for_none(&query) {
        true => Vec::new(),
        false => api.app.database.read().await?.projects(&filter).await?,
    };
    let projects = found.into_iter().map(|project| ProjectView::new(project, &base)).collect();
    Ok(Json(Projects { projects, links: ListLinks::new(&base, "projects") }))
}

/// Projects have neither tags nor projects in them, and are no domains: whoever asks for such must not be told of all.
fn asks_for_none(query: &Query) -> bool {
    let has = |key: &str| query.last(key).is_some_and(|value| !value.is_empty());
    let is_below = match (query.last("domain_id"), query.last("parent_id")) {
        (Some(domain), Some(parent)) => domain != parent,
        _ => false,
    };
    let is_domain = truth(query, "is_domain").unwrap_or(false);
    has("tags") || has("tags-any") || is_below || is_domain
}
