//! A pool as a [`BlockStore`].
//!
//! Functions: `rbd_create4`, `rbd_clone3`, `rbd_remove_with_progress`, `rbd_rename`, `rbd_trash_move`,
//! `rbd_trash_remove_with_progress`, `rbd_get_id`, `rbd_snap_unprotect`, `rbd_snap_remove`,
//! `rbd_snap_remove_by_id`, `rbd_image_options_*`.

#![allow(unsafe_code)]

use std::collections::HashSet;
use std::ffi::{CStr, c_int, c_void};
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use nix::errno::Errno;
use serde::Deserialize;

use super::cluster::{Link, Pool};
use super::errno::{Failure, c_own, c_text, check};
use super::handle::{By, Handle};
use super::image::RbdImage;
use super::late::Late;
use super::list::{self, Namespace};
use super::{CloneFormat, RbdOptions, flags, mirror, monitors, names, strays, sys, trash};
use crate::block::{
    BlockError, BlockImage, BlockStore, BlockingPool, Class, ErrorKind, Monitor, OpenMode, PoolStatistics,
    Progress, Result, SnapshotPath, StrayName, Strays, TrashEntry, check_name, check_object_size,
};
use crate::model::ClusterClient;

/// In the trash, until somebody has decided. The cluster counts the seconds since 1970 in 32 bits.
const KEPT: Duration = Duration::from_secs(3_650 * 86_400);

/// One pool of a Ceph cluster. Cheap to clone.
#[derive(Clone)]
pub struct RbdStore {
    pub(super) options: Arc<RbdOptions>,
    pub(super) link: Arc<Link>,
    pub(super) threads: BlockingPool,
    pub(super) late: Late,
}

impl RbdStore {
    pub(super) fn new(options: RbdOptions, threads: BlockingPool) -> Self {
        Self { link: Link::of(&options), options: Arc::new(options), threads, late: Late::default() }
    }

    /// The number by which the cluster knows the connection in use; stores that share it answer the same.
    pub async fn instance(&self) -> Result<u64> {
        let link = self.link.clone();
        self.bounded(
            self.pool(),
            self.threads.run(Class::Control, "connect", self.pool(), move || Ok(link.cluster()?.instance())),
        )
        .await
    }

    /// Why the cluster says nothing of the pool: it was only just made, or it is gone.
    async fn unmeasured(&self) -> BlockError {
        const OPERATION: &str = "measure pool";
        let ask =
            |pool: &Arc<Pool>| pool.cluster().monitor_command(r#"{"prefix":"osd pool ls","format":"json"}"#);
        let pools = match self.in_pool(Class::Control, OPERATION, self.pool(), ask).await {
            Ok(answer) => serde_json::from_slice::<Vec<String>>(&answer).unwrap_or_default(),
            Err(error) => return error,
        };
        let is_there = pools.iter().any(|pool| pool == self.pool());
        let (kind, why) = match is_there {
            true => (ErrorKind::Busy, "it is not counted yet"),
            false => (ErrorKind::NotFound, "there is no such pool"),
        };
        BlockError::new(kind, OPERATION, self.pool(), why)
    }

    async fn open_now(&self, name: &str, mode: &OpenMode) -> Result<Arc<dyn BlockImage>> {
        const OPERATION: &str = "open";
        check_name(OPERATION, name)?;
        let key = c_text(OPERATION, name, name)?;
        let snapshot = match mode {
            OpenMode::Snapshot(snapshot) => {
                check_name(OPERATION, snapshot)?;
                Some(c_text(OPERATION, name, snapshot)?)
            }
            OpenMode::ReadWrite | OpenMode::ReadOnly => None,
        };
        let writable = *mode == OpenMode::ReadWrite;
        let (handle, object_size) = {
            let subject = name.to_owned();
            self.in_pool(Class::Control, OPERATION, name, move |pool| {
                let handle = Handle::open(pool, &subject, By::Name(&key), writable, snapshot.as_deref())?;
                let object_size = handle.object_size()?;
                Ok((handle, object_size))
            })
            .await?
        };
        let patience = self.options.patience();
        Ok(Arc::new(RbdImage::new(self.clone(), patience, name, handle, object_size, writable)))
    }

    /// `deferment`: how long the trash's own purge leaves it alone.
    async fn to_trash(&self, name: &str, deferment: Duration) -> Result<String> {
        const OPERATION: &str = "move to the trash";
        check_name(OPERATION, name)?;
        let key = c_text(OPERATION, name, name)?;
        let subject = name.to_owned();
        self.on_image(OPERATION, name, move |pool| {
            let handle = Handle::open(pool, &subject, By::Name(&key), false, None)?;
            let id = handle.id();
            handle.close()?;
            // SAFETY: the pool is alive and the text ends in NUL.
            let moved = unsafe { sys::rbd_trash_move(pool.io(), key.as_ptr(), deferment.as_secs()) };
            match check("rbd_trash_move", moved) {
                Err(failure) => Err(unless_there(pool, &subject, &key, failure)?),
                Ok(_) => id,
            }
        })
        .await
    }
}

#[async_trait]
impl BlockStore for RbdStore {
    fn pool(&self) -> &str {
        &self.options.pool
    }

