//! A volume gets another type, another place, or both.
//!
//! In another place it is a full copy, which is compared with the old one before the volume changes over to it. Only then
//! does the old one go: for clones that read from it, it stays as that of a deleted volume does. What an instance has is
//! copied by its Nova instead (see [`stand_in`]).

mod stand_in;

use std::sync::Arc;

use async_trait::async_trait;

use self::stand_in::Whose;
use super::told::Told;
use super::{Context, is_one_place, lineage, names, qos, replication};
use crate::block::{Backend, BlockStore, OpenMode};
use crate::db::{self, Leftover, Repository, Volume, VolumeChange, VolumeMove};
use crate::jobs::{Cause, Destination, Run, StepError, Workflow};
use crate::model::{Host, MigrationStatus, Timestamp, VolumeId, VolumeStatus, VolumeTypeId};
use crate::telemetry::metrics::{self, Direction};
use crate::transfer::{CopyOptions, copy, same};

type Step = Result<(), StepError>;

pub(super) struct MoveVolume {
    context: Context,
    id: VolumeId,
    /// Without one it keeps its own.
    new_type: Option<VolumeTypeId>,
    from: String,
    to: Destination,
    /// When the volume was used last before the copy began: another use means that somebody was at its bytes.
    seen: Told<Option<Timestamp>>,
    /// A copy that came to nothing, and could not be taken away.
    rest: Told<Option<Leftover>>,
}

/// The two places, when they are not one.
struct Way<'a> {
    from: &'a Arc<dyn BlockStore>,
    to: &'a Backend,
}

impl MoveVolume {
    pub(super) fn new(
        context: Context,
        id: VolumeId,
        new_type: Option<VolumeTypeId>,
        from: String,
        to: Destination,
    ) -> Self {
        Self { context, id, new_type, from, to, seen: Told::default(), rest: Told::default() }
    }

    fn name(&self) -> String {
        names::volume(&self.id)
    }

    async fn row(&self, run: &Run) -> Result<Volume, StepError> {
        let row = run.database.read().await?.volume(&self.id).await?;
        row.ok_or_else(|| StepError::gone("volume"))
    }

    /// It is what it should become: an earlier run came as far as that.
    fn is_done(&self, row: &Volume) -> bool {
        let Destination::Place { host, .. } = &self.to else { return false };
        row.host.as_ref() == Some(host) && self.new_type.as_ref().is_none_or(|of| *of == row.volume_type_id)
    }

    fn destination(&self) -> Result<(&str, &str), StepError> {
        match &self.to {
            Destination::Place { host, zone } => Ok((host, zone)),
            Destination::Nowhere { why } => Err(StepError::fatal(why)),
        }
    }

    fn backend(&self, host: &str) -> Result<&Backend, StepError> {
        self.context.backend_at(Some(host))
    }

