//! An image as a client sees it, and which images a client sees.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::custom;
use crate::db::{Image, Repository};
use crate::http::{App, images};
use crate::identity::policy::{Access, Guard};
use crate::image_api::fault::{Fault, Result};
use crate::image_api::locations::list::{self as locations, LocationView};
use crate::image_api::request::Call;
use crate::image_api::stores;
use crate::model::{ImageId, ImageStatus};

/// The order of the fields is Glance's.
#[derive(Serialize, ToSchema)]
#[schema(title = "Image")]
pub struct ImageView {
    #[serde(flatten)]
    properties: BTreeMap<String, Value>,
    name: Option<String>,
    disk_format: Option<String>,
    container_format: Option<String>,
    visibility: String,
    /// Bytes.
    size: Option<i64>,
    /// Bytes.
    virtual_size: Option<i64>,
    #[schema(value_type = String)]
    status: ImageStatus,
    /// MD5, in hexadecimal.
    checksum: Option<String>,
    protected: bool,
    /// MiB.
    min_ram: i64,
    /// GiB.
    min_disk: i64,
    owner: Option<String>,
    os_hidden: bool,
    os_hash_algo: Option<String>,
    os_hash_value: Option<String>,
    #[schema(value_type = String)]
    id: ImageId,
    created_at: String,
    updated_at: String,
    /// Where `show_multiple_locations` says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    locations: Option<Vec<LocationView>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    direct_url: Option<String>,
    tags: Vec<String>,
    #[serde(rename = "self")]
    itself: String,
    file: String,
    schema: &'static str,
    /// Ids of the stores that have the bytes, with commas between them; where there are several stores.
    #[serde(skip_serializing_if = "Option::is_none")]
    stores: Option<String>,
}

impl ImageView {
    /// With the custom properties that the guard's caller may see.
    pub fn new(mut image: Image, guard: &Guard, app: &App) -> Self {
        let config = &*app.config;
        let properties = std::mem::take(&mut image.properties.0).into_iter();
        let properties = properties.filter(|(name, _)| guard.allows_property(Access::Read, name));
        let shown = |(name, text): (String, String)| {
            let value = custom::shown(app.image_schema.form_of(&name), text);
            (name, value)
        };
        let properties = properties.map(shown).collect();
        let places = stores::places(config, &image);
        // Glance leaves a location whose bytes were refused with the image.
        let left = image.locations.iter().filter(|_| image.status == ImageStatus::Queued);
        let ids: Vec<&str> =
            places.iter().copied().chain(left).map(|place| stores::id_of(config, place)).collect();
        let stores = (stores::are_shown(config) && !ids.is_empty()).then(|| ids.join(","));
        let url = places.iter().find_map(|place| place.url.clone());
        let direct_url = url.filter(|_| config.images.show_image_direct_url);
        let locations = config.images.show_multiple_locations.then(|| locations::views(config, &image));
        let itself = format!("/v2/images/{}", image.id);
        Self {
            properties,
            name: image.name,
            disk_format: image.disk_format,
            container_format: image.container_format,
            visibility: image.visibility,
            size: image.size,
            virtual_size: image.virtual_size,
            status: image.status,
            checksum: image.checksum,
            protected: image.protected,
            min_ram: image.min_ram,
            min_disk: image.min_disk,
            owner: image.project_id.map(|project| project.0),
            os_hidden: image.os_hidden,
            os_hash_algo: image.os_hash_algo,
            os_hash_value: image.os_hash_value,
            id: image.id,
            created_at: image.created_at.to_seconds(),
            updated_at: image.updated_at.to_seconds(),
            locations,
            direct_url,
            tags: image.tags.0.into_keys().collect(),
            file: format!("{itself}/file"),
            itself,
            schema: "/v2/schemas/image",
            stores,
        }
    }
}

/// The image of this id, if it is there for the caller's project. What is not there and what is not for the
/// project are the same to them. Which roles may do what with it is asked by [`Call::check_image`].
pub async fn find(repository: &mut Repository, call: &Call, id: &str) -> Result<Image> {
    let image = match parse_id(id) {
        Some(id) => repository.image(&id).await?,
        None => None,
    };
    visible(repository, image, call).await?.ok_or_else(|| not_found(id))
}

/// As [`find`], and nobody else changes it before the transaction ends.
pub async fn find_to_change(repository: &mut Repository, call: &Call, id: &str) -> Result<Image> {
    let image = match parse_id(id) {
        Some(id) => repository.image_to_change(&id).await?,
        None => None,
    };
    visible(repository, image, call).await?.ok_or_else(|| not_found(id))
}

/// With hyphens only, as Glance compares texts; unlike there, case does not matter.
pub fn parse_id(text: &str) -> Option<ImageId> {
    ImageId::parse(text).filter(|_| text.len() == 36)
}

async fn visible(repository: &mut Repository, image: Option<Image>, call: &Call) -> Result<Option<Image>> {
    Ok(match image {
        Some(image) if images::is_visible(repository, &image, &call.guard, call.project_id()).await? => {
            Some(image)
        }
        _ => None,
    })
}

fn not_found(id: &str) -> Fault {
    Fault::NotFound(format!("No image found with ID {id}"))
}
