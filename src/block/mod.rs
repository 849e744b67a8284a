//! Where bytes live: the storage contract and its two implementations.
//!
//! A [`BlockStore`] is one pool of one cluster. It holds *images* (in librbd's sense: named, growable,
//! snapshottable arrays of bytes, stored as objects of equal size). [`rbd`] keeps them on a Ceph cluster,
//! [`directory`] in files of one machine. Both pass the very same suite (`tests/suite/contract`).
//!
//! Every method is asynchronous and bounded in time; implementations hand blocking work to [`pool`].
//! Dropping a future never leaves half of a step behind that the step, run again, could not finish.

mod backends;
pub mod directory;
mod error;
mod pool;
mod progress;
pub mod rbd;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

pub use backends::{Backend, Backends};
pub use error::{BlockError, ErrorKind, Missing, Result};
pub use pool::{BlockingPool, Class};
pub use progress::Progress;

use crate::model::ClusterClient;

/// A stretch of an image, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Extent {
    pub offset: u64,
    pub length: u64,
}

impl Extent {
    /// Sorted, joined where they touch or overlap, cut at `size`.
    pub fn merged(mut extents: Vec<Self>, size: u64) -> Vec<Self> {
        extents.sort_unstable();
        let mut whole: Vec<Self> = Vec::with_capacity(extents.len());
        for Self { offset, length } in extents {
            let end = offset.saturating_add(length).min(size);
            if offset >= end {
                continue;
            }
            match whole.last_mut() {
                Some(last) if offset <= last.offset + last.length => {
                    last.length = last.length.max(end - last.offset);
                }
                _ => whole.push(Self { offset, length: end - offset }),
            }
        }
        whole
    }
}

/// How an image is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenMode {
    ReadWrite,
    ReadOnly,
    /// Read only, as it was when this snapshot was taken.
    Snapshot(String),
}

/// A snapshot, named from anywhere in the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SnapshotPath {
    pub pool: String,
    pub image: String,
    pub snapshot: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotInfo {
    pub name: String,
    /// Size of the image when the snapshot was taken, in bytes.
    pub size: u64,
    pub protected: bool,
}

/// A clone made from a snapshot of this image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Child {
    pub pool: String,
    pub image: String,
    /// The snapshot it was cloned from.
    pub snapshot: String,
    /// The child itself lies in the trash.
    pub in_trash: bool,
}

/// What a clone hangs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent {
    pub path: SnapshotPath,
    /// The first bytes of the clone that may still be read from the parent.
    pub overlap: u64,
    /// The parent image lies in the trash.
    pub in_trash: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrashEntry {
    /// What [`BlockStore::trash_remove`] takes.
    pub id: String,
    /// The name the image had.
    pub name: String,
}

/// A name that a pool keeps beside its directory, and that leads to no image of that name. A rename leaves one that broke
/// off, or a removal: no other image can be given the name then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StrayName {
    pub name: String,
    pub leads: Leads,
    /// Seconds since 1970.
    pub written_at: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leads {
    /// To an image that has this name.
    To(String),
    Nowhere,
    /// To an image that is listed nowhere, or the directory knows another one by the name.
    Astray,
}

/// What is left of an image that no name leads to, neither of the pool nor of its trash: nobody can open or remove it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nameless {
    /// One of its objects; one with data, where there is any.
    pub object: String,
    /// Seconds since 1970.
    pub written_at: i64,
}

/// What a walk over all objects of a pool finds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strays {
    pub names: Vec<StrayName>,
    pub nameless: Vec<Nameless>,
}

/// A lock on an image. Nobody but a lock's owner takes it back, so one stays when its owner dies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    /// The client, as it stands in [`BlockImage::writers`].
    pub owner: String,
    pub address: String,
    /// Tells locks of one client apart.
    pub cookie: String,
    pub kind: LockKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockKind {
    /// Whoever writes has it, and hands it over when another one wants to write. Of a dead owner the next one takes it.
    Exclusive,
    /// Somebody's own agreement, by `rbd lock add` for one. Nobody takes it over: it is in the way until it is broken.
    Advisory,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStatistics {
    pub used_bytes: u64,
    pub available_bytes: u64,
    pub total_bytes: u64,
}

/// One of those who know where everything in a cluster is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Monitor {
    /// A name or an address, without brackets.
    pub host: String,
    pub port: u16,
}

