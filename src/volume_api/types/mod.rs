//! `/types`

mod access;
mod create;
mod delete;
mod encryption;
mod extra_specs;
mod list;
mod show;
mod update;
mod view;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

pub use view::Shown;

use super::fault::Fault;
use super::python;
use super::request::Call;
use crate::config::Config;
use crate::db::{self, Repository, Specs, VolumeType};
use crate::http::App;
use crate::identity::policy::Target;
use crate::model::{Gib, VolumeTypeId};

/// What a spec that switches something on says.
const YES: &str = "<is> True";

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list::list, create::create))
        .routes(routes!(show::show, update::update, delete::delete))
        .merge(access::router())
        .merge(extra_specs::router())
        .merge(encryption::router())
}

/// A type that is not public is for administrators and for the projects that were let in.
async fn is_visible(
    repository: &mut Repository,
    volume_type: &VolumeType,
    call: &Call,
) -> Result<bool, Fault> {
    Ok(volume_type.is_public
        || call.guard.is_admin()
        || repository.volume_type_is_granted(&volume_type.id, &call.context.project_id).await?)
}

/// All types that the caller may see, each as [`is_visible`] has it.
pub async fn all_visible(repository: &mut Repository, call: &Call) -> db::Result<Vec<VolumeType>> {
    let mut types = repository.volume_types().await?;
    if !call.guard.is_admin() {
        let granted = repository.granted_volume_types(&call.context.project_id).await?;
        types.retain(|volume_type| volume_type.is_public || granted.contains(&volume_type.id));
    }
    Ok(types)
}

/// A type as rules see it: it belongs to nobody, and so to everybody's project.
fn target(volume_type: &VolumeType, call: &Call) -> Target {
    call.guard
        .own()
        .with("id", &volume_type.id)
        .with("name", &volume_type.name)
        .with_truth("is_public", volume_type.is_public)
}

/// The type of this id, if the caller may see it.
async fn find(repository: &mut Repository, call: &Call, id: &str) -> Result<VolumeType, Fault> {
    let found = match VolumeTypeId::parse(id) {
        Some(id) => repository.volume_type(id.as_str()).await?.filter(|found| found.id == id),
        None => None,
    };
    visible(repository, found, call, id).await
}

/// Likewise, and nobody else changes it, or makes a volume of it, before the transaction ends.
pub async fn find_to_change(repository: &mut Repository, call: &Call, id: &str) -> Result<VolumeType, Fault> {
    let found = match VolumeTypeId::parse(id) {
        Some(id) => repository.volume_type_to_change(&id).await?,
        None => None,
    };
    visible(repository, found, call, id).await
}

async fn visible(
    repository: &mut Repository,
    found: Option<VolumeType>,
    call: &Call,
    id: &str,
) -> Result<VolumeType, Fault> {
    match found {
        Some(found) if is_visible(repository, &found, call).await? => Ok(found),
        _ => Err(missing(id)),
    }
}

fn missing(id: &str) -> Fault {
    Fault::Missing("Volume type", id.to_owned())
}

/// The type that a request means, to make something of it.
pub async fn by_id_or_name(
    repository: &mut Repository,
    call: &Call,
    text: &str,
) -> Result<VolumeType, Fault> {
    match repository.volume_type_to_use(text).await? {
        Some(found) if is_visible(repository, &found, call).await? => Ok(found),
        _ if Uuid::try_parse(text).is_ok() => Err(missing(text)),
        _ => Err(Fault::Missing("Volume type with name", text.to_owned())),
    }
}

/// The type of a volume when the request does not say: the project's, or everybody's.
pub async fn default(repository: &mut Repository, call: &Call, config: &Config) -> Result<VolumeType, Fault> {
    if let Some(id) = repository.default_volume_type(&call.context.project_id).await? {
        return by_id_or_name(repository, call, id.as_str()).await;
    }
    repository
        .volume_type_to_use(&config.volumes.default_volume_type)
        .await?
        .ok_or_else(|| Fault::internal("the default volume type is missing"))
}

/// The availability zones that the type is for, if it is not for all.
pub fn zones(volume_type: &VolumeType) -> Option<Vec<&str>> {
    let list = volume_type.spec("RESKEY:availability_zones")?;
    Some(list.split(',').filter(|zone| !zone.is_empty()).map(str::trim).collect())
}

/// Likewise, those of them that exist: there must be one.
pub fn zones_that(
    volume_type: &VolumeType,
    exists: impl Fn(&str) -> bool,
) -> Result<Option<Vec<&str>>, Fault> {
    let Some(named) = zones(volume_type) else { return Ok(None) };
    let found: Vec<&str> = named.iter().copied().filter(|zone| exists(zone)).collect();
    if !found.is_empty() {
        return Ok(Some(found));
    }
    let shown: Vec<String> = named.into_iter().map(python::repr_text).collect();
    Err(Fault::Invalid(format!(
        "Volume type is only supported in these availability zones: [{}]",
        shown.join(", ")
    )))
}

/// Whether a volume of the new type may have the bytes of one of the old type: encrypted alike, and in a backend that is
/// for both of them.
pub async fn can_follow(
    repository: &mut Repository,
    app: &App,
    old_type: &VolumeTypeId,
    new_type: &VolumeType,
) -> Result<bool, Fault> {
    if *old_type == new_type.id {
        return Ok(true);
    }
    let encryptions = (repository.encryption(old_type).await?, repository.encryption(&new_type.id).await?);
    let is_alike = match encryptions {
        (Some(old), Some(new)) => old.is_like(&new),
        (old, new) => old.is_none() && new.is_none(),
    };
    if !is_alike || app.places.len() == 1 {
        return Ok(is_alike);
    }
    let old_type = repository.volume_type(old_type.as_str()).await?;
    let backend = |of: &VolumeType| of.spec("volume_backend_name").map(str::to_owned);
    let named = old_type.as_ref().and_then(backend).filter(|name| !name.is_empty());
    Ok(named.is_some() && named == backend(new_type))
}

/// A type may say how small and how large its volumes can be.
pub fn check_size(volume_type: &VolumeType, size: Gib) -> Result<(), Fault> {
    let (size, name) = (size.get(), &volume_type.name);
    if let Some(least) = limit(volume_type, "provisioning:min_vol_size")?
        && size < least
    {
        return Err(Fault::InvalidInput(format!(
            "Specified volume size of '{size}' is less than the minimum required size of '{least}' for volume type \
             '{name}'."
        )));
    }
    if let Some(most) = limit(volume_type, "provisioning:max_vol_size")?
        && size > most
    {
        return Err(Fault::InvalidInput(format!(
            "Specified volume size of '{size}' is greater than the maximum allowable size of '{most}' for volume \
             type '{name}'."
        )));
    }
    Ok(())
}

/// The real service fails with 500 when it is no number.
fn limit(volume_type: &VolumeType, key: &str) -> Result<Option<i64>, Fault> {
    let Some(text) = volume_type.spec(key).filter(|text| !text.is_empty()) else { return Ok(None) };
    match text.trim().parse() {
        Ok(limit) => Ok(Some(limit)),
        Err(_) => Err(Fault::InvalidVolumeType(format!("its extra spec {key} is not a number of GiB."))),
    }
}

/// What instances write at once cannot be kept in the cache of one host.
fn check_specs(specs: &Specs) -> Result<(), Fault> {
    let has = |key| specs.get(key).is_some_and(|text| text.as_deref() == Some(YES));
    if has("multiattach") && has("cacheable") {
        return Err(Fault::Invalid("cacheable cannot be set with multiattach.".to_owned()));
    }
    Ok(())
}
