//! The cache of images (`image_volume_cache`): what an image that is not raw holds, as a raw image in the pool of
//! volumes, with a snapshot. Volumes are clones of that, so that the second one is there at once.
//!
//! The table says which there are. One is put out of use by giving it the name of a deleted volume, and then its row
//! goes; clones keep it as they keep a deleted volume (see [`lineage`]).

use std::sync::Arc;

use super::{Context, lineage, names};
use crate::block::{Backend, BlockStore, Missing, OpenMode, SnapshotPath};
use crate::db::{self, CachedImage, Leftover, Repository};
use crate::jobs::{Cause, Run, StepError};
use crate::model::{Gib, ImageId, Timestamp};

/// How much is kept; 0: without bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `image_volume_cache_max_count`
    pub count: usize,
    /// `image_volume_cache_max_size_gb`
    pub gib: i64,
}

/// What volumes of this image are cloned from, if it is there. From now on it counts as used.
pub(super) async fn find(
    image: &ImageId,
    backend: &Backend,
    run: &Run,
) -> Result<Option<CachedImage>, StepError> {
    let mut repository = run.transaction().await?;
    let mut kept = repository.cached_images_of(image).await?.into_iter();
    let Some(found) = kept.find(|cached| *cached.backend == *backend.name) else { return Ok(None) };
    repository.use_cached_image(&found.name, run.now()).await?;
    repository.commit().await?;
    Ok(Some(found))
}

pub(super) fn path(backend: &Backend, cached: &CachedImage) -> SnapshotPath {
    SnapshotPath {
        pool: backend.store.pool().to_owned(),
        image: cached.name.clone(),
        snapshot: names::IMAGE_SNAPSHOT.to_owned(),
    }
}

/// Puts others out of use until there is room for one of this size. `false`: there never is.
pub(super) async fn make_room(
    context: &Context,
    backend: &Backend,
    limits: Limits,
    size: Gib,
    run: &Run,
) -> Result<bool, StepError> {
    if limits.gib > 0 && size.get() > limits.gib {
        return Ok(false);
    }
    let mut kept = run.database.read().await?.cached_images().await?;
    kept.retain(|cached| *cached.backend == *backend.name);
    let too_much = |kept: &[CachedImage]| {
        let sum: i64 = kept.iter().map(|cached| cached.size.get()).sum();
        (limits.count > 0 && kept.len() >= limits.count) || (limits.gib > 0 && sum + size.get() > limits.gib)
    };
    while !kept.is_empty() && too_much(&kept) {
        evict(context, &kept.remove(0), run).await?;
    }
    Ok(true)
}

/// All that was kept of an image. A copy that is open somewhere still, and that nothing hangs on, is tried again.
pub(super) async fn evict_all(context: &Context, image: &ImageId, run: &Run) -> Result<(), StepError> {
    let kept = run.database.read().await?.cached_images_of(image).await?;
    for cached in kept {
        let rest = retire(context, &cached).await?;
        if rest == lineage::Rest::Needed && !has_clones(context, &cached).await? {
            return Err(StepError::new(Cause::Busy, "A cached copy of it is in use.", cached.name));
        }
        forget(context, &cached, rest, run).await?;
    }
    Ok(())
}

pub(super) async fn evict(context: &Context, cached: &CachedImage, run: &Run) -> Result<(), StepError> {
    let rest = retire(context, cached).await?;
    forget(context, cached, rest, run).await
}

/// `None`: its backend is not configured any more.
fn store<'a>(context: &'a Context, cached: &CachedImage) -> Option<&'a Arc<dyn BlockStore>> {
    context.stores.volumes.named(&cached.backend).map(|backend| &backend.store)
}

/// Nobody clones from it any more.
async fn retire(context: &Context, cached: &CachedImage) -> Result<lineage::Rest, StepError> {
    let Some(store) = store(context, cached) else { return Ok(lineage::Rest::Gone) };
    put_aside(context, store, &cached.name).await?;
    Ok(lineage::reap(context, store, &names::deleted(&cached.name)).await?)
}

/// It may be already.
pub(super) async fn put_aside(
    context: &Context,
    store: &Arc<dyn BlockStore>,
    name: &str,
) -> Result<(), StepError> {
    let _lock = context.locks.lock(name).await;
    store.rename(name, &names::deleted(name)).await.or_missing()?;
    Ok(())
}

/// Leaves to the sweeper what was kept of an image that is gone.
pub(super) async fn leave(
    context: &Context,
    image: &ImageId,
    repository: &mut Repository,
    now: Timestamp,
) -> db::Result<()> {
    for cached in repository.cached_images_of(image).await? {
        if let Some(store) = store(context, &cached) {
            let leftover = Leftover { pool: store.pool().to_owned(), name: names::deleted(&cached.name) };
            repository.add_leftover(&leftover, now).await?;
        }
        repository.remove_cached_image(&cached.name).await?;
    }
    Ok(())
}

/// The row goes last: until then whoever comes after a crash finds what is to be done.
async fn forget(
    context: &Context,
    cached: &CachedImage,
    rest: lineage::Rest,
    run: &Run,
) -> Result<(), StepError> {
    let mut repository = run.transaction().await?;
    if let Some(store) = store(context, cached).filter(|_| rest == lineage::Rest::Needed) {
        let leftover = Leftover { pool: store.pool().to_owned(), name: names::deleted(&cached.name) };
        repository.add_leftover(&leftover, run.now()).await?;
    }
    repository.remove_cached_image(&cached.name).await?;
    Ok(repository.commit().await?)
}

async fn has_clones(context: &Context, cached: &CachedImage) -> Result<bool, StepError> {
    let Some(store) = store(context, cached) else { return Ok(false) };
    let opened = store.open(&names::deleted(&cached.name), OpenMode::ReadOnly).await.or_missing()?;
    let Some(image) = opened else { return Ok(false) };
    let children = image.children().await;
    image.close().await?;
    // Those that may not be named are clones too.
    Ok(!children.is_ok_and(|children| children.is_empty()))
}
