//! The image that a volume gets its bytes from.

use std::sync::Arc;

use tokio::sync::OnceCell;

use super::remote::{self, Remote};
use super::{Context, lineage, names, seal_image};
use crate::block::{BlockImage, BlockStore, Missing, OpenMode, SnapshotPath};
use crate::db::Image;
use crate::formats::{self, Disk, Format};
use crate::jobs::{Run, StepError};
use crate::model::{ImageId, VolumeId};
use crate::signature::Signed;
use crate::telemetry::metrics::{self, Direction};
use crate::transfer::{CopyOptions, convert, copy, open_disk};

/// Objects of a volume that are converted at once: many of them hold little, and each is read before it is written.
pub(super) const CONVERTED_AT_ONCE: usize = 8;

pub(super) struct Origin {
    pub image: ImageId,
    /// The key of who signed the image, where whoever asked has found it.
    signed_by: Option<String>,
    /// The volume that is made from it.
    volume: VolumeId,
    row: OnceCell<Image>,
    location: OnceCell<Location>,
}

/// Where its bytes lie.
#[derive(Clone)]
pub(super) struct Location {
    pub store: Arc<dyn BlockStore>,
    pub path: SnapshotPath,
    /// Of the image, in bytes.
    pub size: Option<u64>,
    /// `None`: its bytes are those of the disk.
    format: Option<Format>,
}

impl Origin {
    pub(super) fn new(image: ImageId, signed_by: Option<String>, volume: VolumeId) -> Self {
        Self { image, signed_by, volume, row: OnceCell::new(), location: OnceCell::new() }
    }

    /// As it was when it was asked for first: it does not matter when its bytes come to another place meanwhile.
    async fn row(&self, run: &Run) -> Result<&Image, StepError> {
        self.row
            .get_or_try_init(|| async {
                let image = run.database.read().await?.image(&self.image).await?;
                image.ok_or_else(|| StepError::gone("image"))
            })
            .await
    }

    /// Where its bytes lie on the web alone: how they are had.
    pub(super) async fn remote(&self, run: &Run) -> Result<Option<Remote>, StepError> {
        Ok(Remote::of(self.row(run).await?.clone()))
    }

    /// What its bytes on the web must be, when it is signed.
    pub(super) async fn signed(
        &self,
        context: &Context,
        remote: &Remote,
    ) -> Result<Option<Signed>, StepError> {
        remote.signed(context, self.signed_by.as_deref()).await
    }

    /// For a volume in this store.
    pub(super) async fn location(
        &self,
        context: &Context,
        volumes: &Arc<dyn BlockStore>,
        run: &Run,
    ) -> Result<&Location, StepError> {
        self.location
            .get_or_try_init(|| async {
                let image = self.row(run).await?;
                let size = image.size.and_then(|size| u64::try_from(size).ok());
                let format = image.disk_format.as_deref().and_then(formats::readable);
                if let Some(remote) = Remote::of(image.clone()) {
                    let path = self.fetch(context, &remote, volumes, run).await?;
                    return Ok(Location { store: volumes.clone(), path, size, format });
                }
                let text = seal_image::source(context, image, volumes, run).await?;
                let location = names::parse_location(&text).ok_or_else(|| {
                    StepError::fatal("The image has no bytes in a store that is configured.")
                })?;
                let store = context
                    .pool_of(location.fsid, location.pool)
                    .await?
                    .ok_or_else(|| StepError::fatal("The image lies in a pool that is not configured."))?;
                Ok(Location {
                    store: store.clone(),
                    path: SnapshotPath {
                        pool: location.pool.to_owned(),
                        image: location.image.to_owned(),
                        snapshot: location.snapshot.to_owned(),
                    },
                    size,
                    format,
                })
            })
            .await
    }

