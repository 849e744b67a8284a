//! What was staged, or lies on somebody's web server or in another region, becomes an image's content, in one store or
//! several; or an image that has its bytes in one is copied to others.
//!
//! Whatever has to be done to the bytes is done in the pool itself, each time into an image of another name; the last
//! one is given the image's own. So any process can go on where another one died. A location that is not ready yet says
//! that an image of that name in that store is this import's.

mod converted;
mod listed;
pub(super) mod read;
mod region;
mod signed;
mod unstore;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::remote::{self, Remote};
use super::told::Told;
use super::{Context, lineage, names, seal_image, storage};
use crate::block::{BlockImage, BlockStore, ErrorKind, Missing, OpenMode};
use crate::config::Config;
use crate::db::{self, Image, ImageChange, Location, Repository, Staged};
use crate::jobs::{Cause, Import, ImportSource, Run, StepError, Workflow};
use crate::model::{ImageId, ImageStatus};
use crate::telemetry::chain;
use crate::telemetry::metrics::{self, Direction};
use crate::transfer::{CopyOptions, Received, SendOptions, TransferError, Unpacking, copy, send, unpack};
use crate::web::WebError;
use listed::{Fate, is_under_way_to};
use unstore::Copies;

pub use listed::{FAILED, IMPORTING_TO};

/// What imports do beside bringing bytes in (`image_import_plugins`).
#[derive(Clone, Debug, Default)]
pub struct Imports {
    /// `image_decompression`
    pub unpack: bool,
    /// `image_conversion`, to raw.
    pub convert: bool,
    /// `inject_metadata_properties`
    pub inject: BTreeMap<String, String>,
    /// `glance_download_properties`
    pub copied: Vec<String>,
    /// The id of the store of `[images]`.
    pub first_store: String,
    /// `do_secure_hash`
    pub do_secure_hash: bool,
    /// `user_storage_quota`, in bytes.
    pub storage: Option<u64>,
}

impl From<&Config> for Imports {
    fn from(config: &Config) -> Self {
        let has = |name| config.image_import_opts.has(name);
        let inject = config.inject_metadata_properties.inject.clone();
        Self {
            unpack: has("image_decompression"),
            convert: has("image_conversion"),
            inject: if has("inject_image_metadata") { inject } else { BTreeMap::new() },
            copied: config.glance_download_properties.extra_properties.clone(),
            first_store: config.images.default_backend.clone(),
            do_secure_hash: config.images.do_secure_hash,
            storage: config.images.user_storage_quota.bytes(),
        }
    }
}

/// What an import came to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Done { is_raw: bool },
    Failed,
}

pub(super) struct ImportImage {
    context: Context,
    id: ImageId,
    import: Import,
    /// The image was made for this import, and goes when that fails.
    is_new: bool,
    virtual_size: Told<Option<i64>>,
    /// The stores that it failed for, where others are enough.
    failed: Mutex<BTreeSet<String>>,
}

impl ImportImage {
    pub(super) fn new(context: Context, id: ImageId, import: Import) -> Self {
        Self { context, id, import, is_new: false, virtual_size: Told::default(), failed: Mutex::default() }
    }

    pub(super) fn of_new_image(context: Context, id: ImageId, import: Import) -> Self {
        Self { is_new: true, ..Self::new(context, id, import) }
    }

    fn is_copy(&self) -> bool {
        self.import.source == ImportSource::Itself
    }

    /// As clients know it.
    fn id_of(&self, store: Option<&str>) -> String {
        store.unwrap_or(&self.context.options.imports.first_store).to_owned()
    }

    /// Brings the bytes in, unless they are there.
    async fn fetch(&self, run: &Run) -> Result<(), StepError> {
        if run.database.read().await?.staged(&self.id).await?.is_some() {
            return Ok(());
        }
        match &self.import.source {
            ImportSource::Web { uri } => self.fetch_from_web(uri, run).await,
            ImportSource::Region(from) => self.fetch_from_region(from, run).await,
            ImportSource::Staged | ImportSource::Itself => Err(StepError::fatal("Nothing was staged.")),
        }
    }

    async fn fetch_from_web(&self, uri: &str, run: &Run) -> Result<(), StepError> {
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
            && staged.name == names::staged(&self.id);
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
        let intake = self.context.options.intake.unhurried();
        let received = intake.take_in(store, &name, None, bytes, &run.progress).await;
        self.note(name, &received.map_err(refused)?, run).await
    }

