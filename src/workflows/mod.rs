//! What a job does: one file a workflow, its steps and how each is undone.
//!
//! Every step finds its own work done when it runs again, and every undo finds nothing to do when its step never
//! ran. Names on the pools are those of the Glance RBD store and the Cinder RBD driver (see [`names`]), so that
//! their pools can be taken over and given back.

mod add_location;
mod create_snapshot;
mod create_volume;
mod delete_image;
mod delete_snapshot;
mod delete_volume;
mod extend_volume;
mod import_image;
mod intake;
mod lineage;
mod locks;
pub mod names;
mod seal_image;
mod sweeper;
mod upload_image;

use std::sync::Arc;

use crate::block::{BlockStore, Stores};
use crate::jobs::{StepError, Task, VolumeSource, Workflow};
use crate::transfer::TransferError;
use crate::web::Web;

pub use import_image::{FAILED, IMPORTING_TO, Imports};
pub use intake::Intake;
pub use sweeper::Sweeper;
pub use upload_image::{Arrival, Upload, UploadError, upload_image};

/// What workflows need beside their job.
#[derive(Clone)]
pub struct Context {
    pub stores: Stores,
    pub options: Arc<Options>,
    pub web: Web,
    locks: Arc<locks::Locks>,
}

#[derive(Clone, Debug)]
pub struct Options {
    /// Object size of new volumes, in bytes.
    pub volume_object_size: u64,
    /// `rbd_flatten_volume_from_snapshot`
    pub flatten_volume_from_snapshot: bool,
    /// `rbd_max_clone_depth`
    pub max_clone_depth: i64,
    pub intake: Intake,
    pub imports: Imports,
}

impl Context {
    pub fn new(stores: Stores, options: Options, web: Web) -> Self {
        Self { stores, options: Arc::new(options), web, locks: Arc::default() }
    }

    /// The workflow for a task, to be handed to [`crate::jobs::Worker`].
    pub fn build(&self, task: Task) -> Box<dyn Workflow> {
        let context = self.clone();
        match task {
            Task::CreateVolume { volume_id, source } => match source {
                VolumeSource::Empty => Box::new(create_volume::Empty::new(context, volume_id)),
                VolumeSource::Snapshot { snapshot_id, volume_id: of } => {
                    Box::new(create_volume::FromSnapshot::new(context, volume_id, snapshot_id, of))
                }
                VolumeSource::Volume { volume_id: source } if context.options.max_clone_depth > 0 => {
                    Box::new(create_volume::FromVolume::new(context, volume_id, source))
                }
                VolumeSource::Volume { volume_id: source } => {
                    Box::new(create_volume::CopyOfVolume::new(context, volume_id, source))
                }
                VolumeSource::Image { image_id } => {
                    Box::new(create_volume::FromImage::new(context, volume_id, image_id))
                }
            },
            Task::DeleteVolume { volume_id } => {
                Box::new(delete_volume::DeleteVolume::new(context, volume_id))
            }
            Task::ExtendVolume { volume_id, new_size } => {
                Box::new(extend_volume::ExtendVolume::new(context, volume_id, new_size))
            }
            Task::CreateSnapshot { snapshot_id, volume_id } => {
                Box::new(create_snapshot::CreateSnapshot::new(context, snapshot_id, volume_id))
            }
            Task::DeleteSnapshot { snapshot_id, volume_id } => {
                Box::new(delete_snapshot::DeleteSnapshot::new(context, snapshot_id, volume_id))
            }
            Task::UploadImage { image_id, store } => {
                let arrival = Arrival::Upload { store };
                Box::new(upload_image::InterruptedUpload::new(context, image_id, arrival))
            }
            Task::StageImage { image_id } => {
                Box::new(upload_image::InterruptedUpload::new(context, image_id, Arrival::Stage))
            }
            Task::ImportImage { image_id, import } => {
                Box::new(import_image::ImportImage::new(context, image_id, import))
            }
            Task::AddLocation { image_id, location } => {
                Box::new(add_location::AddLocation::new(context, image_id, location))
            }
            Task::SealImage { image_id } => Box::new(seal_image::SealImage::new(context, image_id)),
            Task::DeleteImage { image_id } => {
                Box::new(delete_image::DeleteImage::new(context, image_id, delete_image::Extent::All))
            }
            Task::DeleteFromStore { image_id, store } => {
                let extent = delete_image::Extent::In(store);
                Box::new(delete_image::DeleteImage::new(context, image_id, extent))
            }
        }
    }

    /// The place for images with this id; `None` is the first one's.
    fn images_in(&self, id: Option<&str>) -> Result<&Arc<dyn BlockStore>, StepError> {
        let store = self.stores.images_in(id);
        store.ok_or_else(|| StepError::fatal("The image lies in a store that is not configured."))
    }

    /// The store that is this pool, if it is one of ours.
    fn store_of(&self, pool: &str) -> Option<&Arc<dyn BlockStore>> {
        let images = self.stores.all_images().map(|(_, store)| store);
        std::iter::once(&self.stores.volumes).chain(images).find(|store| store.pool() == pool)
    }
}

impl From<TransferError> for StepError {
    fn from(error: TransferError) -> Self {
        match error {
            TransferError::Storage(error) => error.into(),
            TransferError::Cancelled => StepError::cancelled(),
            other => StepError {
                detail: crate::jobs::chain(&other),
                ..StepError::fatal("The bytes could not be copied.")
            },
        }
    }
}