/// One pool of images.
///
/// Names: 1 to 200 characters out of `A-Z a-z 0-9 . _ -`, not starting with a dot; anything else is
/// [`ErrorKind::Invalid`]. Sizes are bytes; an object size is a power of two from 4 KiB to 32 MiB.
#[async_trait]
pub trait BlockStore: Send + Sync + 'static {
    /// The name of the pool, as it stands in a [`SnapshotPath`].
    fn pool(&self) -> &str;

    /// The identifier of the cluster: two stores with the same one can clone from each other.
    async fn fsid(&self) -> Result<String>;

    /// Whether it answers now. What is remembered of it, as the identifier may be, does not say so.
    async fn ping(&self) -> Result<()>;

    /// Makes an empty image, all zeros. [`ErrorKind::Exists`] when the name is taken.
    async fn create(&self, name: &str, size: u64, object_size: u64) -> Result<()>;

    /// Opens an image. [`ErrorKind::NotFound`] for a missing image or snapshot.
    async fn open(&self, name: &str, mode: OpenMode) -> Result<Arc<dyn BlockImage>>;

    /// Makes a copy-on-write clone of a snapshot, in time that does not grow with its size. The snapshot
    /// must be protected ([`ErrorKind::Invalid`] otherwise, unless the cluster clones without). The clone
    /// has the snapshot's size, which must not be 0. `object_size` of `None` takes the parent's.
    async fn clone_snapshot(&self, parent: &SnapshotPath, name: &str, object_size: Option<u64>)
    -> Result<()>;

    /// Renames an image; snapshots and clones follow. [`ErrorKind::Exists`] when `to` is taken. One that broke off, for
    /// its process died, leaves the image with one of the two names, and is brought to its end when it is repeated.
    async fn rename(&self, from: &str, to: &str) -> Result<()>;

    /// Removes an image and its bytes. [`ErrorKind::HasSnapshots`] while it has any,
    /// [`ErrorKind::Busy`] while it is open for writing elsewhere. A cancelled removal can be run again.
    async fn remove(&self, name: &str, progress: &Progress) -> Result<()>;

    /// The names in the pool, sorted, without the trash.
    async fn list(&self) -> Result<Vec<String>>;

    /// Moves an image out of the name space at once, its snapshots with it; clones keep working.
    /// Works while the image is open. Answers the entry's id.
    async fn trash_move(&self, name: &str) -> Result<String>;

    /// Likewise, for somebody to decide about: where the trash is purged of what has been there for its time
    /// (`rbd trash purge`), it stays.
    async fn trash_keep(&self, name: &str) -> Result<String> {
        self.trash_move(name).await
    }

    /// Also images whose removal broke off, for its process died: they have no name any more.
    async fn trash_list(&self) -> Result<Vec<TrashEntry>>;

    /// Whether clones still read from an entry. [`ErrorKind::NotFound`] for one that is not there.
    async fn trash_has_clones(&self, id: &str) -> Result<bool>;

    /// Removes the bytes of an entry, and the snapshots that nothing hangs on any more. [`ErrorKind::HasChildren`]
    /// or [`ErrorKind::HasSnapshots`] while clones need it, [`ErrorKind::Busy`] while it is open for writing: nothing is
    /// changed then. Answers what it hung on: without a name it cannot be opened to see that.
    async fn trash_remove(&self, id: &str, progress: &Progress) -> Result<Option<SnapshotPath>>;

    /// Walks over all objects of the pool. None, where an image's name is kept in one place only.
    async fn strays(&self) -> Result<Strays> {
        Ok(Strays::default())
    }

    /// Removes the name, if it still is as it was found, and nothing that it leads to. Answers whether it was. One that
    /// leads [astray](Leads::Astray) stays.
    async fn remove_stray_name(&self, _: &StrayName) -> Result<bool> {
        Ok(false)
    }

    /// Shuts a client out of the cluster, if it is one of this cluster: nothing comes any more of what it has under way.
    /// Answers whether it is.
    async fn shut_out(&self, _: &ClusterClient) -> Result<bool> {
        Ok(false)
    }

    async fn statistics(&self) -> Result<PoolStatistics>;

    /// Where a hypervisor finds the cluster, to open images of this pool by itself. Nowhere, when nobody but this
    /// process can open them.
    async fn monitors(&self) -> Result<Vec<Monitor>>;

    /// Whether images of the pool can be mirrored to another cluster, one by one.
    async fn mirrors_images(&self) -> Result<bool> {
        Ok(false)
    }
}