    async fn inspect(&self, run: &Run) -> Result<(), StepError> {
        let (staged, mut row) = self.found(run).await?;
        let image = self.bytes(&staged.name, run).await?;
        let content = read::look_into(&*image, staged.size.unsigned_abs()).await;
        image.close().await?;
        let content = content?;
        if self.is_converted(&staged) {
            converted::check(&content)?;
            converted::as_raw(&mut row);
        }
        let virtual_size = self.context.options.intake.virtual_size(&row, &content);
        let virtual_size = virtual_size.map_err(|refusal| StepError::fatal(refusal.to_string()))?;
        self.virtual_size.set(virtual_size);
        Ok(())
    }

    /// What is staged, under this name; or under the image's own, where they were brought before.
    async fn bytes(&self, name: &str, run: &Run) -> Result<Arc<dyn BlockImage>, StepError> {
        let store = &self.context.stores.images;
        if let Some(image) = store.open(name, OpenMode::ReadOnly).await.or_missing()? {
            return Ok(image);
        }
        let row = run.database.read().await?.image(&self.id).await?;
        if row.is_some_and(|row| row.locations.iter().any(|location| location.store.is_none())) {
            return Ok(store.open(self.id.as_str(), OpenMode::ReadOnly).await?);
        }
        self.place_to_copy(run).await
    }

