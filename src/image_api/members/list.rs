use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::MemberView;
use crate::http::App;
use crate::identity::policy::image as rules;
use crate::image_api::fault::{Fault, FaultBody, Result};
use crate::image_api::request::{Call, InPath, NoBody};

#[derive(Serialize, ToSchema)]
pub struct MemberList {
    members: Vec<MemberView>,
    schema: &'static str,
}

/// The projects that the image was given to; one of them is told of itself alone.
#[utoipa::path(
    get, path = "/v2/images/{image_id}/members", tag = "members", operation_id = "list_members",
    params(("image_id" = String, Path, description = "UUID of the image")),
    responses(
        (status = 200, description = "The members", body = MemberList),
        (status = 400, description = "A body came with the request", body = FaultBody),
        (status = 403, description = "The image is not `shared`, or the policy does not allow it", body = FaultBody),
        (status = 404, description = "There is no such image", body = FaultBody),
    )
)]
pub async fn list(
    State(app): State<App>,
    call: Call,
    InPath(id): InPath<String>,
    _: NoBody,
) -> Result<Json<MemberList>> {
    let mut repository = app.database.read().await?;
    let image = super::of_shared(&mut repository, &call, &id, "list").await.map_err(|fault| match fault {
        Fault::Forbidden(_) => Fault::Forbidden(format!(
            "Not allowed to list members for image {id}: Only shared images have members."
        )),
        other => other,
    })?;
    super::check(&call, rules::GET_MEMBERS, &image)?;
    let mut members = repository.image_members(&image.id).await?;
    let may_look = call.check_image(rules::GET_MEMBER, &image).is_ok();
    members.retain(|member| may_look && super::is_known(&call, &image, member));
    let members = members.into_iter().map(MemberView::from).collect();
    Ok(Json(MemberList { members, schema: "/v2/schemas/members" }))
}
