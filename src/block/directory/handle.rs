//! The contract of an open image, on top of [`Image`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;

use super::Directory;
use super::fault::{Outcome, lock};
use super::image::Image;
use super::shelf::Shelf;
use crate::block::{
    BlockError, BlockImage, Child, Class, ErrorKind, Extent, OpenMode, Parent, Progress, Result,
    SnapshotInfo, check_name,
};

pub struct Handle {
    directory: Arc<Directory>,
    image: Arc<Image>,
    name: String,
    /// The number of the snapshot's layer.
    at: Option<u64>,
    writable: bool,
    open: AtomicBool,
}

impl Handle {
    pub fn open(directory: Arc<Directory>, shelf: &Shelf, name: String, mode: &OpenMode) -> Outcome<Self> {
        let writable = *mode == OpenMode::ReadWrite;
        let image = if writable { shelf.find_to_write(&name)? } else { shelf.find(&name)? };
        let at = match mode {
            OpenMode::Snapshot(snapshot) => {
                let state = image.state()?;
                Some(state.header.layers[state.header.find(snapshot)?].number)
            }
            _ => None,
        };
        Ok(Self { directory, image, name, at, writable, open: AtomicBool::new(true) })
    }

    fn refuse(&self, kind: ErrorKind, operation: &'static str, why: &str) -> BlockError {
        BlockError::new(kind, operation, &self.name, why)
    }

