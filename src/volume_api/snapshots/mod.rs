//! `/snapshots`

mod action;
mod create;
mod delete;
mod list;
mod metadata;
mod reset_status;
mod show;
mod unmanage;
mod update;
mod update_status;
pub mod view;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::fault::Fault;
use super::request::Call;
use crate::db::{Repository, Snapshot};
use crate::http::App;
use crate::identity::policy::{Target, volume as rules};
use crate::model::SnapshotId;

pub use create::check_volume;
pub use delete::mark_deleting;

/// A snapshot as rules see it.
pub fn target(snapshot: &Snapshot) -> Target {
    Target::new()
        .with("id", &snapshot.id)
        .with("project_id", &snapshot.project_id)
        .with("user_id", &snapshot.user_id)
        .with_option("display_name", snapshot.name.as_deref())
        .with("volume_id", &snapshot.volume_id)
        .with("volume_size", snapshot.size.get())
        .with("status", snapshot.status)
}

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list::list, create::create))
        .routes(routes!(list::detail))
        .routes(routes!(show::show, update::update, delete::delete))
        .routes(routes!(action::action))
        .merge(metadata::router())
}

/// The snapshot that the request names, if its caller may see it.
pub async fn find(repository: &mut Repository, call: &Call, id: &str) -> Result<Snapshot, Fault> {
    let found = match SnapshotId::parse(id) {
        Some(id) => repository.snapshot(&id).await?,
        None => None,
    };
    visible(found, call, id)
}

/// Likewise, and nobody else changes it before the transaction ends.
pub async fn find_to_change(repository: &mut Repository, call: &Call, id: &str) -> Result<Snapshot, Fault> {
    let found = match SnapshotId::parse(id) {
        Some(id) => repository.snapshot_to_change(&id).await?,
        None => None,
    };
    visible(found, call, id)
}

fn visible(found: Option<Snapshot>, call: &Call, id: &str) -> Result<Snapshot, Fault> {
    let snapshot = found
        .filter(|snapshot| call.may_see(&snapshot.project_id))
        .ok_or_else(|| Fault::Missing("Snapshot", id.to_owned()))?;
    call.check(rules::GET_SNAPSHOT, &target(&snapshot))?;
    Ok(snapshot)
}
