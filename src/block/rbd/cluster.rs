//! Connections to clusters, each made once and shared by the whole process.
//!
//! A connection costs a dozen threads and some milliseconds, so there is one for each set of options, kept in
//! a registry, and one I/O context for each pool on it. A connection that turns out to be cut off is let go:
//! the next call makes a new one, and images still open on the old one keep it until they are closed.
//!
//! Functions: `rados_create2`, `rados_conf_read_file`, `rados_conf_set`, `rados_connect`, `rados_shutdown`,
//! `rados_ioctx_create`, `rados_ioctx_destroy`, `rados_ioctx_get_id`, `rados_pool_lookup`,
//! `rados_set_pool_full_try`, `rados_aio_create_completion`, `rados_aio_flush_async`, `rados_aio_release`,
//! `rados_cluster_fsid`, `rados_get_instance_id`, `rados_getaddrs`, `rados_blocklist_add`,
//! `rados_wait_for_latest_osdmap`, `rados_mon_command`, `rados_buffer_free`.

#![allow(unsafe_code)]

use std::collections::{BTreeMap, HashMap};
use std::ffi::{CStr, CString, c_char, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError, Weak, mpsc};
use std::time::{Duration, Instant};

use ceph::rados;
use nix::errno::Errno;

use super::RbdOptions;
use super::errno::{Failure, c_text, check};
use super::sys::{self, rados_ioctx_t, rados_t};
use crate::block::{BlockError, ErrorKind, Result};
use crate::model::ClusterClient;

/// Nothing here can be left half changed by a panic, so a poisoned lock is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All that makes two connections different.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    conf: Option<PathBuf>,
    cluster_name: String,
    user: Option<String>,
    connect_timeout: u64,
    operation_timeout: u64,
    retries: u32,
    retry_interval: u64,
    settings: Vec<(String, String)>,
}

/// All connections, also those that were let go of while images are open on them.
static LIVING: Mutex<Vec<(Weak<Cluster>, ClusterClient)>> = Mutex::new(Vec::new());

/// What this process is called in the clusters that it is connected to.
pub fn clients() -> Vec<ClusterClient> {
    let mut living = lock(&LIVING);
    living.retain(|(cluster, _)| cluster.strong_count() > 0);
    living.iter().map(|(_, client)| client.clone()).collect()
}

/// A day: who goes on after that finds its calls given up long ago.
const SHUT_OUT_FOR: u32 = 86_400;

static REGISTRY: LazyLock<Mutex<BTreeMap<Key, Weak<Link>>>> = LazyLock::new(Mutex::default);

/// The place of one connection, filled when it is first needed.
pub(super) struct Link {
    key: Key,
    /// Held only for moments.
    connected: Mutex<Option<Connected>>,
    /// Held while connecting. Inside: the last attempt, when it failed; who waited meanwhile shares its outcome.
    connecting: Mutex<Option<(Instant, BlockError)>>,
}

struct Connected {
    cluster: Arc<Cluster>,
    pools: HashMap<String, Arc<Pool>>,
}

impl Link {
    /// The one link for these options. Does not connect.
    pub fn of(options: &RbdOptions) -> Arc<Self> {
        let key = Key {
            conf: options.conf.clone(),
            cluster_name: options.cluster_name.clone(),
            user: options.user.clone(),
            connect_timeout: options.connect_seconds(),
            operation_timeout: options.operation_timeout,
            retries: options.retries,
            retry_interval: options.retry_interval,
            settings: options.extra.clone(),
        };
        let mut registry = lock(&REGISTRY);
        if let Some(link) = registry.get(&key).and_then(Weak::upgrade) {
            return link;
        }
        registry.retain(|_, link| link.strong_count() > 0);
        let link =
            Arc::new(Self { key: key.clone(), connected: Mutex::default(), connecting: Mutex::default() });
        registry.insert(key, Arc::downgrade(&link));
        link
    }

    fn current(&self) -> Option<Arc<Cluster>> {
        lock(&self.connected).as_ref().map(|connected| connected.cluster.clone())
    }

