//! `os-roll_detaching`

use axum::http::StatusCode;
use axum::response::Response;

use super::super::super::fault::{Fault, empty_json};
use super::super::super::request::Call;
use super::super::{find_to_change, target};
use crate::db::VolumeChange;
use crate::http::App;
use crate::identity::policy::volume as rules;
use crate::model::VolumeStatus::{Detaching, InUse};

pub async fn roll_detaching(app: &App, call: &Call, id: &str) -> Result<Response, Fault> {
    let mut repository = app.database.begin().await?;
    let volume = find_to_change(&mut repository, call, id).await?;
    call.check(rules::ROLL_DETACHING, &target(&volume))?;
    // Nothing happens to a volume that is not being detached.
    let now = app.world.now();
    repository.change_volume(&volume.id, Detaching, InUse, &VolumeChange::default(), now).await?;
    repository.commit().await?;
    Ok(empty_json(StatusCode::ACCEPTED))
}
