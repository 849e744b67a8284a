//! Volume types, with their extra specs; who may use the private ones; which are the defaults of projects.

use std::collections::{BTreeMap, HashSet};

use sqlx::AssertSqlSafe;
use sqlx::types::Json;

use super::error::{DbError, Result};
use super::{Repository, on};
use crate::model::{ProjectId, QosSpecsId, Timestamp, VolumeTypeId};

/// Texts under keys; a key may be there without a text.
pub type Specs = BTreeMap<String, Option<String>>;

#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct VolumeType {
    pub id: VolumeTypeId,
    pub name: String,
    pub description: Option<String>,
    pub is_public: bool,
    pub extra_specs: Json<Specs>,
    pub qos_specs_id: Option<QosSpecsId>,
    pub created_at: Timestamp,
    pub updated_at: Option<Timestamp>,
}

impl VolumeType {
    /// The text of an extra spec.
    pub fn spec(&self, key: &str) -> Option<&str> {
        self.extra_specs.get(key)?.as_deref()
    }

    /// Whether several instances may attach a volume of this type at once.
    pub fn is_multiattach(&self) -> bool {
        self.spec("multiattach") == Some("<is> True")
    }

    /// Whether another cluster has the volumes of this type too.
    pub fn is_replicated(&self) -> bool {
        self.spec("replication_enabled") == Some("<is> True")
    }
}

/// The type of a project's volumes when the request does not say.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct DefaultVolumeType {
    pub project_id: ProjectId,
    pub volume_type_id: VolumeTypeId,
}

const COLUMNS: &str = "id, name, description, is_public, extra_specs, qos_specs_id, created_at, updated_at";

impl Repository {
    /// [`DbError::Exists`]: the name is taken.
    pub async fn add_volume_type(&mut self, volume_type: &VolumeType) -> Result<()> {
        if self.insert_volume_type(volume_type).await? { Ok(()) } else { Err(DbError::Exists) }
    }

    /// Adds it unless one of that name is there.
    pub async fn ensure_volume_type(&mut self, volume_type: &VolumeType) -> Result<()> {
        self.insert_volume_type(volume_type).await.map(drop)
    }

    /// `false`: one of that name is there.
    async fn insert_volume_type(&mut self, volume_type: &VolumeType) -> Result<bool> {
        let sql = "INSERT INTO volume_types (id, name, description, is_public, extra_specs, qos_specs_id, \
            created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (name) DO NOTHING";
        let rows = on!(self, c => sqlx::query(sql)
            .bind(&volume_type.id)
            .bind(&volume_type.name)
            .bind(&volume_type.description)
            .bind(volume_type.is_public)
            .bind(&volume_type.extra_specs)
            .bind(&volume_type.qos_specs_id)
            .bind(volume_type.created_at)
            .bind(volume_type.updated_at)
            .execute(c).await.map(|done| done.rows_affected()))?;
        Ok(rows == 1)
    }

    /// By id or by name, as requests may say either.
    pub async fn volume_type(&mut self, id_or_name: &str) -> Result<Option<VolumeType>> {
        self.find_volume_type(id_or_name, "").await
    }

    /// As [`Repository::volume_type`], and nobody changes what the type says before the transaction ends: what is
    /// made of the type is of the type as it was read.
    pub async fn volume_type_to_use(&mut self, id_or_name: &str) -> Result<Option<VolumeType>> {
        self.find_volume_type(id_or_name, self.lock_to_use()).await
    }

