//! What lies at an address that is to be an image's location.

use crate::block::{BlockStore, ErrorKind, OpenMode};
use crate::config::ImageStoreKind;
use crate::http::App;
use crate::image_api::fault::Result;
use crate::image_api::stores;
use crate::model::ImageId;
use crate::workflows::names;

/// What was found at an address.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// As rows name it.
    pub store: Option<String>,
    pub size: i64,
}

/// In a pool of ours; `None`: nothing that the image may have. Only under the image's own name: under others lies what
/// belongs to somebody.
pub(super) async fn find_in_store(app: &App, image: &ImageId, url: &str) -> Result<Option<Found>> {
    let Some(named) = names::parse_location(url).filter(|named| named.image == image.as_str()) else {
        return Ok(None);
    };
    for store in stores::all(&app.config).filter(|store| store.kind != ImageStoreKind::Http) {
        let Some(kept) = app.stores.images_in(store.row).filter(|kept| kept.pool() == named.pool) else {
            continue;
        };
        if kept.fsid().await? == named.fsid && named.snapshot == names::IMAGE_SNAPSHOT {
            let size = size_in_store(&**kept, &named).await?;
            return Ok(size.map(|size| Found { store: store.to_row(), size }));
        }
    }
    Ok(None)
}

async fn size_in_store(store: &dyn BlockStore, named: &names::Location<'_>) -> Result<Option<i64>> {
    let image = match store.open(named.image, OpenMode::Snapshot(named.snapshot.to_owned())).await {
        Err(error) if error.kind == ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let size = image.size().await;
    image.close().await?;
    Ok(i64::try_from(size?).ok().filter(|size| *size > 0))
}