/// The places for bytes. They may be pools of one cluster; then volumes are cloned from images.
#[derive(Clone)]
pub struct Stores {
    /// The first place for images, and where those are staged that are imported.
    pub images: Arc<dyn BlockStore>,
    /// The others, by id.
    pub more_images: BTreeMap<String, Arc<dyn BlockStore>>,
    pub volumes: Backends,
}

impl Stores {
    /// The place for images with this id; `None` is the first one's.
    pub fn images_in(&self, id: Option<&str>) -> Option<&Arc<dyn BlockStore>> {
        match id {
            None => Some(&self.images),
            Some(id) => self.more_images.get(id),
        }
    }

    /// All places for images, by id.
    pub fn all_images(&self) -> impl Iterator<Item = (Option<&str>, &Arc<dyn BlockStore>)> {
        let others = self.more_images.iter().map(|(id, store)| (Some(id.as_str()), store));
        std::iter::once((None, &self.images)).chain(others)
    }
}

/// One open image. All offsets and lengths are bytes; out of range is [`ErrorKind::Invalid`].
#[async_trait]
pub trait BlockImage: Send + Sync + 'static {
    /// The name it was opened by.
    fn name(&self) -> &str;

    /// The size now (or of the snapshot it was opened at).
    async fn size(&self) -> Result<u64>;

    fn object_size(&self) -> u64;

    /// Reads exactly `length` bytes; what was never written is zero.
    async fn read(&self, offset: u64, length: u64) -> Result<Bytes>;

    /// Writes all of `data`. Many writes may be in flight; they are durable after [`Self::flush`].
    async fn write(&self, offset: u64, data: Bytes) -> Result<()>;

    /// The same with bytes that lie in several places, one after the other.
    async fn write_vectored(&self, offset: u64, mut parts: Vec<Bytes>) -> Result<()> {
        let whole = if parts.len() == 1 { parts.swap_remove(0) } else { parts.concat().into() };
        self.write(offset, whole).await
    }

    /// The stretch reads as zeros afterwards, whatever lies below it.
    async fn write_zeroes(&self, offset: u64, length: u64) -> Result<()>;

    /// Gives the stretch's space back; whole objects read as zeros afterwards, also over a parent.
    async fn discard(&self, offset: u64, length: u64) -> Result<()>;

    async fn flush(&self) -> Result<()>;

    /// The stretches that may hold something else than zeros (parents included), sorted, merged,
    /// inside the image.
    async fn allocated(&self) -> Result<Vec<Extent>>;

    /// Makes it this large, at once, unless it is so already. Never smaller, whoever changes it at this moment.
    async fn grow(&self, size: u64) -> Result<()>;

    /// Grows (at once) or shrinks (time by size; cancellable and repeatable).
    async fn resize(&self, size: u64, progress: &Progress) -> Result<()>;

    /// In the order they were taken.
    async fn snapshots(&self) -> Result<Vec<SnapshotInfo>>;
    async fn create_snapshot(&self, snapshot: &str) -> Result<()>;
    /// Protecting a protected one succeeds.
    async fn protect_snapshot(&self, snapshot: &str) -> Result<()>;
    /// Unprotecting an unprotected one succeeds. [`ErrorKind::HasChildren`] while clones hang on it
    /// (where the cluster's clone format asks for protection at all).
    async fn unprotect_snapshot(&self, snapshot: &str) -> Result<()>;
    /// [`ErrorKind::Busy`] while protected. With clone format 2 a snapshot with clones leaves the name space
    /// and its bytes stay until the last clone is gone.
    async fn remove_snapshot(&self, snapshot: &str) -> Result<()>;
    async fn rename_snapshot(&self, from: &str, to: &str) -> Result<()>;
    /// Gives the image the bytes and size of the snapshot.
    async fn roll_back(&self, snapshot: &str, progress: &Progress) -> Result<()>;

    /// All clones of all snapshots (those in the trash name space too), sorted. [`ErrorKind::HasChildren`] when
    /// there are some in a pool whose images may not be named.
    async fn children(&self) -> Result<Vec<Child>>;
    async fn parent(&self) -> Result<Option<Parent>>;
    /// Copies what is still read from the parent and cuts the tie. Cancellable ([`ErrorKind::Cancelled`])
    /// and repeatable. Without a parent it succeeds and does nothing.
    ///
    /// Clones of *this* image that are open meanwhile may go on reading through what it hung on until they are
    /// opened anew (librbd does not refresh parents): that must stay as long.
    async fn flatten(&self, progress: &Progress) -> Result<()>;

    /// Who has it open for writing, as often as they do, this handle aside: by what the cluster calls its clients.
    async fn writers(&self) -> Result<Vec<String>>;

    /// Whether somebody has it open for writing, this handle aside.
    async fn is_open_elsewhere(&self) -> Result<bool> {
        Ok(!self.writers().await?.is_empty())
    }

    /// The locks on it, as they were when it was opened. None, where an image is one process's alone.
    async fn locks(&self) -> Result<Vec<Lock>> {
        Ok(Vec::new())
    }

    /// Takes a lock away from an owner who does not have the image open any more, as the next one who writes would: the
    /// client is shut out of the cluster first, so that nothing comes of it later. Answers whether the lock was there
    /// still. [`ErrorKind::Busy`] when its owner has the image open.
    async fn break_lock(&self, _: &Lock) -> Result<bool> {
        Ok(false)
    }

    /// Text kept with the image.
    async fn metadata(&self) -> Result<BTreeMap<String, String>>;
    async fn set_metadata(&self, key: &str, value: &str) -> Result<()>;
    /// Removing an absent key succeeds.
    async fn remove_metadata(&self, key: &str) -> Result<()>;

    /// Whether another cluster gets all that is written to it.
    async fn is_mirrored(&self) -> Result<bool> {
        Ok(false)
    }

    /// From now on it is mirrored; one that is already stays so. [`ErrorKind::Invalid`] where the pool mirrors no images,
    /// and for a clone whose parent is not mirrored in the same pool.
    async fn mirror(&self) -> Result<()> {
        Err(BlockError::new(ErrorKind::Invalid, "mirror", self.name(), "the store mirrors no images"))
    }

    /// It is mirrored no more, and has no other features than it had before: a clone comes with those of its parent.
    /// [`ErrorKind::HasChildren`] while clones of it are mirrored.
    async fn stop_mirroring(&self) -> Result<()> {
        Ok(())
    }

    /// Closes it and says what went wrong (dropping the last handle closes it too, and only logs).
    async fn close(&self) -> Result<()>;
}