    /// `None` when it stays where it is. Two backends can be one pool.
    async fn way(&self) -> Result<Option<Way<'_>>, StepError> {
        let (host, _) = self.destination()?;
        let (from, to) = (self.backend(&self.from)?, self.backend(host)?);
        let stays = is_one_place(&from.store, &to.store).await?;
        Ok((!stays).then_some(Way { from: &from.store, to }))
    }

    /// What an earlier run left of a copy goes: it may hold what the source holds no more.
    async fn create(&self, run: &Run) -> Step {
        let (host, _) = self.destination()?;
        let way = self.way().await?;
        let mut repository = run.transaction().await?;
        let whose = if way.is_some() { self.begin(&mut repository, run).await? } else { Whose::Ours };
        if matches!(whose, Whose::Theirs) {
            return Ok(());
        }
        if host != self.from {
            repository.set_migration_status(&self.id, Some(MigrationStatus::Migrating)).await?;
        }
        let seen = repository.volume_used_at(&self.id).await?;
        repository.commit().await?;
        self.seen.set(seen);
        let Some(Way { from, to }) = way else { return Ok(()) };
        lineage::clear(&to.store, &self.name(), run).await?;
        let source = from.open(&self.name(), OpenMode::ReadOnly).await?;
        let size = source.size().await;
        source.close().await?;
        run.check_allowed()?;
        to.store.create(&self.name(), size?, self.context.making(to).object_size).await?;
        if let Whose::For(next) = whose { self.offer(&next, run).await } else { Ok(()) }
    }

    async fn copy(&self, run: &Run) -> Step {
        let Some(Way { from, to }) = self.way().await? else { return Ok(()) };
        let source = from.open(&self.name(), OpenMode::ReadOnly).await?;
        let target = to.store.open(&self.name(), OpenMode::ReadWrite).await?;
        let chunk = source.object_size().max(target.object_size());
        let options = CopyOptions { chunk, ..CopyOptions::default() };
        let copied = copy(source.clone(), target.clone(), options, &run.progress).await;
        target.close().await?;
        source.close().await?;
        metrics::transferred(Direction::Copy, copied?);
        Ok(())
    }

    async fn prove(&self, run: &Run) -> Step {
        let Some(Way { from, to }) = self.way().await? else { return Ok(()) };
        let source = from.open(&self.name(), OpenMode::ReadOnly).await?;
        let copy = to.store.open(&self.name(), OpenMode::ReadOnly).await?;
        let chunk = source.object_size().max(copy.object_size());
        let proved = same(source.clone(), copy.clone(), chunk, &run.progress).await;
        copy.close().await?;
        source.close().await?;
        if proved? { Ok(()) } else { Err(StepError::fatal("The copy is not the same as the volume.")) }
    }

    /// Gives the image in `store` the limits of a type, and has it mirrored or not, as that says.
    async fn suit(&self, store: &Arc<dyn BlockStore>, of: &VolumeTypeId, row: &Volume, run: &Run) -> Step {
        let mut repository = run.database.read().await?;
        let settings = qos::settings(&mut repository, of, row.size).await?;
        let of = repository.volume_type(of.as_str()).await?.ok_or_else(|| StepError::gone("volume type"))?;
        drop(repository);
        let is_replicated = replication::is_wanted(&of)?;
        qos::apply_to(store, &self.name(), &settings).await?;
        replication::apply(&self.context, store, &self.name(), is_replicated, &run.progress).await
    }

    /// From now on the volume is what it should become, and the old copy waits to be taken away.
    async fn switch(&self, row: &Volume, run: &Run) -> Step {
        let (host, zone) = self.destination()?;
        let way = self.way().await?;
        let seen = self.seen.get();
        let mut repository = run.transaction().await?;
        if !repository.settle_job(&run.id).await? {
            return Err(StepError::cancelled());
        }
        let of = self.new_type.as_ref().unwrap_or(&row.volume_type_id);
        let of = repository.volume_type(of.as_str()).await?;
        let replication_status = match &of {
            Some(of) => replication::status(&mut repository, of, host).await?,
            None => None,
        };
        let change = VolumeMove {
            status: row.status,
            seen: seen.unwrap_or(row.created_at),
            host: host.to_owned(),
            availability_zone: zone.to_owned(),
            volume_type_id: self.new_type.clone(),
            multiattach: of.filter(|_| self.new_type.is_some()).map(|of| of.is_multiattach()),
        };
        // Whoever attaches it meanwhile was told of the old place.
        let stays_free = match row.status {
            VolumeStatus::Attaching | VolumeStatus::Detaching | VolumeStatus::InUse => way.is_none(),
            _ => true,
        };
        if !stays_free || !repository.move_volume(&self.id, &change, run.now()).await? {
            return Err(StepError::in_use("The volume was changed while it was copied."));
        }
        if host != self.from {
            repository.set_migration_status(&self.id, Some(MigrationStatus::Success)).await?;
        }
        repository.set_replication_status(&self.id, replication_status).await?;
        if way.is_some() {
            repository.add_leftover(&self.copy_at(&self.from), run.now()).await?;
        }
        // Nobody has to wait for the old copy to go: what is asked of the volume in a job comes after this one.
        self.end(&mut repository, run, true).await?;
        Ok(repository.commit().await?)
    }

    /// As the sweeper knows it. A backend that is not configured any more has its pool in the host alone.
    fn copy_at(&self, host: &str) -> Leftover {
        let pool = self.backend(host).map_or(Host::parse(host).pool, |backend| backend.store.pool());
        Leftover { pool: pool.to_owned(), name: self.name() }
    }

    /// What cannot go now, the sweeper tries again.
    async fn leave(&self, run: &Run) -> Step {
        let Some(way) = self.way().await.transpose() else { return Ok(()) };
        let old = self.copy_at(&self.from);
        // Where Nova's word made the switch, it is not noted yet.
        let mut repository = run.transaction().await?;
        repository.add_leftover(&old, run.now()).await?;
        repository.commit().await?;
        let rest = match way {
            Ok(way) => lineage::remove_copy(&self.context, way.from, &self.id, &run.database).await,
            Err(error) => Err(error),
        };
        match rest {
            Ok(lineage::Rest::Gone) => {
                let mut repository = run.transaction().await?;
                repository.remove_leftover(&old).await?;
                repository.commit().await?;
            }
            Ok(lineage::Rest::Needed) => {}
            Err(error) => {
                tracing::warn!(error = %error.message, detail = %error.detail, volume.id = %self.id,
                    "the old copy of a volume is still there");
            }
        }
        Ok(())
    }

    /// Takes the copy away, unless it is the volume. What cannot go now, the sweeper tries again: the volume, whole
    /// where it was, does not wait for that.
    async fn take_back(&self, run: &Run) -> Step {
        if !self.withdraw(run).await? {
            return Ok(());
        }
        let cleared = match self.way().await {
            Ok(None) => return Ok(()),
            Ok(Some(way)) => lineage::clear(&way.to.store, &self.name(), run).await,
            Err(error) => Err(error),
        };
        match cleared {
            // Nothing hangs on a copy that is being made: it is one that the volume left there before.
            Err(error) if error.cause == Cause::InUse => Ok(()),
            Err(error) if error.cause != Cause::LeaseLost => {
                tracing::warn!(error = %error.message, detail = %error.detail, volume.id = %self.id,
                    "the copy of a volume is still there");
                self.rest.set(Some(self.copy_at(self.destination()?.0)));
                Ok(())
            }
            other => other,
        }
    }

    /// Where it stayed in its place, it is again what its own type says. An image that is not there cannot be.
    async fn suit_again(&self, row: &Volume, run: &Run) -> Step {
        let (host, _) = self.destination()?;
        let is_in_place = host == self.from || matches!(self.way().await, Ok(None));
        if !is_in_place {
            return Ok(());
        }
        let store = &self.backend(&self.from)?.store;
        match self.suit(store, &row.volume_type_id, row, run).await {
            Err(error) if matches!(error.cause, Cause::Fatal | Cause::InUse) => {
                tracing::warn!(error = %error.message, detail = %error.detail, volume.id = %self.id,
                    "a volume may not be as its type says");
                Ok(())
            }
            other => other,
        }
    }

    async fn end(&self, repository: &mut Repository, run: &Run, is_done: bool) -> db::Result<()> {
        let Some(row) = repository.volume_to_change(&self.id).await? else { return Ok(()) };
        if row.is_migrating() {
            // To where it was already there is nothing to do.
            let ended = if is_done { MigrationStatus::Success } else { MigrationStatus::Error };
            repository.set_migration_status(&self.id, Some(ended)).await?;
        }
        if self.new_type.is_some() {
            repository.set_retyping_to(&self.id, None).await?;
        }
        // Its attachments may have come and gone meanwhile.
        match row.status {
            VolumeStatus::Retyping | VolumeStatus::Maintenance => {}
            // It was not free before it had arrived. What else it is has followed already, or was said by an
            // action, which makes no attachment.
            VolumeStatus::InUse => return repository.follow_attachments(&self.id, run.now()).await,
            _ => return Ok(()),
        }
        let back = repository.status_by_attachments(&self.id).await?;
        repository.change_volume(&self.id, row.status, back, &VolumeChange::default(), run.now()).await?;
        Ok(())
    }
}

