//! Holds pools and rows against each other. Asks nobody: what it is given decides.

use std::collections::HashSet;

use super::repair::Mend;
use super::seen::{Pool, Seen};
use super::{Clients, Finding, Kind, Known, Place, explain};
use crate::block::{Backends, Leads, LockKind, Nameless, StrayName};
use crate::db::{KnownCopy, KnownImage, KnownVolume};
use crate::model::{AttachmentStatus, Gib, ImageStatus, SnapshotStatus, Timestamp, VolumeId, VolumeStatus};
use crate::workflows::names::{self, Named};

pub(super) fn judge(
    backends: &Backends,
    seen: &[(Place, Pool)],
    known: &Known,
    alive: &Clients,
    only: Option<&HashSet<String>>,
    unseen: &mut Vec<String>,
) -> Vec<Finding> {
    let mut judge = Judge { backends, seen, known, alive, only, findings: Vec::new() };
    for (place, pool) in seen {
        judge.pool(place, pool);
    }
    judge.volumes(unseen);
    judge.snapshots();
    judge.images();
    judge.cached();
    judge.findings
}

struct Judge<'a> {
    backends: &'a Backends,
    seen: &'a [(Place, Pool)],
    known: &'a Known,
    alive: &'a Clients,
    only: Option<&'a HashSet<String>>,
    findings: Vec<Finding>,
}

impl<'a> Judge<'a> {
    fn pool(&mut self, place: &'a Place, pool: &'a Pool) {
        for (name, seen) in &pool.images {
            let Some(named) = Named::parse(name) else { continue };
            if self.is_at_work(named.id()) {
                continue;
            }
            self.locks(place, name, named, seen);
            match named {
                Named::Volume(id) => self.volume_on_pool(place, name, id, seen),
                Named::Deleted(_) => self.deleted_on_pool(place, name, seen),
                Named::Image(id) if place.has_images() => self.image_on_pool(place, name, id, seen),
                Named::Staged(_) if place.has_staged() && !self.known.staged.contains(name) => {
                    let why = "What arrived for an import that no image waits for any more.";
                    self.unless_noted(place, name, seen, Kind::Zombie, why, Mend::Trash);
                }
                Named::Cached(_) if !self.known.cached.contains_key(name) => {
                    let why = "A raw copy of an image that the cache does not know.";
                    self.unless_noted(place, name, seen, Kind::Zombie, why, Mend::Discard);
                }
                Named::Fetched(_) => {
                    let why = "What came from the web for a volume that no job makes any more.";
                    self.unless_noted(place, name, seen, Kind::Zombie, why, Mend::Discard);
                }
                Named::Image(_) | Named::Staged(_) | Named::Cached(_) => {}
            }
        }
        for name in pool.names.iter().filter(|name| names::kept_of(name).is_some()) {
            let why = "A repair that broke off was moving it to the trash: nobody has it, and it has its name no more.";
            self.add(place, Kind::Orphan, name, None, why, None);
        }
        for entry in &pool.trash {
            self.in_trash(place, &entry.name);
        }
        for stray in &pool.strays.names {
            self.stray_name(place, stray);
        }
        for left in &pool.strays.nameless {
            self.nameless(place, left);
        }
    }

    /// A lock is broken where nobody has the image open, nor ever will have again without taking it anew: an instance
    /// whose hypervisor was only cut off comes back. An advisory lock may be meant to stay: by a client that is busy
    /// elsewhere, and that must not be shut out.
    fn locks(&mut self, place: &Place, name: &str, named: Named<'_>, seen: &Seen) {
        let row = match named {
            Named::Volume(id) => self.known.volumes.get(id),
            _ => None,
        };
        let is_attached = row.is_some_and(|row| self.known.attachments.contains_key(&row.id));
        for lock in seen.stale_locks() {
            let is_meant = lock.kind == LockKind::Advisory
                && self.alive.contains(&(place.fsid.clone(), lock.owner.clone()));
            let is_safe = !seen.is_open() && !is_attached && !is_meant;
            let mend = is_safe.then(|| Mend::BreakLock(lock.clone()));
            self.add(place, Kind::StaleLock, name, Some(seen.size), explain::stale_lock(lock), mend);
        }
    }

