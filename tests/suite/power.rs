//! The directory store and a power cut at any moment: what was acknowledged is there afterwards.
//!
//! A process of its own does all that a store can do, one step after the other, under `strace`. From the trace comes every
//! write and every change of a folder, in their order, and what was synced when. For each moment a disk is made that
//! holds all that was synced by then, and of the rest whatever chance says: of each folder some beginning of its
//! changes, and of each file any of its writes, or a part of one. The store must open on it and hold what the last
//! acknowledged step left, or what the step under way was about to.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use pumice::block::directory::Directory;
use pumice::block::{BlockStore, BlockingPool, OpenMode, Progress, SnapshotPath};
use pumice::config::{Config, DatabaseUrl, IdentityMode};
use pumice::db::Leftover;
use pumice::http::Shared;
use pumice::service::{Service, open_database};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tempfile::TempDir;

const OBJECT: u64 = 4096;
const SIZE: u64 = 6 * OBJECT;
const STEPS: usize = 22;
const FOLDER: &str = "PUMICE_TEST_POWER_FOLDER";
/// The name of a file that is not there: its removal marks a moment in the trace.
const MARK: &str = "/acknowledged-";

fn bytes(seed: u8, length: u64) -> Bytes {
    (0..length).map(|i| (i / 5) as u8 ^ seed).collect()
}

async fn write(store: &Arc<dyn BlockStore>, name: &str, offset: u64, data: Bytes) {
    let image = store.open(name, OpenMode::ReadWrite).await.unwrap();
    image.write(offset, data).await.unwrap();
    image.flush().await.unwrap();
    image.close().await.unwrap();
}

async fn clone(store: &Arc<dyn BlockStore>, of: &str, name: &str) {
    let parent = SnapshotPath { pool: "p".into(), image: of.into(), snapshot: "s".into() };
    store.clone_snapshot(&parent, name, None).await.unwrap();
}

/// Each is acknowledged as a whole.
async fn step(store: &Arc<dyn BlockStore>, number: usize) {
    let open = async |name: &str| store.open(name, OpenMode::ReadWrite).await.unwrap();
    let none = Progress::new();
    match number {
        0 => store.create("a", SIZE, OBJECT).await.unwrap(),
        1 => write(store, "a", 0, bytes(1, SIZE)).await,
        2 => open("a").await.create_snapshot("s").await.unwrap(),
        3 => open("a").await.protect_snapshot("s").await.unwrap(),
        4 => write(store, "a", OBJECT / 2, bytes(2, 2 * OBJECT)).await,
        5 => clone(store, "a", "b").await,
        6 => write(store, "b", 100, bytes(3, OBJECT)).await,
        7 => open("b").await.set_metadata("k", "v").await.unwrap(),
        8 => {
            let image = open("b").await;
            image.write_zeroes(OBJECT, OBJECT).await.unwrap();
            image.discard(3 * OBJECT, OBJECT).await.unwrap();
            image.flush().await.unwrap();
        }
        9 => open("a").await.resize(2 * SIZE, &none).await.unwrap(),
        10 => write(store, "a", SIZE, bytes(4, SIZE)).await,
        11 => store.rename("a", "c").await.unwrap(),
        12 => open("b").await.create_snapshot("t").await.unwrap(),
        13 => write(store, "b", 0, bytes(5, SIZE)).await,
        14 => open("b").await.roll_back("t", &none).await.unwrap(),
        15 => open("b").await.remove_snapshot("t").await.unwrap(),
        16 => open("b").await.flatten(&none).await.unwrap(),
        17 => open("c").await.unprotect_snapshot("s").await.unwrap(),
        18 => open("c").await.remove_snapshot("s").await.unwrap(),
        19 => open("c").await.resize(OBJECT + 7, &none).await.unwrap(),
        20 => drop(store.trash_move("c").await.unwrap()),
        21 => store.remove("b", &none).await.unwrap(),
        _ => panic!("there is no step {number}"),
    }
}

