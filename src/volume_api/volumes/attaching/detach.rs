//! `os-detach`: the volume is attached no longer.

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;

use super::super::super::attachments::Forgotten;
use super::super::super::fault::{Fault, empty_json};
use super::super::super::request::Call;
use super::super::super::schema::only_object;
use super::super::{find_to_change, target};
use super::{check_detachable, check_no_maintenance, forgotten, take_away};
use crate::db::{Repository, Volume};
use crate::http::App;
use crate::identity::policy::volume as rules;

pub async fn detach(app: &App, call: &Call, id: &str, body: &Value) -> Result<Response, Fault> {
    let attachment_id = match body.get("os-detach") {
        Some(Value::Null) => None,
        _ => only_object(body, "os-detach", |action| {
            let id = action.uuid("attachment_id")?.value();
            action.only(&["attachment_id"])?;
            Ok(id)
        })?,
    };
    let forgotten = forgotten(app, call, id, attachment_id, rules::DETACH).await?;
    let mut repository = app.database.begin().await?;
    let volume = find_to_change(&mut repository, call, id).await?;
    end(&mut repository, app, call, &volume, attachment_id, &forgotten, "detaching").await?;
    repository.commit().await?;
    Ok(empty_json(StatusCode::ACCEPTED))
}

pub(super) async fn end(
    repository: &mut Repository,
    app: &App,
    call: &Call,
    volume: &Volume,
    attachment_id: Option<&str>,
    forgotten: &Forgotten,
    doing: &str,
) -> Result<(), Fault> {
    call.check(rules::DETACH, &target(volume))?;
    check_detachable(repository, app, call, volume, attachment_id, forgotten).await?;
    check_no_maintenance(volume, "cannot be detached")?;
    take_away(repository, app, volume, attachment_id, doing).await
}
