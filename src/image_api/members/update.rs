use axum::Json;
use axum::extract::State;
use serde_json::Value;

use super::MemberView;
use crate::http::App;
use crate::identity::policy::image as rules;
use crate::image_api::fault::{Fault, FaultBody, Result};
use crate::image_api::request::{Call, InPath, JsonBody};
use crate::model::MemberStatus;

/// A project says whether it wants the image in its lists. Its owner cannot say it for the project.
#[utoipa::path(
    put, path = "/v2/images/{image_id}/members/{member_id}", tag = "members", operation_id = "update_member",
    params(
        ("image_id" = String, Path, description = "UUID of the image"),
        ("member_id" = String, Path, description = "The project"),
    ),
    request_body(content = Object, description = "`status`: `pending`, `accepted` or `rejected`"),
    responses(
        (status = 200, description = "The member", body = MemberView),
        (status = 400, description = "No such status", body = FaultBody),
        (status = 403, description = "The image is not `shared`, or the caller is not of this project",
            body = FaultBody),
        (status = 404, description = "There is no such image or member", body = FaultBody),
    )
)]
pub async fn update(
    State(app): State<App>,
    call: Call,
    InPath((id, project)): InPath<(String, String)>,
    JsonBody(body): JsonBody,
) -> Result<Json<MemberView>> {
    let refuse = |reason: &str| Fault::BadRequest(reason.to_owned());
    let Value::Object(fields) = body else {
        return Err(refuse("Expected a status in the form: {\"status\": \"status\"}"));
    };
    let status = fields.get("status").ok_or_else(|| refuse("Status not specified"))?;

    let mut repository = app.database.begin().await?;
    let image = super::of_shared(&mut repository, &call, &id, "update").await?;
    let mut member = super::member(&mut repository, &call, &image, &project).await?;
    super::check(&call, rules::MODIFY_MEMBER, &image)?;
    let status: Option<MemberStatus> = status.as_str().and_then(|status| status.parse().ok());
    member.status = status.ok_or_else(|| {
        refuse("Incorrect request: Status must be \"pending\", \"accepted\" or \"rejected\".")
    })?;
    member.updated_at = app.world.now();
    let (image, project) = (&member.image_id, &member.member_id);
    if !repository.set_image_member_status(image, project, member.status, member.updated_at).await? {
        return Err(super::missing(image, project.as_str()));
    }
    repository.commit().await?;
    Ok(Json(member.into()))
}
