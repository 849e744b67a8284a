use axum::Json;
use axum::extract::State;

use super::view::TaskView;
use super::{check, is_visible};
use crate::http::App;
use crate::image_api::fault::{Fault, FaultBody, Result};
use crate::image_api::request::{Call, InPath};
use crate::model::JobId;

/// One task.
#[utoipa::path(
    get, path = "/v2/tasks/{task_id}", tag = "tasks", operation_id = "show_task",
    params(("task_id" = String, Path, description = "UUID of the task")),
    responses(
        (status = 200, description = "The task", body = TaskView),
        (status = 403, description = "The policy does not allow it", body = FaultBody),
        (status = 404, description = "There is no such task", body = FaultBody),
    )
)]
pub async fn show(State(app): State<App>, call: Call, InPath(id): InPath<String>) -> Result<Json<TaskView>> {
    check(&call)?;
    let job = match JobId::parse(&id) {
        Some(id) => app.database.read().await?.job(&id).await?,
        None => None,
    };
    let job = job.filter(|job| is_visible(&call, job));
    let job = job.ok_or_else(|| Fault::NotFound(format!("Could not find task {id}")))?;
    Ok(Json(TaskView::new(job, &app.config.jobs)))
}
