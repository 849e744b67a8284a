//! The stores that the configuration names.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};

use crate::block::directory::{Directory, make_folder};
use crate::block::rbd::{self, RbdOptions};
use crate::block::{Backends, BlockStore, BlockingPool, Stores};
use crate::config::{self, Backend, Config, DatabaseKind, ImageStore, ImageStoreKind, StoreKind};

/// Makes the file of an embedded database, and the folder it lies in, so that a first start needs nothing.
pub(super) fn make_database(config: &Config) -> anyhow::Result<()> {
    if config.database.url.kind() != DatabaseKind::Sqlite {
        return Ok(());
    }
    let path = config.database.url.expose().trim_start_matches("sqlite:").trim_start_matches("//");
    let file = Path::new(path.split('?').next().unwrap_or_default());
    // The file's own entry is synced with that of its log.
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty() && !file.exists()) {
        make_folder(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    }
    // It holds what tokens are signed with: for nobody else to read. SQLite gives its other files the same mode.
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(file) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            Err(error).with_context(|| format!("{} cannot be made", file.display()))
        }
        _ => Ok(()),
    }
}

/// Makes the folders for embedded storage, likewise.
pub(super) fn make_folders(config: &Config) -> anyhow::Result<()> {
    let mut folders: Vec<PathBuf> = Vec::new();
    if config.images.store == StoreKind::Directory {
        folders.push(config.images.directory.clone());
    }
    for (_, backend) in config.all_backends().filter(|(_, backend)| backend.store == StoreKind::Directory) {
        folders.push(backend.directory);
    }
    let more = config.image_stores.0.values().filter(|store| store.store == ImageStoreKind::Directory);
    folders.extend(more.map(|store| store.directory.clone()));
    for folder in folders {
        fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    }
    Ok(())
}

/// Connecting to a cluster waits for the first call: the service starts while the cluster is down.
pub(super) async fn open(config: &Config) -> anyhow::Result<Stores> {
    let mut directories = HashMap::new();
    let images = match config.images.store {
        StoreKind::Directory => {
            directory(&mut directories, &config.images.directory, &config.images.rbd_store_pool, config)?
        }
        StoreKind::Rbd => rbd::open(images_options(config), threads(config)).map(as_store)?,
    };
    let mut more_images = BTreeMap::new();
    for (id, store) in &config.image_stores.0 {
        let opened = match store.store {
            ImageStoreKind::Directory => {
                directory(&mut directories, &store.directory, &store.rbd_store_pool, config)?
            }
            ImageStoreKind::Rbd => {
                rbd::open(more_images_options(config, store), threads(config)).map(as_store)?
            }
            ImageStoreKind::Http => continue,
        };
        more_images.insert(id.clone(), opened);
    }
    let mut open = |backend: &Backend| match backend.store {
        StoreKind::Directory => directory(&mut directories, &backend.directory, &backend.rbd_pool, config),
        StoreKind::Rbd => Ok(as_store(rbd::open(volumes_options(backend), threads(config))?)),
    };
    let mut volumes = Backends::one(config.volumes.backend_name(), open(&config.volumes.backend())?);
    for (name, backend) in &config.backends.0 {
        volumes = volumes.and(name, open(backend)?);
    }
    Ok(Stores { images, more_images, volumes })
}

/// Cinder's backups lie with its volumes.
pub(super) fn open_backups(config: &Config, pool: &str) -> anyhow::Result<Arc<dyn BlockStore>> {
    let backend = config.volumes.backend();
    if backend.store != StoreKind::Rbd {
        bail!("the store of [volumes] is no Ceph cluster, and has no pool of backups");
    }
    let options = RbdOptions { pool: pool.to_owned(), ..volumes_options(&backend) };
    Ok(as_store(rbd::open(options, threads(config))?))
}

fn as_store(store: rbd::RbdStore) -> Arc<dyn BlockStore> {
    Arc::new(store)
}

