//! A volume is forgotten. Its image stays on the pool, with its name.

use async_trait::async_trait;

use super::{Context, names};
use crate::db::{self, Leftover, Repository, VolumeChange};
use crate::jobs::{Cause, Run, StepError, Workflow};
use crate::model::{VolumeId, VolumeStatus};

/// A job, although it has nothing to do on the pool: it waits for those that still read from the volume.
pub(super) struct UnmanageVolume {
    context: Context,
    id: VolumeId,
}

impl UnmanageVolume {
    pub(super) fn new(context: Context, id: VolumeId) -> Self {
        Self { context, id }
    }

    /// What the volume left here before it came back is noted under the name that is its own again, and without a row
    /// nobody could tell the two apart: what clones keep of it is noted under the name that it has.
    async fn spare(&self, repository: &mut Repository, run: &Run) -> db::Result<()> {
        let Some(row) = repository.volume(&self.id).await? else { return Ok(()) };
        let Ok(backend) = self.context.backend(&row) else { return Ok(()) };
        let (pool, name) = (backend.store.pool().to_owned(), names::of(&row));
        let kept = Leftover { pool: pool.clone(), name: names::deleted(&name) };
        let left = Leftover { pool, name };
        if repository.has_leftover(&left).await? {
            repository.remove_leftover(&left).await?;
            repository.add_leftover(&kept, run.now()).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Workflow for UnmanageVolume {
    fn steps(&self) -> &'static [&'static str] {
        &[]
    }

    async fn run(&self, _: &'static str, _: &Run) -> Result<(), StepError> {
        Ok(())
    }

    async fn undo(&self, _: &'static str, _: &Run) -> Result<(), StepError> {
        Ok(())
    }

    async fn finish(&self, repository: &mut Repository, run: &Run) -> db::Result<()> {
        self.spare(repository, run).await?;
        repository.remove_volume(&self.id).await?;
        Ok(())
    }

    async fn fail(&self, repository: &mut Repository, run: &Run, _: Cause) -> db::Result<()> {
        let (from, to) = (VolumeStatus::Unmanaging, VolumeStatus::ErrorUnmanaging);
        repository.change_volume(&self.id, from, to, &VolumeChange::default(), run.now()).await?;
        Ok(())
    }
}
