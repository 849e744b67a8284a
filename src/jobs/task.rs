//! What the queue can be asked to do. The payload of a job: short, for the rows say the rest.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::db::{Image, NewJob, OF_STORES, Resource};
use crate::model::{Gib, ImageId, JobId, ProjectId, SnapshotId, UserId, VolumeId, VolumeNews, VolumeTypeId};

/// Where a new volume's bytes come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VolumeSource {
    Empty,
    Snapshot {
        snapshot_id: SnapshotId,
        volume_id: VolumeId,
    },
    Volume {
        volume_id: VolumeId,
    },
    Image {
        image_id: ImageId,
        /// The key that the bytes must be signed by, where the image is signed and on the web alone.
        #[serde(default)]
        signed_by: Option<String>,
    },
    /// What an image that is not raw holds.
    Disk {
        image_id: ImageId,
        #[serde(default)]
        signed_by: Option<String>,
    },
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
    /// An image of another region of the cloud.
    Region(Box<RegionSource>),
    /// It has them: they are copied to other stores.
    Itself,
}

/// An image of another region, and on whose behalf it is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionSource {
    pub region: String,
    pub image_id: String,
    /// Of the service's endpoint there: `public`, `internal`, `admin`.
    pub interface: String,
    /// Theirs, sealed.
    pub token: String,
    /// What is taken back when the import fails.
    pub before: BeforeImport,
    /// The properties that the image was given since, which are taken back as long as nobody has changed them.
    #[serde(default)]
    pub given: BTreeMap<String, String>,
}

/// What an image said of itself, of what comes along with the bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeforeImport {
    pub disk_format: Option<String>,
    pub container_format: Option<String>,
    pub properties: BTreeMap<String, String>,
}

impl BeforeImport {
    /// Of an image that nobody else changes at the moment.
    pub fn of(image: &Image, is_copied: impl Fn(&str) -> bool) -> Self {
        let properties = image.properties.0.iter().filter(|(name, _)| is_copied(name));
        Self {
            disk_format: image.disk_format.clone(),
            container_format: image.container_format.clone(),
            properties: properties.map(|(name, value)| (name.clone(), value.clone())).collect(),
        }
    }
}

/// What an import is to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Import {
    pub source: ImportSource,
    /// The ids of the stores; `None` is that of `[images]`.
    #[serde(default = "first_store")]
    pub stores: Vec<Option<String>>,
    /// One store that fails fails it all; else one that succeeds is enough.
    #[serde(default = "yes")]
    pub all_must_succeed: bool,
    /// The image is given the properties of `inject_metadata_properties`.
    pub inject: bool,
    /// The key that the bytes must be signed by, where the image is signed.
    #[serde(default)]
    pub signed_by: Option<String>,
    /// Only to be shown.
    #[serde(default)]
    pub asked_by: Option<UserId>,
}

// What a job means that is older than other stores.
fn first_store() -> Vec<Option<String>> {
    vec![None]
}

fn yes() -> bool {
    true
}

/// Bytes on a web server, or in a pool of ours, that become an image's content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewLocation {
    /// The id of the store; `None` is that of `[images]`.
    pub store: Option<String>,
    pub url: String,
    /// Of the digest, as `hashlib` calls it.
    pub hash_algo: String,
    /// In hexadecimal, if the request named it.
    pub hash_value: Option<String>,
    /// Only to be shown.
    #[serde(default)]
    pub asked_by: Option<UserId>,
}

