use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::view::TaskRow;
use super::visible;
use crate::db::{JobFilter, Page};
use crate::http::App;
use crate::identity::policy::image as rules;
use crate::image_api::fault::{Fault, FaultBody, Result};
use crate::image_api::images::find;
use crate::image_api::request::{Call, InPath, NoBody};

/// Tasks of one image that are told of.
const MOST: i64 = 1000;

#[derive(Serialize, ToSchema)]
pub struct TasksOfImage {
    tasks: Vec<TaskRow>,
}

/// The tasks that are, or were, about an image.
#[utoipa::path(
    get, path = "/v2/images/{image_id}/tasks", tag = "tasks", operation_id = "list_tasks_of_image",
    params(("image_id" = String, Path, description = "UUID of the image")),
    responses(
        (status = 200, description = "The tasks", body = TasksOfImage),
        (status = 400, description = "A body came with the request", body = FaultBody),
        (status = 404, description = "There is no such image", body = FaultBody),
    )
)]
pub async fn of_image(
    State(app): State<App>,
    call: Call,
    InPath(id): InPath<String>,
    _: NoBody,
) -> Result<Json<TasksOfImage>> {
    let mut repository = app.database.read().await?;
    let image = find(&mut repository, &call, &id).await.map_err(|fault| match fault {
        Fault::NotFound(_) => Fault::NoSuchResource,
        other => other,
    })?;
    call.check_image(rules::GET_IMAGE, &image)?;
    let filter = JobFilter { resource_id: Some(image.id.to_string()), ..visible(&call) };
    let jobs = repository.jobs(&filter, &Page { limit: Some(MOST), ..Page::default() }).await?;
    Ok(Json(TasksOfImage {
        tasks: jobs.into_iter().map(|job| TaskRow::new(job, &app.config.jobs)).collect(),
    }))
}
