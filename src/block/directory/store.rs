//! The contract of a pool, on top of its [`Shelf`].

use std::sync::Arc;

use async_trait::async_trait;
use nix::sys::statvfs::statvfs;

use super::fault::{Fault, Outcome};
use super::handle::Handle;
use super::shelf::Shelf;
use super::{Directory, new_id};
use crate::block::{
    BlockImage, BlockStore, Class, ErrorKind, Monitor, OpenMode, PoolStatistics, Progress, Result,
    SnapshotPath, TrashEntry, check_name, check_object_size,
};

pub struct Store {
    pub directory: Arc<Directory>,
    pub shelf: Arc<Shelf>,
}

impl Store {
    async fn run<T, F>(&self, class: Class, operation: &'static str, image: &str, call: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Shelf) -> Outcome<T> + Send + 'static,
    {
        let (shelf, name) = (self.shelf.clone(), image.to_owned());
        let call = move || call(&shelf).map_err(|fault| fault.of(operation, &name));
        self.directory.blocking.run(class, operation, image, call).await
    }

    /// Likewise a removal, cancelled through `progress`: also while it waits for its thread.
    async fn removal<T, F>(
        &self,
        operation: &'static str,
        image: &str,
        progress: &Progress,
        call: F,
    ) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Shelf, &Progress) -> Outcome<T> + Send + 'static,
    {
        let (shelf, name) = (self.shelf.clone(), image.to_owned());
        let call =
            move |progress: &Progress| call(&shelf, progress).map_err(|fault| fault.of(operation, &name));
        self.directory.blocking.run_watched(Class::Remove, operation, image, progress, call).await
    }
}

#[async_trait]
impl BlockStore for Store {
    fn pool(&self) -> &str {
        &self.shelf.name
    }

    async fn fsid(&self) -> Result<String> {
        Ok(self.directory.fsid.clone())
    }

    async fn ping(&self) -> Result<()> {
        let directory = self.directory.clone();
        self.run(Class::Control, "ask", self.pool(), move |_| directory.check_there()).await
    }

    async fn create(&self, name: &str, size: u64, object_size: u64) -> Result<()> {
        check_name("create", name)?;
        check_object_size("create", name, object_size)?;
        let named = name.to_owned();
        let create = move |shelf: &Shelf| shelf.create(&named, new_id()?, size, object_size);
        self.run(Class::Control, "create", name, create).await
    }

    async fn open(&self, name: &str, mode: OpenMode) -> Result<Arc<dyn BlockImage>> {
        check_name("open", name)?;
        let (directory, named) = (self.directory.clone(), name.to_owned());
        let open = move |shelf: &Shelf| Handle::open(directory, shelf, named, &mode);
        Ok(Arc::new(self.run(Class::Control, "open", name, open).await?))
    }

    async fn clone_snapshot(
        &self,
        parent: &SnapshotPath,
        name: &str,
        object_size: Option<u64>,
    ) -> Result<()> {
        check_name("clone", name)?;
        if let Some(object_size) = object_size {
            check_object_size("clone", name, object_size)?;
        }
        let (directory, parent, named) = (self.directory.clone(), parent.clone(), name.to_owned());
        let clone = move |shelf: &Shelf| {
            let image = directory.shelf(&parent.pool)?.find(&parent.image)?;
            shelf.clone_snapshot(&named, new_id()?, &image, &parent.snapshot, object_size)
        };
        self.run(Class::Control, "clone", name, clone).await
    }

    async fn rename(&self, from: &str, to: &str) -> Result<()> {
        check_name("rename", from)?;
        check_name("rename", to)?;
        let (named, to) = (from.to_owned(), to.to_owned());
        self.run(Class::Control, "rename", from, move |shelf| shelf.rename(&named, &to)).await
    }

    async fn remove(&self, name: &str, progress: &Progress) -> Result<()> {
        check_name("remove", name)?;
        let named = name.to_owned();
        self.removal("remove", name, progress, move |shelf, progress| shelf.remove(&named, progress)).await
    }

    async fn list(&self) -> Result<Vec<String>> {
        self.run(Class::Control, "list", "", |shelf| Ok(shelf.list())).await
    }

    async fn trash_move(&self, name: &str) -> Result<String> {
        check_name("trash", name)?;
        let named = name.to_owned();
        self.run(Class::Control, "trash", name, move |shelf| shelf.trash_move(&named)).await
    }

    async fn trash_list(&self) -> Result<Vec<TrashEntry>> {
        self.run(Class::Control, "list trash", "", |shelf| Ok(shelf.trash_list())).await
    }

    async fn trash_has_clones(&self, id: &str) -> Result<bool> {
        let named = id.to_owned();
        self.run(Class::Control, "look into the trash", id, move |shelf| shelf.trash_has_clones(&named)).await
    }

    async fn trash_remove(&self, id: &str, progress: &Progress) -> Result<Option<SnapshotPath>> {
        let named = id.to_owned();
        let remove = move |shelf: &Shelf, progress: &Progress| shelf.trash_remove(&named, progress);
        self.removal("remove from trash", id, progress, remove).await
    }

    async fn statistics(&self) -> Result<PoolStatistics> {
        let path = self.directory.path.clone();
        let count = move |_: &Shelf| {
            let found = statvfs(&path).map_err(|error| Fault::new(ErrorKind::Io, error))?;
            let block = found.fragment_size();
            Ok(PoolStatistics {
                used_bytes: block * (found.blocks() - found.blocks_free()),
                available_bytes: block * found.blocks_available(),
                total_bytes: block * found.blocks(),
            })
        };
        self.run(Class::Control, "count", "", count).await
    }

    /// Its images are files of a format that this process alone reads.
    async fn monitors(&self) -> Result<Vec<Monitor>> {
        Ok(Vec::new())
    }
}