/// What an image is and holds.
#[derive(Clone, Debug, PartialEq)]
struct Held {
    bytes: Bytes,
    snapshots: Vec<(String, bool, Bytes)>,
    has_parent: bool,
    metadata: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct State {
    images: BTreeMap<String, Held>,
    trash: Vec<String>,
}

async fn state(store: &Arc<dyn BlockStore>) -> State {
    let mut images = BTreeMap::new();
    for name in store.list().await.unwrap() {
        let image = store.open(&name, OpenMode::ReadOnly).await.unwrap();
        let mut snapshots = Vec::new();
        for snapshot in image.snapshots().await.unwrap() {
            let then = store.open(&name, OpenMode::Snapshot(snapshot.name.clone())).await.unwrap();
            let bytes = then.read(0, snapshot.size).await.unwrap();
            snapshots.push((snapshot.name, snapshot.protected, bytes));
        }
        let held = Held {
            bytes: image.read(0, image.size().await.unwrap()).await.unwrap(),
            snapshots,
            has_parent: image.parent().await.unwrap().is_some(),
            metadata: image.metadata().await.unwrap(),
        };
        images.insert(name, held);
    }
    let trash = store.trash_list().await.unwrap().into_iter().map(|entry| entry.name).collect();
    State { images, trash }
}

/// In a folder that is not there at first, nor what it lies in.
fn open(folder: &Path) -> Arc<dyn BlockStore> {
    Directory::open(folder.join("of/the/store"), BlockingPool::new(1, 1, 1, 1)).unwrap().pool("p").unwrap()
}

#[tokio::test]
#[ignore = "a process of its own, which the test below starts"]
async fn actor() {
    let store = open(Path::new(&std::env::var_os(FOLDER).expect("the test below starts this")));
    for number in 0..STEPS {
        step(&store, number).await;
        let _ = std::fs::remove_file(format!("{MARK}{number}"));
    }
}

type Id = usize;

#[derive(Clone, Debug)]
enum Op {
    /// An entry of a folder, or none of this name any more.
    Entry {
        folder: Id,
        name: String,
        node: Option<Id>,
    },
    Rename {
        from: (Id, String),
        to: (Id, String),
        node: Id,
    },
    Write {
        file: Id,
        offset: u64,
        data: Vec<u8>,
    },
    Truncate {
        file: Id,
        length: u64,
    },
    Zero {
        file: Id,
        offset: u64,
        length: u64,
    },
}

impl Op {
    /// Whose sync makes it last: that of a file, or of any of these folders.
    fn of(&self) -> Vec<Id> {
        match self {
            Op::Entry { folder, .. } => vec![*folder],
            Op::Rename { from, to, .. } => vec![to.0, from.0],
            Op::Write { file, .. } | Op::Truncate { file, .. } | Op::Zero { file, .. } => vec![*file],
        }
    }
}

#[derive(Clone, Debug)]
enum Event {
    Op(Op),
    /// Of one file or folder; `None`: of everything. What was done while it was under way it need not have made last:
    /// so many events had been when it began.
    Sync {
        of: Option<Id>,
        began: usize,
    },
    /// Likewise: what has this number was said to last by then.
    Acknowledged {
        number: usize,
        began: usize,
    },
}

/// Files and folders by number; 0 is what the store's folder lies in.
#[derive(Default)]
struct Disk {
    folders: HashMap<Id, BTreeMap<String, Id>>,
    files: HashMap<Id, Vec<u8>>,
}

impl Disk {
    fn apply(&mut self, op: &Op) {
        match op.clone() {
            Op::Entry { folder, name, node: Some(node) } => {
                self.folders.entry(folder).or_default().insert(name, node);
            }
            Op::Entry { folder, name, node: None } => {
                self.folders.entry(folder).or_default().remove(&name);
            }
            Op::Rename { from, to, node } => {
                self.folders.entry(from.0).or_default().remove(&from.1);
                self.folders.entry(to.0).or_default().insert(to.1, node);
            }
            Op::Write { file, offset, data } => {
                let file = self.files.entry(file).or_default();
                let end = offset as usize + data.len();
                file.resize(file.len().max(end), 0);
                file[offset as usize..end].copy_from_slice(&data);
            }
            Op::Truncate { file, length } => self.files.entry(file).or_default().resize(length as usize, 0),
            Op::Zero { file, offset, length } => {
                let file = self.files.entry(file).or_default();
                let end = file.len().min((offset + length) as usize);
                file[offset as usize..end].fill(0);
            }
        }
    }

