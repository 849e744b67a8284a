//! Bytes on somebody's web server become an image's content, and stay there: they are read once, to know their digests.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use futures::StreamExt;

use super::Context;
use crate::block::Progress;
use crate::db::{self, ImageChange, Repository};
use crate::jobs::{Cause, NewLocation, Run, StepError, Workflow};
use crate::model::{ImageId, ImageStatus};
use crate::transfer::{Algorithm, Digests};

pub(super) struct AddLocation {
    context: Context,
    id: ImageId,
    location: NewLocation,
    facts: Mutex<ImageChange>,
}

impl AddLocation {
    pub(super) fn new(context: Context, id: ImageId, location: NewLocation) -> Self {
        Self { context, id, location, facts: Mutex::default() }
    }

    fn algorithm(&self) -> Result<Algorithm, StepError> {
        let named = self.location.hash_algo.parse();
        named.map_err(|_| StepError::fatal("The algorithm of the digest is not known."))
    }

    /// Reads all bytes. Without secure hashes only their number, as the server tells it, and the digest that the
    /// request names is believed.
    async fn hash(&self, run: &Run) -> Result<(), StepError> {
        let mut download = self.context.web.get(self.location.url.as_str()).await?;
        let wanted = self.location.hash_value.as_deref();
        let mut facts = ImageChange { size: size(download.length), ..ImageChange::default() };
        if self.context.options.imports.do_secure_hash {
            let algorithm = self.algorithm()?;
            let digests = Digests::start(&[Algorithm::Md5, algorithm]);
            let digests = digests.map_err(|error| StepError::fatal(error.to_string()))?;
            let limit = self.context.options.intake.limit;
            let mut length: u64 = 0;
            report(&run.progress, 0, download.length)?;
            while let Some(bytes) = download.body.next().await {
                let bytes = bytes?;
                length += bytes.len() as u64;
                if length > limit {
                    let text = format!("It is more than the {limit} bytes that an image may have.");
                    return Err(StepError::fatal(text));
                }
                report(&run.progress, length, download.length)?;
                digests.update(bytes).await.map_err(|error| StepError::fatal(error.to_string()))?;
            }
            let mut found = digests.finish().await.map_err(|error| StepError::fatal(error.to_string()))?;
            let (checksum, hash) = (found.remove(0).1, found.pop().map(|(_, hex)| hex));
            // Named once, an algorithm is computed once.
            let hash = hash.unwrap_or_else(|| checksum.clone());
            if wanted.is_some_and(|wanted| !wanted.eq_ignore_ascii_case(&hash)) {
                return Err(StepError::fatal("The bytes have another digest than the request says."));
            }
            facts.size = size(Some(length));
            facts.checksum = Some(checksum);
            facts.os_hash_algo = Some(algorithm.name().to_owned());
            facts.os_hash_value = Some(hash);
        } else if let Some(wanted) = wanted {
            facts.os_hash_algo = Some(self.location.hash_algo.clone());
            facts.os_hash_value = Some(wanted.to_ascii_lowercase());
        }
        *self.facts.lock().unwrap_or_else(PoisonError::into_inner) = facts;
        Ok(())
    }
}

fn size(bytes: Option<u64>) -> Option<i64> {
    bytes.and_then(|bytes| i64::try_from(bytes).ok())
}

fn report(progress: &Progress, done: u64, of: Option<u64>) -> Result<(), StepError> {
    if progress.report(done, of.unwrap_or(0)) { Ok(()) } else { Err(StepError::cancelled()) }
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
        repository.ready_location(&self.id, Some(&self.location.store), true).await?;
        let facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (from, to) = (ImageStatus::Importing, ImageStatus::Active);
        repository.change_image(&self.id, from, to, &facts, run.now()).await.map(drop)
    }

    /// The location stays with the image, as Glance leaves it, but nobody reads what is there.
    async fn fail(&self, repository: &mut Repository, run: &Run, _: Cause) -> db::Result<()> {
        let (from, to) = (ImageStatus::Importing, ImageStatus::Queued);
        repository.change_image(&self.id, from, to, &ImageChange::default(), run.now()).await.map(drop)
    }
}
