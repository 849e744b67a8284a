//! Bytes arrive for an image, as its content or to be imported. The request that brings them does the work, under a
//! job of its own: when the process dies, a worker claims that job, finds no bytes, and undoes it.

use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{Stream, TryStreamExt};

use super::goes_on::GoesOn;
use super::intake::{Intake, discard};
use super::{Context, lineage, names};
use crate::block::{BlockError, BlockStore, ErrorKind};
use crate::db::{self, Database, DbError, Image, ImageChange, JobOutcome, Location, Repository, Staged};
use crate::formats::{self, Content, Inspector};
use crate::jobs::{self, Cause, Keeper, Origin, Run, StepError, Task, Workflow};
use crate::model::{ImageId, ImageStatus, JobId, ProjectId, StorageFull, World};
use crate::signature::{SignatureError, Signed};
use crate::telemetry::chain;
use crate::telemetry::metrics::{self, Direction};
use crate::transfer::{Received, TransferError};

/// What the bytes are for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// They are the image's content, in this store; `None`: that of `[images]`.
    Upload { store: Option<String> },
    /// An import makes them its content, later.
    Stage,
}

impl Arrival {
    /// Of the image, while they arrive.
    pub fn status(&self) -> ImageStatus {
        match self {
            Arrival::Upload { .. } => ImageStatus::Saving,
            Arrival::Stage => ImageStatus::Uploading,
        }
    }

    fn task(&self, id: &ImageId) -> Task {
        match self {
            Arrival::Upload { store } => Task::UploadImage { image_id: id.clone(), store: store.clone() },
            Arrival::Stage => Task::StageImage { image_id: id.clone() },
        }
    }

    fn name(&self, id: &ImageId) -> String {
        match self {
            Arrival::Upload { .. } => id.to_string(),
            Arrival::Stage => names::staged(id),
        }
    }
}

/// What an upload works with.
#[derive(Clone)]
pub struct Upload {
    pub arrival: Arrival,
    pub database: Database,
    pub world: World,
    pub keeper: Arc<Keeper>,
    pub store: Arc<dyn BlockStore>,
    pub intake: Intake,
    /// What the bytes must be, when the image is signed.
    pub signed: Option<Signed>,
    /// `image_count_uploading` of a project; negative: no limit.
    pub at_once: (ProjectId, i64),
    /// `user_storage_quota` of the same project, in bytes.
    pub storage: Option<u64>,
}

