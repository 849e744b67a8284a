//! Compares what is remembered with what lies on the pools, says what only one side has, and mends what is safe.
//!
//! It runs beside a busy service. What is younger than `older_than`, or is worked on, is no finding; and what is found is
//! looked at a second time, so that whatever came or went between two glances is none either. Pools that Glance and
//! Cinder filled are read like our own, for the names are the same; [`Leaks`] judges them without any rows.

mod explain;
mod finding;
mod judge;
mod leaks;
mod repair;
mod seen;
mod watch;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crate::block::{self, BlockStore, Stores};
use crate::db::{self, CachedImage, Database, KnownCopy, KnownImage, KnownSnapshot, KnownVolume, Leftover};
use crate::model::{AttachmentStatus, Timestamp, VolumeId, World};
use crate::workflows::names::Named;

pub use finding::{Finding, Kind, Report};

pub use leaks::Leaks;
pub use repair::{NotMended, Outcome};
pub use watch::Watch;

/// What it must be told.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Younger things are no findings.
    pub older_than: Duration,
    /// Images that are open at once: few, so that nobody else waits.
    pub at_once: usize,
    /// Whether to walk over all objects of the pools, for names that lead nowhere.
    pub at_objects: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { older_than: Duration::from_secs(300), at_once: 8, at_objects: false }
    }
}

pub struct Audit {
    stores: Stores,
    database: Database,
    world: World,
    options: Options,
}

/// One pool, whatever lies in it.
#[derive(Clone)]
struct Place {
    /// What findings call it: the backend, or `images`, or `images/` and the id of another store for images.
    label: String,
    /// Of its cluster.
    fsid: String,
    store: Arc<dyn BlockStore>,
    /// The stores for images that it is; `None` is the first one, where imports are staged too.
    image_stores: BTreeSet<Option<String>>,
    /// The backends that it is.
    backends: BTreeSet<String>,
}

/// The rows.
struct Known {
    volumes: HashMap<String, KnownVolume>,
    snapshots: HashMap<String, KnownSnapshot>,
    images: HashMap<String, KnownImage>,
    /// Where images lie, by their ids.
    copies: HashMap<String, Vec<KnownCopy>>,
    attachments: HashMap<VolumeId, Vec<AttachmentStatus>>,
    cached: HashMap<String, CachedImage>,
    staged: HashSet<String>,
    leftovers: HashSet<(String, String)>,
    /// The ids of what jobs work on, and of what they just worked on.
    at_work: HashSet<String>,
    unmanaged: HashSet<String>,
    /// Rows that were changed after this moment are too young to be judged.
    settled_before: Timestamp,
}

/// Who has any image open for writing: the cluster, and what it calls the client.
type Clients = HashSet<(String, String)>;

impl Audit {
    pub fn new(stores: Stores, database: Database, world: World, options: Options) -> Self {
        Self { stores, database, world, options }
    }

    /// Looks at everything, and once more at what seems wrong.
    pub async fn look(&self) -> db::Result<Report> {
        let mut alive = Clients::default();
        let first = self.look_once(None, self.options.at_objects, &mut alive).await?;
        if first.findings.is_empty() {
            return Ok(first);
        }
        let second = self.look_once(Some(&first.suspects()), first.has_strays(), &mut alive).await?;
        Ok(first.confirmed_by(second))
    }

    /// The pools are read before the rows: what has no row then had none, or lost it to a job that is remembered.
    async fn look_once(
        &self,
        only: Option<&HashSet<String>>,
        at_objects: bool,
        alive: &mut Clients,
    ) -> db::Result<Report> {
        let mut unseen = Vec::new();
        let how = seen::Glance { only, at_once: self.options.at_once, at_objects };
        let seen = seen::look(&self.stores, how, &mut unseen).await;
        alive.extend(seen::clients(&seen));
        let known = self.known().await?;
        let findings = judge::judge(&self.stores.volumes, &seen, &known, alive, only, &mut unseen);
        Ok(Report::new(findings, unseen))
    }

