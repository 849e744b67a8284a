//! Bytes arrive for an image. The request that brings them does the work, under a job of its own: when the process
//! dies, a worker claims that job, finds no bytes, and undoes it.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{Stream, TryStreamExt};

use super::{Context, lineage};
use crate::block::{BlockError, BlockStore, ErrorKind, Missing, OpenMode, Progress};
use crate::db::{self, Database, DbError, Image, ImageChange, JobOutcome, Repository};
use crate::formats::{self, Content, Inspector};
use crate::jobs::{self, Cause, Keeper, Origin, Run, StepError, Task, Workflow, chain};
use crate::model::{ImageId, ImageStatus, JobId, ProjectId, World};
use crate::telemetry::metrics::{self, Direction};
use crate::transfer::{Algorithm, ReceiveOptions, Received, TransferError, receive};

/// What an upload works with.
#[derive(Clone)]
pub struct Upload {
    pub database: Database,
    pub world: World,
    pub keeper: Arc<Keeper>,
    pub store: Arc<dyn BlockStore>,
    /// In bytes.
    pub object_size: u64,
    /// `image_size_cap`, in bytes.
    pub limit: u64,
    /// `image_count_uploading` of a project; negative: no limit.
    pub at_once: (ProjectId, i64),
    /// `rbd_thin_provisioning`
    pub sparse: bool,
    pub in_flight: usize,
    pub idle_timeout: Duration,
    pub formats: formats::Rules,
    /// For `checksum` and `os_hash_value`; `None` leaves both empty.
    pub digests: Option<Algorithm>,
}

#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    #[error("the image is {0}")]
    WrongStatus(ImageStatus),
    /// Bytes are in the store under this image's name already.
    #[error("the store has bytes of this image already")]
    Exists,
    #[error("more than the {limit} bytes that an image may have")]
    TooLarge { limit: u64 },
    #[error("{uploading} uploads at once where {limit} are allowed")]
    TooManyAtOnce { limit: i64, uploading: i64 },
    #[error("{actual} bytes where {expected} were promised")]
    SizeMismatch { expected: u64, actual: u64 },
    /// The bytes are unsafe, or not what the image claims they are.
    #[error(transparent)]
    Content(#[from] formats::Refusal),
    #[error("the storage pool is full")]
    NoSpace,
    #[error("the client broke off: {0}")]
    ClientGone(String),
    #[error("the client sent nothing for too long")]
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

/// Takes the bytes of a `queued` image. It is `active` afterwards, or `queued` again, without bytes.
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
        if promised.is_some_and(|size| size > upload.limit) {
            return Err(UploadError::TooLarge { limit: upload.limit });
        }
        upload.check_absent(&id).await?;
        let run = upload.begin(&id, &origin).await?;
        let _lease = upload.keeper.keep(run.clone());
        let outcome = match upload.bring_in(&id, promised, body, &run).await {
            Ok((received, content)) => upload.end_well(&id, &received, &content, &run, &origin).await,
            Err(error) => Err(error),
        };
        match outcome {
            Err(error) => Err(upload.roll_back(&id, &run, error).await),
            done => done,
        }
    };
    // A task of its own: the server drops the request's future when the client goes.
    match tokio::spawn(work).await {
        Ok(outcome) => outcome,
        Err(panic) => Err(UploadError::Internal(panic.to_string())),
    }
}

impl Upload {
    async fn check_absent(&self, id: &ImageId) -> Result<(), UploadError> {
        match self.store.open(id.as_str(), OpenMode::ReadOnly).await.or_missing()? {
            Some(image) => {
                image.close().await?;
                Err(UploadError::Exists)
            }
            None => Ok(()),
        }
    }

    /// Counts the image that just became `saving` too.
    async fn check_at_once(&self, repository: &mut Repository) -> Result<(), UploadError> {
        let (project, limit) = (&self.at_once.0, self.at_once.1);
        if limit < 0 {
            return Ok(());
        }
        repository.take_quota_turn(project).await?;
        match repository.image_use(project.as_str()).await?.uploading {
            uploading if uploading > limit => Err(UploadError::TooManyAtOnce { limit, uploading }),
            _ => Ok(()),
        }
    }

