//! One image: its state, and how bytes are found through its layers.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};

use super::fault::{Fault, Outcome, if_there, lock, read, write};
use super::files;
use super::header::{Header, Layer};
use crate::block::{ErrorKind, Extent, SnapshotPath};

/// Writers of one object wait for each other; objects share this many locks.
const TURNS: usize = 64;

/// Locks are taken in this order: the pool's names, `maintenance`, `settling`, `state` of a clone, `state`
/// of its parent, a turn, and then one of the rest.
pub struct Image {
    pub id: String,
    pub pool: String,
    pub object_size: u64,
    /// Holds a folder per layer, and `fresh`.
    pub folder: PathBuf,
    state: RwLock<State>,
    pub(super) dirty: Mutex<Dirty>,
    /// Held while unsynced objects become durable, and by whoever changes the layers.
    pub(super) settling: Mutex<()>,
    /// Held by long calls that change the layers step by step.
    pub(super) maintenance: Mutex<()>,
    turns: [Mutex<()>; TURNS],
    /// The clones that hang on it, by id.
    pub children: Mutex<BTreeMap<String, Tie>>,
    /// Handles open for writing.
    pub writers: AtomicUsize,
}

pub struct State {
    pub header: Header,
    pub place: Place,
    /// `None` without a parent, or when the parent's header is unusable.
    pub parent: Option<Arc<Image>>,
    pub removal: Removal,
}

/// How far its removal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    None,
    /// It may fail, and can be made again then.
    Running,
    Done,
}

/// Where the header lies.
#[derive(Clone)]
pub struct Place {
    pub file: PathBuf,
    pub name: String,
    pub in_trash: bool,
}

/// A clone, seen from its parent.
#[derive(Clone)]
pub struct Tie {
    pub layer: u64,
    pub child: Weak<Image>,
}

/// What is not durable yet, of the head.
#[derive(Default)]
pub struct Dirty {
    /// Objects written since the last flush.
    pub touched: BTreeSet<u64>,
    /// Objects copied up from beneath that are still in the folder `fresh`. They move to the head once they
    /// are durable: a crash before must not leave an empty file where there were bytes beneath.
    pub fresh: BTreeSet<u64>,
    /// The head's folder got or lost entries.
    pub entries: bool,
    /// Folders were made.
    pub folders: bool,
}

/// The bytes below `limit` as seen through the oldest `layers` layers (and the parent).
#[derive(Clone, Copy)]
pub struct View {
    pub layers: usize,
    pub limit: u64,
}

impl View {
    /// Refuses a stretch that is not inside.
    pub fn check(self, offset: u64, length: u64) -> Outcome<()> {
        if offset.checked_add(length).is_some_and(|end| end <= self.limit) {
            return Ok(());
        }
        let detail = format!("{offset}+{length} is beyond its {} bytes", self.limit);
        Err(Fault::new(ErrorKind::Invalid, detail))
    }
}

impl State {
    /// The image as it is now.
    pub fn now(&self) -> View {
        View { layers: self.header.layers.len(), limit: self.header.size }
    }

    /// The image as it is, or was when the layer of this number was frozen.
    pub fn view(&self, at: Option<u64>) -> Outcome<View> {
        let Some(number) = at else { return Ok(self.now()) };
        let (place, frozen) = self.header.frozen(number)?;
        Ok(View { layers: place + 1, limit: frozen.size })
    }

    /// What shows through a layer where it has no object.
    pub fn beneath(&self, place: usize) -> View {
        View { layers: place, limit: self.header.layers[place].below }
    }

    pub fn head(&self) -> &Layer {
        &self.header.layers[self.header.head()]
    }

    /// Refuses to change what is being removed: nobody knows yet whether that comes to its end.
    pub fn check_stays(&self) -> Outcome<()> {
        match self.removal {
            Removal::None => Ok(()),
            Removal::Running => Err(Fault::new(ErrorKind::Busy, "it is being removed")),
            Removal::Done => Err(Fault::new(ErrorKind::NotFound, "it was removed")),
        }
    }

    fn is_head(&self, place: usize) -> bool {
        place == self.header.head()
    }

    /// The parent and the number of its layer.
    pub fn parent(&self) -> Outcome<Option<(&Arc<Image>, u64)>> {
        match (&self.header.parent, &self.parent) {
            (None, _) => Ok(None),
            (Some(key), Some(parent)) => Ok(Some((parent, key.layer))),
            (Some(_), None) => Err(Fault::new(ErrorKind::Io, "the header of its parent is unusable")),
        }
    }

