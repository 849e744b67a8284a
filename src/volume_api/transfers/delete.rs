//! `DELETE /volume-transfers/{transfer_id}`

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::super::fault::{Fault, empty};
use super::super::request::Call;
use super::super::volumes;
use super::find;
use crate::db::VolumeChange;
use crate::http::App;
use crate::identity::policy::volume as rules;
use crate::model::VolumeStatus;

#[utoipa::path(
    delete, path = "/v3/volume-transfers/{transfer_id}", tag = "transfers", operation_id = "delete_transfer",
    description = "The volume is not offered any more.",
    params(("transfer_id" = String, Path)),
    responses(
        (status = 202, description = "It is done"),
        (status = 403, description = "The policy does not allow it"),
        (status = 404, description = "No such transfer"),
    ),
)]
pub async fn delete(State(app): State<App>, call: Call, Path(id): Path<String>) -> Result<Response, Fault> {
    let mut repository = app.database.begin().await?;
    let transfer = find(&mut repository, &call, &id).await?;
    let volume = volumes::find_to_change(&mut repository, &call, transfer.volume_id.as_str()).await?;
    // It may have ended while the volume was waited for.
    find(&mut repository, &call, &id).await?;
    call.check(rules::DELETE_TRANSFER, &volumes::target(&volume))?;
    // Where an administrator reset its status meanwhile, it stays so.
    let (from, to) = (VolumeStatus::AwaitingTransfer, VolumeStatus::Available);
    repository.change_volume(&volume.id, from, to, &VolumeChange::default(), app.world.now()).await?;
    repository.remove_transfer(&transfer.id).await?;
    repository.commit().await?;
    Ok(empty(StatusCode::ACCEPTED))
}