#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    #[error("the image is {0}")]
    WrongStatus(ImageStatus),
    /// Nobody could say whether its content is what it claims to be.
    #[error("the image lacks {}", .0.join(" and "))]
    Unformatted(Vec<&'static str>),
    /// Bytes are in the store under this image's name already.
    #[error("the store has bytes of this image already")]
    Exists,
    #[error("more than the {limit} bytes that an image may have")]
    TooLarge { limit: u64 },
    /// The project has too much then.
    #[error(transparent)]
    OverQuota(#[from] StorageFull),
    #[error("{uploading} uploads at once where {limit} are allowed")]
    TooManyAtOnce { limit: i64, uploading: i64 },
    #[error("{actual} bytes where {expected} were promised")]
    SizeMismatch { expected: u64, actual: u64 },
    /// The bytes are unsafe, or not what the image claims they are.
    #[error(transparent)]
    Content(#[from] formats::Refusal),
    #[error(transparent)]
    Signature(#[from] SignatureError),
    #[error("the storage pool is full")]
    NoSpace,
    #[error("the client broke off: {0}")]
    ClientGone(String),
    #[error("the client sent too little for too long")]
    Stalled,
    /// The image was deleted meanwhile.
    #[error("the image was deleted while its bytes arrived")]
    Deleted,
    /// The store or the database does not answer.
    #[error("unavailable: {0}")]
    Unavailable(String),
    #[error("internal: {0}")]
    Internal(String),
}

/// Takes the bytes of a `queued` image. It is `active` afterwards (`uploading`, when they are staged), or `queued`
/// again, without bytes.
///
/// Runs to its end even when the caller goes away: the body tells when the client did.
pub async fn upload_image<S, E>(
    upload: Upload,
    id: ImageId,
    promised: Option<u64>,
    body: S,
    origin: Origin,
) -> Result<(), UploadError>
where
    S: Stream<Item = Result<Bytes, E>> + Send + 'static,
    E: Into<Box<dyn Error + Send + Sync>> + 'static,
{
    let work = async move {
        if promised.is_some_and(|size| size > upload.intake.limit) {
            return Err(UploadError::TooLarge { limit: upload.intake.limit });
        }
        upload.check_absent(&id).await?;
        let taken = Instant::now();
        let run = upload.begin(&id, &origin).await?;
        let _lease = upload.keeper.keep(run.clone(), taken);
        let outcome = match upload.bring_in(&id, promised, body, &run).await {
            Ok((received, content)) => upload.end_well(&id, &received, &content, &run, &origin).await,
            Err(_) if run.is_handed_over() => Err(UploadError::Unavailable("the service ends".to_owned())),
            Err(_) if run.progress.is_forbidden() => {
                Err(UploadError::Unavailable("the lease of the upload was lost".to_owned()))
            }
            Err(error) => Err(error),
        };
        match outcome {
            Err(error) => Err(upload.roll_back(&id, &run, error).await),
            done => done,
        }
    };
    GoesOn::new(work).await
}

impl Upload {
    async fn check_absent(&self, id: &ImageId) -> Result<(), UploadError> {
        match lineage::is_there(&self.store, &self.arrival.name(id)).await? {
            true => Err(UploadError::Exists),
            false => Ok(()),
        }
    }

    /// Counts the image that bytes just began to arrive for, too.
    async fn check_at_once(&self, repository: &mut Repository) -> Result<(), UploadError> {
        let (project, limit) = (&self.at_once.0, self.at_once.1);
        match repository.uploading_beyond(project, limit).await? {
            Some(uploading) => Err(UploadError::TooManyAtOnce { limit, uploading }),
            None => Ok(()),
        }
    }

    /// Others may have brought something meanwhile.
    async fn check_storage(
        &self,
        repository: &mut Repository,
        id: &ImageId,
        size: u64,
    ) -> Result<(), UploadError> {
        let Some(quota) = self.storage else { return Ok(()) };
        let project = &self.at_once.0;
        repository.take_quota_turn(project).await?;
        repository.storage_left(quota, project, id).await?.check(Some(size.into()))?;
        Ok(())
    }

    /// What is only staged may get its formats later: the import asks for them.
    fn check_row(&self, row: &Image) -> Result<(), UploadError> {
        match row.status {
            ImageStatus::Queued => {}
            ImageStatus::Deleted => return Err(UploadError::Deleted),
            other => return Err(UploadError::WrongStatus(other)),
        }
        match row.missing_formats() {
            missing if self.arrival != Arrival::Stage && !missing.is_empty() => {
                Err(UploadError::Unformatted(missing))
            }
            _ => Ok(()),
        }
    }

    /// The image is `queued` no more, and the job says who is at it.
    async fn begin(&self, id: &ImageId, origin: &Origin) -> Result<Arc<Run>, UploadError> {
        let now = self.world.now();
        let mut repository = self.database.begin().await?;
        let row = repository.image_to_change(id).await?.ok_or(UploadError::Deleted)?;
        self.check_row(&row)?;
        repository.change_image(id, row.status, self.arrival.status(), &ImageChange::default(), now).await?;
        self.check_at_once(&mut repository).await?;
        let job = self
            .arrival
            .task(id)
            .into_job(JobId::from(self.world.ids.ordered()), origin)
            .map_err(DbError::from)?;
        repository.enqueue_claimed(&job, self.keeper.owner(), self.keeper.lease_until(), now).await?;
        repository.commit().await?;
        Ok(Arc::new(Run::new(job.id, job.kind.to_owned(), 1, self.database.clone(), self.world.clone())))
    }

    async fn bring_in<S, E>(
        &self,
        id: &ImageId,
        promised: Option<u64>,
        body: S,
        run: &Run,
    ) -> Result<(Received, Content), UploadError>
    where
        S: Stream<Item = Result<Bytes, E>> + Send,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        run.set_step("receive");
        let mut inspector = Inspector::default();
        let body = body.inspect_ok(|chunk| inspector.feed(chunk));
        let name = self.arrival.name(id);
        let others = self.signed.iter().map(Signed::algorithm).collect();
        let intake = Intake { others, ..self.intake.clone() };
        let received = intake.take_in(&self.store, &name, promised, body, &run.progress).await?;
        if let Some(signed) = &self.signed {
            signed.check(received.digest(signed.algorithm()).unwrap_or_default())?;
        }
        Ok((received, inspector.finish()))
    }

    /// The bytes are durable.
    async fn end_well(
        &self,
        id: &ImageId,
        received: &Received,
        content: &Content,
        run: &Run,
        origin: &Origin,
    ) -> Result<(), UploadError> {
        let mut repository = run.transaction().await?;
        match &self.arrival {
            Arrival::Upload { store } => {
                self.activate(&mut repository, id, received, content, run, origin).await?;
                repository.remove_unready_locations(id).await?;
                repository.add_location(&Location::new(id, store.as_deref(), None)).await?;
                self.check_storage(&mut repository, id, received.size).await?;
            }
            // What they are is asked by the import: until then the image may still be given a format.
            Arrival::Stage => {
                let staged = Staged::new(id, names::staged(id), self.intake.facts(received));
                repository.set_staged(&staged).await?;
            }
        }
        run.end(repository, JobOutcome::Done, None).await?;
        metrics::transferred(Direction::Upload, received.size);
        Ok(())
    }

    /// The snapshot, for which a monitor takes up to a second, is a job of its own.
    async fn activate(
        &self,
        repository: &mut Repository,
        id: &ImageId,
        received: &Received,
        content: &Content,
        run: &Run,
        origin: &Origin,
    ) -> Result<(), UploadError> {
        let row = repository.image(id).await?.ok_or(UploadError::Deleted)?;
        let virtual_size = self.intake.virtual_size(&row, content)?;
        let change = ImageChange { virtual_size, ..self.intake.facts(received) };
        let (from, to) = (ImageStatus::Saving, ImageStatus::Active);
        if !repository.change_image(id, from, to, &change, run.now()).await? {
            return Err(UploadError::Deleted);
        }
        jobs::follow_up(repository, &self.world, Task::SealImage { image_id: id.clone() }, origin).await?;
        Ok(())
    }

    /// Removes what arrived and makes the image `queued` again. What cannot be done now a worker does later.
    async fn roll_back(&self, id: &ImageId, run: &Run, error: UploadError) -> UploadError {
        tracing::info!(image.id = %id, error = %error, "an upload is undone");
        if let Err(failure) = self.undo(id, run, &error).await {
            tracing::warn!(image.id = %id, error = %chain(&failure), "an upload will be undone when its lease ends");
        }
        error
    }

    async fn undo(&self, id: &ImageId, run: &Run, error: &UploadError) -> db::Result<()> {
        // Whoever has the lease now may have undone it, and bytes of another upload may lie there.
        run.transaction().await?;
        let discarded = match error {
            // Somebody else's bytes.
            UploadError::Exists => Ok(()),
            _ => discard(&self.store, &self.arrival.name(id), &run.progress.beside()).await,
        };
        match discarded {
            Ok(()) => self.end_badly(id, run, error).await,
            Err(failure) => self.leave_to_worker(run, error, &failure).await,
        }
    }

    async fn end_badly(&self, id: &ImageId, run: &Run, error: &UploadError) -> db::Result<()> {
        let outcome = match error {
            UploadError::Deleted => JobOutcome::Cancelled,
            _ => JobOutcome::Failed,
        };
        let text = error.to_string();
        let mut repository = run.transaction().await?;
        back_to_queued(&mut repository, id, &self.arrival, run).await?;
        run.end(repository, outcome, Some(("The upload failed.", &text))).await
    }

    async fn leave_to_worker(&self, run: &Run, error: &UploadError, failure: &BlockError) -> db::Result<()> {
        tracing::warn!(error = %failure, "an upload could not be undone yet");
        let now = run.now();
        let mut repository = run.transaction().await?;
        let detail = error.to_string();
        repository.begin_undo(&run.id, Cause::Fatal, "The upload failed.", &detail, now).await?;
        repository.requeue_job(&run.id, now.plus_seconds(1), &detail, now).await?;
        repository.commit().await
    }
}

/// Unless someone deletes it: then its status stays as they want it.
async fn back_to_queued(
    repository: &mut Repository,
    id: &ImageId,
    arrival: &Arrival,
    run: &Run,
) -> db::Result<()> {
    let (from, to) = (arrival.status(), ImageStatus::Queued);
    repository.change_image(id, from, to, &ImageChange::default(), run.now()).await?;
    Ok(())
}

impl From<BlockError> for UploadError {
    fn from(error: BlockError) -> Self {
        match error.kind {
            ErrorKind::NoSpace => UploadError::NoSpace,
            ErrorKind::Exists => UploadError::Exists,
            ErrorKind::TimedOut | ErrorKind::Disconnected => UploadError::Unavailable(error.to_string()),
            ErrorKind::Cancelled => UploadError::Deleted,
            _ => UploadError::Internal(error.to_string()),
        }
    }
}

impl From<DbError> for UploadError {
    fn from(error: DbError) -> Self {
        match error {
            DbError::Unavailable(_) => UploadError::Unavailable(chain(&error)),
            DbError::LeaseLost => UploadError::Unavailable("the lease of the upload was lost".to_owned()),
            other => UploadError::Internal(chain(&other)),
        }
    }
}

impl From<TransferError> for UploadError {
    fn from(error: TransferError) -> Self {
        match error {
            TransferError::TooLong { expected } => {
                UploadError::SizeMismatch { expected, actual: expected + 1 }
            }
            TransferError::TooShort { expected, actual } => UploadError::SizeMismatch { expected, actual },
            TransferError::TooLarge { limit } => UploadError::TooLarge { limit },
            TransferError::Source(source) => UploadError::ClientGone(chain(&*source)),
            TransferError::Stalled(_) => UploadError::Stalled,
            TransferError::Storage(error) => error.into(),
            TransferError::Cancelled => UploadError::Deleted,
            other => UploadError::Internal(chain(&other)),
        }
    }
}

/// What a worker makes of an upload whose process died.
pub(super) struct InterruptedUpload {
    context: Context,
    id: ImageId,
    arrival: Arrival,
}

impl InterruptedUpload {
    pub(super) fn new(context: Context, id: ImageId, arrival: Arrival) -> Self {
        Self { context, id, arrival }
    }
}

#[async_trait]
impl Workflow for InterruptedUpload {
    fn steps(&self) -> &'static [&'static str] {
        &["receive"]
    }

    async fn run(&self, _: &'static str, _: &Run) -> Result<(), StepError> {
        Err(StepError::fatal("The upload was interrupted; it can be sent again."))
    }

    async fn undo(&self, _: &'static str, run: &Run) -> Result<(), StepError> {
        let store = match &self.arrival {
            Arrival::Upload { store } => self.context.images_in(store.as_deref())?,
            Arrival::Stage => &self.context.stores.images,
        };
        lineage::take_away(store, &self.arrival.name(&self.id), run).await
    }

    async fn finish(&self, _: &mut Repository, _: &Run) -> db::Result<()> {
        Ok(())
    }

    async fn fail(&self, repository: &mut Repository, run: &Run, _: Cause) -> db::Result<()> {
        back_to_queued(repository, &self.id, &self.arrival, run).await
    }
}