    /// `queued` becomes `saving`, and the job says who is at it.
    async fn begin(&self, id: &ImageId, origin: &Origin) -> Result<Arc<Run>, UploadError> {
        let now = self.world.now();
        let mut repository = self.database.begin().await?;
        let (from, to) = (ImageStatus::Queued, ImageStatus::Saving);
        if !repository.change_image(id, from, to, &ImageChange::default(), now).await? {
            return Err(match repository.image(id).await? {
                Some(image) if image.status != ImageStatus::Deleted => UploadError::WrongStatus(image.status),
                _ => UploadError::Deleted,
            });
        }
        self.check_at_once(&mut repository).await?;
        let job = Task::UploadImage { image_id: id.clone() }
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
        self.store.create(id.as_str(), promised.unwrap_or(0), self.object_size).await?;
        let image = self.store.open(id.as_str(), OpenMode::ReadWrite).await?;
        let digests = match self.digests {
            Some(Algorithm::Md5) => vec![Algorithm::Md5],
            Some(algorithm) => vec![Algorithm::Md5, algorithm],
            None => Vec::new(),
        };
        let options = ReceiveOptions {
            size: promised,
            limit: self.limit,
            sparse: self.sparse,
            in_flight: self.in_flight,
            chunk: self.object_size,
            digests,
            idle_timeout: self.idle_timeout,
        };
        let mut inspector = Inspector::default();
        let body = body.inspect_ok(|chunk| inspector.feed(chunk));
        let received = receive(body, image.clone(), options, &run.progress).await;
        image.close().await?;
        Ok((received?, inspector.finish()))
    }

    /// The bytes are durable. The snapshot, for which a monitor takes up to a second, is a job of its own.
    async fn end_well(
        &self,
        id: &ImageId,
        received: &Received,
        content: &Content,
        run: &Run,
        origin: &Origin,
    ) -> Result<(), UploadError> {
        let digest = |wanted: Algorithm| {
            received.digests.iter().find(|(algorithm, _)| *algorithm == wanted).map(|(_, hex)| hex.clone())
        };
        let size = i64::try_from(received.size).map_err(|e| UploadError::Internal(e.to_string()))?;
        let mut repository = run.transaction().await?;
        let row = repository.image(id).await?.ok_or(UploadError::Deleted)?;
        let virtual_size = self.virtual_size(&row, content)?.and_then(|size| i64::try_from(size).ok());
        let change = ImageChange {
            size: Some(size),
            virtual_size,
            checksum: digest(Algorithm::Md5),
            os_hash_algo: self.digests.map(|algorithm| algorithm.name().to_owned()),
            os_hash_value: self.digests.and_then(digest),
        };
        let (from, to) = (ImageStatus::Saving, ImageStatus::Active);
        if !repository.change_image(id, from, to, &change, run.now()).await? {
            return Err(UploadError::Deleted);
        }
        repository.finish_job(&run.id, &JobOutcome::Done, None, run.now()).await?;
        jobs::enqueue(&mut repository, &self.world, Task::SealImage { image_id: id.clone() }, origin).await?;
        repository.commit().await?;
        metrics::transferred(Direction::Upload, received.size);
        metrics::job(&run.kind, "done", run.started.elapsed());
        Ok(())
    }

    /// Refuses content that the image must not have. What is packed (`container_format` other than `bare`) is not
    /// looked into.
    fn virtual_size(&self, row: &Image, content: &Content) -> Result<Option<u64>, UploadError> {
        let declared = row.disk_format.as_deref().unwrap_or_default();
        match row.container_format.as_deref() {
            Some("bare") => Ok(content.judge(declared, &self.formats)?),
            _ => Ok((declared == "raw").then_some(content.length)),
        }
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
            _ => discard(&self.store, id).await,
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
        back_to_queued(&mut repository, id, run).await?;
        repository.finish_job(&run.id, &outcome, Some(("The upload failed.", &text)), run.now()).await?;
        repository.commit().await?;
        metrics::job(&run.kind, "failed", run.started.elapsed());
        Ok(())
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

/// Removes an image that never became active.
async fn discard(store: &Arc<dyn BlockStore>, id: &ImageId) -> crate::block::Result<()> {
    match store.remove(id.as_str(), &Progress::new()).await.or_missing() {
        Err(error) if error.kind == ErrorKind::NoSpace => {
            lineage::empty(store, id.as_str()).await?;
            Err(error)
        }
        other => other.map(drop),
    }
}

/// Unless someone deletes it: then its status stays as they want it.
async fn back_to_queued(repository: &mut Repository, id: &ImageId, run: &Run) -> db::Result<()> {
    let (from, to) = (ImageStatus::Saving, ImageStatus::Queued);
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
}

impl InterruptedUpload {
    pub(super) fn new(context: Context, id: ImageId) -> Self {
        Self { context, id }
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
        match discard(&self.context.stores.images, &self.id).await {
            Err(error) if error.kind == ErrorKind::Busy => {
                lineage::clear(&self.context.stores.images, self.id.as_str(), run).await
            }
            other => other.map_err(StepError::of_removal),
        }
    }

    async fn finish(&self, _: &mut Repository, _: &Run) -> db::Result<()> {
        Ok(())
    }

    async fn fail(&self, repository: &mut Repository, run: &Run, _: Cause) -> db::Result<()> {
        back_to_queued(repository, &self.id, run).await
    }
}