    fn lay_out(&self, folder: Id, path: &Path, is_folder: &HashSet<Id>) {
        std::fs::create_dir_all(path).unwrap();
        for (name, node) in self.folders.get(&folder).into_iter().flatten() {
            let path = path.join(name);
            if is_folder.contains(node) {
                self.lay_out(*node, &path, is_folder);
            } else {
                let none = Vec::new();
                std::fs::write(&path, self.files.get(node).unwrap_or(&none)).unwrap();
            }
        }
    }
}

/// Reads a trace, and knows meanwhile what is open and what is where.
struct Reader {
    root: PathBuf,
    disk: Disk,
    is_folder: HashSet<Id>,
    /// By file descriptor: what it is, and where the next write goes.
    open: HashMap<i64, (Id, u64)>,
    next: Id,
    events: Vec<Event>,
}

impl Reader {
    fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            disk: Disk::default(),
            is_folder: [0].into(),
            open: HashMap::new(),
            next: 1,
            events: Vec::new(),
        }
    }

    fn op(&mut self, op: Op) {
        self.disk.apply(&op);
        self.events.push(Event::Op(op));
    }

    /// The folder of a path and its last name; `None` outside of the store.
    fn place(&self, at: Option<i64>, path: &str) -> Option<(Id, String)> {
        let path = Path::new(path);
        let (mut folder, rest) = match (path.strip_prefix(&self.root), at) {
            (Ok(rest), _) => (0, rest),
            (Err(_), Some(at)) if path.is_relative() => (self.open.get(&at)?.0, path),
            (Err(_), _) => return None,
        };
        let mut names: Vec<String> =
            rest.iter().map(|name| name.to_str().unwrap().to_owned()).filter(|name| name != ".").collect();
        let last = names.pop().unwrap_or_default();
        for name in names {
            folder = *self.disk.folders.get(&folder)?.get(&name)?;
        }
        Some((folder, last))
    }

    fn node(&self, (folder, name): &(Id, String)) -> Option<Id> {
        if name.is_empty() { Some(*folder) } else { self.disk.folders.get(folder)?.get(name).copied() }
    }

    fn make(&mut self, (folder, name): (Id, String), is_folder: bool) -> Id {
        let node = self.next;
        self.next += 1;
        if is_folder {
            self.is_folder.insert(node);
        }
        self.op(Op::Entry { folder, name, node: Some(node) });
        node
    }

    /// A call, which began when there had been so many events.
    fn call(&mut self, name: &str, arguments: &[&str], result: i64, began: usize) {
        let number = |at: usize| arguments[at].parse::<i64>().unwrap_or_default();
        let text = |at: usize| unquote(arguments[at]);
        let path = |at: usize| String::from_utf8(text(at)).unwrap();
        let folder = |at: usize| arguments[at].parse::<i64>().ok();
        if matches!(name, "unlink" | "unlinkat")
            && let Some(number) = path(usize::from(name == "unlinkat")).strip_prefix(MARK)
        {
            return self.events.push(Event::Acknowledged { number: number.parse().unwrap(), began });
        }
        if result < 0 {
            return;
        }
        match name {
            "openat" | "open" => {
                let at = usize::from(name == "openat");
                let Some(place) = self.place((at == 1).then(|| folder(0)).flatten(), &path(at)) else {
                    return;
                };
                let flags = arguments[at + 1];
                let node = match self.node(&place) {
                    Some(node) => {
                        if flags.contains("O_TRUNC")
                            && self.disk.files.get(&node).is_some_and(|f| !f.is_empty())
                        {
                            self.op(Op::Truncate { file: node, length: 0 });
                        }
                        node
                    }
                    None => self.make(place, false),
                };
                self.open.insert(result, (node, 0));
            }
            "close" => drop(self.open.remove(&number(0))),
            "mkdir" => {
                if let Some(place) = self.place(None, &path(0)) {
                    self.make(place, true);
                }
            }
            "unlink" | "rmdir" => self.remove(None, &path(0)),
            "unlinkat" => self.remove(folder(0), &path(1)),
            "rename" => self.rename(&path(0), &path(1)),
            "renameat" | "renameat2" => self.rename(&path(1), &path(3)),
            "write" => {
                let Some((file, offset)) = self.open.get_mut(&number(0)) else { return };
                let (file, at) = (*file, *offset);
                *offset += result as u64;
                self.op(Op::Write { file, offset: at, data: text(1)[..result as usize].to_vec() });
            }
            "pwrite64" => {
                let Some((file, _)) = self.open.get(&number(0)).copied() else { return };
                let data = text(1)[..result as usize].to_vec();
                self.op(Op::Write { file, offset: number(3) as u64, data });
            }
            "ftruncate" => {
                let Some((file, _)) = self.open.get(&number(0)).copied() else { return };
                self.op(Op::Truncate { file, length: number(1) as u64 });
            }
            "fallocate" => {
                let Some((file, _)) = self.open.get(&number(0)).copied() else { return };
                assert!(arguments[1].contains("PUNCH_HOLE"), "{arguments:?}");
                self.op(Op::Zero { file, offset: number(2) as u64, length: number(3) as u64 });
            }
            "fsync" | "fdatasync" => {
                let Some((node, _)) = self.open.get(&number(0)).copied() else { return };
                self.events.push(Event::Sync { of: Some(node), began });
            }
            "syncfs" | "sync" => self.events.push(Event::Sync { of: None, began }),
            other => panic!("{other} is not known here"),
        }
    }

    fn remove(&mut self, at: Option<i64>, path: &str) {
        if let Some((folder, name)) = self.place(at, path) {
            self.op(Op::Entry { folder, name, node: None });
        }
    }

    fn rename(&mut self, from: &str, to: &str) {
        let (Some(from), Some(to)) = (self.place(None, from), self.place(None, to)) else { return };
        let node = self.node(&from).unwrap();
        self.op(Op::Rename { from, to, node });
    }
}

