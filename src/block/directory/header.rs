//! What is remembered of an image beside its bytes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::fault::{Fault, Outcome};
use crate::block::{ErrorKind, check_object_size};

const FORMAT: u32 = 1;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Header {
    pub format: u32,
    /// Never changes, is never used again, and names the folder of the bytes.
    pub id: String,
    pub size: u64,
    pub object_size: u64,
    pub parent: Option<ParentKey>,
    /// Oldest first. The last one is the head, which takes the writes; the others are frozen.
    pub layers: Vec<Layer>,
    pub metadata: BTreeMap<String, String>,
}

/// A snapshot by what never changes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ParentKey {
    pub image: String,
    pub layer: u64,
}

/// The objects written between two snapshots.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Layer {
    pub number: u64,
    /// The first bytes of the image where what lies beneath (the next older layer, or the parent) shows
    /// through. Shrinking the image lowers it, and growing does not raise it again.
    pub below: u64,
    /// What froze the layer. A frozen layer without one is about to be merged into the next newer.
    pub snapshot: Option<Frozen>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Frozen {
    pub name: String,
    pub size: u64,
    pub protected: bool,
}

impl Header {
    pub fn new(id: String, size: u64, object_size: u64, parent: Option<ParentKey>) -> Self {
        let below = if parent.is_some() { size } else { 0 };
        let head = Layer { number: 0, below, snapshot: None };
        Self { format: FORMAT, id, size, object_size, parent, layers: vec![head], metadata: BTreeMap::new() }
    }

    pub fn load(path: &Path) -> Outcome<Self> {
        let bad = |why: &dyn std::fmt::Display| {
            Fault::new(ErrorKind::Io, format!("its header {} is unusable: {why}", path.display()))
        };
        let text = fs::read(path).map_err(|error| bad(&error))?;
        let header: Self = serde_json::from_slice(&text).map_err(|error| bad(&error))?;
        header.check().map_err(|why| bad(&why))?;
        Ok(header)
    }

    /// Whether all that the code relies on holds: the header may have been edited, or be another format's.
    fn check(&self) -> Result<(), &'static str> {
        if self.format != FORMAT {
            return Err("unknown format");
        }
        if self.id.is_empty() || !self.id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-') {
            return Err("bad id");
        }
        if check_object_size("open", "", self.object_size).is_err() {
            return Err("bad object size");
        }
        if !self.layers.is_sorted_by(|older, newer| older.number < newer.number) {
            return Err("layers out of order");
        }
        match self.layers.last() {
            Some(head) if head.snapshot.is_none() => Ok(()),
            _ => Err("no head"),
        }
    }

    pub fn to_bytes(&self) -> Outcome<Vec<u8>> {
        serde_json::to_vec_pretty(self).map_err(|error| Fault::new(ErrorKind::Io, error))
    }

    /// The place of the head among the layers.
    pub fn head(&self) -> usize {
        self.layers.len() - 1
    }

    /// The place of a snapshot's layer.
    pub fn find(&self, snapshot: &str) -> Outcome<usize> {
        let is_it = |layer: &Layer| layer.snapshot.as_ref().is_some_and(|frozen| frozen.name == snapshot);
        let missing = || Fault::new(ErrorKind::NotFound, format!("no snapshot {snapshot}"));
        self.layers.iter().position(is_it).ok_or_else(missing)
    }

    /// The snapshot that froze this layer, and the layer's place.
    pub fn frozen(&self, number: u64) -> Outcome<(usize, &Frozen)> {
        let place = self.layers.iter().position(|layer| layer.number == number);
        let found = place.and_then(|place| Some((place, self.layers[place].snapshot.as_ref()?)));
        found.ok_or_else(|| Fault::new(ErrorKind::NotFound, "the snapshot is gone"))
    }

    pub fn snapshots(&self) -> impl Iterator<Item = &Frozen> {
        self.layers.iter().filter_map(|layer| layer.snapshot.as_ref())
    }

    /// The first bytes that may still be read from the parent, seen from this layer.
    pub fn overlap(&self, place: usize) -> u64 {
        self.layers[..=place].iter().map(|layer| layer.below).min().unwrap_or(0)
    }
}
