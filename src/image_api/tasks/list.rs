use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::view::TaskStub;
use super::{IMPORT, STATUSES, check, is_visible, job_kinds, visible};
use crate::http::{App, Query};
use crate::image_api::fault::{Fault, FaultBody, Result};
use crate::image_api::paging;
use crate::image_api::request::Call;
use crate::model::JobId;

const PATH: &str = "/v2/tasks";

/// API name and column.
const SORT_KEYS: [(&str, &str); 7] = [
    ("id", "id"),
    ("type", "kind"),
    ("status", "state"),
    ("owner", "project_id"),
    ("created_at", "created_at"),
    ("updated_at", "updated_at"),
    ("expires_at", "finished_at"),
];

#[derive(Serialize, ToSchema)]
pub struct TaskList {
    tasks: Vec<TaskStub>,
    first: String,
    schema: &'static str,
    /// There when there may be more.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// The tasks, newest first.
#[utoipa::path(
    get, path = "/v2/tasks", tag = "tasks", operation_id = "list_tasks",
    params(
        ("limit" = Option<u32>, Query, description = "Tasks on the page"),
        ("marker" = Option<String>, Query, description = "The last task of the page before"),
        ("sort_key" = Option<String>, Query, description = "`created_at`, `status` and so on"),
        ("sort_dir" = Option<String>, Query, description = "`asc` or `desc`"),
        ("status" = Option<String>, Query, description = "`pending`, `processing`, `success` or `failure`"),
        ("type" = Option<String>, Query, description = "`import`: those that were asked for as tasks"),
    ),
    responses(
        (status = 200, description = "A page of tasks", body = TaskList),
        (status = 400, description = "A filter, sort key, limit or marker that is none", body = FaultBody),
        (status = 403, description = "The policy does not allow it", body = FaultBody),
    )
)]
pub async fn list(State(app): State<App>, call: Call, query: Query) -> Result<Json<TaskList>> {
    check(&call)?;
    let refuse = |said: String| Err(Fault::BadRequest(said));
    let mut page = paging::simple_sort(&query, &SORT_KEYS).map_err(|fault| match fault {
        Fault::BadRequest(said) if said.starts_with("Invalid sort key") => {
            Fault::BadRequest("Sort key supplied was not valid.".to_owned())
        }
        other => other,
    })?;
    let limit = paging::limit(&query, &app.config.images)?;
    page.limit = Some(limit);
    let mut filter = visible(&call);
    if let Some(wanted) = query.last("status").filter(|wanted| !wanted.is_empty()) {
        match STATUSES.iter().find(|(status, _)| *status == wanted) {
            Some((_, states)) => filter.state = Some(states.to_vec()),
            None => return refuse(format!("Invalid status value: {wanted}")),
        }
    }
    match query.last("type").unwrap_or_default() {
        "" => {}
        IMPORT => filter.kind = Some(job_kinds(|name| name == IMPORT)),
        wanted => return refuse(format!("Invalid type value: {wanted}")),
    }

    let mut repository = app.database.read().await?;
    if let Some(marker) = query.last("marker").filter(|marker| !marker.is_empty()) {
        let Some(id) = JobId::parse(marker) else { return refuse("Invalid marker format".to_owned()) };
        match repository.job(&id).await?.filter(|job| is_visible(&call, job)) {
            Some(job) => page.marker = Some(job.id.to_string()),
            None => return refuse(format!("Task with the given id {marker} was not found")),
        }
    }
    let tasks = repository.jobs_in_brief(&filter, &page).await?;

    let is_full = !tasks.is_empty() && tasks.len() as i64 == limit;
    let next =
        tasks.last().filter(|_| is_full).map(|last| paging::link(PATH, &query, Some(last.id.as_str())));
    Ok(Json(TaskList {
        tasks: tasks.into_iter().map(|job| TaskStub::new(job, &app.config.jobs)).collect(),
        first: paging::link(PATH, &query, None),
        schema: "/v2/schemas/tasks",
        next,
    }))
}
