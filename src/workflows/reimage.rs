//! A volume gets the bytes of another image. Its snapshots stay: they are of what it was before.

use std::collections::BTreeSet;

use async_trait::async_trait;

use super::origin::Origin;
use super::{Context, names, tell_nova};
use crate::db::{self, Json, Repository, VolumeChange};
use crate::jobs::{Cause, Run, StepError, Workflow};
use crate::model::{VolumeId, VolumeNews, VolumeStatus};

pub(super) struct Reimage {
    context: Context,
    id: VolumeId,
    origin: Origin,
    /// The names of the properties that it may show; `None`: all.
    readable: Option<BTreeSet<String>>,
}

impl Reimage {
    pub(super) fn new(
        context: Context,
        id: VolumeId,
        origin: Origin,
        readable: Option<BTreeSet<String>>,
    ) -> Self {
        Self { context, id, origin, readable }
    }

    async fn leave(&self, repository: &mut Repository, run: &Run, status: VolumeStatus) -> db::Result<()> {
        let (from, change) = (VolumeStatus::Downloading, VolumeChange::default());
        repository.change_volume(&self.id, from, status, &change, run.now()).await?;
        Ok(())
    }
}

#[async_trait]
impl Workflow for Reimage {
    fn steps(&self) -> &'static [&'static str] {
        &["write", "tidy"]
    }

    async fn run(&self, step: &'static str, run: &Run) -> Result<(), StepError> {
        let store = self.context.store_of(&self.id, run).await?;
        if step == "tidy" {
            return self.origin.tidy(store, run).await;
        }
        let source = self.origin.open(&self.context, store, run).await?;
        source.write(store, &names::volume(&self.id), false, run).await
    }

    /// What was overwritten is not brought back; reimaged once more it is whole.
    async fn undo(&self, _: &'static str, run: &Run) -> Result<(), StepError> {
        self.origin.tidy(self.context.store_of(&self.id, run).await?, run).await
    }

    async fn finish(&self, repository: &mut Repository, run: &Run) -> db::Result<()> {
        if let Some(mut image) = repository.image(&self.origin.image).await? {
            if let Some(readable) = &self.readable {
                image.properties.0.retain(|name, _| readable.contains(name));
            }
            repository.set_image_metadata(&self.id, Some(&Json(image.volume_metadata()))).await?;
        }
        repository.volume_to_change(&self.id).await?;
        let back = repository.status_by_attachments(&self.id).await?;
        self.leave(repository, run, back).await?;
        if back == VolumeStatus::Reserved {
            // The instance waits for it.
            tell_nova::spread(&self.context, repository, &self.id, VolumeNews::Reimaged, run).await?;
        }
        Ok(())
    }

    async fn fail(&self, repository: &mut Repository, run: &Run, _: Cause) -> db::Result<()> {
        self.leave(repository, run, VolumeStatus::Error).await
    }
}
