//! A snapshot of a volume goes. With clone format 2 what clones read from stays, unseen, until the last of them goes;
//! with format 1, and in the directory store, it stays under the name of a clone snapshot.

use std::sync::Arc;

use async_trait::async_trait;

use super::told::Told;
use super::{Context, lineage, names};
use crate::block::{self, BlockImage, BlockStore, ErrorKind, Missing, OpenMode, SnapshotPath};
use crate::db::{self, Leftover, Repository};
use crate::jobs::{Cause, Run, StepError, Workflow};
use crate::model::{Action, Detail, Event, SnapshotId, SnapshotStatus, VolumeId};

pub(super) struct DeleteSnapshot {
    context: Context,
    id: SnapshotId,
    volume_id: VolumeId,
    /// The snapshot under its other name.
    kept: Told<Option<Leftover>>,
}

impl DeleteSnapshot {
    pub(super) fn new(context: Context, id: SnapshotId, volume_id: VolumeId) -> Self {
        Self { context, id, volume_id, kept: Told::default() }
    }

    async fn unprotect(&self, image: &dyn BlockImage) -> block::Result<()> {
        let name = names::snapshot(&self.id);
        match image.unprotect_snapshot(&name).await.or_missing() {
            Err(error) if error.kind == ErrorKind::HasChildren && lineage::hangs_on(image, &name).await? => {
                image.rename_snapshot(&name, &names::deleted_snapshot(&self.id)).await
            }
            other => other.map(drop),
        }
    }

    /// A snapshot that stays has its own name and is protected, so that volumes can be made from it.
    async fn bring_back(&self, image: &dyn BlockImage) -> block::Result<()> {
        let name = names::snapshot(&self.id);
        image.rename_snapshot(&names::deleted_snapshot(&self.id), &name).await.or_missing()?;
        image.protect_snapshot(&name).await.or_missing().map(drop)
    }

    /// Clones may come loose at any moment: it is the sweeper who removes what was kept for them.
    async fn remove(&self, image: &dyn BlockImage, pool: &str) -> block::Result<()> {
        image.remove_snapshot(&names::snapshot(&self.id)).await.or_missing()?;
        let snapshot = names::deleted_snapshot(&self.id);
        let is_kept = image.snapshots().await?.iter().any(|found| found.name == snapshot);
        let path = SnapshotPath { pool: pool.to_owned(), image: names::volume(&self.volume_id), snapshot };
        self.kept.set(is_kept.then(|| lineage::note(&path)));
        Ok(())
    }

    /// The volume's image.
    async fn open(&self, store: &Arc<dyn BlockStore>) -> block::Result<Option<Arc<dyn BlockImage>>> {
        store.open(&names::volume(&self.volume_id), OpenMode::ReadWrite).await.or_missing()
    }
}

#[async_trait]
impl Workflow for DeleteSnapshot {
    fn steps(&self) -> &'static [&'static str] {
        &["unprotect", "remove"]
    }

    async fn run(&self, step: &'static str, run: &Run) -> Result<(), StepError> {
        let store = self.context.store_of(&self.volume_id, run).await?;
        let Some(image) = self.open(store).await? else { return Ok(()) };
        let done = match step {
            "unprotect" => self.unprotect(&*image).await,
            _ => self.remove(&*image, store.pool()).await,
        };
        image.close().await?;
        Ok(done?)
    }

    /// What is removed is not brought back.
    async fn undo(&self, step: &'static str, run: &Run) -> Result<(), StepError> {
        if step != "unprotect" {
            return Ok(());
        }
        let store = self.context.store_of(&self.volume_id, run).await?;
        let Some(image) = self.open(store).await? else { return Ok(()) };
        let back = self.bring_back(&*image).await;
        image.close().await?;
        Ok(back?)
    }

    async fn finish(&self, repository: &mut Repository, run: &Run) -> db::Result<()> {
        if let Some(kept) = self.kept.get() {
            repository.add_leftover(&kept, run.now()).await?;
        }
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
