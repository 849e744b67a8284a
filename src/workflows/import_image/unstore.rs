//! What an import that failed had brought goes again. A copy of an image that others have is another matter: it was seen
//! when it was whole, and may be the only one by now, or somebody may be reading from it.

use super::ImportImage;
use crate::db::{self, Image, Leftover, Repository};
use crate::jobs::{self, Origin, Run, StepError, Task};
use crate::workflows::{delete_image, names};

/// The stores that had whole copies when the job that made them failed.
#[derive(Default)]
pub(super) struct Copies {
    pub(super) seen: Vec<Option<String>>,
    /// The one of them that keeps its own, for no other store has the bytes.
    pub(super) stays: Option<Option<String>>,
}

impl ImportImage {
    /// Takes back what `store` did. Copies that were seen are [withdrawn](Self::withdraw) later.
    pub(super) async fn unstore(&self, run: &Run) -> Result<(), StepError> {
        let Some(row) = run.database.read().await?.image(&self.id).await? else { return Ok(()) };
        let ours = row.locations.iter().filter(|location| self.import.stores.contains(&location.store));
        for location in ours.filter(|location| !self.is_copy() || !location.ready) {
            self.take_back(location.store.as_deref(), run).await?;
        }
        Ok(())
    }

    /// What was brought to a store goes. Where that fails, the sweeper tries it again, and nobody waits for it.
    pub(super) async fn take_back(&self, place: Option<&str>, run: &Run) -> Result<(), StepError> {
        // Of a store that is not configured any more nothing is known.
        let Ok(store) = self.context.images_in(place) else { return Ok(()) };
        let progress = run.progress.beside();
        let removed = delete_image::remove_content(&self.context, store, &self.id, &progress).await;
        let Err(error) = removed else { return Ok(()) };
        // What arrived lies in the first store too, and is waited for.
        let is_waited_for = place.is_none() && !self.is_copy();
        let Some(note) = self.leaving(place).filter(|_| !is_waited_for) else { return Err(error) };
        tracing::warn!(error = %error.message, detail = %error.detail, pool = note.pool,
            "what an import brought is still there");
        let mut repository = run.transaction().await?;
        repository.add_leftover(&note, run.now()).await?;
        Ok(repository.commit().await?)
    }

    /// How the sweeper is told of bytes that are to leave a store. `None`: it is not configured.
    pub(super) fn leaving(&self, store: Option<&str>) -> Option<Leftover> {
        let pool = self.context.images_in(store).ok()?.pool().to_owned();
        Some(Leftover { pool, name: names::leaving(&self.id) })
    }

    /// Unless there may be bytes, which the sweeper finds by it: nobody reads them.
    pub(super) async fn forget_place(
        &self,
        repository: &mut Repository,
        store: Option<&str>,
    ) -> db::Result<()> {
        if let Some(note) = self.leaving(store)
            && repository.has_leftover(&note).await?
        {
            return repository.ready_location(&self.id, store, false).await.map(drop);
        }
        repository.remove_location(&self.id, store).await
    }

    /// Nobody begins to read what was copied from now on. It goes in a job of its own, after those who read it.
    pub(super) async fn withdraw(
        &self,
        repository: &mut Repository,
        row: &Image,
        run: &Run,
    ) -> db::Result<Copies> {
        let seen: Vec<_> = row.places().map(|place| place.store.clone()).collect();
        let mut left = seen.len();
        let mut copies = Copies::default();
        for store in seen.into_iter().filter(|store| self.import.stores.contains(store)) {
            copies.seen.push(store.clone());
            if left == 1 {
                copies.stays = Some(store);
                break;
            }
            left -= 1;
            repository.ready_location(&self.id, store.as_deref(), false).await?;
            let task = Task::DeleteFromStore { image_id: self.id.clone(), store };
            let origin = Origin { project_id: row.project_id.clone(), request_id: None };
            jobs::follow_up(repository, &run.world, task, &origin).await?;
        }
        Ok(copies)
    }
}
