//! `os-update_readonly_flag`

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;

use super::super::fault::{Fault, empty_json};
use super::super::request::Call;
use super::super::schema::only_object;
use super::{find_to_change, target};
use crate::http::App;
use crate::identity::policy::volume as rules;
use crate::model::VolumeStatus;

pub async fn update_readonly_flag(app: &App, call: &Call, id: &str, body: &Value) -> Result<Response, Fault> {
    let readonly = only_object(body, "os-update_readonly_flag", |action| {
        let readonly = action.boolean("readonly")?;
        action.require("readonly")?;
        action.only(&["readonly"])?;
        readonly.ok_or(Fault::Malformed)
    })?;
    let mut repository = app.database.begin().await?;
    let volume = find_to_change(&mut repository, call, id).await?;
    call.check(rules::UPDATE_READONLY, &target(&volume))?;
    if volume.status != VolumeStatus::Available {
        return Err(Fault::InvalidVolume(format!(
            "Volume {} status must be available to update readonly flag, but current status is: {}.",
            volume.id, volume.status
        )));
    }
    let mut kept = volume.admin_metadata.0;
    kept.insert("readonly".to_owned(), if readonly { "True" } else { "False" }.to_owned());
    repository.set_admin_metadata(&volume.id, &kept, app.world.now()).await?;
    repository.commit().await?;
    Ok(empty_json(StatusCode::ACCEPTED))
}
