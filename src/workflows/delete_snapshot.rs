//! A snapshot of a volume goes. Where the pool's clone format ties clones to it, they are made independent first.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Context, lineage, names};
use crate::block::{BlockImage, BlockStore, ErrorKind, Missing, OpenMode};
use crate::db::{self, Repository};
use crate::jobs::{Cause, Run, StepError, Workflow};
use crate::model::{Action, Detail, Event, SnapshotId, SnapshotStatus, VolumeId};

pub(super) struct DeleteSnapshot {
    context: Context,
    id: SnapshotId,
    volume_id: VolumeId,
}

impl DeleteSnapshot {
    pub(super) fn new(context: Context, id: SnapshotId, volume_id: VolumeId) -> Self {
        Self { context, id, volume_id }
    }

    /// With clone format 1, and in the directory store, a snapshot with clones cannot go: each is flattened.
    async fn unprotect(
        &self,
        store: &Arc<dyn BlockStore>,
        image: &dyn BlockImage,
        run: &Run,
    ) -> Result<(), StepError> {
        let name = names::snapshot(&self.id);
        match image.unprotect_snapshot(&name).await.or_missing() {
            Err(error) if error.kind == ErrorKind::HasChildren => {}
            other => return Ok(other.map(drop)?),
        }
        for child in image.children().await?.into_iter().filter(|child| child.snapshot == name) {
            let beside = self.context.pool_beside(store, &child.pool).await?;
            let Some(store) = beside.filter(|_| !child.in_trash) else {
                return Err(StepError::in_use(format!("{}/{} is a clone of it.", child.pool, child.image)));
            };
            lineage::flatten(&self.context, store, &child.image, &run.progress).await?;
        }
        image.unprotect_snapshot(&name).await.or_missing()?;
        Ok(())
    }
}

#[async_trait]
impl Workflow for DeleteSnapshot {
    fn steps(&self) -> &'static [&'static str] {
        &["unprotect", "remove"]
    }

    async fn run(&self, step: &'static str, run: &Run) -> Result<(), StepError> {
        let store = self.context.store_of(&self.volume_id, run).await?;
        let volume = names::volume(&self.volume_id);
        let Some(image) = store.open(&volume, OpenMode::ReadWrite).await.or_missing()? else { return Ok(()) };
        let done = match step {
            "unprotect" => self.unprotect(store, &*image, run).await,
            _ => {
                let removed = image.remove_snapshot(&names::snapshot(&self.id)).await.or_missing();
                removed.map(drop).map_err(StepError::from)
            }
        };
        image.close().await?;
        done
    }

    /// Nothing is brought back; a snapshot that stays is protected again, so that volumes can be made from it.
    async fn undo(&self, step: &'static str, run: &Run) -> Result<(), StepError> {
        if step != "unprotect" {
            return Ok(());
        }
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
        repository.change_snapshot(&self.id, SnapshotStatus::Deleting, back, run.now()).await?;
        Ok(())
    }

    fn complaint(&self, cause: Cause) -> Option<Event> {
        let detail = if cause.is_refusal() { Detail::SnapshotBusy } else { Detail::SnapshotDelete };
        Some(Event::new(Action::DeleteSnapshot, detail))
    }
}
