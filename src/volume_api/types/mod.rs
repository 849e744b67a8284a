//! `/types`

mod list;
mod show;
mod view;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::fault::Fault;
use crate::config::Config;
use crate::db::{Repository, VolumeType};
use crate::http::App;

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list::list)).routes(routes!(show::show))
}

/// The type that a request means.
pub async fn by_id_or_name(repository: &mut Repository, text: &str) -> Result<VolumeType, Fault> {
    let kind = if Uuid::try_parse(text).is_ok() { "Volume type" } else { "Volume type with name" };
    repository.volume_type(text).await?.ok_or_else(|| Fault::Missing(kind, text.to_owned()))
}

/// The type of a volume when the request does not say.
pub async fn default(repository: &mut Repository, config: &Config) -> Result<VolumeType, Fault> {
    repository
        .volume_type(&config.volumes.default_volume_type)
        .await?
        .ok_or_else(|| Fault::internal("the default volume type is missing"))
}
