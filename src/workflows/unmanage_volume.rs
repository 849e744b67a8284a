//! A volume is forgotten. Its image stays on the pool, with its name.

use async_trait::async_trait;

use crate::db::{self, Repository, VolumeChange};
use crate::jobs::{Cause, Run, StepError, Workflow};
use crate::model::{VolumeId, VolumeStatus};

/// A job, although it has nothing to do: it waits for those that still read from the volume.
pub(super) struct UnmanageVolume {
    id: VolumeId,
}

impl UnmanageVolume {
    pub(super) fn new(id: VolumeId) -> Self {
        Self { id }
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

    async fn finish(&self, repository: &mut Repository, _: &Run) -> db::Result<()> {
        repository.remove_volume(&self.id).await?;
        Ok(())
    }

    async fn fail(&self, repository: &mut Repository, run: &Run, _: Cause) -> db::Result<()> {
        let (from, to) = (VolumeStatus::Unmanaging, VolumeStatus::ErrorUnmanaging);
        repository.change_volume(&self.id, from, to, &VolumeChange::default(), run.now()).await?;
        Ok(())
    }
}
