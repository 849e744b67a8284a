//! A new volume: empty, from a snapshot, from a volume, from an image.
//!
//! All four end the same way: the image on the pool has the volume's size, and the row is `available`, or the image
//! is gone and the row is `error`.

use async_trait::async_trait;
use tokio::sync::OnceCell;

use super::{Context, lineage, names, seal_image};
use crate::block::{BlockError, ErrorKind, Missing, OpenMode, Progress, SnapshotPath};
use crate::db::{self, Repository, Volume, VolumeChange};
use crate::jobs::{Cause, Run, StepError, Workflow};
use crate::model::{ImageId, SnapshotId, VolumeId, VolumeStatus};
use crate::telemetry::metrics::{self, Direction};
use crate::transfer::{CopyOptions, copy};

type Step = Result<(), StepError>;

/// What the four have in common.
struct Target {
    context: Context,
    id: VolumeId,
    /// As it was when the job began; what a create needs of it does not change.
    row: OnceCell<Volume>,
}

impl Target {
    fn new(context: Context, id: VolumeId) -> Self {
        Self { context, id, row: OnceCell::new() }
    }

    fn name(&self) -> String {
        names::volume(&self.id)
    }

    async fn row(&self, run: &Run) -> Result<&Volume, StepError> {
        self.row
            .get_or_try_init(|| async {
                let row = run.database.read().await?.volume(&self.id).await?;
                row.ok_or_else(|| StepError::fatal("The volume is not there any more."))
            })
            .await
    }

    async fn create(&self, run: &Run) -> Step {
        let size = self.row(run).await?.size.bytes();
        let object_size = self.context.options.volume_object_size;
        let store = &self.context.stores.volumes;
        match store.create(&self.name(), size, object_size).await {
            Err(error) if error.kind == ErrorKind::Exists && !self.can_be_opened().await? => {
                self.remove(run).await?;
                done_before(store.create(&self.name(), size, object_size).await)
            }
            other => done_before(other),
        }
    }

    async fn clone_from(&self, parent: &SnapshotPath, run: &Run) -> Step {
        let store = &self.context.stores.volumes;
        match store.clone_snapshot(parent, &self.name(), None).await {
            Err(error) if error.kind == ErrorKind::Exists && !self.is_clone_of(parent).await? => {
                self.remove(run).await?;
                done_before(store.clone_snapshot(parent, &self.name(), None).await)
            }
            other => done_before(other),
        }
    }

    /// A process that dies in the middle of making an image leaves its name taken, but nothing behind it.
    async fn can_be_opened(&self) -> Result<bool, StepError> {
        let opened = self.context.stores.volumes.open(&self.name(), OpenMode::ReadOnly).await.or_missing()?;
        if let Some(image) = &opened {
            image.close().await?;
        }
        Ok(opened.is_some())
    }

    /// Or a clone that is tied to nothing, or of which the parent knows nothing.
    async fn is_clone_of(&self, parent: &SnapshotPath) -> Result<bool, StepError> {
        let stores = &self.context.stores;
        let name = self.name();
        let Some(image) = stores.volumes.open(&name, OpenMode::ReadOnly).await.or_missing()? else {
            return Ok(false);
        };
        let found = image.parent().await;
        image.close().await?;
        if found?.is_none_or(|found| found.path != *parent) {
            return Ok(false);
        }
        let Some(store) = self.context.store_of(&parent.pool) else { return Ok(false) };
        let source = store.open(&parent.image, OpenMode::ReadOnly).await?;
        let children = source.children().await;
        source.close().await?;
        let pool = stores.volumes.pool();
        match children {
            // One of them is half made, this one perhaps, or the parent's user may not name them: it is made again.
            Err(error) if matches!(error.kind, ErrorKind::Busy | ErrorKind::HasChildren) => Ok(false),
            children => Ok(children?.iter().any(|child| child.pool == pool && child.image == name)),
        }
    }

