use axum::extract::State;
use axum::http::StatusCode;

use crate::http::App;
use crate::identity::policy::image as rules;
use crate::image_api::fault::{Fault, FaultBody, Result};
use crate::image_api::images::find_to_change;
use crate::image_api::request::{Call, InPath, NoBody};

/// Takes a tag from the image.
#[utoipa::path(
    delete, path = "/v2/images/{image_id}/tags/{tag}", tag = "tags", operation_id = "remove_tag",
    params(
        ("image_id" = String, Path, description = "UUID of the image"),
        ("tag" = String, Path, description = "One that the image has"),
    ),
    responses(
        (status = 204, description = "The image does not have the tag any more"),
        (status = 400, description = "A body came with the request", body = FaultBody),
        (status = 403, description = "The policy does not allow it", body = FaultBody),
        (status = 404, description = "There is no such image, or it does not have the tag", body = FaultBody),
    )
)]
pub async fn remove(
    State(app): State<App>,
    call: Call,
    InPath((id, tag)): InPath<(String, String)>,
    _: NoBody,
) -> Result<StatusCode> {
    let mut repository = app.database.begin().await?;
    let found = find_to_change(&mut repository, &call, &id).await;
    let mut image = found.map_err(|fault| super::not_found(&id, fault))?;
    call.check_image(rules::MODIFY_IMAGE, &image)?;
    if image.tags.0.remove(&tag).is_none() {
        return Err(Fault::NoSuchResource);
    }
    image.updated_at = app.world.now();
    repository.update_image(&image).await?;
    repository.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