#[async_trait]
impl Workflow for MoveVolume {
    fn steps(&self) -> &'static [&'static str] {
        &["create", "copy", "prove", "suit", "switch", "leave"]
    }

    async fn run(&self, step: &'static str, run: &Run) -> Step {
        // Before the row: when it is not there any more, the row says why.
        let next = self.stand_in(run).await?;
        let row = self.row(run).await?;
        match (step, next) {
            ("leave", _) => self.leave(run).await,
            _ if self.is_done(&row) => Ok(()),
            ("create", _) => self.create(run).await,
            ("copy" | "prove", Some(_)) => Ok(()),
            ("switch", Some(next)) => self.await_nova(&next, run).await,
            ("suit", Some(next)) if next.status != VolumeStatus::Available => Ok(()),
            ("copy", None) => self.copy(run).await,
            ("prove", None) => self.prove(run).await,
            ("suit", _) => {
                let (host, _) = self.destination()?;
                let of = self.new_type.as_ref().unwrap_or(&row.volume_type_id);
                self.suit(&self.backend(host)?.store, of, &row, run).await
            }
            _ => self.switch(&row, run).await,
        }
    }

    /// Once the volume has changed over, that stays; only the old copy may still be there.
    async fn undo(&self, step: &'static str, run: &Run) -> Step {
        let row = self.row(run).await?;
        if self.is_done(&row) {
            return if step == "leave" { self.leave(run).await } else { Ok(()) };
        }
        if matches!(self.to, Destination::Nowhere { .. }) {
            return Ok(());
        }
        match step {
            "create" => self.take_back(run).await,
            "suit" => self.suit_again(&row, run).await,
            _ => Ok(()),
        }
    }

    async fn finish(&self, repository: &mut Repository, run: &Run) -> db::Result<()> {
        self.end(repository, run, true).await
    }

    async fn fail(&self, repository: &mut Repository, run: &Run, _: Cause) -> db::Result<()> {
        let row = repository.volume_to_change(&self.id).await?;
        let is_done = row.is_some_and(|row| self.is_done(&row));
        if let Some(next) = repository.stand_in_of(&self.id).await? {
            repository.remove_volume(&next.id).await?;
        }
        if let Some(rest) = self.rest.get() {
            // Not before: as long as the volume may be on its way there, the sweeper would forget it.
            repository.add_leftover(&rest, run.now()).await?;
        }
        self.end(repository, run, is_done).await
    }
}
