//! Random operations on a few images, compared with plain vectors of bytes.

use pumice::block::{OpenMode, Progress};
use rand::Rng;

use super::*;

/// Runs of the contract suite, each with another seed, and operations of each: little enough for a cluster.
const RUNS: u64 = 4;
const STEPS: usize = 60;

const MOST_OBJECTS: u64 = 5;
const MOST_IMAGES: usize = 4;
const MOST_SNAPSHOTS: usize = 4;

pub async fn random_operations(stores: &Stores) {
    for seed in 0..RUNS {
        run(stores, seed, STEPS).await;
    }
}

/// One run. The seed names it: the same seed is the same run.
pub async fn run(stores: &Stores, seed: u64, steps: usize) {
    let mut world =
        World { stores, random: StdRng::seed_from_u64(seed), images: Vec::new(), told: Vec::new() };
    world.told.push(format!("seed {seed}"));
    world.create(seed).await;
    for step in 0..steps {
        world.step(step).await;
        if step % 10 == 9 {
            world.compare_all().await;
        }
    }
    world.compare_all().await;
    stores.clean().await;
}

struct Frozen {
    name: String,
    bytes: Vec<u8>,
    overlap: u64,
    cloned: bool,
}

struct Model {
    name: String,
    bytes: Vec<u8>,
    snapshots: Vec<Frozen>,
    /// How far it may still read from a parent.
    overlap: u64,
}

struct World<'a> {
    stores: &'a Stores,
    random: StdRng,
    images: Vec<Model>,
    /// What was done: printed when a step fails.
    told: Vec<String>,
}

impl Drop for World<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("what was done:\n  {}", self.told.join("\n  "));
        }
    }
}

