//! `/volumes`

mod action;
mod create;
mod delete;
mod extend;
mod filter;
mod list;
mod metadata;
mod show;
mod summary;
mod update;
mod view;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::fault::Fault;
use super::request::Call;
use crate::db::{Repository, Volume};
use crate::http::App;
use crate::model::VolumeId;

pub use action::{not_yet, only_key};

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list::list, create::create))
        .routes(routes!(list::detail))
        .routes(routes!(summary::summary))
        .routes(routes!(show::show, update::update, delete::delete))
        .routes(routes!(action::action))
        .merge(metadata::router())
}

/// The volume that the request names, if its caller may see it.
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

fn visible(found: Option<Volume>, call: &Call, id: &str) -> Result<Volume, Fault> {
    found
        .filter(|volume| call.may_see(&volume.project_id))
        .ok_or_else(|| Fault::Missing("Volume", id.to_owned()))
}
