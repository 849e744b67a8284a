//! What arrived for an image and is to become its content.

use super::error::Result;
use super::{ImageChange, Repository, on};
use crate::model::ImageId;

#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Staged {
    pub image_id: ImageId,
    /// Of the bytes, in the pool.
    pub name: String,
    /// Bytes.
    pub size: i64,
    pub checksum: Option<String>,
    pub os_hash_algo: Option<String>,
    pub os_hash_value: Option<String>,
}

impl Staged {
    pub fn new(id: &ImageId, name: String, facts: ImageChange) -> Self {
        Self {
            image_id: id.clone(),
            name,
            size: facts.size.unwrap_or_default(),
            checksum: facts.checksum,
            os_hash_algo: facts.os_hash_algo,
            os_hash_value: facts.os_hash_value,
        }
    }

    /// What the image's row says of them once they are its content.
    pub fn facts(self) -> ImageChange {
        ImageChange {
            size: Some(self.size),
            virtual_size: None,
            checksum: self.checksum,
            os_hash_algo: self.os_hash_algo,
            os_hash_value: self.os_hash_value,
        }
    }
}

impl Repository {
    pub async fn staged(&mut self, id: &ImageId) -> Result<Option<Staged>> {
        let sql = "SELECT image_id, name, size, checksum, os_hash_algo, os_hash_value FROM staged_images \
            WHERE image_id = $1";
        Ok(on!(self, c => sqlx::query_as(sql).bind(id).fetch_optional(c).await)?)
    }

    /// In the place of what was there before. Until the image is active its size is theirs.
    pub async fn set_staged(&mut self, staged: &Staged) -> Result<()> {
        let sql = "INSERT INTO staged_images (image_id, name, size, checksum, os_hash_algo, os_hash_value) \
            VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (image_id) DO UPDATE SET name = excluded.name, \
            size = excluded.size, checksum = excluded.checksum, os_hash_algo = excluded.os_hash_algo, \
            os_hash_value = excluded.os_hash_value";
        on!(self, c => sqlx::query(sql)
            .bind(&staged.image_id)
            .bind(&staged.name)
            .bind(staged.size)
            .bind(&staged.checksum)
            .bind(&staged.os_hash_algo)
            .bind(&staged.os_hash_value)
            .execute(c).await.map(drop))?;
        let sql = "UPDATE images SET size = $2 WHERE id = $1 AND status IN ('uploading', 'importing')";
        on!(self, c => sqlx::query(sql).bind(&staged.image_id).bind(staged.size).execute(c).await.map(drop))?;
        Ok(())
    }

    pub async fn remove_staged(&mut self, id: &ImageId) -> Result<()> {
        on!(self, c => sqlx::query("DELETE FROM staged_images WHERE image_id = $1")
            .bind(id).execute(c).await.map(drop))?;
        Ok(())
    }
}
