//! A new volume: empty, from a snapshot, from a volume, from an image, from the disk in an image that is not raw.
//!
//! All of them end the same way: the image on the pool has the volume's size, and the row is `available`, or the image
//! is gone and the row is `error`.

mod converted;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use tokio::sync::OnceCell;

use super::origin::{Location, Origin};
use super::remote::{self, Remote};
use super::{Context, Making, in_one_cluster, lineage, names, qos, replication};
use crate::block::{self, Backend, BlockError, BlockStore, ErrorKind, Missing, OpenMode, SnapshotPath};
use crate::db::{self, Repository, Volume, VolumeChange};
use crate::jobs::{Cause, Run, StepError, Workflow};
use crate::model::{Action, Detail, Event, ReplicationStatus, SnapshotId, VolumeId, VolumeStatus};
use crate::signature::Signed;
use crate::telemetry::metrics::{self, Direction};
use crate::transfer::{CopyOptions, copy};

pub(super) use converted::FromConverted;

type Step = Result<(), StepError>;

/// What they have in common.
struct Target {
    context: Context,
    id: VolumeId,
    /// As it was when the job began; what a create needs of it does not change.
    row: OnceCell<Volume>,
    /// What became of it in the last step.
    replication: OnceCell<Option<ReplicationStatus>>,
}

impl Target {
    fn new(context: Context, id: VolumeId) -> Self {
        Self { context, id, row: OnceCell::new(), replication: OnceCell::new() }
    }

    fn name(&self) -> String {
        names::volume(&self.id)
    }

    async fn row(&self, run: &Run) -> Result<&Volume, StepError> {
        self.row
            .get_or_try_init(|| async {
                let row = run.database.read().await?.volume(&self.id).await?;
                row.ok_or_else(|| StepError::gone("volume"))
            })
            .await
    }

    /// Where it is to lie.
    async fn backend(&self, run: &Run) -> Result<&Backend, StepError> {
        let row = self.row(run).await?;
        if row.host.is_none() {
            return Err(StepError::fatal("Could not find any available weighted backend."));
        }
        self.context.backend(row)
    }

    async fn store(&self, run: &Run) -> Result<&Arc<dyn BlockStore>, StepError> {
        Ok(&self.backend(run).await?.store)
    }

    async fn making(&self, run: &Run) -> Result<&Making, StepError> {
        Ok(self.context.making(self.backend(run).await?))
    }

    async fn create(&self, run: &Run) -> Step {
        let size = self.row(run).await?.size.bytes();
        self.create_image(&self.name(), size, run).await
    }

    /// To be filled with what may be of another moment than what an earlier claim wrote: a copy leaves out zeros.
    async fn create_anew(&self, run: &Run) -> Step {
        if run.fence > 1 {
            self.remove(run).await?;
        }
        self.create(run).await
    }

    async fn create_image(&self, name: &str, size: u64, run: &Run) -> Step {
        let object_size = self.making(run).await?.object_size;
        let store = self.store(run).await?;
        run.check_allowed()?;
        match store.create(name, size, object_size).await {
            Err(error) if error.kind == ErrorKind::Exists && !lineage::is_there(store, name).await? => {
                lineage::clear(store, name, run).await?;
                done_before(store.create(name, size, object_size).await)
            }
            other => done_before(other),
        }
    }

    /// The limits of its type.
    async fn settings(&self, run: &Run) -> Result<qos::Settings, StepError> {
        let row = self.row(run).await?;
        Ok(qos::settings(&mut run.database.read().await?, &row.volume_type_id, row.size).await?)
    }

    /// Sets the limits of one that came with none. Where there are none it is not even opened.
    async fn limit(&self, run: &Run) -> Step {
        let settings = self.settings(run).await?;
        if settings.is_empty() {
            return Ok(());
        }
        Ok(qos::apply_to(self.store(run).await?, &self.name(), &settings).await?)
    }

    async fn clone_from(&self, parent: &SnapshotPath, run: &Run) -> Step {
        done_before(self.try_to_clone(parent, run).await?)
    }

