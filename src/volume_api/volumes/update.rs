//! `PUT /volumes/{volume_id}`

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::super::fault::{Fault, answer};
use super::super::microversion::Microversion;
use super::super::request::{Body, Call};
use super::super::schema::{Given, Object};
use super::attached::Attached;
use super::view::{One, Place, View};
use super::{check_updatable, find_to_change, target};
use crate::db::Json;
use crate::http::App;
use crate::identity::policy::volume as rules;

const FIELDS: [&str; 5] = ["name", "description", "display_name", "display_description", "metadata"];

#[utoipa::path(
    put, path = "/v3/volumes/{volume_id}", tag = "volumes", operation_id = "update_volume",
    description = "Changes name, description or metadata, the latter as a whole.",
    params(("volume_id" = String, Path)),
    request_body = Object,
    responses(
        (status = 200, body = One),
        (status = 400, description = "The body is not usable"),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such volume"),
        (status = 413, description = "There are too many items"),
    ),
)]
pub async fn update(
    State(app): State<App>,
    call: Call,
    Path(id): Path<String>,
    Body(body): Body,
) -> Result<Response, Fault> {
    let body = Object::body(&body)?;
    let volume = body.object("volume")?;
    body.require("volume")?;
    let volume = volume.ok_or(Fault::Malformed)?;
    let name = volume.trimmed("name", "name")?;
    let description = volume.trimmed("description", "description")?;
    let display_name = volume.trimmed("display_name", "name")?;
    let display_description = volume.trimmed("display_description", "description")?;
    let metadata = volume.metadata("metadata", false, &app.config.limits)?;
    volume.only(&FIELDS)?;
    if call.version >= Microversion::STRICT_BODIES && volume.fields().is_empty() {
        return Err(volume.refuse("{} is not valid under any of the given schemas".to_owned()));
    }
    body.only(&["volume"])?;

    let mut repository = app.database.begin().await?;
    let mut row = find_to_change(&mut repository, &call, &id).await?;
    call.check(rules::UPDATE, &target(&row))?;
    check_updatable(&row)?;
    set(&mut row.name, name.or(display_name));
    set(&mut row.description, description.or(display_description));
    if let Given::Value(metadata) = metadata {
        row.metadata = Json(metadata);
    }
    row.updated_at = Some(app.world.now());
    if !repository.update_volume(&row).await? {
        return Err(Fault::Missing("Volume", id));
    }
    let attached = Attached::to_held(&mut repository, &row).await?;
    repository.commit().await?;
    let volume = View::new(&row, &attached, &call, Place::Write);
    Ok(answer(StatusCode::OK, &One { volume }))
}

/// Keeps what the request leaves out.
fn set(field: &mut Option<String>, given: Given<String>) {
    if given != Given::Absent {
        *field = given.value();
    }
}
