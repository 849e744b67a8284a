//! A store that says no when it is told to.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures::future::BoxFuture;
use pumice::block::{
    BlockError, BlockImage, BlockStore, ErrorKind, Monitor, OpenMode, PoolStatistics, Progress, Result,
    SnapshotPath, TrashEntry,
};

/// Another store, before which stand answers of the test's own.
pub struct Reluctant {
    store: Arc<dyn BlockStore>,
    removals: Mutex<VecDeque<ErrorKind>>,
    /// Images that end so cannot be opened.
    shut: Mutex<Option<&'static str>>,
    /// What happens before something goes to the trash.
    before_trash: Mutex<Option<Hook>>,
    is_silent: AtomicBool,
    /// It falls silent when an image has been made.
    makes_its_last: AtomicBool,
}

type Hook = Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

impl Reluctant {
    pub fn before(store: Arc<dyn BlockStore>) -> Arc<Self> {
        Arc::new(Self {
            store,
            removals: Mutex::default(),
            shut: Mutex::default(),
            before_trash: Mutex::default(),
            is_silent: AtomicBool::new(false),
            makes_its_last: AtomicBool::new(false),
        })
    }

    /// It answers nobody any more.
    pub fn fall_silent(&self) {
        self.is_silent.store(true, Ordering::SeqCst);
    }

    /// Likewise, as soon as it has made one more image.
    pub fn make_the_last(&self) {
        self.makes_its_last.store(true, Ordering::SeqCst);
    }

    pub fn answer_again(&self) {
        self.makes_its_last.store(false, Ordering::SeqCst);
        self.is_silent.store(false, Ordering::SeqCst);
    }

    /// Of images and their names; what is asked of the whole pool is answered.
    fn hear(&self, operation: &'static str, name: &str) -> Result<()> {
        if self.is_silent.load(Ordering::SeqCst) {
            return Err(BlockError::new(ErrorKind::TimedOut, operation, name, "as the test wants it"));
        }
        Ok(())
    }

    /// How the next removals end.
    pub fn refuse_removals(&self, kinds: impl IntoIterator<Item = ErrorKind>) {
        self.removals.lock().unwrap().extend(kinds);
    }

    pub fn shut(&self, ending: Option<&'static str>) {
        *self.shut.lock().unwrap() = ending;
    }

    pub fn before_trash(&self, hook: impl Fn() -> BoxFuture<'static, ()> + Send + Sync + 'static) {
        *self.before_trash.lock().unwrap() = Some(Arc::new(hook));
    }
}

#[async_trait]
impl BlockStore for Reluctant {
    async fn open(&self, name: &str, mode: OpenMode) -> Result<Arc<dyn BlockImage>> {
        self.hear("open", name)?;
        let is_shut = self.shut.lock().unwrap().is_some_and(|ending| name.ends_with(ending));
        if is_shut {
            return Err(BlockError::new(ErrorKind::Busy, "open", name, "as the test wants it"));
        }
        self.store.open(name, mode).await
    }

    async fn remove(&self, name: &str, progress: &Progress) -> Result<()> {
        self.hear("remove", name)?;
        let refusal = self.removals.lock().unwrap().pop_front();
        match refusal {
            Some(kind) => Err(BlockError::new(kind, "remove", name, "as the test wants it")),
            None => self.store.remove(name, progress).await,
        }
    }

    fn pool(&self) -> &str {
        self.store.pool()
    }

    async fn ping(&self) -> Result<()> {
        self.store.ping().await
    }

    async fn fsid(&self) -> Result<String> {
        self.store.fsid().await
    }

    async fn create(&self, name: &str, size: u64, object_size: u64) -> Result<()> {
        self.hear("create", name)?;
        self.store.create(name, size, object_size).await?;
        if self.makes_its_last.load(Ordering::SeqCst) {
            self.fall_silent();
        }
        Ok(())
    }

    async fn clone_snapshot(
        &self,
        parent: &SnapshotPath,
        name: &str,
        object_size: Option<u64>,
    ) -> Result<()> {
        self.hear("clone", name)?;
        self.store.clone_snapshot(parent, name, object_size).await
    }

    async fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.hear("rename", from)?;
        self.store.rename(from, to).await
    }

    async fn list(&self) -> Result<Vec<String>> {
        self.store.list().await
    }

    async fn trash_move(&self, name: &str) -> Result<String> {
        self.hear("trash", name)?;
        let hook = self.before_trash.lock().unwrap().clone();
        if let Some(hook) = hook {
            hook().await;
        }
        self.store.trash_move(name).await
    }

    async fn trash_list(&self) -> Result<Vec<TrashEntry>> {
        self.store.trash_list().await
    }

    async fn trash_has_clones(&self, id: &str) -> Result<bool> {
        self.store.trash_has_clones(id).await
    }

    async fn trash_remove(&self, id: &str, progress: &Progress) -> Result<Option<SnapshotPath>> {
        self.store.trash_remove(id, progress).await
    }

    async fn statistics(&self) -> Result<PoolStatistics> {
        self.store.statistics().await
    }

    async fn monitors(&self) -> Result<Vec<Monitor>> {
        self.store.monitors().await
    }
}
