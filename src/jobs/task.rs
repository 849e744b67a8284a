//! What the queue can be asked to do. The payload of a job: short, for the rows say the rest.

use serde::{Deserialize, Serialize};

use crate::db::{NewJob, Resource};
use crate::model::{Gib, ImageId, JobId, ProjectId, SnapshotId, VolumeId};

/// Where a new volume's bytes come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VolumeSource {
    Empty,
    Snapshot { snapshot_id: SnapshotId, volume_id: VolumeId },
    Volume { volume_id: VolumeId },
    Image { image_id: ImageId },
}

/// Where the bytes of an imported image come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImportSource {
    /// They arrived already.
    Staged,
    Web {
        uri: String,
    },
    /// It has them: they are copied to other stores.
    Itself,
}

/// What an import is to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Import {
    pub source: ImportSource,
    /// The ids of the stores; `None` is that of `[images]`.
    pub stores: Vec<Option<String>>,
    /// One store that fails fails it all; else one that succeeds is enough.
    pub all_must_succeed: bool,
    /// The image is given the properties of `inject_metadata_properties`.
    pub inject: bool,
}

/// Bytes on a web server that become an image's content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewLocation {
    /// The id of the store for web servers.
    pub store: String,
    pub url: String,
    /// Of the digest, as `hashlib` calls it.
    pub hash_algo: String,
    /// In hexadecimal, if the request named it.
    pub hash_value: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// `creating` to `available` or `error`.
    CreateVolume { volume_id: VolumeId, source: VolumeSource },
    /// `deleting` to no row, back to what it was (open elsewhere), or `error_deleting`.
    DeleteVolume { volume_id: VolumeId },
    /// `extending` to what it was, larger, or `error_extending`.
    ExtendVolume { volume_id: VolumeId, new_size: Gib },
    /// `creating` to `available` or `error`.
    CreateSnapshot { snapshot_id: SnapshotId, volume_id: VolumeId },
    /// `deleting` to no row, back to `available` (in use), or `error_deleting`.
    DeleteSnapshot { snapshot_id: SnapshotId, volume_id: VolumeId },
    /// `saving` to `active`, or back to `queued`. Carried out by the request that brings the bytes; a worker
    /// that claims it finds no bytes and undoes it.
    UploadImage {
        image_id: ImageId,
        #[serde(default)]
        store: Option<String>,
    },
    /// `uploading` until an import, or back to `queued`. Carried out like an upload.
    StageImage { image_id: ImageId },
    /// `importing` to `active`, or back to `queued`. An `active` image that is copied stays so.
    ImportImage { image_id: ImageId, import: Import },
    /// `importing` to `active`, or back to `queued`.
    AddLocation { image_id: ImageId, location: NewLocation },
    /// Makes the snapshot of an `active` image; its status stays.
    SealImage { image_id: ImageId },
    /// `deleted` to no row, or back to what it was (in use).
    DeleteImage { image_id: ImageId },
    /// Removes the bytes of an `active` image in one store of several; its status stays.
    DeleteFromStore { image_id: ImageId, store: Option<String> },
}

/// Who asked, for the job's row and the logs.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    pub project_id: Option<ProjectId>,
    pub request_id: Option<String>,
}

impl Task {
    /// The name of the workflow, as `/pumice/v1/jobs` shows it.
    pub fn kind(&self) -> &'static str {
        match self {
            Task::CreateVolume { .. } => "create_volume",
            Task::DeleteVolume { .. } => "delete_volume",
            Task::ExtendVolume { .. } => "extend_volume",
            Task::CreateSnapshot { .. } => "create_snapshot",
            Task::DeleteSnapshot { .. } => "delete_snapshot",
            Task::UploadImage { .. } => "upload_image",
            Task::StageImage { .. } => "stage_image",
            Task::ImportImage { .. } => "import_image",
            Task::AddLocation { .. } => "add_location",
            Task::SealImage { .. } => "seal_image",
            Task::DeleteImage { .. } => "delete_image",
            Task::DeleteFromStore { .. } => "delete_from_store",
        }
    }

    fn resource(&self) -> Resource {
        let (kind, id) = match self {
            Task::CreateVolume { volume_id, .. }
            | Task::DeleteVolume { volume_id }
            | Task::ExtendVolume { volume_id, .. } => ("volume", volume_id.as_str()),
            Task::CreateSnapshot { snapshot_id, .. } | Task::DeleteSnapshot { snapshot_id, .. } => {
                ("snapshot", snapshot_id.as_str())
            }
            Task::UploadImage { image_id, .. }
            | Task::StageImage { image_id }
            | Task::ImportImage { image_id, .. }
            | Task::AddLocation { image_id, .. }
            | Task::SealImage { image_id }
            | Task::DeleteImage { image_id }
            | Task::DeleteFromStore { image_id, .. } => ("image", image_id.as_str()),
        };
        Resource { kind, id: id.to_owned() }
    }

    /// What it reads from or works inside of, which must stay until it is over.
    fn source_id(&self) -> Option<String> {
        match self {
            Task::CreateVolume { source, .. } => match source {
                VolumeSource::Empty => None,
                VolumeSource::Snapshot { snapshot_id, .. } => Some(snapshot_id.to_string()),
                VolumeSource::Volume { volume_id } => Some(volume_id.to_string()),
                VolumeSource::Image { image_id } => Some(image_id.to_string()),
            },
            Task::CreateSnapshot { volume_id, .. } | Task::DeleteSnapshot { volume_id, .. } => {
                Some(volume_id.to_string())
            }
            _ => None,
        }
    }

    /// The row that [`crate::db::Repository::enqueue`] takes.
    pub fn into_job(self, id: JobId, origin: &Origin) -> Result<NewJob, serde_json::Error> {
        Ok(NewJob {
            id,
            kind: self.kind(),
            resource: self.resource(),
            source_id: self.source_id(),
            project_id: origin.project_id.clone(),
            request_id: origin.request_id.clone(),
            payload: serde_json::to_value(&self)?,
        })
    }
}
