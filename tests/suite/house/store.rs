//! Stores for tests: a folder of the test's own, or two pools of the real cluster, which all tests share.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use pumice::block::directory::Directory;
use pumice::block::rbd::{self, CloneFormat, RbdOptions};
use pumice::block::{Backends, BlockStore, BlockingPool, Stores};
use tempfile::TempDir;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    Directory,
    /// Images in one, volumes in another: nothing of one is a clone of the other's.
    Apart,
    /// Clones of protected snapshots.
    RbdV1,
    /// Clones of any snapshot.
    RbdV2,
}

/// Lives as long as the stores are used.
pub type Keep = Option<TempDir>;

/// The real cluster's configuration file.
pub fn ceph_conf() -> PathBuf {
    let path = std::env::var_os("PUMICE_TEST_CEPH_CONF")
        .expect("PUMICE_TEST_CEPH_CONF names no Ceph cluster: run the tests with `make test`");
    path.into()
}

impl StoreKind {
    pub async fn make(self) -> (Stores, Keep) {
        match self {
            StoreKind::Directory => {
                let folder = tempfile::tempdir().unwrap();
                let root = Directory::open(folder.path(), BlockingPool::default()).unwrap();
                let pool = |name: &str| -> Arc<dyn BlockStore> { root.pool(name).unwrap() };
                (two_backends(pool), Some(folder))
            }
            StoreKind::Apart => {
                let folder = tempfile::tempdir().unwrap();
                let pool = |name: &str| {
                    let root = Directory::open(folder.path().join(name), BlockingPool::default()).unwrap();
                    root.pool(name).unwrap()
                };
                (with_second(pool("images"), Backends::one("directory", pool("volumes"))), Some(folder))
            }
            StoreKind::RbdV1 => (on_ceph(CloneFormat::V1), None),
            StoreKind::RbdV2 => (on_ceph(CloneFormat::V2), None),
        }
    }
}

/// With a second place for images, beside volumes: their names differ.
fn with_second(images: Arc<dyn BlockStore>, volumes: Backends) -> Stores {
    let second = volumes.first().store.clone();
    Stores { images, more_images: BTreeMap::from([("second".to_owned(), second)]), volumes }
}

fn on_ceph(clone_format: CloneFormat) -> Stores {
    two_backends(|name| ceph_pool(name, clone_format))
}

pub fn ceph_pool(name: &str, clone_format: CloneFormat) -> Arc<dyn BlockStore> {
    let options = RbdOptions { conf: Some(ceph_conf()), clone_format, ..RbdOptions::new(name) };
    Arc::new(rbd::open(options, BlockingPool::default()).unwrap())
}

/// The first backend has the name that the default configuration gives it; volumes go to the second when a test says so.
fn two_backends(pool: impl Fn(&str) -> Arc<dyn BlockStore>) -> Stores {
    let volumes = Backends::one("directory", pool("volumes")).and("second", pool("backups"));
    with_second(pool("images"), volumes)
}

/// The first backend on the cluster, the second in a folder.
pub fn ceph_and_directory() -> (Stores, Keep) {
    let folder = tempfile::tempdir().unwrap();
    let root = Directory::open(folder.path(), BlockingPool::default()).unwrap();
    let volumes = Backends::one("directory", ceph_pool("volumes", CloneFormat::V2))
        .and("second", root.pool("volumes").unwrap());
    (with_second(ceph_pool("images", CloneFormat::V2), volumes), Some(folder))
}