    fn stray_name(&mut self, place: &Place, stray: &StrayName) {
        let Some(named) = Named::parse(&stray.name) else { return };
        if !place.may_hold(named) || self.is_at_work(named.id()) || !self.is_old(written(stray.written_at)) {
            return;
        }
        let mend = (stray.leads != Leads::Astray).then(|| Mend::DropName(stray.clone()));
        self.add(place, Kind::StrayName, &stray.name, None, explain::stray_name(stray), mend);
    }

    /// Nobody can say whose it is.
    fn nameless(&mut self, place: &Place, left: &Nameless) {
        if self.is_old(written(left.written_at)) {
            self.add(place, Kind::Nameless, &left.object, None, explain::nameless(left), None);
        }
    }

    fn volume_on_pool(&mut self, place: &'a Place, name: &str, id: &str, seen: &Seen) {
        let Some(row) = self.known.volumes.get(id) else {
            if !self.known.unmanaged.contains(id) {
                let why = "No volume has it: its row was lost, or it was given out of hand long ago.";
                self.unless_noted(place, name, seen, Kind::Orphan, why, Mend::Trash);
            }
            return;
        };
        // A backend that is not configured is told where rows are judged.
        let Some(home) = self.backends.of(row.host.as_deref()) else { return };
        if place.backends.contains(&*home.name) {
            self.volume_at_home(place, name, row, seen);
        } else if !row.migration_status.is_some_and(|status| status.is_under_way())
            && !self.is_noted(place, name)
        {
            self.copy_of_volume(place, name, &home.name, seen);
        }
    }

    /// Where the volume should lie it may not be: after the database was set back, or two backends took each other's
    /// pools. Then this is all there is of it.
    fn copy_of_volume(&mut self, place: &'a Place, name: &str, home: &str, seen: &Seen) {
        let is_at_home =
            self.seen.iter().any(|(place, pool)| place.backends.contains(home) && pool.names.contains(name));
        let (why, mend) = match is_at_home {
            true => {
                let mend = (!seen.is_open()).then_some(Mend::Note);
                (format!("The volume lies in {home}: this copy was left when it moved."), mend)
            }
            false => (
                format!("The volume lies in {home} by its row, where it is not, or could not be looked for."),
                None,
            ),
        };
        self.add(place, Kind::Zombie, name, Some(seen.size), why, mend);
    }

    fn volume_at_home(&mut self, place: &'a Place, name: &str, row: &KnownVolume, seen: &Seen) {
        for snapshot in &seen.snapshots {
            self.snapshot_on_pool(place, name, row, seen, snapshot);
        }
        if !self.is_settled(row) {
            return;
        }
        let held = Gib::holding(seen.size);
        if held != Some(row.size) && !row.status.is_error() {
            let why = format!("The volume is {} GiB by its row.", row.size.get());
            let mend = match held {
                Some(held) if held > row.size => {
                    Some(Mend::AdoptSize { volume: row.id.clone(), from: row.size, to: held })
                }
                Some(_) if row.status == VolumeStatus::Available && !seen.is_open() => {
                    Some(Mend::Grow { volume: row.id.clone(), to: row.size })
                }
                _ => None,
            };
            self.add(place, Kind::WrongSize, name, Some(seen.size), why, mend);
        }
        if seen.is_open()
            && row.status == VolumeStatus::Available
            && !self.known.attachments.contains_key(&row.id)
        {
            let why = "Somebody has it open for writing, though it is available and attached nowhere.";
            self.add(place, Kind::StaleWatcher, name, Some(seen.size), why, None);
        }
    }

    fn snapshot_on_pool(
        &mut self,
        place: &Place,
        image: &str,
        row: &KnownVolume,
        seen: &Seen,
        snapshot: &str,
    ) {
        let name = format!("{image}@{snapshot}");
        if let Some(id) = names::snapshot_of(snapshot) {
            let id_text = id.as_str();
            if self.known.snapshots.contains_key(id_text)
                || self.is_at_work(id_text)
                || self.known.unmanaged.contains(id_text)
            {
                return;
            }
            let why = "No snapshot of the volume has it, and it keeps the volume from being deleted.";
            let mend = Mend::AdoptSnapshot { volume: row.id.clone(), snapshot: id };
            self.add_of(place, Kind::StraySnapshot, image, name, None, why, Some(mend));
        } else if names::is_clone_snapshot(snapshot) && !self.is_needed(seen, snapshot) {
            let why = "It was taken for a clone that is not there, and nothing hangs on it.";
            let mend = Mend::DropSnapshot { volume: row.id.clone(), snapshot: snapshot.to_owned() };
            self.add_of(place, Kind::StraySnapshot, image, name, None, why, Some(mend));
        }
    }

