use axum::extract::State;
use axum::http::StatusCode;
use serde_json::json;

use crate::http::App;
use crate::identity::policy::image as rules;
use crate::image_api::fault::{Fault, FaultBody, Result};
use crate::image_api::images::{Draft, find_to_change, property};
use crate::image_api::request::{Call, InPath, NoBody};

/// Gives the image a tag; one that it has already stays.
#[utoipa::path(
    put, path = "/v2/images/{image_id}/tags/{tag}", tag = "tags", operation_id = "add_tag",
    params(
        ("image_id" = String, Path, description = "UUID of the image"),
        ("tag" = String, Path, description = "At most 255 characters"),
    ),
    responses(
        (status = 204, description = "The image has the tag"),
        (status = 400, description = "The tag is too long, or a body came with the request", body = FaultBody),
        (status = 403, description = "The policy does not allow it", body = FaultBody),
        (status = 404, description = "There is no such image", body = FaultBody),
        (status = 413, description = "Too many tags", body = FaultBody),
    )
)]
pub async fn add(
    State(app): State<App>,
    call: Call,
    InPath((id, tag)): InPath<(String, String)>,
    _: NoBody,
) -> Result<StatusCode> {
    property::check("tags", &json!([tag]), &app.image_schema)?;
    let mut repository = app.database.begin().await?;
    let found = find_to_change(&mut repository, &call, &id).await;
    let mut image = found.map_err(|fault| super::not_found(&id, fault))?;
    call.check_image(rules::MODIFY_IMAGE, &image)?;
    if image.tags.0.insert(tag, true).is_none() {
        let finished = Draft::new(image, &call).finished(&app.config.images, app.world.now());
        image = finished.map_err(|fault| match fault {
            Fault::TooLarge(why) => {
                Fault::TooLarge(format!("Image tag limit exceeded for image {id}: {why}:"))
            }
            other => other,
        })?;
        repository.update_image(&image).await?;
    }
    repository.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
