//! What lies on a pool.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use futures::StreamExt;

use super::{Looked, Place};
use crate::block::{BlockImage, BlockStore, Child, Lock, Missing, OpenMode, Stores, Strays, TrashEntry};
use crate::workflows::children;
use crate::workflows::names::{self, Named};

/// One pool: all names, and what is known of those that are ours.
pub(super) struct Pool {
    pub(super) names: HashSet<String>,
    pub(super) trash: Vec<TrashEntry>,
    /// Empty where nobody looked for them.
    pub(super) strays: Strays,
    pub(super) images: BTreeMap<String, Seen>,
}

pub(super) struct Seen {
    pub(super) size: u64,
    pub(super) snapshots: Vec<String>,
    /// Looked for where something may have been kept for them; `None`: there are some that may not be named.
    pub(super) children: Option<Vec<Child>>,
    /// The clients that have it open for writing.
    pub(super) writers: Vec<String>,
    pub(super) locks: Vec<Lock>,
}

impl Pool {
    pub(super) fn has_in_trash(&self, name: &str) -> bool {
        self.trash.iter().any(|entry| names::is_in_trash_as(&entry.name, name))
    }
}

impl Seen {
    pub(super) fn is_open(&self) -> bool {
        !self.writers.is_empty()
    }

    /// The locks whose owners do not have it open any more.
    pub(super) fn stale_locks(&self) -> impl Iterator<Item = &Lock> {
        self.locks.iter().filter(|lock| !self.writers.contains(&lock.owner))
    }

    pub(super) fn has_children(&self) -> bool {
        self.children.as_ref().is_none_or(|children| !children.is_empty())
    }

    pub(super) fn hangs_on(&self, snapshot: &str) -> bool {
        self.children.as_ref().is_none_or(|children| children.iter().any(|child| child.snapshot == snapshot))
    }
}

/// How to look.
#[derive(Clone, Copy)]
pub(super) struct Glance<'a> {
    /// Images of other names are listed and not opened.
    pub(super) only: Option<&'a HashSet<String>>,
    /// Images that are open at once.
    pub(super) at_once: usize,
    /// Also for strays, past all objects of the pools.
    pub(super) at_objects: bool,
}

/// At all pools.
pub(super) async fn look(stores: &Stores, how: Glance<'_>, unseen: &mut Vec<String>) -> Vec<(Place, Pool)> {
    let mut seen = Vec::new();
    for place in Place::all(stores, unseen).await {
        match pool(&place, how, unseen).await {
            Ok(pool) => seen.push((place, pool)),
            Err(error) => unseen.push(format!("{}: {error}", place.label)),
        }
    }
    seen
}

/// All who have an image open for writing, as far as images were opened.
pub(super) fn clients(seen: &[(Place, Pool)]) -> impl Iterator<Item = (String, String)> {
    let images = seen.iter().flat_map(|(place, pool)| pool.images.values().map(move |image| (place, image)));
    images.flat_map(|(place, image)| {
        image.writers.iter().map(move |writer| (place.fsid.clone(), writer.clone()))
    })
}

async fn pool(place: &Place, how: Glance<'_>, unseen: &mut Vec<String>) -> Looked<Pool> {
    let names = place.store.list().await?;
    let trash = place.store.trash_list().await?;
    let strays = if how.at_objects { place.store.strays().await? } else { Strays::default() };
    let is_wanted =
        |name: &&String| Named::parse(name).is_some() && how.only.is_none_or(|only| only.contains(*name));
    let wanted: Vec<String> = names.iter().filter(is_wanted).cloned().collect();
    let look_at = |name: String| {
        let store = place.store.clone();
        async move {
            let looked = image(&store, &name).await;
            (name, looked)
        }
    };
    let mut looks = futures::stream::iter(wanted).map(look_at).buffered(how.at_once);
    let mut images = BTreeMap::new();
    while let Some((name, looked)) = looks.next().await {
        match looked {
            Ok(Some(seen)) => drop(images.insert(name, seen)),
            // It went meanwhile.
            Ok(None) => {}
            Err(error) => unseen.push(format!("{}/{name}: {error}", place.label)),
        }
    }
    Ok(Pool { names: names.into_iter().collect(), trash, strays, images })
}

async fn image(store: &Arc<dyn BlockStore>, name: &str) -> Looked<Option<Seen>> {
    let Some(image) = store.open(name, OpenMode::ReadOnly).await.or_missing()? else { return Ok(None) };
    let seen = look_at(&*image, name).await;
    image.close().await?;
    seen.or_missing()
}

async fn look_at(image: &dyn BlockImage, name: &str) -> Looked<Seen> {
    let size = image.size().await?;
    let snapshots: Vec<String> = image.snapshots().await?.into_iter().map(|snapshot| snapshot.name).collect();
    // Looking for clones takes longest, and matters only where something was kept for them.
    let is_kept = names::is_deleted(name)
        || snapshots.iter().any(|name| names::is_clone_snapshot(name))
        || is_bare_image(name, &snapshots);
    let children = if is_kept { children(image).await? } else { Some(Vec::new()) };
    // The locks first: who takes one has it open by then.
    let locks = image.locks().await?;
    Ok(Seen { size, snapshots, children, locks, writers: image.writers().await? })
}

/// An image that volumes are not cloned from yet, or not any more.
pub(super) fn is_bare_image(name: &str, snapshots: &[String]) -> bool {
    matches!(Named::parse(name), Some(Named::Image(_)))
        && snapshots.iter().all(|snapshot| snapshot != names::IMAGE_SNAPSHOT)
}
