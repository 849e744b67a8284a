use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};

use super::{encryption, find, find_to_change};
use crate::db::{ImageChange, Job};
use crate::http::App;
use crate::identity::policy::image as rules;
use crate::image_api::fault::{Fault, FaultBody, Result};
use crate::image_api::request::{Call, InPath, NoBody};
use crate::jobs::{self, Task};
use crate::model::{Cause, ImageId, ImageStatus, JobId, JobState};

/// Deletes an image and its bytes. An upload under way is broken off.
///
/// Bytes that take longer to remove than a request may last are still removed after the answer.
#[utoipa::path(
    delete, path = "/v2/images/{image_id}", tag = "images", operation_id = "delete_image",
    params(("image_id" = String, Path, description = "UUID of the image")),
    responses(
        (status = 204, description = "It is deleted"),
        (status = 400, description = "A body came with the request", body = FaultBody),
        (status = 403, description = "The image is protected", body = FaultBody),
        (status = 404, description = "There is no such image", body = FaultBody),
        (status = 409, description = "Copy-on-write volumes need the image's bytes", body = FaultBody),
        (status = 429, description = "Too many jobs of the project are under way", body = FaultBody),
        (status = 503, description = "The storage failed; the image is as it was", body = FaultBody),
    )
)]
pub async fn delete(
    State(app): State<App>,
    call: Call,
    InPath(id): InPath<String>,
    headers: HeaderMap,
    _: NoBody,
) -> Result<StatusCode> {
    let mut repository = app.database.begin().await?;
    let missing = |fault| match fault {
        Fault::NotFound(_) => Fault::NotFound(format!("Failed to find image {id} to delete")),
        other => other,
    };
    let image = find(&mut repository, &call, &id).await.map_err(missing)?;
    call.check_image(rules::DELETE_IMAGE, &image)?;
    // Before the row, as their workers do; and they are nobody's to hold who may not do it.
    repository.hold_jobs(image.id.as_str()).await?;
    let image = find_to_change(&mut repository, &call, &id).await.map_err(missing)?;
    call.check_image(rules::DELETE_IMAGE, &image)?;
    if image.protected {
        return Err(Fault::Forbidden(format!("Image {id} is protected and cannot be deleted.")));
    }
    let key = encryption::key_to_remove(&image).map(str::to_owned);
    let now = app.world.now();
    repository.cancel_jobs(image.id.as_str(), now).await?;
    let change = ImageChange::default();
    if !repository.change_image(&image.id, image.status, ImageStatus::Deleted, &change, now).await? {
        return Err(Fault::Conflict(format!("Image {id} was changed meanwhile. Please try again.")));
    }
    let task = Task::DeleteImage { image_id: image.id.clone() };
    let job = jobs::enqueue(&mut repository, &app.world, task, &call.origin()).await?;
    repository.commit().await?;

    if let Err(error) = app.keeper.stop_cancelled().await {
        tracing::warn!(%error, "jobs will notice later that their image was deleted");
    }
    let fate = fate(&app, &image.id, &job).await;
    match (&fate, key) {
        (Ok(Fate::Gone), Some(key)) => {
            encryption::remove_key(&app, &key, headers.get("x-auth-token")).await;
        }
        (Ok(Fate::Open) | Err(_), Some(key)) => encryption::leave_key(&key),
        _ => {}
    }
    match fate? {
        Fate::Gone | Fate::Open => Ok(StatusCode::NO_CONTENT),
        Fate::Stays(job) => Err(refusal(&id, *job)),
    }
}

/// What has become of an image that is to be deleted.
enum Fate {
    Gone,
    /// Its job goes on, or will be taken up again.
    Open,
    Stays(Box<Job>),
}

async fn fate(app: &App, id: &ImageId, job: &JobId) -> Result<Fate> {
    let patience = app.config.api.request_timeout.duration() / 2;
    let ended = app.job_over(job, patience).await?;
    if ended.as_ref().is_some_and(|job| job.state == JobState::Done) {
        return Ok(Fate::Gone);
    }
    // What had no bytes is gone even when its job failed.
    let Some(image) = app.database.read().await?.image(id).await? else { return Ok(Fate::Gone) };
    Ok(match ended.filter(|job| job.state == JobState::Failed) {
        Some(job) if image.status != ImageStatus::Deleted => Fate::Stays(Box::new(job)),
        _ => Fate::Open,
    })
}

fn refusal(id: &str, job: Job) -> Fault {
    if job.cause.is_some_and(Cause::is_refusal) {
        return Fault::Conflict(format!(
            "Image {id} could not be deleted because it is in use: The image cannot be deleted because it is in \
             use through the backend store outside of Glance."
        ));
    }
    Fault::Unavailable {
        said: format!("Image {id} could not be deleted and is as it was. Please try again later."),
        source: anyhow::anyhow!("{}", job.error_detail.or(job.error).unwrap_or_default()),
    }
}
