//! `user_storage_quota`: what the images of a project take together. A job holds it where bytes come in that no request
//! has counted.

use super::Context;
use crate::db::{Image, Repository};
use crate::jobs::{Run, StepError};
use crate::model::ImageId;

/// Refuses so many bytes for an image, in all places together, or bytes that nobody counts. Answers how many there is
/// room for. Until the transaction ends no other image of the project gets any; it must be its last lock.
pub(super) async fn check(
    repository: &mut Repository,
    context: &Context,
    image: &Image,
    bytes: Option<i128>,
) -> Result<u64, StepError> {
    let (Some(quota), Some(project)) = (context.options.imports.storage, &image.project_id) else {
        return Ok(u64::MAX);
    };
    repository.take_quota_turn(project).await?;
    let left = repository.storage_left(quota, project, &image.id).await?;
    left.check(bytes).map_err(|full| StepError::fatal(full.to_string()))
}

/// Keeps room for an image that is to have so many bytes in one place.
pub(super) async fn reserve(
    context: &Context,
    id: &ImageId,
    size: Option<i64>,
    run: &Run,
) -> Result<(), StepError> {
    if context.options.imports.storage.is_none() {
        return Ok(());
    }
    let mut repository = run.transaction().await?;
    let image = repository.image_to_change(id).await?.ok_or_else(|| StepError::gone("image"))?;
    if let Some(size) = size {
        repository.expect_image_size(id, size).await?;
    }
    check(&mut repository, context, &image, size.map(i128::from)).await?;
    Ok(repository.commit().await?)
}
