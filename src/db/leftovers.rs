//! Images on a pool that no row names any more, kept only because clones still read from them.

use super::error::Result;
use super::{Repository, on};
use crate::model::Timestamp;

#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Leftover {
    pub pool: String,
    /// The name on the pool, or the one it had before it went to the trash.
    pub name: String,
}

impl Repository {
    pub async fn add_leftover(&mut self, leftover: &Leftover, now: Timestamp) -> Result<()> {
        self.note_leftover(leftover, false, now).await
    }

    /// One in the trash that stays there until an administrator removes it.
    pub async fn keep_leftover(&mut self, leftover: &Leftover, now: Timestamp) -> Result<()> {
        self.note_leftover(leftover, true, now).await
    }

    async fn note_leftover(&mut self, leftover: &Leftover, kept: bool, now: Timestamp) -> Result<()> {
        let sql = "INSERT INTO leftovers (pool, name, kept, created_at) VALUES ($1, $2, $3, $4) \
            ON CONFLICT (pool, name) DO UPDATE SET kept = excluded.kept";
        on!(self, c => sqlx::query(sql)
            .bind(&leftover.pool).bind(&leftover.name).bind(kept).bind(now).execute(c).await.map(drop))?;
        Ok(())
    }

    /// Newest first: a leftover may hang on an older one. Those that are kept are not among them.
    pub async fn leftovers(&mut self) -> Result<Vec<Leftover>> {
        let sql = "SELECT pool, name FROM leftovers WHERE NOT kept ORDER BY created_at DESC, name";
        Ok(on!(self, c => sqlx::query_as(sql).fetch_all(c).await)?)
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

    pub async fn remove_leftover(&mut self, leftover: &Leftover) -> Result<()> {
        on!(self, c => sqlx::query("DELETE FROM leftovers WHERE pool = $1 AND name = $2")
            .bind(&leftover.pool).bind(&leftover.name).execute(c).await.map(drop))?;
        Ok(())
    }
}
