//! Application credentials: what a program logs in with on its user's behalf.

use sqlx::AssertSqlSafe;
use sqlx::types::Json;

use super::SecretHash;
use crate::db::error::Result;
use crate::db::{Repository, on};
use crate::model::{ApplicationCredentialId, ProjectId, RoleId, Timestamp, UserId};

#[derive(Clone, Debug, sqlx::FromRow)]
pub struct ApplicationCredential {
    pub id: ApplicationCredentialId,
    pub user_id: UserId,
    pub project_id: ProjectId,
    pub name: String,
    pub description: Option<String>,
    pub secret_hash: SecretHash,
    /// What it may do, as long as its user may; with what that implies.
    pub roles: Json<Vec<RoleId>>,
    /// May be used to make others.
    pub unrestricted: bool,
    pub expires_at: Option<Timestamp>,
    pub created_at: Timestamp,
}

const COLUMNS: &str = "id, user_id, project_id, name, description, secret_hash, roles, unrestricted, \
    expires_at, created_at";

impl Repository {
    pub async fn add_application_credential(&mut self, credential: &ApplicationCredential) -> Result<()> {
        let sql = "INSERT INTO application_credentials (id, user_id, project_id, name, description, \
            secret_hash, roles, unrestricted, expires_at, created_at) \
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
        on!(self, c => sqlx::query(sql)
            .bind(&credential.id)
            .bind(&credential.user_id)
            .bind(&credential.project_id)
            .bind(&credential.name)
            .bind(&credential.description)
            .bind(&credential.secret_hash)
            .bind(&credential.roles)
            .bind(credential.unrestricted)
            .bind(credential.expires_at)
            .bind(credential.created_at)
            .execute(c).await.map(drop))?;
        Ok(())
    }

    pub async fn application_credential(
        &mut self,
        id: &ApplicationCredentialId,
    ) -> Result<Option<ApplicationCredential>> {
        let sql = format!("SELECT {COLUMNS} FROM application_credentials WHERE id = $1");
        Ok(on!(self, c => sqlx::query_as(AssertSqlSafe(sql)).bind(id).fetch_optional(c).await)?)
    }

    /// Of one user, by name.
    pub async fn application_credentials(&mut self, user: &UserId) -> Result<Vec<ApplicationCredential>> {
        let sql = format!("SELECT {COLUMNS} FROM application_credentials WHERE user_id = $1 ORDER BY name");
        Ok(on!(self, c => sqlx::query_as(AssertSqlSafe(sql)).bind(user).fetch_all(c).await)?)
    }

    pub async fn remove_application_credential(&mut self, id: &ApplicationCredentialId) -> Result<()> {
        let sql = "DELETE FROM application_credentials WHERE id = $1";
        on!(self, c => sqlx::query(sql).bind(id).execute(c).await.map(drop))?;
        Ok(())
    }
}
