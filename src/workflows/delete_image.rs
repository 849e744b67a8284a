//! An image's bytes and row go, and what the cache has of it. Volumes that are clones of it decide how: with clone format 1 it cannot go before
//! them and stays as it was; with format 2 its bytes wait in the trash for the last of them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

use super::{Context, image_cache, lineage, names};
use crate::block::{BlockImage, ErrorKind, Missing, OpenMode, SnapshotPath};
use crate::db::{self, ImageChange, Leftover, Repository};
use crate::jobs::{self, Cause, Run, StepError, Workflow};
use crate::model::{ImageId, ImageStatus};

pub(super) struct DeleteImage {
    context: Context,
    id: ImageId,
    is_kept: AtomicBool,
    /// The volume's snapshot that it is a clone of still.
    parent: Mutex<Option<SnapshotPath>>,
}

impl DeleteImage {
    pub(super) fn new(context: Context, id: ImageId) -> Self {
        Self { context, id, is_kept: AtomicBool::new(false), parent: Mutex::default() }
    }

    async fn remove(&self, run: &Run) -> Result<(), StepError> {
        self.stop_detaching(run).await?;
        let parent = remove_content(&self.context, &self.id, run).await?;
        *self.parent.lock().unwrap_or_else(PoisonError::into_inner) = parent;
        Ok(())
    }

    /// What arrived for it and never became its content.
    async fn unstage(&self, run: &Run) -> Result<(), StepError> {
        for name in [names::staged(&self.id), names::unpacked(&self.id)] {
            lineage::take_away(&self.context.stores.images, &name, run).await?;
        }
        Ok(())
    }

    /// That would have it open. It is told here once more than need be, for the image may not be a clone at all.
    async fn stop_detaching(&self, run: &Run) -> Result<(), StepError> {
        let mut repository = run.transaction().await?;
        if repository.cancel_jobs(&jobs::parent_of(&self.id), run.now()).await? > 0 {
            repository.commit().await?;
        }
        Ok(())
    }

    /// Also after a crash, when the step before finds nothing: the trash tells.
    async fn purge(&self) -> Result<(), StepError> {
        let store = &self.context.stores.images;
        let rest = lineage::reap(&self.context, store, self.id.as_str()).await?;
        self.is_kept.store(rest == lineage::Rest::Needed, Ordering::Relaxed);
        // Otherwise the volume's snapshot, of which nothing is known after a crash, goes with the volume.
        let parent = self.parent.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match parent {
            Some(parent) if rest == lineage::Rest::Gone => {
                Ok(lineage::release(&self.context, store, &parent).await?)
            }
            _ => Ok(()),
        }
    }
}

/// The image's bytes, with their snapshot.
pub(super) async fn remove_content(
    context: &Context,
    id: &ImageId,
    run: &Run,
) -> Result<Option<SnapshotPath>, StepError> {
    let store = &context.stores.images;
    let name = id.as_str();
    let _lock = context.locks.lock(name).await;
    let Some(image) = store.open(name, OpenMode::ReadWrite).await.or_missing()? else {
        // What cannot be opened may be there in part: a process died while it was made.
        store.remove(name, &run.progress).await.or_missing()?;
        return Ok(None);
    };
    let parent = image.parent().await;
    let freed = drop_snapshots(&*image).await;
    image.close().await?;
    freed?;
    let parent = parent?.map(|parent| parent.path);
    match store.remove(name, &run.progress).await.or_missing() {
        // With clone format 2 the snapshot lives on, unseen, while clones need it.
        Err(error) if matches!(error.kind, ErrorKind::HasSnapshots | ErrorKind::HasChildren) => {
            store.trash_move(name).await.or_missing().map(drop).map_err(StepError::of_removal)
        }
        other => other.map(drop).map_err(StepError::of_removal),
    }?;
    Ok(parent)
}

/// All of them, before any is dropped: a refusal changes nothing.
async fn drop_snapshots(image: &dyn BlockImage) -> Result<(), StepError> {
    let snapshots = image.snapshots().await?;
    if let Some(foreign) = snapshots.iter().find(|snapshot| snapshot.name != names::IMAGE_SNAPSHOT) {
        return Err(StepError::in_use(format!(
            "The image has the snapshot {} in the storage pool.",
            foreign.name
        )));
    }
    for snapshot in &snapshots {
        match image.unprotect_snapshot(&snapshot.name).await.or_missing() {
            Err(error) if error.kind == ErrorKind::HasChildren => {
                return Err(StepError::in_use("Volumes are copy-on-write clones of the image."));
            }
            other => drop(other?),
        }
        image.remove_snapshot(&snapshot.name).await.or_missing()?;
    }
    Ok(())
}

#[async_trait]
impl Workflow for DeleteImage {
    fn steps(&self) -> &'static [&'static str] {
        &["remove", "unstage", "purge", "uncache"]
    }

    async fn run(&self, step: &'static str, run: &Run) -> Result<(), StepError> {
        match step {
            "remove" => self.remove(run).await,
            "unstage" => self.unstage(run).await,
            "purge" => self.purge().await,
            _ => image_cache::evict_all(&self.context, &self.id, run).await,
        }
    }

    /// Nothing is brought back: what was refused was not changed, what failed can be deleted again.
    async fn undo(&self, _: &'static str, _: &Run) -> Result<(), StepError> {
        Ok(())
    }

    async fn finish(&self, repository: &mut Repository, run: &Run) -> db::Result<()> {
        if self.is_kept.load(Ordering::Relaxed) {
            let pool = self.context.stores.images.pool().to_owned();
            repository.add_leftover(&Leftover { pool, name: self.id.to_string() }, run.now()).await?;
        }
        repository.remove_image(&self.id).await?;
        Ok(())
    }

    async fn fail(&self, repository: &mut Repository, run: &Run, cause: Cause) -> db::Result<()> {
        let Some(row) = repository.image(&self.id).await? else { return Ok(()) };
        let back = match row.previous_status {
            Some(status @ (ImageStatus::Active | ImageStatus::Deactivated)) => status,
            Some(status @ ImageStatus::Uploading) if repository.staged(&self.id).await?.is_some() => status,
            // It had no bytes worth keeping.
            _ => return repository.remove_image(&self.id).await.map(drop),
        };
        repository
            .change_image(&self.id, ImageStatus::Deleted, back, &ImageChange::default(), run.now())
            .await?;
        if !cause.is_refusal() {
            // Its snapshot may be gone: the first volume made from it makes that anew.
            repository.set_image_location(&self.id, None).await?;
        }
        Ok(())
    }
}
