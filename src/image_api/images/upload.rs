use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};

use super::find;
use super::formats::{check_formats, unformatted};
use crate::block::BlockStore;
use crate::db::Image;
use crate::http::{App, media_type};
use crate::identity::policy::image as rules;
use crate::image_api::fault::{Fault, FaultBody, Result};
use crate::image_api::request::{Call, InPath};
use crate::image_api::{quota, stores};
use crate::model::{ImageStatus, ProjectId, StorageFull};
use crate::signature::SignatureError;
use crate::workflows::{Arrival, Intake, Upload, UploadError, upload_image};

/// Stores the image's bytes, all of them. When that fails the image is `queued` again, and has none.
#[utoipa::path(
    put, path = "/v2/images/{image_id}/file", tag = "images", operation_id = "upload_image",
    params(
        ("image_id" = String, Path, description = "UUID of the image"),
        ("x-openstack-image-size" = Option<u64>, Header,
            description = "Bytes to come; else Content-Length says so, or nobody"),
        ("X-Image-Meta-Store" = Option<String>, Header,
            description = "The id of the store they are to lie in, where there are several"),
    ),
    request_body(content_type = "application/octet-stream", description = "The bytes"),
    responses(
        (status = 204, description = "The image is active"),
        (status = 400, description = "Formats are not set, no such store, more or fewer bytes came than were promised, \
            or the signature is wrong",
            body = FaultBody),
        (status = 403, description = "The policy does not allow it", body = FaultBody),
        (status = 404, description = "There is no such image", body = FaultBody),
        (status = 408, description = "Too little came for too long", body = FaultBody),
        (status = 409, description = "The image is not queued", body = FaultBody),
        (status = 410, description = "The image was deleted meanwhile", body = FaultBody),
        (status = 413, description = "Too many bytes, or no space for them", body = FaultBody),
        (status = 415, description = "Not application/octet-stream, or unsafe content, or not of the disk_format",
            body = FaultBody),
        (status = 502, description = "The storage, or the database, did not answer while the bytes came: all of them must \
            be sent again", body = FaultBody),
    )
)]
pub async fn upload(
    State(app): State<App>,
    call: Call,
    InPath(id): InPath<String>,
    request: Request,
) -> Result<StatusCode> {
    check_content_type(request.headers())?;
    let promised = promised(request.headers())?;
    let (arrival, store) = wanted_store(&app, request.headers())?;
    let mut repository = app.database.read().await?;
    let image = find(&mut repository, &call, &id).await?;
    call.check_image(rules::UPLOAD_IMAGE, &image)?;
    if image.status != ImageStatus::Queued {
        return Err(wrong_status(image.status, &arrival));
    }
    check_formats(&image)?;
    quota::upload(&mut repository, &app.config.quotas, call.project_id(), promised).await?;
    let options = &app.config.images;
    let room =
        quota::storage(&mut repository, options, call.project_id(), &image.id, promised, quota::IN_UPLOAD)
            .await?;
    drop(repository);
    let signed = app.certificates.signed(&image.properties.0, request.headers().get("x-auth-token")).await;
    let signed = signed.map_err(|error| badly_signed(&id, &error))?;
    let body = request.into_body().into_data_stream();
    let mut upload = Upload { signed, ..pipeline(&app, &call, arrival.clone(), store) };
    upload.intake.limit = upload.intake.limit.min(room.unwrap_or(u64::MAX));
    match upload_image(upload, image.id, promised, body, call.origin()).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(UploadError::TooLarge { limit }) if limit < options.image_size_cap => {
            let full = StorageFull { bytes: None, remaining: limit.into() };
            Err(quota::storage_full(quota::IN_UPLOAD, full))
        }
        Err(error) => Err(told(&id, call.project_id(), &arrival, error)),
    }
}

pub(super) fn pipeline(app: &App, call: &Call, arrival: Arrival, store: Arc<dyn BlockStore>) -> Upload {
    Upload {
        arrival,
        database: app.database.clone(),
        world: app.world.clone(),
        keeper: app.keeper.clone(),
        store,
        intake: Intake::from(&app.config.images),
        signed: None,
        at_once: (call.project_id().clone(), app.config.quotas.image_count_uploading),
        storage: app.config.images.user_storage_quota.bytes(),
    }
}

/// The key of who signed the image, for whoever checks it later: a job has nobody's token.
pub(in crate::image_api) async fn signed_by(
    app: &App,
    image: &Image,
    headers: &HeaderMap,
) -> Result<Option<String>> {
    let signed = app.certificates.signed(&image.properties.0, headers.get("x-auth-token")).await;
    let key = signed.and_then(|signed| signed.map(|signed| signed.key()).transpose());
    key.map_err(|error| badly_signed(image.id.as_str(), &error))
}

fn badly_signed(id: &str, error: &SignatureError) -> Fault {
    Fault::BadRequest(format!("Signature verification failed for image {id}: {error}"))
}

