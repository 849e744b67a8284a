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
mod fence;
mod goes_on;
mod image_cache;
mod import_image;
mod intake;
mod lineage;
mod locks;
mod manage_snapshot;
mod manage_volume;
pub mod manageable;
mod move_volume;
pub mod names;
mod origin;
mod qos;
mod reimage;
mod remote;
mod replication;
mod reporter;
mod revert_volume;
mod seal_image;
mod storage;
mod sweeper;
mod tell_nova;
mod told;
mod unmanage_snapshot;
mod unmanage_volume;
mod upload_image;
mod upload_volume;

use std::collections::HashMap;
use std::sync::Arc;

use crate::block::{self, Backend, BlockStore, Stores};
use crate::db::Volume;
use crate::jobs::{Cause, Run, StepError, Task, VolumeSource, Workflow};
use crate::model::VolumeId;
use crate::signature::Certificates;
use crate::telemetry::chain;
use crate::transfer::TransferError;
use crate::web::{Nova, Regions, Web};

pub use fence::Fence;
pub use image_cache::Limits as CacheLimits;
pub use import_image::{FAILED, IMPORTING_TO, Imports};
pub use intake::Intake;
pub use lineage::{children, drop_clone_snapshot};
use origin::Origin;
pub use reporter::Reporter;
pub use sweeper::{Keep, Sweeper};
pub use upload_image::{Arrival, Upload, UploadError, upload_image};

/// What workflows need beside their job.
#[derive(Clone)]
pub struct Context {
    pub stores: Stores,
    pub options: Arc<Options>,
    pub web: Web,
    /// `None`: no image comes from there.
    pub regions: Option<Regions>,
    /// `None`: nobody is told.
    pub nova: Option<Arc<Nova>>,
    pub certificates: Certificates,
    locks: Arc<locks::Locks>,
}

/// What the configuration says about them.
#[derive(Clone, Debug)]
pub struct Options {
    /// By the name of the backend.
    pub making: HashMap<String, Making>,
    pub intake: Intake,
    pub imports: Imports,
    /// Of the places for images; `None` is that of `[images]`.
    pub weights: HashMap<Option<String>, i64>,
}

/// How volumes are made in a backend.
#[derive(Clone, Copy, Debug)]
pub struct Making {
    /// Of new volumes, in bytes.
    pub object_size: u64,
    /// `rbd_flatten_volume_from_snapshot`
    pub flatten_from_snapshot: bool,
    /// `rbd_max_clone_depth`
    pub max_clone_depth: i64,
    /// `image_volume_cache_enabled`
    pub image_cache: Option<CacheLimits>,
}

/// As a backend makes them that says nothing about it.
const MAKING: Making =
    Making { object_size: 4 << 20, flatten_from_snapshot: false, max_clone_depth: 5, image_cache: None };

