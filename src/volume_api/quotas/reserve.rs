//! Whether a project may have one more. Asked in the transaction that adds it, after all its other locks.

use super::account::{Account, Resource, of_type};
use crate::config::Config;
use crate::db::{Repository, Snapshot, Volume};
use crate::model::{Gib, ProjectId};
use crate::volume_api::fault::Fault;

/// How much more of everything.
#[derive(Clone, Copy, Default)]
struct More {
    volumes: i64,
    snapshots: i64,
    gigabytes: i64,
    /// Of the type, and not of all types.
    only_of_type: bool,
}

/// A new volume.
pub async fn volume(
    repository: &mut Repository,
    config: &Config,
    project: &ProjectId,
    type_name: &str,
    size: Gib,
) -> Result<(), Fault> {
    let account = Account::limits(repository, project.as_str()).await?;
    check_size(&account, config, size)?;
    let more = More { volumes: 1, gigabytes: size.get(), ..More::default() };
    check(account, repository, config, project, type_name, more).await
}

/// A snapshot of this volume.
pub async fn snapshot(
    repository: &mut Repository,
    config: &Config,
    project: &ProjectId,
    volume: &Volume,
) -> Result<(), Fault> {
    let account = Account::limits(repository, project.as_str()).await?;
    let gigabytes = if config.quotas.no_snapshot_gb_quota { 0 } else { volume.size.get() };
    let more = More { snapshots: 1, gigabytes, ..More::default() };
    check(account, repository, config, project, &volume.volume_type_name, more).await
}

/// Snapshots of a volume of this type that were another project's.
pub async fn snapshots(
    repository: &mut Repository,
    config: &Config,
    project: &ProjectId,
    type_name: &str,
    snapshots: &[Snapshot],
) -> Result<(), Fault> {
    let account = Account::limits(repository, project.as_str()).await?;
    let size: i64 = snapshots.iter().map(|snapshot| snapshot.size.get()).sum();
    let gigabytes = if config.quotas.no_snapshot_gb_quota { 0 } else { size };
    let count = i64::try_from(snapshots.len()).unwrap_or(i64::MAX);
    let more = More { snapshots: count, gigabytes, ..More::default() };
    check(account, repository, config, project, type_name, more).await
}

/// This volume with another size. It is its own project that pays, whoever asks.
pub async fn extension(
    repository: &mut Repository,
    config: &Config,
    volume: &Volume,
    new_size: Gib,
) -> Result<(), Fault> {
    let project = &volume.project_id;
    let account = Account::limits(repository, project.as_str()).await?;
    check_size(&account, config, new_size)?;
    let more = More { gigabytes: new_size.get() - volume.size.get(), ..More::default() };
    check(account, repository, config, project, &volume.volume_type_name, more).await
}

/// This volume as one of another type. All types together are used as before.
pub async fn retype(
    repository: &mut Repository,
    config: &Config,
    volume: &Volume,
    type_name: &str,
) -> Result<(), Fault> {
    let project = &volume.project_id;
    let account = Account::limits(repository, project.as_str()).await?;
    let more = More { volumes: 1, gigabytes: volume.size.get(), only_of_type: true, ..More::default() };
    check(account, repository, config, project, type_name, more).await
}

fn check_size(account: &Account, config: &Config, size: Gib) -> Result<(), Fault> {
    let most = i64::try_from(config.limits.max_volume_size).unwrap_or(i64::MAX);
    let name = "per_volume_gigabytes".to_owned();
    let limit = account.limit(&Resource { name, default: config.quotas.per_volume_size_limit });
    let limit = if limit < 0 { most } else { limit.min(most) };
    if size.get() > limit { Err(Fault::TooLarge { size: size.get(), limit }) } else { Ok(()) }
}

async fn check(
    mut account: Account,
    repository: &mut Repository,
    config: &Config,
    project: &ProjectId,
    type_name: &str,
    more: More,
) -> Result<(), Fault> {
    let quotas = &config.quotas;
    // The real service complains of the first of these names.
    let asked = [
        ("gigabytes", more.gigabytes, quotas.quota_gigabytes),
        ("snapshots", more.snapshots, quotas.quota_snapshots),
        ("volumes", more.volumes, quotas.quota_volumes),
    ];
    let only_of_type = more.only_of_type;
    let limited: Vec<(&str, String, i64, i64)> = asked
        .into_iter()
        .filter(|(_, more, _)| *more > 0)
        .flat_map(|(what, more, default)| {
            let total = Resource { name: what.to_owned(), default };
            let typed = Resource { name: of_type(what, type_name), default: -1 };
            [Some(total).filter(|_| !only_of_type), Some(typed)].map(|resource| {
                resource.map(|resource| (what, account.limit(&resource), resource.name, more))
            })
        })
        .flatten()
        .filter(|(_, limit, ..)| *limit >= 0)
        .map(|(what, limit, name, more)| (what, name, limit, more))
        .collect();
    if limited.is_empty() {
        return Ok(());
    }
    repository.take_quota_turn(project).await?;
    account.count(repository, project.as_str(), quotas).await?;
    for (what, name, limit, more) in limited {
        let consumed = account.consumed(&name);
        if consumed + more > limit {
            tracing::info!(project.id = %project, quota = %name, limit, consumed, more, "over a quota");
            return Err(match what {
                "gigabytes" => Fault::TooManyGigabytes { name, requested: more, limit, consumed },
                "snapshots" => Fault::TooManySnapshots(limit),
                _ => Fault::TooManyVolumes { name, limit },
            });
        }
    }
    Ok(())
}
