//! Volumes.

use std::collections::{BTreeMap, BTreeSet};

use futures::{Stream, TryStreamExt};
use sqlx::AssertSqlSafe;
use sqlx::types::Json;

use super::error::{DbError, Result};
use super::filter::{Conditions, Operator, Page, Value, first_within};
use super::{Repository, bind_all, on};
use crate::model::{
    Gib, ImageId, MigrationStatus, ProjectId, ReplicationStatus, SnapshotId, Timestamp, UserId, VolumeId,
    VolumeStatus, VolumeTypeId,
};

#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Volume {
    pub id: VolumeId,
    pub project_id: ProjectId,
    pub user_id: UserId,
    pub name: Option<String>,
    pub description: Option<String>,
    pub size: Gib,
    pub status: VolumeStatus,
    pub previous_status: Option<VolumeStatus>,
    pub availability_zone: String,
    /// `<host>@<backend>#<pool>`
    pub host: Option<String>,
    #[sqlx(default)]
    pub migration_status: Option<MigrationStatus>,
    /// The volume that its image on the pool is named by, when it stands in for that one's next copy.
    #[sqlx(default)]
    pub name_id: Option<VolumeId>,
    /// Written by whoever has seen to it.
    #[sqlx(default)]
    pub replication_status: Option<ReplicationStatus>,
    pub volume_type_id: VolumeTypeId,
    /// The name of that type, read with the row.
    #[sqlx(default)]
    pub volume_type_name: String,
    /// Whether anything has it attached, read with the row.
    #[sqlx(default)]
    pub is_attached: bool,
    pub bootable: bool,
    pub multiattach: bool,
    pub snapshot_id: Option<SnapshotId>,
    pub source_volume_id: Option<VolumeId>,
    /// The image it was made from, whose clone it may be.
    pub image_id: Option<ImageId>,
    pub metadata: Json<BTreeMap<String, String>>,
    /// What the service keeps with it, under names of its own: `readonly`, `attached_mode`.
    pub admin_metadata: Json<BTreeMap<String, String>>,
    pub image_metadata: Option<Json<BTreeMap<String, String>>>,
    pub created_at: Timestamp,
    pub updated_at: Option<Timestamp>,
}

const COLUMNS: &str = "id, project_id, user_id, name, description, size, status, previous_status, \
    availability_zone, host, migration_status, name_id, replication_status, volume_type_id, \
    (SELECT t.name FROM volume_types t WHERE t.id = volumes.volume_type_id) AS volume_type_name, \
    EXISTS (SELECT 1 FROM attachments a WHERE a.volume_id = volumes.id AND a.status = 'attached') AS is_attached, \
    bootable, multiattach, snapshot_id, source_volume_id, image_id, metadata, admin_metadata, image_metadata, \
    created_at, updated_at";

/// When it was last changed, but for its description.
const USED_AT: &str =
    "(CASE WHEN described_at = updated_at THEN used_at ELSE COALESCE(updated_at, created_at) END)";

/// How far its attachments are, as lists know it: a column that is not kept.
pub const ATTACH_STATUS: &str = "CASE \
    WHEN EXISTS (SELECT 1 FROM attachments a WHERE a.volume_id = volumes.id AND a.status = 'attached') THEN 'attached' \
    WHEN EXISTS (SELECT 1 FROM attachments a WHERE a.volume_id = volumes.id AND a.status = 'attaching') THEN 'attaching' \
    ELSE 'detached' END";

/// What a change of status brings with it; `None` keeps what is there.
#[derive(Clone, Debug, Default)]
pub struct VolumeChange {
    pub size: Option<Gib>,
    /// What it is being extended to, which counts from now on. Any other change ends that.
    pub growing_to: Option<Gib>,
}

/// What an administrator says a volume is; `None` keeps what is there.
#[derive(Clone, Debug, Default)]
pub struct VolumeReset {
    pub status: Option<VolumeStatus>,
    pub migration_status: Option<Option<MigrationStatus>>,
}

impl Volume {
    /// Its bytes are on the way to another place, or it is what they are on the way to.
    pub fn is_migrating(&self) -> bool {
        self.name_id.is_some() || self.migration_status.is_some_and(MigrationStatus::is_under_way)
    }

    /// Others may attach what somebody has already. Not while it moves: they would have what it was.
    pub fn is_shared(&self) -> bool {
        self.multiattach && !self.is_migrating()
    }

    /// Another cluster has it too.
    pub fn is_replicated(&self) -> bool {
        self.replication_status == Some(ReplicationStatus::Enabled)
    }
}

