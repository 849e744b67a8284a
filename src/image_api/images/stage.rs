use axum::extract::{Request, State};
use axum::http::StatusCode;

use super::find;
use super::upload::{check_content_type, pipeline, promised, told, wrong_status};
use crate::http::App;
use crate::identity::policy::image as rules;
use crate::image_api::fault::{Fault, FaultBody, Result};
use crate::image_api::quota;
use crate::image_api::request::{Call, InPath};
use crate::model::ImageStatus;
use crate::workflows::{Arrival, upload_image};

/// Keeps bytes for an import. The image is `uploading` until that; when it fails it is `queued` again.
#[utoipa::path(
    put, path = "/v2/images/{image_id}/stage", tag = "images", operation_id = "stage_image",
    params(
        ("image_id" = String, Path, description = "UUID of the image"),
        ("x-openstack-image-size" = Option<u64>, Header,
            description = "Bytes to come; else Content-Length says so, or nobody"),
    ),
    request_body(content_type = "application/octet-stream", description = "The bytes"),
    responses(
        (status = 204, description = "They are kept"),
        (status = 400, description = "More or fewer bytes came than were promised", body = FaultBody),
        (status = 403, description = "The policy does not allow it", body = FaultBody),
        (status = 404, description = "There is no such image, or no import with glance-direct", body = FaultBody),
        (status = 408, description = "Too little came for too long", body = FaultBody),
        (status = 409, description = "The image is not queued", body = FaultBody),
        (status = 410, description = "The image was deleted meanwhile", body = FaultBody),
        (status = 413, description = "Too many bytes, or no space for them", body = FaultBody),
        (status = 415, description = "Not application/octet-stream", body = FaultBody),
        (status = 502, description = "The storage, or the database, did not answer while the bytes came: all of them must \
            be sent again", body = FaultBody),
    )
)]
pub async fn stage(
    State(app): State<App>,
    call: Call,
    InPath(id): InPath<String>,
    request: Request,
) -> Result<StatusCode> {
    if !app.config.images.enabled_import_methods.iter().any(|method| method == "glance-direct") {
        return Err(Fault::NotFound("'glance-direct' method is not available at this site.".to_owned()));
    }
    check_content_type(request.headers())?;
    let promised = promised(request.headers())?;
    let mut repository = app.database.read().await?;
    quota::stage(&mut repository, &app.config.quotas, call.project_id(), promised).await?;
    let image = find(&mut repository, &call, &id).await?;
    call.check_image(rules::MODIFY_IMAGE, &image)?;
    if image.status != ImageStatus::Queued {
        return Err(wrong_status(image.status, &Arrival::Stage));
    }
    drop(repository);
    let body = request.into_body().into_data_stream();
    let upload = pipeline(&app, &call, Arrival::Stage, app.stores.images.clone());
    match upload_image(upload, image.id, promised, body, call.origin()).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(error) => Err(told(&id, call.project_id(), &Arrival::Stage, error)),
    }
}
