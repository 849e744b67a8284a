//! Claims jobs, walks their steps, and undoes them when they fail.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use super::faults::{Fault, Faults, Moment};
use super::task::told_of;
use super::{Cause, Keeper, Run, StepError, Task, Workflow};
use crate::db::{self, Claimant, Database, DbError, Job, JobOutcome, Message, Share};
use crate::model::{Event, MessageId, Timestamp, World};
use crate::telemetry::{chain, metrics};

#[derive(Clone, Debug)]
pub struct Options {
    /// Jobs at once.
    pub slots: usize,
    /// Of them, in one place.
    pub slots_of_place: usize,
    /// Claims of a job until it counts as failed.
    pub max_attempts: i64,
    /// The queue is looked at this often when no bell rings.
    pub poll: Duration,
    /// The pause before the second attempt, in seconds; it doubles, up to a minute.
    pub retry_pause: i64,
}

/// Seats beside the others for what is cancelled: it is given back at once, however long the others have been at it.
const EXITS: usize = 4;

/// Taken at once at the most.
const BATCH: usize = 32;

/// How often it is tried to give a job back whose state was not written.
const GIVEN_BACK_EVERY: Duration = Duration::from_secs(1);

/// For how long a job is left that this version cannot read, in seconds.
const LEFT_FOR: i64 = 60;

type Build = dyn Fn(Task) -> Box<dyn Workflow> + Send + Sync;

pub struct Worker {
    database: Database,
    world: World,
    keeper: Arc<Keeper>,
    options: Options,
    build: Box<Build>,
    faults: Arc<dyn Faults>,
    slots: Arc<Semaphore>,
    exits: Arc<Semaphore>,
}

/// The process "died" here (tests): nothing may be written any more.
struct Crashed;

impl Worker {
    pub fn new(
        database: Database,
        world: World,
        keeper: Arc<Keeper>,
        options: Options,
        build: impl Fn(Task) -> Box<dyn Workflow> + Send + Sync + 'static,
        faults: Arc<dyn Faults>,
    ) -> Arc<Self> {
        let slots = Arc::new(Semaphore::new(options.slots));
        let exits = Arc::new(Semaphore::new(EXITS));
        Arc::new(Self { database, world, keeper, options, build: Box::new(build), faults, slots, exits })
    }

    /// Works until `stop`, then lets the jobs under way go as far as `tasks` is waited for.
    pub async fn run(self: Arc<Self>, stop: CancellationToken, tasks: TaskTracker) {
        // Those that were started together need not look together.
        let mut pauses = Pauses::new(self.options.poll, &self.keeper);
        while !stop.is_cancelled() {
            let is_full = self.slots.available_permits() == 0;
            if is_full {
                // All seats may be taken for hours. Then only what is cancelled is looked for, now and then.
                tokio::select! {
                    _ = self.slots.acquire() => {}
                    () = tokio::time::sleep(pauses.next()) => {}
                    () = stop.cancelled() => return,
                }
            }
            let claimed = match self.claim(&tasks).await {
                Ok(claimed) => claimed,
                Err(error) => {
                    tracing::warn!(error = %chain(&error), "the queue cannot be read");
                    tokio::time::sleep(pauses.next()).await;
                    continue;
                }
            };
            if claimed == 0 && !is_full {
                tokio::select! {
                    () = self.database.work_committed() => {}
                    () = tokio::time::sleep(pauses.next()) => {}
                    () = stop.cancelled() => return,
                }
                if let Err(error) = self.keeper.stop_cancelled().await {
                    tracing::warn!(error = %chain(&error), "cancelled jobs cannot be read");
                }
            }
        }
    }

    /// Takes what a dead process left running. To be called at the start, before anything is claimed or served.
    pub async fn take_over(&self) -> db::Result<()> {
        if !self.database.is_exclusive() {
            // Others may be alive: their leases must run out.
            return Ok(());
        }
        let mut repository = self.database.begin().await?;
        let count = repository.end_all_leases().await?;
        repository.commit().await?;
        if count > 0 {
            tracing::info!(job.count = count, "going on with jobs that the last process left running");
        }
        Ok(())
    }

