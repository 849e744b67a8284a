//! Raw copies of images that are not raw, which volumes are cloned from.

use super::error::Result;
use super::{Repository, on};
use crate::model::{Gib, ImageId, Timestamp};

#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct CachedImage {
    /// The name on the pool.
    pub name: String,
    pub image_id: ImageId,
    /// Of volumes, in whose pool it lies.
    pub backend: String,
    pub size: Gib,
    pub used_at: Timestamp,
}

impl Repository {
    /// Adding what is there already succeeds.
    pub async fn add_cached_image(&mut self, cached: &CachedImage) -> Result<()> {
        let sql = "INSERT INTO image_cache (name, image_id, backend, size, used_at) VALUES ($1, $2, $3, $4, $5) \
            ON CONFLICT (name) DO NOTHING";
        on!(self, c => sqlx::query(sql)
            .bind(&cached.name)
            .bind(&cached.image_id)
            .bind(&cached.backend)
            .bind(cached.size)
            .bind(cached.used_at)
            .execute(c).await.map(drop))?;
        Ok(())
    }

    /// The one that was not used for the longest time first.
    pub async fn cached_images(&mut self) -> Result<Vec<CachedImage>> {
        let sql = "SELECT name, image_id, backend, size, used_at FROM image_cache ORDER BY used_at, name";
        Ok(on!(self, c => sqlx::query_as(sql).fetch_all(c).await)?)
    }

    /// Of one image: there may be several, when several processes made one at once.
    pub async fn cached_images_of(&mut self, image: &ImageId) -> Result<Vec<CachedImage>> {
        let sql = "SELECT name, image_id, backend, size, used_at FROM image_cache WHERE image_id = $1 \
            ORDER BY name";
        Ok(on!(self, c => sqlx::query_as(sql).bind(image).fetch_all(c).await)?)
    }

    pub async fn use_cached_image(&mut self, name: &str, now: Timestamp) -> Result<()> {
        on!(self, c => sqlx::query("UPDATE image_cache SET used_at = $2 WHERE name = $1")
            .bind(name).bind(now).execute(c).await.map(drop))?;
        Ok(())
    }

    pub async fn remove_cached_image(&mut self, name: &str) -> Result<()> {
        on!(self, c => sqlx::query("DELETE FROM image_cache WHERE name = $1")
            .bind(name).execute(c).await.map(drop))?;
        Ok(())
    }
}
