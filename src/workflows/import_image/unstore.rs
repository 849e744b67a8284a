//! What an import that failed had brought goes again. A copy of an image that others have is another matter: it was seen
//! when it was whole, and may be the only one by now, or somebody may run from it.

use std::sync::Arc;

use super::ImportImage;
use crate::block::BlockStore;
use crate::db::Leftover;
use crate::jobs::{Cause, Run, StepError};
use crate::workflows::{delete_image, lineage, seal_image};

impl ImportImage {
    /// Takes back what `store` did.
    pub(super) async fn unstore(&self, run: &Run) -> Result<(), StepError> {
        let Some(row) = run.database.read().await?.image(&self.id).await? else { return Ok(()) };
        for location in row.locations.iter().filter(|location| self.import.stores.contains(&location.store)) {
            let store = self.context.images_in(location.store.as_deref())?;
            if !self.is_copy() {
                delete_image::remove_content(&self.context, store, &self.id, &run.progress.beside()).await?;
            } else if self.withdraw(location.store.as_deref(), run).await? {
                self.take_back(location.store.as_deref(), store, run).await?;
            }
        }
        Ok(())
    }

    /// Nobody reads what was copied to this store from now on. `false`: it stays, for no other store has the bytes.
    async fn withdraw(&self, store: Option<&str>, run: &Run) -> Result<bool, StepError> {
        let mut repository = run.transaction().await?;
        let Some(row) = repository.image_to_change(&self.id).await? else { return Ok(false) };
        let is_ready = row.places().any(|place| place.store.as_deref() == store);
        if is_ready && row.places().count() == 1 {
            return Ok(false);
        }
        repository.ready_location(&self.id, store, false).await?;
        repository.commit().await?;
        Ok(true)
    }

    /// A copy that somebody runs from already stays. What clones read from behind its back waits for the last of them.
    async fn take_back(
        &self,
        place: Option<&str>,
        store: &Arc<dyn BlockStore>,
        run: &Run,
    ) -> Result<(), StepError> {
        let progress = run.progress.beside();
        match delete_image::remove_content(&self.context, store, &self.id, &progress).await {
            Err(error) if error.cause == Cause::InUse && seal_image::is_sealed(store, &self.id).await? => {
                let mut repository = run.transaction().await?;
                repository.image_to_change(&self.id).await?;
                repository.ready_location(&self.id, place, true).await?;
                return Ok(repository.commit().await?);
            }
            other => other?,
        }
        if lineage::reap(&self.context, store, self.id.as_str()).await? == lineage::Rest::Needed {
            let mut repository = run.transaction().await?;
            let waits = Leftover { pool: store.pool().to_owned(), name: self.id.to_string() };
            repository.add_leftover(&waits, run.now()).await?;
            repository.commit().await?;
        }
        Ok(())
    }
}