/// One directory is opened once: images and volumes in it are clones of each other.
fn directory(
    opened: &mut HashMap<PathBuf, Arc<Directory>>,
    path: &Path,
    pool: &str,
    config: &Config,
) -> anyhow::Result<Arc<dyn BlockStore>> {
    let root = match opened.get(path) {
        Some(root) => root.clone(),
        None => {
            let root = Directory::open(path, threads(config))?;
            opened.insert(path.to_owned(), root.clone());
            root
        }
    };
    Ok(root.pool(pool)?)
}

/// Each worker may hold a short call, and requests come on top. Every store has threads of its own: one whose cluster
/// hangs keeps no other waiting.
fn threads(config: &Config) -> BlockingPool {
    let workers = config.jobs.workers as usize;
    BlockingPool::new(workers + 16, 16, config.jobs.concurrent_flatten_operations as usize, 16)
}

/// `rados_connect_timeout`: 0 says nothing, as in Glance, while librados would wait for ever.
fn connect_timeout(seconds: i64) -> i64 {
    if seconds > 0 { seconds } else { -1 }
}

/// What the cluster of images has no options for is as that of `[volumes]` says.
fn images_options(config: &Config) -> RbdOptions {
    let images = &config.images;
    RbdOptions {
        conf: images.rbd_store_ceph_conf.clone(),
        user: images.rbd_store_user.clone(),
        pool: images.rbd_store_pool.clone(),
        connect_timeout: connect_timeout(images.rados_connect_timeout),
        operation_timeout: images.call_timeout().as_secs(),
        ..volumes_options(&config.volumes.backend())
    }
}

/// What such a store has no options for is as `[images]` says.
fn more_images_options(config: &Config, store: &ImageStore) -> RbdOptions {
    RbdOptions {
        conf: store.rbd_store_ceph_conf.clone(),
        user: store.rbd_store_user.clone(),
        pool: store.rbd_store_pool.clone(),
        connect_timeout: connect_timeout(store.rados_connect_timeout),
        operation_timeout: store.call_timeout().as_secs(),
        ..images_options(config)
    }
}

fn volumes_options(backend: &Backend) -> RbdOptions {
    RbdOptions {
        conf: backend.rbd_ceph_conf.clone(),
        cluster_name: backend.rbd_cluster_name.clone(),
        user: backend.rbd_user.clone(),
        connect_timeout: connect_timeout(backend.rados_connect_timeout),
        operation_timeout: backend.call_timeout().as_secs(),
        retries: backend.rados_connection_retries,
        retry_interval: backend.rados_connection_interval.0,
        clone_format: match backend.rbd_default_clone_format {
            config::CloneFormat::Auto => rbd::CloneFormat::Auto,
            config::CloneFormat::One => rbd::CloneFormat::V1,
            config::CloneFormat::Two => rbd::CloneFormat::V2,
        },
        ..RbdOptions::new(&backend.rbd_pool)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the configuration takes, the store takes.
    #[test]
    fn the_edges_of_the_options_open_a_store() {
        for (timeout, retries, pause) in [(-1, 1, 0), (0, 10, 3600), (1, 10, 3600)] {
            let mut config = Config::default();
            config.volumes.store = StoreKind::Rbd;
            config.volumes.rados_connect_timeout = timeout;
            config.volumes.rados_connection_retries = retries;
            config.volumes.rados_connection_interval = config::Seconds(pause);
            let config = config.checked().unwrap();
            assert!(rbd::open(volumes_options(&config.volumes.backend()), threads(&config)).is_ok());
        }
        for (retries, pause) in [(0, 5), (11, 5), (3, 3601)] {
            let mut config = Config::default();
            config.volumes.rados_connection_retries = retries;
            config.volumes.rados_connection_interval = config::Seconds(pause);
            assert!(config.checked().is_err(), "{retries} {pause}");
        }
    }
}
