//! What a job does: one file a workflow, its steps and how each is undone.
//!
//! Every step finds its own work done when it runs again, and every undo finds nothing to do when its step never
//! ran. Names on the pools are those of the Glance RBD store and the Cinder RBD driver (see [`names`]), so that
//! their pools can be taken over and given back.

mod create_snapshot;
mod create_volume;
mod delete_image;
mod delete_snapshot;
mod delete_volume;
mod extend_volume;
mod image_cache;
mod import_image;
mod intake;
mod lineage;
mod locks;
pub mod names;
mod origin;
mod reimage;
mod seal_image;
mod sweeper;
mod upload_image;
mod upload_volume;

use std::sync::Arc;

use crate::block::{BlockStore, Stores};
use crate::jobs::{StepError, Task, VolumeSource, Workflow};
use crate::transfer::TransferError;
use crate::web::Web;

pub use image_cache::Limits as CacheLimits;
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
    /// `image_volume_cache_enabled`
    pub image_cache: Option<CacheLimits>,
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
                VolumeSource::Disk { image_id } => {
                    Box::new(create_volume::FromConverted::new(context, volume_id, image_id))
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
            Task::UploadImage { image_id } => {
                Box::new(upload_image::InterruptedUpload::new(context, image_id, Arrival::Upload))
            }
            Task::StageImage { image_id } => {
                Box::new(upload_image::InterruptedUpload::new(context, image_id, Arrival::Stage))
            }
            Task::ImportImage { image_id, source, inject } => {
                Box::new(import_image::ImportImage::new(context, image_id, source, inject))
            }
            Task::Reimage { volume_id, image_id } => {
                Box::new(reimage::Reimage::new(context, volume_id, image_id))
            }
            Task::UploadVolume { volume_id, image_id } => {
                Box::new(upload_volume::UploadVolume::new(context, volume_id, image_id))
            }
            Task::DetachImage { image_id } => Box::new(upload_volume::DetachImage::new(context, image_id)),
            Task::SealImage { image_id } => Box::new(seal_image::SealImage::new(context, image_id)),
            Task::DeleteImage { image_id } => Box::new(delete_image::DeleteImage::new(context, image_id)),
        }
    }

    /// The store that is this pool, if it is one of ours.
    fn store_of(&self, pool: &str) -> Option<&Arc<dyn BlockStore>> {
        [&self.stores.volumes, &self.stores.images].into_iter().find(|store| store.pool() == pool)
    }
}

impl From<TransferError> for StepError {
    fn from(error: TransferError) -> Self {
        match error {
            TransferError::Storage(error) => error.into(),
            TransferError::Cancelled => StepError::cancelled(),
            TransferError::Content(danger) => {
                StepError::fatal(format!("The disk in the image cannot be read: {danger}."))
            }
            other => StepError {
                detail: crate::jobs::chain(&other),
                ..StepError::fatal("The bytes could not be copied.")
            },
        }
    }
}
