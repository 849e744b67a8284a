//! An image gets the snapshot that volumes are cloned from, in each store that has it.
//!
//! A job of its own, after the upload: its client need not wait for the monitor, which answers a snapshot only with
//! its next proposal.

use std::cmp::Reverse;
use std::sync::Arc;

use async_trait::async_trait;

use super::{Context, lineage, names};
use crate::block::BlockStore;
use crate::db::{self, Image, Location, Repository};
use crate::jobs::{Cause, Run, StepError, Workflow};
use crate::model::ImageId;

/// Makes the snapshot in a store, unless it is there, and writes down the location, which is what it answers.
pub(super) async fn seal(
    context: &Context,
    id: &ImageId,
    store: Option<&str>,
    run: &Run,
) -> Result<String, StepError> {
    let kept = context.images_in(store)?;
    {
        let _lock = context.locks.lock(id.as_str()).await;
        lineage::take_snapshot(kept, id.as_str(), names::IMAGE_SNAPSHOT).await?;
    }
    let location = names::location(&kept.fsid().await?, kept.pool(), id.as_str());
    let mut repository = run.transaction().await?;
    // A request that changes its locations writes down those it has read.
    repository.image_to_change(id).await?;
    repository.set_location(id, store, Some(&location)).await?;
    repository.commit().await?;
    Ok(location)
}

/// Likewise in all stores that have the bytes.
pub(super) async fn seal_all(context: &Context, id: &ImageId, run: &Run) -> Result<(), StepError> {
    let Some(image) = run.database.read().await?.image(id).await? else { return Ok(()) };
    for place in image.places().filter(|place| place.url.is_none()) {
        seal(context, id, place.store.as_deref(), run).await?;
    }
    Ok(())
}

/// What a volume in `volumes` is cloned from, or copied: the best place in its own cluster, if there is one, else the
/// best one.
pub(super) async fn source(
    context: &Context,
    image: &Image,
    volumes: &Arc<dyn BlockStore>,
    run: &Run,
) -> Result<String, StepError> {
    let mut places: Vec<&Location> = image.places().filter(|place| !place.is_on_the_web()).collect();
    places.sort_by_key(|place| Reverse(context.options.weights.get(&place.store).copied()));
    let mut best = places.first().copied();
    if places.len() > 1 {
        let fsid = volumes.fsid().await?;
        for place in places {
            if lies_in(context, place, &fsid).await {
                best = Some(place);
                break;
            }
        }
    }
    match best {
        Some(Location { url: Some(url), .. }) => Ok(url.clone()),
        // The job that was to make the snapshot came first, but failed.
        Some(place) => seal(context, &image.id, place.store.as_deref(), run).await,
        None => Err(StepError::fatal("The image has no bytes in a store that is configured.")),
    }
}

/// Whether it is in this cluster; a store that does not answer is not.
async fn lies_in(context: &Context, place: &Location, fsid: &str) -> bool {
    match (&place.url, context.images_in(place.store.as_deref())) {
        (Some(url), _) => names::parse_location(url).is_some_and(|location| location.fsid == fsid),
        (None, Ok(store)) => store.fsid().await.is_ok_and(|found| found == fsid),
        (None, Err(_)) => false,
    }
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
        seal_all(&self.context, &self.id, run).await
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
