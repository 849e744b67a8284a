//! Looks after what was kept for clones: when its last clone went and nobody saw, it goes now.
//!
//! Takes no input, may run at any time and as often as one likes; the table `leftovers` says where to look.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::names::Named;
use super::{Context, delete_image, image_cache, intake, lineage, names};
use crate::block::{BlockStore, Progress};
use crate::db::{self, Database, Leftover};
use crate::jobs::{self, Origin, StepError, Task};
use crate::model::{ImageId, ImageStatus, Timestamp, VolumeId, World};
use crate::telemetry::chain;

/// Jobs, and messages, that one transaction forgets at the most.
const PORTION: u32 = 1_000;

/// So many leftovers are looked at each time, the newest, and so many of the others, which take turns: what was kept for
/// clones goes with the last of them anyway, and a cloud may keep thousands.
const LOOKED_AT: usize = 100;

pub struct Sweeper {
    context: Context,
    database: Database,
    world: World,
    keep: Keep,
}

/// How long what is over can still be read.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    /// Days, of finished jobs; 0: for ever.
    pub finished_days: u32,
    /// Seconds, of messages to users.
    pub messages: i64,
}

impl Sweeper {
    pub fn new(context: Context, database: Database, world: World, keep: Keep) -> Self {
        Self { context, database, world, keep }
    }