    /// Starts as many jobs as there are free slots, or what is cancelled when there are none; answers how many.
    async fn claim(self: &Arc<Self>, tasks: &TaskTracker) -> db::Result<usize> {
        let (mut slots, mut of_place) = (take(&self.slots), self.options.slots_of_place as i64);
        if slots.is_empty() {
            (slots, of_place) = (take(&self.exits), 0);
        }
        if slots.is_empty() {
            return Ok(0);
        }
        let (now, taken) = (self.world.now(), Instant::now());
        let lease_until = self.keeper.lease_until();
        let of_project = of_place - of_place / 4;
        let share = Share { of_place, of_project, in_all: slots.len() as i64 };
        let mut repository = self.database.begin().await?;
        let kept = self.keeper.kept();
        let claimant = Claimant { owner: self.keeper.owner(), lease_until, kept: &kept, kinds: Task::KINDS };
        let jobs = repository.claim_jobs(claimant, share, now).await?;
        if jobs.is_empty() {
            // Nothing was written: nothing to wait for.
            return Ok(0);
        }
        // A claim that is lost leaves the job in the queue.
        repository.commit_repeatable().await?;
        let count = jobs.len();
        for (job, slot) in jobs.into_iter().zip(slots) {
            let worker = self.clone();
            let span = tracing::info_span!("job", job.id = %job.id, job.kind = %job.kind,
                resource.id = %job.resource_id, request.id = job.request_id.as_deref());
            tasks.spawn(
                async move {
                    worker.work(job, taken).await;
                    drop(slot);
                }
                .instrument(span),
            );
        }
        Ok(count)
    }

    /// One claim of a job, from beginning to end.
    async fn work(&self, job: Job, taken: Instant) {
        let (id, kind, fence) = (job.id.clone(), job.kind.clone(), job.fence);
        let run = Run::new(id, kind, fence, self.database.clone(), self.world.clone());
        let run = Arc::new(run.for_the_last_time(self.is_last_try(&job)));
        let lease = self.keeper.keep(run.clone(), taken);
        let _running = metrics::running(&run.kind);
        if let Some(owner) = &job.left_by {
            self.keeper.shut_out(owner).await;
        }
        match self.attempt(&job, &run).await {
            Ok(Err(DbError::LeaseLost)) => tracing::warn!("another worker goes on with this job"),
            Ok(Err(error)) => self.give_back(&job, &run, error).await,
            Ok(Ok(())) | Err(Crashed) => {}
        }
        drop(lease);
    }

    /// The state of a job was not written. Its lease is kept until that it is to begin once more is written: when a lease
    /// runs out others take its owner for dead.
    async fn give_back(&self, job: &Job, run: &Run, error: DbError) {
        tracing::error!(error = %chain(&error), "the state of a job was not written");
        let failure = StepError::from(error);
        while !run.progress.is_forbidden() {
            tokio::time::sleep(GIVEN_BACK_EVERY).await;
            match self.requeue(job, run, &failure).await {
                // It was written after all, and only the answer was lost.
                Ok(()) | Err(DbError::LeaseLost) => return,
                Err(error) => tracing::debug!(error = %chain(&error), "a job cannot be given back yet"),
            }
        }
    }

    async fn attempt(&self, job: &Job, run: &Run) -> Result<db::Result<()>, Crashed> {
        let task: Task = match serde_json::from_value(job.payload.clone()) {
            Ok(task) => task,
            Err(error) => return Ok(self.leave(job, run, &error).await),
        };
        let workflow = (self.build)(task);
        let cause = match job.cause {
            Some(cause) => cause,
            None => {
                let failure = match self.forward(&*workflow, job, run).await? {
                    Ok(()) => match self.finish(&*workflow, run).await {
                        Ok(true) => return Ok(Ok(())),
                        Ok(false) => StepError::cancelled(),
                        Err(error) => return Ok(Err(error)),
                    },
                    Err(failure) => failure,
                };
                if failure.cause == Cause::LeaseLost || run.progress.is_forbidden() {
                    return Ok(Err(DbError::LeaseLost));
                }
                if failure.cause == Cause::Cancelled && run.is_handed_over() {
                    return Ok(self.hand_over(run).await);
                }
                if failure.cause == Cause::Cancelled && !self.is_cancelled(run).await {
                    // By a lease that had lapsed, and was prolonged since.
                    return Ok(self.requeue(job, run, &failure).await);
                }
                if let Some(until) = failure.until {
                    return Ok(self.postpone(job, run, &failure, until).await);
                }
                if failure.cause.may_pass() && !self.is_last_try(job) {
                    return Ok(self.requeue(job, run, &failure).await);
                }
                tracing::info!(error = %failure.message, detail = %failure.detail, "the job failed and is undone");
                if let Err(error) = self.begin_undo(run, &failure).await {
                    return Ok(Err(error));
                }
                failure.cause
            }
        };
        match self.backward(&*workflow, run).await? {
            Ok(()) => Ok(self.fail(&*workflow, job, run, cause).await),
            Err(failure) if failure.cause == Cause::LeaseLost => Ok(Err(DbError::LeaseLost)),
            Err(_) if run.is_handed_over() => Ok(self.hand_over(run).await),
            Err(failure) => {
                tracing::warn!(error = %failure.message, detail = %failure.detail, "undoing failed, tried again later");
                Ok(self.requeue(job, run, &failure).await)
            }
        }
    }