    /// `false`: the volumes' user may not read what it would hang on.
    async fn is_cloned(&self, parent: &SnapshotPath, run: &Run) -> Result<bool, StepError> {
        match self.try_to_clone(parent, run).await? {
            Err(error) if error.kind == ErrorKind::Denied => {
                tracing::info!(%error, "the bytes of an image are copied, for it cannot be cloned");
                Ok(false)
            }
            cloned => done_before(cloned).map(|()| true),
        }
    }

    async fn try_to_clone(&self, parent: &SnapshotPath, run: &Run) -> Result<block::Result<()>, StepError> {
        let store = self.store(run).await?;
        run.check_allowed()?;
        match store.clone_snapshot(parent, &self.name(), None).await {
            Err(error) if error.kind == ErrorKind::Exists && !self.is_clone_of(store, parent).await? => {
                self.remove(run).await?;
                Ok(store.clone_snapshot(parent, &self.name(), None).await)
            }
            other => Ok(other),
        }
    }

    /// Or a clone that is tied to nothing, or of which the parent knows nothing.
    async fn is_clone_of(
        &self,
        store: &Arc<dyn BlockStore>,
        parent: &SnapshotPath,
    ) -> Result<bool, StepError> {
        let name = self.name();
        let Some(image) = store.open(&name, OpenMode::ReadOnly).await.or_missing()? else {
            return Ok(false);
        };
        let found = image.parent().await;
        image.close().await?;
        if found?.is_none_or(|found| found.path != *parent) {
            return Ok(false);
        }
        let Some(of_parent) = self.context.pool_beside(store, &parent.pool).await? else { return Ok(false) };
        let source = of_parent.open(&parent.image, OpenMode::ReadOnly).await?;
        let children = source.children().await;
        source.close().await?;
        let pool = store.pool();
        match children {
            // One of them is half made, this one perhaps, or the parent's user may not name them: it is made again.
            Err(error) if matches!(error.kind, ErrorKind::Busy | ErrorKind::HasChildren) => Ok(false),
            children => Ok(children?.iter().any(|child| child.pool == pool && child.image == name)),
        }
    }

    /// Makes it as large as the row says, never smaller than its source, and gives it the limits of its type.
    async fn grow(&self, run: &Run) -> Step {
        let wanted = self.row(run).await?.size.bytes();
        let settings = self.settings(run).await?;
        let image = self.store(run).await?.open(&self.name(), OpenMode::ReadWrite).await?;
        let grown = image.grow(wanted).await;
        let limited = qos::apply(&*image, &settings).await;
        image.close().await?;
        Ok(grown.and(limited)?)
    }

    /// Has it mirrored where its type says so; a clone of a volume that is mirrored comes with that one's journal. The last
    /// step of all: until then nobody else needs its bytes.
    async fn replicate(&self, source: Option<&VolumeId>, run: &Run) -> Step {
        let row = self.row(run).await?;
        let mut repository = run.database.read().await?;
        let of = repository.volume_type(row.volume_type_id.as_str()).await?;
        let of = of.ok_or_else(|| StepError::gone("volume type"))?;
        let host = row.host.as_deref().unwrap_or_default();
        let status = replication::status(&mut repository, &of, host).await?;
        let source = match source {
            Some(id) => repository.volume(id).await?,
            None => None,
        };
        drop(repository);
        let is_wanted = replication::is_wanted(&of)?;
        if is_wanted || source.is_some_and(|source| source.is_replicated()) {
            let store = self.store(run).await?;
            replication::apply(&self.context, store, &self.name(), is_wanted, &run.progress).await?;
        }
        // An earlier run of this step said the same.
        self.replication.set(status).ok();
        Ok(())
    }

