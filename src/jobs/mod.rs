//! The durable queue: what may be asked for ([`Task`]), and the workers that do it ([`Worker`]).
//!
//! A job is enqueued in the transaction that changes the row it will finish ([`enqueue`]), claimed under a lease
//! and a fence, and ends in the transaction that brings the row to its final status.

mod backlog;
mod faults;
mod fence;
mod keeper;
mod run;
mod task;
mod worker;
mod workflow;

pub use crate::model::Cause;
pub use backlog::Backlog;
pub use faults::{Fault, Faults, Moment, NoFaults, faults_of_a_service};
pub use fence::Fence;
pub use keeper::{Keeper, KeptLease};
pub use run::Run;
pub use task::{
    BeforeImport, Destination, Import, ImportSource, NewLocation, Origin, RegionSource, Task, VolumeSource,
    parent_of,
};
pub use worker::{Options, Worker};
pub use workflow::{StepError, Workflow};

use crate::db::{self, JobFilter, Page, Repository};
use crate::model::{JobId, JobState, World};

/// Puts a task that somebody asked for into the queue, in the caller's transaction, if there is room.
pub async fn enqueue(
    repository: &mut Repository,
    world: &World,
    task: Task,
    origin: &Origin,
) -> db::Result<JobId> {
    repository.check_queue(origin.project_id.as_ref()).await?;
    follow_up(repository, world, task, origin).await
}

/// Likewise, a task that follows from one that was accepted: it is never refused.
pub async fn follow_up(
    repository: &mut Repository,
    world: &World,
    task: Task,
    origin: &Origin,
) -> db::Result<JobId> {
    let id = JobId::from(world.ids.ordered());
    let job = task.into_job(id.clone(), origin).map_err(db::DbError::from)?;
    repository.enqueue(&job, world.now()).await?;
    Ok(id)
}

/// Whether such a job on the same resource waits or runs already.
pub async fn is_open(repository: &mut Repository, task: &Task) -> db::Result<bool> {
    let open = JobFilter {
        kind: Some(vec![task.kind().to_owned()]),
        resource_id: Some(task.resource().id),
        state: Some(vec![JobState::Queued, JobState::Running]),
        ..JobFilter::default()
    };
    let first = Page { limit: Some(1), ..Page::default() };
    Ok(!repository.jobs_in_brief(&open, &first).await?.is_empty())
}
