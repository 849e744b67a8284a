//! A snapshot of a volume, protected, so that volumes can be made from it.

use async_trait::async_trait;

use super::{Context, lineage, names};
use crate::db::{self, Repository};
use crate::jobs::{Cause, Run, StepError, Workflow};
use crate::model::{Action, Detail, Event, SnapshotId, SnapshotStatus, VolumeId};

pub(super) struct CreateSnapshot {
    context: Context,
    id: SnapshotId,
    volume_id: VolumeId,
}

impl CreateSnapshot {
    pub(super) fn new(context: Context, id: SnapshotId, volume_id: VolumeId) -> Self {
        Self { context, id, volume_id }
    }

    async fn leave(&self, repository: &mut Repository, run: &Run, status: SnapshotStatus) -> db::Result<()> {
        repository.change_snapshot(&self.id, SnapshotStatus::Creating, status, run.now()).await?;
        Ok(())
    }
}

#[async_trait]
impl Workflow for CreateSnapshot {
    fn steps(&self) -> &'static [&'static str] {
        &["snapshot"]
    }

    async fn run(&self, _: &'static str, run: &Run) -> Result<(), StepError> {
        let store = self.context.store_of(&self.volume_id, run).await?;
        let (volume, snapshot) = (names::volume(&self.volume_id), names::snapshot(&self.id));
        Ok(lineage::take_snapshot(store, &volume, &snapshot).await?)
    }

    async fn undo(&self, _: &'static str, run: &Run) -> Result<(), StepError> {
        let store = self.context.store_of(&self.volume_id, run).await?;
        let (volume, snapshot) = (names::volume(&self.volume_id), names::snapshot(&self.id));
        Ok(lineage::drop_snapshot(store, &volume, &snapshot).await?)
    }

    async fn finish(&self, repository: &mut Repository, run: &Run) -> db::Result<()> {
        self.leave(repository, run, SnapshotStatus::Available).await
    }

    async fn fail(&self, repository: &mut Repository, run: &Run, _: Cause) -> db::Result<()> {
        self.leave(repository, run, SnapshotStatus::Error).await
    }

    fn complaint(&self, _: Cause) -> Option<Event> {
        Some(Event::new(Action::CreateSnapshot, Detail::SnapshotCreate))
    }
}
