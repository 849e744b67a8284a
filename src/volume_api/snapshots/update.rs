//! `PUT /snapshots/{snapshot_id}`

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::super::fault::{Fault, answer};
use super::super::request::{Body, Call};
use super::super::schema::{Given, Object};
use super::view::{Depth, One, View};
use super::{find_to_change, target};
use crate::http::App;
use crate::identity::policy::volume as rules;

const FIELDS: [&str; 4] = ["name", "description", "display_name", "display_description"];

#[utoipa::path(
    put, path = "/v3/snapshots/{snapshot_id}", tag = "snapshots", operation_id = "update_snapshot",
    description = "Changes name or description.",
    params(("snapshot_id" = String, Path)),
    request_body = Object,
    responses(
        (status = 200, body = One),
        (status = 400, description = "The body is not usable"),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such snapshot"),
    ),
)]
pub async fn update(
    State(app): State<App>,
    call: Call,
    Path(id): Path<String>,
    Body(body): Body,
) -> Result<Response, Fault> {
    let body = Object::body(&body)?;
    let snapshot = body.object("snapshot")?;
    body.require("snapshot")?;
    let snapshot = snapshot.ok_or(Fault::Malformed)?;
    let name = snapshot.text("name")?;
    let description = snapshot.printable_text("description")?;
    let display_name = snapshot.text("display_name")?;
    let display_description = snapshot.printable_text("display_description")?;
    snapshot.only(&FIELDS)?;
    if snapshot.fields().is_empty() {
        return Err(snapshot.refuse("{} is not valid under any of the given schemas".to_owned()));
    }
    body.only(&["snapshot"])?;

    let mut repository = app.database.begin().await?;
    let mut row = find_to_change(&mut repository, &call, &id).await?;
    call.check(rules::UPDATE_SNAPSHOT, &target(&row))?;
    set(&mut row.name, name.or(display_name));
    set(&mut row.description, description.or(display_description));
    row.updated_at = Some(app.world.now());
    if !repository.update_snapshot(&row).await? {
        return Err(Fault::Missing("Snapshot", id));
    }
    repository.commit().await?;
    Ok(answer(StatusCode::OK, &One { snapshot: View::new(&row, &call, Depth::Write) }))
}

/// Keeps what the request leaves out.
fn set(field: &mut Option<String>, given: Given<&str>) {
    if given != Given::Absent {
        *field = given.value().map(|text| text.trim().to_owned());
    }
}
