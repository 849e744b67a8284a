//! Mends what is safe. Each time it looks whether things still are as they were found, under a lock on the row where there
//! is one. No bytes go that a row may want: they go to the trash, and somebody decides.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Audit, Finding};
use crate::block::{BlockError, BlockStore, ErrorKind, Lock, Missing, OpenMode, StrayName};
use crate::db::{DbError, ImageChange, Json, Leftover, Repository, Snapshot, VolumeReset};
use crate::jobs::{self, Origin, Task};
use crate::model::{
    Gib, ImageId, ImageStatus, MigrationStatus, SnapshotId, SnapshotStatus, VolumeId, VolumeStatus,
};
use crate::workflows::drop_clone_snapshot;
use crate::workflows::names::{self, Named};

/// What a finding can be mended by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mend {
    /// To stay in the trash until somebody decides.
    Trash,
    /// The sweeper removes it when nothing needs it.
    Note,
    /// Likewise from the trash. What has its name outside of it stays.
    NoteTrash,
    /// To the trash, and from there when nothing needs it.
    Discard,
    DropSnapshot {
        volume: VolumeId,
        snapshot: String,
    },
    AdoptSnapshot {
        volume: VolumeId,
        snapshot: SnapshotId,
    },
    AdoptSize {
        volume: VolumeId,
        from: Gib,
        to: Gib,
    },
    Grow {
        volume: VolumeId,
        to: Gib,
    },
    FollowAttachments(VolumeId),
    SettleVolume {
        volume: VolumeId,
        from: VolumeStatus,
    },
    SettleSnapshot {
        snapshot: SnapshotId,
        from: SnapshotStatus,
    },
    SettleImage {
        image: ImageId,
        from: ImageStatus,
    },
    ForgetCached,
    BreakLock(Lock),
    DropName(StrayName),
}

