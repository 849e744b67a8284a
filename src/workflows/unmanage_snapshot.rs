//! A snapshot is forgotten. It stays on the pool, with its name; where no clone needs its protection, whoever takes it
//! over can remove it at once.

use async_trait::async_trait;

use super::{Context, lineage, names};
use crate::block::{Missing, OpenMode};
use crate::db::{self, Repository};
use crate::jobs::{Cause, Run, StepError, Workflow};
use crate::model::{SnapshotId, SnapshotStatus, VolumeId};

pub(super) struct UnmanageSnapshot {
    context: Context,
    id: SnapshotId,
    volume_id: VolumeId,
}

impl UnmanageSnapshot {
    pub(super) fn new(context: Context, id: SnapshotId, volume_id: VolumeId) -> Self {
        Self { context, id, volume_id }
    }
}

#[async_trait]
impl Workflow for UnmanageSnapshot {
    fn steps(&self) -> &'static [&'static str] {
        &["unprotect"]
    }

    async fn run(&self, _: &'static str, run: &Run) -> Result<(), StepError> {
        let store = self.context.store_of(&self.volume_id, run).await?;
        let volume = names::volume(&self.volume_id);
        let Some(image) = store.open(&volume, OpenMode::ReadWrite).await.or_missing()? else { return Ok(()) };
        let name = names::snapshot(&self.id);
        // With clone format 2 clones do not hold it back: whoever has some keeps it as it is.
        let done = match lineage::hangs_on(&*image, &name).await {
            Ok(true) => Ok(None),
            Ok(false) => image.unprotect_snapshot(&name).await.or_missing(),
            Err(error) => Err(error),
        };
        image.close().await?;
        done?;
        Ok(())
    }

    async fn undo(&self, _: &'static str, run: &Run) -> Result<(), StepError> {
        let store = self.context.store_of(&self.volume_id, run).await?;
        let (volume, snapshot) = (names::volume(&self.volume_id), names::snapshot(&self.id));
        Ok(lineage::protect_again(store, &volume, &snapshot).await?)
    }

    async fn finish(&self, repository: &mut Repository, _: &Run) -> db::Result<()> {
        repository.remove_snapshot(&self.id).await?;
        Ok(())
    }

    async fn fail(&self, repository: &mut Repository, run: &Run, cause: Cause) -> db::Result<()> {
        let back = if cause.is_refusal() { SnapshotStatus::Available } else { SnapshotStatus::ErrorDeleting };
        repository.change_snapshot(&self.id, SnapshotStatus::Unmanaging, back, run.now()).await?;
        Ok(())
    }
}
