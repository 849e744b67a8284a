//! Changing the layers of an image: snapshots, sizes, the tie to the parent.
//!
//! Each step leaves a state that is right, or that the same call made again puts right.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::path::Path;
use std::sync::Arc;

use super::fault::{Fault, Outcome, if_there, lock};
use super::files;
use super::header::{Frozen, Header, Layer};
use super::image::{Image, State, Tie, file_name, numbers};
use super::write::Still;
use crate::block::{ErrorKind, Progress};

/// Objects handled in one go, while nobody else gets at the image.
const BATCH: usize = 1024;

/// The largest size: offsets of files are signed.
const MOST: u64 = i64::MAX as u64;

pub fn check_size(size: u64) -> Outcome<()> {
    if size <= MOST {
        Ok(())
    } else {
        Err(Fault::new(ErrorKind::Invalid, format!("{size} bytes is too much")))
    }
}

fn go_on(progress: &Progress, done: usize, total: usize) -> Outcome<()> {
    if progress.report(done as u64, total as u64) {
        Ok(())
    } else {
        Err(Fault::new(ErrorKind::Cancelled, "cancelled"))
    }
}

impl Image {
    /// Replaces the header by a changed one.
    pub fn update(&self, change: impl FnOnce(&mut Header) -> Outcome<()>) -> Outcome<()> {
        let mut state = self.state_mut()?;
        let mut header = state.header.clone();
        change(&mut header)?;
        self.persist(&mut state, header)
    }

    pub fn create_snapshot(&self, snapshot: &str) -> Outcome<()> {
        // Most of what is to be made durable, while others may still be at the image.
        self.flush()?;
        let mut still = self.still()?;
        let mut header = still.state.header.clone();
        must_be_free(&header, snapshot)?;
        let (size, head) = (header.size, header.head());
        let number = header.layers[head].number + 1;
        header.layers[head].snapshot = Some(Frozen { name: snapshot.into(), size, protected: false });
        header.layers.push(Layer { number, below: size, snapshot: None });
        self.persist(&mut still.state, header)
    }

    pub fn rename_snapshot(&self, from: &str, to: &str) -> Outcome<()> {
        self.update(|header| {
            let place = header.find(from)?;
            must_be_free(header, to)?;
            if let Some(frozen) = &mut header.layers[place].snapshot {
                frozen.name = to.into();
            }
            Ok(())
        })
    }

    pub fn protect_snapshot(&self, snapshot: &str) -> Outcome<()> {
        self.set_protected(snapshot, true)
    }

    pub fn unprotect_snapshot(&self, snapshot: &str) -> Outcome<()> {
        self.set_protected(snapshot, false)
    }

    fn set_protected(&self, snapshot: &str, protected: bool) -> Outcome<()> {
        let mut state = self.state_mut()?;
        let mut header = state.header.clone();
        let place = header.find(snapshot)?;
        let layer = &mut header.layers[place];
        if !protected {
            self.must_have_no_children(layer.number)?;
        }
        match &mut layer.snapshot {
            Some(frozen) if frozen.protected != protected => frozen.protected = protected,
            _ => return Ok(()),
        }
        self.persist(&mut state, header)
    }

    fn must_have_no_children(&self, layer: u64) -> Outcome<()> {
        if lock(&self.children).values().any(|tie| tie.layer == layer) {
            return Err(Fault::new(ErrorKind::HasChildren, "clones hang on the snapshot"));
        }
        Ok(())
    }

    /// Takes the snapshot's name away, and then its layer.
    pub fn remove_snapshot(&self, snapshot: &str) -> Outcome<()> {
        let _maintenance = lock(&self.maintenance);
        self.update(|header| {
            let place = header.find(snapshot)?;
            let layer = &mut header.layers[place];
            if layer.snapshot.as_ref().is_some_and(|frozen| frozen.protected) {
                return Err(Fault::new(ErrorKind::Busy, "the snapshot is protected"));
            }
            self.must_have_no_children(layer.number)?;
            layer.snapshot = None;
            Ok(())
        })?;
        self.merge_nameless()
    }

