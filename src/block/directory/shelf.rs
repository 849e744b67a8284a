//! One pool: which names there are, and what they mean.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard};

use super::fault::{Fault, Outcome, lock};
use super::files;
use super::header::{Header, ParentKey};
use super::image::{Image, Place, Removal};
use super::layers::check_size;
use crate::block::{ErrorKind, Progress, SnapshotPath, TrashEntry};

pub struct Shelf {
    pub name: String,
    folder: PathBuf,
    names: Mutex<Names>,
}

#[derive(Default)]
struct Names {
    images: BTreeMap<String, Entry>,
    /// By id, with the name it had.
    trash: BTreeMap<String, (String, Entry)>,
}

#[derive(Clone)]
enum Entry {
    Sound(Arc<Image>),
    /// The header is unusable, and why.
    Broken(String),
}

impl Entry {
    fn sound(&self) -> Outcome<Arc<Image>> {
        match self {
            Self::Sound(image) => Ok(image.clone()),
            Self::Broken(why) => Err(Fault::new(ErrorKind::Io, why)),
        }
    }
}

const HEADER: &str = ".json";

impl Shelf {
    /// Reads all headers of a pool, and clears away what a crash has left.
    pub fn load(folder: PathBuf, name: &str) -> Outcome<Self> {
        for part in ["images", "trash", "data"] {
            fs::create_dir_all(folder.join(part))?;
        }
        files::sync_folder(&folder)?;
        let shelf = Self { name: name.into(), folder, names: Mutex::default() };
        shelf.load_names()?;
        shelf.sweep()?;
        Ok(shelf)
    }

    fn load_names(&self) -> Outcome<()> {
        let mut names = lock(&self.names);
        for name in header_names(&self.folder.join("images"))? {
            let entry = self.load_entry(self.live(&name));
            names.images.insert(name, entry);
        }
        for stem in header_names(&self.folder.join("trash"))? {
            let Some((id, name)) = stem.split_once('~') else { continue };
            let entry = self.load_entry(self.trashed(id, name));
            names.trash.insert(id.into(), (name.into(), entry));
        }
        Ok(())
    }

    fn load_entry(&self, place: Place) -> Entry {
        match Header::load(&place.file) {
            Ok(header) => Entry::Sound(Arc::new(self.image(header, place, None))),
            Err(fault) => Entry::Broken(fault.of("open", "").detail),
        }
    }

    fn image(&self, header: Header, place: Place, parent: Option<Arc<Image>>) -> Image {
        let folder = self.folder.join("data").join(&header.id);
        Image::new(&self.name, folder, header, place, parent)
    }

    /// Removes copies that were not durable yet, and folders without an image. As long as a header is
    /// unusable, any folder may be its image's.
    fn sweep(&self) -> Outcome<()> {
        let images = self.images();
        for image in &images {
            if files::exists(&image.fresh_folder())? {
                fs::remove_dir_all(image.fresh_folder())?;
            }
        }
        let names = lock(&self.names);
        let mut entries = names.images.values().chain(names.trash.values().map(|(_, entry)| entry));
        if entries.any(|entry| matches!(entry, Entry::Broken(_))) {
            return Ok(());
        }
        let known: HashSet<&str> = images.iter().map(|image| &*image.id).collect();
        for folder in files::entries(&self.folder.join("data"))? {
            let folder = folder?;
            if !known.contains(&*folder) {
                fs::remove_dir_all(self.folder.join("data").join(folder))?;
            }
        }
        Ok(())
    }

    /// Ties the clones of this pool to their parents, and ends what snapshot removals have begun.
    pub fn link(&self, by_id: &HashMap<String, Arc<Image>>) -> Outcome<()> {
        for image in self.images() {
            let mut state = image.peek_mut();
            if let Some(key) = &state.header.parent
                && let Some(parent) = by_id.get(&key.image)
            {
                lock(&parent.children).insert(image.id.clone(), image.tie(key.layer));
                state.parent = Some(parent.clone());
            }
            drop(state);
            image.merge_leftovers()?;
        }
        Ok(())
    }

    /// All usable images, those in the trash too.
    pub fn images(&self) -> Vec<Arc<Image>> {
        let names = lock(&self.names);
        let entries = names.images.values().chain(names.trash.values().map(|(_, entry)| entry));
        entries.filter_map(|entry| entry.sound().ok()).collect()
    }

    fn live(&self, name: &str) -> Place {
        let file = self.folder.join("images").join(format!("{name}{HEADER}"));
        Place { file, name: name.into(), in_trash: false }
    }

    fn trashed(&self, id: &str, name: &str) -> Place {
        let file = self.folder.join("trash").join(format!("{id}~{name}{HEADER}"));
        Place { file, name: name.into(), in_trash: true }
    }

