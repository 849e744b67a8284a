//! An image's bytes and row go, and what the cache has of it; or its bytes in one store. Volumes that are clones of it
//! decide how: with clone format 1 it cannot go before them and stays as it was; with format 2 its bytes wait in the
//! trash for the last of them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{Context, image_cache, lineage, names};
use crate::block::{self, BlockImage, BlockStore, ErrorKind, Missing, OpenMode, Progress, SnapshotPath};
use crate::db::{self, Image, ImageChange, Leftover, Location, Repository};
use crate::jobs::{self, Cause, Run, StepError, Workflow};
use crate::model::{ImageId, ImageStatus};

/// What of an image goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    All,
    /// Its bytes in this store; `None`: that of `[images]`.
    In(Option<String>),
}

pub(super) struct DeleteImage {
    context: Context,
    id: ImageId,
    extent: Extent,
    notes: Mutex<Notes>,
}

#[derive(Default)]
struct Notes {
    /// The volumes' snapshots that it is a clone of still, where it is one.
    parents: Vec<(Arc<dyn BlockStore>, SnapshotPath)>,
    /// The pools in which clones need its bytes still.
    kept: Vec<String>,
    /// Snapshots may be gone.
    is_touched: bool,
    /// It was refused for its snapshot's sake, which therefore is there.
    is_held: bool,
}

/// What an image, or its copy in one store, would be again.
enum WayBack {
    Status(ImageStatus),
    /// The sweeper forgets it.
    Store(Leftover),
}

impl DeleteImage {
    pub(super) fn new(context: Context, id: ImageId, extent: Extent) -> Self {
        Self { context, id, extent, notes: Mutex::default() }
    }

    /// Where there is something to remove.
    async fn stores(&self, run: &Run) -> Result<Vec<Arc<dyn BlockStore>>, StepError> {
        if let Extent::In(store) = &self.extent {
            return Ok(vec![self.context.images_in(store.as_deref())?.clone()]);
        }
        let row = run.database.read().await?.image(&self.id).await?;
        self.stores_of(&row.map(|row| row.locations).unwrap_or_default())
    }

    /// Of what never was active nobody knows where it lies.
    fn stores_of(&self, locations: &[Location]) -> Result<Vec<Arc<dyn BlockStore>>, StepError> {
        if locations.is_empty() {
            return Ok(self.context.stores.all_images().map(|(_, store)| store.clone()).collect());
        }
        // A web server keeps what it has.
        let ours = locations.iter().filter(|location| !location.is_on_the_web());
        ours.map(|location| self.context.images_in(location.store.as_deref()).cloned()).collect()
    }

    /// In no store before all of them have let go of it, and not before it is noted what it hangs on: after a crash only
    /// the note tells.
    async fn remove(&self, run: &Run) -> Result<(), StepError> {
        self.check_others(run).await?;
        self.stop_detaching(run).await?;
        let stores = self.stores(run).await?;
        let _lock = self.context.locks.lock(self.id.as_str()).await;
        for store in &stores {
            self.notes().is_touched = true;
            let parent = free(store, &self.id).await;
            self.notes().is_held = parent.as_ref().is_err_and(|error| error.cause == Cause::InUse);
            let parent = parent?;
            self.notes().parents.extend(parent.map(|parent| (store.clone(), parent)));
        }
        self.note_parents(run).await?;
        let mut way_back = self.condemn(run).await?;
        for store in &stores {
            let removed = remove_freed(store, &self.id, &run.progress).await;
            if let Err(error) = &removed
                && matches!(error.kind, ErrorKind::Busy | ErrorKind::NoSpace)
                && let Some(way_back) = way_back.take()
            {
                // Refused before anything was touched.
                self.spare(way_back, run).await?;
            }
            removed.map_err(StepError::of_removal)?;
            way_back = None;
        }
        Ok(())
    }

    /// Bytes go from one store only while another one has them. They may count again since this was asked for: another
    /// request for the same was refused meanwhile.
    async fn check_others(&self, run: &Run) -> Result<(), StepError> {
        let Extent::In(store) = &self.extent else { return Ok(()) };
        let Some(row) = run.database.read().await?.image(&self.id).await? else { return Ok(()) };
        let counts = row.places().any(|place| place.store == *store);
        if counts || row.places().next().is_none() {
            return Err(StepError::in_use("The image's bytes are needed in this store."));
        }
        Ok(())
    }

    async fn note_parents(&self, run: &Run) -> Result<(), StepError> {
        let notes = self.parents();
        if notes.is_empty() {
            return Ok(());
        }
        let mut repository = run.transaction().await?;
        for note in notes {
            repository.add_leftover(&note, run.now()).await?;
        }
        Ok(repository.commit().await?)
    }

    /// As the sweeper knows them.
    fn parents(&self) -> Vec<Leftover> {
        self.notes().parents.iter().map(|(_, parent)| lineage::note(parent)).collect()
    }

