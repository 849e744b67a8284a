//! Who uses the volumes of an answer.

use std::collections::BTreeMap;

use crate::db::{self, Attachment, Repository, Volume};
use crate::model::VolumeId;

/// The attachments that are attached, by volume. By default there are none.
#[derive(Default)]
pub struct Attached(BTreeMap<VolumeId, Vec<Attachment>>);

impl Attached {
    /// To all these volumes as they were read, with one query, or none when nothing is attached.
    pub async fn to(repository: &mut Repository, volumes: &[Volume]) -> db::Result<Self> {
        let ids: Vec<&VolumeId> =
            volumes.iter().filter(|volume| volume.is_attached).map(|volume| &volume.id).collect();
        Self::among(repository, &ids).await
    }

    /// To a volume whose row is held: how it was attached when that was waited for is no answer.
    pub async fn to_held(repository: &mut Repository, volume: &Volume) -> db::Result<Self> {
        Self::among(repository, &[&volume.id]).await
    }

    async fn among(repository: &mut Repository, ids: &[&VolumeId]) -> db::Result<Self> {
        let mut attached = Self::default();
        for attachment in repository.attached_to(ids).await? {
            attached.0.entry(attachment.volume_id.clone()).or_default().push(attachment);
        }
        Ok(attached)
    }

    pub fn of(&self, volume: &Volume) -> &[Attachment] {
        self.0.get(&volume.id).map_or(&[], Vec::as_slice)
    }
}