    pub fn list(&self) -> Vec<String> {
        lock(&self.names).images.keys().cloned().collect()
    }

    pub fn trash_list(&self) -> Vec<TrashEntry> {
        let entry =
            |(id, (name, _)): (&String, &(String, Entry))| TrashEntry { id: id.clone(), name: name.clone() };
        lock(&self.names).trash.iter().map(entry).collect()
    }

    pub fn find(&self, name: &str) -> Outcome<Arc<Image>> {
        find(&lock(&self.names), name)?.sound()
    }

    /// Finds an image and counts its new writer, so that a removal sees either both or nothing.
    pub fn find_to_write(&self, name: &str) -> Outcome<Arc<Image>> {
        let names = lock(&self.names);
        let image = find(&names, name)?.sound()?;
        image.peek().check_stays()?;
        image.writers.fetch_add(1, Ordering::SeqCst);
        Ok(image)
    }

    pub fn create(&self, name: &str, id: String, size: u64, object_size: u64) -> Outcome<()> {
        check_size(size)?;
        let image = self.image(Header::new(id, size, object_size, None), self.live(name), None);
        self.publish(name, Arc::new(image))
    }

    pub fn clone_snapshot(
        &self,
        name: &str,
        id: String,
        parent: &Arc<Image>,
        snapshot: &str,
        object_size: Option<u64>,
    ) -> Outcome<()> {
        let child = {
            // Held until the tie is there, so that nobody unprotects the snapshot meanwhile.
            let state = parent.state()?;
            let layer = &state.header.layers[state.header.find(snapshot)?];
            let size = match &layer.snapshot {
                Some(frozen) if frozen.protected => frozen.size,
                _ => return Err(Fault::new(ErrorKind::Invalid, "the snapshot is not protected")),
            };
            let key = ParentKey { image: parent.id.clone(), layer: layer.number };
            let object_size = object_size.unwrap_or(parent.object_size);
            let header = Header::new(id, size, object_size, Some(key));
            let child = Arc::new(self.image(header, self.live(name), Some(parent.clone())));
            lock(&parent.children).insert(child.id.clone(), child.tie(layer.number));
            child
        };
        let published = self.publish(name, child.clone());
        if published.is_err() {
            lock(&parent.children).remove(&child.id);
        }
        published
    }

    /// Gives a new image its name, if that is free.
    fn publish(&self, name: &str, image: Arc<Image>) -> Outcome<()> {
        must_be_free(&lock(&self.names), name)?;
        let state = image.peek();
        let draft = state.place.file.with_file_name(format!(".{}.new", image.id));
        files::write_new(&draft, &state.header.to_bytes()?)?;
        let mut names = lock(&self.names);
        if let Err(fault) = must_be_free(&names, name) {
            fs::remove_file(draft)?;
            return Err(fault);
        }
        files::rename(&draft, &state.place.file)?;
        drop(state);
        names.images.insert(name.into(), Entry::Sound(image));
        Ok(())
    }

    pub fn rename(&self, from: &str, to: &str) -> Outcome<()> {
        let mut names = lock(&self.names);
        let image = find(&names, from)?.sound()?;
        must_be_free(&names, to)?;
        place_at(&image, self.live(to), || {
            names.images.remove(from);
            names.images.insert(to.into(), Entry::Sound(image.clone()));
        })
    }

    pub fn trash_move(&self, name: &str) -> Outcome<String> {
        let mut names = lock(&self.names);
        let image = find(&names, name)?.sound()?;
        let id = image.id.clone();
        place_at(&image, self.trashed(&id, name), || {
            names.images.remove(name);
            names.trash.insert(id.clone(), (name.into(), Entry::Sound(image.clone())));
        })?;
        Ok(id)
    }

    pub fn remove(&self, name: &str, progress: &Progress) -> Outcome<()> {
        let names = lock(&self.names);
        let image = find(&names, name)?.sound()?;
        if image.peek().header.snapshots().next().is_some() {
            return Err(Fault::new(ErrorKind::HasSnapshots, "it has snapshots"));
        }
        self.remove_image(names, &image, progress, |names| {
            names.images.remove(name);
        })
    }

    pub fn trash_has_clones(&self, id: &str) -> Outcome<bool> {
        let image = find_in_trash(&lock(&self.names), id)?.sound()?;
        Ok(!lock(&image.children).is_empty())
    }

    /// Of a parent that is unusable nobody can let go.
    pub fn trash_remove(&self, id: &str, progress: &Progress) -> Outcome<Option<SnapshotPath>> {
        let names = lock(&self.names);
        let image = find_in_trash(&names, id)?.sound()?;
        let parent = image.peek().parent_path().ok().flatten().map(|(path, _)| path);
        self.remove_image(names, &image, progress, |names| {
            names.trash.remove(id);
        })?;
        Ok(parent)
    }

