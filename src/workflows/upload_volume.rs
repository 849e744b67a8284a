//! A volume becomes an image. Where both lie in one cluster no bytes move: the image is a copy-on-write clone of a
//! snapshot that is taken for it, and is made independent afterwards by a job of its own ([`DetachImage`]). Until then
//! volume and image may be deleted in any order all the same: what the other still reads stays, as with any clone.
//!
//! Otherwise the bytes go the way of an upload, digests and all. So they do when the image is to be of another format
//! than raw: its file is written while the volume is read, straight into the store. Where the volume holds anything is
//! asked first, for the tables of such a file stand before its bytes.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use futures::StreamExt;
use uuid::Uuid;

use super::told::Told;
use super::{Context, in_one_cluster, lineage, names, replication, seal_image, storage};
use crate::block::{BlockImage, BlockStore, ErrorKind, Missing, OpenMode, SnapshotPath};
use crate::db::{self, ImageChange, Leftover, Location, Repository, VolumeChange};
use crate::formats::{self, Encoded, Format};
use crate::jobs::{self, Cause, Origin, Run, StepError, Task, Workflow};
use crate::model::{Action, Detail, Event, ImageId, ImageStatus, VolumeId, VolumeStatus};
use crate::telemetry::metrics::{self, Direction};
use crate::transfer::{SendOptions, send, send_encoded};

pub(super) struct UploadVolume {
    context: Context,
    volume_id: VolumeId,
    image_id: ImageId,
    is_clone: AtomicBool,
    /// Known once the bytes are there.
    change: Told<ImageChange>,
}

impl UploadVolume {
    pub(super) fn new(context: Context, volume_id: VolumeId, image_id: ImageId) -> Self {
        Self { context, volume_id, image_id, is_clone: AtomicBool::new(false), change: Told::default() }
    }

    /// Where the volume lies.
    async fn store(&self, run: &Run) -> Result<&Arc<dyn BlockStore>, StepError> {
        self.context.store_of(&self.volume_id, run).await
    }

    fn source(&self, store: &Arc<dyn BlockStore>) -> SnapshotPath {
        SnapshotPath {
            pool: store.pool().to_owned(),
            image: names::volume(&self.volume_id),
            snapshot: names::upload_snapshot(&self.image_id),
        }
    }

    async fn write(&self, run: &Run) -> Result<(), StepError> {
        // What an earlier run of this step left: nobody uses it yet.
        self.discard(run).await?;
        let format = self.format(run).await?;
        if format.is_none() {
            let volume = run.database.read().await?.volume(&self.volume_id).await?;
            let volume = volume.ok_or_else(|| StepError::gone("volume"))?;
            self.reserve(volume.size.bytes(), run).await?;
        }
        let is_clone = format.is_none() && self.try_clone(run).await?;
        self.is_clone.store(is_clone, Ordering::Relaxed);
        if is_clone { Ok(()) } else { self.copy(format, run).await }
    }

    /// Of the image; `None` is raw.
    async fn format(&self, run: &Run) -> Result<Option<Format>, StepError> {
        let row = run.database.read().await?.image(&self.image_id).await?;
        let row = row.ok_or_else(|| StepError::gone("image"))?;
        let name = row.disk_format.as_deref().unwrap_or_default();
        match formats::readable(name) {
            None if name != "raw" => Err(StepError::fatal(format!("Volumes do not become {name}."))),
            format => Ok(format),
        }
    }

    /// `false`: images and volumes lie in different clusters, or the images' user may not read volumes.
    async fn try_clone(&self, run: &Run) -> Result<bool, StepError> {
        let (images, volumes) = (&self.context.stores.images, self.store(run).await?);
        if !in_one_cluster(images, volumes).await? {
            return Ok(false);
        }
        let name = self.image_id.as_str();
        run.check_allowed()?;
        match images.clone_snapshot(&self.source(volumes), name, None).await {
            Err(error) if error.kind == ErrorKind::Denied => {
                tracing::info!(%error, "the bytes of a volume are copied, for it cannot be cloned");
                return Ok(false);
            }
            cloned => cloned?,
        }
        let of_volume = run.database.read().await?.volume(&self.volume_id).await?;
        if of_volume.is_some_and(|volume| volume.is_replicated()) {
            // It came with the journal of its parent, and all its clones would.
            replication::apply(&self.context, images, name, false, &run.progress).await?;
        }
        let image = images.open(name, OpenMode::ReadOnly).await?;
        let size = image.size().await;
        image.close().await?;
        // No store has more than the column holds.
        let size = i64::try_from(size?).ok();
        self.change.set(ImageChange { size, virtual_size: size, ..ImageChange::default() });
        Ok(true)
    }