    /// Brings the bytes to each store. The one they are staged in comes last: there they are only renamed.
    async fn store(&self, run: &Run) -> Result<(), StepError> {
        let mut failure = self.claim(run).await?;
        let (first, others): (Vec<_>, Vec<_>) = self.import.stores.iter().partition(|store| store.is_none());
        for store in others.into_iter().chain(first) {
            let store = store.as_deref();
            if self.has_failed(store) || !self.is_awaited(store, run).await? {
                continue;
            }
            match self.bring_sealed(store, run).await {
                Ok(()) => self.brought(store, run).await?,
                Err(error) if self.others_are_enough(&error, run) => {
                    self.take_back(store, run).await?;
                    self.do_without(store, &error, run).await?;
                    failure = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        let row = run.database.read().await?.image(&self.id).await?;
        if row.is_none_or(|row| row.places().next().is_none()) {
            return Err(failure.unwrap_or_else(|| StepError::fatal("The image was deleted.")));
        }
        if !self.is_copy() {
            for name in names::arrivals(&self.id) {
                lineage::take_away(&self.context.stores.images, &name, run).await?;
            }
        }
        Ok(())
    }

    /// Whether the import goes on without a store that says this. What may pass is waited for as long as anything
    /// is.
    fn others_are_enough(&self, error: &StepError, run: &Run) -> bool {
        let has_settled = error.cause == Cause::Fatal || error.cause.may_pass() && run.is_last_try();
        has_settled && !self.import.all_must_succeed
    }

    /// Whether the project may have the bytes in all places where they are to be. Answers how many it may have in each.
    async fn check_storage(&self, repository: &mut Repository) -> Result<u64, StepError> {
        let row = repository.image_to_change(&self.id).await?;
        let row = row.ok_or_else(|| StepError::fatal("The image was deleted."))?;
        let staged = repository.staged(&self.id).await?.map(|staged| staged.size);
        let is_new = |store: &&Option<String>| row.places().all(|place| place.store != **store);
        let places = row.places().count() + self.import.stores.iter().filter(is_new).count();
        let places = places.max(1);
        let bytes = staged.or(row.size).map(|size| i128::from(size) * places as i128);
        let room = storage::check(repository, &self.context, &row, bytes).await?;
        Ok(room / places as u64)
    }

    /// From now on, what has the image's name in these stores is ours to remove, and takes its part of the quota.
    /// Answers why a store is done without, if one is.
    async fn claim(&self, run: &Run) -> Result<Option<StepError>, StepError> {
        let mut failure = None;
        let mut claimed = Vec::new();
        let row = run.database.read().await?.image(&self.id).await?;
        let row = row.ok_or_else(|| StepError::fatal("The image was deleted."))?;
        for store in self.import.stores.iter().map(Option::as_deref) {
            // What it has been brought to may be being deleted from there.
            if !is_under_way_to(&row, &self.id_of(store))
                || row.locations.iter().any(|location| location.store.as_deref() == store)
            {
                continue;
            }
            match self.check_free(store).await {
                Ok(()) => claimed.push(Location::new(&self.id, store, None).awaited()),
                Err(error) if self.others_are_enough(&error, run) => {
                    self.do_without(store, &error, run).await?;
                    failure = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        let mut repository = run.transaction().await?;
        self.check_storage(&mut repository).await?;
        for location in claimed {
            repository.add_location(&location).await?;
        }
        repository.commit().await?;
        Ok(failure)
    }

    /// What has the image's name there, and is not this import's, is somebody else's.
    async fn check_free(&self, store: Option<&str>) -> Result<(), StepError> {
        if lineage::is_there(self.context.images_in(store)?, self.id.as_str()).await? {
            return Err(StepError::fatal("The storage has other bytes of this image already."));
        }
        Ok(())
    }

    /// With the snapshot that volumes are made from: once it is said that the bytes are there, nothing takes them away.
    async fn bring_sealed(&self, store: Option<&str>, run: &Run) -> Result<(), StepError> {
        self.bring(store, run).await?;
        seal_image::seal(&self.context, &self.id, store, run).await.map(drop)
    }

    async fn bring(&self, store: Option<&str>, run: &Run) -> Result<(), StepError> {
        let row = run.database.read().await?.image(&self.id).await?;
        if row.is_some_and(|row| row.places().any(|place| place.store.as_deref() == store)) {
            return Ok(());
        }
        let kept = self.context.images_in(store)?;
        if self.is_copy() {
            if let Some(remote) = self.remote(run).await? {
                return self.bring_from_the_web(kept, &remote, run).await;
            }
            let source = self.place_to_copy(run).await?;
            return self.copy_to(kept, source, run).await;
        }
        let (staged, _) = self.found(run).await?;
        if store.is_some() {
            return self.copy_to(kept, self.bytes(&staged.name, run).await?, run).await;
        }
        match kept.rename(&staged.name, self.id.as_str()).await {
            // It was renamed before.
            Err(error) if error.kind == ErrorKind::NotFound => {
                Ok(kept.open(self.id.as_str(), OpenMode::ReadOnly).await?.close().await?)
            }
            other => Ok(other?),
        }
    }

    /// An image to copy of which no store has the bytes.
    async fn remote(&self, run: &Run) -> Result<Option<Remote>, StepError> {
        let row = run.database.read().await?.image(&self.id).await?;
        Ok(row.and_then(Remote::of))
    }

    /// With them comes to light how many there are, and what the image's row did not know of them.
    async fn bring_from_the_web(
        &self,
        store: &Arc<dyn BlockStore>,
        remote: &Remote,
        run: &Run,
    ) -> Result<(), StepError> {
        let intake = &self.context.options.intake;
        let target = remote::Target {
            store,
            name: self.id.as_str(),
            object_size: intake.object_size,
            room: self.room(run).await?,
            signed: self.signed(remote.properties()).await?,
            digests: intake.digests,
        };
        let found = remote.take_in(&self.context, &target, run).await?;
        let mut repository = run.transaction().await?;
        repository.learn_image(&self.id, &found, run.now()).await?;
        self.check_storage(&mut repository).await?;
        Ok(repository.commit().await?)
    }

    /// For bytes in one place.
    async fn room(&self, run: &Run) -> Result<u64, StepError> {
        let mut repository = run.transaction().await?;
        self.check_storage(&mut repository).await
    }

    /// The bytes of an image that has them.
    async fn place_to_copy(&self, run: &Run) -> Result<Arc<dyn BlockImage>, StepError> {
        let row = run.database.read().await?.image(&self.id).await?;
        let places = row.iter().flat_map(Image::places).filter(|place| !place.is_on_the_web());
        let mut failure = StepError::fatal("The image has no bytes in a store that is configured.");
        for place in places {
            let opened = match self.context.images_in(place.store.as_deref()) {
                Ok(store) => store.open(self.id.as_str(), OpenMode::ReadOnly).await.map_err(StepError::from),
                Err(error) => Err(error),
            };
            match opened {
                Ok(image) => return Ok(image),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    async fn copy_to(
        &self,
        store: &Arc<dyn BlockStore>,
        source: Arc<dyn BlockImage>,
        run: &Run,
    ) -> Result<(), StepError> {
        let copied = self.copied(store, &source, run).await;
        source.close().await?;
        copied
    }

    async fn copied(
        &self,
        store: &Arc<dyn BlockStore>,
        source: &Arc<dyn BlockImage>,
        run: &Run,
    ) -> Result<(), StepError> {
        // What an earlier try left, which may have come as far as the snapshot.
        lineage::take_away_sealed(store, self.id.as_str(), run).await?;
        let object_size = self.context.options.intake.object_size;
        let size = source.size().await?;
        run.check_allowed()?;
        store.create(self.id.as_str(), size, object_size).await?;
        let target = store.open(self.id.as_str(), OpenMode::ReadWrite).await?;
        let chunk = source.object_size().max(object_size);
        let options = CopyOptions { chunk, ..CopyOptions::default() };
        let copied = copy(source.clone(), target.clone(), options, &run.progress).await;
        target.close().await?;
        metrics::transferred(Direction::Copy, copied?);
        Ok(())
    }

    async fn brought(&self, store: Option<&str>, run: &Run) -> Result<(), StepError> {
        let mut repository = run.transaction().await?;
        self.strike_out(&mut repository, store, Fate::Brought, run).await?;
        repository.ready_location(&self.id, store, true).await?;
        if let Some(note) = self.leaving(store) {
            // What a removal had left there is overwritten.
            repository.remove_leftover(&note).await?;
        }
        Ok(repository.commit().await?)
    }

    fn has_failed(&self, store: Option<&str>) -> bool {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).contains(&self.id_of(store))
    }

    /// Others are enough.
    async fn do_without(&self, store: Option<&str>, error: &StepError, run: &Run) -> Result<(), StepError> {
        let id = self.id_of(store);
        tracing::warn!(store.id = %id, error = %error.message, detail = %error.detail,
            "an image does not come to a store");
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
        let mut repository = run.transaction().await?;
        self.strike_out(&mut repository, store, Fate::Failed, run).await?;
        self.forget_place(&mut repository, store).await?;
        Ok(repository.commit().await?)
    }

    async fn found(&self, run: &Run) -> Result<(Staged, Image), StepError> {
        let mut repository = run.database.read().await?;
        match (repository.staged(&self.id).await?, repository.image(&self.id).await?) {
            (Some(staged), Some(row)) => Ok((staged, row)),
            _ => Err(StepError::fatal("The image was deleted.")),
        }
    }
}

/// Why bytes did not come in, for users.
pub(super) fn refused(error: TransferError) -> StepError {
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
        &["fetch", "unpack", "inspect", "convert", "verify", "store"]
    }

    async fn run(&self, step: &'static str, run: &Run) -> Result<(), StepError> {
        match step {
            "fetch" | "unpack" | "inspect" | "convert" if self.is_copy() => Ok(()),
            "fetch" => self.fetch(run).await,
            "unpack" => self.unpack(run).await,
            "inspect" => self.inspect(run).await,
            "convert" => self.convert(run).await,
            "verify" => self.verify(run).await,
            _ => self.store(run).await,
        }
    }

    async fn undo(&self, step: &'static str, run: &Run) -> Result<(), StepError> {
        let store = &self.context.stores.images;
        match step {
            "store" => self.unstore(run).await,
            _ if self.is_copy() => Ok(()),
            "convert" => lineage::take_away(store, &names::converted(&self.id), run).await,
            "unpack" => lineage::take_away(store, &names::unpacked(&self.id), run).await,
            "fetch" => lineage::take_away(store, &names::staged(&self.id), run).await,
            _ => Ok(()),
        }
    }

    async fn finish(&self, repository: &mut Repository, run: &Run) -> db::Result<()> {
        let failed = std::mem::take(&mut *self.failed.lock().unwrap_or_else(PoisonError::into_inner));
        let staged = repository.staged(&self.id).await?;
        let is_raw = staged.as_ref().is_some_and(|staged| self.is_converted(staged));
        self.tell(repository, run, failed.into_iter(), Outcome::Done { is_raw }).await?;
        let Some(staged) = staged else { return Ok(()) };
        if let Some(row) = repository.image_to_change(&self.id).await? {
            for place in row.locations.iter().filter(|place| !place.ready) {
                self.forget_place(repository, place.store.as_deref()).await?;
            }
        }
        let virtual_size = self.virtual_size.get();
        let change = ImageChange { virtual_size, ..staged.facts() };
        // Unless someone deletes it: then its status stays as they want it.
        let (from, to) = (ImageStatus::Importing, ImageStatus::Active);
        repository.change_image(&self.id, from, to, &change, run.now()).await?;
        repository.remove_staged(&self.id).await
    }

    /// As it was before anything arrived: all of it can be repeated. Not so an image that nobody has asked for but to
    /// import it; unless it is being deleted already.
    async fn fail(&self, repository: &mut Repository, run: &Run, _: Cause) -> db::Result<()> {
        let row = repository.image_to_change(&self.id).await?;
        if self.is_new && row.as_ref().is_some_and(|row| row.status == ImageStatus::Importing) {
            return repository.remove_image(&self.id).await.map(drop);
        }
        let copies = match row.filter(|_| self.is_copy()) {
            Some(row) => self.withdraw(repository, &row, run).await?,
            None => Copies::default(),
        };
        let stores = || self.import.stores.iter();
        let failed = stores().filter(|store| copies.stays.as_ref() != Some(store));
        let failed = failed.map(|store| self.id_of(store.as_deref()));
        self.tell(repository, run, failed, Outcome::Failed).await?;
        for store in stores().filter(|store| !copies.seen.contains(store)) {
            self.forget_place(repository, store.as_deref()).await?;
        }
        if self.is_copy() {
            return Ok(());
        }
        let (from, to) = (ImageStatus::Importing, ImageStatus::Queued);
        repository.change_image(&self.id, from, to, &ImageChange::default(), run.now()).await?;
        repository.remove_staged(&self.id).await
    }
}