/// `"\x61\x62"`.
fn unquote(text: &str) -> Vec<u8> {
    let text = text.trim_matches('"');
    text.split("\\x").skip(1).map(|hex| u8::from_str_radix(&hex[..2], 16).unwrap()).collect()
}

/// A call that others came between is in two lines: what it changes counts where it ends, what it promises where it
/// begins.
fn read_trace(text: &str, reader: &mut Reader) {
    let mut begun: HashMap<&str, (&str, usize)> = HashMap::new();
    for line in text.lines() {
        let (process, rest) = line.split_once(' ').unwrap();
        let rest = rest.trim_start();
        let now = reader.events.len();
        let (whole, began) = if let Some(beginning) = rest.strip_suffix(" <unfinished ...>") {
            begun.insert(process, (beginning, now));
            continue;
        } else if let Some(resumed) = rest.strip_prefix("<... ") {
            let (_, end) = resumed.split_once(" resumed>").unwrap();
            let (beginning, began) = begun.remove(process).unwrap();
            (format!("{beginning}{end}"), began)
        } else {
            (rest.to_owned(), now)
        };
        // Signals and ends of threads are none.
        let Some((name, rest)) = whole.split_once('(') else { continue };
        let Some((arguments, result)) = rest.rsplit_once(" = ") else { continue };
        let arguments = arguments.trim_end().trim_end_matches(')');
        let arguments: Vec<&str> = arguments.split(", ").collect();
        let result = result.split_whitespace().next().unwrap_or_default().parse().unwrap_or(-1);
        reader.call(name, &arguments, result, began);
    }
}

