//! `/volumes`

mod action;
pub mod attached;
mod attaching;
mod create;
mod delete;
mod encryption;
mod extend;
mod extend_volume_completion;
mod filter;
mod image_metadata;
mod list;
mod metadata;
mod migrate;
mod migrate_completion;
mod reimage;
mod reset_status;
mod retype;
mod revert;
mod set_bootable;
mod show;
mod summary;
mod unmanage;
mod update;
mod update_readonly_flag;
mod upload_image;
pub mod view;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::fault::Fault;
use super::request::Call;
use crate::db::{Repository, Volume};
use crate::http::App;
use crate::identity::policy::{Target, volume as rules};
use crate::model::{VolumeId, VolumeStatus};

pub use action::only_key;

/// A volume as rules see it.
pub fn target(volume: &Volume) -> Target {
    Target::new()
        .with("id", &volume.id)
        .with("project_id", &volume.project_id)
        .with("user_id", &volume.user_id)
        .with_option("display_name", volume.name.as_deref())
        .with("size", volume.size.get())
        .with("status", volume.status)
        .with("availability_zone", &volume.availability_zone)
        .with_option("host", volume.host.as_deref())
        .with("volume_type_id", &volume.volume_type_id)
        .with_truth("bootable", volume.bootable)
        .with_truth("multiattach", volume.multiattach)
}

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list::list, create::create))
        .routes(routes!(list::detail))
        .routes(routes!(summary::summary))
        .routes(routes!(show::show, update::update, delete::delete))
        .routes(routes!(action::action))
        .merge(metadata::router())
        .merge(encryption::router())
}

/// The volume that the request names, if its caller may see it. Who may not is told that it is not there, whatever
/// the reason.
pub async fn find(repository: &mut Repository, call: &Call, id: &str) -> Result<Volume, Fault> {
    let found = match VolumeId::parse(id) {
        Some(id) => repository.volume(&id).await?,
        None => None,
    };
    visible(found, call, id)
}

/// Likewise, and nobody else changes it before the transaction ends.
pub async fn find_to_change(repository: &mut Repository, call: &Call, id: &str) -> Result<Volume, Fault> {
    let found = match VolumeId::parse(id) {
        Some(id) => repository.volume_to_change(&id).await?,
        None => None,
    };
    visible(found, call, id)
}

/// Refuses while an administrator works on it.
fn check_updatable(volume: &Volume) -> Result<(), Fault> {
    match volume.status {
        VolumeStatus::Maintenance => {
            Err(Fault::InvalidVolume("The volume cannot be updated during maintenance.".to_owned()))
        }
        _ => Ok(()),
    }
}

fn visible(found: Option<Volume>, call: &Call, id: &str) -> Result<Volume, Fault> {
    found
        .filter(|volume| call.may_see(&volume.project_id))
        .filter(|volume| call.guard.allows(rules::GET, &target(volume)))
        .ok_or_else(|| Fault::Missing("Volume", id.to_owned()))
}