    /// Copies a snapshot's bytes into it. No temporary file: both ends are stores.
    async fn fill_from(&self, store: &Arc<dyn BlockStore>, source: &SnapshotPath, run: &Run) -> Step {
        let from = store.open(&source.image, OpenMode::Snapshot(source.snapshot.clone())).await?;
        let to = self.store(run).await?.open(&self.name(), OpenMode::ReadWrite).await?;
        let chunk = from.object_size().max(to.object_size());
        let options = CopyOptions { chunk, ..CopyOptions::default() };
        let copied = copy(from.clone(), to.clone(), options, &run.progress).await;
        to.close().await?;
        from.close().await?;
        metrics::transferred(Direction::Copy, copied?);
        Ok(())
    }

    /// Makes it of bytes on somebody's web server, which are raw. They are there whole, or not at all.
    async fn take_in(&self, remote: &Remote, signed: Option<Signed>, run: &Run) -> Step {
        self.downloading(run).await?;
        let (store, name) = (self.store(run).await?, self.name());
        let object_size = self.making(run).await?.object_size;
        let room = self.row(run).await?.size.bytes();
        let target = remote::Target { store, name: &name, object_size, room, signed, digests: None };
        remote.take_in(&self.context, &target, run).await.map(drop)
    }

    /// Its bytes are on the way.
    async fn downloading(&self, run: &Run) -> Step {
        let mut repository = run.transaction().await?;
        let (from, to) = (VolumeStatus::Creating, VolumeStatus::Downloading);
        repository.change_volume(&self.id, from, to, &VolumeChange::default(), run.now()).await?;
        Ok(repository.commit().await?)
    }

    async fn remove(&self, run: &Run) -> Step {
        if self.row(run).await?.host.is_none() {
            return Ok(());
        }
        lineage::clear(self.store(run).await?, &self.name(), run).await
    }

    /// Where no place was found for it, that is what its user is told.
    fn complaint(&self, otherwise: Event) -> Option<Event> {
        let has_no_place = self.row.get().is_some_and(|row| row.host.is_none());
        Some(if has_no_place { Event::new(Action::ScheduleVolume, Detail::NoBackend) } else { otherwise })
    }

    async fn finish(&self, repository: &mut Repository, run: &Run) -> db::Result<()> {
        // It may have been reserved while it was filled.
        repository.volume_to_change(&self.id).await?;
        let status = repository.status_by_attachments(&self.id).await?;
        if let Some(replication) = self.replication.get().copied() {
            repository.set_replication_status(&self.id, replication).await?;
        }
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
        &["create", "replicate"]
    }

    async fn run(&self, step: &'static str, run: &Run) -> Step {
        match step {
            "create" => {
                self.target.create(run).await?;
                self.target.limit(run).await
            }
            "replicate" => self.target.replicate(None, run).await,
            other => Err(unknown_step(other)),
        }
    }

    async fn undo(&self, step: &'static str, run: &Run) -> Step {
        match step {
            "create" => self.target.remove(run).await,
            _ => Ok(()),
        }
    }

    async fn finish(&self, repository: &mut Repository, run: &Run) -> db::Result<()> {
        self.target.finish(repository, run).await
    }

    async fn fail(&self, repository: &mut Repository, run: &Run, _: Cause) -> db::Result<()> {
        self.target.fail(repository, run).await
    }

    fn complaint(&self, _: Cause) -> Option<Event> {
        self.target.complaint(Event::new(Action::CreateVolume, Detail::StoreCreate))
    }
}

/// The snapshot of a volume that another one gets its bytes from.
struct Source {
    store: Arc<dyn BlockStore>,
    path: SnapshotPath,
    /// The bytes are copied, not shared: that is how it was wanted, or it is another cluster.
    is_copied: bool,
}

impl Source {
    async fn find(target: &Target, of: &VolumeId, snapshot: String, run: &Run) -> Result<Self, StepError> {
        let store = target.context.store_of(of, run).await?.clone();
        let path = SnapshotPath { pool: store.pool().to_owned(), image: names::volume(of), snapshot };
        let is_copied = !in_one_cluster(&store, target.store(run).await?).await?;
        Ok(Self { store, path, is_copied })
    }
}

/// A copy-on-write clone of a snapshot; in another cluster a copy.
pub(super) struct FromSnapshot {
    target: Target,
    snapshot: SnapshotId,
    of: VolumeId,
    source: OnceCell<Source>,
}

