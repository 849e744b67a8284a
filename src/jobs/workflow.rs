//! What a job is made of: named steps, each of which may run again, and each of which can be undone.

use async_trait::async_trait;

use super::Run;
use crate::block::{BlockError, ErrorKind};
use crate::db::{self, DbError, Repository};
use crate::model::{Cause, Event, Timestamp};
use crate::telemetry::chain;

/// Why a step did not succeed.
#[derive(Clone, Debug)]
pub struct StepError {
    pub cause: Cause,
    /// For the user.
    pub message: String,
    /// For the operator.
    pub detail: String,
    /// When it is looked at again, if nobody wakes the job: somebody else is at work, and nothing failed.
    pub until: Option<Timestamp>,
}

impl StepError {
    pub fn new(cause: Cause, message: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { cause, message: message.into(), detail: detail.into(), until: None }
    }

    pub fn in_use(message: impl Into<String>) -> Self {
        Self::new(Cause::InUse, message, "")
    }

    pub fn fatal(message: impl Into<String>) -> Self {
        Self::new(Cause::Fatal, message, "")
    }

    /// Somebody else does it.
    pub fn waits(until: Timestamp, detail: impl Into<String>) -> Self {
        Self { until: Some(until), ..Self::new(Cause::Transient, "It waits for another service.", detail) }
    }

    /// A removal that finds no room for itself: it may, once others have made some.
    pub fn of_removal(error: BlockError) -> Self {
        match error.kind {
            ErrorKind::NoSpace => Self::new(Cause::Transient, "The storage pool is full.", error.to_string()),
            _ => error.into(),
        }
    }

    /// The row of what the job is about, or lies in, is not there any more.
    pub fn gone(what: &str) -> Self {
        Self::new(Cause::Gone, format!("The {what} is not there any more."), "")
    }

    pub fn cancelled() -> Self {
        Self::new(Cause::Cancelled, "It was cancelled.", "")
    }
}

impl From<BlockError> for StepError {
    fn from(error: BlockError) -> Self {
        let (cause, message) = match error.kind {
            ErrorKind::TimedOut | ErrorKind::Disconnected => {
                (Cause::Transient, "The storage cluster does not answer.")
            }
            ErrorKind::Busy => (Cause::Busy, "The storage is in use by somebody else."),
            ErrorKind::Cancelled => (Cause::Cancelled, "It was cancelled."),
            ErrorKind::NoSpace => (Cause::Fatal, "The storage pool is full."),
            ErrorKind::Denied => (Cause::Fatal, "The storage cluster does not allow it."),
            ErrorKind::NotFound => (Cause::Fatal, "What it needs is not in the storage pool."),
            ErrorKind::HasChildren | ErrorKind::HasSnapshots => {
                (Cause::InUse, "Something else in the storage pool depends on it.")
            }
            // It was opened to be written to: another client has its lock and does not give it back.
            ErrorKind::ReadOnly => (Cause::Transient, "The storage cannot be written to at this moment."),
            ErrorKind::Exists | ErrorKind::Invalid | ErrorKind::Io => (Cause::Fatal, "The storage refused."),
        };
        Self::new(cause, message, error.to_string())
    }
}

impl From<DbError> for StepError {
    fn from(error: DbError) -> Self {
        let cause = match error {
            DbError::LeaseLost => Cause::LeaseLost,
            DbError::Unavailable(_) | DbError::Engine(_) => Cause::Transient,
            _ => Cause::Fatal,
        };
        let detail = chain(&error);
        Self::new(cause, "The database failed.", detail)
    }
}

/// The work of one job. Made anew for each claim; what must outlive a crash is in the rows and on the pool.
///
/// After a crash a job starts again at its first step, so a step finds its own work done and goes on.
/// When a step fails for good, all steps are undone, last one first, also those that never ran: undoing finds
/// nothing to do and succeeds. Then [`Workflow::fail`] leaves rows that the user can act on.
#[async_trait]
pub trait Workflow: Send + Sync {
    fn steps(&self) -> &'static [&'static str];

    async fn run(&self, step: &'static str, run: &Run) -> Result<(), StepError>;

    async fn undo(&self, step: &'static str, run: &Run) -> Result<(), StepError>;

    /// Brings the rows to their final state, in the transaction that ends the job.
    async fn finish(&self, repository: &mut Repository, run: &Run) -> db::Result<()>;

    /// What its user is told when it failed; not when they cancelled it themselves.
    fn complaint(&self, _: Cause) -> Option<Event> {
        None
    }

    /// Like [`Workflow::finish`], when the job failed or was cancelled, after everything was undone.
    async fn fail(&self, repository: &mut Repository, run: &Run, cause: Cause) -> db::Result<()>;
}
