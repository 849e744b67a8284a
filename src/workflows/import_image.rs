//! What was staged, or lies on somebody's web server, becomes an image's content.
//!
//! Whatever has to be done to the bytes is done in the pool itself, each time into an image of another name; the last
//! one is given the image's own. So any process can go on where another one died.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;

use super::{Context, delete_image, lineage, names, seal_image};
use crate::block::{BlockImage, ErrorKind, Missing, OpenMode};
use crate::config::Config;
use crate::db::{self, Image, ImageChange, Repository, Staged};
use crate::formats::{Content, Inspector};
use crate::jobs::{Cause, ImportSource, Run, StepError, Workflow, chain};
use crate::model::{ImageId, ImageStatus};
use crate::telemetry::metrics::{self, Direction};
use crate::transfer::{Received, SendOptions, TransferError, Unpacking, send, unpack};
use crate::web::WebError;

/// The stores that an import is under way to, and those it failed for, as the image shows them.
pub const IMPORTING_TO: &str = "os_glance_importing_to_stores";
pub const FAILED: &str = "os_glance_failed_import";

/// What is read at once of bytes that are looked into.
const LOOK: u64 = 1 << 20;

/// What imports do beside bringing bytes in (`image_import_plugins`).
#[derive(Clone, Debug, Default)]
pub struct Imports {
    /// `image_decompression`
    pub unpack: bool,
    /// `inject_metadata_properties`
    pub inject: BTreeMap<String, String>,
}

impl From<&Config> for Imports {
    fn from(config: &Config) -> Self {
        let has = |name| config.image_import_opts.has(name);
        let inject = config.inject_metadata_properties.inject.clone();
        Self {
            unpack: has("image_decompression"),
            inject: if has("inject_image_metadata") { inject } else { BTreeMap::new() },
        }
    }
}

pub(super) struct ImportImage {
    context: Context,
    id: ImageId,
    source: ImportSource,
    inject: bool,
    virtual_size: Mutex<Option<i64>>,
}

impl ImportImage {
    pub(super) fn new(context: Context, id: ImageId, source: ImportSource, inject: bool) -> Self {
        Self { context, id, source, inject, virtual_size: Mutex::default() }
    }

    /// Brings the bytes in, unless they are there.
    async fn fetch(&self, run: &Run) -> Result<(), StepError> {
        if run.database.read().await?.staged(&self.id).await?.is_some() {
            return Ok(());
        }
        let ImportSource::Web { uri } = &self.source else {
            return Err(StepError::fatal("Nothing was staged."));
        };
        let (store, name) = (&self.context.stores.images, names::staged(&self.id));
        lineage::take_away(store, &name, run).await?;
        let download = self.context.web.get(uri).await?;
        let intake = &self.context.options.intake;
        let received = intake.take_in(store, &name, download.length, download.body, &run.progress).await;
        let received = received.map_err(refused)?;
        metrics::transferred(Direction::Upload, received.size);
        self.note(name, &received, run).await
    }

    /// Bytes are whole, under this name.
    async fn note(&self, name: String, received: &Received, run: &Run) -> Result<(), StepError> {
        let staged = Staged::new(&self.id, name, self.context.options.intake.facts(received));
        let mut repository = run.transaction().await?;
        repository.set_staged(&staged).await?;
        Ok(repository.commit().await?)
    }

    async fn unpack(&self, run: &Run) -> Result<(), StepError> {
        let (staged, row) = self.found(run).await?;
        let name = names::unpacked(&self.id);
        let is_asked = self.context.options.imports.unpack
            && row.container_format.as_deref() != Some("compressed")
            && staged.name != name;
        if !is_asked {
            return Ok(());
        }
        let store = &self.context.stores.images;
        let Some(source) = store.open(&staged.name, OpenMode::ReadOnly).await.or_missing()? else {
            return Ok(());
        };
        let size = staged.size.unsigned_abs();
        let packing = match source.read(0, size.min(8)).await {
            Ok(head) => Unpacking::of(&head, size),
            Err(error) => {
                source.close().await?;
                return Err(error.into());
            }
        };
        let Some(packing) = packing else { return Ok(source.close().await?) };
        lineage::take_away(store, &name, run).await?;
        let options = SendOptions { chunk: source.object_size(), ..SendOptions::default() };
        // The stream holds the only handle, which is closed with it.
        let bytes = unpack(send(source, 0..size, options), packing);
        let received = self.context.options.intake.take_in(store, &name, None, bytes, &run.progress).await;
        self.note(name, &received.map_err(refused)?, run).await
    }

    async fn inspect(&self, run: &Run) -> Result<(), StepError> {
        let (staged, row) = self.found(run).await?;
        let store = &self.context.stores.images;
        let image = match store.open(&staged.name, OpenMode::ReadOnly).await.or_missing()? {
            Some(image) => image,
            // It has the image's own name by now.
            None => store.open(self.id.as_str(), OpenMode::ReadOnly).await?,
        };
        let content = look_into(&*image, staged.size.unsigned_abs()).await;
        image.close().await?;
        let virtual_size = self.context.options.intake.virtual_size(&row, &content?);
        let virtual_size = virtual_size.map_err(|refusal| StepError::fatal(refusal.to_string()))?;
        *self.virtual_size.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = virtual_size;
        Ok(())
    }