    /// A clone needs it, or may be about to; or the clone was flattened, and clones of that have it open.
    fn is_needed(&self, seen: &Seen, snapshot: &str) -> bool {
        let hangs = seen.hangs_on(snapshot);
        let Some(clone) = names::clone_of(snapshot) else { return hangs };
        let id = Named::parse(clone).map_or(clone, Named::id);
        let deleted = names::deleted(clone);
        let lies_somewhere = self.seen.iter().any(|(_, pool)| {
            pool.names.contains(clone) || pool.names.contains(&deleted) || pool.has_in_trash(id)
        });
        hangs
            || lies_somewhere
            || self.is_at_work(id)
            || self.known.volumes.contains_key(id)
            || self.known.images.contains_key(id)
    }

    fn deleted_on_pool(&mut self, place: &'a Place, name: &str, seen: &Seen) {
        let is_needed =
            seen.has_children() || seen.snapshots.iter().any(|snapshot| self.is_needed(seen, snapshot));
        if !is_needed {
            let why = "It was deleted while clones read from it, and none does any more.";
            self.unless_noted(place, name, seen, Kind::Zombie, why, Mend::Note);
        }
    }

    fn image_on_pool(&mut self, place: &'a Place, name: &str, id: &str, seen: &Seen) {
        let Some(row) = self.known.images.get(id) else {
            let why = "No image has it: its row was lost, or a deletion left it.";
            return self.unless_noted(place, name, seen, Kind::Orphan, why, Mend::Trash);
        };
        if !self.is_old(row.changed_at) {
            return;
        }
        match row.status {
            ImageStatus::Queued => {
                let why = "The image has no content yet: an upload that failed left these bytes.";
                self.unless_noted(place, name, seen, Kind::Zombie, why, Mend::Trash);
            }
            _ if !has_content(row) => {}
            _ if !self.copies(id).any(|copy| place.image_stores.contains(&copy.store)) => {
                if self.is_noted(place, name) {
                    return;
                }
                let why = "The image lies in other stores, and this copy was left.";
                self.add(place, Kind::Zombie, name, Some(seen.size), why, None);
            }
            _ if row.size.and_then(|size| u64::try_from(size).ok()) != Some(seen.size) => {
                let size = row.size.map_or("of no known size".to_owned(), |size| format!("{size} bytes"));
                let why = format!("The image is {size} by its row.");
                self.add(place, Kind::WrongSize, name, Some(seen.size), why, None);
            }
            _ => {}
        }
    }

    fn in_trash(&mut self, place: &'a Place, name: &str) {
        let Some(named) = Named::parse(name) else { return };
        if !place.may_hold(named) || self.is_at_work(named.id()) || self.is_noted(place, name) {
            return;
        }
        let has_row = match named {
            Named::Volume(id) => self.known.volumes.contains_key(id),
            Named::Image(id) => self.known.images.contains_key(id),
            _ => false,
        };
        let (why, mend) = match has_row {
            true => ("It lies in the trash, and a row still names it.", None),
            false => ("It lies in the trash, and nothing remembers to remove it.", Some(Mend::NoteTrash)),
        };
        self.add(place, Kind::Zombie, name, None, why, mend);
    }