/// Refuses what neither implementation could keep under this name. See [`BlockStore`].
pub fn check_name(operation: &'static str, name: &str) -> Result<()> {
    let fits = (1..=200).contains(&name.len())
        && !name.starts_with('.')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    if fits { Ok(()) } else { Err(BlockError::new(ErrorKind::Invalid, operation, name, "not a usable name")) }
}

/// Refuses an object size that is not a power of two from 4 KiB to 32 MiB.
pub fn check_object_size(operation: &'static str, name: &str, object_size: u64) -> Result<()> {
    if object_size.is_power_of_two() && (4 << 10..=32 << 20).contains(&object_size) {
        Ok(())
    } else {
        let detail = format!("{object_size} bytes is not a usable object size");
        Err(BlockError::new(ErrorKind::Invalid, operation, name, detail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extents_are_sorted_joined_and_cut() {
        let extent = |offset, length| Extent { offset, length };
        let found =
            vec![extent(8, 4), extent(0, 4), extent(4, 2), extent(5, 2), extent(20, 9), extent(40, 1)];
        assert_eq!(Extent::merged(found, 25), [extent(0, 7), extent(8, 4), extent(20, 5)]);
        assert_eq!(Extent::merged(vec![extent(0, u64::MAX), extent(3, 4)], 10), [extent(0, 10)]);
    }
}
