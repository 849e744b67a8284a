//! Stores for tests: a folder of the test's own, or two pools of the real cluster, which all tests share.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use pumice::block::directory::Directory;
use pumice::block::rbd::{self, CloneFormat, RbdOptions};
use pumice::block::{BlockStore, BlockingPool, Stores};
use tempfile::TempDir;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    Directory,
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
                let volumes: Arc<dyn BlockStore> = root.pool("volumes").unwrap();
                let stores =
                    Stores { images: root.pool("images").unwrap(), more_images: second(&volumes), volumes };
                (stores, Some(folder))
            }
            StoreKind::RbdV1 => (on_ceph(CloneFormat::V1), None),
            StoreKind::RbdV2 => (on_ceph(CloneFormat::V2), None),
        }
    }
}

/// Images may be beside volumes: their names differ.
fn second(volumes: &Arc<dyn BlockStore>) -> BTreeMap<String, Arc<dyn BlockStore>> {
    BTreeMap::from([("second".to_owned(), volumes.clone())])
}

fn on_ceph(clone_format: CloneFormat) -> Stores {
    let pool = |name: &str| -> Arc<dyn BlockStore> {
        let options = RbdOptions { conf: Some(ceph_conf()), clone_format, ..RbdOptions::new(name) };
        Arc::new(rbd::open(options, BlockingPool::default()).unwrap())
    };
    let volumes = pool("volumes");
    Stores { images: pool("images"), more_images: second(&volumes), volumes }
}