/// A volume that lies elsewhere from now on, or is of another type.
#[derive(Clone, Debug)]
pub struct VolumeMove {
    /// What it must be still.
    pub status: VolumeStatus,
    /// When it was last [used](Repository::volume_used_at), which must be so still.
    pub seen: Timestamp,
    pub host: String,
    pub availability_zone: String,
    pub volume_type_id: Option<VolumeTypeId>,
    pub multiattach: Option<bool>,
}

/// What a volume takes up, and since when it has.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct NewVolume {
    pub host: String,
    pub size: Gib,
    pub created_at: Timestamp,
}

/// Which volumes a list holds; `None` is no condition.
#[derive(Clone, Debug, Default)]
pub struct VolumeFilter {
    pub project_id: Option<String>,
    pub id: Option<Vec<String>>,
    pub name: Option<String>,
    pub status: Option<Vec<String>>,
    pub availability_zone: Option<String>,
    pub bootable: Option<bool>,
    pub multiattach: Option<bool>,
    /// Column (`size`, `created_at`, `updated_at`), comparison, value.
    pub numbers: Vec<(&'static str, Operator, i64)>,
    /// Of its own, or what the service keeps with it.
    pub metadata: Vec<(String, String)>,
    pub image_metadata: Vec<(String, String)>,
    pub host: Option<String>,
    /// Whether they stand in for others' next copies.
    pub stands_in: Option<bool>,
    /// Those not that an administrator alone is shown: what volumes are on the way to.
    pub without_targets: bool,
    /// Columns that hold nothing.
    pub nulls: Vec<&'static str>,
    /// Texts that columns contain, for admins; the database's names.
    pub likes: Vec<(&'static str, String)>,
    /// Texts equal in other columns, for admins; the database's names.
    pub texts: Vec<(&'static str, String)>,
}

impl VolumeFilter {
    fn conditions(&self) -> Conditions {
        let mut conditions = Conditions::default();
        conditions.text("project_id", &self.project_id);
        conditions.one_of("id", &self.id);
        conditions.text("name", &self.name);
        conditions.one_of("status", &self.status);
        conditions.text("availability_zone", &self.availability_zone);
        for (column, truth) in [("bootable", self.bootable), ("multiattach", self.multiattach)] {
            if let Some(truth) = truth {
                conditions.compare(column, Operator::Equal, Value::Boolean(truth));
            }
        }
        for (column, operator, number) in &self.numbers {
            conditions.compare(column, *operator, Value::Integer(*number));
        }
        conditions.json(&["metadata", "admin_metadata"], &self.metadata);
        conditions.json(&["image_metadata"], &self.image_metadata);
        if let Some(host) = &self.host {
            conditions.host("host", host);
        }
        if let Some(stands_in) = self.stands_in {
            conditions.push(format!("name_id IS {}NULL", if stands_in { "NOT " } else { "" }));
        }
        if self.without_targets {
            let target = conditions.bind(Value::Text(MigrationStatus::Target.to_string()));
            conditions.push(format!("(migration_status IS NULL OR migration_status <> {target})"));
        }
        for column in &self.nulls {
            conditions.push(format!("{column} IS NULL"));
        }
        for (column, text) in &self.likes {
            conditions.like(column, text);
        }
        for (column, text) in &self.texts {
            conditions.compare(column, Operator::Equal, Value::Text(text.clone()));
        }
        conditions
    }
}

/// Of metadata, in bytes.
fn size(volume: &Volume) -> usize {
    let of_image = volume.image_metadata.iter().flat_map(|metadata| metadata.iter());
    volume.metadata.iter().chain(of_image).map(|(key, value)| key.len() + value.len()).sum()
}

/// Keys, and what they are anywhere.
pub type MetadataValues = BTreeMap<String, BTreeSet<String>>;

async fn values_within(
    mut rows: impl Stream<Item = sqlx::Result<Json<BTreeMap<String, String>>>> + Unpin,
    bytes: usize,
) -> sqlx::Result<MetadataValues> {
    let (mut values, mut sum) = (MetadataValues::new(), 0);
    while let Some(Json(metadata)) = rows.try_next().await? {
        for (key, value) in metadata {
            let length = key.len() + value.len();
            if values.entry(key).or_default().insert(value) {
                sum += length;
            }
        }
        if sum > bytes {
            break;
        }
    }
    Ok(values)
}

impl Repository {
    pub async fn add_volume(&mut self, volume: &Volume) -> Result<()> {
        let sql = "INSERT INTO volumes (id, project_id, user_id, name, description, size, status, \
            previous_status, availability_zone, host, volume_type_id, bootable, multiattach, snapshot_id, \
            source_volume_id, image_id, metadata, admin_metadata, image_metadata, created_at, \
            updated_at, migration_status, name_id, replication_status) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, \
            $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24)";
        on!(self, c => sqlx::query(sql)
            .bind(&volume.id)
            .bind(&volume.project_id)
            .bind(&volume.user_id)
            .bind(&volume.name)
            .bind(&volume.description)
            .bind(volume.size)
            .bind(volume.status)
            .bind(volume.previous_status)
            .bind(&volume.availability_zone)
            .bind(&volume.host)
            .bind(&volume.volume_type_id)
            .bind(volume.bootable)
            .bind(volume.multiattach)
            .bind(&volume.snapshot_id)
            .bind(&volume.source_volume_id)
            .bind(&volume.image_id)
            .bind(&volume.metadata)
            .bind(&volume.admin_metadata)
            .bind(&volume.image_metadata)
            .bind(volume.created_at)
            .bind(volume.updated_at)
            .bind(volume.migration_status)
            .bind(&volume.name_id)
            .bind(volume.replication_status)
            .execute(c).await.map(drop))?;
        Ok(())
    }

    pub async fn volume(&mut self, id: &VolumeId) -> Result<Option<Volume>> {
        let sql = format!("SELECT {COLUMNS} FROM volumes WHERE id = $1");
        Ok(on!(self, c => sqlx::query_as(AssertSqlSafe(sql)).bind(id).fetch_optional(c).await)?)
    }

    /// As [`Repository::volume`], and nobody else changes the row before the transaction ends.
    pub async fn volume_to_change(&mut self, id: &VolumeId) -> Result<Option<Volume>> {
        let sql = format!("SELECT {COLUMNS} FROM volumes WHERE id = $1{}", self.lock());
        Ok(on!(self, c => sqlx::query_as(AssertSqlSafe(sql)).bind(id).fetch_optional(c).await)?)
    }

    /// The row that stands in for the volume's next copy, if there is one.
    pub async fn stand_in_of(&mut self, id: &VolumeId) -> Result<Option<Volume>> {
        let sql = format!("SELECT {COLUMNS} FROM volumes WHERE name_id = $1");
        Ok(on!(self, c => sqlx::query_as(AssertSqlSafe(sql)).bind(id).fetch_optional(c).await)?)
    }

    pub async fn volumes(&mut self, filter: &VolumeFilter, page: &Page) -> Result<Vec<Volume>> {
        let mut conditions = filter.conditions();
        let sql = conditions.page(COLUMNS, "volumes", page);
        Ok(
            on!(self, c => bind_all!(sqlx::query_as(AssertSqlSafe(sql)), &conditions.values).fetch_all(c).await)?,
        )
    }

    /// The first of them, as many as have at most about so many bytes of metadata, of their own and of their images, but
    /// one at the least. Answers whether that left any out.
    pub async fn volumes_within(
        &mut self,
        filter: &VolumeFilter,
        page: &Page,
        bytes: usize,
    ) -> Result<(Vec<Volume>, bool)> {
        let mut conditions = filter.conditions();
        let sql = conditions.page(COLUMNS, "volumes", page);
        let found: (Vec<Volume>, bool) = on!(self, c => {
            let rows = bind_all!(sqlx::query_as(AssertSqlSafe(sql)), &conditions.values).fetch(c);
            first_within(rows, bytes, size).await
        })?;
        Ok(found)
    }

    /// How many the filter finds, pages aside.
    pub async fn count_volumes(&mut self, filter: &VolumeFilter) -> Result<i64> {
        let conditions = filter.conditions();
        let sql = conditions.count("volumes");
        Ok(on!(self, c =>
            bind_all!(sqlx::query_scalar(AssertSqlSafe(sql)), &conditions.values).fetch_one(c).await)?)
    }

    /// How many the filter finds, and how many GiB they have.
    pub async fn sum_volumes(&mut self, filter: &VolumeFilter) -> Result<(i64, i64)> {
        let conditions = filter.conditions();
        let sql = conditions.all("COUNT(*), CAST(COALESCE(SUM(size), 0) AS BIGINT)", "volumes");
        Ok(on!(self, c =>
            bind_all!(sqlx::query_as(AssertSqlSafe(sql)), &conditions.values).fetch_one(c).await)?)
    }

    /// Every key in the metadata of those that the filter finds, with all its values, as long as they have at
    /// most about so many bytes: reads no further than that.
    pub async fn metadata_of_volumes(
        &mut self,
        filter: &VolumeFilter,
        bytes: usize,
    ) -> Result<MetadataValues> {
        let mut conditions = filter.conditions();
        conditions.push("metadata <> '{}'".to_owned());
        let sql = conditions.all("metadata", "volumes");
        let found: MetadataValues = on!(self, c => {
            let rows = bind_all!(sqlx::query_scalar(AssertSqlSafe(sql)), &conditions.values).fetch(c);
            values_within(rows, bytes).await
        })?;
        Ok(found)
    }

    /// The GiB of all volumes, by their host.
    pub async fn provisioned(&mut self) -> Result<Vec<(String, i64)>> {
        let sql = "SELECT host, CAST(SUM(size) AS BIGINT) FROM volumes WHERE host IS NOT NULL GROUP BY host";
        Ok(on!(self, c => sqlx::query_as(sql).fetch_all(c).await)?)
    }

    /// The youngest of those that were made after this moment and lie somewhere, as many as `most`.
    pub async fn volumes_since(&mut self, moment: Timestamp, most: u32) -> Result<Vec<NewVolume>> {
        // In this order, and with a limit, both engines read the index by age, and no further than they have
        // to: a sum of them is for SQLite a walk over all volumes that lie somewhere.
        let sql = "SELECT host, size, created_at FROM (SELECT host, size, created_at FROM volumes \
            WHERE created_at > $1 ORDER BY created_at DESC, id DESC LIMIT CAST($2 AS BIGINT)) AS young \
            WHERE host IS NOT NULL";
        Ok(on!(self, c => sqlx::query_as(sql).bind(moment).bind(i64::from(most)).fetch_all(c).await)?)
    }

    /// Whose these volumes are, and where they lie, if anywhere.
    pub async fn hosts_of_volumes(&mut self, ids: &[String]) -> Result<Vec<(ProjectId, Option<String>)>> {
        let mut conditions = Conditions::default();
        let among = conditions.among("id", ids);
        conditions.push(among);
        let sql = conditions.all("project_id, host", "volumes");
        Ok(
            on!(self, c => bind_all!(sqlx::query_as(AssertSqlSafe(sql)), &conditions.values).fetch_all(c).await)?,
        )
    }

    /// Writes what a user may change: name, description, metadata of its own and of the image, whether it boots.
    /// `false`: no such row.
    pub async fn update_volume(&mut self, volume: &Volume) -> Result<bool> {
        let sql = format!(
            "UPDATE volumes SET name = $2, description = $3, metadata = $4, bootable = $5, used_at = {USED_AT}, \
                described_at = $6, updated_at = $6, image_metadata = $7 WHERE id = $1"
        );
        let rows = on!(self, c => sqlx::query(AssertSqlSafe(sql))
            .bind(&volume.id)
            .bind(&volume.name)
            .bind(&volume.description)
            .bind(&volume.metadata)
            .bind(volume.bootable)
            .bind(volume.updated_at)
            .bind(&volume.image_metadata)
            .execute(c).await.map(|done| done.rows_affected()))?;
        Ok(rows == 1)
    }

    /// What the volume remembers of its image.
    pub async fn set_image_metadata(
        &mut self,
        id: &VolumeId,
        metadata: Option<&Json<BTreeMap<String, String>>>,
    ) -> Result<()> {
        on!(self, c => sqlx::query("UPDATE volumes SET image_metadata = $2 WHERE id = $1")
            .bind(id).bind(metadata).execute(c).await.map(drop))?;
        Ok(())
    }

    /// Writes what the service keeps with it. `false`: no such row.
    pub async fn set_admin_metadata(
        &mut self,
        id: &VolumeId,
        metadata: &BTreeMap<String, String>,
        now: Timestamp,
    ) -> Result<bool> {
        let sql = "UPDATE volumes SET admin_metadata = $2, updated_at = $3 WHERE id = $1";
        let rows = on!(self, c => sqlx::query(sql)
            .bind(id)
            .bind(Json(metadata))
            .bind(now)
            .execute(c).await.map(|done| done.rows_affected()))?;
        Ok(rows == 1)
    }

    /// Compare and swap: `false` when the volume is not (any more) in `from`. What it was goes to
    /// `previous_status`.
    pub async fn change_volume(
        &mut self,
        id: &VolumeId,
        from: VolumeStatus,
        to: VolumeStatus,
        change: &VolumeChange,
        now: Timestamp,
    ) -> Result<bool> {
        if !from.may_become(to) {
            return Err(DbError::Transition { what: "volume", from: from.as_str(), to: to.as_str() });
        }
        let sql = "UPDATE volumes SET previous_status = status, status = $3, updated_at = $4, \
            size = COALESCE($5, size), growing_to = $6 WHERE id = $1 AND status = $2";
        let rows = on!(self, c => sqlx::query(sql)
            .bind(id)
            .bind(from)
            .bind(to)
            .bind(now)
            .bind(change.size)
            .bind(change.growing_to)
            .execute(c).await.map(|done| done.rows_affected()))?;
        Ok(rows == 1)
    }

    /// Its deletion cannot be taken back any more: what it was is forgotten. `false`: it is not being deleted (any more).
    pub async fn condemn_volume(&mut self, id: &VolumeId) -> Result<bool> {
        let sql = "UPDATE volumes SET previous_status = NULL WHERE id = $1 AND status IN ($2, $3)";
        let rows = on!(self, c => sqlx::query(sql)
            .bind(id)
            .bind(VolumeStatus::Deleting)
            .bind(VolumeStatus::ErrorManagingDeleting)
            .execute(c).await.map(|done| done.rows_affected()))?;
        Ok(rows == 1)
    }

    /// What an administrator says it is, whatever it was and whatever works on it.
    pub async fn reset_volume(&mut self, id: &VolumeId, reset: &VolumeReset, now: Timestamp) -> Result<()> {
        if let Some(status) = reset.status {
            let sql = "UPDATE volumes SET previous_status = status, status = $2, growing_to = NULL, \
                updated_at = $3 WHERE id = $1";
            on!(self, c => sqlx::query(sql).bind(id).bind(status).bind(now).execute(c).await.map(drop))?;
        }
        if let Some(status) = reset.migration_status {
            let sql = "UPDATE volumes SET migration_status = $2, updated_at = $3 WHERE id = $1";
            on!(self, c => sqlx::query(sql).bind(id).bind(status).bind(now).execute(c).await.map(drop))?;
        }
        Ok(())
    }

    pub async fn set_migration_status(
        &mut self,
        id: &VolumeId,
        status: Option<MigrationStatus>,
    ) -> Result<()> {
        let sql = "UPDATE volumes SET migration_status = $2 WHERE id = $1";
        on!(self, c => sqlx::query(sql).bind(id).bind(status).execute(c).await.map(drop))?;
        Ok(())
    }

    pub async fn set_replication_status(
        &mut self,
        id: &VolumeId,
        status: Option<ReplicationStatus>,
    ) -> Result<()> {
        let sql = "UPDATE volumes SET replication_status = $2 WHERE id = $1";
        on!(self, c => sqlx::query(sql).bind(id).bind(status).execute(c).await.map(drop))?;
        Ok(())
    }

    /// The type it is to have, for which it counts from now on; or none.
    pub async fn set_retyping_to(&mut self, id: &VolumeId, of: Option<&VolumeTypeId>) -> Result<()> {
        let sql = "UPDATE volumes SET retyping_to = $2 WHERE id = $1";
        on!(self, c => sqlx::query(sql).bind(id).bind(of).execute(c).await.map(drop))?;
        Ok(())
    }

    /// When the volume was last changed in a way that may have to do with its bytes. `None`: no such row.
    pub async fn volume_used_at(&mut self, id: &VolumeId) -> Result<Option<Timestamp>> {
        let sql = format!("SELECT {USED_AT} FROM volumes WHERE id = $1");
        Ok(on!(self, c => sqlx::query_scalar(AssertSqlSafe(sql)).bind(id).fetch_optional(c).await)?)
    }

    /// Compare and swap: `false` when somebody was at the volume meanwhile.
    pub async fn move_volume(&mut self, id: &VolumeId, change: &VolumeMove, now: Timestamp) -> Result<bool> {
        let sql = format!(
            "UPDATE volumes SET host = $4, availability_zone = $5, \
                volume_type_id = COALESCE($6, volume_type_id), multiattach = COALESCE($7, multiattach), \
                retyping_to = NULL, updated_at = $8 \
                WHERE id = $1 AND status = $2 AND {USED_AT} = $3"
        );
        let rows = on!(self, c => sqlx::query(AssertSqlSafe(sql))
            .bind(id)
            .bind(change.status)
            .bind(change.seen)
            .bind(&change.host)
            .bind(&change.availability_zone)
            .bind(&change.volume_type_id)
            .bind(change.multiattach)
            .bind(now)
            .execute(c).await.map(|done| done.rows_affected()))?;
        Ok(rows == 1)
    }

    /// Removes the row. `false`: there was none. [`DbError::Reference`] while it has snapshots.
    pub async fn remove_volume(&mut self, id: &VolumeId) -> Result<bool> {
        let rows = on!(self, c => sqlx::query("DELETE FROM volumes WHERE id = $1")
            .bind(id).execute(c).await.map(|done| done.rows_affected()))?;
        Ok(rows == 1)
    }
}