    /// Makes it as large as the row says; never smaller than its source.
    async fn grow(&self, run: &Run) -> Step {
        let wanted = self.row(run).await?.size.bytes();
        let image = self.context.stores.volumes.open(&self.name(), OpenMode::ReadWrite).await?;
        let grown = match image.size().await {
            Ok(size) if size < wanted => image.resize(wanted, &Progress::new()).await,
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        image.close().await?;
        Ok(grown?)
    }

    /// Copies a snapshot's bytes into it. No temporary file: both ends are stores.
    async fn fill_from(&self, source: &SnapshotPath, run: &Run) -> Step {
        let store = self
            .context
            .store_of(&source.pool)
            .ok_or_else(|| StepError::fatal("The source lies in a pool that is not configured."))?;
        let from = store.open(&source.image, OpenMode::Snapshot(source.snapshot.clone())).await?;
        let to = self.context.stores.volumes.open(&self.name(), OpenMode::ReadWrite).await?;
        let chunk = from.object_size().max(to.object_size());
        let options = CopyOptions { chunk, ..CopyOptions::default() };
        let copied = copy(from.clone(), to.clone(), options, &run.progress).await;
        to.close().await?;
        from.close().await?;
        metrics::transferred(Direction::Copy, copied?);
        Ok(())
    }

    async fn remove(&self, run: &Run) -> Step {
        lineage::clear(&self.context.stores.volumes, &self.name(), run).await
    }

    async fn finish(&self, repository: &mut Repository, run: &Run) -> db::Result<()> {
        // It may have been reserved while it was filled.
        repository.volume_to_change(&self.id).await?;
        let status = repository.status_by_attachments(&self.id).await?;
        self.leave(repository, run, status).await
    }

    async fn fail(&self, repository: &mut Repository, run: &Run) -> db::Result<()> {
        self.leave(repository, run, VolumeStatus::Error).await
    }

    /// Someone who deletes the volume meanwhile has changed its status: then it stays as they want it.
    async fn leave(&self, repository: &mut Repository, run: &Run, status: VolumeStatus) -> db::Result<()> {
        let (now, change) = (run.now(), VolumeChange::default());
        for from in [VolumeStatus::Creating, VolumeStatus::Downloading] {
            if repository.change_volume(&self.id, from, status, &change, now).await? {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// The name holds the volume's own id: an image that has it was made by an earlier run of this step.
fn done_before(outcome: Result<(), BlockError>) -> Step {
    match outcome {
        Err(error) if error.kind == ErrorKind::Exists => Ok(()),
        other => Ok(other?),
    }
}

fn unknown_step(step: &str) -> StepError {
    StepError::fatal(format!("There is no step {step}."))
}

pub(super) struct Empty {
    target: Target,
}

impl Empty {
    pub(super) fn new(context: Context, id: VolumeId) -> Self {
        Self { target: Target::new(context, id) }
    }
}

#[async_trait]
impl Workflow for Empty {
    fn steps(&self) -> &'static [&'static str] {
        &["create"]
    }

    async fn run(&self, step: &'static str, run: &Run) -> Step {
        match step {
            "create" => self.target.create(run).await,
            other => Err(unknown_step(other)),
        }
    }

    async fn undo(&self, _: &'static str, run: &Run) -> Step {
        self.target.remove(run).await
    }

    async fn finish(&self, repository: &mut Repository, run: &Run) -> db::Result<()> {
        self.target.finish(repository, run).await
    }

    async fn fail(&self, repository: &mut Repository, run: &Run, _: Cause) -> db::Result<()> {
        self.target.fail(repository, run).await
    }
}

pub(super) struct FromSnapshot {
    target: Target,
    snapshot: SnapshotPath,
}

impl FromSnapshot {
    pub(super) fn new(context: Context, id: VolumeId, snapshot: SnapshotId, of: VolumeId) -> Self {
        let snapshot = SnapshotPath {
            pool: context.stores.volumes.pool().to_owned(),
            image: names::volume(&of),
            snapshot: names::snapshot(&snapshot),
        };
        Self { target: Target::new(context, id), snapshot }
    }
}

#[async_trait]
impl Workflow for FromSnapshot {
    fn steps(&self) -> &'static [&'static str] {
        if self.target.context.options.flatten_volume_from_snapshot {
            &["clone", "resize", "flatten"]
        } else {
            &["clone", "resize"]
        }
    }

    async fn run(&self, step: &'static str, run: &Run) -> Step {
        let target = &self.target;
        match step {
            "clone" => target.clone_from(&self.snapshot, run).await,
            "resize" => target.grow(run).await,
            "flatten" => {
                let store = &target.context.stores.volumes;
                Ok(lineage::flatten(&target.context, store, &target.name(), &run.progress).await?)
            }
            other => Err(unknown_step(other)),
        }
    }

    async fn undo(&self, step: &'static str, run: &Run) -> Step {
        match step {
            "clone" => self.target.remove(run).await,
            _ => Ok(()),
        }
    }

    async fn finish(&self, repository: &mut Repository, run: &Run) -> db::Result<()> {
        self.target.finish(repository, run).await
    }

    async fn fail(&self, repository: &mut Repository, run: &Run, _: Cause) -> db::Result<()> {
        self.target.fail(repository, run).await
    }
}

/// A copy-on-write clone of a volume, through a snapshot of its own.
///
/// Where the source is as many clones deep as `rbd_max_clone_depth` allows, the *source* is flattened first. That is
/// long, has progress, and keeps nobody else waiting.
pub(super) struct FromVolume {
    target: Target,
    source: SnapshotPath,
}

impl FromVolume {
    pub(super) fn new(context: Context, id: VolumeId, source: VolumeId) -> Self {
        let source = own_snapshot(&context, &id, &source);
        Self { target: Target::new(context, id), source }
    }

    async fn flatten_source(&self, run: &Run) -> Step {
        let context = &self.target.context;
        let (store, image) = (&context.stores.volumes, &self.source.image);
        let deepest = context.options.max_clone_depth;
        if lineage::depth(store, image, deepest).await? < deepest {
            return Ok(());
        }
        // Several clones of one source wait for the first one's flatten.
        let _lock = context.locks.lock(&format!("flatten {image}")).await;
        if lineage::depth(store, image, deepest).await? < deepest {
            return Ok(());
        }
        Ok(lineage::flatten(context, store, image, &run.progress).await?)
    }
}

#[async_trait]
impl Workflow for FromVolume {
    fn steps(&self) -> &'static [&'static str] {
        &["flatten_source", "snapshot", "clone", "resize"]
    }

    async fn run(&self, step: &'static str, run: &Run) -> Step {
        match step {
            "flatten_source" => self.flatten_source(run).await,
            "snapshot" => take_snapshot(&self.target.context, &self.source).await,
            "clone" => self.target.clone_from(&self.source, run).await,
            "resize" => self.target.grow(run).await,
            other => Err(unknown_step(other)),
        }
    }

    async fn undo(&self, step: &'static str, run: &Run) -> Step {
        match step {
            "clone" => self.target.remove(run).await,
            "snapshot" => give_back_snapshot(&self.target.context, &self.source).await,
            _ => Ok(()),
        }
    }

    async fn finish(&self, repository: &mut Repository, run: &Run) -> db::Result<()> {
        self.target.finish(repository, run).await
    }

    async fn fail(&self, repository: &mut Repository, run: &Run, _: Cause) -> db::Result<()> {
        self.target.fail(repository, run).await
    }
}

/// A full copy of a volume (`rbd_max_clone_depth` of 0 or less), read from a snapshot so that it is of one moment.
pub(super) struct CopyOfVolume {
    target: Target,
    source: SnapshotPath,
}

impl CopyOfVolume {
    pub(super) fn new(context: Context, id: VolumeId, source: VolumeId) -> Self {
        let source = own_snapshot(&context, &id, &source);
        Self { target: Target::new(context, id), source }
    }
}

#[async_trait]
impl Workflow for CopyOfVolume {
    fn steps(&self) -> &'static [&'static str] {
        &["create", "snapshot", "copy", "drop_snapshot"]
    }

    async fn run(&self, step: &'static str, run: &Run) -> Step {
        match step {
            "create" => self.target.create(run).await,
            "snapshot" => take_snapshot(&self.target.context, &self.source).await,
            "copy" => self.target.fill_from(&self.source, run).await,
            "drop_snapshot" => give_back_snapshot(&self.target.context, &self.source).await,
            other => Err(unknown_step(other)),
        }
    }

    async fn undo(&self, step: &'static str, run: &Run) -> Step {
        match step {
            "create" => self.target.remove(run).await,
            "snapshot" => give_back_snapshot(&self.target.context, &self.source).await,
            _ => Ok(()),
        }
    }

    async fn finish(&self, repository: &mut Repository, run: &Run) -> db::Result<()> {
        self.target.finish(repository, run).await
    }

    async fn fail(&self, repository: &mut Repository, run: &Run, _: Cause) -> db::Result<()> {
        self.target.fail(repository, run).await
    }
}

fn own_snapshot(context: &Context, id: &VolumeId, source: &VolumeId) -> SnapshotPath {
    SnapshotPath {
        pool: context.stores.volumes.pool().to_owned(),
        image: names::volume(source),
        snapshot: names::clone_snapshot(id),
    }
}

async fn take_snapshot(context: &Context, path: &SnapshotPath) -> Step {
    Ok(lineage::take_snapshot(&context.stores.volumes, &path.image, &path.snapshot).await?)
}

async fn give_back_snapshot(context: &Context, path: &SnapshotPath) -> Step {
    let Some(image) = context.stores.volumes.open(&path.image, OpenMode::ReadWrite).await.or_missing()?
    else {
        return Ok(());
    };
    let dropped = lineage::drop_snapshot(&*image, &path.snapshot).await;
    image.close().await?;
    Ok(dropped?)
}

/// A clone of the image's snapshot where the pools allow it, otherwise a sparse copy.
pub(super) struct FromImage {
    target: Target,
    image: ImageId,
    location: OnceCell<Location>,
}

#[derive(Clone)]
struct Location {
    path: SnapshotPath,
    clones: bool,
    /// Of the image, in bytes.
    size: Option<u64>,
}

impl FromImage {
    pub(super) fn new(context: Context, id: VolumeId, image: ImageId) -> Self {
        Self { target: Target::new(context, id), image, location: OnceCell::new() }
    }