/// What had been said to last when the power went before this event.
fn acknowledged(events: &[Event], moment: usize) -> Vec<usize> {
    let numbers = events.iter().filter_map(|event| match event {
        Event::Acknowledged { number, began } if *began <= moment => Some(*number),
        _ => None,
    });
    numbers.collect()
}

/// Which of these events are on the disk for good.
fn lasting(past: &[Event]) -> Vec<bool> {
    let mut lasts = vec![false; past.len()];
    for event in past {
        let Event::Sync { of, began } = event else { continue };
        for (earlier, event) in past[..*began].iter().enumerate() {
            if let Event::Op(op) = event {
                lasts[earlier] |= of.is_none_or(|of| op.of().contains(&of));
            }
        }
    }
    lasts
}

/// A disk as it may be when the power goes before this event. Writes to a file come to it in any order. A file system
/// keeps the order of all else: the entries of a folder; the lengths and holes of a file, and what is written after
/// such a change.
fn after_a_cut(events: &[Event], moment: usize, random: &mut StdRng) -> Disk {
    let past = &events[..moment];
    let lasts = lasting(past);
    let mut disk = Disk::default();
    // Some disks keep everything, some nothing.
    let keep = [0.0, 0.5, 0.9, 1.0][random.random_range(0..4)];
    // What gets no changes any more from here on.
    let mut lost: HashSet<Id> = HashSet::new();
    for (event, lasts) in past.iter().zip(lasts) {
        let Event::Op(op) = event else { continue };
        let queue = op.of()[0];
        if !lasts && lost.contains(&queue) {
            continue;
        }
        match op {
            _ if lasts || random.random_bool(keep) => disk.apply(op),
            Op::Write { file, offset, data } => {
                if let Some(data) = torn(data, random) {
                    disk.apply(&Op::Write { file: *file, offset: *offset, data });
                }
            }
            _ => {
                lost.insert(queue);
            }
        }
    }
    disk
}

/// What is there of a write that did not come to its end: sectors of it, from its beginning. A sector is written whole
/// or not at all.
fn torn(data: &[u8], random: &mut StdRng) -> Option<Vec<u8>> {
    const SECTOR: usize = 512;
    let sectors = if random.random_bool(0.5) { random.random_range(0..=data.len() / SECTOR) } else { 0 };
    (sectors > 0).then(|| data[..sectors * SECTOR].to_vec())
}

/// Each image is as it was or as it was to be, and so is each byte of it; those of an image that is being removed may be
/// gone before it.
fn assert_between(found: &State, before: &State, after: &State, what: &str) {
    let is_removed = |name: &String| after.images.is_empty() && !after.trash.contains(name);
    let names = |state: &State| state.images.keys().cloned().collect::<Vec<_>>();
    assert!([names(before), names(after)].contains(&names(found)), "{what}: {:?}", names(found));
    assert!([&before.trash, &after.trash].contains(&&found.trash), "{what}: trash {:?}", found.trash);
    for (name, held) in &found.images {
        let sides: Vec<&Held> = [before, after].iter().filter_map(|state| state.images.get(name)).collect();
        let any = |is_so: &dyn Fn(&Held) -> bool| sides.iter().any(|side| is_so(side));
        assert!(any(&|side| side.bytes.len() == held.bytes.len()), "{what}: size of {name}");
        assert!(any(&|side| side.snapshots == held.snapshots), "{what}: snapshots of {name}");
        assert!(any(&|side| side.has_parent == held.has_parent), "{what}: parent of {name}");
        assert!(any(&|side| side.metadata == held.metadata), "{what}: metadata of {name}");
        for (at, byte) in held.bytes.iter().enumerate().filter(|_| !is_removed(name)) {
            let is_so = any(&|side| side.bytes.get(at).copied().unwrap_or_default() == *byte);
            assert!(is_so, "{what}: byte {at} of {name}");
        }
    }
}

