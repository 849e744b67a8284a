//! `os-unreserve`

use axum::http::StatusCode;
use axum::response::Response;

use super::super::super::fault::{Fault, empty_json};
use super::super::super::request::Call;
use super::super::{find_to_change, target};
use crate::db::{Repository, Volume};
use crate::http::App;
use crate::identity::policy::volume as rules;
use crate::model::VolumeStatus;

pub async fn unreserve(app: &App, call: &Call, id: &str) -> Result<Response, Fault> {
    let mut repository = app.database.begin().await?;
    let volume = find_to_change(&mut repository, call, id).await?;
    let_go(&mut repository, app, call, &volume).await?;
    repository.commit().await?;
    Ok(empty_json(StatusCode::ACCEPTED))
}

/// Back to what its attachments make of it; nothing happens to a volume that is not being attached.
pub(super) async fn let_go(
    repository: &mut Repository,
    app: &App,
    call: &Call,
    volume: &Volume,
) -> Result<(), Fault> {
    call.check(rules::UNRESERVE, &target(volume))?;
    if volume.status == VolumeStatus::Attaching {
        repository.follow_attachments(&volume.id, app.world.now()).await?;
    }
    Ok(())
}
