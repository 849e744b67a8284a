//! Nova is told what its instances should know of a volume. By then the volume is what they will find: whatever comes of
//! the telling changes nothing about it.

use async_trait::async_trait;

use super::Context;
use crate::db::{self, Repository};
use crate::jobs::{self, Cause, Origin, Run, StepError, Task, Workflow};
use crate::model::{Action, Detail, Event, VolumeId, VolumeNews};
use crate::web::NovaError;

pub(super) struct TellNova {
    context: Context,
    volume_id: VolumeId,
    news: VolumeNews,
    servers: Vec<String>,
}

impl TellNova {
    pub(super) fn new(context: Context, volume_id: VolumeId, news: VolumeNews, servers: Vec<String>) -> Self {
        Self { context, volume_id, news, servers }
    }
}

/// Has it told in a job of its own, to the instances that the volume is attached to or reserved for, if there are any
/// and there is a Nova. In the transaction that makes it true.
pub(super) async fn spread(
    context: &Context,
    repository: &mut Repository,
    volume_id: &VolumeId,
    news: VolumeNews,
    run: &Run,
) -> db::Result<()> {
    if context.nova.is_none() {
        return Ok(());
    }
    let attachments = repository.attachments_of(volume_id).await?;
    let servers: Vec<String> = attachments.into_iter().filter_map(|one| one.instance_id).collect();
    if servers.is_empty() {
        return Ok(());
    }
    let asked = repository.job(&run.id).await?;
    let origin = asked.map(|job| Origin { project_id: job.project_id, request_id: job.request_id });
    let task = Task::TellNova { volume_id: volume_id.clone(), news, servers };
    jobs::follow_up(repository, &run.world, task, &origin.unwrap_or_default()).await.map(drop)
}

#[async_trait]
impl Workflow for TellNova {
    fn steps(&self) -> &'static [&'static str] {
        &["tell"]
    }

    async fn run(&self, _: &'static str, _: &Run) -> Result<(), StepError> {
        let Some(nova) = &self.context.nova else { return Ok(()) };
        let told = nova.tell(self.news, &self.volume_id, &self.servers).await;
        told.map_err(|error| {
            let (cause, message) = match &error {
                NovaError::Silent(_) => (Cause::Transient, "Nova does not answer."),
                NovaError::Refused(_) => (Cause::Fatal, "Nova refused to hear of it."),
            };
            StepError::new(cause, message, error.to_string())
        })
    }

    /// What was said is said.
    async fn undo(&self, _: &'static str, _: &Run) -> Result<(), StepError> {
        Ok(())
    }

    async fn finish(&self, _: &mut Repository, _: &Run) -> db::Result<()> {
        Ok(())
    }

    async fn fail(&self, _: &mut Repository, _: &Run, _: Cause) -> db::Result<()> {
        Ok(())
    }

    fn complaint(&self, _: Cause) -> Option<Event> {
        Some(match self.news {
            VolumeNews::Extended => Event::new(Action::ExtendVolume, Detail::ComputeExtend),
            VolumeNews::Reimaged => Event::new(Action::ReimageVolume, Detail::Reimage),
        })
    }
}
