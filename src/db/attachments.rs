//! Attachments of volumes: who uses them, or is about to.

use sqlx::AssertSqlSafe;
use sqlx::types::Json;

use super::error::Result;
use super::filter::{Conditions, Page, Value};
use super::volumes::VolumeChange;
use super::{Repository, bind_all, on};
use crate::model::{Access, AttachMode, AttachmentId, AttachmentStatus, Timestamp, VolumeId, VolumeStatus};

#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct Attachment {
    pub id: AttachmentId,
    pub volume_id: VolumeId,
    /// The server that uses it; `None` for a host that uses it itself.
    pub instance_id: Option<String>,
    pub status: AttachmentStatus,
    pub host: Option<String>,
    pub mountpoint: Option<String>,
    /// `None` as long as nobody said.
    pub mode: Option<AttachMode>,
    /// As the host was told it; `None` before that.
    pub access: Option<Json<Access>>,
    pub attached_at: Option<Timestamp>,
    pub created_at: Timestamp,
}

const COLUMNS: &str =
    "id, volume_id, instance_id, status, host, mountpoint, mode, access, attached_at, created_at";

/// Which attachments a list holds; `None` is no condition.
#[derive(Clone, Debug, Default)]
pub struct AttachmentFilter {
    /// Of the volumes.
    pub project_id: Option<String>,
    pub id: Option<Vec<String>>,
    pub volume_id: Option<Vec<String>>,
    pub instance_id: Option<String>,
    pub status: Option<Vec<String>>,
}

impl AttachmentFilter {
    fn conditions(&self) -> Conditions {
        let mut conditions = Conditions::default();
        if let Some(project) = &self.project_id {
            let project = conditions.bind(Value::Text(project.clone()));
            conditions
                .push(format!("volume_id IN (SELECT v.id FROM volumes v WHERE v.project_id = {project})"));
        }
        conditions.one_of("id", &self.id);
        conditions.one_of("volume_id", &self.volume_id);
        conditions.text("instance_id", &self.instance_id);
        conditions.one_of("status", &self.status);
        conditions
    }
}

impl Repository {
    /// [`super::DbError::Reference`]: the volume is gone.
    pub async fn add_attachment(&mut self, attachment: &Attachment) -> Result<()> {
        let sql = "INSERT INTO attachments (id, volume_id, instance_id, status, host, mountpoint, mode, access, \
            attached_at, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
        on!(self, c => sqlx::query(sql)
            .bind(&attachment.id)
            .bind(&attachment.volume_id)
            .bind(&attachment.instance_id)
            .bind(attachment.status)
            .bind(&attachment.host)
            .bind(&attachment.mountpoint)
            .bind(attachment.mode)
            .bind(&attachment.access)
            .bind(attachment.attached_at)
            .bind(attachment.created_at)
            .execute(c).await.map(drop))?;
        Ok(())
    }

    pub async fn attachment(&mut self, id: &AttachmentId) -> Result<Option<Attachment>> {
        let sql = format!("SELECT {COLUMNS} FROM attachments WHERE id = $1");
        Ok(on!(self, c => sqlx::query_as(AssertSqlSafe(sql)).bind(id).fetch_optional(c).await)?)
    }

    pub async fn attachments(&mut self, filter: &AttachmentFilter, page: &Page) -> Result<Vec<Attachment>> {
        let mut conditions = filter.conditions();
        let sql = conditions.page(COLUMNS, "attachments", page);
        Ok(
            on!(self, c => bind_all!(sqlx::query_as(AssertSqlSafe(sql)), &conditions.values).fetch_all(c).await)?,
        )
    }

    /// Those of a volume, oldest first.
    pub async fn attachments_of(&mut self, volume: &VolumeId) -> Result<Vec<Attachment>> {
        let sql = format!("SELECT {COLUMNS} FROM attachments WHERE volume_id = $1 ORDER BY created_at, id");
        Ok(on!(self, c => sqlx::query_as(AssertSqlSafe(sql)).bind(volume).fetch_all(c).await)?)
    }

    /// Those of all these volumes that are attached, oldest first.
    pub async fn attached_to(&mut self, volumes: &[&VolumeId]) -> Result<Vec<Attachment>> {
        if volumes.is_empty() {
            return Ok(Vec::new());
        }
        let mut conditions = Conditions::default();
        conditions.one_of("volume_id", &Some(volumes.to_vec()));
        conditions.one_of("status", &Some(vec![AttachmentStatus::Attached]));
        let sql = conditions.select(COLUMNS, "attachments", "created_at, id");
        Ok(
            on!(self, c => bind_all!(sqlx::query_as(AssertSqlSafe(sql)), &conditions.values).fetch_all(c).await)?,
        )
    }

    /// Writes all but the ids and what it was made with. `false`: no such row.
    pub async fn update_attachment(&mut self, attachment: &Attachment) -> Result<bool> {
        let sql = "UPDATE attachments SET status = $2, host = $3, mountpoint = $4, mode = $5, access = $6, \
            attached_at = $7 WHERE id = $1";
        let rows = on!(self, c => sqlx::query(sql)
            .bind(&attachment.id)
            .bind(attachment.status)
            .bind(&attachment.host)
            .bind(&attachment.mountpoint)
            .bind(attachment.mode)
            .bind(&attachment.access)
            .bind(attachment.attached_at)
            .execute(c).await.map(|done| done.rows_affected()))?;
        Ok(rows == 1)
    }

    /// Those of one volume become those of another.
    pub async fn hand_attachments(&mut self, from: &VolumeId, to: &VolumeId) -> Result<()> {
        on!(self, c => sqlx::query("UPDATE attachments SET volume_id = $2 WHERE volume_id = $1")
            .bind(from).bind(to).execute(c).await.map(drop))?;
        Ok(())
    }

    /// Removes the row. `false`: there was none.
    pub async fn remove_attachment(&mut self, id: &AttachmentId) -> Result<bool> {
        let rows = on!(self, c => sqlx::query("DELETE FROM attachments WHERE id = $1")
            .bind(id).execute(c).await.map(|done| done.rows_affected()))?;
        Ok(rows == 1)
    }

    /// What the volume is when nothing else is done with it: available, or what its attachments make of it.
    /// Whoever acts on the answer holds the volume's row.
    pub async fn status_by_attachments(&mut self, volume: &VolumeId) -> Result<VolumeStatus> {
        let statuses: Vec<_> = self.attachments_of(volume).await?.iter().map(|one| one.status).collect();
        Ok(VolumeStatus::with_attachments(&statuses))
    }

    /// After a change of its attachments: the volume becomes what they make of it, unless a job is at work on it
    /// (which does the same when it ends) or it is broken. One that migrates is not free before it has arrived: Nova lets
    /// go of where it was first. What stands in for its next copy is.
    pub async fn follow_attachments(&mut self, volume: &VolumeId, now: Timestamp) -> Result<()> {
        let Some(row) = self.volume_to_change(volume).await? else { return Ok(()) };
        let status = self.status_by_attachments(volume).await?;
        let is_left = row.status == VolumeStatus::InUse && status == VolumeStatus::Available;
        let stays = is_left && row.is_migrating() && row.name_id.is_none();
        if row.status.follows_attachments() && row.status != status && !stays {
            self.change_volume(volume, row.status, status, &VolumeChange::default(), now).await?;
        }
        Ok(())
    }
}
