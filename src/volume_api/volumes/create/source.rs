//! What a new volume is made from.

use std::collections::BTreeMap;

use super::super::super::fault::Fault;
use super::super::super::microversion::Microversion;
use super::super::super::request::Call;
use super::super::super::snapshots;
use super::super::super::types;
use super::super::{find, find_to_change};
use super::{Wanted, image};
use crate::db::{Image, Repository, Snapshot, Volume, VolumeType};
use crate::formats;
use crate::http::App;
use crate::jobs::VolumeSource;
use crate::model::{Gib, ImageId, SnapshotId, SnapshotStatus, VolumeId, VolumeStatus};

pub enum Source {
    Nothing,
    /// With its volume, which knows what the snapshot's bytes once were.
    Snapshot(Box<(Snapshot, Volume)>),
    Volume(Box<Volume>),
    Image(Box<Image>),
}

impl Source {
    /// Finds all that the request names, in the order in which the real service misses them.
    pub async fn find(
        repository: &mut Repository,
        app: &App,
        call: &Call,
        wanted: &Wanted,
    ) -> Result<Self, Fault> {
        let mut sources = Vec::new();
        if let Some(id) = &wanted.snapshot_id {
            let snapshot = snapshots::find_to_change(repository, call, id).await?;
            let volume = find(repository, call, snapshot.volume_id.as_str()).await?;
            sources.push(Source::Snapshot(Box::new((snapshot, volume))));
        }
        if let Some(id) = &wanted.source_volid {
            sources.push(Source::Volume(Box::new(find_to_change(repository, call, id).await?)));
        }
        if let Some(id) = &wanted.source_replica {
            let volume = find_to_change(repository, call, id).await?;
            if !volume.is_replicated() {
                return Err(Fault::Invalid(format!("source volume id:{id} is not replicated")));
            }
            sources.push(Source::Volume(Box::new(volume)));
        }
        if let Some(id) = &wanted.group_id {
            return Err(Fault::Missing("Group", id.clone()));
        }
        if let Some(reference) = &wanted.image {
            let image = image::find(repository, app, call, reference).await?;
            let of_server = image::snapshot_of_server(&image);
            sources.push(match of_server.filter(|_| call.version >= Microversion::NOVA_IMAGES) {
                Some(id) => {
                    let snapshot = snapshots::find_to_change(repository, call, &id).await;
                    let snapshot = snapshot.map_err(|fault| image::without_snapshot(fault, &id))?;
                    let volume = find(repository, call, snapshot.volume_id.as_str()).await?;
                    Source::Snapshot(Box::new((snapshot, volume)))
                }
                None => Source::Image(Box::new(image::hold(repository, image).await?)),
            });
        }
        if let Some(id) = &wanted.backup_id {
            return Err(Fault::Missing("Backup", id.clone()));
        }
        if sources.len() > 1 {
            return Err(Fault::InvalidInput(
                "May specify only one of backup, imageRef, snapshot, source volume".to_owned(),
            ));
        }
        Ok(sources.pop().unwrap_or(Source::Nothing))
    }

    /// A volume has the type of what it is made from, or one that its bytes can have where they lie.
    pub async fn check_type(
        &self,
        repository: &mut Repository,
        app: &App,
        asked: &VolumeType,
    ) -> Result<(), Fault> {
        let Some(origin) = self.origin() else { return Ok(()) };
        if types::can_follow(repository, app, &origin.volume_type_id, asked).await? {
            return Ok(());
        }
        let advice = match self {
            Source::Snapshot(_) => "recommend omitting the type argument",
            _ => "either match source volume, or omit type argument",
        };
        Err(Fault::InvalidInput(format!(
            "Invalid volume_type provided: {} (requested type is not compatible; {advice}).",
            asked.id
        )))
    }

