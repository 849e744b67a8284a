//! What every implementation of the storage contract must do: one suite, run once per implementation.
//!
//! An implementation gives a fixture, `async fn fixture(case: &str) -> Stores`, and says
//! `contract_suite!(fixture);` in a module of its own: each case becomes one test there. Cases run side by
//! side and may share pools, so each names its images through [`Stores::name`] and looks at nothing else.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // these are tests, their helpers too

mod bytes;
mod clones;
mod directory;
mod images;
mod model;
mod outage;
mod rbd;
mod snapshots;
mod trash;

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use ::bytes::Bytes;
use pumice::block::{
    BlockImage, BlockStore, ErrorKind, Extent, OpenMode, Parent, Progress, Result, SnapshotPath, TrashEntry,
};
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};

/// The object size of most cases: small, so that a few objects are soon written.
pub const OBJECT: u64 = 64 << 10;

/// Two pools of one cluster, and what a case may know about it.
pub struct Stores {
    pub first: Arc<dyn BlockStore>,
    pub second: Arc<dyn BlockStore>,
    /// A snapshot must be protected to be cloned, and keeps its protection while clones hang on it.
    pub needs_protection: bool,
    /// The cluster counts its space (a Ceph cluster without a manager does not).
    pub has_statistics: bool,
    /// Starts all names of this case; no other case has the same.
    pub prefix: String,
    /// Lives as long as the stores do: a temporary folder, for instance.
    pub _keep: Box<dyn Any + Send + Sync>,
}

impl Stores {
    pub fn name(&self, name: &str) -> String {
        format!("{}.{name}", self.prefix)
    }

    /// A new image in the first pool, open for writing.
    pub async fn image(&self, name: &str, size: u64) -> Arc<dyn BlockImage> {
        let name = self.name(name);
        self.first.create(&name, size, OBJECT).await.unwrap();
        self.write(&name).await
    }

    pub async fn write(&self, name: &str) -> Arc<dyn BlockImage> {
        self.first.open(name, OpenMode::ReadWrite).await.unwrap()
    }

    pub async fn read(&self, name: &str) -> Arc<dyn BlockImage> {
        self.first.open(name, OpenMode::ReadOnly).await.unwrap()
    }

    pub async fn at(&self, name: &str, snapshot: &str) -> Arc<dyn BlockImage> {
        self.first.open(name, OpenMode::Snapshot(snapshot.into())).await.unwrap()
    }

    pub fn path(&self, image: &str, snapshot: &str) -> SnapshotPath {
        SnapshotPath { pool: self.first.pool().into(), image: image.into(), snapshot: snapshot.into() }
    }

    /// Snapshots an open image of the first pool, protects the snapshot, clones it in the first pool, and
    /// opens the clone.
    pub async fn clone_of(&self, parent: &dyn BlockImage, snapshot: &str, name: &str) -> Arc<dyn BlockImage> {
        parent.create_snapshot(snapshot).await.unwrap();
        parent.protect_snapshot(snapshot).await.unwrap();
        let name = self.name(name);
        self.first.clone_snapshot(&self.path(parent.name(), snapshot), &name, None).await.unwrap();
        self.write(&name).await
    }

    /// The names of this case in the pool, without the prefix.
    pub async fn names(&self, store: &dyn BlockStore) -> Vec<String> {
        let start = self.name("");
        let names = store.list().await.unwrap();
        names.iter().filter_map(|name| name.strip_prefix(&start).map(Into::into)).collect()
    }

    /// The entries of this case in the pool's trash.
    pub async fn trash(&self, store: &dyn BlockStore) -> Vec<TrashEntry> {
        let mut entries = store.trash_list().await.unwrap();
        entries.retain(|entry| entry.name.starts_with(&self.name("")));
        entries
    }