    async fn fsid(&self) -> Result<String> {
        self.in_pool(Class::Control, "ask for the fsid", self.pool(), |pool| pool.cluster().fsid()).await
    }

    async fn ping(&self) -> Result<()> {
        self.in_pool(Class::Control, "ask", self.pool(), |pool| pool.ping()).await
    }

    async fn create(&self, name: &str, size: u64, object_size: u64) -> Result<()> {
        const OPERATION: &str = "create";
        check_name(OPERATION, name)?;
        check_object_size(OPERATION, name, object_size)?;
        let key = c_text(OPERATION, name, name)?;
        self.on_image(OPERATION, name, move |pool| {
            // The features are left to the cluster's `rbd_default_features`.
            let options = ImageOptions::new();
            options.set(sys::OPTION_ORDER, object_size.ilog2().into())?;
            // SAFETY: the pool and the options are alive and the text ends in NUL.
            let created = unsafe { sys::rbd_create4(pool.io(), key.as_ptr(), size, options.0) };
            check("rbd_create4", created).map(|_| ())
        })
        .await
    }

    /// Once more where the connection is found to be cut off: the next one is new, and nothing was changed.
    async fn open(&self, name: &str, mode: OpenMode) -> Result<Arc<dyn BlockImage>> {
        match self.open_now(name, &mode).await {
            Err(error) if error.kind == ErrorKind::Disconnected => self.open_now(name, &mode).await,
            opened => opened,
        }
    }

    async fn clone_snapshot(
        &self,
        parent: &SnapshotPath,
        name: &str,
        object_size: Option<u64>,
    ) -> Result<()> {
        const OPERATION: &str = "clone";
        check_name(OPERATION, name)?;
        check_name(OPERATION, &parent.image)?;
        check_name(OPERATION, &parent.snapshot)?;
        if let Some(object_size) = object_size {
            check_object_size(OPERATION, name, object_size)?;
        }
        let key = c_text(OPERATION, name, name)?;
        let parent_key = c_text(OPERATION, name, &parent.image)?;
        let snapshot = c_text(OPERATION, name, &parent.snapshot)?;
        let format = match self.options.clone_format {
            CloneFormat::Auto => None,
            CloneFormat::V1 => Some(1),
            CloneFormat::V2 => Some(2),
        };
        let (link, parent_pool) = (self.link.clone(), parent.pool.clone());
        let parents = self.threads.run(Class::Control, OPERATION, name, move || link.pool(&parent_pool));
        let parents = self.bounded(name, parents).await?;
        self.on_image(OPERATION, name, move |pool| {
            let options = ImageOptions::new();
            if let Some(object_size) = object_size {
                options.set(sys::OPTION_ORDER, object_size.ilog2().into())?;
                // The parent's would be taken over, and does not fit into smaller objects.
                options.set(sys::OPTION_STRIPE_UNIT, object_size)?;
                options.set(sys::OPTION_STRIPE_COUNT, 1)?;
            }
            if let Some(format) = format {
                options.set(sys::OPTION_CLONE_FORMAT, format)?;
            }
            // SAFETY: both pools and the options are alive and the texts end in NUL.
            let cloned = unsafe {
                sys::rbd_clone3(
                    parents.io(),
                    parent_key.as_ptr(),
                    snapshot.as_ptr(),
                    pool.io(),
                    key.as_ptr(),
                    options.0,
                )
            };
            check("rbd_clone3", cloned).map(|_| ())
        })
        .await
    }

