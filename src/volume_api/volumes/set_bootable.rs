//! `os-set_bootable`

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;

use super::super::fault::{Fault, empty_json};
use super::super::request::Call;
use super::super::schema::only_object;
use super::{check_updatable, find_to_change, target};
use crate::http::App;
use crate::identity::policy::volume as rules;

pub async fn set_bootable(app: &App, call: &Call, id: &str, body: &Value) -> Result<Response, Fault> {
    let bootable = only_object(body, "os-set_bootable", |action| {
        let bootable = action.boolean("bootable")?;
        action.require("bootable")?;
        action.only(&["bootable"])?;
        bootable.ok_or(Fault::Malformed)
    })?;
    let mut repository = app.database.begin().await?;
    let mut volume = find_to_change(&mut repository, call, id).await?;
    call.check(rules::UPDATE, &target(&volume))?;
    check_updatable(&volume)?;
    volume.bootable = bootable;
    volume.updated_at = Some(app.world.now());
    repository.update_volume(&volume).await?;
    repository.commit().await?;
    Ok(empty_json(StatusCode::OK))
}