    async fn copy(&self, format: Option<Format>, run: &Run) -> Result<(), StepError> {
        let volumes = self.store(run).await?;
        let source = self.source(volumes);
        let from = volumes.open(&source.image, OpenMode::Snapshot(source.snapshot)).await?;
        let copied = self.copy_from(&from, format, run).await;
        from.close().await?;
        self.change.set(copied?);
        Ok(())
    }

    async fn copy_from(
        &self,
        from: &Arc<dyn BlockImage>,
        format: Option<Format>,
        run: &Run,
    ) -> Result<ImageChange, StepError> {
        let size = from.size().await?;
        let reading = SendOptions { chunk: from.object_size(), ..SendOptions::default() };
        let (length, body) = match format {
            None => (size, send(from.clone(), 0..size, reading).boxed()),
            Some(format) => {
                let file = self.file(from, size, format).await?;
                self.reserve(file.length, run).await?;
                (file.length, send_encoded(from.clone(), file.segments, reading).boxed())
            }
        };
        let (intake, images) = (self.context.options.intake.unhurried(), &self.context.stores.images);
        let name = self.image_id.as_str();
        let received = intake.take_in(images, name, Some(length), body, &run.progress).await?;
        metrics::transferred(Direction::Copy, received.size);
        Ok(ImageChange { virtual_size: i64::try_from(size).ok(), ..intake.facts(&received) })
    }

    /// The image counts from now on.
    async fn reserve(&self, size: u64, run: &Run) -> Result<(), StepError> {
        storage::reserve(&self.context, &self.image_id, i64::try_from(size).ok(), run).await
    }

    async fn file(
        &self,
        volume: &Arc<dyn BlockImage>,
        size: u64,
        format: Format,
    ) -> Result<Encoded, StepError> {
        let id = self.image_id.as_str().parse::<Uuid>().unwrap_or_default().into_bytes();
        formats::encode(format, size, &held(volume, size).await, id).map_err(|danger| StepError {
            detail: danger.to_string(),
            ..StepError::fatal(format!("The volume does not fit into a file of the format {format}."))
        })
    }

    /// A clone needs the snapshot for longer; it goes when that is detached.
    async fn release(&self, run: &Run) -> Result<(), StepError> {
        if self.is_clone.load(Ordering::Relaxed) { Ok(()) } else { self.drop_snapshot(run).await }
    }

    async fn seal(&self, run: &Run) -> Result<(), StepError> {
        let mut repository = run.transaction().await?;
        repository.remove_unready_locations(&self.image_id).await?;
        repository.add_location(&Location::new(&self.image_id, None, None).awaited()).await?;
        repository.commit().await?;
        seal_image::seal(&self.context, &self.image_id, None, run).await.map(drop)
    }

    async fn drop_snapshot(&self, run: &Run) -> Result<(), StepError> {
        let volumes = self.store(run).await?;
        let source = self.source(volumes);
        Ok(lineage::drop_snapshot(volumes, &source.image, &source.snapshot).await?)
    }

    async fn discard(&self, run: &Run) -> Result<(), StepError> {
        let (store, name) = (&self.context.stores.images, self.image_id.as_str());
        lineage::drop_snapshot(store, name, names::IMAGE_SNAPSHOT).await?;
        lineage::clear(store, name, run).await
    }

    /// The volume is again what it was.
    async fn give_back(&self, repository: &mut Repository, run: &Run) -> db::Result<()> {
        // Its attachments may have come and gone meanwhile.
        repository.volume_to_change(&self.volume_id).await?;
        let back = repository.status_by_attachments(&self.volume_id).await?;
        let (from, change) = (VolumeStatus::Uploading, VolumeChange::default());
        repository.change_volume(&self.volume_id, from, back, &change, run.now()).await?;
        Ok(())
    }
}

/// The stretches of a volume in which there may be anything.
async fn held(volume: &Arc<dyn BlockImage>, size: u64) -> Vec<Range<u64>> {
    match volume.allocated().await {
        Ok(extents) => extents.iter().map(|extent| extent.offset..extent.offset + extent.length).collect(),
        // Costs room, not bytes.
        Err(error) => {
            tracing::debug!(%error, "reading all of a volume whose holes are not known");
            std::iter::once(0..size).collect()
        }
    }
}