    async fn forget_parents(&self, repository: &mut Repository) -> db::Result<()> {
        for note in self.parents() {
            repository.remove_leftover(&note).await?;
        }
        Ok(())
    }

    /// From now on there is no way back, whatever happens to this process: a removal that breaks off leaves a part of
    /// the bytes. Answers what the way back was, if there was one still.
    async fn condemn(&self, run: &Run) -> Result<Option<WayBack>, StepError> {
        let mut repository = run.transaction().await?;
        let way_back = match self.note()? {
            None => {
                let row = repository.image(&self.id).await?;
                let past = row.and_then(|row| row.previous_status);
                let past = past.filter(|past| matches!(past, ImageStatus::Active | ImageStatus::Deactivated));
                if past.is_some() {
                    repository.set_image_past(&self.id, None).await?;
                }
                past.map(WayBack::Status)
            }
            Some(note) if repository.has_leftover(&note).await? => None,
            Some(note) => {
                repository.add_leftover(&note, run.now()).await?;
                Some(WayBack::Store(note))
            }
        };
        repository.commit().await?;
        Ok(way_back)
    }

    async fn spare(&self, way_back: WayBack, run: &Run) -> Result<(), StepError> {
        let mut repository = run.transaction().await?;
        match way_back {
            WayBack::Status(past) => repository.set_image_past(&self.id, Some(past)).await?,
            WayBack::Store(note) => repository.remove_leftover(&note).await?,
        }
        Ok(repository.commit().await?)
    }

    /// Of bytes that leave one store: the sweeper goes on with it.
    fn note(&self) -> Result<Option<Leftover>, StepError> {
        let Extent::In(store) = &self.extent else { return Ok(None) };
        let pool = self.context.images_in(store.as_deref())?.pool().to_owned();
        Ok(Some(Leftover { pool, name: names::leaving(&self.id) }))
    }

    /// What arrived for it and never became its content.
    async fn unstage(&self, run: &Run) -> Result<(), StepError> {
        if self.extent != Extent::All {
            return Ok(());
        }
        self.forget_staged(run).await?;
        for name in names::arrivals(&self.id) {
            lineage::take_away(&self.context.stores.images, &name, run).await?;
        }
        Ok(())
    }

    /// Without them the image cannot be what it was any more.
    async fn forget_staged(&self, run: &Run) -> Result<(), StepError> {
        if run.database.read().await?.staged(&self.id).await?.is_none() {
            return Ok(());
        }
        let mut repository = run.transaction().await?;
        repository.remove_staged(&self.id).await?;
        Ok(repository.commit().await?)
    }

    /// That would have it open. It is told here once more than need be, for the image may not be a clone at all.
    async fn stop_detaching(&self, run: &Run) -> Result<(), StepError> {
        if matches!(self.extent, Extent::In(Some(_))) {
            return Ok(());
        }
        let mut repository = run.transaction().await?;
        if repository.cancel_jobs(&jobs::parent_of(&self.id), run.now()).await? > 0 {
            repository.commit().await?;
        }
        Ok(())
    }

    /// Also after a crash, when the step before finds nothing: the trash tells.
    async fn purge(&self, run: &Run) -> Result<(), StepError> {
        for store in self.stores(run).await? {
            if lineage::reap(&self.context, &store, self.id.as_str()).await? == lineage::Rest::Needed {
                self.notes().kept.push(store.pool().to_owned());
                continue;
            }
            // After a crash it is the sweeper who sees to the volume's snapshot.
            let parents = self.notes().parents.clone();
            for (_, parent) in parents.iter().filter(|(clone, _)| Arc::ptr_eq(clone, &store)) {
                if lineage::release_all(&self.context, &store, parent).await? == lineage::Rest::Needed {
                    // By others, and the sweeper knows of it.
                    self.notes().parents.retain(|(_, other)| other != parent);
                }
            }
        }
        Ok(())
    }

    /// They may be gone, also where somebody had it open: they are dropped before that is known. The first volume
    /// made from it makes them anew.
    async fn forget_snapshots(&self, repository: &mut Repository, row: &Image, run: &Run) -> db::Result<()> {
        let is_held = self.notes().is_held;
        // An earlier claim may have come further.
        if !self.notes().is_touched && run.fence == 1 {
            return Ok(());
        }
        match &self.extent {
            Extent::All if is_held && row.locations.len() == 1 => Ok(()),
            Extent::All => repository.forget_snapshots(&self.id).await,
            Extent::In(_) if is_held => Ok(()),
            Extent::In(store) => repository.forget_snapshot(&self.id, store.as_deref()).await,
        }
    }