/// Where the bytes are to lie: clients may say so where they see that there are several stores.
fn wanted_store(app: &App, headers: &HeaderMap) -> Result<(Arrival, Arc<dyn BlockStore>)> {
    let wanted = headers.get("x-image-meta-store").filter(|_| stores::are_shown(&app.config));
    let store = match wanted.map(|id| id.to_str().unwrap_or_default()) {
        None => None,
        Some(id) => match stores::named(&app.config, id).filter(|store| !store.is_read_only()) {
            Some(store) => store.to_row(),
            None => return Err(Fault::BadRequest(unknown_store(id))),
        },
    };
    let Some(kept) = app.stores.images_in(store.as_deref()).cloned() else {
        return Err(Fault::Internal(anyhow::anyhow!("{store:?} is a store that is not open")));
    };
    Ok((Arrival::Upload { store }, kept))
}

pub(super) fn unknown_store(id: &str) -> String {
    let id: String = id.chars().take(100).collect();
    format!("Unknown scheme '{id}' found in URI")
}

/// Refuses what does not say that it is bytes.
pub(super) fn check_content_type(headers: &HeaderMap) -> Result<()> {
    let given = media_type(headers);
    if given == "application/octet-stream" {
        return Ok(());
    }
    let shown = if given.is_empty() { "None" } else { given };
    Err(Fault::UnsupportedMediaType {
        given: given.to_owned(),
        detail: format!("Invalid content type {shown}"),
        accept_patch: None,
    })
}

/// The bytes to come, as far as the client says.
pub(super) fn promised(headers: &HeaderMap) -> Result<Option<u64>> {
    let invalid = || Fault::BadRequest("Invalid or missing image size in request headers.".to_owned());
    let number = |name: &str| match headers.get(name) {
        None => Ok(None),
        Some(value) => {
            value.to_str().ok().and_then(|text| text.trim().parse().ok()).map(Some).ok_or_else(invalid)
        }
    };
    match number("x-openstack-image-size")? {
        Some(size) => Ok(Some(size)),
        None => number(header::CONTENT_LENGTH.as_str()),
    }
}

pub(super) fn wrong_status(status: ImageStatus, arrival: &Arrival) -> Fault {
    let wanted = arrival.status();
    Fault::Conflict(format!("Image status transition from {status} to {wanted} is not allowed"))
}

pub(super) fn told(id: &str, project: &ProjectId, arrival: &Arrival, error: UploadError) -> Fault {
    match error {
        UploadError::WrongStatus(status) => wrong_status(status, arrival),
        UploadError::Unformatted(missing) => unformatted(&missing),
        UploadError::Exists if *arrival == Arrival::Stage => {
            Fault::Conflict(format!("The image {id} has data on staging"))
        }
        UploadError::Exists => Fault::Conflict(format!("The storage has data of image {id} already.")),
        UploadError::TooLarge { .. } => {
            Fault::TooLarge("The incoming image is too large: The provided image is too large.".to_owned())
        }
        UploadError::SizeMismatch { expected, actual } => {
            let what = if actual > expected { "exceeds" } else { "mismatch" };
            Fault::BadRequest(format!("Size {what}: expected {expected} bytes, got {actual} bytes"))
        }
        UploadError::Content(refusal) => Fault::UnsupportedMediaType {
            given: "application/octet-stream".to_owned(),
            detail: refusal.to_string(),
            accept_patch: None,
        },
        UploadError::Signature(error) => badly_signed(id, &error),
        UploadError::NoSpace => Fault::TooLarge(
            "Image storage media is full: There is not enough disk space on the image storage media."
                .to_owned(),
        ),
        UploadError::OverQuota(full) => quota::storage_full(quota::IN_UPLOAD, full),
        UploadError::TooManyAtOnce { limit, uploading } => {
            quota::over(project, "image_count_uploading", limit, uploading, 0)
        }
        // Nobody reads it.
        UploadError::ClientGone(_) => Fault::BadRequest("The request body ended too early.".to_owned()),
        UploadError::Stalled => Fault::Timeout("Too little image data arrived for too long.".to_owned()),
        UploadError::Deleted => Fault::Gone(format!(
            "Image {id} could not be found after upload. The image may have been deleted during the upload, \
             cleaning up the chunks uploaded."
        )),
        UploadError::Unavailable(why) => Fault::BrokenOff {
            said: "The image storage did not answer. Please send all of the bytes again later.".to_owned(),
            source: anyhow::anyhow!(why),
        },
        UploadError::Internal(why) => Fault::Internal(anyhow::anyhow!(why)),
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;

    use super::*;

    /// To 503 Nova sends the rest of a file that it has begun to send.
    #[test]
    fn nobody_is_told_to_go_on_with_a_body() {
        let project = ProjectId("p".to_owned());
        for arrival in [Arrival::Stage, Arrival::Upload { store: None }] {
            let error = UploadError::Unavailable("why".to_owned());
            let answer = told("id", &project, &arrival, error).into_response();
            assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
            assert!(!answer.headers().contains_key(header::RETRY_AFTER));
        }
    }
}
