//! `os-reserve`

use axum::http::StatusCode;
use axum::response::Response;

use super::super::super::fault::{Fault, empty_json};
use super::super::super::request::Call;
use super::super::{find_to_change, target};
use crate::db::VolumeChange;
use crate::http::App;
use crate::identity::policy::volume as rules;
use crate::model::VolumeStatus::{Attaching, Available, InUse};

pub async fn reserve(app: &App, call: &Call, id: &str) -> Result<Response, Fault> {
    let mut repository = app.database.begin().await?;
    let volume = find_to_change(&mut repository, call, id).await?;
    call.check(rules::RESERVE, &target(&volume))?;
    let fits = volume.status == Available || (volume.status == InUse && volume.is_shared());
    if !fits {
        let expected = if volume.multiattach { "available or in-use" } else { "available" };
        return Err(Fault::InvalidVolume(format!(
            "Volume status must be {expected} to reserve, but the status is {}.",
            volume.status
        )));
    }
    let (from, now) = (volume.status, app.world.now());
    repository.change_volume(&volume.id, from, Attaching, &VolumeChange::default(), now).await?;
    repository.commit().await?;
    Ok(empty_json(StatusCode::ACCEPTED))
}
