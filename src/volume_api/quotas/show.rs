//! `GET /os-quota-sets/{project_id}`

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Map;

use super::super::fault::{Fault, answer};
use super::super::paging::flag;
use super::super::request::Call;
use super::view::{Limit, OneWithUse, SetWithUse};
use super::{Account, resources};
use crate::http::App;
use crate::identity::policy::{Target, volume as rules};

#[utoipa::path(
    get, path = "/v3/os-quota-sets/{project_id}", tag = "quotas", operation_id = "show_quotas",
    params(
        ("project_id" = String, Path),
        ("usage" = Option<bool>, Query, description = "With what is in use: objects instead of numbers"),
    ),
    responses(
        (status = 200, body = OneWithUse),
        (status = 403, description = "The policy does not allow it"),
    ),
)]
pub async fn show(
    State(app): State<App>,
    call: Call,
    Path(project): Path<String>,
) -> Result<Response, Fault> {
    call.check(rules::QUOTAS_SHOW, &Target::new().with("project_id", &project))?;
    let with_usage = flag(&call.query, "usage")?;
    let mut repository = app.database.read().await?;
    let account = Account::open(&mut repository, &project, &app.config.quotas).await?;
    let mut limits = Map::new();
    for resource in resources(&mut repository, &call, &app.config.quotas).await? {
        let limit = account.limit(&resource);
        let shown = if with_usage {
            let (in_use, reserved) = (account.used(&resource.name), account.promised(&resource.name));
            Limit::WithUse { limit, in_use, reserved }
        } else {
            Limit::Alone(limit)
        };
        limits.insert(resource.name, shown.into());
    }
    Ok(answer(StatusCode::OK, &OneWithUse { quota_set: SetWithUse { limits, id: project } }))
}