impl Context {
    pub fn new(
        stores: Stores,
        options: Options,
        web: Web,
        regions: Option<Regions>,
        nova: Option<Nova>,
        certificates: Certificates,
    ) -> Self {
        let nova = nova.map(Arc::new);
        Self { stores, options: Arc::new(options), web, regions, nova, certificates, locks: Arc::default() }
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
                VolumeSource::Volume { volume_id: source } => {
                    Box::new(create_volume::FromVolume::new(context, volume_id, source))
                }
                VolumeSource::Image { image_id, signed_by } => {
                    let origin = Origin::new(image_id, signed_by, volume_id.clone());
                    Box::new(create_volume::FromImage::new(context, volume_id, origin))
                }
                VolumeSource::Disk { image_id, signed_by } => {
                    let origin = Origin::new(image_id, signed_by, volume_id.clone());
                    Box::new(create_volume::FromConverted::new(context, volume_id, origin))
                }
            },
            Task::DeleteVolume { volume_id } => {
                Box::new(delete_volume::DeleteVolume::new(context, volume_id))
            }
            Task::ExtendVolume { volume_id, new_size } => {
                Box::new(extend_volume::ExtendVolume::new(context, volume_id, new_size))
            }
            Task::TellNova { volume_id, news, servers } => {
                Box::new(tell_nova::TellNova::new(context, volume_id, news, servers))
            }
            Task::RevertVolume { volume_id, snapshot_id } => {
                Box::new(revert_volume::RevertVolume::new(context, volume_id, snapshot_id))
            }
            Task::ManageVolume { volume_id, source } => {
                Box::new(manage_volume::ManageVolume::new(context, volume_id, source))
            }
            Task::UnmanageVolume { volume_id } => {
                Box::new(unmanage_volume::UnmanageVolume::new(context, volume_id))
            }
            Task::ManageSnapshot { snapshot_id, volume_id, source, was_protected } => {
                let source = manage_snapshot::Source { name: source, is_protected: was_protected };
                Box::new(manage_snapshot::ManageSnapshot::new(context, snapshot_id, volume_id, source))
            }
            Task::UnmanageSnapshot { snapshot_id, volume_id } => {
                Box::new(unmanage_snapshot::UnmanageSnapshot::new(context, snapshot_id, volume_id))
            }
            Task::RetypeVolume { volume_id, volume_type_id, from, to } => {
                let new_type = Some(volume_type_id);
                Box::new(move_volume::MoveVolume::new(context, volume_id, new_type, from, to))
            }
            Task::MigrateVolume { volume_id, from, to } => {
                Box::new(move_volume::MoveVolume::new(context, volume_id, None, from, to))
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
            Task::ImportNewImage { image_id, import, .. } => {
                Box::new(import_image::ImportImage::of_new_image(context, image_id, import))
            }
            Task::AddLocation { image_id, location } => {
                Box::new(add_location::AddLocation::new(context, image_id, location))
            }
            Task::Reimage { volume_id, image_id, signed_by, readable } => {
                let origin = Origin::new(image_id, signed_by, volume_id.clone());
                Box::new(reimage::Reimage::new(context, volume_id, origin, readable))
            }
            Task::UploadVolume { volume_id, image_id } => {
                Box::new(upload_volume::UploadVolume::new(context, volume_id, image_id))
            }
            Task::DetachImage { image_id } => Box::new(upload_volume::DetachImage::new(context, image_id)),
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

    /// Where a volume lies, as its row says.
    fn backend(&self, volume: &Volume) -> Result<&Backend, StepError> {
        self.backend_at(volume.host.as_deref())
    }

    /// One that is not configured any more can be asked for nothing, nor for anything to be undone.
    fn backend_at(&self, host: Option<&str>) -> Result<&Backend, StepError> {
        let why = "The volume lies in a backend that is not configured.";
        self.stores.volumes.of(host).ok_or_else(|| StepError::new(Cause::Gone, why, ""))
    }

    /// Likewise, of a volume of which only the id is known.
    async fn backend_of(&self, volume: &VolumeId, run: &Run) -> Result<&Backend, StepError> {
        let row = run.database.read().await?.volume(volume).await?;
        self.backend(&row.ok_or_else(|| StepError::gone("volume"))?)
    }

    async fn store_of(&self, volume: &VolumeId, run: &Run) -> Result<&Arc<dyn BlockStore>, StepError> {
        Ok(&self.backend_of(volume, run).await?.store)
    }

    fn making(&self, backend: &Backend) -> &Making {
        self.options.making.get(&*backend.name).unwrap_or(&MAKING)
    }

    fn all_stores(&self) -> impl Iterator<Item = &Arc<dyn BlockStore>> {
        let images = self.stores.all_images().map(|(_, store)| store);
        self.stores.volumes.iter().map(|backend| &backend.store).chain(images)
    }

    /// The store that is this pool of this cluster, if it is one of ours.
    async fn pool_of(&self, fsid: &str, pool: &str) -> block::Result<Option<&Arc<dyn BlockStore>>> {
        let mut unknown = None;
        for store in self.all_stores().filter(|store| store.pool() == pool) {
            match store.fsid().await {
                Ok(found) if found == fsid => return Ok(Some(store)),
                Ok(_) => {}
                Err(error) => unknown = Some(error),
            }
        }
        unknown.map_or(Ok(None), Err)
    }

    /// Likewise, of the cluster that this store is in.
    async fn pool_beside<'a>(
        &'a self,
        store: &'a Arc<dyn BlockStore>,
        pool: &str,
    ) -> block::Result<Option<&'a Arc<dyn BlockStore>>> {
        if store.pool() == pool {
            return Ok(Some(store));
        }
        self.pool_of(&store.fsid().await?, pool).await
    }
}

/// Whether both are one pool of one cluster.
async fn is_one_place(one: &Arc<dyn BlockStore>, other: &Arc<dyn BlockStore>) -> block::Result<bool> {
    Ok(one.pool() == other.pool() && in_one_cluster(one, other).await?)
}

/// Whether one can clone from the other.
async fn in_one_cluster(one: &Arc<dyn BlockStore>, other: &Arc<dyn BlockStore>) -> block::Result<bool> {
    Ok(Arc::ptr_eq(one, other) || one.fsid().await? == other.fsid().await?)
}

impl From<TransferError> for StepError {
    fn from(error: TransferError) -> Self {
        match error {
            TransferError::Storage(error) => error.into(),
            TransferError::Cancelled => StepError::cancelled(),
            TransferError::Content(danger) => {
                StepError::fatal(format!("The disk in the image cannot be read: {danger}."))
            }
            other => {
                StepError { detail: chain(&other), ..StepError::fatal("The bytes could not be copied.") }
            }
        }
    }
}