    fn volumes(&mut self, unseen: &mut Vec<String>) {
        for row in self.known.volumes.values() {
            let name = names::volume(&row.id);
            let Some(home) = self.backends.of(row.host.as_deref()) else {
                unseen.push(format!(
                    "{name}: its backend {} is not configured",
                    row.host.as_deref().unwrap_or("-")
                ));
                continue;
            };
            if !self.is_old(row.changed_at) || self.is_at_work(row.id.as_str()) {
                continue;
            }
            let Some((place, pool)) =
                self.seen.iter().find(|(place, _)| place.backends.contains(&*home.name))
            else {
                continue;
            };
            let migrates = row.migration_status.is_some_and(|status| status.is_under_way());
            let size = Some(row.size.bytes());
            if !row.status.is_settled() || migrates {
                let what = row.migration_status.filter(|_| migrates).map(|status| status.as_str());
                let why = format!(
                    "The volume is {}, and no job is at work on it.",
                    what.unwrap_or(row.status.as_str())
                );
                let mend = Mend::SettleVolume { volume: row.id.clone(), from: row.status };
                self.add(place, Kind::Stranded, &name, size, why, Some(mend));
                continue;
            }
            if !row.status.is_error() && !pool.names.contains(&name) {
                let why = match pool.has_in_trash(&name) {
                    true => "The volume's image is not there; one of its name lies in the trash.",
                    false => "The volume's image is not there.",
                };
                self.add(place, Kind::Missing, &name, size, why, None);
                continue;
            }
            self.attachments(place, pool, row, &name);
        }
    }

    fn attachments(&mut self, place: &Place, pool: &Pool, row: &KnownVolume, name: &str) {
        let attachments = self.known.attachments.get(&row.id).map(Vec::as_slice).unwrap_or_default();
        let why = match row.status {
            VolumeStatus::InUse if !attachments.contains(&AttachmentStatus::Attached) => {
                "The volume is in-use, and no attachment says where."
            }
            VolumeStatus::Available if !attachments.is_empty() => {
                "The volume is available, and has attachments."
            }
            _ => return,
        };
        // Whoever has it open is not told by anybody else.
        let is_open = pool.images.get(name).is_none_or(Seen::is_open);
        let mend = Mend::FollowAttachments(row.id.clone());
        self.add(place, Kind::LeakedAttachment, name, None, why, (!is_open).then_some(mend));
    }

    fn snapshots(&mut self) {
        for row in self.known.snapshots.values() {
            let (id, of) = (row.id.as_str(), row.volume_id.as_str());
            let is_young = !self.is_old(row.changed_at) || self.is_at_work(id) || self.is_at_work(of);
            let Some((place, pool, volume)) = self.home(&row.volume_id).filter(|_| !is_young) else {
                continue;
            };
            let image = names::volume(&row.volume_id);
            let snapshot = names::snapshot(&row.id);
            let name = format!("{image}@{snapshot}");
            if !row.status.is_settled() {
                let why = format!("The snapshot is {}, and no job is at work on it.", row.status);
                let mend = Mend::SettleSnapshot { snapshot: row.id.clone(), from: row.status };
                self.add_of(place, Kind::Stranded, &image, name, None, why, Some(mend));
            } else if row.status == SnapshotStatus::Available && self.is_settled(volume) {
                let there = pool.images.get(&image).map(|seen| seen.snapshots.contains(&snapshot));
                if there == Some(false) {
                    let why = "The snapshot is not there.";
                    self.add_of(place, Kind::Missing, &image, name, None, why, None);
                }
            }
        }
    }

    fn home(&self, id: &VolumeId) -> Option<(&'a Place, &'a Pool, &'a KnownVolume)> {
        let row = self.known.volumes.get(id.as_str())?;
        let home = self.backends.of(row.host.as_deref())?;
        let (place, pool) = self.seen.iter().find(|(place, _)| place.backends.contains(&*home.name))?;
        Some((place, pool, row))
    }

    /// The stores that the rows name for an image.
    fn copies(&self, image: &str) -> impl Iterator<Item = &'a KnownCopy> + use<'a> {
        self.known.copies.get(image).into_iter().flatten()
    }

    fn images(&mut self) {
        // What is not about bytes is told of the first store.
        let Some((place, _)) = self.seen.iter().find(|(place, _)| place.has_staged()) else { return };
        for row in self.known.images.values() {
            let name = row.id.as_str();
            if !self.is_old(row.changed_at) || self.is_at_work(name) {
                continue;
            }
            let size = row.size.and_then(|size| u64::try_from(size).ok());
            let is_staged = self.known.staged.contains(&names::staged(&row.id));
            let is_stranded = match row.status {
                ImageStatus::Saving | ImageStatus::Importing | ImageStatus::Deleted => true,
                ImageStatus::Uploading => !is_staged,
                _ => false,
            };
            if is_stranded {
                let why = format!("The image is {}, and no job is at work on it.", row.status);
                let mend = Mend::SettleImage { image: row.id.clone(), from: row.status };
                self.add(place, Kind::Stranded, name, size, why, Some(mend));
            } else if has_content(row) {
                self.copies_missing(name, size);
            }
        }
    }

