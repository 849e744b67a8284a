//! What clients were told, and so what must be true in the end.
//!
//! - What was answered with success is so, until something else was.
//! - What nobody answered, or what was answered with 5xx, was done, or was not, or will be: it may sit in a connection to
//!   the database that is silent. So it may be what is there for ever after.
//! - What was seen whole (`active`, `available`) stays so, unless something was asked that may break it when it fails.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use openssl::hash::{MessageDigest, hash};
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use serde_json::Value;

/// Of the bytes of every image: several objects, and a hole in the middle.
pub const LENGTH: usize = 10 << 20;
/// Where a client writes into a volume, behind what came from an image.
pub const MARK_AT: u64 = 64 << 20;
/// How many different bytes images have.
pub const PATTERNS: u8 = 3;

/// The bytes that images have: one is enough to see that an image has those of another.
#[derive(Clone)]
pub struct Patterns(Vec<Pattern>);

#[derive(Clone)]
pub struct Pattern {
    pub bytes: Bytes,
    pub md5: String,
    pub sha512: String,
}

impl Patterns {
    pub fn new() -> Self {
        let hex = |digest, bytes: &[u8]| -> String {
            hash(digest, bytes).unwrap().iter().map(|byte| format!("{byte:02x}")).collect()
        };
        let pattern = |number| {
            let mut bytes = vec![0; LENGTH];
            StdRng::seed_from_u64(u64::from(number) + 1).fill_bytes(&mut bytes);
            bytes[LENGTH / 4..LENGTH / 2].fill(0);
            let md5 = hex(MessageDigest::md5(), &bytes);
            let sha512 = hex(MessageDigest::sha512(), &bytes);
            Pattern { bytes: bytes.into(), md5, sha512 }
        };
        Self((0..PATTERNS).map(pattern).collect())
    }

    pub fn get(&self, number: u8) -> &Pattern {
        &self.0[usize::from(number)]
    }

    /// Which of them these are.
    pub fn front_of(&self, bytes: &[u8]) -> Option<Front> {
        let found = self.0.iter().position(|pattern| pattern.bytes == bytes);
        let is_empty = || bytes.iter().all(|byte| *byte == 0);
        found.map(|at| Front::Pattern(at as u8)).or_else(|| is_empty().then_some(Front::Empty))
    }
}

/// The first [`LENGTH`] bytes of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Front {
    Empty,
    /// Of the image with this pattern.
    Pattern(u8),
}

/// What something is, as far as somebody was told.
#[derive(Clone, Debug)]
pub struct Told<T> {
    last: T,
    /// What nobody answered.
    also: BTreeSet<T>,
}

impl<T: Ord + Clone> Told<T> {
    pub fn new(value: T) -> Self {
        Self { last: value, also: BTreeSet::new() }
    }

    pub fn is(&mut self, value: T) {
        self.last = value;
    }

    pub fn may_be(&mut self, value: T) {
        self.also.insert(value);
    }

    pub fn agrees(&self, value: &T) -> bool {
        self.last == *value || self.also.contains(value)
    }

    pub fn is_like(&mut self, other: &Self) {
        self.last = other.last.clone();
        self.also.extend(other.also.iter().cloned());
    }

    pub fn may_be_like(&mut self, other: &Self) {
        self.also.insert(other.last.clone());
        self.also.extend(other.also.iter().cloned());
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Volume,
    Snapshot,
    Image,
}

impl Kind {
    pub fn path(self) -> &'static str {
        match self {
            Kind::Volume => "/volume/v3/volumes",
            Kind::Snapshot => "/volume/v3/snapshots",
            Kind::Image => "/image/v2/images",
        }
    }

    /// The thing in an answer.
    pub fn of(self, answer: &Value) -> &Value {
        match self {
            Kind::Volume => &answer["volume"],
            Kind::Snapshot => &answer["snapshot"],
            Kind::Image => answer,
        }
    }

    /// As it is called on a pool.
    pub fn name(self, id: &str) -> String {
        match self {
            Kind::Volume => format!("volume-{id}"),
            Kind::Snapshot => format!("snapshot-{id}"),
            Kind::Image => id.to_owned(),
        }
    }

    /// The status of one that can be used.
    pub fn whole(self) -> &'static str {
        if self == Kind::Image { "active" } else { "available" }
    }
}

/// Whether something should still be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Kept,
    /// Its deletion was accepted.
    Deleted,
    /// Its deletion was asked for; nobody knows whether it was accepted.
    MayBeDeleted,
    /// The service was told to forget it (`os-unmanage`), or may have been: it is on the pool, under its own name or as
    /// what was made of it there.
    GivenUp,
}

