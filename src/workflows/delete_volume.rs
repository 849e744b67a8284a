//! A volume and its bytes go. Whatever clones still read from stays on the pool, under another name, and goes with
//! the last of them: no order of deletes leaves anything behind.
//!
//! A volume that somebody has open goes back to what it was, but only as it was: what of it is not there any more, whole
//! and under its own name, is not brought back, and can only be deleted again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{Context, lineage, names};
use crate::block::{self, BlockImage, BlockStore, ErrorKind, Missing, OpenMode, SnapshotPath};
use crate::db::{self, Leftover, Repository, Volume, VolumeChange, VolumeReset};
use crate::jobs::{Cause, Run, StepError, Workflow};
use crate::model::{GIB, VolumeId, VolumeStatus};

pub(super) struct DeleteVolume {
    context: Context,
    id: VolumeId,
    notes: Mutex<Notes>,
}

/// What one step tells the next. After a crash the pool and the row say as much as is needed.
#[derive(Default)]
struct Notes {
    /// What the image hung on.
    parent: Option<SnapshotPath>,
    /// The row does not tell so: the sweeper knows it.
    noted: Option<Leftover>,
    /// It was removed, and so never kept for clones.
    is_removed: bool,
    /// Under which name, and in which pool, it is kept for its clones.
    kept: Option<Leftover>,
    /// When all was over, it was still there as it had been.
    is_whole: bool,
}

impl DeleteVolume {
    pub(super) fn new(context: Context, id: VolumeId) -> Self {
        Self { context, id, notes: Mutex::default() }
    }