    /// Ends what a removal of a snapshot has begun, perhaps before a crash.
    pub fn merge_leftovers(&self) -> Outcome<()> {
        let _maintenance = lock(&self.maintenance);
        self.merge_nameless()
    }

    /// Merges each layer that nothing names into the next newer one. `maintenance` is held.
    fn merge_nameless(&self) -> Outcome<()> {
        loop {
            let (place, folder) = {
                let state = self.state()?;
                let Some(place) = nameless(&state.header) else { return Ok(()) };
                (place, self.layer_folder(&state.header.layers[place]))
            };
            let objects = numbers(&folder)?;
            for batch in objects.chunks(BATCH) {
                let still = self.still()?;
                self.merge_objects(&still.state, place, batch)?;
            }
            let mut still = self.still()?;
            // A flatten may have put objects there meanwhile.
            self.merge_objects(&still.state, place, &numbers(&folder)?)?;
            let mut header = still.state.header.clone();
            let merged = header.layers.remove(place);
            let newer = &mut header.layers[place];
            newer.below = newer.below.min(merged.below);
            self.persist(&mut still.state, header)?;
            if_there(fs::remove_dir(folder))?;
        }
    }

    /// Moves objects to the next newer layer, as far as they show through it.
    fn merge_objects(&self, state: &State, place: usize, objects: &[u64]) -> Outcome<()> {
        if objects.is_empty() {
            return Ok(());
        }
        let (older, newer) = (&state.header.layers[place], &state.header.layers[place + 1]);
        let (from, to) = (self.layer_folder(older), self.layer_folder(newer));
        fs::create_dir_all(&to)?;
        for object in objects {
            let name = file_name(*object);
            let path = from.join(&name);
            let shown = newer.below.saturating_sub(object * self.object_size);
            if shown == 0 || files::exists(&to.join(&name))? {
                files::remove_if_there(&path)?;
            } else {
                cut(&path, shown)?;
                fs::rename(path, to.join(name))?;
            }
        }
        files::sync_folder(&to)?;
        Ok(files::sync_folder(&self.folder)?)
    }

    pub fn grow(&self, size: u64) -> Outcome<()> {
        check_size(size)?;
        let _maintenance = lock(&self.maintenance);
        self.grow_to(size)
    }

    pub fn resize(&self, size: u64, progress: &Progress) -> Outcome<()> {
        check_size(size)?;
        let _maintenance = lock(&self.maintenance);
        if size < self.state()?.header.size { self.cut_to(size, progress) } else { self.grow_to(size) }
    }

    /// `maintenance` is held.
    fn grow_to(&self, size: u64) -> Outcome<()> {
        if size <= self.state()?.header.size {
            return Ok(());
        }
        self.update(|header| {
            header.size = size;
            Ok(())
        })
    }

    /// Makes it smaller, and zeros of all bytes from `size` on. `maintenance` is held.
    fn cut_to(&self, size: u64, progress: &Progress) -> Outcome<()> {
        go_on(progress, 0, 1)?;
        self.update(|header| {
            let head = header.head();
            header.layers[head].below = header.layers[head].below.min(size);
            Ok(())
        })?;
        self.flush()?;
        let folder = self.layer_folder(self.state()?.head());
        let doomed = self.from(&folder, size)?;
        for (number, batch) in doomed.chunks(BATCH).enumerate() {
            go_on(progress, number * BATCH, doomed.len())?;
            let still = self.still()?;
            self.cut_objects(&still.state, batch, size)?;
        }
        // What was written meanwhile, perhaps above a new snapshot. Nobody writes there again before it is cut off.
        let mut still = self.still()?;
        let folder = self.layer_folder(still.state.head());
        self.cut_objects(&still.state, &self.from(&folder, size)?, size)?;
        files::sync_folder(&folder)?;
        let mut header = still.state.header.clone();
        let head = header.head();
        header.layers[head].below = header.layers[head].below.min(size);
        header.size = size;
        self.persist(&mut still.state, header)
    }

