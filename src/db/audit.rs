//! What an audit holds against the pools: a few columns of every row.

use super::error::Result;
use super::{Repository, on};
use crate::model::{
    AttachmentStatus, Gib, ImageId, ImageStatus, MigrationStatus, SnapshotId, SnapshotStatus, Timestamp,
    VolumeId, VolumeStatus,
};

#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct KnownVolume {
    pub id: VolumeId,
    pub size: Gib,
    pub status: VolumeStatus,
    pub migration_status: Option<MigrationStatus>,
    pub host: Option<String>,
    /// Of the row.
    pub changed_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct KnownSnapshot {
    pub id: SnapshotId,
    pub volume_id: VolumeId,
    pub status: SnapshotStatus,
    pub changed_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct KnownImage {
    pub id: ImageId,
    pub status: ImageStatus,
    /// Bytes.
    pub size: Option<i64>,
    pub changed_at: Timestamp,
}

/// A store that holds an image, or is to.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct KnownCopy {
    pub image_id: ImageId,
    /// `None`: the first store.
    pub store: Option<String>,
    pub ready: bool,
}

impl Repository {
    /// Without those that stand in for others' next copies: their images have the others' names.
    pub async fn known_volumes(&mut self) -> Result<Vec<KnownVolume>> {
        let sql = "SELECT id, size, status, migration_status, host, COALESCE(updated_at, created_at) AS changed_at \
            FROM volumes WHERE name_id IS NULL ORDER BY id";
        Ok(on!(self, c => sqlx::query_as(sql).fetch_all(c).await)?)
    }

    pub async fn known_snapshots(&mut self) -> Result<Vec<KnownSnapshot>> {
        let sql = "SELECT id, volume_id, status, COALESCE(updated_at, created_at) AS changed_at FROM snapshots \
            ORDER BY id";
        Ok(on!(self, c => sqlx::query_as(sql).fetch_all(c).await)?)
    }

    pub async fn known_images(&mut self) -> Result<Vec<KnownImage>> {
        let sql = "SELECT id, status, size, updated_at AS changed_at FROM images ORDER BY id";
        Ok(on!(self, c => sqlx::query_as(sql).fetch_all(c).await)?)
    }

    /// Not those on web servers.
    pub async fn known_copies(&mut self) -> Result<Vec<KnownCopy>> {
        let sql =
            "SELECT image_id, store, ready FROM image_locations WHERE url IS NULL OR url NOT LIKE 'http%'";
        Ok(on!(self, c => sqlx::query_as(sql).fetch_all(c).await)?)
    }

    /// The names on the pool of what arrived for imports.
    pub async fn staged_names(&mut self) -> Result<Vec<String>> {
        Ok(on!(self, c => sqlx::query_scalar("SELECT name FROM staged_images").fetch_all(c).await)?)
    }

    pub async fn attachment_statuses(&mut self) -> Result<Vec<(VolumeId, AttachmentStatus)>> {
        Ok(on!(self, c => sqlx::query_as("SELECT volume_id, status FROM attachments").fetch_all(c).await)?)
    }

    /// What jobs that are not over work on and read from, and those that were at work after this moment.
    pub async fn at_work(&mut self, since: Timestamp) -> Result<Vec<(String, Option<String>)>> {
        let sql = "SELECT resource_id, source_id FROM jobs WHERE finished_at IS NULL OR updated_at > $1";
        Ok(on!(self, c => sqlx::query_as(sql).bind(since).fetch_all(c).await)?)
    }

    /// What was given out of hand, as far as jobs are remembered: it stays on the pool, and no row has it.
    pub async fn unmanaged(&mut self) -> Result<Vec<String>> {
        let sql = "SELECT resource_id FROM jobs WHERE kind IN ('unmanage_volume', 'unmanage_snapshot') \
            AND state = 'done'";
        Ok(on!(self, c => sqlx::query_scalar(sql).fetch_all(c).await)?)
    }

    /// Whether a job that is not over works on it, or reads from it.
    pub async fn is_at_work(&mut self, id: &str) -> Result<bool> {
        let sql =
            "SELECT COUNT(*) FROM jobs WHERE finished_at IS NULL AND (resource_id = $1 OR source_id = $1)";
        let open: i64 = on!(self, c => sqlx::query_scalar(sql).bind(id).fetch_one(c).await)?;
        Ok(open > 0)
    }

    /// A volume is as large as its image on the pool. `false`: somebody was at it meanwhile.
    pub async fn adopt_size(&mut self, id: &VolumeId, from: Gib, to: Gib, now: Timestamp) -> Result<bool> {
        let sql = "UPDATE volumes SET size = $3, updated_at = $4 WHERE id = $1 AND size = $2";
        let rows = on!(self, c => sqlx::query(sql).bind(id).bind(from).bind(to).bind(now)
            .execute(c).await.map(|done| done.rows_affected()))?;
        Ok(rows == 1)
    }
}
