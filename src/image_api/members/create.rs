use axum::Json;
use axum::extract::State;
use serde_json::Value;

use super::MemberView;
use crate::db::{DbError, ImageMember};
use crate::http::App;
use crate::identity::policy::image as rules;
use crate::image_api::fault::{Fault, FaultBody, Result};
use crate::image_api::images::property;
use crate::image_api::request::{Call, InPath, JsonBody};
use crate::image_api::schema::no_nul;
use crate::model::{MemberStatus, ProjectId};

/// Gives the image to a project. It sees the image at once, but in lists only when it has accepted it.
#[utoipa::path(
    post, path = "/v2/images/{image_id}/members", tag = "members", operation_id = "create_member",
    params(("image_id" = String, Path, description = "UUID of the image")),
    request_body(content = Object, description = "`member`: the project"),
    responses(
        (status = 200, description = "The member, `pending`", body = MemberView),
        (status = 400, description = "No project in the body", body = FaultBody),
        (status = 403, description = "The image is not `shared`, or the policy does not allow it", body = FaultBody),
        (status = 404, description = "There is no such image", body = FaultBody),
        (status = 409, description = "The project is a member already", body = FaultBody),
        (status = 413, description = "Too many members", body = FaultBody),
    )
)]
pub async fn create(
    State(app): State<App>,
    call: Call,
    InPath(id): InPath<String>,
    JsonBody(body): JsonBody,
) -> Result<Json<MemberView>> {
    let project = project(&body)?;
    let mut repository = app.database.begin().await?;
    let image = super::of_shared_to_change(&mut repository, &call, &id, "create").await?;
    super::check(&call, rules::ADD_MEMBER, &image)?;
    let (quota, attempted) =
        (app.config.images.image_member_quota, repository.count_image_members(&image.id).await? + 1);
    if quota >= 0 && attempted > quota {
        return Err(Fault::TooLarge(format!(
            "Image member limit exceeded for image {id}: The limit has been exceeded on the number of allowed image \
             members for this image. Attempted: {attempted}, Maximum: {quota}:"
        )));
    }
    let now = app.world.now();
    let member = ImageMember {
        image_id: image.id,
        member_id: project,
        status: MemberStatus::Pending,
        created_at: now,
        updated_at: now,
    };
    repository.add_image_member(&member).await.map_err(|error| match error {
        DbError::Exists => {
            Fault::Conflict(format!("Member {} is duplicated for image {id}", member.member_id))
        }
        other => other.into(),
    })?;
    repository.commit().await?;
    Ok(Json(member.into()))
}

fn project(body: &Value) -> Result<ProjectId> {
    const FORM: &str = "Expected a member in the form: {\"member\": \"image_id\"}";
    let refuse = |reason: &str| Err(Fault::BadRequest(reason.to_owned()));
    let Value::Object(fields) = body else { return refuse(FORM) };
    match fields.get("member") {
        None => refuse("Member to be added not specified"),
        Some(Value::Null) => refuse("Member can't be empty"),
        Some(Value::String(project)) if project.is_empty() => refuse("Member can't be empty"),
        Some(Value::String(project)) if project.chars().count() > property::MAX_LENGTH => {
            refuse("Member is longer than 255 characters.")
        }
        Some(Value::String(project)) => {
            no_nul(project)?;
            Ok(ProjectId(project.clone()))
        }
        // Glance takes numbers for texts here.
        Some(_) => refuse(FORM),
    }
}