/// In memory, if possible: each opening of a store syncs, and there are many.
fn quick_folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

/// What the kernel was asked for while this test ran, in `traced` below the folder; with more options of `strace`.
fn trace(actor: &str, folder: &Path, options: &[&str]) -> Reader {
    let (traced, trace) = (folder.join("traced"), folder.join("trace"));
    std::fs::create_dir(&traced).unwrap();
    let calls = "trace=open,openat,close,write,pwrite64,ftruncate,fallocate,fsync,fdatasync,syncfs,sync,rename,renameat,\
        renameat2,unlink,unlinkat,rmdir,mkdir";
    let output = Command::new("strace")
        .args(["-f", "-q", "-xx", "-s", "1000000", "-e", calls, "-e", "signal=none"])
        .args(options)
        .arg("-o")
        .arg(&trace)
        .arg(std::env::current_exe().unwrap())
        .args([actor, "--exact", "--ignored", "--test-threads=1"])
        .env(FOLDER, &traced)
        .output()
        .expect("strace is missing: scripts/need test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let mut reader = Reader::new(&traced);
    read_trace(&std::fs::read_to_string(&trace).unwrap(), &mut reader);
    reader
}

fn random() -> (u64, StdRng) {
    let seed = std::env::var("PUMICE_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    (seed, StdRng::seed_from_u64(seed))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_outlives_a_power_cut() {
    let folder = quick_folder();
    let Reader { disk, is_folder, events, .. } = trace("power::actor", folder.path(), &[]);
    assert_eq!(acknowledged(&events, events.len()), (0..STEPS).collect::<Vec<_>>());

    // What there is after each step, without any trouble.
    let calm = folder.path().join("calm");
    let store = open(&calm);
    let mut states = vec![state(&store).await];
    for number in 0..STEPS {
        step(&store, number).await;
        states.push(state(&store).await);
    }
    states.push(states[STEPS].clone());
    // The trace was understood: all of it, carried out, is the store.
    let whole = folder.path().join("whole");
    disk.lay_out(0, &whole, &is_folder);
    assert_eq!(state(&open(&whole)).await, states[STEPS]);

    let (seed, mut random) = random();
    let mut cuts = 0;
    for moment in 0..=events.len() {
        let done = acknowledged(&events, moment).len();
        for _ in 0..4 {
            let disk = after_a_cut(&events, moment, &mut random);
            let cut = quick_folder();
            disk.lay_out(0, cut.path(), &is_folder);
            let found = state(&open(cut.path())).await;
            let what = format!("seed {seed}, event {moment} of {}, step {done}", events.len());
            assert_between(&found, &states[done], &states[done + 1], &what);
            cuts += 1;
        }
    }
    println!("{cuts} power cuts at {} moments", events.len());
}

/// A service of which nothing is there yet, not even the folders.
fn config_in(folder: &Path) -> Config {
    let path = |name: &str| folder.join("of/the").join(name);
    let mut config = Config::default();
    config.identity.mode = IdentityMode::None;
    config.database.url = DatabaseUrl::file(path("base/pumice.db").to_str().unwrap());
    config.images.directory = path("store");
    config.volumes.directory = path("store");
    config
}

/// They commit at once, one after the other each.
const TASKS: usize = 4;
const COMMITS: usize = 4;

/// In memory a sync takes no time, and nobody would come to share one: each begins a tenth of a second late.
const SLOW_SYNCS: &[&str] = &["-e", "inject=fsync,fdatasync:delay_enter=100000"];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a process of its own, which the test below starts"]
async fn committer() {
    let folder = std::env::var_os(FOLDER).expect("the test below starts this");
    let service = Service::open(config_in(Path::new(&folder))).await.unwrap();
    let Shared { database, world, .. } = &*service.app;
    let tasks = (0..TASKS).map(|task| {
        let (database, world) = (database.clone(), world.clone());
        tokio::spawn(async move {
            for number in task * COMMITS..(task + 1) * COMMITS {
                let mut repository = database.begin().await.unwrap();
                let leftover = Leftover { pool: "p".to_owned(), name: number.to_string() };
                repository.add_leftover(&leftover, world.now()).await.unwrap();
                repository.commit().await.unwrap();
                let _ = std::fs::remove_file(format!("{MARK}{number}"));
            }
        })
    });
    for done in futures::future::join_all(tasks).await {
        done.unwrap();
    }
}

/// The numbers of all commits that there are.
async fn commits_in(folder: &Path, what: &str) -> Vec<usize> {
    let database =
        open_database(&config_in(folder)).await.unwrap_or_else(|error| panic!("{what}: {error:#}"));
    let found = database.read().await.unwrap().all_leftovers().await;
    database.close().await;
    let rows = found.unwrap_or_else(|error| panic!("{what}: {error}"));
    let mut numbers: Vec<usize> = rows.into_iter().map(|row| row.name.parse().unwrap()).collect();
    numbers.sort_unstable();
    numbers
}

/// Of each task what was acknowledged, without a gap, and at the most the commit that it was at.
fn assert_commits(found: &[usize], acknowledged: &[usize], what: &str) {
    for task in 0..TASKS {
        let of_task = |all: &[usize]| -> Vec<usize> {
            all.iter().copied().filter(|number| number / COMMITS == task).collect()
        };
        let (there, known) = (of_task(found), of_task(acknowledged).len());
        let first = task * COMMITS;
        assert_eq!(there, (first..first + there.len()).collect::<Vec<_>>(), "{what}");
        assert!((known..=known + 1).contains(&there.len()), "{what}, task {task}: {there:?}, not {known}");
    }
}

/// The same of SQLite, from the very first start on.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_committed_outlives_a_power_cut() {
    let folder = quick_folder();
    let Reader { disk, is_folder, events, .. } = trace("power::committer", folder.path(), SLOW_SYNCS);
    let whole = folder.path().join("whole");
    disk.lay_out(0, &whole, &is_folder);
    assert_eq!(commits_in(&whole, "all of it").await, (0..TASKS * COMMITS).collect::<Vec<_>>());
    let is_mark = |event: &Event| matches!(event, Event::Acknowledged { .. });
    let (first, last) = (events.iter().position(is_mark).unwrap(), events.iter().rposition(is_mark).unwrap());
    let syncs = events[first..last].iter().filter(|event| matches!(event, Event::Sync { .. })).count();
    println!("{syncs} syncs for {} commits after the first one", TASKS * COMMITS - 1);
    assert!(syncs < TASKS * COMMITS - 1, "no two commits shared a sync");
    let (seed, mut random) = random();
    let mut cuts = 0;
    for moment in first + 1..=events.len() {
        let known = acknowledged(&events, moment);
        for _ in 0..2 {
            let disk = after_a_cut(&events, moment, &mut random);
            let cut = quick_folder();
            disk.lay_out(0, cut.path(), &is_folder);
            let what = format!("seed {seed}, event {moment} of {}, commits {known:?}", events.len());
            assert_commits(&commits_in(cut.path(), &what).await, &known, &what);
            cuts += 1;
        }
    }
    assert!(cuts > TASKS * COMMITS, "{cuts}");
    println!("{cuts} power cuts");
}
