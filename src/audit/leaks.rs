//! What Glance and Cinder leaked, as far as their pools alone can tell: no rows are asked, for they are not ours. Nothing
//! is mended either, for the same reason.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::seen::{self, Glance, Pool, Seen};
use super::{Finding, Kind, Looked, Place, Report, explain};
use crate::block::{BlockStore, Missing, OpenMode, Stores};
use crate::workflows::names::{self, Named};

pub struct Leaks {
    pub stores: Stores,
    /// Where Cinder keeps backups. Without it their snapshots are not judged.
    pub backups: Option<Arc<dyn BlockStore>>,
    /// The ids of all images, volumes and snapshots that the services know. Without them there are no orphans.
    pub ids: Option<HashSet<String>>,
    /// Images that are open at once: few, so that nobody else waits.
    pub at_once: usize,
    /// Whether to walk over all objects of the pools, for names that lead nowhere.
    pub at_objects: bool,
}

/// What the pool of backups says about one volume.
#[derive(Default)]
struct Backups {
    /// Of all its backups. Their names are those of the snapshots on the volume.
    snapshots: HashSet<String>,
    /// One is being made.
    is_open: bool,
}

/// An image, from anywhere.
type Key<'a> = (&'a str, &'a str, &'a str);

impl Leaks {
    /// Looks at everything, and once more at what seems wrong.
    pub async fn look(&self) -> Report {
        let first = self.look_once(None, self.at_objects).await;
        if first.findings.is_empty() {
            return first;
        }
        let second = self.look_once(Some(&first.suspects()), first.has_strays()).await;
        first.confirmed_by(second)
    }

    async fn look_once(&self, only: Option<&HashSet<String>>, at_objects: bool) -> Report {
        let mut unseen = Vec::new();
        let how = Glance { only, at_once: self.at_once, at_objects };
        let seen = seen::look(&self.stores, how, &mut unseen).await;
        let unread = self.unread(&seen, only, &mut unseen).await;
        let backups = self.backups(&mut unseen).await;
        let mut judge = Judge {
            unneeded: unneeded(&seen, self.ids.as_ref()),
            ids: self.ids.as_ref(),
            backups: backups.as_ref(),
            unjudged: 0,
            findings: Vec::new(),
        };
        for (place, pool) in &seen {
            judge.pool(place, pool);
        }
        for (place, name) in unread {
            let why = "It lies in the trash, and nothing reads from it: `rbd trash rm` removes it.";
            judge.add(place, Kind::Zombie, name, name.to_owned(), None, why);
        }
        if judge.unjudged > 0 && self.backups.is_none() && only.is_none() {
            unseen.push(format!("{} snapshots of backups: --backup-pool was not given", judge.unjudged));
        }
        Report::new(judge.findings, unseen)
    }

    /// What lies in the trash and has no clones.
    async fn unread<'a>(
        &self,
        seen: &'a [(Place, Pool)],
        only: Option<&HashSet<String>>,
        unseen: &mut Vec<String>,
    ) -> Vec<(&'a Place, &'a str)> {
        let mut unread = Vec::new();
        for (place, pool) in seen {
            for entry in &pool.trash {
                let is_ours = Named::parse(&entry.name).is_some_and(|named| place.may_hold(named));
                if !is_ours || only.is_some_and(|only| !only.contains(&entry.name)) {
                    continue;
                }
                match place.store.trash_has_clones(&entry.id).await.or_missing() {
                    Ok(Some(false)) => unread.push((place, entry.name.as_str())),
                    Ok(_) => {}
                    Err(error) => unseen.push(format!("{}/{} (trash): {error}", place.label, entry.name)),
                }
            }
        }
        unread
    }

    /// By the volumes' names. `None` when they could not be looked at.
    async fn backups(&self, unseen: &mut Vec<String>) -> Option<HashMap<String, Backups>> {
        let store = self.backups.as_ref()?;
        match look_at_backups(store).await {
            Ok(found) => Some(found),
            Err(error) => {
                unseen.push(format!("{}: {error}", store.pool()));
                None
            }
        }
    }
}

/// `volume-<id>.backup.<backup id>`, with a snapshot for each backup that it holds.
async fn look_at_backups(store: &Arc<dyn BlockStore>) -> Looked<HashMap<String, Backups>> {
    let mut found: HashMap<String, Backups> = HashMap::new();
    for name in store.list().await? {
        let Some(volume) = names::backed_up_in(&name) else { continue };
        let Some(image) = store.open(&name, OpenMode::ReadOnly).await.or_missing()? else { continue };
        let snapshots = image.snapshots().await;
        let is_open = image.is_open_elsewhere().await;
        image.close().await?;
        let backups = found.entry(volume.to_owned()).or_default();
        backups.snapshots.extend(snapshots?.into_iter().map(|snapshot| snapshot.name));
        backups.is_open |= is_open?;
    }
    Ok(found)
}

