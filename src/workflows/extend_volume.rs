//! A volume grows. Nothing is undone: a larger image under an unchanged row loses nothing, and the next extend or
//! delete takes it as it is.

use async_trait::async_trait;

use super::{Context, names, qos, tell_nova};
use crate::block::OpenMode;
use crate::db::{self, Repository, VolumeChange};
use crate::jobs::{Cause, Run, StepError, Workflow};
use crate::model::{Action, Detail, Event, Gib, VolumeId, VolumeNews, VolumeStatus};

pub(super) struct ExtendVolume {
    context: Context,
    id: VolumeId,
    size: Gib,
}

impl ExtendVolume {
    pub(super) fn new(context: Context, id: VolumeId, size: Gib) -> Self {
        Self { context, id, size }
    }

    /// Limits grow with the volume.
    async fn settings(&self, run: &Run) -> Result<qos::Settings, StepError> {
        let mut repository = run.database.read().await?;
        let Some(row) = repository.volume(&self.id).await? else { return Ok(qos::Settings::new()) };
        Ok(qos::settings(&mut repository, &row.volume_type_id, self.size).await?)
    }
}

#[async_trait]
impl Workflow for ExtendVolume {
    fn steps(&self) -> &'static [&'static str] {
        &["resize"]
    }

    async fn run(&self, _: &'static str, run: &Run) -> Result<(), StepError> {
        let store = self.context.store_of(&self.id, run).await?;
        let settings = self.settings(run).await?;
        let image = store.open(&names::volume(&self.id), OpenMode::ReadWrite).await?;
        let resized = image.grow(self.size.bytes()).await;
        let limited = qos::apply(&*image, &settings).await;
        image.close().await?;
        Ok(resized.and(limited)?)
    }

    async fn undo(&self, _: &'static str, _: &Run) -> Result<(), StepError> {
        Ok(())
    }

    async fn finish(&self, repository: &mut Repository, run: &Run) -> db::Result<()> {
        // Its attachments may have come and gone meanwhile.
        repository.volume_to_change(&self.id).await?;
        let back = repository.status_by_attachments(&self.id).await?;
        let change = VolumeChange { size: Some(self.size), ..VolumeChange::default() };
        if repository.change_volume(&self.id, VolumeStatus::Extending, back, &change, run.now()).await? {
            tell_nova::spread(&self.context, repository, &self.id, VolumeNews::Extended, run).await?;
        }
        Ok(())
    }

    async fn fail(&self, repository: &mut Repository, run: &Run, _: Cause) -> db::Result<()> {
        let (from, to) = (VolumeStatus::Extending, VolumeStatus::ErrorExtending);
        repository.change_volume(&self.id, from, to, &VolumeChange::default(), run.now()).await?;
        Ok(())
    }

    fn complaint(&self, _: Cause) -> Option<Event> {
        Some(Event::new(Action::ExtendVolume, Detail::StoreExtend))
    }
}
