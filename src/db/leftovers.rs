//! Images on a pool that no row names any more, kept only because clones still read from them.

use super::error::Result;
use super::{Repository, on};
use crate::model::Timestamp;

#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Leftover {
    pub pool: String,
    /// The name on the pool, or the one it had before it went to the trash, or that of the same when it is deleted.
    pub name: String,
}

impl Repository {
    pub async fn add_leftover(&mut self, leftover: &Leftover, now: Timestamp) -> Result<()> {
        let sql = "INSERT INTO leftovers (pool, name, kept, created_at) VALUES ($1, $2, FALSE, $3) \
            ON CONFLICT (pool, name) DO UPDATE SET created_at = excluded.created_at";
        on!(self, c => sqlx::query(sql)
            .bind(&leftover.pool).bind(&leftover.name).bind(now).execute(c).await.map(drop))?;
        Ok(())
    }

    /// With when they were noted last. Newest first: a leftover may hang on an older one. Those are not among them that
    /// an earlier version noted as kept in the trash.
    pub async fn leftovers(&mut self) -> Result<Vec<(Leftover, Timestamp)>> {
        let sql =
            "SELECT pool, name, created_at FROM leftovers WHERE NOT kept ORDER BY created_at DESC, name";
        let found: Vec<(String, String, Timestamp)> = on!(self, c => sqlx::query_as(sql).fetch_all(c).await)?;
        Ok(found.into_iter().map(|(pool, name, noted_at)| (Leftover { pool, name }, noted_at)).collect())
    }

    /// Those that are kept, too.
    pub async fn all_leftovers(&mut self) -> Result<Vec<Leftover>> {
        Ok(on!(self, c => sqlx::query_as("SELECT pool, name FROM leftovers").fetch_all(c).await)?)
    }

    /// Whether the sweeper still has to look after it.
    pub async fn has_leftover(&mut self, leftover: &Leftover) -> Result<bool> {
        let sql = "SELECT pool, name FROM leftovers WHERE pool = $1 AND name = $2 AND NOT kept";
        let found: Option<Leftover> = on!(self, c => sqlx::query_as(sql)
            .bind(&leftover.pool).bind(&leftover.name).fetch_optional(c).await)?;
        Ok(found.is_some())
    }

    /// Forgets one that was looked for and not found, unless it was noted anew meanwhile.
    pub async fn forget_leftover(&mut self, leftover: &Leftover, noted_at: Timestamp) -> Result<()> {
        let sql = "DELETE FROM leftovers WHERE pool = $1 AND name = $2 AND created_at = $3";
        on!(self, c => sqlx::query(sql)
            .bind(&leftover.pool).bind(&leftover.name).bind(noted_at).execute(c).await.map(drop))?;
        Ok(())
    }

    pub async fn remove_leftover(&mut self, leftover: &Leftover) -> Result<()> {
        on!(self, c => sqlx::query("DELETE FROM leftovers WHERE pool = $1 AND name = $2")
            .bind(&leftover.pool).bind(&leftover.name).execute(c).await.map(drop))?;
        Ok(())
    }
}