/// Deleted volumes that nothing reads from, but others of them.
fn unneeded<'a>(seen: &'a [(Place, Pool)], ids: Option<&HashSet<String>>) -> HashSet<Key<'a>> {
    let mut unneeded = HashSet::new();
    loop {
        let before = unneeded.len();
        for (place, pool) in seen {
            for (name, image) in &pool.images {
                let is_deleted = matches!(Named::parse(name), Some(Named::Deleted(_)));
                let mut snapshots = image.snapshots.iter().filter_map(|name| names::snapshot_of(name));
                // Without ids it may be one that somebody has.
                let is_wanted = snapshots.any(|id| ids.is_none_or(|ids| ids.contains(id.as_str())));
                if is_deleted && !is_wanted && !is_read(place, image, None, &unneeded) {
                    unneeded.insert(place.key(name));
                }
            }
        }
        if unneeded.len() == before {
            return unneeded;
        }
    }
}

/// Whether something needed hangs on an image, or on one snapshot of it.
fn is_read(place: &Place, image: &Seen, snapshot: Option<&str>, unneeded: &HashSet<Key<'_>>) -> bool {
    let Some(children) = &image.children else { return true };
    children.iter().filter(|child| snapshot.is_none_or(|snapshot| child.snapshot == snapshot)).any(|child| {
        child.in_trash || !unneeded.contains(&(place.fsid.as_str(), &*child.pool, &*child.image))
    })
}

impl Place {
    fn key<'a>(&'a self, name: &'a str) -> Key<'a> {
        (&self.fsid, self.store.pool(), name)
    }
}

struct Judge<'a> {
    unneeded: HashSet<Key<'a>>,
    ids: Option<&'a HashSet<String>>,
    backups: Option<&'a HashMap<String, Backups>>,
    /// Snapshots of backups that nothing could be said about.
    unjudged: usize,
    findings: Vec<Finding>,
}

impl Judge<'_> {
    fn pool(&mut self, place: &Place, pool: &Pool) {
        for left in &pool.strays.nameless {
            self.add(
                place,
                Kind::Nameless,
                &left.object,
                left.object.clone(),
                None,
                &explain::nameless(left),
            );
        }
        for stray in &pool.strays.names {
            if Named::parse(&stray.name).is_some_and(|named| place.may_hold(named)) {
                let why = explain::stray_name(stray);
                self.add(place, Kind::StrayName, &stray.name, stray.name.clone(), None, &why);
            }
        }
        for (name, seen) in &pool.images {
            for lock in seen.stale_locks() {
                let why = explain::stale_lock(lock);
                self.add(place, Kind::StaleLock, name, name.clone(), Some(seen.size), &why);
            }
            match Named::parse(name) {
                Some(Named::Volume(id)) => self.volume(place, name, id, seen),
                Some(Named::Deleted(_)) if self.unneeded.contains(&place.key(name)) => {
                    let why = "It was deleted while clones read from it, and none does any more that was not \
                        deleted itself.";
                    self.add(place, Kind::Zombie, name, name.clone(), Some(seen.size), why);
                }
                Some(Named::Image(id)) if place.has_images() => self.image(place, name, id, seen),
                _ => {}
            }
        }
    }

    fn volume(&mut self, place: &Place, name: &str, id: &str, seen: &Seen) {
        if self.is_unknown(id) {
            let why = "Its id is none of those that are known.";
            return self.add(place, Kind::Orphan, name, name.to_owned(), Some(seen.size), why);
        }
        for snapshot in &seen.snapshots {
            let why = if names::is_clone_snapshot(snapshot) {
                (!is_read(place, seen, Some(snapshot), &self.unneeded))
                    .then_some("It was taken for a clone, and nothing hangs on it that was not deleted.")
            } else if names::is_backup_snapshot(snapshot) {
                self.has_lost_its_backup(name, snapshot)
                    .then_some("It was taken for a backup that the pool of backups does not have.")
            } else {
                let is_unknown = names::snapshot_of(snapshot).is_some_and(|id| self.is_unknown(id.as_str()));
                is_unknown.then_some("Its id is none of those that are known.")
            };
            if let Some(why) = why {
                self.add(place, Kind::StraySnapshot, name, format!("{name}@{snapshot}"), None, why);
            }
        }
    }

    fn image(&mut self, place: &Place, name: &str, id: &str, seen: &Seen) {
        if self.is_unknown(id) {
            let why = "Its id is none of those that are known.";
            self.add(place, Kind::Orphan, name, name.to_owned(), Some(seen.size), why);
        } else if seen::is_bare_image(name, &seen.snapshots) && !seen.is_open() && !seen.has_children() {
            let why =
                "Its upload or its deletion broke off: it has no snapshot `snap`, and nobody writes to it.";
            self.add(place, Kind::Zombie, name, name.to_owned(), Some(seen.size), why);
        }
    }

    fn is_unknown(&self, id: &str) -> bool {
        self.ids.is_some_and(|ids| !ids.contains(id))
    }

    fn has_lost_its_backup(&mut self, volume: &str, snapshot: &str) -> bool {
        let Some(all) = self.backups else {
            self.unjudged += 1;
            return false;
        };
        all.get(volume).is_none_or(|backups| !backups.is_open && !backups.snapshots.contains(snapshot))
    }

    fn add(&mut self, place: &Place, kind: Kind, image: &str, name: String, size: Option<u64>, why: &str) {
        self.findings.push(Finding {
            kind,
            backend: place.label.clone(),
            name,
            size,
            explanation: why.to_owned(),
            repair: None,
            image: image.to_owned(),
            mend: None,
        });
    }
}
