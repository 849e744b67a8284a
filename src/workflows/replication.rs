//! Volumes of a replicated type: their images are mirrored to another cluster.

use std::sync::Arc;

use super::{Context, is_one_place, lineage};
use crate::block::{self, BlockStore, Missing, OpenMode, Parent, Progress};
use crate::db::{self, Repository, Service, VolumeType};
use crate::jobs::StepError;
use crate::model::{Host, ReplicationStatus};

/// Whether volumes of this type are to be mirrored.
pub(super) fn is_wanted(of: &VolumeType) -> Result<bool, StepError> {
    match of.is_replicated() {
        // Who writes to a journal holds the image's lock, and only one can.
        true if of.is_multiattach() => {
            Err(StepError::fatal("Replication and Multiattach are mutually exclusive."))
        }
        is_replicated => Ok(is_replicated),
    }
}

/// What a volume of this type is in this place, once its image has been seen to.
pub(super) async fn status(
    repository: &mut Repository,
    of: &VolumeType,
    host: &str,
) -> db::Result<Option<ReplicationStatus>> {
    if of.is_replicated() {
        return Ok(Some(ReplicationStatus::Enabled));
    }
    let place = Host { pool: "", ..Host::parse(host) }.to_string();
    let service = repository.service(&place, Service::VOLUME).await?;
    Ok(service.filter(|service| service.mirrors).map(|_| ReplicationStatus::Disabled))
}

/// Has an image mirrored, or not.
pub(super) async fn apply(
    context: &Context,
    store: &Arc<dyn BlockStore>,
    name: &str,
    wanted: bool,
    progress: &Progress,
) -> Result<(), StepError> {
    if wanted {
        if !store.mirrors_images().await? {
            return Err(StepError::fatal("The volume's type is replicated, but its pool mirrors no images."));
        }
        make_independent(context, store, name, progress).await?;
    }
    let image = store.open(name, OpenMode::ReadWrite).await?;
    let applied = if wanted { image.mirror().await } else { image.stop_mirroring().await };
    image.close().await?;
    Ok(applied?)
}

/// A clone can only be mirrored beside what it hangs on: from anything else it is cut off.
async fn make_independent(
    context: &Context,
    store: &Arc<dyn BlockStore>,
    name: &str,
    progress: &Progress,
) -> Result<(), StepError> {
    let image = store.open(name, OpenMode::ReadOnly).await?;
    let parent = image.parent().await;
    image.close().await?;
    let Some(parent) = parent? else { return Ok(()) };
    if is_mirrored(context, store, &parent).await? {
        return Ok(());
    }
    lineage::flatten(context, store, name, progress).await?;
    Ok(())
}

async fn is_mirrored(context: &Context, store: &Arc<dyn BlockStore>, parent: &Parent) -> block::Result<bool> {
    let Some(of_parent) = context.pool_beside(store, &parent.path.pool).await? else { return Ok(false) };
    if !is_one_place(of_parent, store).await? {
        return Ok(false);
    }
    let opened = of_parent.open(&parent.path.image, OpenMode::ReadOnly).await.or_missing()?;
    let Some(image) = opened else { return Ok(false) };
    let is_mirrored = image.is_mirrored().await;
    image.close().await?;
    is_mirrored
}
