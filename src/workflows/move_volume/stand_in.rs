//! What an instance has open only its Nova can move. It attaches the next copy beside the volume, copies what the instance
//! writes meanwhile as well, lets go of the old one, and says so (`os-migrate_volume_completion`): that makes the next copy
//! the volume. Until then a row of its own stands in for the next copy, so that Nova can attach it like any volume. Its
//! image has the volume's name from the beginning, in its own pool: nothing has to be renamed under an instance.

use super::{MoveVolume, Step};
use crate::db::{Repository, Volume, VolumeChange};
use crate::jobs::{Cause, Run, StepError};
use crate::model::{AttachmentStatus, MigrationStatus, VolumeId, VolumeStatus};
use crate::web::NovaError;
use crate::workflows::replication;

/// Seconds until it is looked at again whether Nova still has it, should it never say so, and until it is asked again.
const LOOK_AGAIN: i64 = 60;
const ASK_AGAIN: i64 = 5;

/// What may be done with the image of the next copy.
pub(super) enum Whose {
    /// Nobody else has to do with it.
    Ours,
    /// To be made for this row.
    For(VolumeId),
    /// Nova has it, or may have, or has made it the volume.
    Theirs,
}

impl MoveVolume {
    pub(super) async fn stand_in(&self, run: &Run) -> Result<Option<Volume>, StepError> {
        Ok(run.database.read().await?.stand_in_of(&self.id).await?)
    }

    /// A volume that an instance has gets a row beside it. In the transaction that the copy begins with.
    pub(super) async fn begin(&self, repository: &mut Repository, run: &Run) -> Result<Whose, StepError> {
        let row = repository.volume_to_change(&self.id).await?.ok_or_else(|| StepError::gone("volume"))?;
        if self.is_done(&row) {
            return Ok(Whose::Theirs);
        }
        match repository.stand_in_of(&self.id).await? {
            Some(next) if next.status == VolumeStatus::Creating => return Ok(Whose::For(next.id)),
            Some(_) => return Ok(Whose::Theirs),
            None => {}
        }
        if repository.job(&run.id).await?.is_some_and(|job| job.settled) {
            return Err(StepError::fatal("The volume's next copy was deleted."));
        }
        if repository.attached_to(&[&self.id]).await?.is_empty() {
            // Whoever was told where it lies opens it there.
            let attachments = repository.attachments_of(&self.id).await?;
            let is_told = attachments.iter().any(|one| one.status == AttachmentStatus::Attaching);
            if is_told || matches!(row.status, VolumeStatus::Attaching | VolumeStatus::Detaching) {
                return Err(StepError::in_use("The volume is being attached or detached."));
            }
            if attachments.is_empty() && row.status == VolumeStatus::InUse {
                // Its server went after the move was asked for: nobody else has to do with it.
                let (to, change) = (VolumeStatus::Available, VolumeChange::default());
                repository.change_volume(&self.id, row.status, to, &change, run.now()).await?;
            }
            return Ok(Whose::Ours);
        }
        if self.context.nova.is_none() {
            return Err(StepError::fatal("The volume is attached, and there is no Nova to move it."));
        }
        Ok(Whose::For(self.add_stand_in(repository, row, run).await?))
    }

    async fn add_stand_in(
        &self,
        repository: &mut Repository,
        row: Volume,
        run: &Run,
    ) -> Result<VolumeId, StepError> {
        let (host, zone) = self.destination()?;
        let of = self.new_type.as_ref().unwrap_or(&row.volume_type_id);
        let of = repository.volume_type(of.as_str()).await?.ok_or_else(|| StepError::gone("volume type"))?;
        let mut admin_metadata = row.admin_metadata.clone();
        admin_metadata.remove("attached_mode");
        let next = Volume {
            id: VolumeId::from(run.world.ids.random()),
            name_id: Some(row.id),
            status: VolumeStatus::Creating,
            previous_status: None,
            migration_status: Some(MigrationStatus::Target),
            replication_status: replication::status(repository, &of, host).await?,
            host: Some(host.to_owned()),
            availability_zone: zone.to_owned(),
            volume_type_id: of.id,
            // It is a copy of whatever the volume was made from.
            snapshot_id: None,
            source_volume_id: None,
            image_id: None,
            admin_metadata,
            created_at: run.now(),
            updated_at: None,
            ..row
        };
        repository.add_volume(&next).await?;
        Ok(next.id)
    }