    /// The objects in a folder that reach beyond a size.
    fn from(&self, folder: &Path, size: u64) -> Outcome<Vec<u64>> {
        let mut objects = numbers(folder)?;
        objects.retain(|object| (object + 1) * self.object_size > size);
        Ok(objects)
    }

    fn cut_objects(&self, state: &State, objects: &[u64], size: u64) -> Outcome<()> {
        let folder = self.layer_folder(state.head());
        for object in objects {
            let path = folder.join(file_name(*object));
            match size.saturating_sub(object * self.object_size) {
                0 => files::remove_if_there(&path)?,
                kept => cut(&path, kept)?,
            }
        }
        Ok(())
    }

    pub fn roll_back(&self, snapshot: &str, progress: &Progress) -> Outcome<()> {
        let _maintenance = lock(&self.maintenance);
        self.flush()?;
        let (number, objects) = {
            let mut still = self.still()?;
            let place = still.state.header.find(snapshot)?;
            let number = still.state.header.layers[place].number;
            go_on(progress, 0, 1)?;
            self.show_from_below(&mut still, number)?;
            (number, self.differing(&still.state, number)?)
        };
        for (count, object) in objects.iter().enumerate() {
            go_on(progress, count, objects.len())?;
            let still = self.still()?;
            self.roll_back_object(&still.state, number, *object)?;
        }
        go_on(progress, objects.len(), objects.len())?;
        self.flush()
    }

    /// Gives the image the size of the snapshot, and lets the head show what lies beneath it.
    fn show_from_below(&self, still: &mut Still<'_>, number: u64) -> Outcome<()> {
        let mut header = still.state.header.clone();
        let size = header.frozen(number)?.1.size;
        let head = header.head();
        header.size = size;
        header.layers[head].below = size;
        self.persist(&mut still.state, header)
    }

    /// The objects that may be others now than they were in the snapshot.
    fn differing(&self, state: &State, number: u64) -> Outcome<BTreeSet<u64>> {
        let (place, frozen) = state.header.frozen(number)?;
        let newer = &state.header.layers[place + 1..];
        let mut objects = BTreeSet::new();
        for layer in newer {
            objects.extend(numbers(&self.layer_folder(layer))?);
        }
        let masked = masked_from(newer);
        if masked < frozen.size {
            for extent in self.allocated(state, state.view(Some(number))?)? {
                let end = extent.offset + extent.length;
                let start = extent.offset.max(masked);
                objects.extend(self.pieces(start, end.saturating_sub(start)).map(|(object, ..)| object));
            }
        }
        Ok(objects)
    }

    /// Lets the head's object show the snapshot's: by taking it away, or where a layer between them hides
    /// the snapshot's by a copy.
    fn roll_back_object(&self, state: &State, number: u64, object: u64) -> Outcome<()> {
        let (place, _) = state.header.frozen(number)?;
        let view = state.view(Some(number))?;
        let between = &state.header.layers[place + 1..state.header.head()];
        let path = self.layer_folder(state.head()).join(file_name(object));
        let start = object * self.object_size;
        let mut hidden =
            masked_from(&state.header.layers[place + 1..]) < view.limit.min(start + self.object_size);
        for layer in between {
            hidden |= files::exists(&self.layer_folder(layer).join(file_name(object)))?;
        }
        let mut dirty = lock(&self.dirty);
        dirty.touched.insert(object);
        dirty.entries = true;
        drop(dirty);
        if !hidden || start >= view.limit {
            return Ok(files::remove_if_there(&path)?);
        }
        let file = self.create(&path)?;
        file.set_len(0)?;
        self.copy(state, view, object, &file)
    }

    /// Copies what is still read from the parent into the oldest layer, so that snapshots keep it too.
    pub fn flatten(&self, progress: &Progress) -> Outcome<()> {
        let Some(objects) = self.objects_of_parent()? else { return Ok(()) };
        for (count, object) in objects.iter().enumerate() {
            go_on(progress, count, objects.len())?;
            self.copy_from_parent(*object)?;
        }
        self.cut_tie()?;
        let _ = progress.report(objects.len() as u64, objects.len() as u64);
        Ok(())
    }

