//! `GET /os-quota-sets/{project_id}/defaults`

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::super::fault::{Fault, answer};
use super::super::request::Call;
use super::{defaults, resources};
use crate::http::App;
use crate::identity::policy::{Target, volume as rules};

#[utoipa::path(
    get, path = "/v3/os-quota-sets/{project_id}/defaults", tag = "quotas", operation_id = "show_default_quotas",
    description = "The limits of projects that have none of their own.",
    params(("project_id" = String, Path)),
    responses(
        (status = 200, body = Object, description = "A limit each, -1 for none; of types, for those that the \
            caller may see"),
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
    let mut shown = Map::new();
    for resource in resources(&mut repository, &call, &app.config.quotas).await? {
        let limit = set.get(&resource.name).copied().unwrap_or(resource.default);
        shown.insert(resource.name, limit.into());
    }
    shown.insert("id".to_owned(), Value::String(project));
    Ok(answer(StatusCode::OK, &json!({"quota_set": shown})))
}
