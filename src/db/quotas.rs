//! Limits of projects, and what they use, which is counted and kept nowhere.

use super::error::Result;
use super::{Repository, on};
use crate::model::{ImageId, ProjectId, StorageLeft};

/// The class whose limits are those of projects without any of their own.
pub const DEFAULT_CLASS: &str = "default";

/// A limit that was set; negative: none.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Quota {
    pub resource: String,
    pub hard_limit: i64,
}

/// A limit that counts for a project: set for itself, or for all.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Limit {
    pub resource: String,
    pub hard_limit: i64,
    pub own: bool,
}

/// What a project has of one volume type.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Use {
    /// `volumes` or `snapshots`.
    pub what: String,
    pub type_name: String,
    pub count: i64,
    /// GiB, as they are.
    pub gigabytes: i64,
    /// GiB on top, of volumes that are being extended.
    pub growing: i64,
    /// Only of another type yet: it counts for this one alone.
    pub retyping: bool,
}

/// What a project has of images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct ImageUse {
    pub count: i64,
    /// Of content.
    pub bytes: i64,
    /// Of what arrived for imports.
    pub staged_bytes: i64,
    /// Images that bytes arrive for.
    pub uploading: i64,
}

impl Repository {
    /// Without those whose bytes are being removed.
    pub async fn image_use(&mut self, project: &str) -> Result<ImageUse> {
        let sql = "SELECT COUNT(*) AS count, \
            COALESCE(CAST(SUM(CASE WHEN status NOT IN ('uploading', 'importing') THEN size END) AS BIGINT), 0) AS bytes, \
            COALESCE(CAST(SUM(CASE WHEN status IN ('uploading', 'importing') THEN size END) AS BIGINT), 0) \
            AS staged_bytes, \
            COUNT(CASE WHEN status IN ('saving', 'uploading', 'importing') THEN 1 END) AS uploading \
            FROM images WHERE project_id = $1 AND status <> 'deleted'";
        Ok(on!(self, c => sqlx::query_as(sql).bind(project).fetch_one(c).await)?)
    }

    /// How many of its images bytes arrive for, where that is more than the limit; below zero there is none. The
    /// image that they just began to arrive for counts already.
    pub async fn uploading_beyond(&mut self, project: &ProjectId, limit: i64) -> Result<Option<i64>> {
        if limit < 0 {
            return Ok(None);
        }
        self.take_quota_turn(project).await?;
        let uploading = self.image_use(project.as_str()).await?.uploading;
        Ok(Some(uploading).filter(|uploading| *uploading > limit))
    }

    /// What is left of so many bytes for one of its images, when all others count as often as they are somewhere, or are to
    /// be.
    pub async fn storage_left(
        &mut self,
        quota: u64,
        project: &ProjectId,
        image: &ImageId,
    ) -> Result<StorageLeft> {
        let sql = "SELECT COALESCE(CAST(SUM(i.size) AS BIGINT), 0) FROM images i \
            LEFT JOIN image_locations l ON l.image_id = i.id \
            WHERE i.project_id = $1 AND i.id <> $2 AND i.status <> 'deleted' \
            AND (l.image_id IS NOT NULL OR i.status = 'saving')";
        let used: i64 = on!(self, c => sqlx::query_scalar(sql).bind(project).bind(image).fetch_one(c).await)?;
        Ok(StorageLeft(i128::from(quota) - i128::from(used)))
    }

    /// A project's own limits, and those of [`DEFAULT_CLASS`].
    pub async fn limits(&mut self, project: &str) -> Result<Vec<Limit>> {
        let sql = "SELECT resource, hard_limit, TRUE AS own FROM quotas WHERE project_id = $1 \
            UNION ALL SELECT resource, hard_limit, FALSE AS own FROM quota_classes WHERE class_name = $2";
        Ok(on!(self, c => sqlx::query_as(sql).bind(project).bind(DEFAULT_CLASS).fetch_all(c).await)?)
    }

    pub async fn class_quotas(&mut self, class: &str) -> Result<Vec<Quota>> {
        let sql = "SELECT resource, hard_limit FROM quota_classes WHERE class_name = $1";
        Ok(on!(self, c => sqlx::query_as(sql).bind(class).fetch_all(c).await)?)
    }

