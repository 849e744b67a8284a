//! Where the bytes of images are: several places, when an image is in several stores.

use std::collections::BTreeMap;

use serde_json::Value as JsonValue;
use sqlx::AssertSqlSafe;
use sqlx::types::Json;

use super::error::Result;
use super::filter::Conditions;
use super::{Image, Repository, bind_all, on};
use crate::model::ImageId;

/// One of the places where an image's bytes are.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct Location {
    image_id: ImageId,
    /// Counts from 0, in the order in which they were added.
    pub position: i64,
    /// The id of the store; `None`: that of `[images]`.
    pub store: Option<String>,
    /// `rbd://<fsid>/<pool>/<image>/<snapshot>`, or the address of a web server. `None`: the bytes are there, but not
    /// yet the snapshot.
    pub url: Option<String>,
    /// What its user keeps with it.
    pub metadata: Option<Json<BTreeMap<String, JsonValue>>>,
    /// Nobody reads what is not: it is being brought, or removed.
    pub ready: bool,
}

const COLUMNS: &str = "image_id, position, store, url, metadata, ready";

impl Location {
    /// Of bytes that are there.
    pub fn new(image: &ImageId, store: Option<&str>, url: Option<String>) -> Self {
        let store = store.map(str::to_owned);
        Self { image_id: image.clone(), position: 0, store, url, metadata: None, ready: true }
    }

    /// The same, of bytes that are yet to come.
    pub fn awaited(self) -> Self {
        Self { ready: false, ..self }
    }

    /// With what its user keeps with it.
    pub fn with_metadata(self, metadata: BTreeMap<String, JsonValue>) -> Self {
        Self { metadata: (!metadata.is_empty()).then_some(Json(metadata)), ..self }
    }

    pub fn metadata(&self) -> BTreeMap<String, JsonValue> {
        self.metadata.clone().map(|metadata| metadata.0).unwrap_or_default()
    }

    /// On somebody's web server, not in a store of ours.
    pub fn is_on_the_web(&self) -> bool {
        self.url.as_deref().is_some_and(|url| url.starts_with("http"))
    }
}

impl Repository {
    /// Puts the locations of images to them, first ones first.
    pub(super) async fn locate(&mut self, images: &mut [Image]) -> Result<()> {
        if images.is_empty() {
            return Ok(());
        }
        let mut conditions = Conditions::default();
        conditions.one_of("image_id", &Some(images.iter().map(|image| &image.id).collect()));
        let sql = conditions.select(COLUMNS, "image_locations", "image_id, position");
        let found: Vec<Location> = on!(self, c =>
            bind_all!(sqlx::query_as(AssertSqlSafe(sql)), &conditions.values).fetch_all(c).await)?;
        let mut by_image: BTreeMap<ImageId, Vec<Location>> = BTreeMap::new();
        for location in found {
            by_image.entry(location.image_id.clone()).or_default().push(location);
        }
        for image in images {
            image.locations = by_image.remove(&image.id).unwrap_or_default();
        }
        Ok(())
    }

    /// Adds a place behind those that are there.
    pub async fn add_location(&mut self, location: &Location) -> Result<()> {
        let sql = "INSERT INTO image_locations (image_id, position, store, url, metadata, ready) VALUES ($1, \
            (SELECT COALESCE(MAX(position) + 1, 0) FROM image_locations WHERE image_id = $1), $2, $3, $4, $5)";
        on!(self, c => sqlx::query(sql)
            .bind(&location.image_id)
            .bind(&location.store)
            .bind(&location.url)
            .bind(&location.metadata)
            .bind(location.ready)
            .execute(c).await.map(drop))?;
        Ok(())
    }

    /// Puts these in the place of all that are there, in this order.
    pub async fn set_locations(&mut self, id: &ImageId, locations: &[Location]) -> Result<()> {
        on!(self, c => sqlx::query("DELETE FROM image_locations WHERE image_id = $1")
            .bind(id).execute(c).await.map(drop))?;
        for location in locations {
            self.add_location(location).await?;
        }
        Ok(())
    }

    /// Says where the bytes in a store are to be cloned from; `None`: there is no snapshot.
    pub async fn set_location(&mut self, id: &ImageId, store: Option<&str>, url: Option<&str>) -> Result<()> {
        let sql = "UPDATE image_locations SET url = $3 WHERE image_id = $1 AND store IS NOT DISTINCT FROM $2";
        on!(self, c => sqlx::query(sql).bind(id).bind(store).bind(url).execute(c).await.map(drop))?;
        Ok(())
    }

    /// Whether the bytes in a store may be read. `false`: there is no such place.
    pub async fn ready_location(&mut self, id: &ImageId, store: Option<&str>, ready: bool) -> Result<bool> {
        let sql =
            "UPDATE image_locations SET ready = $3 WHERE image_id = $1 AND store IS NOT DISTINCT FROM $2";
        let rows = on!(self, c => sqlx::query(sql)
            .bind(id).bind(store).bind(ready).execute(c).await.map(|done| done.rows_affected()))?;
        Ok(rows > 0)
    }

    /// Nobody knows whether snapshots are there still: they are made anew when they are wanted.
    pub async fn forget_snapshots(&mut self, id: &ImageId) -> Result<()> {
        let sql = "UPDATE image_locations SET url = NULL WHERE image_id = $1 AND url LIKE 'rbd:%'";
        on!(self, c => sqlx::query(sql).bind(id).execute(c).await.map(drop))?;
        Ok(())
    }

    /// Likewise of the one in a store.
    pub async fn forget_snapshot(&mut self, id: &ImageId, store: Option<&str>) -> Result<()> {
        let sql = "UPDATE image_locations SET url = NULL WHERE image_id = $1 AND store IS NOT DISTINCT FROM $2 \
            AND url LIKE 'rbd:%'";
        on!(self, c => sqlx::query(sql).bind(id).bind(store).execute(c).await.map(drop))?;
        Ok(())
    }

    /// Forgets places where there never were any bytes.
    pub async fn remove_unready_locations(&mut self, id: &ImageId) -> Result<()> {
        on!(self, c => sqlx::query("DELETE FROM image_locations WHERE image_id = $1 AND NOT ready")
            .bind(id).execute(c).await.map(drop))?;
        Ok(())
    }

    /// Forgets the place of the bytes in a store.
    pub async fn remove_location(&mut self, id: &ImageId, store: Option<&str>) -> Result<()> {
        let sql = "DELETE FROM image_locations WHERE image_id = $1 AND store IS NOT DISTINCT FROM $2";
        on!(self, c => sqlx::query(sql).bind(id).bind(store).execute(c).await.map(drop))?;
        Ok(())
    }
}
