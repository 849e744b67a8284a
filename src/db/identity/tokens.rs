//! What tokens are signed with, and those that were taken back. Tokens themselves are kept nowhere.

use std::fmt;

use crate::db::error::Result;
use crate::db::{Repository, on};
use crate::model::Timestamp;

#[derive(Clone, sqlx::FromRow)]
pub struct SigningKey {
    pub id: String,
    /// 32 bytes in base64.
    pub secret: String,
    pub created_at: Timestamp,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Repository {
    /// Does nothing when there is one of this id.
    pub async fn ensure_signing_key(&mut self, key: &SigningKey) -> Result<()> {
        let sql = "INSERT INTO signing_keys (id, secret, created_at) VALUES ($1, $2, $3) \
            ON CONFLICT (id) DO NOTHING";
        on!(self, c => sqlx::query(sql)
            .bind(&key.id).bind(&key.secret).bind(key.created_at).execute(c).await.map(drop))?;
        Ok(())
    }

    /// Newest first.
    pub async fn signing_keys(&mut self) -> Result<Vec<SigningKey>> {
        let sql = "SELECT id, secret, created_at FROM signing_keys ORDER BY created_at DESC, id";
        Ok(on!(self, c => sqlx::query_as(sql).fetch_all(c).await)?)
    }

    /// Takes a token back, and forgets those that have expired meanwhile.
    pub async fn revoke_token(
        &mut self,
        audit_id: &str,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<()> {
        on!(self, c => sqlx::query("DELETE FROM revoked_tokens WHERE expires_at < $1")
            .bind(now).execute(c).await.map(drop))?;
        let sql = "INSERT INTO revoked_tokens (audit_id, expires_at) VALUES ($1, $2) \
            ON CONFLICT (audit_id) DO NOTHING";
        on!(self, c => sqlx::query(sql).bind(audit_id).bind(expires_at).execute(c).await.map(drop))?;
        Ok(())
    }

    pub async fn is_token_revoked(&mut self, audit_id: &str) -> Result<bool> {
        let sql = "SELECT COUNT(*) FROM revoked_tokens WHERE audit_id = $1";
        let found: i64 = on!(self, c => sqlx::query_scalar(sql).bind(audit_id).fetch_one(c).await)?;
        Ok(found > 0)
    }
}