    fn is_last_try(&self, job: &Job) -> bool {
        job.attempts >= self.options.max_attempts
    }

    /// Whether somebody wants it stopped. Not known counts as no: who goes on with it finds out.
    async fn is_cancelled(&self, run: &Run) -> bool {
        let job = async { self.database.read().await?.job(&run.id).await }.await;
        job.ok().flatten().is_some_and(|job| job.cancel)
    }

    async fn forward(
        &self,
        workflow: &dyn Workflow,
        job: &Job,
        run: &Run,
    ) -> Result<Result<(), StepError>, Crashed> {
        if job.cancel {
            return Ok(Err(StepError::cancelled()));
        }
        if job.attempts > self.options.max_attempts {
            return Ok(Err(StepError::fatal("It was given up after too many attempts.")));
        }
        for &step in workflow.steps() {
            if let Err(cancelled) = run.check_cancelled() {
                return Ok(Err(cancelled));
            }
            run.set_step(step);
            if let Err(lost) = run.check_lease().await {
                return Ok(Err(lost.into()));
            }
            match self.faults.at(run, Moment::Before(step)) {
                Fault::Crash => return Err(Crashed),
                Fault::Fail => return Ok(Err(StepError::fatal("It was told to fail."))),
                Fault::Repeat => {
                    if let Err(failure) = workflow.run(step, run).await {
                        return Ok(Err(failure));
                    }
                }
                Fault::None => {}
            }
            if let Err(failure) = workflow.run(step, run).await {
                return Ok(Err(failure));
            }
            if let Fault::Crash = self.faults.at(run, Moment::After(step)) {
                return Err(Crashed);
            }
        }
        Ok(run.check_cancelled())
    }

    async fn backward(&self, workflow: &dyn Workflow, run: &Run) -> Result<Result<(), StepError>, Crashed> {
        for &step in workflow.steps().iter().rev() {
            run.set_step(step);
            if run.is_handed_over() {
                return Ok(Err(StepError::cancelled()));
            }
            if let Err(lost) = run.check_lease().await {
                return Ok(Err(lost.into()));
            }
            match self.faults.at(run, Moment::Undo(step)) {
                Fault::Crash => return Err(Crashed),
                Fault::Fail => return Ok(Err(StepError::fatal("It was told to fail."))),
                Fault::Repeat => {
                    if let Err(failure) = workflow.undo(step, run).await {
                        return Ok(Err(failure));
                    }
                }
                Fault::None => {}
            }
            match workflow.undo(step, run).await {
                Err(failure) if failure.cause == Cause::Gone => {}
                Err(failure) => return Ok(Err(failure)),
                Ok(()) => {}
            }
        }
        Ok(Ok(()))
    }

    /// `false`: somebody cancelled it at the last moment.
    async fn finish(&self, workflow: &dyn Workflow, run: &Run) -> db::Result<bool> {
        let mut repository = run.transaction().await?;
        let job = repository.job(&run.id).await?;
        if job.is_some_and(|job| job.cancel && !job.settled) {
            return Ok(false);
        }
        workflow.finish(&mut repository, run).await?;
        run.end(repository, JobOutcome::Done, None).await?;
        Ok(true)
    }

