use axum::extract::State;
use axum::http::StatusCode;

use crate::http::App;
use crate::identity::policy::image as rules;
use crate::image_api::fault::{FaultBody, Result};
use crate::image_api::request::{Call, InPath, NoBody};
use crate::model::ImageStatus;

/// Withholds the image's bytes from all but administrators.
#[utoipa::path(
    post, path = "/v2/images/{image_id}/actions/deactivate", tag = "actions", operation_id = "deactivate_image",
    params(("image_id" = String, Path, description = "UUID of the image")),
    responses(
        (status = 204, description = "The image is deactivated"),
        (status = 400, description = "A body came with the request", body = FaultBody),
        (status = 403, description = "The image is neither active nor deactivated", body = FaultBody),
        (status = 404, description = "There is no such image", body = FaultBody),
    )
)]
pub async fn deactivate(
    State(app): State<App>,
    call: Call,
    InPath(id): InPath<String>,
    _: NoBody,
) -> Result<StatusCode> {
    super::switch(
        &app,
        &call,
        &id,
        (rules::DEACTIVATE, "deactivate"),
        (ImageStatus::Active, ImageStatus::Deactivated),
    )
    .await?;
    Ok(StatusCode::NO_CONTENT)
}