/// Something that a client was told is there.
#[derive(Clone, Debug)]
pub struct Thing {
    pub kind: Kind,
    pub id: String,
    pub fate: Fate,
    pub front: Told<Front>,
    /// What lies at [`MARK_AT`]; an image that was uploaded is not so long.
    pub mark: Told<u64>,
    /// It was made of something that was written to before anybody saw it ended, or is a volume that is copied, and must
    /// not be written to: its mark is not known.
    pub is_doubtful: bool,
    /// It was seen whole, or said to be so.
    pub is_whole: bool,
    /// Something was asked that leaves it in error when it fails.
    pub may_break: Told<bool>,
    /// It is gone when its making fails.
    pub may_vanish: bool,
    /// It has bytes that wait for their import.
    pub is_staged: Told<bool>,
    /// Of an image: whether a store has it.
    pub stores: BTreeMap<String, Told<bool>>,
    /// Metadata, properties, tags and members, by where they are and what they are called.
    pub words: BTreeMap<(Word, String), Told<Option<String>>>,
    /// Of a volume, in GiB; `None`: nobody saw it.
    pub size: Option<Told<u64>>,
    /// Of a volume, its type and its host, as seen when nothing was being done with it.
    pub place: Option<[String; 2]>,
    /// It may be moved at any time, for nobody answered who asked for that.
    pub may_move: bool,
    /// Of a snapshot, or of an image that was made of one.
    pub volume: Option<String>,
    /// Of a volume that was given up: its host.
    pub host: Option<String>,
    /// What was given up, and found again as this.
    pub was: Option<String>,
}

/// Short things that somebody said of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Word {
    Metadata,
    Property,
    Tag,
    Member,
}

impl Thing {
    pub fn new(kind: Kind, id: &str) -> Self {
        Self {
            kind,
            id: id.to_owned(),
            fate: Fate::Kept,
            front: Told::new(Front::Empty),
            mark: Told::new(0),
            is_doubtful: false,
            is_whole: false,
            may_break: Told::new(false),
            may_vanish: false,
            is_staged: Told::new(false),
            stores: BTreeMap::new(),
            words: BTreeMap::new(),
            size: None,
            place: None,
            may_move: false,
            volume: None,
            host: None,
            was: None,
        }
    }

    /// Another thing that has the bytes of this one.
    pub fn copied_to(&self, kind: Kind, id: &str) -> Self {
        Self {
            front: self.front.clone(),
            mark: self.mark.clone(),
            is_doubtful: self.is_doubtful,
            ..Self::new(kind, id)
        }
    }

    /// Somebody wrote to it, and knows what.
    pub fn has_mark(&self) -> bool {
        !self.is_doubtful && !self.mark.agrees(&0)
    }

    /// It reaches beyond [`MARK_AT`].
    pub fn is_long(&self) -> bool {
        self.kind != Kind::Image || self.volume.is_some()
    }

    pub fn path(&self) -> String {
        format!("{}/{}", self.kind.path(), self.id)
    }

    pub fn name(&self) -> String {
        self.kind.name(&self.id)
    }

    pub fn word(&mut self, word: Word, name: &str) -> &mut Told<Option<String>> {
        self.words.entry((word, name.to_owned())).or_insert_with(|| Told::new(None))
    }

    pub fn store(&mut self, store: &str) -> &mut Told<bool> {
        self.stores.entry(store.to_owned()).or_insert_with(|| Told::new(false))
    }

    /// A volume that nothing is being done with is as its row says.
    pub fn is_like(&mut self, row: &Value) {
        let size = row["size"].as_u64().unwrap();
        self.size.get_or_insert_with(|| Told::new(size));
        self.place = (!self.may_move).then(|| place_of(row));
    }

    /// The stores that a row names have it from now on.
    pub fn is_in(&mut self, row: &Value) {
        for store in stores_of(row) {
            self.store(&store).is(true);
        }
    }
}

/// The type and the host of a volume.
pub fn place_of(row: &Value) -> [String; 2] {
    ["volume_type", "os-vol-host-attr:host"].map(|key| row[key].as_str().unwrap_or_default().to_owned())
}

/// The stores that an image's row names.
pub fn stores_of(row: &Value) -> BTreeSet<String> {
    let named = row["stores"].as_str().unwrap_or_default();
    named.split(',').filter(|id| !id.is_empty()).map(str::to_owned).collect()
}