impl FromSnapshot {
    pub(super) fn new(context: Context, id: VolumeId, snapshot: SnapshotId, of: VolumeId) -> Self {
        Self { target: Target::new(context, id), snapshot, of, source: OnceCell::new() }
    }

    async fn source(&self, run: &Run) -> Result<&Source, StepError> {
        let snapshot = names::snapshot(&self.snapshot);
        self.source.get_or_try_init(|| Source::find(&self.target, &self.of, snapshot, run)).await
    }
}

#[async_trait]
impl Workflow for FromSnapshot {
    fn steps(&self) -> &'static [&'static str] {
        &["clone", "copy", "resize", "flatten", "replicate"]
    }

    async fn run(&self, step: &'static str, run: &Run) -> Step {
        let target = &self.target;
        let source = self.source(run).await?;
        match step {
            "clone" if source.is_copied => target.create(run).await,
            "clone" => target.clone_from(&source.path, run).await,
            "copy" if source.is_copied => target.fill_from(&source.store, &source.path, run).await,
            "copy" => Ok(()),
            "resize" => target.grow(run).await,
            "flatten" if !source.is_copied && target.making(run).await?.flatten_from_snapshot => {
                let store = target.store(run).await?;
                lineage::flatten(&target.context, store, &target.name(), &run.progress).await?;
                Ok(())
            }
            "flatten" => Ok(()),
            "replicate" => target.replicate(Some(&self.of), run).await,
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

    fn complaint(&self, _: Cause) -> Option<Event> {
        self.target.complaint(Event::new(Action::CreateVolume, Detail::StoreCreate))
    }
}

/// A copy-on-write clone of a volume, through a snapshot of its own.
///
/// Where the source is as many clones deep as `rbd_max_clone_depth` allows, the *source* is flattened first. That is
/// long, has progress, and keeps nobody else waiting. Where that says 0 or less, or in another cluster, it is a full
/// copy, read from the snapshot so that it is of one moment.
pub(super) struct FromVolume {
    target: Target,
    of: VolumeId,
    source: OnceCell<Source>,
}

impl FromVolume {
    pub(super) fn new(context: Context, id: VolumeId, source: VolumeId) -> Self {
        Self { target: Target::new(context, id), of: source, source: OnceCell::new() }
    }

    async fn source(&self, run: &Run) -> Result<&Source, StepError> {
        self.source
            .get_or_try_init(|| async {
                let snapshot = names::clone_snapshot(&self.target.id);
                let source = Source::find(&self.target, &self.of, snapshot, run).await?;
                let copies = self.target.making(run).await?.max_clone_depth <= 0;
                Ok(Source { is_copied: source.is_copied || copies, ..source })
            })
            .await
    }

    async fn flatten_source(&self, source: &Source, run: &Run) -> Step {
        let context = &self.target.context;
        let (store, image) = (&source.store, &source.path.image);
        let deepest = self.target.making(run).await?.max_clone_depth;
        if lineage::depth(store, image, deepest).await? < deepest {
            return Ok(());
        }
        // Several clones of one source wait for the first one's flatten.
        let lock = format!("flatten {image}");
        let lock = run.progress.wait_for(context.locks.lock(&lock)).await;
        let _lock = lock.ok_or_else(StepError::cancelled)?;
        if lineage::depth(store, image, deepest).await? < deepest {
            return Ok(());
        }
        lineage::flatten(context, store, image, &run.progress).await?;
        Ok(())
    }
}

#[async_trait]
impl Workflow for FromVolume {
    fn steps(&self) -> &'static [&'static str] {
        &["flatten_source", "snapshot", "clone", "copy", "resize", "drop_snapshot", "replicate"]
    }

    async fn run(&self, step: &'static str, run: &Run) -> Step {
        let target = &self.target;
        let source = self.source(run).await?;
        match step {
            "flatten_source" if source.is_copied => Ok(()),
            "flatten_source" => self.flatten_source(source, run).await,
            "snapshot" => {
                Ok(lineage::take_snapshot(&source.store, &source.path.image, &source.path.snapshot).await?)
            }
            "clone" if source.is_copied => target.create_anew(run).await,
            "clone" => target.clone_from(&source.path, run).await,
            "copy" if source.is_copied => target.fill_from(&source.store, &source.path, run).await,
            "resize" if !source.is_copied => target.grow(run).await,
            "resize" => target.limit(run).await,
            // A clone hangs on its snapshot.
            "drop_snapshot" if source.is_copied => give_back_snapshot(source).await,
            "copy" | "drop_snapshot" => Ok(()),
            "replicate" => target.replicate(Some(&self.of), run).await,
            other => Err(unknown_step(other)),
        }
    }

    async fn undo(&self, step: &'static str, run: &Run) -> Step {
        match step {
            "clone" => self.target.remove(run).await,
            "snapshot" if self.target.row(run).await?.host.is_some() => {
                give_back_snapshot(self.source(run).await?).await
            }
            _ => Ok(()),
        }
    }

    async fn finish(&self, repository: &mut Repository, run: &Run) -> db::Result<()> {
        self.target.finish(repository, run).await
    }

    async fn fail(&self, repository: &mut Repository, run: &Run, _: Cause) -> db::Result<()> {
        self.target.fail(repository, run).await
    }

    fn complaint(&self, _: Cause) -> Option<Event> {
        self.target.complaint(Event::new(Action::CreateVolume, Detail::StoreCreate))
    }
}