    fn copies_missing(&mut self, name: &str, size: Option<u64>) {
        for copy in self.copies(name).filter(|copy| copy.ready) {
            let found = self.seen.iter().find(|(place, _)| place.image_stores.contains(&copy.store));
            let Some((place, pool)) = found.filter(|(_, pool)| !pool.names.contains(name)) else { continue };
            let why = match pool.has_in_trash(name) {
                true => "The image's bytes are not there; some of its name lie in the trash.",
                false => "The image's bytes are not there.",
            };
            self.add(place, Kind::Missing, name, size, why, None);
        }
    }

    fn cached(&mut self) {
        for row in self.known.cached.values() {
            let found = self.seen.iter().find(|(place, _)| place.backends.contains(&row.backend));
            let Some((place, pool)) = found else { continue };
            let is_busy = Named::parse(&row.name).is_some_and(|named| self.is_at_work(named.id()))
                || self.is_at_work(row.image_id.as_str());
            if self.is_old(row.used_at) && !is_busy && !pool.names.contains(&row.name) {
                let why = "The cache's copy of an image is not there.";
                self.add(
                    place,
                    Kind::Missing,
                    &row.name,
                    Some(row.size.bytes()),
                    why,
                    Some(Mend::ForgetCached),
                );
            }
        }
    }

    fn is_at_work(&self, id: &str) -> bool {
        self.known.at_work.contains(id)
    }

    fn is_old(&self, changed_at: Timestamp) -> bool {
        changed_at <= self.known.settled_before
    }

    /// Nothing is done with the volume: its image is as its row says.
    fn is_settled(&self, row: &KnownVolume) -> bool {
        row.status.is_settled()
            && self.is_old(row.changed_at)
            && !row.migration_status.is_some_and(|status| status.is_under_way())
    }

    /// Whether it is remembered that it goes, or stays in the trash.
    fn is_noted(&self, place: &Place, name: &str) -> bool {
        let pool = place.store.pool();
        let live = names::live(name);
        [live.to_owned(), names::deleted(live)]
            .into_iter()
            .any(|name| self.known.leftovers.contains(&(pool.to_owned(), name)))
    }

    fn unless_noted(
        &mut self,
        place: &Place,
        name: &str,
        seen: &Seen,
        kind: Kind,
        why: impl Into<String>,
        mend: Mend,
    ) {
        if !self.is_noted(place, name) {
            // Whoever has it open may know better.
            let mend = (!seen.is_open() || mend == Mend::Note).then_some(mend);
            self.add(place, kind, name, Some(seen.size), why, mend);
        }
    }

    fn add(
        &mut self,
        place: &Place,
        kind: Kind,
        name: &str,
        size: Option<u64>,
        why: impl Into<String>,
        mend: Option<Mend>,
    ) {
        self.add_of(place, kind, name, name.to_owned(), size, why, mend);
    }

    #[expect(clippy::too_many_arguments, reason = "they are the fields of a finding")]
    fn add_of(
        &mut self,
        place: &Place,
        kind: Kind,
        image: &str,
        name: String,
        size: Option<u64>,
        why: impl Into<String>,
        mend: Option<Mend>,
    ) {
        if self.only.is_some_and(|only| !only.contains(image)) {
            return;
        }
        self.findings.push(Finding {
            kind,
            backend: place.label.clone(),
            name,
            size,
            explanation: why.into(),
            repair: mend.as_ref().map(Mend::meaning),
            image: image.to_owned(),
            mend,
        });
    }
}

/// As a pool tells it, in seconds.
fn written(at: i64) -> Timestamp {
    Timestamp(at.saturating_mul(1_000_000))
}

fn has_content(row: &KnownImage) -> bool {
    matches!(row.status, ImageStatus::Active | ImageStatus::Deactivated)
}
