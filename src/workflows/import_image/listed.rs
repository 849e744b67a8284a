//! Which stores an import is under way to, and which it did not come to: two lists that the image's row shows.

use super::{ImportImage, Outcome, converted};
use crate::db::{self, Image, Repository};
use crate::jobs::{Run, StepError};

/// The stores that an import is under way to, and those it failed for, as the image shows them.
pub const IMPORTING_TO: &str = "os_glance_importing_to_stores";
pub const FAILED: &str = "os_glance_failed_import";

/// What an import to one store came to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Brought,
    Failed,
}

impl ImportImage {
    /// Not so once it was brought there, maybe by an earlier try: what happens to it there since is others' business.
    pub(super) async fn is_awaited(&self, store: Option<&str>, run: &Run) -> Result<bool, StepError> {
        let row = run.database.read().await?.image(&self.id).await?;
        Ok(row.is_some_and(|row| is_under_way_to(&row, &self.id_of(store))))
    }

    /// The import is not under way to this store any more. The row is held from then on: a request that changes its
    /// locations writes down those it has read.
    pub(super) async fn strike_out(
        &self,
        repository: &mut Repository,
        store: Option<&str>,
        fate: Fate,
        run: &Run,
    ) -> db::Result<()> {
        let Some(mut row) = repository.image_to_change(&self.id).await? else { return Ok(()) };
        let (id, properties) = ([self.id_of(store)], &mut row.properties.0);
        let Some(list) = properties.get_mut(IMPORTING_TO) else { return Ok(()) };
        *list = without(list, &id);
        if fate == Fate::Failed {
            let failed = properties.entry(FAILED.to_owned()).or_default();
            *failed = with(failed, &id);
        }
        row.updated_at = run.now();
        repository.update_image(&row).await.map(drop)
    }

    /// What the row says of the import: it is over. Stores that a process did without before it died are told there
    /// already.
    pub(super) async fn tell(
        &self,
        repository: &mut Repository,
        run: &Run,
        failed: impl Iterator<Item = String>,
        outcome: Outcome,
    ) -> db::Result<()> {
        let Some(mut row) = repository.image_to_change(&self.id).await? else { return Ok(()) };
        if outcome == (Outcome::Done { is_raw: true }) {
            converted::as_raw(&mut row);
        }
        if outcome == Outcome::Failed {
            self.restore(repository, &mut row, run).await?;
        }
        let ours: Vec<String> = self.import.stores.iter().map(|id| self.id_of(id.as_deref())).collect();
        let settled = match outcome {
            Outcome::Failed => ours.clone(),
            Outcome::Done { .. } => row.places().map(|place| self.id_of(place.store.as_deref())).collect(),
        };
        let properties = &mut row.properties.0;
        if self.import.inject && outcome != Outcome::Failed {
            properties.extend(self.context.options.imports.inject.clone());
        }
        // Others may be under way already: its last store is seen to have the bytes before this.
        let listed = |name| properties.get(name).map_or("", String::as_str);
        let others = without(listed(IMPORTING_TO), &ours);
        let failed = with(&without(listed(FAILED), &settled), &failed.collect::<Vec<_>>());
        properties.insert(IMPORTING_TO.to_owned(), others);
        properties.insert(FAILED.to_owned(), failed);
        row.updated_at = run.now();
        repository.update_image(&row).await.map(drop)
    }
}

/// Who asked by the older way, a task, has no such list.
pub(super) fn is_under_way_to(row: &Image, store: &str) -> bool {
    row.properties.get(IMPORTING_TO).is_none_or(|list| list.split(',').any(|id| id == store))
}

/// A list of stores with these, each of them once.
fn with(list: &str, ids: &[String]) -> String {
    let others = without(list, ids);
    let all = others.split(',').filter(|id| !id.is_empty()).chain(ids.iter().map(String::as_str));
    all.collect::<Vec<_>>().join(",")
}

/// A list of stores without these.
fn without(list: &str, ids: &[String]) -> String {
    let rest: Vec<&str> = list.split(',').filter(|other| !ids.iter().any(|id| id == other)).collect();
    rest.join(",")
}
