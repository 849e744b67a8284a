//! What arrived is not raw, but is to be kept so (`image_conversion`): the disk in it is read where it lies, and written
//! beside it. Volumes are clones of such an image, and not copies.

use std::sync::Arc;

use super::{ImportImage, read};
use crate::block::{BlockImage, BlockStore, Missing, OpenMode};
use crate::db::{Image, Staged};
use crate::formats::{self, Content, Format};
use crate::jobs::{Run, StepError};
use crate::transfer::{Algorithm, CopyOptions, Received, convert, open_disk};
use crate::workflows::origin::CONVERTED_AT_ONCE;
use crate::workflows::{lineage, names};

/// What is a disk already, or none at all.
const LEFT: [&str; 2] = ["raw", "iso"];

/// What the row says of an image then.
pub(super) fn as_raw(row: &mut Image) {
    row.disk_format = Some("raw".to_owned());
    row.container_format = Some("bare".to_owned());
}

/// One format may hide in another, from whoever looks at the outer one only.
pub(super) fn check(content: &Content) -> Result<(), StepError> {
    if content.found.iter().all(|found| found.format == Format::Gpt) {
        return Ok(());
    }
    Err(StepError::fatal(format!("The disk in the image is of a format itself: {}.", content.names())))
}

impl ImportImage {
    /// Whether the bytes of this row are the raw ones.
    pub(super) fn is_converted(&self, staged: &Staged) -> bool {
        staged.name == names::converted(&self.id)
    }

    pub(super) async fn convert(&self, run: &Run) -> Result<(), StepError> {
        let (staged, row) = self.found(run).await?;
        let declared = row.disk_format.as_deref().unwrap_or_default();
        let is_asked = self.context.options.imports.convert && !LEFT.contains(&declared);
        if !is_asked || self.is_converted(&staged) {
            return Ok(());
        }
        let Some(format) = formats::readable(declared) else {
            return Err(StepError::fatal(format!("An image of the format {declared} cannot be made raw.")));
        };
        let store = &self.context.stores.images;
        // It has the image's own name already.
        let Some(file) = store.open(&staged.name, OpenMode::ReadOnly).await.or_missing()? else {
            return Ok(());
        };
        let name = names::converted(&self.id);
        let written = self.write_raw(store, file.clone(), format, &name, run).await;
        file.close().await?;
        self.note(name, &written?, run).await?;
        // As if it had come like this.
        self.inspect(run).await
    }

    async fn write_raw(
        &self,
        store: &Arc<dyn BlockStore>,
        file: Arc<dyn BlockImage>,
        format: Format,
        name: &str,
        run: &Run,
    ) -> Result<Received, StepError> {
        let intake = &self.context.options.intake;
        let disk = open_disk(&*file, format).await?;
        let size = disk.size();
        if size > intake.limit {
            let limit = intake.limit;
            return Err(StepError::fatal(format!(
                "It is more than the {limit} bytes that an image may have."
            )));
        }
        lineage::take_away(store, name, run).await?;
        run.check_allowed()?;
        store.create(name, size, intake.object_size).await?;
        let target = store.open(name, OpenMode::ReadWrite).await?;
        let chunk = target.object_size();
        let options = CopyOptions { chunk, in_flight: CONVERTED_AT_ONCE, onto_empty: true };
        // Written as the tables name them, and not in their order: they are read once more.
        let wanted = intake.digests.map(|algorithm| vec![Algorithm::Md5, algorithm]).unwrap_or_default();
        let received = match convert(file, disk, target.clone(), options, &run.progress).await {
            Ok(stored) => read::digests_of(&target, size, &wanted, run).await.map(|digests| Received {
                size,
                stored,
                digests,
            }),
            Err(error) => Err(error.into()),
        };
        target.close().await?;
        received
    }
}