    async fn rename(&self, from: &str, to: &str) -> Result<()> {
        const OPERATION: &str = "rename";
        check_name(OPERATION, from)?;
        check_name(OPERATION, to)?;
        if from == to {
            // librbd would say so too, and what is done then about a rename that broke off would take away the name.
            return Err(BlockError::new(ErrorKind::Exists, OPERATION, from, "it has that name"));
        }
        let (from_key, to_key) = (c_text(OPERATION, from, from)?, c_text(OPERATION, from, to)?);
        let (from_name, to_name) = (from.to_owned(), to.to_owned());
        let (_waiting, running) = self.begin(OPERATION, to).await?;
        self.on_image(OPERATION, from, move |pool| {
            let _running = running;
            // SAFETY: the pool is alive and the texts end in NUL.
            let renamed = unsafe { sys::rbd_rename(pool.io(), from_key.as_ptr(), to_key.as_ptr()) };
            match check("rbd_rename", renamed) {
                Err(failure) if failure.kind == ErrorKind::Exists => {
                    if names::finish_rename(pool, &from_name, &to_name)? { Ok(()) } else { Err(failure) }
                }
                renamed => renamed.map(drop),
            }
        })
        .await
    }

    async fn remove(&self, name: &str, progress: &Progress) -> Result<()> {
        const OPERATION: &str = "remove";
        check_name(OPERATION, name)?;
        let key = c_text(OPERATION, name, name)?;
        let (subject, patience) = (name.to_owned(), self.options.patience());
        let (_waiting, running) = self.begin(OPERATION, name).await?;
        self.removal(OPERATION, name, progress, move |pool, progress| {
            let _running = running;
            pool.closing().wait(&subject, patience);
            // librbd would remove what it leads to.
            names::drop_stray(pool, &subject)?;
            remove(pool, &key, progress).or_else(|failure| Err(unless_there(pool, &subject, &key, failure)?))
        })
        .await
    }

    async fn list(&self) -> Result<Vec<String>> {
        self.in_pool(Class::Control, "list", self.pool(), |pool| {
            // One that came there in between is in the trash, not in both.
            let images = list::images(pool)?;
            let gone: HashSet<String> = trash::entries(pool)?.into_iter().map(|entry| entry.id).collect();
            let mut names: Vec<String> =
                images.into_iter().filter(|(_, id)| !gone.contains(id)).map(|(name, _)| name).collect();
            names.sort();
            Ok(names)
        })
        .await
    }

    async fn trash_move(&self, name: &str) -> Result<String> {
        self.to_trash(name, Duration::ZERO).await
    }

    async fn trash_keep(&self, name: &str) -> Result<String> {
        self.to_trash(name, KEPT).await
    }

    async fn trash_list(&self) -> Result<Vec<TrashEntry>> {
        self.in_pool(Class::Control, "list the trash", self.pool(), |pool| trash::entries(pool)).await
    }

    async fn trash_has_clones(&self, id: &str) -> Result<bool> {
        const OPERATION: &str = "look into the trash";
        check_name(OPERATION, id)?;
        let key = c_text(OPERATION, id, id)?;
        let subject = id.to_owned();
        self.in_pool(Class::Control, OPERATION, id, move |pool| {
            let name = trash::entry(pool, &subject)?.name;
            let looking = match Handle::open(pool, &name, By::Id(&key), false, None) {
                Ok(handle) => handle,
                // A removal got as far as the header; what is left is the entry.
                Err(failure) if failure.errno == Errno::ENOENT => return Ok(false),
                Err(failure) => return Err(failure),
            };
            let has_clones = has_clones(&looking);
            looking.close()?;
            has_clones
        })
        .await
    }

    async fn trash_remove(&self, id: &str, progress: &Progress) -> Result<Option<SnapshotPath>> {
        const OPERATION: &str = "remove from the trash";
        check_name(OPERATION, id)?;
        let key = c_text(OPERATION, id, id)?;
        let (subject, patience) = (id.to_owned(), self.options.patience());
        self.removal(OPERATION, id, progress, move |pool, progress| {
            let entry = trash::entry(pool, &subject)?;
            trash::arrive(pool, &subject, &entry)?;
            pool.closing().wait(&entry.name, patience);
            let parent = match Handle::open(pool, &entry.name, By::Id(&key), true, None) {
                Ok(handle) => {
                    let parent = list::parent(&handle).and_then(|parent| {
                        remove_snapshots(&handle).map(|()| parent.map(|parent| parent.path))
                    });
                    handle.close()?;
                    parent?
                }
                // An earlier removal got as far as the header; what is left is the entry.
                Err(failure) if failure.errno == Errno::ENOENT => None,
                Err(failure) => return Err(failure),
            };
            watched("rbd_trash_remove_with_progress", progress, |arg| {
                // SAFETY: the pool is alive, the text ends in NUL, and `report` takes this argument.
                unsafe { sys::rbd_trash_remove_with_progress(pool.io(), key.as_ptr(), true, report, arg) }
            })
            .map(|()| parent)
        })
        .await
    }