    pub fn check_status(&self) -> Result<(), Fault> {
        use VolumeStatus::{Available, InUse};
        match self {
            Source::Snapshot(source) if source.0.status != SnapshotStatus::Available => {
                Err(Fault::InvalidSnapshot(
                    "Originating snapshot status must be one of 'available' values".to_owned(),
                ))
            }
            Source::Volume(volume) if !matches!(volume.status, Available | InUse) => {
                Err(Fault::InvalidVolume(
                    "Originating source volume status must be one of 'available, in-use' values".to_owned(),
                ))
            }
            // It may lie in another cluster by the time that its turn comes.
            Source::Volume(volume) if volume.is_migrating() => {
                Err(Fault::InvalidVolume("Originating source volume is migrating.".to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// The size asked for, or that of the source.
    pub fn size(&self, asked: Option<Gib>) -> Result<Gib, Fault> {
        let (least, what, gap) = match self {
            // The real service stumbles over the missing number.
            Source::Nothing | Source::Image(_) => return asked.ok_or(Fault::Malformed),
            Source::Snapshot(source) => (source.0.size, "snapshot", "the snapshot size "),
            // The real service writes two spaces.
            Source::Volume(volume) => (volume.size, "volume", "original volume size  "),
        };
        match asked {
            None => Ok(least),
            Some(size) if size >= least => Ok(size),
            Some(size) => Err(Fault::InvalidInput(format!(
                "Volume size '{}'GB cannot be smaller than {gap}{}GB. They must be >= original {what} size.",
                size.get(),
                least.get()
            ))),
        }
    }

    pub fn check_image(&self, size: Gib) -> Result<(), Fault> {
        if let Source::Image(image) = self { image::check(image, size) } else { Ok(()) }
    }

    /// The id of the type it has, or the id or name of the one an image asks for.
    pub fn volume_type(&self) -> Option<&str> {
        match self {
            Source::Image(image) => image.properties.get("cinder_img_volume_type").map(String::as_str),
            _ => self.origin().map(|volume| volume.volume_type_id.as_str()),
        }
    }

    pub fn is_bootable(&self) -> bool {
        match self {
            Source::Image(_) => true,
            _ => self.origin().is_some_and(|volume| volume.bootable),
        }
    }

    /// What the image said of itself, or the one that a bootable source was made from.
    pub fn image_metadata(&self) -> Option<BTreeMap<String, String>> {
        match self {
            Source::Image(image) => Some(image.volume_metadata()),
            _ => self
                .origin()
                .filter(|volume| volume.bootable)
                .and_then(|volume| volume.image_metadata.as_ref().map(|metadata| metadata.0.clone())),
        }
    }

    pub fn snapshot_id(&self) -> Option<SnapshotId> {
        if let Source::Snapshot(source) = self { Some(source.0.id.clone()) } else { None }
    }

    pub fn volume_id(&self) -> Option<VolumeId> {
        if let Source::Volume(volume) = self { Some(volume.id.clone()) } else { None }
    }

    pub fn image_id(&self) -> Option<ImageId> {
        if let Source::Image(image) = self { Some(image.id.clone()) } else { None }
    }

    /// Where the new volume is to lie: where its source does, whose bytes it shares.
    pub fn host(&self) -> Option<&str> {
        self.origin().and_then(|volume| volume.host.as_deref())
    }

    /// The zone of its source, and what kind that is.
    pub fn zone(&self) -> Option<(&str, &'static str)> {
        let what = if matches!(self, Source::Snapshot(_)) { "snapshot" } else { "source volume" };
        self.origin().map(|volume| (volume.availability_zone.as_str(), what))
    }

    /// With the key of who signed the image, where one is needed.
    pub fn into_task(self, signed_by: Option<String>) -> VolumeSource {
        match self {
            Source::Nothing => VolumeSource::Empty,
            Source::Snapshot(source) => {
                VolumeSource::Snapshot { snapshot_id: source.0.id, volume_id: source.0.volume_id }
            }
            Source::Volume(volume) => VolumeSource::Volume { volume_id: volume.id },
            Source::Image(image) => match image.disk_format.as_deref().and_then(formats::readable) {
                Some(_) => VolumeSource::Disk { image_id: image.id, signed_by },
                None => VolumeSource::Image { image_id: image.id, signed_by },
            },
        }
    }

    /// The volume whose bytes it gets.
    fn origin(&self) -> Option<&Volume> {
        match self {
            Source::Snapshot(source) => Some(&source.1),
            Source::Volume(volume) => Some(volume),
            Source::Nothing | Source::Image(_) => None,
        }
    }
}