/// Where a volume is to lie from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Destination {
    /// `<host>@<backend>#<pool>`, and its availability zone. It may be where it lies now.
    Place { host: String, zone: String },
    /// There is no such place. The text is for the user.
    Nowhere { why: String },
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
    /// No status changes: instances are told of a volume of theirs.
    TellNova { volume_id: VolumeId, news: VolumeNews, servers: Vec<String> },
    /// `downloading` to `available` or `error`.
    Reimage {
        volume_id: VolumeId,
        image_id: ImageId,
        /// As with a new volume.
        #[serde(default)]
        signed_by: Option<String>,
        /// The names of those of the image's properties that whoever asked may read. `None`: all, in a job from before it
        /// was asked.
        #[serde(default)]
        readable: Option<BTreeSet<String>>,
    },
    /// `reverting` to `available` or `error`; the snapshot `restoring` to `available`.
    RevertVolume { volume_id: VolumeId, snapshot_id: SnapshotId },
    /// `managing` to `available` or `error_managing`; an image of this name becomes the volume's.
    ManageVolume { volume_id: VolumeId, source: String },
    /// `unmanaging` to no row; the image stays.
    UnmanageVolume { volume_id: VolumeId },
    /// `creating` to `available` or `error`; a snapshot of this name becomes this one.
    ManageSnapshot { snapshot_id: SnapshotId, volume_id: VolumeId, source: String, was_protected: bool },
    /// `unmanaging` to no row; the snapshot stays on the pool.
    UnmanageSnapshot { snapshot_id: SnapshotId, volume_id: VolumeId },
    /// `retyping` to what it was, of the new type, or of the old one when that failed.
    RetypeVolume { volume_id: VolumeId, volume_type_id: VolumeTypeId, from: String, to: Destination },
    /// To another place; its status is what it was, `migration_status` says how it ended.
    MigrateVolume { volume_id: VolumeId, from: String, to: Destination },
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
    /// The volume `uploading` to what it was; the image `saving` to `active`, or to no row.
    UploadVolume { volume_id: VolumeId, image_id: ImageId },
    /// Gives an image that is a clone of a volume bytes of its own; no status changes.
    DetachImage { image_id: ImageId },
    /// `uploading` until an import, or back to `queued`. Carried out like an upload.
    StageImage { image_id: ImageId },
    /// `importing` to `active`, or back to `queued`. An `active` image that is copied stays so.
    ImportImage {
        image_id: ImageId,
        #[serde(flatten)]
        import: Import,
    },
    /// Likewise, of an image that was made for it, and goes when that fails; `input` is what the request said, for
    /// whoever asks.
    ImportNewImage {
        image_id: ImageId,
        #[serde(flatten)]
        import: Import,
        input: Map<String, Value>,
    },
    /// `importing` to `active`, or back to `queued`.
    AddLocation { image_id: ImageId, location: NewLocation },
    /// Makes the snapshot of an `active` image; its status stays.
    SealImage { image_id: ImageId },
    /// `deleted` to no row, or back to what it was (in use).
    DeleteImage { image_id: ImageId },
    /// Removes the bytes of an `active` image in one store of several; its status stays.
    DeleteFromStore { image_id: ImageId, store: Option<String> },
}

/// What jobs that detach an image are about: not the image itself, for they may take hours and nobody need wait.
pub fn parent_of(image: &ImageId) -> String {
    format!("parent-of-{image}")
}

/// What jobs that tell of a volume are about: not the volume itself, which need not wait for who does not listen.
const NEWS: &str = "volume_news";
const NEWS_OF: &str = "news-of-";

/// The volume that such a job tells of.
pub(super) fn told_of(resource_id: &str) -> &str {
    resource_id.strip_prefix(NEWS_OF).unwrap_or(resource_id)
}

/// Who asked, for the job's row and the logs.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    pub project_id: Option<ProjectId>,
    pub request_id: Option<String>,
}

macro_rules! kinds {
    ($($task:ident => $kind:literal,)*) => {
        impl Task {
            /// All names of workflows.
            pub const KINDS: &[&'static str] = &[$($kind),*];

            /// The name of the workflow, as `/pumice/v1/jobs` shows it.
            pub fn kind(&self) -> &'static str {
                match self {
                    $(Task::$task { .. } => $kind,)*
                }
            }
        }
    };
}