    pub async fn run(self, every: Duration, stop: CancellationToken) {
        let mut turn = 0;
        loop {
            if let Err(error) = self.sweep_some(&mut turn, &stop).await {
                tracing::warn!(error = %chain(&error), "leftovers were not looked after");
            }
            if let Err(error) = self.forget_until(&stop).await {
                tracing::warn!(error = %chain(&error), "old jobs and messages were not forgotten");
            }
            tokio::select! {
                () = tokio::time::sleep(every) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Removes all that nothing needs any more. Answers how much is left.
    pub async fn sweep(&self) -> Result<usize, StepError> {
        let leftovers = self.leftovers().await?;
        Ok(self.sweep_these(leftovers, &CancellationToken::new()).await?)
    }

    /// Likewise, of some of it: `turn` says whose turn it is.
    async fn sweep_some(&self, turn: &mut usize, stop: &CancellationToken) -> db::Result<usize> {
        let leftovers = in_turn(self.leftovers().await?, turn);
        self.sweep_these(leftovers, stop).await
    }

    async fn leftovers(&self) -> db::Result<Vec<(Leftover, Timestamp)>> {
        self.database.read().await?.leftovers().await
    }

    /// A process that is asked to stop does not wait for all of them.
    async fn sweep_these(
        &self,
        leftovers: Vec<(Leftover, Timestamp)>,
        stop: &CancellationToken,
    ) -> db::Result<usize> {
        let mut needed = 0;
        for (leftover, noted_at) in leftovers {
            if stop.is_cancelled() {
                break;
            }
            // One that cannot be looked at now does not keep the others.
            let is_gone = self.reap(&leftover).await.unwrap_or_else(|error| {
                let StepError { message, detail, .. } = error;
                tracing::warn!(error = message, detail, leftover.name, "a leftover was not looked after");
                false
            });
            if is_gone {
                let mut repository = self.database.begin().await?;
                repository.forget_leftover(&leftover, noted_at).await?;
                repository.commit().await?;
            } else {
                needed += 1;
            }
        }
        Ok(needed)
    }

    /// Pools of several clusters may have one name: it is gone when it is in none of them. A pool that is not
    /// configured any more may be so again.
    async fn reap(&self, leftover: &Leftover) -> Result<bool, StepError> {
        let mut rests = Vec::new();
        for store in self.context.all_stores().filter(|store| store.pool() == leftover.pool) {
            rests.push(self.reap_in(store, &leftover.name).await?);
        }
        Ok(!rests.is_empty() && rests.iter().all(|rest| *rest == lineage::Rest::Gone))
    }

    /// What has the name of a volume is what the volume left when it moved, or one that was never finished.
    async fn reap_in(&self, store: &Arc<dyn BlockStore>, name: &str) -> Result<lineage::Rest, StepError> {
        if let Some(parent) = lineage::noted(store.pool(), name) {
            return Ok(lineage::release_noted(&self.context, store, &parent).await?);
        }
        if let Some(id) = names::leaving_of(name) {
            return self.go_on(store, &id).await;
        }
        match names::volume_of(name) {
            Some(id) if !lineage::is_at_home(&self.context, store, &id, &self.database).await? => {
                if self.is_the_last(store, &id).await? {
                    tracing::warn!(volume.id = %id, pool = store.pool(), "a volume lies only where it should not");
                    return Ok(lineage::Rest::Needed);
                }
                lineage::remove_copy(&self.context, store, &id, &self.database).await
            }
            Some(_) => Ok(lineage::reap(&self.context, store, name).await?),
            None => {
                self.remove_rest(store, name).await?;
                Ok(lineage::reap(&self.context, store, name).await?)
            }
        }
    }

    /// Whether the volume is here, and not where its row says: a database that was set back knows an older place of it.
    async fn is_the_last(&self, store: &Arc<dyn BlockStore>, id: &VolumeId) -> Result<bool, StepError> {
        let Some(row) = self.database.read().await?.volume(id).await? else { return Ok(false) };
        let home = &self.context.backend(&row)?.store;
        Ok(lineage::is_there(store, &names::volume(id)).await?
            && !lineage::is_there(home, &names::of(&row)).await?)
    }

    /// An image's removal may have broken off after its row could not come back. Mostly what is left is kept for clones
    /// already: in the trash, or a cached copy under the name of a deleted one.
    async fn remove_rest(&self, store: &Arc<dyn BlockStore>, name: &str) -> Result<(), StepError> {
        if let Some(cached) = names::cached_before(name) {
            image_cache::put_aside(&self.context, store, cached).await?;
        }
        match Named::parse(name) {
            Some(Named::Image(id)) if self.is_gone(id).await? => {
                let Some(id) = ImageId::parse(id) else { return Ok(()) };
                delete_image::remove_content(&self.context, store, &id, &Progress::new()).await?;
            }
            Some(Named::Staged(id)) if self.is_gone(id).await? => {
                intake::discard(store, name, &Progress::new()).await?;
            }
            _ => {}
        }
        Ok(())
    }

    /// No other image gets its id.
    async fn is_gone(&self, image: &str) -> Result<bool, StepError> {
        let Some(id) = ImageId::parse(image) else { return Ok(false) };
        Ok(self.database.read().await?.image(&id).await?.is_none())
    }

    /// An image's bytes could not be removed from one store, or not all of them: once more, in turn with all else
    /// that is done with the image.
    async fn go_on(&self, store: &Arc<dyn BlockStore>, id: &ImageId) -> Result<lineage::Rest, StepError> {
        let mut stores = self.context.stores.all_images();
        let Some((store, _)) = stores.find(|(_, other)| Arc::ptr_eq(other, store)) else {
            return Ok(lineage::Rest::Gone);
        };
        let mut repository = self.database.begin().await?;
        let Some(row) = repository.image_to_change(id).await? else { return Ok(lineage::Rest::Gone) };
        if row.status != ImageStatus::Active && row.status != ImageStatus::Deactivated {
            // All of it goes.
            return Ok(lineage::Rest::Needed);
        }
        if row.places().any(|place| place.store.as_deref() == store) {
            // They count again.
            return Ok(lineage::Rest::Gone);
        }
        if !repository.is_at_work(id.as_str()).await? {
            let task = Task::DeleteFromStore { image_id: id.clone(), store: store.map(str::to_owned) };
            let origin = Origin { project_id: row.project_id, request_id: None };
            jobs::enqueue(&mut repository, &self.world, task, &origin).await?;
            repository.commit().await?;
        }
        Ok(lineage::Rest::Needed)
    }

    /// Removes jobs and messages that nobody has to be able to read any more, in portions: others write in between, and
    /// what is done stays done.
    pub async fn forget(&self) -> db::Result<()> {
        self.forget_until(&CancellationToken::new()).await
    }

    async fn forget_until(&self, stop: &CancellationToken) -> db::Result<()> {
        let (mut jobs, mut messages) = (0, 0);
        while !stop.is_cancelled() {
            let (of_jobs, of_messages) = self.forget_portion().await?;
            jobs += of_jobs;
            messages += of_messages;
            if of_jobs.max(of_messages) < u64::from(PORTION) {
                break;
            }
        }
        if jobs > 0 || messages > 0 {
            tracing::info!(
                job.count = jobs,
                message.count = messages,
                "old jobs and messages were forgotten"
            );
        }
        Ok(())
    }

    /// Answers how many jobs and messages.
    async fn forget_portion(&self) -> db::Result<(u64, u64)> {
        let now = self.world.now();
        let mut repository = self.database.begin().await?;
        let jobs = match i64::from(self.keep.finished_days) {
            0 => 0,
            days => repository.forget_jobs(now.plus_seconds(-days * 86_400), PORTION).await?,
        };
        let messages = repository.forget_messages(now.plus_seconds(-self.keep.messages), PORTION).await?;
        repository.forget_clients(now.plus_seconds(-86_400)).await?;
        repository.commit().await?;
        Ok((jobs, messages))
    }
}

/// The first of them, and those of the others whose turn it is.
fn in_turn<T>(mut all: Vec<T>, turn: &mut usize) -> Vec<T> {
    let mut others = all.split_off(all.len().min(LOOKED_AT));
    if *turn >= others.len() {
        *turn = 0;
    }
    others.drain(..*turn);
    others.truncate(LOOKED_AT);
    *turn += others.len();
    all.extend(others);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_all_looked_at_each_time() {
        let mut turn = 0;
        for _ in 0..3 {
            assert_eq!(in_turn((0..LOOKED_AT).collect(), &mut turn).len(), LOOKED_AT);
        }
    }

    #[test]
    fn of_many_the_first_are_looked_at_each_time_and_the_others_in_turn() {
        let (mut turn, all) = (0, 2 * LOOKED_AT + 10);
        let mut seen = vec![0; all];
        for _ in 0..4 {
            for one in in_turn((0..all).collect(), &mut turn) {
                seen[one] += 1;
            }
        }
        assert!(seen[..LOOKED_AT].iter().all(|times| *times == 4));
        assert!(seen[LOOKED_AT..].iter().all(|times| *times == 2));
    }
}
