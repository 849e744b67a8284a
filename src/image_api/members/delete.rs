use axum::extract::State;
use axum::http::StatusCode;

use crate::http::App;
use crate::identity::policy::image as rules;
use crate::image_api::fault::{FaultBody, Result};
use crate::image_api::request::{Call, InPath, NoBody};

/// Takes the image from a project. Volumes made from it stay.
#[utoipa::path(
    delete, path = "/v2/images/{image_id}/members/{member_id}", tag = "members", operation_id = "delete_member",
    params(
        ("image_id" = String, Path, description = "UUID of the image"),
        ("member_id" = String, Path, description = "The project"),
    ),
    responses(
        (status = 204, description = "The project is no member any more"),
        (status = 400, description = "A body came with the request", body = FaultBody),
        (status = 403, description = "The image is not `shared`, or the policy does not allow it", body = FaultBody),
        (status = 404, description = "There is no such image or member", body = FaultBody),
    )
)]
pub async fn delete(
    State(app): State<App>,
    call: Call,
    InPath((id, project)): InPath<(String, String)>,
    _: NoBody,
) -> Result<StatusCode> {
    let mut repository = app.database.begin().await?;
    let image = super::of_shared(&mut repository, &call, &id, "delete").await?;
    let member = super::member(&mut repository, &call, &image, &project).await?;
    super::check(&call, rules::DELETE_MEMBER, &image)?;
    if !repository.remove_image_member(&member.image_id, &member.member_id).await? {
        return Err(super::missing(&member.image_id, &project));
    }
    repository.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
