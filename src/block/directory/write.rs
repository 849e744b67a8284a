//! Changing the bytes of an image's head, and making them durable.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::MutexGuard;
use std::sync::RwLockWriteGuard;

use super::fault::{Outcome, if_there, lock};
use super::files;
use super::image::{Dirty, Image, State, View, file_name};

/// How much is copied at once.
const CHUNK: u64 = 1 << 20;

/// So many files are made durable sooner by syncing the whole file system than one by one.
const MANY: usize = 1024;

/// What happens to a stretch of one object.
#[derive(Clone, Copy)]
pub enum Change<'a> {
    Write(&'a [u8]),
    Zero(u64),
    /// Zeros, but only where that frees space.
    Discard(u64),
}

impl Change<'_> {
    fn length(self) -> u64 {
        match self {
            Change::Write(data) => data.len() as u64,
            Change::Zero(length) | Change::Discard(length) => length,
        }
    }

    fn apply(self, file: &File, within: u64) -> io::Result<()> {
        match self {
            Change::Write(data) => file.write_all_at(data, within),
            Change::Zero(length) | Change::Discard(length) => files::punch(file, within, length),
        }
    }
}

/// The right to change the layers: the head is durable, and nobody else is at the image.
pub struct Still<'a> {
    pub state: RwLockWriteGuard<'a, State>,
    _settling: MutexGuard<'a, ()>,
}

impl Image {
    pub fn write(&self, offset: u64, data: &[u8]) -> Outcome<()> {
        let mut rest = data;
        self.change_all(offset, data.len() as u64, |length| {
            let (piece, after) = rest.split_at(length as usize);
            rest = after;
            Change::Write(piece)
        })
    }

    pub fn write_zeroes(&self, offset: u64, length: u64) -> Outcome<()> {
        self.change_all(offset, length, Change::Zero)
    }

    pub fn discard(&self, offset: u64, length: u64) -> Outcome<()> {
        self.change_all(offset, length, Change::Discard)
    }

    /// Changes a stretch, object by object; the change of each is made from its length.
    fn change_all<'a>(
        &self,
        offset: u64,
        length: u64,
        mut change: impl FnMut(u64) -> Change<'a>,
    ) -> Outcome<()> {
        let state = self.state()?;
        state.now().check(offset, length)?;
        for (object, within, length) in self.pieces(offset, length) {
            self.change(&state, object, within, change(length))?;
        }
        Ok(())
    }

    fn change(&self, state: &State, object: u64, within: u64, change: Change<'_>) -> Outcome<()> {
        let _turn = lock(self.turn(object));
        let start = object * self.object_size;
        let whole = within == 0 && change.length() == self.object_size.min(state.header.size - start);
        match change {
            Change::Zero(_) | Change::Discard(_) if whole => self.clear(state, object),
            _ => self.change_part(state, object, within, change, whole),
        }
    }

    fn change_part(
        &self,
        state: &State,
        object: u64,
        within: u64,
        change: Change<'_>,
        whole: bool,
    ) -> Outcome<()> {
        let head = state.header.head();
        let path = self.object_path(state, head, object);
        if let Some(file) = if_there(OpenOptions::new().write(true).open(&path))? {
            change.apply(&file, within)?;
            lock(&self.dirty).touched.insert(object);
            return Ok(());
        }
        let covered = self.covers(state, object)?;
        match change {
            Change::Discard(_) => return Ok(()),
            Change::Zero(_) if !covered => return Ok(()),
            _ => {}
        }
        if covered {
            return self.copy_up(state, object, within, change, whole);
        }
        let file = self.create(&path)?;
        change.apply(&file, within)?;
        let mut dirty = lock(&self.dirty);
        dirty.touched.insert(object);
        dirty.entries = true;
        Ok(())
    }

    /// Whether an object that the head does not have shows anything from beneath.
    fn covers(&self, state: &State, object: u64) -> Outcome<bool> {
        let beneath = state.beneath(state.header.head());
        self.occupied(state, beneath, object * self.object_size, self.object_size)
    }

    /// Makes the head's object out of what lies beneath and the change.
    fn copy_up(
        &self,
        state: &State,
        object: u64,
        within: u64,
        change: Change<'_>,
        whole: bool,
    ) -> Outcome<()> {
        let path = self.fresh_folder().join(file_name(object));
        let made = self.create(&path).and_then(|file| {
            if !whole {
                self.copy(state, state.beneath(state.header.head()), object, &file)?;
            }
            Ok(change.apply(&file, within)?)
        });
        if made.is_err() {
            files::remove_if_there(&path)?;
            return made;
        }
        let mut dirty = lock(&self.dirty);
        dirty.touched.insert(object);
        dirty.fresh.insert(object);
        Ok(())
    }

    /// Writes to a file what a view shows of an object.
    pub(super) fn copy(&self, state: &State, view: View, object: u64, file: &File) -> Outcome<()> {
        let start = object * self.object_size;
        let length = self.object_size.min(view.limit.saturating_sub(start));
        let mut buffer = Vec::new();
        for offset in (0..length).step_by(CHUNK as usize) {
            buffer.clear();
            buffer.resize(CHUNK.min(length - offset) as usize, 0);
            self.fill(state, view, start + offset, &mut buffer)?;
            files::write_sparsely(file, &buffer, offset)?;
        }
        Ok(())
    }

    /// Makes a whole object zeros: no file where nothing lies beneath, an empty one where something does.
    fn clear(&self, state: &State, object: u64) -> Outcome<()> {
        let path = self.object_path(state, state.header.head(), object);
        let is_fresh = path.starts_with(self.fresh_folder());
        if is_fresh || self.covers(state, object)? {
            self.create(&path)?.set_len(0)?;
            lock(&self.dirty).touched.insert(object);
        } else {
            files::remove_if_there(&path)?;
        }
        lock(&self.dirty).entries = true;
        Ok(())
    }

    /// Opens a file for writing and makes what is missing of it.
    pub(super) fn create(&self, path: &Path) -> Outcome<File> {
        let mut options = OpenOptions::new();
        options.write(true).create(true);
        if let Some(file) = if_there(options.open(path))? {
            return Ok(file);
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
            lock(&self.dirty).folders = true;
        }
        Ok(options.open(path)?)
    }

    /// Makes all that was written so far durable.
    pub fn flush(&self) -> Outcome<()> {
        let _settling = lock(&self.settling);
        let taken = Taken::from(self);
        // The head stays the head meanwhile; so others may go on, however long this takes.
        let head = self.layer_folder(self.state()?.head());
        taken.sync_files(&head)?;
        if !taken.dirty.fresh.is_empty() {
            taken.promote(&*self.state_mut()?)?;
        }
        taken.sync_folders(&*self.state()?)
    }

    /// Waits until nobody is at the image, and makes the head durable.
    pub fn still(&self) -> Outcome<Still<'_>> {
        let settling = lock(&self.settling);
        let state = self.state_mut()?;
        let taken = Taken::from(self);
        taken.sync_files(&self.layer_folder(state.head()))?;
        taken.promote(&state)?;
        taken.sync_folders(&state)?;
        Ok(Still { state, _settling: settling })
    }
}