    fn objects_of_parent(&self) -> Outcome<Option<BTreeSet<u64>>> {
        let state = self.state()?;
        if state.header.parent.is_none() {
            return Ok(None);
        }
        let extents = self.allocated(&state, state.beneath(0))?;
        let pieces = extents.iter().flat_map(|extent| self.pieces(extent.offset, extent.length));
        Ok(Some(pieces.map(|(object, ..)| object).collect()))
    }

    fn copy_from_parent(&self, object: u64) -> Outcome<()> {
        let state = self.state()?;
        let _turn = lock(self.turn(object));
        // Layers are merged, snapshots made and sizes changed between two objects: all of that keeps what
        // was copied in sight of whoever saw the parent.
        let target = self.object_path(&state, 0, object);
        if state.header.parent.is_none() || files::exists(&target)? {
            return Ok(());
        }
        let draft = self.fresh_folder().join(format!("flat-{object}"));
        let file = self.create(&draft)?;
        file.set_len(0)?;
        self.copy(&state, state.beneath(0), object, &file)?;
        file.sync_data()?;
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::rename(draft, target)?;
        // Who writes to it, and flushes, must find it there after a loss of power, and its folder too.
        let mut dirty = lock(&self.dirty);
        dirty.entries = true;
        dirty.folders = true;
        Ok(())
    }

    fn cut_tie(&self) -> Outcome<()> {
        let mut still = self.still()?;
        files::sync_folder(&self.layer_folder(&still.state.header.layers[0]))?;
        files::sync_folder(&self.folder)?;
        let mut header = still.state.header.clone();
        header.parent = None;
        self.persist(&mut still.state, header)?;
        if let Some(parent) = still.state.parent.take() {
            lock(&parent.children).remove(&self.id);
        }
        Ok(())
    }

    /// Removes all objects. The image is gone already for everybody else.
    pub fn erase(&self, progress: &Progress) -> Outcome<()> {
        let layers = self.peek().header.layers.clone();
        let mut folders = Vec::new();
        for folder in layers.iter().map(|layer| self.layer_folder(layer)).chain([self.fresh_folder()]) {
            let objects = numbers(&folder)?;
            folders.push((folder, objects));
        }
        let total: usize = folders.iter().map(|(_, objects)| objects.len()).sum();
        let objects =
            folders.iter().flat_map(|(folder, objects)| objects.iter().map(move |object| (folder, object)));
        for (count, (folder, object)) in objects.enumerate() {
            go_on(progress, count, total)?;
            files::remove_if_there(&folder.join(file_name(*object)))?;
        }
        Ok(())
    }

    /// Shared so that the parent can name its clones.
    pub fn tie(self: &Arc<Self>, layer: u64) -> Tie {
        Tie { layer, child: Arc::downgrade(self) }
    }
}

fn must_be_free(header: &Header, snapshot: &str) -> Outcome<()> {
    match header.find(snapshot) {
        Ok(_) => Err(Fault::new(ErrorKind::Exists, format!("there is a snapshot {snapshot}"))),
        Err(_) => Ok(()),
    }
}

fn nameless(header: &Header) -> Option<usize> {
    header.layers[..header.head()].iter().position(|layer| layer.snapshot.is_none())
}

/// From where on newer layers hide all that lies beneath them.
fn masked_from(newer: &[Layer]) -> u64 {
    newer.iter().map(|layer| layer.below).min().unwrap_or(u64::MAX)
}

/// Shortens a file, durably, if it is longer.
fn cut(path: &Path, length: u64) -> Outcome<()> {
    let longer = if_there(fs::metadata(path))?.is_some_and(|metadata| metadata.len() > length);
    if longer {
        let file: File = OpenOptions::new().write(true).open(path)?;
        file.set_len(length)?;
        file.sync_data()?;
    }
    Ok(())
}
