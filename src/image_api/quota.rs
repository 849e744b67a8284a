//! How many images, and how much in them, a project may have.

use super::fault::{Fault, Result};
use crate::config::{self, Quotas};
use crate::db::Repository;
use crate::http::images;
use crate::model::{ImageId, ProjectId, StorageFull};

pub(super) const MIB: i64 = 1 << 20;

/// One more image. In the transaction that adds it, after all its other locks.
pub(super) async fn one_more(
    repository: &mut Repository,
    quotas: &Quotas,
    project: &ProjectId,
) -> Result<()> {
    let limit = quotas.image_count_total;
    if limit < 0 {
        return Ok(());
    }
    repository.take_quota_turn(project).await?;
    let used = repository.image_use(project.as_str()).await?.count;
    check(project, "image_count_total", limit, used, 1)
}

/// An upload that promises so many bytes, or nothing. How many come is not known before they are there: as in the
/// real service, the last upload may go beyond the limit.
pub(super) async fn upload(
    repository: &mut Repository,
    quotas: &Quotas,
    project: &ProjectId,
    promised: Option<u64>,
) -> Result<()> {
    let limit = quotas.image_size_total;
    if limit < 0 {
        return Ok(());
    }
    let used = repository.image_use(project.as_str()).await?.bytes / MIB;
    check(project, "image_size_total", limit, used, in_mib(promised))
}

/// What a client is told first of a full quota of storage.
pub(super) const IN_UPLOAD: &str = "Image exceeds the storage quota";
pub(super) const IN_PATCH: &str = "Denying attempt to upload image because it exceeds the quota";

/// So many bytes for an image, or nobody knows how many. Answers how many may come.
pub(super) async fn storage(
    repository: &mut Repository,
    options: &config::Images,
    project: &ProjectId,
    image: &ImageId,
    size: Option<u64>,
    told: &str,
) -> Result<Option<u64>> {
    let Some(quota) = options.user_storage_quota.bytes() else { return Ok(None) };
    let left = repository.storage_left(quota, project, image).await?;
    left.check(size.map(i128::from)).map(Some).map_err(|full| storage_full(told, full))
}

pub(super) fn storage_full(told: &str, full: StorageFull) -> Fault {
    Fault::TooLarge(format!("{told}: {full}"))
}

/// Bytes to be staged: so many, or nobody knows.
pub(super) async fn stage(
    repository: &mut Repository,
    quotas: &Quotas,
    project: &ProjectId,
    promised: Option<u64>,
) -> Result<()> {
    let limit = quotas.image_stage_total;
    if limit < 0 {
        return Ok(());
    }
    let used = repository.image_use(project.as_str()).await?.staged_bytes / MIB;
    check(project, "image_stage_total", limit, used, in_mib(promised))
}

/// One more image that bytes arrive for. In the transaction that says so, after all its other locks; the image counts
/// already.
pub(super) async fn one_more_uploading(
    repository: &mut Repository,
    quotas: &Quotas,
    project: &ProjectId,
) -> Result<()> {
    let limit = quotas.image_count_uploading;
    match repository.uploading_beyond(project, limit).await? {
        Some(used) => Err(over(project, "image_count_uploading", limit, used, 0)),
        None => Ok(()),
    }
}

fn in_mib(promised: Option<u64>) -> i64 {
    promised.map_or(0, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX) / MIB)
}

fn check(project: &ProjectId, resource: &str, limit: i64, used: i64, more: i64) -> Result<()> {
    if used.saturating_add(more) <= limit { Ok(()) } else { Err(over(project, resource, limit, used, more)) }
}

pub(super) fn over(project: &ProjectId, resource: &str, limit: i64, used: i64, more: i64) -> Fault {
    Fault::TooLarge(images::over_quota(project, resource, limit, used, more))
}
