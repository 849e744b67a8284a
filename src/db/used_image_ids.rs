//! Ids of images that are gone, which no other image gets.

use super::error::Result;
use super::{Repository, on};
use crate::model::ImageId;

impl Repository {
    pub(super) async fn use_image_id_up(&mut self, id: &ImageId) -> Result<()> {
        let sql = "INSERT INTO used_image_ids (id) VALUES ($1) ON CONFLICT DO NOTHING";
        on!(self, c => sqlx::query(sql).bind(id).execute(c).await.map(drop))?;
        Ok(())
    }

    pub(super) async fn is_image_id_used_up(&mut self, id: &ImageId) -> Result<bool> {
        let sql = "SELECT 1 FROM used_image_ids WHERE id = $1";
        let found: Option<i32> = on!(self, c => sqlx::query_scalar(sql).bind(id).fetch_optional(c).await)?;
        Ok(found.is_some())
    }
}