impl Mend {
    pub(super) fn meaning(&self) -> &'static str {
        match self {
            Mend::Trash => {
                "moves it to the pool's trash, where it stays until somebody restores or removes it"
            }
            Mend::Note | Mend::NoteTrash => "remembers it, so that it is removed as soon as nothing needs it",
            Mend::Discard => "moves it to the pool's trash, from where it goes as soon as nothing needs it",
            Mend::DropSnapshot { .. } => "removes the snapshot",
            Mend::AdoptSnapshot { .. } => {
                "makes it a snapshot of the volume, for its project to use or delete"
            }
            Mend::AdoptSize { .. } => "gives the volume the size that its image has",
            Mend::Grow { .. } => "makes the image as large as the volume",
            Mend::FollowAttachments(_) => "gives the volume the status that its attachments make",
            Mend::SettleVolume { .. } | Mend::SettleSnapshot { .. } => {
                "gives it the status that a failed job would have left"
            }
            Mend::SettleImage { from: ImageStatus::Deleted, .. } => "deletes it anew",
            Mend::SettleImage { .. } => "makes it queued, for another upload",
            Mend::ForgetCached => "forgets the copy; the next volume of the image makes another",
            Mend::BreakLock(_) => {
                "shuts the client out of the cluster, as the next one who writes would, and breaks the lock"
            }
            Mend::DropName(_) => "removes the name, and nothing that it leads to",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Mended,
    /// It is not as it was found any more, or somebody has it open: left alone.
    LeftAlone,
}

#[derive(Debug, thiserror::Error)]
pub enum NotMended {
    #[error("the database failed")]
    Database(#[from] DbError),
    #[error("the store failed")]
    Store(#[from] BlockError),
}

type Result<T> = std::result::Result<T, NotMended>;

impl Audit {
    /// Does what the finding says that repair would do; nothing when it says nothing.
    pub async fn repair(&self, finding: &Finding) -> Result<Outcome> {
        let Some(mend) = &finding.mend else { return Ok(Outcome::LeftAlone) };
        let done = match mend {
            Mend::Trash => self.keep(finding).await,
            Mend::Discard => self.discard(finding).await,
            Mend::Note => self.note(finding).await,
            Mend::NoteTrash => self.note_trash(finding).await,
            Mend::DropSnapshot { volume, snapshot } => self.drop_snapshot(finding, volume, snapshot).await,
            Mend::AdoptSnapshot { volume, snapshot } => self.adopt_snapshot(finding, volume, snapshot).await,
            Mend::AdoptSize { volume, from, to } => self.adopt_size(volume, *from, *to).await,
            Mend::Grow { volume, to } => self.grow(finding, volume, *to).await,
            Mend::FollowAttachments(volume) => self.follow(volume).await,
            Mend::SettleVolume { volume, from } => self.settle_volume(volume, *from).await,
            Mend::SettleSnapshot { snapshot, from } => self.settle_snapshot(snapshot, *from).await,
            Mend::SettleImage { image, from } => self.settle_image(image, *from).await,
            Mend::ForgetCached => self.forget_cached(&finding.image).await,
            Mend::BreakLock(lock) => self.break_lock(finding, lock).await,
            Mend::DropName(stray) => self.drop_name(finding, stray).await,
        }?;
        Ok(if done { Outcome::Mended } else { Outcome::LeftAlone })
    }

    /// Into the trash, under a name by which nothing here removes it.
    async fn keep(&self, finding: &Finding) -> Result<bool> {
        let Some(store) = self.store(&finding.backend) else { return Ok(false) };
        if !self.is_unwanted(store, &finding.image).await? {
            return Ok(false);
        }
        let kept = names::kept(&finding.image);
        if store.rename(&finding.image, &kept).await.or_missing()?.is_none() {
            return Ok(false);
        }
        if let Err(error) = store.trash_keep(&kept).await {
            store.rename(&kept, &finding.image).await.or_missing()?;
            return Err(error.into());
        }
        Ok(true)
    }

    /// The note goes first: a process that dies in between leaves one that harms nobody.
    async fn discard(&self, finding: &Finding) -> Result<bool> {
        let Some(store) = self.store(&finding.backend) else { return Ok(false) };
        if !self.is_unwanted(store, &finding.image).await? {
            return Ok(false);
        }
        self.note_as(finding, finding.image.clone()).await?;
        let is_moved = store.trash_move(&finding.image).await.or_missing()?.is_some();
        // The sweeper may have come by in between, found nothing and forgotten it.
        self.note_as(finding, finding.image.clone()).await?;
        Ok(is_moved)
    }

    /// Whether it is there, nobody has it open, and no row wants it.
    async fn is_unwanted(&self, store: &Arc<dyn BlockStore>, name: &str) -> Result<bool> {
        Ok(is_open(store, name).await? == Some(false)
            && !is_wanted(&mut self.database.read().await?, name).await?)
    }

    async fn note(&self, finding: &Finding) -> Result<bool> {
        if let Some(id) = names::volume_of(&finding.image)
            && !self.is_at_home(&id).await?
        {
            return Ok(false);
        }
        self.note_as(finding, finding.image.clone()).await
    }

    /// Whether the volume's image is where its row says: the sweeper takes away another one only.
    async fn is_at_home(&self, id: &VolumeId) -> Result<bool> {
        let row = self.database.read().await?.volume(id).await?;
        match row.and_then(|row| self.stores.volumes.of(row.host.as_deref())) {
            Some(home) => Ok(is_open(&home.store, &names::volume(id)).await?.is_some()),
            None => Ok(false),
        }
    }

    /// Under the name of a deleted one, by which the sweeper looks in the trash alone.
    async fn note_trash(&self, finding: &Finding) -> Result<bool> {
        let name = match Named::parse(&finding.image) {
            Some(Named::Volume(_) | Named::Image(_)) => names::deleted(&finding.image),
            _ => finding.image.clone(),
        };
        self.note_as(finding, name).await
    }

    async fn note_as(&self, finding: &Finding, name: String) -> Result<bool> {
        let Some(store) = self.store(&finding.backend) else { return Ok(false) };
        let mut repository = self.database.begin().await?;
        let leftover = Leftover { pool: store.pool().to_owned(), name };
        repository.add_leftover(&leftover, self.world.now()).await?;
        repository.commit().await?;
        Ok(true)
    }

    async fn drop_snapshot(&self, finding: &Finding, volume: &VolumeId, snapshot: &str) -> Result<bool> {
        let Some(store) = self.store(&finding.backend) else { return Ok(false) };
        if self.database.read().await?.is_at_work(volume.as_str()).await? {
            return Ok(false);
        }
        Ok(drop_clone_snapshot(&self.stores, store, &finding.image, snapshot).await?)
    }

    /// It is protected, as those that were made here: volumes can be made from it.
    async fn adopt_snapshot(&self, finding: &Finding, volume: &VolumeId, id: &SnapshotId) -> Result<bool> {
        let Some(store) = self.store(&finding.backend) else { return Ok(false) };
        let name = names::snapshot(id);
        let opened = store.open(&finding.image, OpenMode::ReadWrite).await.or_missing()?;
        let Some(image) = opened else { return Ok(false) };
        let looked = async {
            let found = image.snapshots().await?.into_iter().find(|snapshot| snapshot.name == name);
            if found.is_some() {
                image.protect_snapshot(&name).await?;
            }
            Ok::<_, BlockError>(found)
        }
        .await;
        image.close().await?;
        let Some(size) = looked?.and_then(|found| Gib::holding(found.size)) else { return Ok(false) };
        let mut repository = self.database.begin().await?;
        let Some(of) = repository.volume_to_change(volume).await? else { return Ok(false) };
        let is_known = repository.snapshot(id).await?.is_some();
        if is_known
            || repository.is_at_work(volume.as_str()).await?
            || repository.is_at_work(id.as_str()).await?
        {
            return Ok(false);
        }
        let snapshot = Snapshot {
            id: id.clone(),
            volume_id: volume.clone(),
            project_id: of.project_id,
            user_id: of.user_id,
            name: None,
            description: Some("Found on the pool by an audit.".to_owned()),
            size,
            status: SnapshotStatus::Available,
            previous_status: None,
            progress: None,
            metadata: Json(BTreeMap::new()),
            created_at: self.world.now(),
            updated_at: None,
        };
        repository.add_snapshot(&snapshot).await?;
        repository.commit().await?;
        Ok(true)
    }

    async fn adopt_size(&self, volume: &VolumeId, from: Gib, to: Gib) -> Result<bool> {
        let mut repository = self.database.begin().await?;
        let Some(row) = repository.volume_to_change(volume).await? else { return Ok(false) };
        if !row.status.is_settled() || repository.is_at_work(volume.as_str()).await? {
            return Ok(false);
        }
        let adopted = repository.adopt_size(volume, from, to, self.world.now()).await?;
        repository.commit().await?;
        Ok(adopted)
    }

    /// Only ever larger.
    async fn grow(&self, finding: &Finding, volume: &VolumeId, to: Gib) -> Result<bool> {
        let Some(store) = self.store(&finding.backend) else { return Ok(false) };
        let mut repository = self.database.read().await?;
        let row = repository.volume(volume).await?;
        let is_same = row.is_some_and(|row| row.status == VolumeStatus::Available && row.size == to);
        if !is_same || repository.is_at_work(volume.as_str()).await? {
            return Ok(false);
        }
        drop(repository);
        let opened = store.open(&finding.image, OpenMode::ReadWrite).await.or_missing()?;
        let Some(image) = opened else { return Ok(false) };
        let grown = async {
            let is_smaller = image.size().await? < to.bytes();
            if is_smaller {
                image.grow(to.bytes()).await?;
            }
            Ok::<_, BlockError>(is_smaller)
        }
        .await;
        image.close().await?;
        Ok(grown?)
    }

    async fn follow(&self, volume: &VolumeId) -> Result<bool> {
        let mut repository = self.database.begin().await?;
        if repository.is_at_work(volume.as_str()).await? {
            return Ok(false);
        }
        repository.follow_attachments(volume, self.world.now()).await?;
        repository.commit().await?;
        Ok(true)
    }

    async fn settle_volume(&self, volume: &VolumeId, from: VolumeStatus) -> Result<bool> {
        let mut repository = self.database.begin().await?;
        let Some(row) = repository.volume_to_change(volume).await? else { return Ok(false) };
        if row.status != from || repository.is_at_work(volume.as_str()).await? {
            return Ok(false);
        }
        let status = match failed(from) {
            Some(status) => Some(status),
            None if from.is_settled() && !from.follows_attachments() && from != VolumeStatus::Maintenance => {
                None
            }
            None => Some(repository.status_by_attachments(volume).await?),
        };
        let migration_status = row.is_migrating().then_some(Some(MigrationStatus::Error));
        let reset = VolumeReset { status: status.filter(|status| *status != from), migration_status };
        repository.reset_volume(volume, &reset, self.world.now()).await?;
        repository.set_retyping_to(volume, None).await?;
        repository.commit().await?;
        Ok(true)
    }

    async fn settle_snapshot(&self, snapshot: &SnapshotId, from: SnapshotStatus) -> Result<bool> {
        let mut repository = self.database.begin().await?;
        let Some(row) = repository.snapshot_to_change(snapshot).await? else { return Ok(false) };
        let is_at_work = repository.is_at_work(snapshot.as_str()).await?;
        if row.status != from || is_at_work || repository.is_at_work(row.volume_id.as_str()).await? {
            return Ok(false);
        }
        let status = match from {
            SnapshotStatus::Creating => SnapshotStatus::Error,
            SnapshotStatus::Deleting => SnapshotStatus::ErrorDeleting,
            _ => SnapshotStatus::Available,
        };
        repository.reset_snapshot(snapshot, status, self.world.now()).await?;
        repository.commit().await?;
        Ok(true)
    }

    async fn settle_image(&self, image: &ImageId, from: ImageStatus) -> Result<bool> {
        let mut repository = self.database.begin().await?;
        let Some(row) = repository.image_to_change(image).await? else { return Ok(false) };
        if row.status != from || repository.is_at_work(image.as_str()).await? {
            return Ok(false);
        }
        if from == ImageStatus::Deleted {
            let task = Task::DeleteImage { image_id: image.clone() };
            jobs::enqueue(&mut repository, &self.world, task, &Origin::default()).await?;
        } else {
            let (now, change) = (self.world.now(), ImageChange::default());
            repository.change_image(image, from, ImageStatus::Queued, &change, now).await?;
        }
        repository.commit().await?;
        Ok(true)
    }

    async fn break_lock(&self, finding: &Finding, lock: &Lock) -> Result<bool> {
        let Some(store) = self.store(&finding.backend) else { return Ok(false) };
        if self.is_at_work(&finding.image).await? {
            return Ok(false);
        }
        let opened = store.open(&finding.image, OpenMode::ReadWrite).await.or_missing()?;
        let Some(image) = opened else { return Ok(false) };
        let broken = async {
            let is_there = image.locks().await?.contains(lock);
            if !is_there || image.is_open_elsewhere().await? {
                return Ok(false);
            }
            match image.break_lock(lock).await {
                Err(error) if error.kind == ErrorKind::Busy => Ok(false),
                broken => broken,
            }
        }
        .await;
        image.close().await?;
        Ok(broken?)
    }

    async fn drop_name(&self, finding: &Finding, stray: &StrayName) -> Result<bool> {
        let Some(store) = self.store(&finding.backend) else { return Ok(false) };
        if self.is_at_work(&finding.image).await? {
            return Ok(false);
        }
        Ok(store.remove_stray_name(stray).await?)
    }

    /// Whether a job may be at what has this name.
    async fn is_at_work(&self, name: &str) -> Result<bool> {
        let Some(named) = Named::parse(name) else { return Ok(true) };
        Ok(self.database.read().await?.is_at_work(named.id()).await?)
    }

    async fn forget_cached(&self, name: &str) -> Result<bool> {
        let mut repository = self.database.begin().await?;
        repository.remove_cached_image(name).await?;
        repository.commit().await?;
        Ok(true)
    }
}

/// What a job leaves that fails; `None`: what the volume was before.
fn failed(status: VolumeStatus) -> Option<VolumeStatus> {
    use VolumeStatus::*;
    match status {
        Creating | Downloading | Reverting => Some(Error),
        Deleting | ErrorManagingDeleting => Some(ErrorDeleting),
        Managing => Some(ErrorManaging),
        Unmanaging => Some(ErrorUnmanaging),
        Extending => Some(ErrorExtending),
        RestoringBackup => Some(ErrorRestoring),
        _ => None,
    }
}

/// Whether a row has the image by now, or a job may be giving it one.
async fn is_wanted(repository: &mut Repository, name: &str) -> Result<bool> {
    let Some(named) = Named::parse(name) else { return Ok(true) };
    if repository.is_at_work(named.id()).await? {
        return Ok(true);
    }
    Ok(match named {
        Named::Volume(id) => match VolumeId::parse(id) {
            Some(id) => repository.volume(&id).await?.is_some(),
            None => true,
        },
        Named::Image(id) => match ImageId::parse(id) {
            Some(id) => repository.image(&id).await?.is_some_and(|row| row.status != ImageStatus::Queued),
            None => true,
        },
        Named::Staged(_) => repository.staged_names().await?.iter().any(|staged| staged == name),
        Named::Cached(_) => repository.cached_images().await?.iter().any(|cached| cached.name == name),
        Named::Deleted(_) | Named::Fetched(_) => false,
    })
}

/// `None`: it is not there.
async fn is_open(store: &Arc<dyn BlockStore>, name: &str) -> Result<Option<bool>> {
    let Some(image) = store.open(name, OpenMode::ReadOnly).await.or_missing()? else { return Ok(None) };
    let is_open = image.is_open_elsewhere().await;
    image.close().await?;
    Ok(Some(is_open?))
}
