//! An image that lies on the pool becomes a volume: it gets the volume's name, and what its type says.
//! When that fails it has its own name again.

use async_trait::async_trait;

use super::told::Told;
use super::{Context, lineage, names, qos, replication};
use crate::block::{ErrorKind, Missing, OpenMode, SnapshotPath};
use crate::db::{self, Repository, VolumeChange};
use crate::jobs::{Cause, Run, StepError, Workflow};
use crate::model::{VolumeId, VolumeStatus};

pub(super) struct ManageVolume {
    context: Context,
    id: VolumeId,
    source: String,
    /// The snapshot that it is a clone of, and that was taken for it.
    parent: Told<Option<SnapshotPath>>,
}

impl ManageVolume {
    pub(super) fn new(context: Context, id: VolumeId, source: String) -> Self {
        Self { context, id, source, parent: Told::default() }
    }

    async fn rename(&self, run: &Run) -> Result<(), StepError> {
        let store = self.context.store_of(&self.id, run).await?;
        match store.rename(&self.source, &names::volume(&self.id)).await {
            // Nothing else has that name: an earlier run of this step gave it.
            Err(error) if error.kind == ErrorKind::Exists => Ok(()),
            Err(error) if error.kind == ErrorKind::NotFound => self.size(run).await.map(drop),
            other => Ok(other?),
        }
    }

    /// In bytes, under the volume's name.
    async fn size(&self, run: &Run) -> Result<u64, StepError> {
        let store = self.context.store_of(&self.id, run).await?;
        let image = store.open(&names::volume(&self.id), OpenMode::ReadOnly).await?;
        let size = image.size().await;
        image.close().await?;
        Ok(size?)
    }

    /// It may have become another size, or another image, since the request looked at it.
    async fn check(&self, run: &Run) -> Result<(), StepError> {
        let row = run.database.read().await?.volume(&self.id).await?;
        let row = row.ok_or_else(|| StepError::gone("volume"))?;
        if self.size(run).await? == row.size.bytes() {
            Ok(())
        } else {
            Err(StepError::fatal("The image has another size than it had when the volume was asked for."))
        }
    }

    /// As all volumes of its type are.
    async fn suit(&self, run: &Run) -> Result<(), StepError> {
        let mut repository = run.database.read().await?;
        let row = repository.volume(&self.id).await?.ok_or_else(|| StepError::gone("volume"))?;
        let settings = qos::settings(&mut repository, &row.volume_type_id, row.size).await?;
        let of = repository.volume_type(row.volume_type_id.as_str()).await?;
        let of = of.ok_or_else(|| StepError::gone("volume type"))?;
        drop(repository);
        let (store, name) = (&self.context.backend(&row)?.store, names::volume(&self.id));
        if !settings.is_empty() {
            qos::apply_to(store, &name, &settings).await?;
        }
        if replication::is_wanted(&of)? {
            replication::apply(&self.context, store, &name, true, &run.progress).await?;
        }
        Ok(())
    }

    /// Clones of it may have gone while it was nobody's.
    async fn drop_orphaned(&self, run: &Run) -> Result<(), StepError> {
        let store = self.context.store_of(&self.id, run).await?;
        let name = names::volume(&self.id);
        let _lock = self.context.locks.lock(&name).await;
        let image = store.open(&name, OpenMode::ReadWrite).await?;
        let dropped = lineage::drop_orphaned(&self.context, store, &*image).await;
        image.close().await?;
        Ok(dropped?)
    }

    /// Nothing in the row will tell of that when the volume goes.
    async fn note_parent(&self, run: &Run) -> Result<(), StepError> {
        let store = self.context.store_of(&self.id, run).await?;
        let parent = lineage::parent_of(store, &names::volume(&self.id)).await?;
        let parent = parent.map(|parent| parent.path);
        self.parent.set(parent.filter(|parent| names::is_clone_snapshot(&parent.snapshot)));
        Ok(())
    }

    async fn leave(&self, repository: &mut Repository, run: &Run, status: VolumeStatus) -> db::Result<()> {
        let (from, change) = (VolumeStatus::Managing, VolumeChange::default());
        repository.change_volume(&self.id, from, status, &change, run.now()).await?;
        Ok(())
    }
}

#[async_trait]
impl Workflow for ManageVolume {
    fn steps(&self) -> &'static [&'static str] {
        &["rename", "check", "suit"]
    }

    async fn run(&self, step: &'static str, run: &Run) -> Result<(), StepError> {
        match step {
            "rename" => self.rename(run).await,
            "check" => self.check(run).await,
            _ => {
                self.suit(run).await?;
                self.drop_orphaned(run).await?;
                self.note_parent(run).await
            }
        }
    }

    async fn undo(&self, step: &'static str, run: &Run) -> Result<(), StepError> {
        if step == "rename" {
            let store = self.context.store_of(&self.id, run).await?;
            match store.rename(&names::volume(&self.id), &self.source).await.or_missing() {
                // Another image has its name by now: it keeps the new one.
                Err(error) if error.kind == ErrorKind::Exists => {}
                other => drop(other?),
            }
        }
        Ok(())
    }

    async fn finish(&self, repository: &mut Repository, run: &Run) -> db::Result<()> {
        if let Some(parent) = self.parent.get() {
            repository.add_leftover(&lineage::note(&parent), run.now()).await?;
        }
        if let Some(row) = repository.volume_to_change(&self.id).await?
            && let Some(of) = repository.volume_type(row.volume_type_id.as_str()).await?
        {
            let host = row.host.as_deref().unwrap_or_default();
            let status = replication::status(repository, &of, host).await?;
            repository.set_replication_status(&self.id, status).await?;
        }
        self.leave(repository, run, VolumeStatus::Available).await
    }

    async fn fail(&self, repository: &mut Repository, run: &Run, _: Cause) -> db::Result<()> {
        self.leave(repository, run, VolumeStatus::ErrorManaging).await
    }
}