    async fn shut_out(&self, client: &ClusterClient) -> Result<bool> {
        let client = client.clone();
        self.in_pool(Class::Control, "shut a client out", self.pool(), move |pool| {
            if pool.cluster().fsid()? != client.fsid {
                return Ok(false);
            }
            pool.cluster().shut_out(&client.address).map(|()| true)
        })
        .await
    }

    async fn strays(&self) -> Result<Strays> {
        self.in_pool(Class::Heavy, "look for strays", self.pool(), |pool| strays::look(pool)).await
    }

    async fn remove_stray_name(&self, stray: &StrayName) -> Result<bool> {
        const OPERATION: &str = "remove a stray name";
        let found = stray.clone();
        self.in_pool(Class::Control, OPERATION, &stray.name, move |pool| strays::remove_name(pool, &found))
            .await
    }

    async fn statistics(&self) -> Result<PoolStatistics> {
        #[derive(Deserialize)]
        struct Answer {
            pools: Vec<PoolAnswer>,
        }
        #[derive(Deserialize)]
        struct PoolAnswer {
            name: String,
            stats: Numbers,
        }
        #[derive(Deserialize)]
        struct Numbers {
            /// Before replication, as `max_avail` is. Clusters older than nautilus have `bytes_used` only.
            stored: Option<u64>,
            bytes_used: u64,
            max_avail: u64,
            /// The pool's own bound; 0 is none.
            #[serde(default)]
            quota_bytes: u64,
        }
        const OPERATION: &str = "measure pool";
        let name = self.pool().to_owned();
        let answer = self
            .in_pool(Class::Control, OPERATION, self.pool(), |pool| {
                pool.cluster().monitor_command(r#"{"prefix":"df","detail":"detail","format":"json"}"#)
            })
            .await?;
        let unreadable = |why: &dyn std::fmt::Display| BlockError::new(ErrorKind::Io, OPERATION, &name, why);
        let answer: Answer = serde_json::from_slice(&answer).map_err(|error| unreadable(&error))?;
        let Some(pool) = answer.pools.iter().find(|pool| pool.name == name) else {
            return Err(self.unmeasured().await);
        };
        let used = pool.stats.stored.unwrap_or(pool.stats.bytes_used);
        let available = match pool.stats.quota_bytes {
            0 => pool.stats.max_avail,
            quota => pool.stats.max_avail.min(quota.saturating_sub(used)),
        };
        Ok(PoolStatistics { used_bytes: used, available_bytes: available, total_bytes: used + available })
    }

    async fn monitors(&self) -> Result<Vec<Monitor>> {
        const OPERATION: &str = "ask for the monitors";
        let answer = self
            .in_pool(Class::Control, OPERATION, self.pool(), |pool| {
                pool.cluster().monitor_command(monitors::COMMAND)
            })
            .await?;
        monitors::read(&answer).map_err(|why| BlockError::new(ErrorKind::Io, OPERATION, self.pool(), why))
    }

    async fn mirrors_images(&self) -> Result<bool> {
        let ask = |pool: &Arc<Pool>| mirror::is_by_image(pool);
        self.in_pool(Class::Control, "ask for the mirroring mode", self.pool(), ask).await
    }
}

fn remove(pool: &Arc<Pool>, key: &CStr, progress: &Progress) -> Result<(), Failure> {
    watched("rbd_remove_with_progress", progress, |arg| {
        // SAFETY: the pool is alive, the text ends in NUL, and `report` takes this argument.
        unsafe { sys::rbd_remove_with_progress(pool.io(), key.as_ptr(), report, arg) }
    })
}

/// librbd removes by way of the trash. In a full pool there is no room for the entry, of which it says ENOENT. It also
/// says so of an image that is there when somebody else is removing or renaming it at this moment.
fn unless_there(pool: &Arc<Pool>, name: &str, key: &CStr, failure: Failure) -> Result<Failure, Failure> {
    if failure.kind != ErrorKind::NotFound || !is_there(pool, name, key)? {
        return Ok(failure);
    }
    let kind = if flags::is_full(pool)? { ErrorKind::NoSpace } else { ErrorKind::Busy };
    Ok(failure.meaning(kind))
}

fn is_there(pool: &Arc<Pool>, name: &str, key: &CStr) -> Result<bool, Failure> {
    match Handle::open(pool, name, By::Name(key), false, None) {
        Ok(handle) => handle.close().map(|()| true),
        Err(failure) if failure.kind == ErrorKind::NotFound => Ok(false),
        Err(failure) => Err(failure),
    }
}

/// Leaves the handle at some snapshot. Clones in a pool that may not be looked at are clones as well.
fn has_clones(looking: &Handle) -> Result<bool, Failure> {
    match list::children(looking) {
        Ok(children) => Ok(!children.is_empty()),
        // librbd cannot name one that is being made or removed at this moment.
        Err(failure) if list::is_hidden(failure) || failure.errno == Errno::ENOENT => Ok(true),
        Err(failure) => Err(failure),
    }
}

/// Clears an image in the trash of its snapshots, if nothing hangs on any of them and nobody else has it open.
fn remove_snapshots(handle: &Handle) -> Result<(), Failure> {
    let in_the_way = |kind| {
        let errno = if kind == ErrorKind::HasChildren { Errno::EBUSY } else { Errno::ENOTEMPTY };
        Err(Failure { function: "rbd_snap_list", errno, kind })
    };
    let snapshots = list::snapshots(handle)?;
    if snapshots.is_empty() {
        return Ok(());
    }
    // On a handle of its own, which it leaves at some snapshot.
    let id = c_own(&handle.id()?)?;
    let looking = Handle::open(handle.pool(), handle.name(), By::Id(&id), false, None)?;
    let has_clones = has_clones(&looking);
    looking.close()?;
    if has_clones? {
        return in_the_way(ErrorKind::HasChildren);
    }
    if snapshots.iter().any(|snapshot| snapshot.namespace == Namespace::Other) {
        return in_the_way(ErrorKind::HasSnapshots);
    }
    // One of them is this handle.
    if list::watchers(handle)?.len() > 1 {
        return Err(Failure { function: "rbd_watchers_list", errno: Errno::EBUSY, kind: ErrorKind::Busy });
    }
    for snapshot in snapshots {
        if snapshot.namespace == Namespace::User {
            let name = c_own(&snapshot.name)?;
            if list::is_protected(handle, &name)? {
                // SAFETY: the image is open and the text ends in NUL.
                check("rbd_snap_unprotect", unsafe { sys::rbd_snap_unprotect(handle.raw(), name.as_ptr()) })
                    .map_err(
                        |f| if f.kind == ErrorKind::Busy { f.meaning(ErrorKind::HasChildren) } else { f },
                    )?;
            }
        }
        // SAFETY: the image is open.
        let removed = unsafe { sys::rbd_snap_remove_by_id(handle.raw(), snapshot.id) };
        match check("rbd_snap_remove_by_id", removed) {
            Ok(_) => {}
            // One in the trash name space goes by itself when its last clone does.
            Err(failure) if failure.errno == Errno::ENOENT => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(())
}

/// Runs a call that reports to `progress` through [`report`] and can be cancelled there.
pub(super) fn watched(
    function: &'static str,
    progress: &Progress,
    call: impl FnOnce(*mut c_void) -> c_int,
) -> Result<(), Failure> {
    // It may have waited for its thread for long.
    if progress.is_cancelled() {
        return Err(Failure { function, errno: Errno::ECANCELED, kind: ErrorKind::Cancelled });
    }
    check(function, call(ptr::from_ref(progress).cast_mut().cast())).map(|_| ())
}

/// What librbd calls now and then during a long call.
pub(super) extern "C" fn report(done: u64, total: u64, progress: *mut c_void) -> c_int {
    // SAFETY: the argument is the one `watched` gave, alive until the call it watches is over.
    let progress = unsafe { &*progress.cast::<Progress>() };
    if progress.report(done, total) { 0 } else { -libc::ECANCELED }
}

/// Options of a new image, destroyed on drop.
struct ImageOptions(sys::rbd_image_options_t);

impl ImageOptions {
    fn new() -> Self {
        let mut options = ptr::null_mut();
        // SAFETY: the variable outlives the call.
        unsafe { sys::rbd_image_options_create(&mut options) }
        Self(options)
    }

    fn set(&self, name: c_int, value: u64) -> Result<(), Failure> {
        // SAFETY: the options are alive.
        let set = unsafe { sys::rbd_image_options_set_uint64(self.0, name, value) };
        check("rbd_image_options_set_uint64", set).map(|_| ())
    }
}

impl Drop for ImageOptions {
    fn drop(&mut self) {
        // SAFETY: created in `new`, destroyed here only.
        unsafe { sys::rbd_image_options_destroy(self.0) }
    }
}
