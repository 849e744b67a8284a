//! Images on a Ceph cluster, through librbd.
//!
//! - [`cluster`]: connections and pools, shared by the process
//! - [`handle`]: an open image, closed when its last user lets go
//! - [`completion`]: asynchronous reads and writes
//! - [`store`], [`image`]: the contract, on top of these
//! - [`list`]: librbd's ways to answer many things at once
//! - [`flags`]: whether a pool is full
//! - [`mirror`]: images that another cluster has too
//! - [`monitors`]: where the cluster is found
//! - [`names`]: which name leads to which image
//! - [`strays`]: what belongs to no image
//! - [`trash`]: what lies in the trash, and is on its way there
//! - [`class`]: what is asked of the OSDs themselves
//! - [`errno`]: what its numbers mean
//! - [`sys`]: its declarations
//!
//! librbd blocks in all but reads, writes, discards and flushes. Those blocking calls run on the
//! [`BlockingPool`]; what an open image can do without waiting is submitted from there too, because librbd
//! may first have to read the image's header anew.

mod calls;
mod class;
mod cluster;
mod completion;
mod errno;
mod flags;
mod handle;
mod image;
mod late;
mod list;
mod mirror;
mod monitors;
mod names;
mod store;
mod strays;
mod sys;
mod trash;

use std::path::PathBuf;
use std::time::Duration;

use super::{BlockError, BlockingPool, ErrorKind, Result};

pub use cluster::clients;
pub use store::RbdStore;

/// How clones hang on their parents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CloneFormat {
    /// As `rbd_default_clone_format` says; its default is 2 wherever all clients are of mimic or later.
    #[default]
    Auto,
    /// From protected snapshots only.
    V1,
    /// From any snapshot; a removed one lives on, out of sight, until its last clone is gone.
    V2,
}

#[derive(Clone, Debug)]
pub struct RbdOptions {
    /// Path of ceph.conf. `None` is where librados looks by itself.
    pub conf: Option<PathBuf>,
    pub cluster_name: String,
    /// The cephx user, without `client.`. `None` is `admin`.
    pub user: Option<String>,
    pub pool: String,
    /// Seconds to wait for the monitors when connecting. Below 0: [`Self::DEFAULT_CONNECT_TIMEOUT`].
    pub connect_timeout: i64,
    /// Seconds for one operation of a monitor or an OSD.
    pub operation_timeout: u64,
    /// How often to connect when nobody answers.
    pub retries: u32,
    /// Seconds before the second attempt; each further pause is twice as long.
    pub retry_interval: u64,
    pub clone_format: CloneFormat,
    /// Further options of ceph.conf, set last.
    pub extra: Vec<(String, String)>,
}

impl RbdOptions {
    pub const DEFAULT_CONNECT_TIMEOUT: u64 = 15;

    pub fn new(pool: impl Into<String>) -> Self {
        Self {
            conf: None,
            cluster_name: "ceph".into(),
            user: None,
            pool: pool.into(),
            connect_timeout: -1,
            operation_timeout: 60,
            retries: 3,
            retry_interval: 5,
            clone_format: CloneFormat::Auto,
            extra: Vec::new(),
        }
    }

    fn connect_seconds(&self) -> u64 {
        u64::try_from(self.connect_timeout).unwrap_or(Self::DEFAULT_CONNECT_TIMEOUT)
    }

    /// How long connecting can take: every attempt, and the pauses between them.
    fn connect_patience(&self) -> Duration {
        let attempts = u64::from(self.retries.max(1));
        let pauses = self.retry_interval * ((1 << (attempts - 1)) - 1);
        Duration::from_secs(self.connect_seconds() * attempts + pauses)
    }

    /// How long any short call can take. Each of librbd's steps is bounded by itself; this bounds their sum,
    /// and what has no bound, such as waiting for another client's lock.
    fn patience(&self) -> Duration {
        Duration::from_secs(2 * self.operation_timeout + 5)
    }

    fn check(&self) -> Result<()> {
        let invalid = |what: &str| Err(BlockError::new(ErrorKind::Invalid, "open pool", &self.pool, what));
        let mut texts = vec![self.cluster_name.as_str(), &self.pool];
        texts.extend(self.user.as_deref());
        texts.extend(self.extra.iter().flat_map(|(name, value)| [name.as_str(), value]));
        if texts.iter().any(|text| text.contains('\0')) {
            return invalid("a NUL character in an option");
        }
        if self.pool.is_empty() || self.cluster_name.is_empty() || self.user.as_deref() == Some("") {
            return invalid("the pool, the cluster's name and the user must not be empty");
        }
        // To librados 0 means to wait for ever.
        if self.connect_timeout == 0 || self.operation_timeout == 0 {
            return invalid("a time limit of 0");
        }
        if !(1..=10).contains(&self.retries) || self.retry_interval > 3600 {
            return invalid("1 to 10 attempts, an hour apart at most");
        }
        Ok(())
    }
}

/// The store of one pool. Connects when it is first used, so the cluster may be down at this time.
pub fn open(options: RbdOptions, pool: BlockingPool) -> Result<RbdStore> {
    options.check()?;
    Ok(RbdStore::new(options, pool))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_cannot_work_are_refused() {
        let refused = |change: fn(&mut RbdOptions)| {
            let mut options = RbdOptions::new("images");
            change(&mut options);
            open(options, BlockingPool::default()).err().map(|error| error.kind)
        };
        assert_eq!(refused(|_| {}), None);
        assert_eq!(refused(|o| o.pool.clear()), Some(ErrorKind::Invalid));
        assert_eq!(refused(|o| o.pool = "a\0b".into()), Some(ErrorKind::Invalid));
        assert_eq!(refused(|o| o.user = Some("a\0b".into())), Some(ErrorKind::Invalid));
        assert_eq!(refused(|o| o.extra = vec![("a".into(), "\0".into())]), Some(ErrorKind::Invalid));
        assert_eq!(refused(|o| o.operation_timeout = 0), Some(ErrorKind::Invalid));
        assert_eq!(refused(|o| o.connect_timeout = 0), Some(ErrorKind::Invalid));
        assert_eq!(refused(|o| o.retries = 0), Some(ErrorKind::Invalid));
    }

    #[test]
    fn connecting_takes_its_attempts_and_pauses() {
        let mut options = RbdOptions::new("images");
        assert_eq!(options.connect_patience(), Duration::from_secs(3 * 15 + 5 + 10));
        options.retries = 1;
        options.connect_timeout = 2;
        assert_eq!(options.connect_patience(), Duration::from_secs(2));
    }
}