#[async_trait]
impl Workflow for UploadVolume {
    fn steps(&self) -> &'static [&'static str] {
        &["snapshot", "write", "release", "seal"]
    }

    async fn run(&self, step: &'static str, run: &Run) -> Result<(), StepError> {
        match step {
            "snapshot" => {
                let store = self.store(run).await?;
                let source = self.source(store);
                Ok(lineage::take_snapshot(store, &source.image, &source.snapshot).await?)
            }
            "write" => self.write(run).await,
            "release" => self.release(run).await,
            _ => self.seal(run).await,
        }
    }

    async fn undo(&self, step: &'static str, run: &Run) -> Result<(), StepError> {
        match step {
            "write" => self.discard(run).await,
            "snapshot" => self.drop_snapshot(run).await,
            _ => Ok(()),
        }
    }

    async fn finish(&self, repository: &mut Repository, run: &Run) -> db::Result<()> {
        self.give_back(repository, run).await?;
        let (from, to) = (ImageStatus::Saving, ImageStatus::Active);
        let change = self.change.get();
        repository.ready_location(&self.image_id, None, true).await?;
        let is_there = repository.change_image(&self.image_id, from, to, &change, run.now()).await?;
        // Unless someone has deleted the image meanwhile: that job comes next.
        if is_there && self.is_clone.load(Ordering::Relaxed) {
            let project_id = repository.image(&self.image_id).await?.and_then(|image| image.project_id);
            let origin = Origin { project_id, request_id: None };
            let task = Task::DetachImage { image_id: self.image_id.clone() };
            jobs::follow_up(repository, &run.world, task, &origin).await?;
        }
        Ok(())
    }

    async fn fail(&self, repository: &mut Repository, run: &Run, _: Cause) -> db::Result<()> {
        self.give_back(repository, run).await?;
        match repository.image(&self.image_id).await? {
            Some(image) if image.status == ImageStatus::Saving => {
                repository.remove_image(&self.image_id).await.map(drop)
            }
            _ => Ok(()),
        }
    }

    fn complaint(&self, _: Cause) -> Option<Event> {
        Some(Event::new(Action::CopyVolumeToImage, Detail::UploadFailed))
    }
}

/// An image that is a clone of a volume's snapshot gets bytes of its own, and the snapshot goes. Where volumes hang on the
/// image by then it stays as long as they do.
pub(super) struct DetachImage {
    context: Context,
    id: ImageId,
    /// What the sweeper need not look after any more.
    released: Told<Option<Leftover>>,
}

impl DetachImage {
    pub(super) fn new(context: Context, id: ImageId) -> Self {
        Self { context, id, released: Told::default() }
    }

    /// Afterwards nothing tells what it hung on: that is noted before.
    async fn flatten(&self, run: &Run) -> Result<(), StepError> {
        let (store, name) = (&self.context.stores.images, self.id.as_str());
        let Some(parent) = lineage::parent_of(store, name).await? else { return Ok(()) };
        let note = lineage::note(&parent.path);
        let mut repository = run.transaction().await?;
        repository.add_leftover(&note, run.now()).await?;
        repository.commit().await?;
        let rest = lineage::flatten(&self.context, store, name, &run.progress).await.or_missing()?;
        self.released.set((rest == Some(lineage::Rest::Gone)).then_some(note));
        Ok(())
    }
}

#[async_trait]
impl Workflow for DetachImage {
    fn steps(&self) -> &'static [&'static str] {
        &["flatten"]
    }

    /// An image that was deleted meanwhile has let go of the volume itself.
    async fn run(&self, _: &'static str, run: &Run) -> Result<(), StepError> {
        self.flatten(run).await
    }

    async fn undo(&self, _: &'static str, _: &Run) -> Result<(), StepError> {
        Ok(())
    }

    async fn finish(&self, repository: &mut Repository, _: &Run) -> db::Result<()> {
        match self.released.get() {
            Some(note) => repository.remove_leftover(&note).await,
            None => Ok(()),
        }
    }

    /// It stays a clone, which does no harm.
    async fn fail(&self, _: &mut Repository, _: &Run, _: Cause) -> db::Result<()> {
        Ok(())
    }
}