    pub async fn set_quota(&mut self, project: &str, quota: &Quota) -> Result<()> {
        let sql = "INSERT INTO quotas (project_id, resource, hard_limit) VALUES ($1, $2, $3) \
            ON CONFLICT (project_id, resource) DO UPDATE SET hard_limit = excluded.hard_limit";
        on!(self, c => sqlx::query(sql)
            .bind(project)
            .bind(&quota.resource)
            .bind(quota.hard_limit)
            .execute(c).await.map(drop))?;
        Ok(())
    }

    pub async fn set_class_quota(&mut self, class: &str, quota: &Quota) -> Result<()> {
        let sql = "INSERT INTO quota_classes (class_name, resource, hard_limit) VALUES ($1, $2, $3) \
            ON CONFLICT (class_name, resource) DO UPDATE SET hard_limit = excluded.hard_limit";
        on!(self, c => sqlx::query(sql)
            .bind(class)
            .bind(&quota.resource)
            .bind(quota.hard_limit)
            .execute(c).await.map(drop))?;
        Ok(())
    }

    /// What was limited has another name now, in all projects and classes.
    pub async fn rename_quota(&mut self, from: &str, to: &str) -> Result<()> {
        // Of something that had this name before and is gone.
        for sql in ["DELETE FROM quotas WHERE resource = $1", "DELETE FROM quota_classes WHERE resource = $1"]
        {
            on!(self, c => sqlx::query(sql).bind(to).execute(c).await.map(drop))?;
        }
        for sql in [
            "UPDATE quotas SET resource = $2 WHERE resource = $1",
            "UPDATE quota_classes SET resource = $2 WHERE resource = $1",
        ] {
            on!(self, c => sqlx::query(sql).bind(from).bind(to).execute(c).await.map(drop))?;
        }
        Ok(())
    }

    /// The project has no limits of its own any more.
    pub async fn remove_quotas(&mut self, project: &str) -> Result<()> {
        let sql = "DELETE FROM quotas WHERE project_id = $1";
        on!(self, c => sqlx::query(sql).bind(project).execute(c).await.map(drop))?;
        Ok(())
    }

    /// Waits until nobody else is between counting the project's things and adding one; whoever comes later waits for
    /// the end of this transaction. It must be the last lock that the transaction takes.
    pub async fn take_quota_turn(&mut self, project: &ProjectId) -> Result<()> {
        // Also a row that is there already is written, and so held.
        let sql = "INSERT INTO quota_turns (project_id) VALUES ($1) \
            ON CONFLICT (project_id) DO UPDATE SET project_id = excluded.project_id";
        on!(self, c => sqlx::query(sql).bind(project).execute(c).await.map(drop))?;
        Ok(())
    }

    /// All volumes and snapshots: what is being deleted takes its place until it is gone. What was never managed takes
    /// none, and neither does what stands in for a volume's next copy.
    pub async fn usage(&mut self, project: &str) -> Result<Vec<Use>> {
        let sql = "SELECT 'volumes' AS what, t.name AS type_name, COUNT(*) AS count, \
            CAST(SUM(v.size) AS BIGINT) AS gigabytes, \
            CAST(SUM(COALESCE(v.growing_to - v.size, 0)) AS BIGINT) AS growing, FALSE AS retyping \
            FROM volumes v JOIN volume_types t ON t.id = v.volume_type_id WHERE v.project_id = $1 \
            AND v.status NOT IN ('error_managing', 'error_managing_deleting') AND v.name_id IS NULL GROUP BY t.name \
            UNION ALL SELECT 'snapshots' AS what, t.name AS type_name, COUNT(*) AS count, \
            CAST(SUM(s.size) AS BIGINT) AS gigabytes, CAST(0 AS BIGINT) AS growing, FALSE AS retyping \
            FROM snapshots s JOIN volumes v ON v.id = s.volume_id JOIN volume_types t ON t.id = v.volume_type_id \
            WHERE s.project_id = $1 GROUP BY t.name \
            UNION ALL SELECT 'volumes' AS what, t.name AS type_name, COUNT(*) AS count, \
            CAST(SUM(v.size) AS BIGINT) AS gigabytes, CAST(0 AS BIGINT) AS growing, TRUE AS retyping \
            FROM volumes v JOIN volume_types t ON t.id = v.retyping_to WHERE v.project_id = $1 GROUP BY t.name";
        Ok(on!(self, c => sqlx::query_as(sql).bind(project).fetch_all(c).await)?)
    }
}
