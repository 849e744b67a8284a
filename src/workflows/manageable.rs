//! What lies on a pool of volumes, whoever put it there: looked at by requests, never changed.
//!
//! An image that cannot be looked at is left out, and keeps nobody from seeing the others.

use std::sync::Arc;

use futures::{Stream, StreamExt};

use crate::block::{BlockError, BlockStore, Missing, OpenMode, Result, SnapshotInfo};

/// Images that are opened at once, for one list.
const AT_ONCE: usize = 16;

#[derive(Clone, Debug)]
pub struct FoundImage {
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Somebody has it open for writing.
    pub is_in_use: bool,
}

/// Each of these images, in their order, as it is asked for.
pub fn images(store: Arc<dyn BlockStore>, names: Vec<String>) -> impl Stream<Item = FoundImage> + use<> {
    looks(store, names, |store, name| async move { image(&store, &name).await })
}

/// The snapshots of each of these images, in their order, as they are asked for.
pub fn snapshots(
    store: Arc<dyn BlockStore>,
    names: Vec<String>,
) -> impl Stream<Item = (String, Vec<SnapshotInfo>)> + use<> {
    looks(store, names, |store, name| async move {
        Ok(snapshots_of(&store, &name).await?.map(|snapshots| (name, snapshots)))
    })
}

/// `None`: there is no such image.
pub async fn image(store: &Arc<dyn BlockStore>, name: &str) -> Result<Option<FoundImage>> {
    let Some(image) = store.open(name, OpenMode::ReadOnly).await.or_missing()? else { return Ok(None) };
    let looked = async { Ok::<_, BlockError>((image.size().await?, image.is_open_elsewhere().await?)) }.await;
    image.close().await?;
    let (size, is_in_use) = looked?;
    Ok(Some(FoundImage { name: name.to_owned(), size, is_in_use }))
}

/// `None`: there is no such image.
pub async fn snapshots_of(store: &Arc<dyn BlockStore>, name: &str) -> Result<Option<Vec<SnapshotInfo>>> {
    let Some(image) = store.open(name, OpenMode::ReadOnly).await.or_missing()? else { return Ok(None) };
    let snapshots = image.snapshots().await;
    image.close().await?;
    snapshots.map(Some)
}

fn looks<T, F>(
    store: Arc<dyn BlockStore>,
    names: Vec<String>,
    look: impl Fn(Arc<dyn BlockStore>, String) -> F,
) -> impl Stream<Item = T>
where
    F: Future<Output = Result<Option<T>>>,
{
    futures::stream::iter(names).map(move |name| look(store.clone(), name)).buffered(AT_ONCE).filter_map(
        |looked| async {
            looked.unwrap_or_else(|error| {
                tracing::debug!(%error, "an image on the pool could not be looked at");
                None
            })
        },
    )
}