    async fn remove(&self, run: &Run) -> Result<(), StepError> {
        let Some(row) = self.row(run).await?.filter(|row| !never_became_one(row)) else { return Ok(()) };
        let store = &self.context.backend(&row)?.store;
        let name = names::of(&row);
        let _lock = self.context.locks.lock(&name).await;
        if !row.status.is_being_deleted() && is_whole(store, &row).await? {
            return Err(StepError::in_use("Its status was set by hand while it was to be deleted."));
        }
        if was_made_empty(&row) {
            // It hangs on nothing, and mostly nothing hangs on it. Opening it to see that costs more than all the
            // rest of its removal.
            match store.remove(&name, &run.progress).await.or_missing() {
                Ok(Some(())) => {
                    self.notes().is_removed = true;
                    return Ok(());
                }
                Ok(None) => return Ok(()),
                Err(error)
                    if matches!(
                        error.kind,
                        ErrorKind::HasSnapshots | ErrorKind::HasChildren | ErrorKind::NoSpace
                    ) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let Some(image) = store.open(&name, OpenMode::ReadWrite).await.or_missing()? else {
            // What cannot be opened may be there in part: a process died while it was made.
            store.remove(&name, &run.progress).await.or_missing()?;
            return Ok(());
        };
        let looked = self.look_at(store, &*image).await;
        image.close().await?;
        let looked = looked?;
        self.note_parent(&row, run).await?;
        match looked {
            lineage::Rest::Needed => set_aside(store, &name, run).await,
            lineage::Rest::Gone => match store.remove(&name, &run.progress).await.or_missing() {
                Ok(found) => {
                    self.notes().is_removed |= found.is_some();
                    Ok(())
                }
                // With clone format 2 a removed snapshot lives on while clones need it, and it cannot be seen.
                Err(error) if matches!(error.kind, ErrorKind::HasSnapshots | ErrorKind::HasChildren) => {
                    set_aside(store, &name, run).await
                }
                Err(error) => {
                    if error.kind == ErrorKind::NoSpace {
                        self.condemn(run).await?;
                        lineage::empty(store, &name, &run.progress).await?;
                    }
                    Err(StepError::of_removal(error))
                }
            },
        }
    }

    /// From now on there is no way back, whatever happens to this process.
    async fn condemn(&self, run: &Run) -> Result<(), StepError> {
        let mut repository = run.transaction().await?;
        if !repository.condemn_volume(&self.id).await? {
            return Err(StepError::in_use("Its status was set by hand while it was to be deleted."));
        }
        Ok(repository.commit().await?)
    }

    /// What cannot be looked at counts as lost: who finds it whole after all can delete it again.
    async fn look_after(&self, run: &Run) -> Result<(), StepError> {
        let Some(row) = self.row(run).await? else { return Ok(()) };
        let Ok(backend) = self.context.backend(&row) else { return Ok(()) };
        let is_whole = is_whole(&backend.store, &row).await.unwrap_or(false);
        self.notes().is_whole = is_whole;
        Ok(())
    }

    async fn row(&self, run: &Run) -> db::Result<Option<Volume>> {
        run.database.read().await?.volume(&self.id).await
    }

    /// Notes the parent and drops the snapshots that were not the user's and that nothing hangs on.
    async fn look_at(
        &self,
        store: &Arc<dyn BlockStore>,
        image: &dyn BlockImage,
    ) -> Result<lineage::Rest, StepError> {
        let parent = image.parent().await?.map(|parent| parent.path);
        self.notes().parent = parent;
        let snapshots = image.snapshots().await?;
        let foreign = |name: &str| !names::is_backup_snapshot(name) && !names::is_clone_snapshot(name);
        if let Some(snapshot) = snapshots.iter().find(|snapshot| foreign(&snapshot.name)) {
            return Err(StepError::in_use(format!(
                "The volume has the snapshot {} in the storage pool.",
                snapshot.name
            )));
        }
        Ok(lineage::drop_unneeded(&self.context, store, image).await?)
    }

    /// After a crash the row tells what it hung on, unless it was made from a snapshot that is deleted.
    async fn note_parent(&self, row: &Volume, run: &Run) -> Result<(), StepError> {
        let parent = self.notes().parent.clone();
        let Some(parent) = parent.filter(|parent| names::is_clone_snapshot(&parent.snapshot)) else {
            return Ok(());
        };
        if self.parents_by_row(row, run).await?.contains(&parent) {
            return Ok(());
        }
        let note = lineage::note(&parent);
        let mut repository = run.transaction().await?;
        repository.add_leftover(&note, run.now()).await?;
        repository.commit().await?;
        self.notes().noted = Some(note);
        Ok(())
    }

    /// Lets go of what the image hung on.
    async fn release(&self, run: &Run) -> Result<(), StepError> {
        let Some(row) = self.row(run).await?.filter(|row| !never_became_one(row)) else { return Ok(()) };
        let store = &self.context.backend(&row)?.store;
        // Kept for clones: it still hangs there, unless the last clone went in this very moment.
        if !self.notes().is_removed {
            let name = names::of(&row);
            let rest = lineage::reap(&self.context, store, &name).await?;
            let pool = store.pool().to_owned();
            if lineage::is_there(store, &name).await? {
                // The other name was taken, see `set_aside`.
                self.notes().kept = Some(Leftover { pool, name });
                return Ok(());
            }
            if rest == lineage::Rest::Needed {
                self.notes().kept = Some(Leftover { pool, name: names::deleted(&name) });
                return Ok(());
            }
        }
        let (parent, is_noted) = {
            let notes = self.notes();
            (notes.parent.clone(), notes.noted.is_some())
        };
        let rest = match &parent {
            Some(parent) if is_noted => lineage::release_all(&self.context, store, parent).await?,
            Some(parent) => {
                lineage::release(&self.context, store, parent).await?;
                lineage::Rest::Gone
            }
            None => lineage::Rest::Gone,
        };
        if rest == lineage::Rest::Needed {
            // By others: the sweeper's from now on.
            self.notes().noted = None;
        }
        for parent in self.parents_by_row(&row, run).await? {
            lineage::release(&self.context, store, &parent).await?;
        }
        Ok(())
    }

    /// Of an image's places nobody knows any more which it was.
    async fn parents_by_row(&self, row: &Volume, run: &Run) -> Result<Vec<SnapshotPath>, StepError> {
        if let Some(source) = &row.source_volume_id {
            // A source that is gone was where its clones are made.
            let source_row = run.database.read().await?.volume(source).await?;
            let backend = self.context.backend(source_row.as_ref().unwrap_or(row))?;
            return Ok(vec![SnapshotPath {
                pool: backend.store.pool().to_owned(),
                image: names::volume(source),
                snapshot: names::clone_snapshot(&self.id),
            }]);
        }
        let Some(image) = &row.image_id else { return Ok(Vec::new()) };
        let parent = |store: &Arc<dyn BlockStore>| SnapshotPath {
            pool: store.pool().to_owned(),
            image: image.to_string(),
            snapshot: names::IMAGE_SNAPSHOT.to_owned(),
        };
        Ok(self.context.stores.all_images().map(|(_, store)| parent(store)).collect())
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        // Each change is a single assignment: a panic leaves nothing half made.
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// It could not be taken over: an image that has its name is its owner's still.
fn never_became_one(row: &Volume) -> bool {
    row.status == VolumeStatus::ErrorManagingDeleting
}

fn was_made_empty(row: &Volume) -> bool {
    row.snapshot_id.is_none() && row.source_volume_id.is_none() && row.image_id.is_none()
}

/// It is there under its own name, and nothing was cut off.
async fn is_whole(store: &Arc<dyn BlockStore>, row: &Volume) -> block::Result<bool> {
    let name = names::of(row);
    let Some(image) = store.open(&name, OpenMode::ReadOnly).await.or_missing()? else { return Ok(false) };
    let size = image.size().await;
    image.close().await?;
    // One that was taken over as it was may end inside its last GiB.
    Ok(size? > row.size.bytes().saturating_sub(GIB))
}

async fn set_aside(store: &Arc<dyn BlockStore>, name: &str, run: &Run) -> Result<(), StepError> {
    // A rename cannot be stopped on its way.
    run.check_lease().await?;
    match lineage::set_aside(store, name).await {
        // Clones read from one that it left here before it came back: that goes first, and the sweeper does the rest.
        Err(error) if error.kind == ErrorKind::Exists => Ok(()),
        other => Ok(other.map(drop)?),
    }
}

#[async_trait]
impl Workflow for DeleteVolume {
    fn steps(&self) -> &'static [&'static str] {
        &["remove", "release"]
    }

    async fn run(&self, step: &'static str, run: &Run) -> Result<(), StepError> {
        match step {
            "remove" => self.remove(run).await,
            _ => self.release(run).await,
        }
    }

    /// What is deleted is not brought back: the volume can be deleted again.
    async fn undo(&self, step: &'static str, run: &Run) -> Result<(), StepError> {
        match step {
            "remove" => self.look_after(run).await,
            _ => Ok(()),
        }
    }

    async fn finish(&self, repository: &mut Repository, run: &Run) -> db::Result<()> {
        let (kept, noted) = {
            let notes = self.notes();
            (notes.kept.clone(), notes.noted.clone())
        };
        match (kept, noted) {
            (Some(kept), _) => repository.add_leftover(&kept, run.now()).await?,
            (None, Some(noted)) => repository.remove_leftover(&noted).await?,
            (None, None) => {}
        }
        repository.remove_volume(&self.id).await?;
        Ok(())
    }

    async fn fail(&self, repository: &mut Repository, run: &Run, cause: Cause) -> db::Result<()> {
        let Some(row) = repository.volume_to_change(&self.id).await? else { return Ok(()) };
        let is_whole = self.notes().is_whole;
        let back = match row.previous_status {
            Some(status) if cause.is_refusal() && status.is_error() => status,
            Some(status) if cause.is_refusal() && is_whole => match status {
                status if status.follows_attachments() => repository.status_by_attachments(&self.id).await?,
                status if status.is_settled() => status,
                _ => VolumeStatus::Error,
            },
            _ => VolumeStatus::ErrorDeleting,
        };
        if row.status.is_being_deleted() {
            let change = VolumeChange::default();
            repository.change_volume(&self.id, row.status, back, &change, run.now()).await?;
        } else if !is_whole {
            // Whoever said meanwhile that it is something else did not know.
            let reset = VolumeReset { status: Some(VolumeStatus::ErrorDeleting), migration_status: None };
            repository.reset_volume(&self.id, &reset, run.now()).await?;
        }
        Ok(())
    }
}
