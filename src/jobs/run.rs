//! One claim of a job, as its workflow sees it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::StepError;
use crate::block::Progress;
use crate::db::{self, Database, DbError, JobOutcome, Repository};
use crate::model::{JobId, Timestamp, World};
use crate::telemetry::metrics;

pub struct Run {
    pub id: JobId,
    pub kind: String,
    pub fence: i64,
    /// Bytes of the step under way; cancelled when someone asks the job to stop or the lease is lost.
    pub progress: Progress,
    pub database: Database,
    pub world: World,
    pub started: Instant,
    is_last_try: bool,
    step: Mutex<Option<&'static str>>,
    is_handed_over: AtomicBool,
}

impl Run {
    pub fn new(id: JobId, kind: String, fence: i64, database: Database, world: World) -> Self {
        Self {
            id,
            kind,
            fence,
            progress: Progress::new(),
            database,
            world,
            started: Instant::now(),
            is_last_try: false,
            step: Mutex::new(None),
            is_handed_over: AtomicBool::new(false),
        }
    }

    /// What fails this time is not tried again.
    pub(super) fn for_the_last_time(self, is_last_try: bool) -> Self {
        Self { is_last_try, ..self }
    }

    pub fn is_last_try(&self) -> bool {
        self.is_last_try
    }

    /// A transaction in which this claim still holds: to write rows with, in a step.
    pub async fn transaction(&self) -> db::Result<Repository> {
        let mut repository = self.database.begin().await?;
        repository.hold_job(&self.id, self.fence, self.now()).await?;
        Ok(repository)
    }

    /// Ends the job in such a transaction, the last one. Jobs end nowhere else, so that each is counted, and once.
    pub async fn end(
        &self,
        mut repository: Repository,
        outcome: JobOutcome,
        error: Option<(&str, &str)>,
    ) -> db::Result<()> {
        repository.finish_job(&self.id, &outcome, error, self.now()).await?;
        repository.commit().await?;
        let outcome = outcome.state().as_str();
        tracing::info!(job.id = %self.id, job.kind = %self.kind, job.outcome = outcome, "a job ended");
        metrics::job_ended(&self.kind, outcome, self.started.elapsed());
        Ok(())
    }

    /// Fails with [`DbError::LeaseLost`] when somebody else may be at the job. Asked right before a step touches a
    /// store, which knows nothing of leases.
    pub async fn check_lease(&self) -> db::Result<()> {
        // The only process there is loses none to another.
        let is_ours = !self.progress.is_forbidden()
            && (self.database.is_exclusive()
                || self.database.read().await?.holds_job(&self.id, self.fence).await?
                    && !self.progress.is_forbidden());
        if is_ours { Ok(()) } else { Err(DbError::LeaseLost) }
    }

    /// Likewise by this machine's clock alone, where a step makes something after it waited for something else. What it
    /// makes too late nobody takes away.
    pub fn check_allowed(&self) -> db::Result<()> {
        if self.progress.is_forbidden() { Err(DbError::LeaseLost) } else { Ok(()) }
    }

    /// The process ends: the job is to stop where it is, and somebody else goes on.
    pub fn hand_over(&self) {
        self.is_handed_over.store(true, Ordering::Relaxed);
        self.progress.cancel();
    }

    pub fn is_handed_over(&self) -> bool {
        self.is_handed_over.load(Ordering::Relaxed)
    }

    pub fn now(&self) -> Timestamp {
        self.world.now()
    }

    pub fn check_cancelled(&self) -> Result<(), StepError> {
        if self.progress.is_cancelled() { Err(StepError::cancelled()) } else { Ok(()) }
    }

    pub fn step(&self) -> Option<&'static str> {
        *self.locked_step()
    }

    pub fn set_step(&self, step: &'static str) {
        *self.locked_step() = Some(step);
    }

    fn locked_step(&self) -> MutexGuard<'_, Option<&'static str>> {
        // Whoever panicked left a whole value: it is replaced at once, never half.
        self.step.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
