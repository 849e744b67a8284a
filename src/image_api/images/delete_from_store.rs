use axum::extract::State;
use axum::http::StatusCode;

use super::{find_to_change, import};
use crate::db::Location;
use crate::http::App;
use crate::identity::policy::image as rules;
use crate::image_api::fault::{Fault, FaultBody, Result};
use crate::image_api::request::{Call, InPath, NoBody};
use crate::image_api::stores;
use crate::jobs::{self, Task};
use crate::model::{Cause, ImageStatus, JobId, JobState};

/// Removes an image's bytes in one store; others keep them, and so does a web server, whose address is forgotten.
#[utoipa::path(
    delete, path = "/v2/stores/{store_id}/{image_id}", tag = "images", operation_id = "delete_image_from_store",
    params(
        ("store_id" = String, Path, description = "Id of the store"),
        ("image_id" = String, Path, description = "UUID of the image"),
    ),
    responses(
        (status = 204, description = "They are gone"),
        (status = 403, description = "The policy does not allow it, or no other store has them", body = FaultBody),
        (status = 404, description = "There is no such image, or not in this store", body = FaultBody),
        (status = 409, description = "No such store, copy-on-write volumes need them, or it was cancelled, as by \
            the deletion of the image", body = FaultBody),
        (status = 429, description = "Too many jobs of the project are under way", body = FaultBody),
        (status = 503, description = "The storage failed; the image is as it was", body = FaultBody),
    )
)]
pub async fn delete_from_store(
    State(app): State<App>,
    call: Call,
    InPath((store_id, id)): InPath<(String, String)>,
    _: NoBody,
) -> Result<StatusCode> {
    if !stores::are_shown(&app.config) {
        return Err(Fault::NoSuchResource);
    }
    let Some(store) = stores::named(&app.config, &store_id) else {
        let id: String = store_id.chars().take(100).collect();
        return Err(Fault::Conflict(format!("The selected store {id} is not available on this node.")));
    };
    let mut repository = app.database.begin().await?;
    let image = find_to_change(&mut repository, &call, &id).await.map_err(|fault| match fault {
        Fault::NotFound(_) => Fault::NotFound(format!("Failed to find image {id}")),
        other => other,
    })?;
    call.check_image(rules::GET_IMAGE_LOCATION, &image)?;
    call.check_image(rules::DELETE_IMAGE_LOCATION, &image)?;
    if image.status != ImageStatus::Active {
        return Err(Fault::Conflict(
            "It's not allowed to remove image data from store if image status is not 'active'".to_owned(),
        ));
    }
    let is_there = |place: &Location| place.store.as_deref() == store.row;
    // What an earlier request that failed left is removed, but not what an import brings just now.
    let is_on_its_way = import::on_its_way_to(&image).any(|id| id == store.id);
    let is_left = !is_on_its_way && image.locations.iter().any(|place| !place.ready && is_there(place));
    let is_elsewhere = image.places().any(|place| !is_there(place));
    if !is_elsewhere || !is_left && image.places().count() == 1 {
        return Err(Fault::Forbidden(
            "Cannot delete image data from the only store containing it. Consider deleting the image instead."
                .to_owned(),
        ));
    }
    if !is_left && !image.places().any(is_there) {
        return Err(Fault::NotFound(format!("Image {id} is not stored in store {store_id}.")));
    }
    if store.is_read_only() {
        // A web server keeps what it has: nothing is left to a job.
        repository.remove_location(&image.id, store.row).await?;
        repository.commit().await?;
        return Ok(StatusCode::NO_CONTENT);
    }
    repository.ready_location(&image.id, store.row, false).await?;
    let task = Task::DeleteFromStore { image_id: image.id.clone(), store: store.to_row() };
    let job = jobs::enqueue(&mut repository, &app.world, task, &call.origin()).await?;
    repository.commit().await?;
    ended(&app, &id, &job).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Waits for the job that removes the bytes, for a while, and says so if it failed.
pub(super) async fn ended(app: &App, id: &str, job: &JobId) -> Result<()> {
    let patience = app.config.api.request_timeout.duration() / 2;
    match app.job_over(job, patience).await?.filter(|job| job.state != JobState::Done) {
        None => Ok(()),
        Some(job) if job.state == JobState::Cancelled => Err(Fault::Conflict(format!(
            "The data for Image {id} was not deleted: the request was cancelled."
        ))),
        Some(job) if job.cause.is_some_and(Cause::is_refusal) => Err(Fault::Conflict(format!(
            "The data for Image {id} could not be deleted because it is in use: The image cannot be deleted because \
             it is in use through the backend store outside of Glance."
        ))),
        Some(job) => Err(Fault::Unavailable {
            said: format!("The data for Image {id} could not be deleted. Please try again later."),
            source: anyhow::anyhow!("{}", job.error_detail.or(job.error).unwrap_or_default()),
        }),
    }
}
