//! Images in files of one machine.
//!
//! ```text
//! lock                             held by the one process that uses the directory
//! fsid                             the identifier of the cluster
//! pools/<pool>/images/<name>.json  the header of an image: its id, size, layers, parent, text
//! pools/<pool>/trash/<id>~<name>.json
//! pools/<pool>/data/<id>/<layer>/<object>   the bytes: a sparse file per object, named in hexadecimal
//! pools/<pool>/data/<id>/fresh/<object>     copied up from beneath, not durable yet
//! ```
//!
//! **Layers.** Each snapshot freezes the newest layer of an image and puts an empty one on top, which takes
//! the writes. An object is looked for from the newest layer down and then in the parent's layers; the first
//! file found is the object, an empty file hides what lies beneath. Each layer says how many bytes of the
//! image show through it: shrinking lowers that, so nothing cut off comes back. Making a snapshot or a clone
//! is one header. Removing a snapshot moves the files of its layer to the next newer one.
//!
//! **Names.** Bytes lie under ids that never change. Renaming an image, or moving it to the trash, renames
//! its header: clones and open handles do not notice.
//!
//! **Crashes.** A header is replaced as a whole. Bytes are durable after a flush: it syncs what was written,
//! and only then moves copies of objects from `fresh` to where they hide what they are copies of. At opening,
//! `fresh` is emptied, snapshot removals are ended, and folders without a header are removed.

mod fault;
mod files;
mod handle;
mod header;
mod image;
mod layers;
mod shelf;
mod store;
mod write;

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, TryLockError};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

pub use self::files::make_folder;

use self::fault::{Fault, Outcome, lock};
use self::shelf::Shelf;
use super::{BlockStore, BlockingPool, ErrorKind, Result, check_name};

/// The cluster: one directory, used by one process at a time.
pub struct Directory {
    path: PathBuf,
    fsid: String,
    blocking: BlockingPool,
    shelves: Mutex<BTreeMap<String, Arc<Shelf>>>,
    /// Locked as long as it is open.
    _lock: File,
}

impl Directory {
    /// Opens the directory, or makes it. Reads the headers of all images: to be called once, at the start.
    /// [`ErrorKind::Busy`] when it is open already.
    pub fn open(path: impl AsRef<Path>, blocking: BlockingPool) -> Result<Arc<Self>> {
        let path = path.as_ref();
        let words = path.display().to_string();
        Self::load(path, blocking).map_err(|fault| fault.of("open", &words))
    }

    fn load(path: &Path, blocking: BlockingPool) -> Outcome<Arc<Self>> {
        // Whoever finds the identifier need not ask how lasting the folder is.
        if !files::exists(&path.join("fsid"))? {
            files::make_folder(path)?;
        }
        fs::create_dir_all(path.join("pools"))?;
        let lock = take_lock(&path.join("lock"))?;
        let fsid = fsid(&path.join("fsid"))?;
        files::sync_folder(path)?;
        let mut shelves = BTreeMap::new();
        for name in files::entries(&path.join("pools"))? {
            let name = name?;
            if check_name("open", &name).is_ok() {
                let shelf = Shelf::load(path.join("pools").join(&name), &name)?;
                shelves.insert(name, Arc::new(shelf));
            }
        }
        let images = shelves.values().flat_map(|shelf| shelf.images());
        let by_id: HashMap<_, _> = images.map(|image| (image.id.clone(), image)).collect();
        for shelf in shelves.values() {
            shelf.link(&by_id)?;
        }
        Ok(Arc::new(Self { path: path.into(), fsid, blocking, shelves: Mutex::new(shelves), _lock: lock }))
    }

    /// The pool of this name; it is made when it is not there.
    pub fn pool(self: &Arc<Self>, name: &str) -> Result<Arc<dyn BlockStore>> {
        check_name("open pool", name)?;
        let shelf = self.make_shelf(name).map_err(|fault| fault.of("open pool", name))?;
        Ok(Arc::new(store::Store { directory: self.clone(), shelf }))
    }

    fn make_shelf(&self, name: &str) -> Outcome<Arc<Shelf>> {
        let mut shelves = lock(&self.shelves);
        if let Some(shelf) = shelves.get(name) {
            return Ok(shelf.clone());
        }
        let shelf = Arc::new(Shelf::load(self.path.join("pools").join(name), name)?);
        files::sync_folder(&self.path.join("pools"))?;
        shelves.insert(name.into(), shelf.clone());
        Ok(shelf)
    }

    fn shelf(&self, name: &str) -> Outcome<Arc<Shelf>> {
        let missing = || Fault::new(ErrorKind::NotFound, format!("no pool {name}"));
        lock(&self.shelves).get(name).cloned().ok_or_else(missing)
    }
}

fn take_lock(path: &Path) -> Outcome<File> {
    let file = File::options().create(true).truncate(false).write(true).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(Fault::new(ErrorKind::Busy, "the directory is in use by another process"))
        }
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

impl Directory {
    /// Under its name there may be another one by now, or what it was mounted on.
    fn check_there(&self) -> Outcome<()> {
        let found = fs::read_to_string(self.path.join("fsid"));
        match found {
            Ok(fsid) if fsid.trim() == self.fsid => Ok(()),
            Ok(_) => Err(Fault::new(ErrorKind::Disconnected, "another directory is in its place")),
            Err(error) => Err(Fault::new(ErrorKind::Disconnected, error.to_string())),
        }
    }
}

/// The identifier of the cluster, made on the first opening.
fn fsid(path: &Path) -> Outcome<String> {
    if files::exists(path)? {
        return Ok(fs::read_to_string(path)?.trim().into());
    }
    let fsid = new_id()?;
    let draft = path.with_extension("new");
    files::write_new(&draft, fsid.as_bytes())?;
    files::rename(&draft, path)?;
    Ok(fsid)
}

/// An identifier that nobody has had: the kernel makes it.
fn new_id() -> Outcome<String> {
    let mut id = String::new();
    File::open("/proc/sys/kernel/random/uuid")?.read_to_string(&mut id)?;
    Ok(id.trim_end().into())
}