kinds! {
    CreateVolume => "create_volume",
    DeleteVolume => "delete_volume",
    ExtendVolume => "extend_volume",
    TellNova => "tell_nova",
    Reimage => "reimage_volume",
    RevertVolume => "revert_volume",
    ManageVolume => "manage_volume",
    UnmanageVolume => "unmanage_volume",
    ManageSnapshot => "manage_snapshot",
    UnmanageSnapshot => "unmanage_snapshot",
    RetypeVolume => "retype_volume",
    MigrateVolume => "migrate_volume",
    CreateSnapshot => "create_snapshot",
    DeleteSnapshot => "delete_snapshot",
    UploadImage => "upload_image",
    UploadVolume => "upload_volume",
    DetachImage => "detach_image",
    StageImage => "stage_image",
    ImportImage => "import_image",
    ImportNewImage => "import_new_image",
    AddLocation => "add_location",
    SealImage => "seal_image",
    DeleteImage => "delete_image",
    DeleteFromStore => "delete_from_store",
}

impl Task {
    /// Whether somebody may ask such a job to stop: what it did until then is taken back, and what it is about is as it
    /// was, or can be deleted. Bytes that a reimage wrote stay, and the volume is in error, as when that fails; an
    /// image that is being detached stays a clone. What else overwrites, deletes or is over at once goes on to its end; an
    /// upload is ended by who sends the bytes.
    pub fn can_be_cancelled(kind: &str) -> bool {
        [
            "create_volume",
            "create_snapshot",
            "retype_volume",
            "migrate_volume",
            "upload_volume",
            "detach_image",
            "reimage_volume",
            "import_image",
            "import_new_image",
            "add_location",
        ]
        .contains(&kind)
    }

    pub(super) fn resource(&self) -> Resource {
        let (kind, id) = match self {
            Task::CreateVolume { volume_id, .. }
            | Task::DeleteVolume { volume_id }
            | Task::ExtendVolume { volume_id, .. }
            | Task::Reimage { volume_id, .. }
            | Task::RevertVolume { volume_id, .. }
            | Task::ManageVolume { volume_id, .. }
            | Task::UnmanageVolume { volume_id }
            | Task::RetypeVolume { volume_id, .. }
            | Task::MigrateVolume { volume_id, .. } => ("volume", volume_id.as_str()),
            Task::CreateSnapshot { snapshot_id, .. }
            | Task::DeleteSnapshot { snapshot_id, .. }
            | Task::ManageSnapshot { snapshot_id, .. }
            | Task::UnmanageSnapshot { snapshot_id, .. } => ("snapshot", snapshot_id.as_str()),
            Task::UploadImage { image_id, .. }
            | Task::UploadVolume { image_id, .. }
            | Task::StageImage { image_id }
            | Task::ImportNewImage { image_id, .. }
            | Task::AddLocation { image_id, .. }
            | Task::SealImage { image_id }
            | Task::DeleteImage { image_id } => ("image", image_id.as_str()),
            Task::ImportImage { image_id, import } if import.source != ImportSource::Itself => {
                ("image", image_id.as_str())
            }
            Task::ImportImage { image_id, .. } | Task::DeleteFromStore { image_id, .. } => {
                (OF_STORES, image_id.as_str())
            }
            Task::TellNova { volume_id, .. } => {
                return Resource { kind: NEWS, id: format!("{NEWS_OF}{volume_id}") };
            }
            Task::DetachImage { image_id } => {
                return Resource { kind: "image_parent", id: parent_of(image_id) };
            }
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
                VolumeSource::Image { image_id, .. } | VolumeSource::Disk { image_id, .. } => {
                    Some(image_id.to_string())
                }
            },
            Task::Reimage { image_id, .. } => Some(image_id.to_string()),
            Task::CreateSnapshot { volume_id, .. }
            | Task::DeleteSnapshot { volume_id, .. }
            | Task::ManageSnapshot { volume_id, .. }
            | Task::UnmanageSnapshot { volume_id, .. }
            | Task::UploadVolume { volume_id, .. } => Some(volume_id.to_string()),
            Task::RevertVolume { snapshot_id, .. } => Some(snapshot_id.to_string()),
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn jobs_of_older_versions_are_read() {
        let id = "00000000-0000-0000-0000-000000000001";
        let task: Task =
            serde_json::from_value(json!({"reimage": {"volume_id": id, "image_id": id}})).unwrap();
        let (volume_id, image_id) = (VolumeId::parse(id).unwrap(), ImageId::parse(id).unwrap());
        assert_eq!(task, Task::Reimage { volume_id, image_id, signed_by: None, readable: None });
    }
}