    /// Removes whatever the case left, clones before what they hang on. Takes as many rounds as there are
    /// clones of clones, and as handles just dropped need to close.
    pub async fn clean(&self) {
        for _ in 0..100 {
            let mut left = Vec::new();
            for store in [&self.first, &self.second] {
                for name in self.names(&**store).await {
                    left.extend(remove_with_snapshots(&**store, &self.name(&name)).await.err());
                }
                for entry in self.trash(&**store).await {
                    left.extend(store.trash_remove(&entry.id, &Progress::new()).await.err());
                }
            }
            if left.is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the case leaves what cannot be removed");
    }
}

async fn remove_with_snapshots(store: &dyn BlockStore, name: &str) -> Result<()> {
    let image = store.open(name, OpenMode::ReadWrite).await?;
    for snapshot in image.snapshots().await? {
        image.unprotect_snapshot(&snapshot.name).await?;
        image.remove_snapshot(&snapshot.name).await?;
    }
    image.close().await?;
    store.remove(name, &Progress::new()).await
}

/// Bytes that look like nothing, none of them zero; the same for the same seed.
pub fn noise(seed: u64, length: u64) -> Bytes {
    let mut bytes = vec![0; length as usize];
    StdRng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes.iter_mut().for_each(|byte| *byte |= 1);
    bytes.into()
}

/// Everything the image holds.
pub async fn all(image: &dyn BlockImage) -> Bytes {
    let size = image.size().await.unwrap();
    image.read(0, size).await.unwrap()
}

/// The image's bytes, and that `allocated` tells the truth about them.
pub async fn assert_holds(image: &dyn BlockImage, expected: &[u8]) {
    assert_eq!(image.size().await.unwrap(), expected.len() as u64, "size of {}", image.name());
    assert_same(&all(image).await, expected);
    let extents = image.allocated().await.unwrap();
    assert_in_order(&extents, expected.len() as u64);
    let mut hidden = expected.to_vec();
    for extent in &extents {
        hidden[extent.offset as usize..(extent.offset + extent.length) as usize].fill(0);
    }
    let missed = hidden.iter().position(|byte| *byte != 0);
    assert_eq!(missed, None, "data outside of what {} says is allocated: {extents:?}", image.name());
}

/// Names the first difference instead of printing all bytes.
pub fn assert_same(found: &[u8], expected: &[u8]) {
    assert_eq!(found.len(), expected.len(), "length");
    if let Some(at) = (0..found.len()).find(|at| found[*at] != expected[*at]) {
        panic!("byte {at} is {} and should be {}", found[at], expected[at]);
    }
}

pub fn assert_in_order(extents: &[Extent], size: u64) {
    let mut end = None;
    for extent in extents {
        assert!(extent.length > 0, "empty stretch in {extents:?}");
        assert!(end.is_none_or(|end| extent.offset > end), "not sorted and merged: {extents:?}");
        end = Some(extent.offset + extent.length);
    }
    assert!(end.is_none_or(|end| end <= size), "beyond the end: {extents:?}");
}

pub fn is_allocated(extents: &[Extent], offset: u64) -> bool {
    extents.iter().any(|extent| (extent.offset..extent.offset + extent.length).contains(&offset))
}

pub fn zeros(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

#[track_caller]
pub fn assert_refused<T: Debug>(result: Result<T>, kind: ErrorKind) {
    match result {
        Ok(value) => panic!("should be refused as {kind:?}, but answers {value:?}"),
        Err(error) => assert_eq!(error.kind, kind, "{error}"),
    }
}

/// [`assert_refused`] for what answers an image.
#[track_caller]
pub fn assert_not_opened(result: Result<Arc<dyn BlockImage>>, kind: ErrorKind) {
    assert_refused(result.map(|image| image.name().to_owned()), kind);
}

pub async fn parent_of(image: &dyn BlockImage) -> Parent {
    image.parent().await.unwrap().expect("a clone")
}

/// One test for each case of the contract, on the stores that `$fixture` makes.
macro_rules! contract_suite {
    ($fixture:ident) => {
        $crate::contract::contract_suite! { $fixture;
            images:
                create_makes_zeros
                who_writes_elsewhere_is_seen
                a_lock_goes_with_its_owner
                create_refuses_a_taken_name
                create_refuses_unusable_names
                create_refuses_unusable_object_sizes
                open_refuses_what_is_missing
                read_only_refuses_changes
                grow_and_shrink
                growing_makes_nothing_smaller
                shrink_cuts_bytes
                shrink_can_be_cancelled
                rename_keeps_everything
                rename_refuses_a_taken_name
                rename_while_open
                remove_frees_the_name
                remove_refuses_while_open_for_writing
                remove_refuses_snapshots
                remove_can_be_cancelled
                list_is_sorted
                metadata_is_kept
                statistics_are_sane
                pools_are_of_one_cluster
                huge_sparse_image;
            bytes:
                written_bytes_are_read
                parts_are_one_write
                unwritten_bytes_are_zero
                out_of_range_is_refused
                many_writes_in_flight
                many_writes_to_one_object
                write_zeroes_any_stretch
                discard_whole_objects
                discard_part_of_an_object
                flushed_bytes_are_seen_elsewhere
                allocated_tells_the_written_objects;
            snapshots:
                listed_in_order
                names_are_checked
                bytes_are_frozen
                opened_at_a_snapshot
                removal_keeps_the_others
                removal_after_discards_and_shrinks
                renamed
                rolled_back
                rolled_back_past_a_newer_snapshot
                protection;
            clones:
                clone_has_the_bytes
                clone_and_parent_are_apart
                clone_writes_part_of_an_object
                clone_discards_and_zeroes
                clone_into_another_pool
                clone_with_another_object_size
                clone_refuses_what_is_missing_or_taken
                clone_grows_with_zeros
                clone_shrinks_for_good
                chain_of_clones
                protection_before_cloning
                children_hold_the_snapshot
                children_and_parent_are_named
                names_follow_renames
                flatten_cuts_the_tie
                flatten_keeps_the_snapshots
                flatten_reports_progress
                flatten_can_be_cancelled
                flatten_cancelled_midway
                flatten_without_parent
                allocated_with_a_parent
                snapshots_of_a_clone
                writes_in_flight_on_a_clone;
            trash:
                moved_out_of_the_name_space
                moved_while_open
                open_for_writing_it_stays
                removed_with_its_snapshots
                clones_keep_reading
                trashed_clone_holds_its_parent
                missing_entries_are_refused;
            model:
                random_operations;
        }
    };
    ($fixture:ident; $($room:ident: $($case:ident)*;)*) => {
        $(mod $room {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    let stores: $crate::contract::Stores = super::$fixture(stringify!($case)).await;
                    $crate::contract::$room::$case(&stores).await;
                    stores.clean().await;
                }
            )*
        })*
    };
}
pub(crate) use contract_suite;
