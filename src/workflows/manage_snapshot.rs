//! A snapshot that an image on the pool has becomes one of the volume: it gets that one's name, and is protected, so that
//! volumes can be made from it.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Context, names};
use crate::block::{self, BlockImage, ErrorKind, Missing, OpenMode};
use crate::db::{self, Repository};
use crate::jobs::{Cause, Run, StepError, Workflow};
use crate::model::{SnapshotId, SnapshotStatus, VolumeId};

pub(super) struct ManageSnapshot {
    context: Context,
    id: SnapshotId,
    volume_id: VolumeId,
    source: Source,
}

/// The snapshot as it was found.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub name: String,
    pub is_protected: bool,
}

impl ManageSnapshot {
    pub(super) fn new(context: Context, id: SnapshotId, volume_id: VolumeId, source: Source) -> Self {
        Self { context, id, volume_id, source }
    }

    /// `None`: there is no such image.
    async fn open(&self, run: &Run) -> Result<Option<Arc<dyn BlockImage>>, StepError> {
        let store = self.context.store_of(&self.volume_id, run).await?;
        Ok(store.open(&names::volume(&self.volume_id), OpenMode::ReadWrite).await.or_missing()?)
    }

    async fn rename(&self, image: &dyn BlockImage) -> block::Result<()> {
        let name = names::snapshot(&self.id);
        match image.rename_snapshot(&self.source.name, &name).await {
            // Nothing else has that name: an earlier run of this step gave it.
            Err(error) if matches!(error.kind, ErrorKind::Exists | ErrorKind::NotFound) => {
                let is_done = image.snapshots().await?.iter().any(|snapshot| snapshot.name == name);
                if is_done { Ok(()) } else { Err(error) }
            }
            other => other,
        }
    }

    async fn leave(&self, repository: &mut Repository, run: &Run, status: SnapshotStatus) -> db::Result<()> {
        repository.change_snapshot(&self.id, SnapshotStatus::Creating, status, run.now()).await?;
        Ok(())
    }
}

#[async_trait]
impl Workflow for ManageSnapshot {
    fn steps(&self) -> &'static [&'static str] {
        &["rename", "protect"]
    }

    async fn run(&self, step: &'static str, run: &Run) -> Result<(), StepError> {
        let missing = || StepError::fatal("The volume has no image in the storage pool.");
        let image = self.open(run).await?.ok_or_else(missing)?;
        let done = match step {
            "rename" => self.rename(&*image).await,
            _ => image.protect_snapshot(&names::snapshot(&self.id)).await,
        };
        image.close().await?;
        Ok(done?)
    }

    async fn undo(&self, step: &'static str, run: &Run) -> Result<(), StepError> {
        let Some(image) = self.open(run).await? else { return Ok(()) };
        let name = names::snapshot(&self.id);
        let undone = match step {
            "rename" => image.rename_snapshot(&name, &self.source.name).await.or_missing(),
            _ if self.source.is_protected => Ok(None),
            _ => image.unprotect_snapshot(&name).await.or_missing(),
        };
        image.close().await?;
        match undone {
            // Another snapshot has its name by now: it keeps the new one.
            Err(error) if step == "rename" && error.kind == ErrorKind::Exists => Ok(()),
            other => Ok(other.map(drop)?),
        }
    }

    async fn finish(&self, repository: &mut Repository, run: &Run) -> db::Result<()> {
        self.leave(repository, run, SnapshotStatus::Available).await
    }

    async fn fail(&self, repository: &mut Repository, run: &Run, _: Cause) -> db::Result<()> {
        self.leave(repository, run, SnapshotStatus::Error).await
    }
}
