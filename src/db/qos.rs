//! QoS specs: limits that volumes of some types have.

use sqlx::AssertSqlSafe;
use sqlx::types::Json;

use super::error::Result;
use super::filter::{Conditions, Page};
use super::{Repository, Specs, bind_all, on};
use crate::model::{QosSpecsId, Timestamp, VolumeTypeId};

#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct QosSpecs {
    pub id: QosSpecsId,
    pub name: String,
    /// `front-end`, `back-end` or `both`.
    pub consumer: String,
    pub specs: Json<Specs>,
    pub created_at: Timestamp,
    pub updated_at: Option<Timestamp>,
}

const COLUMNS: &str = "id, name, consumer, specs, created_at, updated_at";

/// Which QoS specs a list holds; `None` is no condition.
#[derive(Clone, Debug, Default)]
pub struct QosSpecsFilter {
    pub id: Option<Vec<String>>,
    pub name: Option<String>,
    pub consumer: Option<String>,
}

impl Repository {
    /// [`super::DbError::Exists`]: the name is taken.
    pub async fn add_qos_specs(&mut self, specs: &QosSpecs) -> Result<()> {
        let sql = "INSERT INTO qos_specs (id, name, consumer, specs, created_at, updated_at) \
            VALUES ($1, $2, $3, $4, $5, $6)";
        on!(self, c => sqlx::query(sql)
            .bind(&specs.id)
            .bind(&specs.name)
            .bind(&specs.consumer)
            .bind(&specs.specs)
            .bind(specs.created_at)
            .bind(specs.updated_at)
            .execute(c).await.map(drop))?;
        Ok(())
    }

    pub async fn qos_specs(&mut self, id: &QosSpecsId) -> Result<Option<QosSpecs>> {
        let sql = format!("SELECT {COLUMNS} FROM qos_specs WHERE id = $1");
        Ok(on!(self, c => sqlx::query_as(AssertSqlSafe(sql)).bind(id).fetch_optional(c).await)?)
    }

    /// As [`Repository::qos_specs`], and nobody else changes the row before the transaction ends.
    pub async fn qos_specs_to_change(&mut self, id: &QosSpecsId) -> Result<Option<QosSpecs>> {
        let sql = format!("SELECT {COLUMNS} FROM qos_specs WHERE id = $1{}", self.lock());
        Ok(on!(self, c => sqlx::query_as(AssertSqlSafe(sql)).bind(id).fetch_optional(c).await)?)
    }

    pub async fn all_qos_specs(&mut self, filter: &QosSpecsFilter, page: &Page) -> Result<Vec<QosSpecs>> {
        let mut conditions = Conditions::default();
        conditions.one_of("id", &filter.id);
        conditions.text("name", &filter.name);
        conditions.text("consumer", &filter.consumer);
        let sql = conditions.page(COLUMNS, "qos_specs", page);
        Ok(
            on!(self, c => bind_all!(sqlx::query_as(AssertSqlSafe(sql)), &conditions.values).fetch_all(c).await)?,
        )
    }

    /// Writes consumer and specs. `false`: no such row.
    pub async fn update_qos_specs(&mut self, specs: &QosSpecs) -> Result<bool> {
        let sql = "UPDATE qos_specs SET consumer = $2, specs = $3, updated_at = $4 WHERE id = $1";
        let rows = on!(self, c => sqlx::query(sql)
            .bind(&specs.id)
            .bind(&specs.consumer)
            .bind(&specs.specs)
            .bind(specs.updated_at)
            .execute(c).await.map(|done| done.rows_affected()))?;
        Ok(rows == 1)
    }

    /// Takes them from this type, or from all they belong to.
    pub async fn disassociate_qos_specs(
        &mut self,
        id: &QosSpecsId,
        of: Option<&VolumeTypeId>,
        now: Timestamp,
    ) -> Result<()> {
        let sql = "UPDATE volume_types SET qos_specs_id = NULL, updated_at = $3 \
            WHERE qos_specs_id = $1 AND id = COALESCE($2, id)";
        on!(self, c => sqlx::query(sql).bind(id).bind(of).bind(now).execute(c).await.map(drop))?;
        Ok(())
    }

    /// Removes the row. `false`: there was none. [`super::DbError::Reference`] while they belong to a type.
    pub async fn remove_qos_specs(&mut self, id: &QosSpecsId) -> Result<bool> {
        let rows = on!(self, c => sqlx::query("DELETE FROM qos_specs WHERE id = $1")
            .bind(id).execute(c).await.map(|done| done.rows_affected()))?;
        Ok(rows == 1)
    }
}
