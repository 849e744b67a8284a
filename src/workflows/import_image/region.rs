//! The bytes come from another region of the cloud, with the formats of the image there and some of its properties.

use std::collections::BTreeMap;

use reqwest::header::HeaderValue;

use super::{ImportImage, refused};
use crate::db::{self, DbError, Image, Repository, Staged};
use crate::jobs::{BeforeImport, Cause, Import, ImportSource, RegionSource, Run, StepError, Task};
use crate::telemetry::metrics::{self, Direction};
use crate::transfer::{Algorithm, Received};
use crate::web::{RegionError, RegionImage, Regions, is_copied};
use crate::workflows::{lineage, names};

/// Longer than any name of a format.
const LONGEST_FORMAT: usize = 20;

impl From<RegionError> for StepError {
    fn from(error: RegionError) -> Self {
        let cause = if error.may_pass() { Cause::Transient } else { Cause::Fatal };
        StepError::new(cause, error.to_string(), "")
    }
}

impl ImportImage {
    pub(super) async fn fetch_from_region(&self, from: &RegionSource, run: &Run) -> Result<(), StepError> {
        let (regions, token) = self.opened(from)?;
        let endpoint = regions.endpoint(&token, &from.region, &from.interface).await?;
        let there = regions.image(&token, &endpoint, &from.image_id).await?;
        let size = size_of(&there, &from.image_id)?;
        let formats = [&there.disk_format, &there.container_format];
        if !formats.into_iter().all(|format| format.as_deref().is_some_and(is_format)) {
            return Err(StepError::fatal("Source image has no disk_format or no container_format."));
        }
        let row = run.database.read().await?.image(&self.id).await?;
        let mut row = row.ok_or_else(|| StepError::fatal("The image was deleted."))?;
        self.take_over(&mut row, &there);
        // Nobody waits for bytes whose signature cannot be checked.
        self.signed(&row.properties.0).await?;

        let (store, name) = (&self.context.stores.images, names::staged(&self.id));
        lineage::take_away(store, &name, run).await?;
        let download = self.context.web.get(regions.bytes(&token, &endpoint, &from.image_id)).await?;
        if let Some(length) = download.length.filter(|length| *length != size) {
            let text = format!("downloaded data size {length} is different from expected {size}");
            return Err(StepError::fatal(text));
        }
        let intake = &self.context.options.intake;
        let received = intake.take_in(store, &name, Some(size), download.body, &run.progress).await;
        let received = received.map_err(refused)?;
        metrics::transferred(Direction::Upload, received.size);
        check_digest(&there, &received)?;
        self.note_with(name, &received, &there, from, run).await
    }

    /// The token of whoever asked.
    pub(super) fn opened(&self, from: &RegionSource) -> Result<(&Regions, HeaderValue), StepError> {
        let regions = self.context.regions.as_ref();
        let regions = regions.ok_or_else(|| StepError::fatal("glance-download is not enabled any more."))?;
        let token = regions.open(&from.token, self.id.as_str());
        let text = "The token that came with the request cannot be read any more. Please ask again.";
        Ok((regions, token.ok_or_else(|| StepError::fatal(text))?))
    }

    /// The bytes are whole, and what the image says of them comes with them.
    async fn note_with(
        &self,
        name: String,
        received: &Received,
        there: &RegionImage,
        from: &RegionSource,
        run: &Run,
    ) -> Result<(), StepError> {
        let staged = Staged::new(&self.id, name, self.context.options.intake.facts(received));
        let mut repository = run.transaction().await?;
        let row = repository.image_to_change(&self.id).await?;
        let mut row = row.ok_or_else(|| StepError::fatal("The image was deleted."))?;
        self.note_given(&mut repository, &row, there, from, run).await?;
        self.take_over(&mut row, there);
        row.updated_at = run.now();
        repository.update_image(&row).await?;
        repository.set_staged(&staged).await?;
        Ok(repository.commit().await?)
    }

    /// What is taken back should the import fail. The rows say it no more by then.
    async fn note_given(
        &self,
        repository: &mut Repository,
        row: &Image,
        there: &RegionImage,
        from: &RegionSource,
        run: &Run,
    ) -> Result<(), StepError> {
        let copied = &self.context.options.imports.copied;
        let before = BeforeImport::of(row, |name| is_copied(name, copied));
        let given = self.given(there);
        let source = ImportSource::Region(Box::new(RegionSource { before, given, ..from.clone() }));
        let import = Import { source, ..self.import.clone() };
        let task = Task::ImportImage { image_id: self.id.clone(), import };
        let payload = serde_json::to_value(&task).map_err(DbError::from)?;
        Ok(repository.set_job_payload(&run.id, &payload).await?)
    }

    /// What the image there says of itself.
    fn take_over(&self, row: &mut Image, there: &RegionImage) {
        row.disk_format.clone_from(&there.disk_format);
        row.container_format.clone_from(&there.container_format);
        row.properties.0.extend(self.given(there));
    }

    fn given(&self, there: &RegionImage) -> BTreeMap<String, String> {
        let copied = there.properties(&self.context.options.imports.copied);
        copied.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// As it was before the import, but for what somebody else has said of it meanwhile. Formats nobody could say.
    pub(super) async fn restore(
        &self,
        repository: &mut Repository,
        row: &mut Image,
        run: &Run,
    ) -> db::Result<()> {
        let Some(from) = noted(repository, run).await? else { return Ok(()) };
        let RegionSource { before, given, .. } = *from;
        row.disk_format = before.disk_format;
        row.container_format = before.container_format;
        let properties = &mut row.properties.0;
        for (name, value) in given {
            if properties.get(&name) != Some(&value) {
                continue;
            }
            match before.properties.get(&name) {
                Some(old) => drop(properties.insert(name, old.clone())),
                None => drop(properties.remove(&name)),
            }
        }
        Ok(())
    }
}

/// What the job says of the import by now. `None`: it is none from another region.
async fn noted(repository: &mut Repository, run: &Run) -> db::Result<Option<Box<RegionSource>>> {
    let Some(job) = repository.job(&run.id).await? else { return Ok(None) };
    match serde_json::from_value(job.payload)? {
        Task::ImportImage { import: Import { source: ImportSource::Region(from), .. }, .. } => Ok(Some(from)),
        _ => Ok(None),
    }
}

fn is_format(name: &str) -> bool {
    (1..=LONGEST_FORMAT).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

/// What cannot be imported is told as Glance tells it.
fn size_of(there: &RegionImage, id: &str) -> Result<u64, StepError> {
    if there.status != "active" {
        let status: String = there.status.chars().take(30).collect();
        return Err(StepError::fatal(format!("Source image status should be active instead of {status}")));
    }
    let text = || format!("Size attribute of remote image {id} could not be determined.");
    there.size.ok_or_else(|| StepError::fatal(text()))
}

/// Where both regions compute the same digest, it tells whether the bytes are theirs.
fn check_digest(there: &RegionImage, received: &Received) -> Result<(), StepError> {
    let algorithm = there.os_hash_algo.as_deref().and_then(|name| name.parse::<Algorithm>().ok());
    let found = algorithm.and_then(|algorithm| received.digest(algorithm));
    match (found, there.os_hash_value.as_deref()) {
        (Some(found), Some(said)) if !said.eq_ignore_ascii_case(found) => {
            Err(StepError::fatal("The bytes have another digest than the other region says."))
        }
        _ => Ok(()),
    }
}