    async fn run<T, F>(&self, class: Class, operation: &'static str, call: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Arc<Image>) -> Outcome<T> + Send + 'static,
    {
        self.check_open(operation)?;
        let (image, name) = (self.image.clone(), self.name.clone());
        let call = move || call(&image).map_err(|fault| fault.of(operation, &name));
        self.directory.blocking.run(class, operation, &self.name, call).await
    }

    /// [`Self::run`] for what a handle opened for reading must not do.
    async fn change<T, F>(&self, class: Class, operation: &'static str, call: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Arc<Image>) -> Outcome<T> + Send + 'static,
    {
        self.check_writable(operation)?;
        self.run(class, operation, call).await
    }

    /// Likewise, one that is cancelled through `progress`: also while it waits for its thread.
    async fn watched<F>(
        &self,
        class: Class,
        operation: &'static str,
        progress: &Progress,
        call: F,
    ) -> Result<()>
    where
        F: FnOnce(&Arc<Image>, &Progress) -> Outcome<()> + Send + 'static,
    {
        self.check_writable(operation)?;
        self.check_open(operation)?;
        let (image, name) = (self.image.clone(), self.name.clone());
        let call =
            move |progress: &Progress| call(&image, progress).map_err(|fault| fault.of(operation, &name));
        self.directory.blocking.run_watched(class, operation, &self.name, progress, call).await
    }

    fn check_writable(&self, operation: &'static str) -> Result<()> {
        if self.writable {
            return Ok(());
        }
        Err(self.refuse(ErrorKind::ReadOnly, operation, "it is open for reading only"))
    }

    fn check_open(&self, operation: &'static str) -> Result<()> {
        if self.open.load(Ordering::SeqCst) {
            return Ok(());
        }
        Err(self.refuse(ErrorKind::Invalid, operation, "the handle is closed"))
    }

    /// Ends the handle, once.
    fn end(&self) -> bool {
        let ended = self.open.swap(false, Ordering::SeqCst);
        if ended && self.writable {
            self.image.writers.fetch_sub(1, Ordering::SeqCst);
        }
        ended
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.end();
    }
}

#[async_trait]
impl BlockImage for Handle {
    fn name(&self) -> &str {
        &self.name
    }

    async fn size(&self) -> Result<u64> {
        let at = self.at;
        let size = move |image: &Arc<Image>| Ok(image.state()?.view(at)?.limit);
        self.run(Class::Control, "size", size).await
    }

    fn object_size(&self) -> u64 {
        self.image.object_size
    }

    async fn read(&self, offset: u64, length: u64) -> Result<Bytes> {
        let at = self.at;
        let read = move |image: &Arc<Image>| {
            let state = image.state()?;
            let view = state.view(at)?;
            view.check(offset, length)?;
            let mut buffer = vec![0; length as usize];
            image.fill(&state, view, offset, &mut buffer)?;
            Ok(buffer.into())
        };
        self.run(Class::Data, "read", read).await
    }

    async fn write(&self, offset: u64, data: Bytes) -> Result<()> {
        self.change(Class::Data, "write", move |image| image.write(offset, &data)).await
    }

    async fn write_zeroes(&self, offset: u64, length: u64) -> Result<()> {
        self.change(Class::Data, "write zeroes", move |image| image.write_zeroes(offset, length)).await
    }

    async fn discard(&self, offset: u64, length: u64) -> Result<()> {
        self.change(Class::Data, "discard", move |image| image.discard(offset, length)).await
    }

    async fn flush(&self) -> Result<()> {
        self.run(Class::Data, "flush", |image| image.flush()).await
    }

    async fn allocated(&self) -> Result<Vec<Extent>> {
        let at = self.at;
        let allocated = move |image: &Arc<Image>| {
            let state = image.state()?;
            image.allocated(&state, state.view(at)?)
        };
        self.run(Class::Look, "allocated", allocated).await
    }

    async fn grow(&self, size: u64) -> Result<()> {
        self.change(Class::Control, "grow", move |image| image.grow(size)).await
    }

    async fn resize(&self, size: u64, progress: &Progress) -> Result<()> {
        let resize = move |image: &Arc<Image>, progress: &Progress| image.resize(size, progress);
        self.watched(Class::Remove, "resize", progress, resize).await
    }

    async fn snapshots(&self) -> Result<Vec<SnapshotInfo>> {
        let snapshots = |image: &Arc<Image>| {
            let state = image.state()?;
            let info = |frozen: &super::header::Frozen| SnapshotInfo {
                name: frozen.name.clone(),
                size: frozen.size,
                protected: frozen.protected,
            };
            Ok(state.header.snapshots().map(info).collect())
        };
        self.run(Class::Control, "list snapshots", snapshots).await
    }

    async fn create_snapshot(&self, snapshot: &str) -> Result<()> {
        check_name("create snapshot", snapshot)?;
        let named = snapshot.to_owned();
        self.change(Class::Control, "create snapshot", move |image| image.create_snapshot(&named)).await
    }

    async fn protect_snapshot(&self, snapshot: &str) -> Result<()> {
        let named = snapshot.to_owned();
        self.change(Class::Control, "protect snapshot", move |image| image.protect_snapshot(&named)).await
    }

    async fn unprotect_snapshot(&self, snapshot: &str) -> Result<()> {
        let named = snapshot.to_owned();
        self.change(Class::Control, "unprotect snapshot", move |image| image.unprotect_snapshot(&named)).await
    }

    async fn remove_snapshot(&self, snapshot: &str) -> Result<()> {
        let named = snapshot.to_owned();
        self.change(Class::Control, "remove snapshot", move |image| image.remove_snapshot(&named)).await
    }

    async fn rename_snapshot(&self, from: &str, to: &str) -> Result<()> {
        check_name("rename snapshot", to)?;
        let (from, to) = (from.to_owned(), to.to_owned());
        self.change(Class::Control, "rename snapshot", move |image| image.rename_snapshot(&from, &to)).await
    }

    async fn roll_back(&self, snapshot: &str, progress: &Progress) -> Result<()> {
        let named = snapshot.to_owned();
        let roll_back = move |image: &Arc<Image>, progress: &Progress| image.roll_back(&named, progress);
        self.watched(Class::Heavy, "roll back", progress, roll_back).await
    }

    async fn children(&self) -> Result<Vec<Child>> {
        let children = |image: &Arc<Image>| {
            let ties: Vec<_> = lock(&image.children).values().cloned().collect();
            let mut children = Vec::new();
            for tie in ties {
                let Some(child) = tie.child.upgrade() else { continue };
                let snapshot = image.state()?.header.frozen(tie.layer)?.1.name.clone();
                let place = child.peek().place.clone();
                let pool = child.pool.clone();
                children.push(Child { pool, image: place.name, snapshot, in_trash: place.in_trash });
            }
            children.sort();
            Ok(children)
        };
        self.run(Class::Control, "list children", children).await
    }

    async fn parent(&self) -> Result<Option<Parent>> {
        let at = self.at;
        let parent = move |image: &Arc<Image>| {
            let state = image.state()?;
            let overlap = state.header.overlap(state.view(at)?.layers - 1);
            let Some((path, in_trash)) = state.parent_path()? else { return Ok(None) };
            Ok(Some(Parent { path, overlap, in_trash }))
        };
        self.run(Class::Control, "parent", parent).await
    }

    async fn flatten(&self, progress: &Progress) -> Result<()> {
        self.watched(Class::Heavy, "flatten", progress, |image, progress| image.flatten(progress)).await
    }

    /// All of them are this process: nobody else opens the directory.
    async fn writers(&self) -> Result<Vec<String>> {
        let own = usize::from(self.writable);
        let others = move |image: &Arc<Image>| Ok(image.writers.load(Ordering::SeqCst).saturating_sub(own));
        let count = self.run(Class::Control, "count writers", others).await?;
        Ok(vec![format!("process.{}", std::process::id()); count])
    }

    async fn metadata(&self) -> Result<BTreeMap<String, String>> {
        self.run(Class::Control, "metadata", |image| Ok(image.state()?.header.metadata.clone())).await
    }

    async fn set_metadata(&self, key: &str, value: &str) -> Result<()> {
        let (key, value) = (key.to_owned(), value.to_owned());
        let set = |image: &Arc<Image>| {
            image.update(|header| {
                header.metadata.insert(key, value);
                Ok(())
            })
        };
        self.change(Class::Control, "set metadata", set).await
    }

    async fn remove_metadata(&self, key: &str) -> Result<()> {
        let key = key.to_owned();
        let remove = move |image: &Arc<Image>| {
            image.update(|header| {
                header.metadata.remove(&key);
                Ok(())
            })
        };
        self.change(Class::Control, "remove metadata", remove).await
    }

    async fn close(&self) -> Result<()> {
        if !self.open.load(Ordering::SeqCst) {
            return Ok(());
        }
        let flushed = if self.writable { self.flush().await } else { Ok(()) };
        self.end();
        flushed
    }
}