    async fn find_volume_type(&mut self, id_or_name: &str, lock: &str) -> Result<Option<VolumeType>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM volume_types WHERE id = $1 OR name = $1 ORDER BY id = $1 DESC{lock}"
        );
        Ok(on!(self, c => sqlx::query_as(AssertSqlSafe(sql)).bind(id_or_name).fetch_optional(c).await)?)
    }

    /// By id, and nobody else changes it, or makes a volume of it, before the transaction ends.
    pub async fn volume_type_to_change(&mut self, id: &VolumeTypeId) -> Result<Option<VolumeType>> {
        let sql = format!("SELECT {COLUMNS} FROM volume_types WHERE id = $1{}", self.lock_out());
        Ok(on!(self, c => sqlx::query_as(AssertSqlSafe(sql)).bind(id).fetch_optional(c).await)?)
    }

    /// By name.
    pub async fn volume_types(&mut self) -> Result<Vec<VolumeType>> {
        let sql = format!("SELECT {COLUMNS} FROM volume_types ORDER BY name");
        Ok(on!(self, c => sqlx::query_as(AssertSqlSafe(sql)).fetch_all(c).await)?)
    }

    /// Those that these QoS specs belong to, by name.
    pub async fn volume_types_of_qos_specs(&mut self, id: &QosSpecsId) -> Result<Vec<VolumeType>> {
        let sql = format!("SELECT {COLUMNS} FROM volume_types WHERE qos_specs_id = $1 ORDER BY name");
        Ok(on!(self, c => sqlx::query_as(AssertSqlSafe(sql)).bind(id).fetch_all(c).await)?)
    }

    /// Writes all but the id and the moment of its making. [`DbError::Exists`]: the name is taken.
    pub async fn update_volume_type(&mut self, volume_type: &VolumeType) -> Result<bool> {
        let sql = "UPDATE volume_types SET name = $2, description = $3, is_public = $4, extra_specs = $5, \
            qos_specs_id = $6, updated_at = $7 WHERE id = $1";
        let rows = on!(self, c => sqlx::query(sql)
            .bind(&volume_type.id)
            .bind(&volume_type.name)
            .bind(&volume_type.description)
            .bind(volume_type.is_public)
            .bind(&volume_type.extra_specs)
            .bind(&volume_type.qos_specs_id)
            .bind(volume_type.updated_at)
            .execute(c).await.map(|done| done.rows_affected()))?;
        Ok(rows == 1)
    }

    /// Removes the row, with access and encryption. `false`: there was none. [`DbError::Reference`] while volumes are
    /// of it, or it is a project's default.
    pub async fn remove_volume_type(&mut self, id: &VolumeTypeId) -> Result<bool> {
        let rows = on!(self, c => sqlx::query("DELETE FROM volume_types WHERE id = $1")
            .bind(id).execute(c).await.map(|done| done.rows_affected()))?;
        Ok(rows == 1)
    }

    /// Whether a volume is of it.
    pub async fn volume_type_is_in_use(&mut self, id: &VolumeTypeId) -> Result<bool> {
        let sql = "SELECT EXISTS (SELECT 1 FROM volumes WHERE volume_type_id = $1 OR retyping_to = $1)";
        Ok(on!(self, c => sqlx::query_scalar(sql).bind(id).fetch_one(c).await)?)
    }

    /// Whether this project may use it, should it not be public.
    pub async fn volume_type_is_granted(&mut self, id: &VolumeTypeId, project: &ProjectId) -> Result<bool> {
        let sql = "SELECT EXISTS (SELECT 1 FROM volume_type_projects WHERE volume_type_id = $1 AND project_id = $2)";
        Ok(on!(self, c => sqlx::query_scalar(sql).bind(id).bind(project).fetch_one(c).await)?)
    }

    /// The types that this project may use though they are not public.
    pub async fn granted_volume_types(&mut self, project: &ProjectId) -> Result<HashSet<VolumeTypeId>> {
        let sql = "SELECT volume_type_id FROM volume_type_projects WHERE project_id = $1";
        let ids: Vec<VolumeTypeId> =
            on!(self, c => sqlx::query_scalar(sql).bind(project).fetch_all(c).await)?;
        Ok(ids.into_iter().collect())
    }

    /// The projects that may use it, in the order in which they were let in.
    pub async fn volume_type_projects(&mut self, id: &VolumeTypeId) -> Result<Vec<ProjectId>> {
        let sql = "SELECT project_id FROM volume_type_projects WHERE volume_type_id = $1 \
            ORDER BY created_at, project_id";
        Ok(on!(self, c => sqlx::query_scalar(sql).bind(id).fetch_all(c).await)?)
    }

    /// [`DbError::Exists`]: it may already.
    pub async fn grant_volume_type(
        &mut self,
        id: &VolumeTypeId,
        project: &ProjectId,
        now: Timestamp,
    ) -> Result<()> {
        let sql =
            "INSERT INTO volume_type_projects (volume_type_id, project_id, created_at) VALUES ($1, $2, $3)";
        on!(self, c => sqlx::query(sql).bind(id).bind(project).bind(now).execute(c).await.map(drop))?;
        Ok(())
    }

    /// `false`: it might not.
    pub async fn revoke_volume_type(&mut self, id: &VolumeTypeId, project: &ProjectId) -> Result<bool> {
        let sql = "DELETE FROM volume_type_projects WHERE volume_type_id = $1 AND project_id = $2";
        let rows = on!(self, c => sqlx::query(sql)
            .bind(id).bind(project).execute(c).await.map(|done| done.rows_affected()))?;
        Ok(rows == 1)
    }

    /// By project.
    pub async fn default_volume_types(&mut self) -> Result<Vec<DefaultVolumeType>> {
        let sql = "SELECT project_id, volume_type_id FROM default_volume_types ORDER BY project_id";
        Ok(on!(self, c => sqlx::query_as(sql).fetch_all(c).await)?)
    }

    pub async fn default_volume_type(&mut self, project: &ProjectId) -> Result<Option<VolumeTypeId>> {
        let sql = "SELECT volume_type_id FROM default_volume_types WHERE project_id = $1";
        Ok(on!(self, c => sqlx::query_scalar(sql).bind(project).fetch_optional(c).await)?)
    }

    /// Whether it is the default of a project.
    pub async fn volume_type_is_a_default(&mut self, id: &VolumeTypeId) -> Result<bool> {
        let sql = "SELECT EXISTS (SELECT 1 FROM default_volume_types WHERE volume_type_id = $1)";
        Ok(on!(self, c => sqlx::query_scalar(sql).bind(id).fetch_one(c).await)?)
    }

    /// In place of what was the project's default before. [`DbError::Reference`]: the type is gone.
    pub async fn set_default_volume_type(&mut self, default: &DefaultVolumeType) -> Result<()> {
        let sql = "INSERT INTO default_volume_types (project_id, volume_type_id) VALUES ($1, $2) \
            ON CONFLICT (project_id) DO UPDATE SET volume_type_id = excluded.volume_type_id";
        on!(self, c => sqlx::query(sql)
            .bind(&default.project_id)
            .bind(&default.volume_type_id)
            .execute(c).await.map(drop))?;
        Ok(())
    }

    pub async fn unset_default_volume_type(&mut self, project: &ProjectId) -> Result<()> {
        let sql = "DELETE FROM default_volume_types WHERE project_id = $1";
        on!(self, c => sqlx::query(sql).bind(project).execute(c).await.map(drop))?;
        Ok(())
    }
}
