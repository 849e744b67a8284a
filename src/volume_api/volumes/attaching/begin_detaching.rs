//! `os-begin_detaching`

use axum::http::StatusCode;
use axum::response::Response;

use super::super::super::fault::{Fault, empty_json};
use super::super::super::request::Call;
use super::super::{find_to_change, target};
use crate::db::VolumeChange;
use crate::http::App;
use crate::identity::policy::volume as rules;
use crate::model::VolumeStatus::{Detaching, InUse};

pub async fn begin_detaching(app: &App, call: &Call, id: &str) -> Result<Response, Fault> {
    let mut repository = app.database.begin().await?;
    let volume = find_to_change(&mut repository, call, id).await?;
    call.check(rules::BEGIN_DETACHING, &target(&volume))?;
    // Nova asks for it when it moves the volume, which its user is not to see.
    if volume.is_migrating() {
        return Ok(empty_json(StatusCode::ACCEPTED));
    }
    if volume.status != InUse || repository.attached_to(&[&volume.id]).await?.is_empty() {
        return Err(Fault::InvalidVolume(
            "Unable to detach volume. Volume status must be 'in-use' and attach_status must be 'attached' to \
             detach."
                .to_owned(),
        ));
    }
    let now = app.world.now();
    repository.change_volume(&volume.id, InUse, Detaching, &VolumeChange::default(), now).await?;
    repository.commit().await?;
    Ok(empty_json(StatusCode::ACCEPTED))
}
