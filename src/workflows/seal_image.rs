//! An image gets the snapshot that volumes are cloned from.
//!
//! A job of its own, after the upload: its client need not wait for the monitor, which answers a snapshot only with
//! its next proposal.

use async_trait::async_trait;

use super::{Context, lineage, names};
use crate::db::{self, Repository};
use crate::jobs::{Cause, Run, StepError, Workflow};
use crate::model::ImageId;

/// Makes the snapshot, unless it is there, and writes down the location, which is what it answers.
pub(super) async fn seal(context: &Context, id: &ImageId, run: &Run) -> Result<String, StepError> {
    let store = &context.stores.images;
    {
        let _lock = context.locks.lock(id.as_str()).await;
        lineage::take_snapshot(store, id.as_str(), names::IMAGE_SNAPSHOT).await?;
    }
    let location = names::location(&store.fsid().await?, store.pool(), id.as_str());
    let mut repository = run.transaction().await?;
    repository.set_image_location(id, Some(&location)).await?;
    repository.commit().await?;
    Ok(location)
}

pub(super) struct SealImage {
    context: Context,
    id: ImageId,
}

impl SealImage {
    pub(super) fn new(context: Context, id: ImageId) -> Self {
        Self { context, id }
    }
}

#[async_trait]
impl Workflow for SealImage {
    fn steps(&self) -> &'static [&'static str] {
        &["snapshot"]
    }

    async fn run(&self, _: &'static str, run: &Run) -> Result<(), StepError> {
        seal(&self.context, &self.id, run).await.map(drop)
    }

    /// A snapshot that is there does no harm: it goes with the image.
    async fn undo(&self, _: &'static str, _: &Run) -> Result<(), StepError> {
        Ok(())
    }

    async fn finish(&self, _: &mut Repository, _: &Run) -> db::Result<()> {
        Ok(())
    }

    /// The bytes are whole: the image stays `active`, and the first volume made from it makes the snapshot.
    async fn fail(&self, _: &mut Repository, _: &Run, _: Cause) -> db::Result<()> {
        Ok(())
    }
}