    /// The connection, made if there is none. Blocks, for no longer than the options allow.
    pub fn cluster(&self) -> Result<Arc<Cluster>> {
        if let Some(cluster) = self.current() {
            return Ok(cluster);
        }
        let asked = Instant::now();
        let mut failed = lock(&self.connecting);
        if let Some(cluster) = self.current() {
            return Ok(cluster);
        }
        if let Some((when, error)) = &*failed
            && *when >= asked
        {
            return Err(error.clone());
        }
        match self.connect() {
            Ok(cluster) => {
                *failed = None;
                let cluster = Arc::new(cluster);
                match cluster.client() {
                    Ok(client) => lock(&LIVING).push((Arc::downgrade(&cluster), client)),
                    Err(failure) => {
                        tracing::warn!(?failure, "it is not known what the cluster calls this process")
                    }
                }
                *lock(&self.connected) = Some(Connected { cluster: cluster.clone(), pools: HashMap::new() });
                Ok(cluster)
            }
            Err(error) => {
                *failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    /// Tries as often as the options say while nobody answers. What a cluster refuses is not asked again.
    fn connect(&self) -> Result<Cluster> {
        let mut pause = Duration::from_secs(self.key.retry_interval);
        let mut left = self.key.retries.max(1);
        loop {
            left -= 1;
            match Cluster::connect(&self.key) {
                Err(error) if error.kind == ErrorKind::TimedOut && left > 0 => {
                    tracing::warn!(%error, seconds = pause.as_secs(), "no connection to the cluster; trying again");
                    std::thread::sleep(pause);
                    pause *= 2;
                }
                outcome => return outcome,
            }
        }
    }

    /// The context of a pool. Blocks as [`Self::cluster`] does.
    pub fn pool(self: &Arc<Self>, name: &str) -> Result<Arc<Pool>> {
        let cluster = self.cluster()?;
        let name_c = c_text("connect", name, name)?;
        let failed = |failure: Failure| {
            if cluster.unanswered.is_lost(Some(failure)) {
                self.let_go(&cluster, failure);
            }
            // Nothing that should be in it can count as gone for that.
            let is_missing = failure.kind == ErrorKind::NotFound;
            let failure = if is_missing { failure.meaning(ErrorKind::Disconnected) } else { failure };
            failure.of("connect to pool", name)
        };
        // A pool may have been deleted and made anew under the same name, so the map is asked each time: it is
        // at hand in this process. (After a miss, librados waits for the newest map.)
        // SAFETY: the cluster is connected and the text ends in NUL.
        let id = unsafe { rados::rados_pool_lookup(cluster.raw, name_c.as_ptr()) };
        let id = check("rados_pool_lookup", id).map_err(failed)?;
        let mut connected = lock(&self.connected);
        let pools = connected.as_mut().filter(|c| Arc::ptr_eq(&c.cluster, &cluster)).map(|c| &mut c.pools);
        if let Some(pool) = pools.as_ref().and_then(|pools| pools.get(name))
            && pool.id == id
        {
            return Ok(pool.clone());
        }
        let pool =
            Arc::new(Pool::open(self, &cluster, &name_c, id).map_err(|f| f.of("connect to pool", name))?);
        if let Some(pools) = pools {
            pools.insert(name.into(), pool.clone());
        }
        Ok(pool)
    }

    /// The next call makes a new connection.
    fn let_go(&self, cluster: &Arc<Cluster>, failure: Failure) {
        let mut connected = lock(&self.connected);
        // Taken out under the lock, dropped after it: a shutdown takes its time.
        let gone = connected.take_if(|connected| Arc::ptr_eq(&connected.cluster, cluster));
        drop(connected);
        if gone.is_some() {
            tracing::warn!(instance = cluster.instance(), failure = ?failure, "cut off from the cluster");
        }
    }
}

/// After so many calls in a row without an answer a connection is made anew. A client of Ceph 16.2 can be deaf for good
/// after an OSD was away, while a new one is answered at once; where nobody answers, a new one costs little.
const DEAF: u32 = 4;

/// Calls since the last one that was answered.
#[derive(Default)]
struct Unanswered(AtomicU32);

impl Unanswered {
    /// Counts how a call ended. Whether the connection is good for nothing any more.
    fn is_lost(&self, failure: Option<Failure>) -> bool {
        match failure.map(|failure| failure.kind) {
            Some(ErrorKind::Disconnected) => true,
            Some(ErrorKind::TimedOut) => self.0.fetch_add(1, Ordering::Relaxed) + 1 >= DEAF,
            _ => {
                self.0.store(0, Ordering::Relaxed);
                false
            }
        }
    }
}

/// A connection. Shut down when its last user lets go of it.
pub(super) struct Cluster {
    raw: rados_t,
    unanswered: Unanswered,
}

// SAFETY: librados locks inside a cluster handle; its functions may be called from any thread, at the same time.
unsafe impl Send for Cluster {}
// SAFETY: as above.
unsafe impl Sync for Cluster {}

impl Drop for Cluster {
    fn drop(&mut self) {
        // SAFETY: the handle was made by `rados_create2`, and every context on it holds an `Arc` of this.
        unsafe { rados::rados_shutdown(self.raw) }
    }
}

impl Cluster {
    fn connect(key: &Key) -> Result<Self> {
        const OPERATION: &str = "connect";
        let cluster_name = &key.cluster_name;
        let text = |text: &str| c_text(OPERATION, cluster_name, text);
        // Whatever is wrong with the options is the caller's to set right.
        let invalid = |failure: Failure| failure.meaning(ErrorKind::Invalid).of(OPERATION, cluster_name);

        let user = text(&format!("client.{}", key.user.as_deref().unwrap_or("admin")))?;
        let cluster_name_c = text(cluster_name)?;
        let mut raw = ptr::null_mut();
        // SAFETY: the texts end in NUL and `raw` outlives the call.
        let created = unsafe { rados::rados_create2(&mut raw, cluster_name_c.as_ptr(), user.as_ptr(), 0) };
        check("rados_create2", created).map_err(invalid)?;
        let cluster = Self { raw, unanswered: Unanswered::default() };

        let conf = match &key.conf {
            None => None,
            Some(path) => Some(
                CString::new(path.as_os_str().as_bytes())
                    .map_err(|e| BlockError::new(ErrorKind::Invalid, OPERATION, cluster_name, e))?,
            ),
        };
        let conf = conf.as_ref().map_or(ptr::null(), |path| path.as_ptr());
        // SAFETY: the handle is alive; the path ends in NUL, or is null, which means the default places.
        check("rados_conf_read_file", unsafe { rados::rados_conf_read_file(raw, conf) }).map_err(
            |failure| {
                let mut error = invalid(failure);
                error.detail = match &key.conf {
                    Some(path) => format!("{} ({})", error.detail, path.display()),
                    None => error.detail,
                };
                error
            },
        )?;

        for (name, value) in settings(key) {
            let (name_c, value) = (text(&name)?, text(&value)?);
            // SAFETY: the handle is alive and the texts end in NUL.
            let set = unsafe { rados::rados_conf_set(raw, name_c.as_ptr(), value.as_ptr()) };
            check("rados_conf_set", set).map_err(|failure| {
                let mut error = invalid(failure);
                error.detail = format!("{} (option {name})", error.detail);
                error
            })?;
        }

        // SAFETY: the handle is alive and not yet connected.
        check("rados_connect", unsafe { rados::rados_connect(raw) }).map_err(|failure| {
            // No monitor, no such user, a wrong key: in any case there is no connection.
            let kind = match failure.kind {
                ErrorKind::TimedOut => ErrorKind::TimedOut,
                _ => ErrorKind::Disconnected,
            };
            failure.meaning(kind).of(OPERATION, cluster_name)
        })?;
        tracing::info!(cluster = cluster_name, instance = cluster.instance(), "connected");
        Ok(cluster)
    }

    /// What the cluster knows this connection by. No two connections share it.
    pub fn instance(&self) -> u64 {
        // SAFETY: the handle is alive and connected.
        unsafe { rados::rados_get_instance_id(self.raw) }
    }

    /// What others can shut it out by.
    fn client(&self) -> Result<ClusterClient, Failure> {
        let mut address = ptr::null_mut();
        // SAFETY: the handle is alive and connected, and the variable outlives the call.
        check("rados_getaddrs", unsafe { sys::rados_getaddrs(self.raw, &mut address) })?;
        // SAFETY: librados allocated a text that ends in NUL; it is freed once.
        let text = unsafe {
            let text = CStr::from_ptr(address).to_string_lossy().into_owned();
            rados::rados_buffer_free(address);
            text
        };
        Ok(ClusterClient { fsid: self.fsid()?, address: text })
    }

    /// Shuts a client out, and waits until nobody does anything for it any more who does something for us: an OSD that
    /// this connection asks from now on knows of it.
    pub fn shut_out(&self, address: &str) -> Result<(), Failure> {
        let address = CString::new(address).unwrap_or_default();
        // SAFETY: the handle is alive and connected, and the text ends in NUL.
        let added = unsafe { sys::rados_blocklist_add(self.raw, address.as_ptr(), SHUT_OUT_FOR) };
        check("rados_blocklist_add", added)?;
        // SAFETY: as above.
        let waited = unsafe { rados::rados_wait_for_latest_osdmap(self.raw) };
        check("rados_wait_for_latest_osdmap", waited).map(drop)
    }

    pub fn fsid(&self) -> Result<String, Failure> {
        let mut text = [0u8; 64];
        // SAFETY: the buffer is as long as said; the function ends its text with NUL.
        let length =
            unsafe { rados::rados_cluster_fsid(self.raw, text.as_mut_ptr().cast::<c_char>(), text.len()) };
        check("rados_cluster_fsid", length)?;
        let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
        Ok(String::from_utf8_lossy(text).into_owned())
    }

    /// Sends a command (JSON) to the monitors; answers its output (JSON).
    pub fn monitor_command(&self, command: &str) -> Result<Vec<u8>, Failure> {
        let command = CString::new(command).unwrap_or_default();
        let mut commands = [command.as_ptr()];
        let (mut output, mut output_length) = (ptr::null_mut(), 0);
        let (mut status, mut status_length) = (ptr::null_mut(), 0);
        // SAFETY: one command that ends in NUL, no input, and four variables that outlive the call.
        let answer = unsafe {
            rados::rados_mon_command(
                self.raw,
                commands.as_mut_ptr(),
                commands.len(),
                ptr::null(),
                0,
                &mut output,
                &mut output_length,
                &mut status,
                &mut status_length,
            )
        };
        let mut bytes = Vec::new();
        // SAFETY: librados allocated both outputs, if any, with the lengths it told; they are freed once.
        unsafe {
            if !output.is_null() {
                bytes.extend_from_slice(std::slice::from_raw_parts(output.cast::<u8>(), output_length));
                rados::rados_buffer_free(output);
            }
            if !status.is_null() {
                rados::rados_buffer_free(status);
            }
        }
        check("rados_mon_command", answer).map(|_| bytes)
    }
}

/// What is set on top of ceph.conf.
fn settings(key: &Key) -> Vec<(String, String)> {
    let operation = key.operation_timeout.to_string();
    let ours = [
        ("client_mount_timeout", key.connect_timeout.to_string()),
        ("rados_mon_op_timeout", operation.clone()),
        ("rados_osd_op_timeout", operation),
        // A write whose object map could not be told in time fails. Otherwise librbd marks the map as invalid, and when
        // that gets lost as well it goes on: the write counts as done, and nobody sees it, neither in a snapshot nor when
        // the image is removed.
        ("rbd_invalidate_object_map_on_timeout", "false".into()),
        // Submitting never waits for the cluster.
        ("rbd_non_blocking_aio", "true".into()),
        // Our writes are large and many at a time: a cache would copy them, and hide their errors (a full
        // pool's) until the flush.
        ("rbd_cache", "false".into()),
        // Buffers stay as they are until librbd is done with them, so it need not copy them.
        ("rbd_disable_zero_copy_writes", "false".into()),
    ];
    let ours = ours.into_iter().map(|(name, value)| (name.into(), value));
    ours.chain(key.settings.iter().cloned()).collect()
}

/// An I/O context: one pool on one connection.
pub(super) struct Pool {
    io: rados_ioctx_t,
    id: u64,
    link: Weak<Link>,
    closing: Closing,
    /// Last, so that it outlives the context.
    cluster: Arc<Cluster>,
}

// SAFETY: nothing of a context is changed after it is made, and librbd works on copies of it.
unsafe impl Send for Pool {}
// SAFETY: as above.
unsafe impl Sync for Pool {}

impl Drop for Pool {
    fn drop(&mut self) {
        // SAFETY: made by `rados_ioctx_create`; every image opened through it holds an `Arc` of this.
        unsafe { rados::rados_ioctx_destroy(self.io) }
    }
}

impl Pool {
    fn open(link: &Arc<Link>, cluster: &Arc<Cluster>, name: &CString, id: u64) -> Result<Self, Failure> {
        let mut io = ptr::null_mut();
        // SAFETY: the cluster is connected, the text ends in NUL, and `io` outlives the call.
        check("rados_ioctx_create", unsafe {
            rados::rados_ioctx_create(cluster.raw, name.as_ptr(), &mut io)
        })?;
        // A write into a full pool is refused, where it would otherwise wait for room. Images opened through
        // this context inherit that.
        // SAFETY: the context was just made.
        unsafe { sys::rados_set_pool_full_try(io) }
        Ok(Self { io, id, link: Arc::downgrade(link), closing: Closing::default(), cluster: cluster.clone() })
    }

    pub fn io(&self) -> rados_ioctx_t {
        self.io
    }

    /// What the cluster knows it by.
    pub fn id(&self) -> u64 {
        self.id
    }

    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// Asks an OSD for the pool's list of images; that there is none yet is an answer, too.
    pub fn ping(&self) -> Result<(), Failure> {
        let (mut size, mut changed) = (0, 0);
        // SAFETY: the context is alive, the text ends in NUL, and the answers land in live variables.
        let asked =
            unsafe { rados::rados_stat(self.io, c"rbd_directory".as_ptr(), &raw mut size, &raw mut changed) };
        match check("rados_stat", asked) {
            Err(failure) if failure.errno == Errno::ENOENT => Ok(()),
            answer => answer.map(drop),
        }
    }

    /// Waits until the callback that librados runs at this moment, if any, has returned: it runs one after the other, and
    /// this asks for one more. Nothing is sent.
    pub fn pass(&self) -> Result<(), Failure> {
        extern "C" fn passed(_: rados::rados_completion_t, arg: *mut c_void) {
            // SAFETY: the box made below, called once.
            let passed = unsafe { Box::from_raw(arg.cast::<mpsc::Sender<()>>()) };
            // Who waits never goes before it got this.
            let _ = passed.send(());
        }
        let (sender, passing) = mpsc::channel::<()>();
        let sender = Box::into_raw(Box::new(sender));
        let mut completion = ptr::null_mut();
        // SAFETY: `passed` is what takes this argument; the completion lands in a live variable.
        let created =
            unsafe { rados::rados_aio_create_completion(sender.cast(), Some(passed), None, &mut completion) };
        let asked = check("rados_aio_create_completion", created).and_then(|_| {
            // SAFETY: the context and the completion are alive; librados keeps the latter until it has called back.
            let asked = unsafe { rados::rados_aio_flush_async(self.io, completion) };
            // SAFETY: made above, released once.
            unsafe { rados::rados_aio_release(completion) }
            check("rados_aio_flush_async", asked)
        });
        if let Err(failure) = asked {
            // SAFETY: nobody calls back, so the box is still ours alone.
            drop(unsafe { Box::from_raw(sender) });
            return Err(failure);
        }
        // The sender goes only after it was used.
        let _ = passing.recv();
        Ok(())
    }

    pub fn closing(&self) -> &Closing {
        &self.closing
    }

    /// Takes note of how a call ended, in case it says that the connection is gone.
    pub fn note<T>(&self, answer: Result<T, Failure>) -> Result<T, Failure> {
        let failure = answer.as_ref().err().copied();
        if self.cluster.unanswered.is_lost(failure)
            && let (Some(failure), Some(link)) = (failure, self.link.upgrade())
        {
            link.let_go(&self.cluster, failure);
        }
        answer
    }
}

/// Images of a pool that this process is about to have closed, by name. Until then they would stand in the
/// way of their own removal.
#[derive(Clone, Default)]
pub(super) struct Closing(Arc<(Mutex<HashMap<String, usize>>, Condvar)>);

pub(super) struct Turn {
    closing: Closing,
    name: String,
}

impl Closing {
    pub fn enter(&self, name: &str) -> Turn {
        *lock(&self.0.0).entry(name.into()).or_default() += 1;
        Turn { closing: self.clone(), name: name.into() }
    }

    /// Waits until none of this name is left, or the time is up.
    pub fn wait(&self, name: &str, patience: Duration) {
        let names = lock(&self.0.0);
        // Who closes them says so; after the time is up librbd's own answer will do.
        drop(self.0.1.wait_timeout_while(names, patience, |names| names.contains_key(name)));
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut names = lock(&self.closing.0.0);
        if let Some(count) = names.get_mut(&self.name) {
            *count -= 1;
            if *count == 0 {
                names.remove(&self.name);
            }
        }
        self.closing.0.1.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_lost_when_it_says_so_or_says_nothing_for_long() {
        let unanswered = Unanswered::default();
        let ends = |number: i32| unanswered.is_lost(check("rbd_open", -number).err());
        assert!(ends(libc::ENOTCONN));
        for answer in [0, libc::ENOENT] {
            assert!((1..DEAF).all(|_| !ends(libc::ETIMEDOUT)));
            assert!(!ends(answer));
        }
        assert!((1..DEAF).all(|_| !ends(libc::ETIMEDOUT)));
        assert!(ends(libc::ETIMEDOUT));
        assert!(ends(libc::ETIMEDOUT));
    }
}