impl World<'_> {
    async fn create(&mut self, seed: u64) {
        let name = self.stores.name(&format!("model-{seed}-0"));
        let size = 4 * OBJECT;
        self.stores.first.create(&name, size, OBJECT).await.unwrap();
        self.images.push(Model { name, bytes: vec![0; size as usize], snapshots: Vec::new(), overlap: 0 });
    }

    async fn step(&mut self, step: usize) {
        let at = self.random.random_range(0..self.images.len());
        let image = self.stores.write(&self.images[at].name).await;
        match self.random.random_range(0..100) {
            0..35 => self.write(at, &*image, step).await,
            35..45 => self.write_zeroes(at, &*image).await,
            45..57 => self.discard(at, &*image).await,
            57..67 => self.resize(at, &*image).await,
            67..79 => self.create_snapshot(at, &*image, step).await,
            79..85 => self.remove_snapshot(at, &*image).await,
            85..91 => self.roll_back(at, &*image).await,
            91..97 => self.clone_snapshot(at, &*image, step).await,
            _ => self.flatten(at, &*image).await,
        }
        if self.random.random_bool(0.2) {
            image.flush().await.unwrap();
        }
        assert_holds(&*image, &self.images[at].bytes).await;
        image.close().await.unwrap();
    }

    fn tell(&mut self, at: usize, what: String) {
        self.told.push(format!("{}: {what}", self.images[at].name));
    }

    /// A stretch of the image: sometimes whole objects, sometimes a few bytes.
    fn stretch(&mut self, at: usize) -> (u64, u64) {
        let size = self.images[at].bytes.len() as u64;
        let objects = size / OBJECT;
        if objects > 0 && self.random.random_bool(0.4) {
            let first = self.random.random_range(0..objects);
            let count = self.random.random_range(1..=objects - first);
            return (first * OBJECT, count * OBJECT);
        }
        let offset = self.random.random_range(0..=size);
        let most = if self.random.random_bool(0.5) { 5_000 } else { 2 * OBJECT };
        (offset, self.random.random_range(0..=most.min(size - offset)))
    }

    async fn write(&mut self, at: usize, image: &dyn BlockImage, step: usize) {
        let (offset, length) = self.stretch(at);
        self.tell(at, format!("write {offset}+{length}"));
        let data = noise(step as u64, length);
        self.images[at].bytes[offset as usize..][..length as usize].copy_from_slice(&data);
        image.write(offset, data).await.unwrap();
    }

    async fn write_zeroes(&mut self, at: usize, image: &dyn BlockImage) {
        let (offset, length) = self.stretch(at);
        self.tell(at, format!("write zeroes {offset}+{length}"));
        image.write_zeroes(offset, length).await.unwrap();
        self.images[at].bytes[offset as usize..][..length as usize].fill(0);
    }

    /// Whole objects must be zeros afterwards; for the rest, any byte may be either.
    async fn discard(&mut self, at: usize, image: &dyn BlockImage) {
        let (offset, length) = self.stretch(at);
        self.tell(at, format!("discard {offset}+{length}"));
        image.discard(offset, length).await.unwrap();
        let found = image.read(offset, length).await.unwrap();
        let whole = offset.next_multiple_of(OBJECT)..(offset + length) / OBJECT * OBJECT;
        for (place, new) in (offset..).zip(&found) {
            let byte = &mut self.images[at].bytes[place as usize];
            let fits = if whole.contains(&place) { *new == 0 } else { *new == 0 || new == byte };
            assert!(fits, "byte {place} is {new} after a discard");
            *byte = *new;
        }
    }

    async fn resize(&mut self, at: usize, image: &dyn BlockImage) {
        let mut size = self.random.random_range(0..=MOST_OBJECTS * OBJECT);
        if self.random.random_bool(0.5) {
            size = size / OBJECT * OBJECT;
        }
        self.tell(at, format!("resize to {size}"));
        image.resize(size, &Progress::new()).await.unwrap();
        let model = &mut self.images[at];
        model.bytes.resize(size as usize, 0);
        model.overlap = model.overlap.min(size);
    }

    async fn create_snapshot(&mut self, at: usize, image: &dyn BlockImage, step: usize) {
        if self.images[at].snapshots.len() == MOST_SNAPSHOTS {
            return;
        }
        let name = format!("s{step}");
        self.tell(at, format!("snapshot {name}"));
        image.create_snapshot(&name).await.unwrap();
        let model = &mut self.images[at];
        let (bytes, overlap) = (model.bytes.clone(), model.overlap);
        model.snapshots.push(Frozen { name, bytes, overlap, cloned: false });
    }

    fn any_snapshot(&mut self, at: usize) -> Option<usize> {
        let count = self.images[at].snapshots.len();
        (count > 0).then(|| self.random.random_range(0..count))
    }

    async fn remove_snapshot(&mut self, at: usize, image: &dyn BlockImage) {
        let Some(number) = self.any_snapshot(at) else { return };
        if self.images[at].snapshots[number].cloned {
            return;
        }
        let snapshot = self.images[at].snapshots.remove(number);
        self.tell(at, format!("remove snapshot {}", snapshot.name));
        image.remove_snapshot(&snapshot.name).await.unwrap();
    }

    async fn roll_back(&mut self, at: usize, image: &dyn BlockImage) {
        let Some(number) = self.any_snapshot(at) else { return };
        let snapshot = &self.images[at].snapshots[number];
        // A Ceph clone that was cut below its parent's end does not find the parent again by rolling back.
        if snapshot.overlap > self.images[at].overlap {
            return;
        }
        let name = snapshot.name.clone();
        self.tell(at, format!("roll back to {name}"));
        image.roll_back(&name, &Progress::new()).await.unwrap();
        let model = &mut self.images[at];
        model.bytes = model.snapshots[number].bytes.clone();
        model.overlap = model.snapshots[number].overlap;
    }

    async fn clone_snapshot(&mut self, at: usize, image: &dyn BlockImage, step: usize) {
        let Some(number) = self.any_snapshot(at) else { return };
        // librbd clones nothing that is empty.
        if self.images.len() == MOST_IMAGES || self.images[at].snapshots[number].bytes.is_empty() {
            return;
        }
        let snapshot = self.images[at].snapshots[number].name.clone();
        let name = format!("{}-{step}", self.images[0].name);
        self.tell(at, format!("clone {snapshot} as {name}"));
        image.protect_snapshot(&snapshot).await.unwrap();
        let path = self.stores.path(&self.images[at].name, &snapshot);
        self.stores.first.clone_snapshot(&path, &name, None).await.unwrap();
        let frozen = &mut self.images[at].snapshots[number];
        frozen.cloned = true;
        let bytes = frozen.bytes.clone();
        let overlap = bytes.len() as u64;
        self.images.push(Model { name, bytes, snapshots: Vec::new(), overlap });
    }

    async fn flatten(&mut self, at: usize, image: &dyn BlockImage) {
        self.tell(at, "flatten".into());
        image.flatten(&Progress::new()).await.unwrap();
        let model = &mut self.images[at];
        model.overlap = 0;
        model.snapshots.iter_mut().for_each(|snapshot| snapshot.overlap = 0);
    }

    async fn compare_all(&self) {
        for model in &self.images {
            assert_holds(&*self.stores.read(&model.name).await, &model.bytes).await;
            for snapshot in &model.snapshots {
                let mode = OpenMode::Snapshot(snapshot.name.clone());
                let at = self.stores.first.open(&model.name, mode).await.unwrap();
                assert_holds(&*at, &snapshot.bytes).await;
            }
        }
    }
}
