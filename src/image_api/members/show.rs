use axum::Json;
use axum::extract::State;

use super::MemberView;
use crate::http::App;
use crate::image_api::fault::{Fault, FaultBody, Result};
use crate::image_api::request::{Call, InPath, NoBody};

/// One member. What is not allowed to be seen is not there.
#[utoipa::path(
    get, path = "/v2/images/{image_id}/members/{member_id}", tag = "members", operation_id = "show_member",
    params(
        ("image_id" = String, Path, description = "UUID of the image"),
        ("member_id" = String, Path, description = "The project"),
    ),
    responses(
        (status = 200, description = "The member", body = MemberView),
        (status = 400, description = "A body came with the request", body = FaultBody),
        (status = 404, description = "There is no such image, it is not `shared`, or not with this project",
            body = FaultBody),
    )
)]
pub async fn show(
    State(app): State<App>,
    call: Call,
    InPath((id, project)): InPath<(String, String)>,
    _: NoBody,
) -> Result<Json<MemberView>> {
    let mut repository = app.database.read().await?;
    let image = super::of_shared(&mut repository, &call, &id, "show").await.map_err(|fault| match fault {
        Fault::Forbidden(_) => Fault::NotFound("Only shared images have members.".to_owned()),
        other => other,
    })?;
    let member = super::member(&mut repository, &call, &image, &project).await;
    member.map(|member| Json(member.into())).map_err(|fault| match fault {
        Fault::Forbidden(said) => Fault::NotFound(said),
        other => other,
    })
}
