//! The stores as clients know them: by id.

use std::cmp::Reverse;

use crate::config::{Config, ImageStoreKind, StoreKind};
use crate::db::{Image, Location};

/// One store that images can be in.
pub(super) struct Store<'a> {
    pub id: &'a str,
    /// As rows name it: the one of `[images]` is `None`.
    pub row: Option<&'a str>,
    pub kind: ImageStoreKind,
    pub description: Option<&'a str>,
    pub weight: i64,
}

impl Store<'_> {
    /// Nothing is ever brought there.
    pub fn is_read_only(&self) -> bool {
        self.kind == ImageStoreKind::Http
    }

    pub fn to_row(&self) -> Option<String> {
        self.row.map(str::to_owned)
    }
}

/// All of them, that of `[images]` first.
pub(super) fn all(config: &Config) -> impl Iterator<Item = Store<'_>> {
    let images = &config.images;
    let first = Store {
        id: &images.default_backend,
        row: None,
        kind: match images.store {
            StoreKind::Directory => ImageStoreKind::Directory,
            StoreKind::Rbd => ImageStoreKind::Rbd,
        },
        description: images.store_description.as_deref(),
        weight: images.weight,
    };
    let others = config.image_stores.0.iter().map(|(id, store)| Store {
        id,
        row: Some(id),
        kind: store.store,
        description: store.store_description.as_deref(),
        weight: store.weight,
    });
    std::iter::once(first).chain(others)
}

/// Whether clients see that there are stores at all (`enabled_backends` of Glance).
pub(super) fn are_shown(config: &Config) -> bool {
    !config.image_stores.0.is_empty()
}

pub(super) fn named<'a>(config: &'a Config, id: &str) -> Option<Store<'a>> {
    all(config).find(|store| store.id == id)
}

/// The id of the store in which this is.
pub(super) fn id_of<'a>(config: &'a Config, location: &'a Location) -> &'a str {
    location.store.as_deref().unwrap_or(&config.images.default_backend)
}

/// Where an image's bytes can be read, best first.
pub(super) fn places<'a>(config: &Config, image: &'a Image) -> Vec<&'a Location> {
    let weights = config.store_weights();
    let mut places: Vec<&Location> = image.places().collect();
    places.sort_by_key(|place| Reverse(weights.get(&place.store).copied()));
    places
}

/// The ways to import that are allowed, and mean something here.
pub(super) fn import_methods(config: &Config) -> impl Iterator<Item = &str> {
    let enabled = config.images.enabled_import_methods.iter().map(String::as_str);
    enabled.filter(|method| *method != "copy-image" || are_shown(config))
}
