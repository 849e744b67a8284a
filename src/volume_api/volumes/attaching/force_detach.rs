//! `os-force_detach`: both ends of an attachment at once, for administrators.

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;

use super::super::super::fault::{Fault, empty_json};
use super::super::super::request::Call;
use super::super::super::schema::only_object;
use super::super::{find_to_change, target};
use super::{detach, forgotten, terminate_connection};
use crate::http::App;
use crate::identity::policy::volume as rules;

pub async fn force_detach(app: &App, call: &Call, id: &str, body: &Value) -> Result<Response, Fault> {
    let attachment_id = only_object(body, "os-force_detach", |action| {
        action.object_or("connector", &["string", "object", "null"])?;
        let id = action.text("attachment_id")?.value();
        action.only(&["connector", "attachment_id"])?;
        Ok(id)
    })?;
    let forgotten = forgotten(app, call, id, attachment_id, rules::FORCE_DETACH).await?;
    let mut repository = app.database.begin().await?;
    let volume = find_to_change(&mut repository, call, id).await?;
    call.check(rules::FORCE_DETACH, &target(&volume))?;
    terminate_connection::end(&mut repository, app, call, &volume, &forgotten).await?;
    detach::end(&mut repository, app, call, &volume, attachment_id, &forgotten, "force detaching").await?;
    repository.commit().await?;
    Ok(empty_json(StatusCode::ACCEPTED))
}
