//! Commits to SQLite that survive a power cut, many to one `fsync`.
//!
//! There is one writing connection, so with `synchronous=FULL` every transaction waits for the disk while all others
//! wait for it. Here it runs with `NORMAL`: a commit writes its frames to the log, and whoever committed then waits,
//! without holding the connection, until the log was synced after that moment. Everyone who committed meanwhile
//! shares the next sync. SQLite itself sees to the order of log and file at checkpoints in both settings.
//!
//! A reader may see a commit a moment before it is safe. What a worker does outside of the database it does after a
//! claim, which waits for all commits before it.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::Mutex;

use super::error::Result;

/// A place in the order of transactions: they have the connection one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(u64);

#[derive(Clone)]
pub(super) struct Durable(Arc<Inner>);

struct Inner {
    log: PathBuf,
    /// The last place given.
    given: AtomicU64,
    /// Up to here every transaction is committed, or given up.
    committed: AtomicU64,
    /// Up to here every commit is on the disk.
    safe: AtomicU64,
    /// A sync failed. It may have dropped what it should have written, and the next one would not notice: nothing is
    /// safe any more.
    has_failed: AtomicBool,
    /// Held during a sync: what was synced last. While it is open no other file gets its number.
    turn: Mutex<Option<File>>,
}

impl Durable {
    /// For the database in this file.
    pub(super) fn new(database: &Path) -> Self {
        let mut log = database.as_os_str().to_owned();
        log.push("-wal");
        Self(Arc::new(Inner {
            log: log.into(),
            given: AtomicU64::new(0),
            committed: AtomicU64::new(0),
            safe: AtomicU64::new(0),
            has_failed: AtomicBool::new(false),
            turn: Mutex::default(),
        }))
    }

    /// Whether what is written now could be made safe.
    pub(super) fn check(&self) -> Result<()> {
        if self.0.has_failed.load(Ordering::SeqCst) {
            let why =
                io::Error::other("the disk failed to write the database's log: restart on a sound disk");
            return Err(sqlx::Error::Io(why).into());
        }
        Ok(())
    }

    /// The place of a transaction that holds the connection and is about to be committed.
    pub(super) fn enter(&self) -> Place {
        Place(self.0.given.fetch_add(1, Ordering::SeqCst) + 1)
    }

    /// The last place before a transaction that holds the connection.
    pub(super) fn earlier(&self) -> Place {
        Place(self.0.given.load(Ordering::SeqCst))
    }

    /// Waits until every commit up to this place is on the disk. They must be over by now.
    pub(super) async fn wait(&self, place: Place) -> Result<()> {
        let Inner { log, committed, safe, has_failed, turn, .. } = &*self.0;
        committed.fetch_max(place.0, Ordering::SeqCst);
        if safe.load(Ordering::SeqCst) >= place.0 {
            return Ok(());
        }
        let mut turn = turn.lock().await;
        if safe.load(Ordering::SeqCst) >= place.0 {
            return Ok(());
        }
        self.check()?;
        let covered = committed.load(Ordering::SeqCst);
        let (path, last) = (log.clone(), turn.take());
        let synced = tokio::task::spawn_blocking(move || sync(&path, last)).await;
        match synced.unwrap_or_else(|stopped| Err(io::Error::other(stopped))) {
            Ok(log) => {
                *turn = Some(log);
                safe.fetch_max(covered, Ordering::SeqCst);
                Ok(())
            }
            Err(error) => {
                has_failed.store(true, Ordering::SeqCst);
                Err(sqlx::Error::Io(error).into())
            }
        }
    }
}

/// The log is another file after all connections were closed once. A new file is as lasting as its entry in the folder,
/// which SQLite would sync no earlier than at a checkpoint.
fn sync(path: &Path, last: Option<File>) -> io::Result<File> {
    let number = fs::metadata(path)?.ino();
    if let Some(log) = last
        && log.metadata()?.ino() == number
    {
        log.sync_data()?;
        return Ok(log);
    }
    let log = File::open(path)?;
    log.sync_data()?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
    Ok(log)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_log() -> (tempfile::TempDir, Durable) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("some.db-wal"), b"log").unwrap();
        let durable = Durable::new(&folder.path().join("some.db"));
        (folder, durable)
    }

    #[tokio::test]
    async fn many_waits_end() {
        let (_folder, durable) = with_log();
        let waits = (0..50).map(|_| durable.wait(durable.enter()));
        for outcome in futures::future::join_all(waits).await {
            outcome.unwrap();
        }
        assert_eq!(durable.0.safe.load(Ordering::SeqCst), 50);
    }

    #[tokio::test]
    async fn what_is_safe_is_not_waited_for() {
        let (folder, durable) = with_log();
        durable.wait(durable.earlier()).await.unwrap();
        let (first, second) = (durable.enter(), durable.enter());
        durable.wait(second).await.unwrap();
        // A sync would fail now.
        drop(folder);
        durable.wait(first).await.unwrap();
        durable.wait(durable.earlier()).await.unwrap();
        // Committed, perhaps, and never waited for.
        durable.enter();
        durable.wait(durable.earlier()).await.unwrap_err();
    }

    #[tokio::test]
    async fn after_a_failure_nothing_is_called_safe() {
        let folder = tempfile::tempdir().unwrap();
        let durable = Durable::new(&folder.path().join("some.db"));
        durable.check().unwrap();
        durable.wait(durable.enter()).await.unwrap_err();
        // Nor is anything begun: a claim that is committed and not safe would only use up a job's attempts.
        durable.check().unwrap_err();
        std::fs::write(folder.path().join("some.db-wal"), b"log").unwrap();
        durable.wait(durable.enter()).await.unwrap_err();
    }
}
