//! `/types`

mod list;
mod show;
mod view;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::fault::Fault;
use super::request::Call;
use crate::config::Config;
use crate::db::{Repository, VolumeType};
use crate::http::App;
use crate::identity::policy::Target;

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list::list)).routes(routes!(show::show))
}

/// Types that are not public are for administrators, as long as projects cannot be let in.
fn is_visible(volume_type: &VolumeType, call: &Call) -> bool {
    volume_type.is_public || call.guard.is_admin()
}

/// A type as rules see it: it belongs to nobody, and so to everybody's project.
fn target(volume_type: &VolumeType, call: &Call) -> Target {
    call.guard
        .own()
        .with("id", &volume_type.id)
        .with("name", &volume_type.name)
        .with_truth("is_public", volume_type.is_public)
}

/// The type that a request means.
pub async fn by_id_or_name(
    repository: &mut Repository,
    call: &Call,
    text: &str,
) -> Result<VolumeType, Fault> {
    let kind = if Uuid::try_parse(text).is_ok() { "Volume type" } else { "Volume type with name" };
    let found = repository.volume_type(text).await?.filter(|found| is_visible(found, call));
    found.ok_or_else(|| Fault::Missing(kind, text.to_owned()))
}

/// The type of a volume when the request does not say.
pub async fn default(repository: &mut Repository, config: &Config) -> Result<VolumeType, Fault> {
    repository
        .volume_type(&config.volumes.default_volume_type)
        .await?
        .ok_or_else(|| Fault::internal("the default volume type is missing"))
}