    async fn location(&self, run: &Run) -> Result<&Location, StepError> {
        self.location
            .get_or_try_init(|| async {
                let image = run.database.read().await?.image(&self.image).await?;
                let image = image.ok_or_else(|| StepError::fatal("The image is not there any more."))?;
                let size = image.size.and_then(|size| u64::try_from(size).ok());
                let fsid = self.target.context.stores.volumes.fsid().await?;
                let text = seal_image::source(&self.target.context, &image, &fsid, run).await?;
                let location = names::parse_location(&text).ok_or_else(|| {
                    StepError::fatal("The image has no bytes in a store that is configured.")
                })?;
                Ok(Location {
                    path: SnapshotPath {
                        pool: location.pool.to_owned(),
                        image: location.image.to_owned(),
                        snapshot: location.snapshot.to_owned(),
                    },
                    clones: fsid == location.fsid,
                    size,
                })
            })
            .await
    }
}

#[async_trait]
impl Workflow for FromImage {
    fn steps(&self) -> &'static [&'static str] {
        &["clone", "download", "resize"]
    }

    async fn run(&self, step: &'static str, run: &Run) -> Step {
        let location = self.location(run).await?;
        match step {
            "clone" if location.clones => self.target.clone_from(&location.path, run).await,
            "clone" => self.target.create(run).await,
            "download" if location.clones => Ok(()),
            "download" => {
                let mut repository = run.transaction().await?;
                let (from, to) = (VolumeStatus::Creating, VolumeStatus::Downloading);
                let change = VolumeChange::default();
                repository.change_volume(&self.target.id, from, to, &change, run.now()).await?;
                repository.commit().await?;
                self.target.fill_from(&location.path, run).await
            }
            "resize" if location.clones => match location.size {
                // An open costs half as much as the clone did.
                Some(size) if size == self.target.row(run).await?.size.bytes() => Ok(()),
                _ => self.target.grow(run).await,
            },
            "resize" => Ok(()),
            other => Err(unknown_step(other)),
        }
    }

    async fn undo(&self, step: &'static str, run: &Run) -> Step {
        match step {
            "clone" => self.target.remove(run).await,
            _ => Ok(()),
        }
    }

    async fn finish(&self, repository: &mut Repository, run: &Run) -> db::Result<()> {
        self.target.finish(repository, run).await
    }

    async fn fail(&self, repository: &mut Repository, run: &Run, _: Cause) -> db::Result<()> {
        self.target.fail(repository, run).await
    }
}