    /// What may be there of an image that is gone.
    fn leftovers(&self, row: &Image) -> Vec<Leftover> {
        let of = |store: &Arc<dyn BlockStore>, name| Leftover { pool: store.pool().to_owned(), name };
        let stores = self.stores_of(&row.locations).unwrap_or_default();
        let arrivals = names::arrivals(&self.id).map(|name| of(&self.context.stores.images, name));
        stores.iter().map(|store| of(store, self.id.to_string())).chain(arrivals).collect()
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        // Each change is a single push: a panic leaves nothing half made.
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The image's bytes in a store, with their snapshot, which nobody can want back; also when the job was cancelled.
pub(super) async fn remove_content(
    context: &Context,
    store: &Arc<dyn BlockStore>,
    id: &ImageId,
    progress: &Progress,
) -> Result<(), StepError> {
    let _lock = context.locks.lock(id.as_str()).await;
    free(store, id).await?;
    match remove_freed(store, id, progress).await {
        Err(error) if error.kind == ErrorKind::NoSpace => {
            lineage::empty(store, id.as_str(), progress).await.or_missing()?;
            Err(StepError::of_removal(error))
        }
        removed => removed.map_err(StepError::of_removal),
    }
}

/// Drops the snapshots. Answers what the image is a clone of.
async fn free(store: &Arc<dyn BlockStore>, id: &ImageId) -> Result<Option<SnapshotPath>, StepError> {
    let Some(image) = store.open(id.as_str(), OpenMode::ReadWrite).await.or_missing()? else {
        return Ok(None);
    };
    let parent = image.parent().await;
    let freed = drop_snapshots(&*image).await;
    image.close().await?;
    freed?;
    Ok(parent?.map(|parent| parent.path))
}

/// What cannot be opened may be there in part: a process died while it was made.
async fn remove_freed(store: &Arc<dyn BlockStore>, id: &ImageId, progress: &Progress) -> block::Result<()> {
    let name = id.as_str();
    match store.remove(name, progress).await.or_missing() {
        // With clone format 2 the snapshot lives on, unseen, while clones need it.
        Err(error) if matches!(error.kind, ErrorKind::HasSnapshots | ErrorKind::HasChildren) => {
            store.trash_move(name).await.or_missing().map(drop)
        }
        other => other.map(drop),
    }
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
            "purge" => self.purge(run).await,
            // The cache is of the image, wherever that lies.
            _ if self.extent != Extent::All => Ok(()),
            _ => image_cache::evict_all(&self.context, &self.id, run).await,
        }
    }

    /// Nothing is brought back: what was refused was not changed, what failed can be deleted again.
    async fn undo(&self, _: &'static str, _: &Run) -> Result<(), StepError> {
        Ok(())
    }

    async fn finish(&self, repository: &mut Repository, run: &Run) -> db::Result<()> {
        // A request that changes its locations writes down those it has read.
        repository.image_to_change(&self.id).await?;
        let kept = std::mem::take(&mut self.notes().kept);
        // What waits in the trash hangs on it still, and nobody asks it when it goes.
        if kept.is_empty() {
            self.forget_parents(repository).await?;
        }
        if let Ok(Some(note)) = self.note() {
            repository.remove_leftover(&note).await?;
        }
        for pool in kept {
            repository.add_leftover(&Leftover { pool, name: self.id.to_string() }, run.now()).await?;
        }
        match &self.extent {
            Extent::All => repository.remove_image(&self.id).await.map(drop),
            Extent::In(store) => repository.remove_location(&self.id, store.as_deref()).await,
        }
    }

    async fn fail(&self, repository: &mut Repository, run: &Run, _: Cause) -> db::Result<()> {
        let Some(row) = repository.image_to_change(&self.id).await? else { return Ok(()) };
        self.forget_snapshots(repository, &row, run).await?;
        if let Extent::In(store) = &self.extent {
            // Of what is not whole nobody reads: the sweeper goes on with it.
            let is_whole = match self.note() {
                Ok(Some(note)) => !repository.has_leftover(&note).await?,
                _ => true,
            };
            if is_whole {
                self.forget_parents(repository).await?;
            }
            return repository.ready_location(&self.id, store.as_deref(), is_whole).await.map(drop);
        }
        let back = match row.previous_status {
            Some(status @ (ImageStatus::Active | ImageStatus::Deactivated)) => status,
            Some(status @ ImageStatus::Uploading) if repository.staged(&self.id).await?.is_some() => status,
            // It had no bytes worth keeping, or has not all of them any more. What is left is the sweeper's.
            _ => {
                for leftover in self.leftovers(&row) {
                    repository.add_leftover(&leftover, run.now()).await?;
                }
                image_cache::leave(&self.context, &self.id, repository, run.now()).await?;
                return repository.remove_image(&self.id).await.map(drop);
            }
        };
        self.forget_parents(repository).await?;
        let change = ImageChange::default();
        repository.change_image(&self.id, ImageStatus::Deleted, back, &change, run.now()).await?;
        Ok(())
    }
}