    /// Gives the bytes the image's own name.
    async fn store(&self, run: &Run) -> Result<(), StepError> {
        let (staged, _) = self.found(run).await?;
        let (store, own) = (&self.context.stores.images, self.id.as_str());
        if !staged.taken {
            if let Some(image) = store.open(own, OpenMode::ReadOnly).await.or_missing()? {
                image.close().await?;
                return Err(StepError::fatal("The storage has other bytes of this image already."));
            }
            let mut repository = run.transaction().await?;
            repository.set_staged(&Staged { taken: true, ..staged.clone() }).await?;
            repository.commit().await?;
        }
        match store.rename(&staged.name, own).await {
            // It was renamed before.
            Err(error) if error.kind == ErrorKind::NotFound => {
                store.open(own, OpenMode::ReadOnly).await?.close().await?;
            }
            other => other?,
        }
        for name in [names::staged(&self.id), names::unpacked(&self.id)] {
            lineage::take_away(store, &name, run).await?;
        }
        Ok(())
    }

    async fn found(&self, run: &Run) -> Result<(Staged, Image), StepError> {
        let mut repository = run.database.read().await?;
        match (repository.staged(&self.id).await?, repository.image(&self.id).await?) {
            (Some(staged), Some(row)) => Ok((staged, row)),
            _ => Err(StepError::fatal("The image was deleted.")),
        }
    }

    /// Takes back what `store` did.
    async fn unstore(&self, run: &Run) -> Result<(), StepError> {
        let Some(staged) = run.database.read().await?.staged(&self.id).await? else { return Ok(()) };
        let store = &self.context.stores.images;
        if !staged.taken {
            // Nothing of ours has that name.
            return Ok(());
        }
        if let Some(image) = store.open(&staged.name, OpenMode::ReadOnly).await.or_missing()? {
            image.close().await?;
            return Ok(());
        }
        delete_image::remove_content(&self.context, &self.id, run).await.map(drop)
    }

    /// The properties that tell of the import: it is over.
    async fn tell(&self, repository: &mut Repository, run: &Run, failed: bool) -> db::Result<()> {
        let Some(mut row) = repository.image_to_change(&self.id).await? else { return Ok(()) };
        let properties = &mut row.properties.0;
        let stores = properties.insert(IMPORTING_TO.to_owned(), String::new()).unwrap_or_default();
        properties.insert(FAILED.to_owned(), if failed { stores } else { String::new() });
        if self.inject && !failed {
            properties.extend(self.context.options.imports.inject.clone());
        }
        row.updated_at = run.now();
        repository.update_image(&row).await.map(drop)
    }
}

/// Reads what says something of bytes that lie still.
async fn look_into(image: &dyn BlockImage, size: u64) -> crate::block::Result<Content> {
    let mut inspector = Inspector::default();
    loop {
        let piece = inspector.next(size);
        if piece.is_empty() {
            return Ok(inspector.finish());
        }
        inspector.skip(piece.start);
        let length = (piece.end - piece.start).min(LOOK);
        inspector.feed(&image.read(piece.start, length).await?);
    }
}

/// Why bytes did not come in, for users.
fn refused(error: TransferError) -> StepError {
    match error {
        TransferError::TooLarge { limit } => {
            StepError::fatal(format!("It is more than the {limit} bytes that an image may have."))
        }
        TransferError::Source(source) => {
            let may_pass = source.downcast_ref::<WebError>().is_none_or(WebError::may_pass)
                && !source.is::<crate::transfer::UnpackError>();
            let cause = if may_pass { Cause::Transient } else { Cause::Fatal };
            StepError::new(cause, source.to_string(), chain(&*source))
        }
        TransferError::Stalled(_) | TransferError::TooShort { .. } => {
            StepError::new(Cause::Transient, "The web server broke off.", error.to_string())
        }
        other => other.into(),
    }
}

impl From<WebError> for StepError {
    fn from(error: WebError) -> Self {
        let cause = if error.may_pass() { Cause::Transient } else { Cause::Fatal };
        StepError::new(cause, error.to_string(), "")
    }
}

#[async_trait]
impl Workflow for ImportImage {
    fn steps(&self) -> &'static [&'static str] {
        &["fetch", "unpack", "inspect", "store", "snapshot"]
    }

    async fn run(&self, step: &'static str, run: &Run) -> Result<(), StepError> {
        match step {
            "fetch" => self.fetch(run).await,
            "unpack" => self.unpack(run).await,
            "inspect" => self.inspect(run).await,
            "store" => self.store(run).await,
            _ => seal_image::seal(&self.context, &self.id, run).await.map(drop),
        }
    }

    async fn undo(&self, step: &'static str, run: &Run) -> Result<(), StepError> {
        let store = &self.context.stores.images;
        match step {
            "store" => self.unstore(run).await,
            "unpack" => lineage::take_away(store, &names::unpacked(&self.id), run).await,
            "fetch" => lineage::take_away(store, &names::staged(&self.id), run).await,
            _ => Ok(()),
        }
    }

    async fn finish(&self, repository: &mut Repository, run: &Run) -> db::Result<()> {
        let Some(staged) = repository.staged(&self.id).await? else { return Ok(()) };
        self.tell(repository, run, false).await?;
        let virtual_size = *self.virtual_size.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let change = ImageChange { virtual_size, ..staged.facts() };
        // Unless someone deletes it: then its status stays as they want it.
        let (from, to) = (ImageStatus::Importing, ImageStatus::Active);
        repository.change_image(&self.id, from, to, &change, run.now()).await?;
        repository.remove_staged(&self.id).await
    }

    /// As it was before anything arrived: all of it can be repeated.
    async fn fail(&self, repository: &mut Repository, run: &Run, _: Cause) -> db::Result<()> {
        self.tell(repository, run, true).await?;
        let (from, to) = (ImageStatus::Importing, ImageStatus::Queued);
        repository.change_image(&self.id, from, to, &ImageChange::default(), run.now()).await?;
        repository.set_image_location(&self.id, None).await?;
        repository.remove_staged(&self.id).await
    }
}