    /// And whether that is in the trash.
    pub fn parent_path(&self) -> Outcome<Option<(SnapshotPath, bool)>> {
        let Some((parent, layer)) = self.parent()? else { return Ok(None) };
        let state = parent.peek();
        let path = SnapshotPath {
            pool: parent.pool.clone(),
            image: state.place.name.clone(),
            snapshot: state.header.frozen(layer)?.1.name.clone(),
        };
        Ok(Some((path, state.place.in_trash)))
    }
}

impl Image {
    pub fn new(
        pool: &str,
        folder: PathBuf,
        header: Header,
        place: Place,
        parent: Option<Arc<Image>>,
    ) -> Self {
        Self {
            id: header.id.clone(),
            pool: pool.into(),
            object_size: header.object_size,
            folder,
            state: RwLock::new(State { header, place, parent, removal: Removal::None }),
            dirty: Mutex::default(),
            settling: Mutex::default(),
            maintenance: Mutex::default(),
            turns: [const { Mutex::new(()) }; TURNS],
            children: Mutex::default(),
            writers: AtomicUsize::new(0),
        }
    }

    /// The state, whatever it is.
    pub fn peek(&self) -> RwLockReadGuard<'_, State> {
        read(&self.state)
    }

    /// The state to be changed, whatever it is.
    pub fn peek_mut(&self) -> RwLockWriteGuard<'_, State> {
        write(&self.state)
    }

    /// The state of an image that is not gone. To whoever reads it, one that is being removed is gone: its bytes are.
    pub fn state(&self) -> Outcome<RwLockReadGuard<'_, State>> {
        let state = self.peek();
        if state.removal == Removal::None {
            return Ok(state);
        }
        Err(Fault::new(ErrorKind::NotFound, "it is being removed, or was"))
    }

    pub fn state_mut(&self) -> Outcome<RwLockWriteGuard<'_, State>> {
        let state = self.peek_mut();
        state.check_stays()?;
        Ok(state)
    }

    /// Replaces the header, durably: the file first.
    pub fn persist(&self, state: &mut State, header: Header) -> Outcome<()> {
        let draft = state.place.file.with_file_name(format!(".{}.new", self.id));
        files::write_new(&draft, &header.to_bytes()?)?;
        files::rename(&draft, &state.place.file)?;
        state.header = header;
        Ok(())
    }

    pub(super) fn turn(&self, object: u64) -> &Mutex<()> {
        &self.turns[(object % TURNS as u64) as usize]
    }

    pub fn layer_folder(&self, layer: &Layer) -> PathBuf {
        self.folder.join(layer.number.to_string())
    }

    pub fn fresh_folder(&self) -> PathBuf {
        self.folder.join("fresh")
    }

    /// Where an object of a layer is, if it is.
    pub(super) fn object_path(&self, state: &State, place: usize, object: u64) -> PathBuf {
        let folder = if state.is_head(place) && lock(&self.dirty).fresh.contains(&object) {
            self.fresh_folder()
        } else {
            self.layer_folder(&state.header.layers[place])
        };
        folder.join(file_name(object))
    }

    /// Splits a stretch at the borders of objects: the object, the offset in it, the length.
    pub(super) fn pieces(&self, offset: u64, length: u64) -> impl Iterator<Item = (u64, u64, u64)> + use<> {
        let object_size = self.object_size;
        let end = offset + length;
        let first = offset / object_size;
        let last = if length == 0 { first } else { end.div_ceil(object_size) };
        (first..last).map(move |object| {
            let start = offset.max(object * object_size);
            let stop = end.min((object + 1) * object_size);
            (object, start - object * object_size, stop - start)
        })
    }

    /// Fills a buffer of zeros with what the view shows from `offset` on.
    pub fn fill(&self, state: &State, view: View, offset: u64, buffer: &mut [u8]) -> Outcome<()> {
        let mut rest = buffer;
        for (object, within, length) in self.pieces(offset, rest.len() as u64) {
            let (piece, after) = rest.split_at_mut(length as usize);
            self.fill_piece(state, view, object, within, piece)?;
            rest = after;
        }
        Ok(())
    }

    fn fill_piece(
        &self,
        state: &State,
        view: View,
        object: u64,
        within: u64,
        piece: &mut [u8],
    ) -> Outcome<()> {
        let start = object * self.object_size + within;
        let mut limit = view.limit;
        for place in (0..view.layers).rev() {
            let Some(shown) = shown(piece, start, limit) else { return Ok(()) };
            if let Some(file) = if_there(File::open(self.object_path(state, place, object)))? {
                return Ok(files::read_at(&file, shown, within)?);
            }
            limit = limit.min(state.header.layers[place].below);
        }
        let Some(shown) = shown(piece, start, limit) else { return Ok(()) };
        if let Some((parent, layer)) = state.parent()? {
            let state = parent.peek();
            parent.fill(&state, state.view(Some(layer))?, start, shown)?;
        }
        Ok(())
    }

    /// Whether the view shows anything but zeros in the stretch, as far as the objects there tell.
    pub(super) fn occupied(&self, state: &State, view: View, offset: u64, length: u64) -> Outcome<bool> {
        for (object, within, length) in self.pieces(offset, length) {
            if self.piece_occupied(state, view, object * self.object_size + within, length)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn piece_occupied(&self, state: &State, view: View, start: u64, length: u64) -> Outcome<bool> {
        let mut limit = view.limit;
        for place in (0..view.layers).rev() {
            if start >= limit {
                return Ok(false);
            }
            let path = self.object_path(state, place, start / self.object_size);
            if let Some(metadata) = if_there(fs::metadata(path))? {
                return Ok(metadata.len() > start % self.object_size);
            }
            limit = limit.min(state.header.layers[place].below);
        }
        match state.parent()? {
            Some((parent, layer)) if start < limit => {
                let state = parent.peek();
                parent.occupied(&state, state.view(Some(layer))?, start, length.min(limit - start))
            }
            _ => Ok(false),
        }
    }

    /// The stretches that may be more than zeros, sorted and merged.
    pub fn allocated(&self, state: &State, view: View) -> Outcome<Vec<Extent>> {
        let mut seen = BTreeSet::new();
        let mut extents = Vec::new();
        let mut limit = view.limit;
        for place in (0..view.layers).rev() {
            for (object, length) in self.objects(state, place)? {
                let start = object * self.object_size;
                if start < limit && seen.insert(object) && length > 0 {
                    extents.push(Extent { offset: start, length: length.min(limit - start) });
                }
            }
            limit = limit.min(state.header.layers[place].below);
        }
        if let (Some((parent, layer)), true) = (state.parent()?, limit > 0) {
            let state = parent.peek();
            for extent in parent.allocated(&state, state.view(Some(layer))?)? {
                let length = extent.length.min(limit.saturating_sub(extent.offset));
                for (object, within, length) in self.pieces(extent.offset, length) {
                    if !seen.contains(&object) {
                        extents.push(Extent { offset: object * self.object_size + within, length });
                    }
                }
            }
        }
        Ok(Extent::merged(extents, view.limit))
    }

    /// The objects of a layer with the lengths of their files.
    fn objects(&self, state: &State, place: usize) -> Outcome<BTreeMap<u64, u64>> {
        let mut objects = lengths(&self.layer_folder(&state.header.layers[place]))?;
        if state.is_head(place) {
            for object in lock(&self.dirty).fresh.clone() {
                let metadata = if_there(fs::metadata(self.fresh_folder().join(file_name(object))))?;
                objects.extend(metadata.map(|metadata| (object, metadata.len())));
            }
        }
        Ok(objects)
    }
}

pub fn file_name(object: u64) -> String {
    format!("{object:016x}")
}

/// The objects in a folder: what else lies there is not ours.
pub fn numbers(folder: &Path) -> Outcome<Vec<u64>> {
    let mut numbers = Vec::new();
    for name in files::entries(folder)? {
        numbers.extend(u64::from_str_radix(&name?, 16).ok());
    }
    Ok(numbers)
}

fn lengths(folder: &Path) -> Outcome<BTreeMap<u64, u64>> {
    let mut lengths = BTreeMap::new();
    let Some(entries) = if_there(fs::read_dir(folder))? else { return Ok(lengths) };
    for entry in entries {
        let entry = entry?;
        let object = entry.file_name().to_str().and_then(|name| u64::from_str_radix(name, 16).ok());
        if let (Some(object), Some(metadata)) = (object, if_there(entry.metadata())?) {
            lengths.insert(object, metadata.len());
        }
    }
    Ok(lengths)
}

/// The part of a buffer for the bytes from `start` on that lies below the limit.
fn shown(buffer: &mut [u8], start: u64, limit: u64) -> Option<&mut [u8]> {
    let length = limit.checked_sub(start).filter(|length| *length > 0)?;
    let length = length.min(buffer.len() as u64) as usize;
    Some(&mut buffer[..length])
}
