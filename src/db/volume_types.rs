//! Volume types.

use std::collections::BTreeMap;

use sqlx::AssertSqlSafe;
use sqlx::types::Json;

use super::error::Result;
use super::{Repository, on};
use crate::model::{Timestamp, VolumeTypeId};

#[derive(Clone, Debug, sqlx::FromRow)]
pub struct VolumeType {
    pub id: VolumeTypeId,
    pub name: String,
    pub description: Option<String>,
    pub is_public: bool,
    pub extra_specs: Json<BTreeMap<String, String>>,
    pub created_at: Timestamp,
}

const COLUMNS: &str = "id, name, description, is_public, extra_specs, created_at";

impl Repository {
    /// Adds it unless one of that name is there.
    pub async fn ensure_volume_type(&mut self, volume_type: &VolumeType) -> Result<()> {
        let sql = "INSERT INTO volume_types (id, name, description, is_public, extra_specs, created_at) \
            VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (name) DO NOTHING";
        on!(self, c => sqlx::query(sql)
            .bind(&volume_type.id)
            .bind(&volume_type.name)
            .bind(&volume_type.description)
            .bind(volume_type.is_public)
            .bind(&volume_type.extra_specs)
            .bind(volume_type.created_at)
            .execute(c).await.map(drop))?;
        Ok(())
    }

    /// By id or by name, as requests may say either.
    pub async fn volume_type(&mut self, id_or_name: &str) -> Result<Option<VolumeType>> {
        let sql =
            format!("SELECT {COLUMNS} FROM volume_types WHERE id = $1 OR name = $1 ORDER BY id = $1 DESC");
        Ok(on!(self, c => sqlx::query_as(AssertSqlSafe(sql)).bind(id_or_name).fetch_optional(c).await)?)
    }

    /// By name.
    pub async fn volume_types(&mut self) -> Result<Vec<VolumeType>> {
        let sql = format!("SELECT {COLUMNS} FROM volume_types ORDER BY name");
        Ok(on!(self, c => sqlx::query_as(AssertSqlSafe(sql)).fetch_all(c).await)?)
    }
}