    /// The jobs are read last: whoever changed a row had one by then.
    async fn known(&self) -> db::Result<Known> {
        let seconds = i64::try_from(self.options.older_than.as_secs()).unwrap_or(i64::MAX);
        let settled_before = self.world.now().plus_seconds(-seconds);
        let mut repository = self.database.read().await?;
        let volumes = repository.known_volumes().await?;
        let snapshots = repository.known_snapshots().await?;
        let images = repository.known_images().await?;
        let mut copies: HashMap<_, Vec<_>> = HashMap::new();
        for copy in repository.known_copies().await? {
            copies.entry(copy.image_id.to_string()).or_default().push(copy);
        }
        let mut attachments: HashMap<_, Vec<_>> = HashMap::new();
        for (volume, status) in repository.attachment_statuses().await? {
            attachments.entry(volume).or_default().push(status);
        }
        let cached = repository.cached_images().await?;
        let staged = repository.staged_names().await?.into_iter().collect();
        let leftovers = repository.all_leftovers().await?;
        let unmanaged = repository.unmanaged().await?.into_iter().collect();
        let at_work = repository.at_work(settled_before).await?;
        Ok(Known {
            volumes: volumes.into_iter().map(|row| (row.id.to_string(), row)).collect(),
            snapshots: snapshots.into_iter().map(|row| (row.id.to_string(), row)).collect(),
            images: images.into_iter().map(|row| (row.id.to_string(), row)).collect(),
            copies,
            attachments,
            cached: cached.into_iter().map(|row| (row.name.clone(), row)).collect(),
            staged,
            leftovers: leftovers.into_iter().map(|Leftover { pool, name }| (pool, name)).collect(),
            at_work: at_work
                .into_iter()
                .flat_map(|(resource, source)| [Some(resource), source])
                .flatten()
                .collect(),
            unmanaged,
            settled_before,
        })
    }

    fn store(&self, label: &str) -> Option<&Arc<dyn BlockStore>> {
        match self.stores.volumes.named(label) {
            Some(backend) => Some(&backend.store),
            None => self
                .stores
                .all_images()
                .find(|(id, _)| Holds::Images(*id).label() == label)
                .map(|(_, store)| store),
        }
    }
}

/// What a store is configured for.
#[derive(Clone, Copy)]
enum Holds<'a> {
    /// As the backend of this name.
    Volumes(&'a str),
    /// As the store of this id.
    Images(Option<&'a str>),
}

impl Holds<'_> {
    fn label(self) -> String {
        match self {
            Holds::Volumes(backend) => backend.to_owned(),
            Holds::Images(None) => "images".to_owned(),
            Holds::Images(Some(id)) => format!("images/{id}"),
        }
    }
}

impl Place {
    /// Several backends, and the images, may be one pool: it is looked at once.
    async fn all(stores: &Stores, unseen: &mut Vec<String>) -> Vec<Place> {
        let mut places: Vec<Place> = Vec::new();
        let backends = stores.volumes.iter().map(|backend| (Holds::Volumes(&backend.name), &backend.store));
        let images = stores.all_images().map(|(id, store)| (Holds::Images(id), store));
        for (holds, store) in backends.chain(images) {
            let label = holds.label();
            let fsid = match store.fsid().await {
                Ok(fsid) => fsid,
                Err(error) => {
                    unseen.push(format!("{label}: {error}"));
                    continue;
                }
            };
            let is_same = |place: &Place| place.fsid == fsid && place.store.pool() == store.pool();
            let at = places.iter().position(is_same).unwrap_or_else(|| {
                let (store, image_stores, backends) = (store.clone(), BTreeSet::new(), BTreeSet::new());
                places.push(Place { label, fsid, store, image_stores, backends });
                places.len() - 1
            });
            let Some(place) = places.get_mut(at) else { continue };
            match holds {
                Holds::Volumes(backend) => drop(place.backends.insert(backend.to_owned())),
                Holds::Images(id) => drop(place.image_stores.insert(id.map(str::to_owned))),
            }
        }
        places
    }

    fn has_images(&self) -> bool {
        !self.image_stores.is_empty()
    }

    /// What has an image's name is one only where images are.
    fn may_hold(&self, named: Named<'_>) -> bool {
        self.has_images() || !matches!(named, Named::Image(_) | Named::Staged(_))
    }

    /// Whether what arrives for imports lies here.
    fn has_staged(&self) -> bool {
        self.image_stores.contains(&None)
    }
}

type Looked<T> = block::Result<T>;
