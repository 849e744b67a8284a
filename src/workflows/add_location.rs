//! Bytes that are somewhere already become an image's content, and stay there: on somebody's web server, or in a pool of
//! ours, where another service cloned them. They are read once, to know their digests.

use std::sync::Arc;

use async_trait::async_trait;

use super::import_image::{read, refused};
use super::told::Told;
use super::{Context, names, storage};
use crate::block::{BlockImage, OpenMode};
use crate::db::{self, ImageChange, Repository};
use crate::jobs::{Cause, NewLocation, Run, StepError, Workflow};
use crate::model::{ImageId, ImageStatus};
use crate::transfer::{Algorithm, measure};

pub(super) struct AddLocation {
    context: Context,
    id: ImageId,
    location: NewLocation,
    facts: Told<ImageChange>,
}

impl AddLocation {
    pub(super) fn new(context: Context, id: ImageId, location: NewLocation) -> Self {
        Self { context, id, location, facts: Told::default() }
    }

    /// What the digests are made with; none without secure hashes.
    fn algorithms(&self) -> Result<Vec<Algorithm>, StepError> {
        if !self.context.options.imports.do_secure_hash {
            return Ok(Vec::new());
        }
        let named = self.location.hash_algo.parse();
        let named = named.map_err(|_| StepError::fatal("The algorithm of the digest is not known."))?;
        Ok(vec![Algorithm::Md5, named])
    }

    fn is_in_store(&self) -> bool {
        names::parse_location(&self.location.url).is_some()
    }

    /// Reads all bytes. Without secure hashes only their number, as the server tells it, and the digest that the
    /// request names is believed.
    async fn hash(&self, run: &Run) -> Result<(), StepError> {
        let facts = if self.is_in_store() { self.in_store(run).await? } else { self.on_the_web(run).await? };
        storage::reserve(&self.context, &self.id, facts.size, run).await?;
        self.facts.set(facts);
        Ok(())
    }

    async fn on_the_web(&self, run: &Run) -> Result<ImageChange, StepError> {
        let download = self.context.web.get(self.location.url.as_str()).await?;
        self.check_size(download.length.unwrap_or(0))?;
        let algorithms = self.algorithms()?;
        if algorithms.is_empty() {
            return self.facts(download.length, Vec::new());
        }
        let options = self.context.options.intake.options(download.length, algorithms);
        let measured = measure(download.body, &options, &run.progress).await.map_err(refused)?;
        self.facts(Some(measured.size), measured.digests)
    }

    /// As the snapshot has them: it does not change any more.
    async fn in_store(&self, run: &Run) -> Result<ImageChange, StepError> {
        let store = self.context.images_in(self.location.store.as_deref())?;
        let snapshot = OpenMode::Snapshot(names::IMAGE_SNAPSHOT.to_owned());
        let image = store.open(self.id.as_str(), snapshot).await?;
        let found = self.read(&image, run).await;
        image.close().await?;
        found
    }

    async fn read(&self, image: &Arc<dyn BlockImage>, run: &Run) -> Result<ImageChange, StepError> {
        let size = image.size().await?;
        self.check_size(size)?;
        let row = run.database.read().await?.image(&self.id).await?;
        let row = row.ok_or_else(|| StepError::fatal("The image was deleted."))?;
        let content = read::look_into(&**image, size).await?;
        let virtual_size = self.context.options.intake.virtual_size(&row, &content);
        let virtual_size = virtual_size.map_err(|refusal| StepError::fatal(refusal.to_string()))?;
        let found = read::digests_of(image, size, &self.algorithms()?, run).await?;
        Ok(ImageChange { virtual_size, ..self.facts(Some(size), found)? })
    }

    fn check_size(&self, size: u64) -> Result<(), StepError> {
        let limit = self.context.options.intake.limit;
        if size <= limit {
            return Ok(());
        }
        Err(StepError::fatal(format!("It is more than the {limit} bytes that an image may have.")))
    }

    /// What the image's row says then; the bytes must have the digest that the request names.
    fn facts(
        &self,
        length: Option<u64>,
        digests: Vec<(Algorithm, String)>,
    ) -> Result<ImageChange, StepError> {
        let size = length.and_then(|length| i64::try_from(length).ok());
        let wanted = self.location.hash_value.as_deref();
        // Named twice, an algorithm is computed once.
        let (Some((_, checksum)), Some((algorithm, hash))) = (digests.first(), digests.last()) else {
            return Ok(ImageChange {
                size,
                os_hash_algo: wanted.map(|_| self.location.hash_algo.clone()),
                os_hash_value: wanted.map(str::to_ascii_lowercase),
                ..ImageChange::default()
            });
        };
        if wanted.is_some_and(|wanted| !wanted.eq_ignore_ascii_case(hash)) {
            return Err(StepError::fatal("The bytes have another digest than the request says."));
        }
        Ok(ImageChange {
            size,
            virtual_size: None,
            checksum: Some(checksum.clone()),
            os_hash_algo: Some(algorithm.name().to_owned()),
            os_hash_value: Some(hash.clone()),
        })
    }
}

#[async_trait]
impl Workflow for AddLocation {
    fn steps(&self) -> &'static [&'static str] {
        &["hash"]
    }

    async fn run(&self, _: &'static str, run: &Run) -> Result<(), StepError> {
        self.hash(run).await
    }

    /// Nothing was brought anywhere.
    async fn undo(&self, _: &'static str, _: &Run) -> Result<(), StepError> {
        Ok(())
    }

    async fn finish(&self, repository: &mut Repository, run: &Run) -> db::Result<()> {
        repository.ready_location(&self.id, self.location.store.as_deref(), true).await?;
        let facts = self.facts.get();
        let (from, to) = (ImageStatus::Importing, ImageStatus::Active);
        repository.change_image(&self.id, from, to, &facts, run.now()).await.map(drop)
    }

    /// A location on the web stays with the image, as Glance leaves it, but nobody reads what is there. What lies in a
    /// pool is whose it was before: whoever cloned it removes it, or it goes with the image.
    async fn fail(&self, repository: &mut Repository, run: &Run, _: Cause) -> db::Result<()> {
        if self.is_in_store() {
            repository.remove_location(&self.id, self.location.store.as_deref()).await?;
        }
        let (from, to) = (ImageStatus::Importing, ImageStatus::Queued);
        repository.change_image(&self.id, from, to, &ImageChange::default(), run.now()).await.map(drop)
    }
}