    /// From now on Nova may attach it.
    pub(super) async fn offer(&self, next: &VolumeId, run: &Run) -> Step {
        let mut repository = run.transaction().await?;
        let (from, to) = (VolumeStatus::Creating, VolumeStatus::Available);
        repository.change_volume(next, from, to, &VolumeChange::default(), run.now()).await?;
        Ok(repository.commit().await?)
    }

    /// Asks Nova, and waits for it. What it has attached it has taken on: that may take hours, and it says when it is over.
    pub(super) async fn await_nova(&self, next: &Volume, run: &Run) -> Step {
        let nova = self.context.nova.as_ref();
        let nova = nova.ok_or_else(|| StepError::fatal("There is no Nova to move the volume."))?;
        match next.status {
            VolumeStatus::Available => {}
            status if status.follows_attachments() => {
                let until = run.now().plus_seconds(LOOK_AGAIN);
                return Err(StepError::waits(until, "Nova moves the volume."));
            }
            _ => return Err(StepError::fatal("Nova could not move the volume.")),
        }
        // Since it was offered: how long its making took is not Nova's to answer for.
        let offered = next.updated_at.unwrap_or(next.created_at);
        let deadline = offered.plus_seconds(nova.patience());
        if run.now() >= deadline {
            return Err(StepError::fatal("Nova did not begin to move the volume in time."));
        }
        if next.previous_status != Some(VolumeStatus::Creating) {
            // It had it, and let go: what became of it, it says in a moment.
            return Err(StepError::waits(deadline, "Nova let go of the volume's next copy."));
        }
        let server = self.server(run).await?;
        let mut repository = run.transaction().await?;
        if !repository.settle_job(&run.id).await? {
            return Err(StepError::cancelled());
        }
        repository.commit().await?;
        let until = |seconds| deadline.min(run.now().plus_seconds(seconds));
        match nova.swap(&server, &self.id, &next.id).await {
            Ok(()) => Err(StepError::waits(until(LOOK_AGAIN), "Nova was asked to move the volume.")),
            Err(NovaError::Silent(error)) => {
                Err(StepError::waits(until(ASK_AGAIN), format!("Nova does not answer: {error:#}")))
            }
            Err(NovaError::Refused(error)) => {
                Err(StepError::new(Cause::Fatal, "Nova refused to move the volume.", format!("{error:#}")))
            }
        }
    }

    /// The one that has the volume.
    async fn server(&self, run: &Run) -> Result<String, StepError> {
        let attachments = run.database.read().await?.attachments_of(&self.id).await?;
        match attachments.as_slice() {
            [one] => one.instance_id.clone(),
            _ => None,
        }
        .ok_or_else(|| StepError::fatal("The volume is not attached to one server alone."))
    }

    /// Before the image goes: nobody can attach it any more. `false`: it is the volume by now, and stays.
    pub(super) async fn withdraw(&self, run: &Run) -> Result<bool, StepError> {
        let mut repository = run.transaction().await?;
        let row = repository.volume_to_change(&self.id).await?.ok_or_else(|| StepError::gone("volume"))?;
        if self.is_done(&row) {
            return Ok(false);
        }
        let Some(next) = repository.stand_in_of(&self.id).await? else { return Ok(true) };
        let Some(next) = repository.volume_to_change(&next.id).await? else { return Ok(true) };
        let is_theirs = next.status.follows_attachments() && next.status != VolumeStatus::Available;
        if is_theirs {
            return Err(StepError::new(Cause::Busy, "Nova still has the volume's next copy.", ""));
        }
        let (to, change) = (VolumeStatus::Deleting, VolumeChange::default());
        if next.status.may_become(to) {
            repository.change_volume(&next.id, next.status, to, &change, run.now()).await?;
        }
        repository.commit().await?;
        Ok(true)
    }
}