async fn give_back_snapshot(source: &Source) -> Step {
    Ok(lineage::drop_snapshot(&source.store, &source.path.image, &source.path.snapshot).await?)
}

/// A clone of the image's snapshot where the pools allow it, otherwise a sparse copy. Bytes on the web become it
/// directly.
pub(super) struct FromImage {
    target: Target,
    origin: Origin,
    is_clone: AtomicBool,
}

impl FromImage {
    pub(super) fn new(context: Context, id: VolumeId, origin: Origin) -> Self {
        Self { target: Target::new(context, id), origin, is_clone: AtomicBool::new(false) }
    }

    async fn make(&self, location: &Location, run: &Run) -> Step {
        let store = self.target.store(run).await?;
        let is_clone = in_one_cluster(&location.store, store).await?
            && self.target.is_cloned(&location.path, run).await?;
        self.is_clone.store(is_clone, Ordering::Relaxed);
        if is_clone { Ok(()) } else { self.target.create(run).await }
    }
}

#[async_trait]
impl Workflow for FromImage {
    fn steps(&self) -> &'static [&'static str] {
        &["clone", "download", "resize", "replicate"]
    }

    async fn run(&self, step: &'static str, run: &Run) -> Step {
        let store = self.target.store(run).await?;
        if let Some(remote) = self.origin.remote(run).await? {
            return match step {
                "clone" => Ok(()),
                "download" => {
                    let signed = self.origin.signed(&self.target.context, &remote).await?;
                    self.target.take_in(&remote, signed, run).await
                }
                "resize" => self.target.grow(run).await,
                "replicate" => self.target.replicate(None, run).await,
                other => Err(unknown_step(other)),
            };
        }
        let location = self.origin.location(&self.target.context, store, run).await?;
        let is_clone = self.is_clone.load(Ordering::Relaxed);
        match step {
            "clone" => self.make(location, run).await,
            "download" if is_clone => Ok(()),
            "download" => {
                self.target.downloading(run).await?;
                self.target.fill_from(&location.store, &location.path, run).await
            }
            "resize" if is_clone => match location.size {
                // An open costs half as much as the clone did.
                Some(size) if size == self.target.row(run).await?.size.bytes() => {
                    self.target.limit(run).await
                }
                _ => self.target.grow(run).await,
            },
            "resize" => self.target.limit(run).await,
            "replicate" => self.target.replicate(None, run).await,
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

    fn complaint(&self, _: Cause) -> Option<Event> {
        self.target.complaint(Event::new(Action::CopyImageToVolume, Detail::Unknown))
    }
}