    async fn fail(&self, workflow: &dyn Workflow, job: &Job, run: &Run, cause: Cause) -> db::Result<()> {
        let outcome = if cause == Cause::Cancelled { JobOutcome::Cancelled } else { JobOutcome::Failed };
        let mut repository = run.transaction().await?;
        workflow.fail(&mut repository, run, cause).await?;
        if cause != Cause::Cancelled
            && let Some(message) = workflow.complaint(cause).and_then(|event| self.message(job, event))
        {
            repository.add_message(&message).await?;
        }
        run.end(repository, outcome, None).await
    }

    /// To the project that asked for the job; the service's own jobs have none.
    fn message(&self, job: &Job, event: Event) -> Option<Message> {
        let (resource_type, resource) = match job.resource_type.as_str() {
            "snapshot" => ("VOLUME_SNAPSHOT", Some(job.resource_id.as_str())),
            // Of a volume that was to become one.
            "image" => ("VOLUME", job.source_id.as_deref()),
            _ => ("VOLUME", Some(told_of(&job.resource_id))),
        };
        Some(Message {
            id: MessageId::from(self.world.ids.random()),
            project_id: job.project_id.clone()?,
            request_id: job.request_id.clone(),
            resource_type: resource_type.to_owned(),
            resource_uuid: resource.map(str::to_owned),
            event_id: event.id(resource_type),
            message_level: "ERROR".to_owned(),
            created_at: self.world.now(),
        })
    }

    /// A newer version knows what the job is, and how it is undone: it waits for a process of that.
    async fn leave(&self, job: &Job, run: &Run, error: &serde_json::Error) -> db::Result<()> {
        if job.cancel && job.step.is_none() {
            // Nothing was done, and nobody wants it.
            let why = ("The job cannot be read by this version.", &*error.to_string());
            return run.end(run.transaction().await?, JobOutcome::Cancelled, Some(why)).await;
        }
        tracing::warn!(%error, "this version cannot read the job: it is left to a newer one");
        let failure =
            StepError::new(Cause::Transient, "The job cannot be read by this version.", error.to_string());
        self.postpone(job, run, &failure, run.now().plus_seconds(LEFT_FOR)).await
    }

    async fn begin_undo(&self, run: &Run, failure: &StepError) -> db::Result<()> {
        let mut repository = run.transaction().await?;
        let now = run.now();
        repository.begin_undo(&run.id, failure.cause, &failure.message, &failure.detail, now).await?;
        repository.commit().await
    }

    async fn hand_over(&self, run: &Run) -> db::Result<()> {
        let mut repository = run.transaction().await?;
        repository.hand_over_job(&run.id, run.now()).await?;
        repository.commit().await?;
        tracing::info!("the job is left to another worker");
        Ok(())
    }

    async fn postpone(&self, job: &Job, run: &Run, failure: &StepError, until: Timestamp) -> db::Result<()> {
        let mut repository = run.transaction().await?;
        repository.postpone_job(&run.id, job.run_at, until, &failure.detail, run.now()).await?;
        repository.commit().await
    }

    async fn requeue(&self, job: &Job, run: &Run, failure: &StepError) -> db::Result<()> {
        let doublings = u32::try_from((job.attempts - 1).clamp(0, 6)).unwrap_or(0);
        let pause = self.options.retry_pause.saturating_mul(1 << doublings).min(60);
        let mut repository = run.transaction().await?;
        let detail = format!("{} {}", failure.message, failure.detail);
        repository.requeue_job(&run.id, run.now().plus_seconds(pause), &detail, run.now()).await?;
        repository.commit().await
    }
}

/// So many seats as are free.
fn take(seats: &Arc<Semaphore>) -> Vec<OwnedSemaphorePermit> {
    std::iter::from_fn(|| seats.clone().try_acquire_owned().ok()).take(BATCH).collect()
}

/// How long the queue is not looked at, each time anew: around the same, but no two processes keep step.
struct Pauses {
    around: Duration,
    state: u64,
}

impl Pauses {
    fn new(around: Duration, keeper: &Keeper) -> Self {
        // The owner's name is random, and nobody else has it.
        let state = keeper.owner().bytes().fold(1, |hash: u64, byte| hash.wrapping_mul(31) + u64::from(byte));
        Self { around, state }
    }

    /// From three to five quarters of it.
    fn next(&mut self) -> Duration {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        self.around * 3 / 4 + self.around / 2 * u32::from((self.state >> 48) as u16) / u32::from(u16::MAX)
    }
}
