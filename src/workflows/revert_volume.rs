//! A volume gets the bytes back that it had when its latest snapshot was taken.
//!
//! Nothing is undone: what was rolled back in part is neither what it was nor what it was to be. Running the step again
//! makes it whole; a volume that stays in between is in `error`.

use async_trait::async_trait;

use super::{Context, names};
use crate::block::OpenMode;
use crate::db::{self, Repository, VolumeChange};
use crate::jobs::{Cause, Run, StepError, Workflow};
use crate::model::{SnapshotId, SnapshotStatus, VolumeId, VolumeStatus};

pub(super) struct RevertVolume {
    context: Context,
    id: VolumeId,
    snapshot_id: SnapshotId,
}

impl RevertVolume {
    pub(super) fn new(context: Context, id: VolumeId, snapshot_id: SnapshotId) -> Self {
        Self { context, id, snapshot_id }
    }

    /// Who deletes one of them meanwhile has changed its status: then it stays as they want it.
    async fn leave(&self, repository: &mut Repository, run: &Run, status: VolumeStatus) -> db::Result<()> {
        let (from, change, now) = (VolumeStatus::Reverting, VolumeChange::default(), run.now());
        repository.change_volume(&self.id, from, status, &change, now).await?;
        let (from, to) = (SnapshotStatus::Restoring, SnapshotStatus::Available);
        repository.change_snapshot(&self.snapshot_id, from, to, now).await?;
        Ok(())
    }
}

#[async_trait]
impl Workflow for RevertVolume {
    fn steps(&self) -> &'static [&'static str] {
        &["roll_back"]
    }

    async fn run(&self, _: &'static str, run: &Run) -> Result<(), StepError> {
        let image = self
            .context
            .store_of(&self.id, run)
            .await?
            .open(&names::volume(&self.id), OpenMode::ReadWrite)
            .await?;
        let done = image.roll_back(&names::snapshot(&self.snapshot_id), &run.progress).await;
        image.close().await?;
        Ok(done?)
    }

    async fn undo(&self, _: &'static str, _: &Run) -> Result<(), StepError> {
        Ok(())
    }

    async fn finish(&self, repository: &mut Repository, run: &Run) -> db::Result<()> {
        self.leave(repository, run, VolumeStatus::Available).await
    }

    async fn fail(&self, repository: &mut Repository, run: &Run, _: Cause) -> db::Result<()> {
        self.leave(repository, run, VolumeStatus::Error).await
    }
}