/// What one flush makes durable. Given back when it does not come to its end.
struct Taken<'a> {
    image: &'a Image,
    dirty: Dirty,
    done: bool,
}

impl<'a> Taken<'a> {
    fn from(image: &'a Image) -> Self {
        let mut dirty = lock(&image.dirty);
        // What is fresh stays so until it has moved.
        let fresh = dirty.fresh.clone();
        let taken = std::mem::take(&mut *dirty);
        dirty.fresh = fresh;
        Self { image, dirty: taken, done: false }
    }

    fn sync_files(&self, head: &Path) -> Outcome<()> {
        let objects: BTreeSet<_> = self.dirty.touched.union(&self.dirty.fresh).collect();
        if objects.len() > MANY {
            return Ok(files::sync_all(&self.image.folder)?);
        }
        let fresh = self.image.fresh_folder();
        for object in objects {
            let folder = if self.dirty.fresh.contains(object) { &fresh } else { head };
            if let Some(file) = if_there(File::open(folder.join(file_name(*object))))? {
                file.sync_data()?;
            }
        }
        Ok(())
    }

    /// Moves what is fresh, and durable by now, to the head. Nobody else may be at the image.
    fn promote(&self, state: &State) -> Outcome<()> {
        if self.dirty.fresh.is_empty() {
            return Ok(());
        }
        let folder = self.image.layer_folder(state.head());
        fs::create_dir_all(&folder)?;
        for object in &self.dirty.fresh {
            let name = file_name(*object);
            if_there(fs::rename(self.image.fresh_folder().join(&name), folder.join(&name)))?;
            lock(&self.image.dirty).fresh.remove(object);
        }
        Ok(())
    }

    fn sync_folders(mut self, state: &State) -> Outcome<()> {
        if self.dirty.entries || !self.dirty.fresh.is_empty() {
            files::sync_folder(&self.image.layer_folder(state.head()))?;
        }
        if self.dirty.folders || !self.dirty.fresh.is_empty() {
            files::sync_folder(&self.image.folder)?;
            if let Some(pool) = self.image.folder.parent() {
                files::sync_folder(pool)?;
            }
        }
        self.done = true;
        Ok(())
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if !self.done {
            let mut dirty = lock(&self.image.dirty);
            dirty.touched.append(&mut self.dirty.touched);
            dirty.entries |= self.dirty.entries || !self.dirty.fresh.is_empty();
            dirty.folders |= self.dirty.folders;
        }
    }
}