    /// The bytes first and then the header: until the very end the same call can be made again.
    fn remove_image(
        &self,
        names: MutexGuard<'_, Names>,
        image: &Arc<Image>,
        progress: &Progress,
        forget: impl FnOnce(&mut Names),
    ) -> Outcome<()> {
        condemn(image)?;
        drop(names);
        let removed = image.erase(progress).and_then(|()| self.remove_header(image, forget));
        let mut state = image.peek_mut();
        if state.removal == Removal::Running {
            state.removal = Removal::None;
        }
        removed
    }

    fn remove_header(&self, image: &Arc<Image>, forget: impl FnOnce(&mut Names)) -> Outcome<()> {
        let mut names = lock(&self.names);
        let mut state = image.peek_mut();
        files::remove_if_there(&state.place.file)?;
        if let Some(folder) = state.place.file.parent() {
            files::sync_folder(folder)?;
        }
        forget(&mut names);
        state.removal = Removal::Done;
        if let Some(parent) = state.parent.take() {
            lock(&parent.children).remove(&image.id);
        }
        drop(names);
        if files::exists(&image.folder)? {
            fs::remove_dir_all(&image.folder)?;
        }
        Ok(())
    }
}

/// Moves the header of an image. From then on it lies there, and `moved` says so elsewhere, even when nobody can tell
/// whether that outlives a loss of power.
fn place_at(image: &Image, place: Place, moved: impl FnOnce()) -> Outcome<()> {
    let mut state = image.state_mut()?;
    fs::rename(&state.place.file, &place.file)?;
    let before = std::mem::replace(&mut state.place, place);
    moved();
    Ok(files::sync_rename(&before.file, &state.place.file)?)
}

/// Shuts an image for good, unless somebody needs it.
fn condemn(image: &Image) -> Outcome<()> {
    let mut state = image.state_mut()?;
    if !lock(&image.children).is_empty() {
        return Err(Fault::new(ErrorKind::HasChildren, "it has clones"));
    }
    if image.writers.load(Ordering::SeqCst) > 0 {
        return Err(Fault::new(ErrorKind::Busy, "it is open for writing"));
    }
    state.removal = Removal::Running;
    Ok(())
}

fn find<'a>(names: &'a Names, name: &str) -> Outcome<&'a Entry> {
    names.images.get(name).ok_or_else(|| Fault::new(ErrorKind::NotFound, "no such image"))
}

fn find_in_trash<'a>(names: &'a Names, id: &str) -> Outcome<&'a Entry> {
    let found = names.trash.get(id).map(|(_, entry)| entry);
    found.ok_or_else(|| Fault::new(ErrorKind::NotFound, "no such entry in the trash"))
}

fn must_be_free(names: &Names, name: &str) -> Outcome<()> {
    if names.images.contains_key(name) {
        return Err(Fault::new(ErrorKind::Exists, "the name is taken"));
    }
    Ok(())
}

/// The names of the headers in a folder. Drafts that a crash has left are removed.
fn header_names(folder: &Path) -> Outcome<Vec<String>> {
    let mut names = Vec::new();
    for name in files::entries(folder)? {
        let name = name?;
        match name.strip_suffix(HEADER) {
            Some(stem) => names.push(stem.into()),
            None if name.starts_with('.') && name.ends_with(".new") => fs::remove_file(folder.join(name))?,
            None => {}
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_removes_what_another_one_removes_is_told_to_wait() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::load(folder.path().into(), "p").unwrap();
        shelf.create("a", "1".into(), 4096, 4096).unwrap();
        let image = shelf.find("a").unwrap();
        let refused = |outcome: Outcome<()>| outcome.unwrap_err().kind;

        condemn(&image).unwrap();
        assert_eq!(refused(shelf.remove("a", &Progress::new())), ErrorKind::Busy);
        assert_eq!(refused(shelf.rename("a", "b")), ErrorKind::Busy);
        assert_eq!(refused(shelf.trash_move("a").map(drop)), ErrorKind::Busy);
        assert_eq!(refused(shelf.find_to_write("a").map(drop)), ErrorKind::Busy);
        assert_eq!(refused(image.state().map(drop)), ErrorKind::NotFound);

        // The first one fails.
        image.peek_mut().removal = Removal::None;
        shelf.rename("a", "b").unwrap();
        shelf.remove("b", &Progress::new()).unwrap();
        assert_eq!(refused(shelf.remove("b", &Progress::new())), ErrorKind::NotFound);
        assert_eq!(refused(condemn(&image)), ErrorKind::NotFound);
    }
}