    /// Takes the bytes in beside the volume, for a disk in them is read here and there. Those that have the snapshot are
    /// whole.
    async fn fetch(
        &self,
        context: &Context,
        remote: &Remote,
        store: &Arc<dyn BlockStore>,
        run: &Run,
    ) -> Result<SnapshotPath, StepError> {
        let name = names::fetched(&self.volume);
        let snapshot = names::IMAGE_SNAPSHOT.to_owned();
        let path = SnapshotPath { pool: store.pool().to_owned(), image: name, snapshot };
        if let Some(image) = store.open(&path.image, OpenMode::ReadOnly).await.or_missing()? {
            let snapshots = image.snapshots().await;
            image.close().await?;
            // A process may have died while it took it: only a protected one is known to be whole.
            if snapshots?.iter().any(|found| found.name == path.snapshot && found.protected) {
                return Ok(path);
            }
            self.tidy(store, run).await?;
        }
        let object_size = context.options.intake.object_size;
        let signed = self.signed(context, remote).await?;
        let (name, room) = (path.image.as_str(), u64::MAX);
        let target = remote::Target { store, name, object_size, room, signed, digests: None };
        remote.take_in(context, &target, run).await?;
        lineage::take_snapshot(store, &path.image, &path.snapshot).await?;
        Ok(path)
    }

    /// Takes away what was fetched, if anything was.
    pub(super) async fn tidy(&self, store: &Arc<dyn BlockStore>, run: &Run) -> Result<(), StepError> {
        lineage::take_away_sealed(store, &names::fetched(&self.volume), run).await
    }

    /// Its bytes as they were sealed.
    pub(super) async fn open(
        &self,
        context: &Context,
        volumes: &Arc<dyn BlockStore>,
        run: &Run,
    ) -> Result<Source, StepError> {
        let location = self.location(context, volumes, run).await?;
        let path = &location.path;
        let file = location.store.open(&path.image, OpenMode::Snapshot(path.snapshot.clone())).await?;
        let opened = match location.format {
            Some(format) => open_disk(&*file, format).await.map(Some),
            None => Ok(None),
        };
        match opened {
            Ok(disk) => Ok(Source { file, disk }),
            Err(error) => {
                file.close().await?;
                Err(error.into())
            }
        }
    }
}

/// An image while it is read.
pub(super) struct Source {
    file: Arc<dyn BlockImage>,
    /// What its bytes hold, unless they are the disk themselves.
    disk: Option<Disk>,
}

impl Source {
    /// Of the disk, in bytes.
    pub(super) async fn size(&self) -> Result<u64, StepError> {
        match &self.disk {
            Some(disk) => Ok(disk.size()),
            None => Ok(self.file.size().await?),
        }
    }

    /// Writes the disk to the start of a volume's image, and closes the source. `onto_empty`: see [`CopyOptions`].
    pub(super) async fn write(
        mut self,
        store: &Arc<dyn BlockStore>,
        name: &str,
        onto_empty: bool,
        run: &Run,
    ) -> Result<(), StepError> {
        let written = self.write_open(store, name, onto_empty, run).await;
        self.close().await?;
        metrics::transferred(Direction::Copy, written?);
        Ok(())
    }

    async fn write_open(
        &mut self,
        store: &Arc<dyn BlockStore>,
        name: &str,
        onto_empty: bool,
        run: &Run,
    ) -> Result<u64, StepError> {
        let to = store.open(name, OpenMode::ReadWrite).await?;
        let written = match self.disk.take() {
            Some(disk) => {
                let options =
                    CopyOptions { chunk: to.object_size(), onto_empty, in_flight: CONVERTED_AT_ONCE };
                convert(self.file.clone(), disk, to.clone(), options, &run.progress).await
            }
            None => {
                let chunk = self.file.object_size().max(to.object_size());
                let options = CopyOptions { chunk, onto_empty, ..CopyOptions::default() };
                copy(self.file.clone(), to.clone(), options, &run.progress).await
            }
        };
        to.close().await?;
        Ok(written?)
    }

    pub(super) async fn close(self) -> Result<(), StepError> {
        Ok(self.file.close().await?)
    }
}
