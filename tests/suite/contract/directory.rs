//! The embedded store under the contract, and what only it promises: one user at a time, and a right state
//! after a crash at any point.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use pumice::block::BlockingPool;
use pumice::block::directory::Directory;
use tempfile::TempDir;

use super::*;

async fn fixture(case: &str) -> Stores {
    let folder = tempfile::tempdir().unwrap();
    stores(open(folder.path()), case, folder)
}

contract_suite!(fixture);

fn open(path: &Path) -> Arc<Directory> {
    // Handles that were let go of end on threads of their own, and hold the directory until then.
    let end = std::time::Instant::now() + Duration::from_secs(20);
    loop {
        match Directory::open(path, BlockingPool::default()) {
            Err(error) if error.kind == ErrorKind::Busy && std::time::Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(5));
            }
            opened => return opened.unwrap(),
        }
    }
}

fn stores(directory: Arc<Directory>, prefix: &str, keep: impl Any + Send + Sync) -> Stores {
    Stores {
        first: directory.pool("first").unwrap(),
        second: directory.pool("second").unwrap(),
        needs_protection: true,
        has_statistics: true,
        prefix: prefix.into(),
        _keep: Box::new(keep),
    }
}

/// A directory that can be closed and opened again, or looked at as a crash would leave it.
struct Disk(TempDir);

impl Disk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn open(&self) -> Stores {
        stores(open(self.0.path()), "disk", ())
    }

    fn pool(&self) -> PathBuf {
        self.0.path().join("pools/first")
    }

    fn header(&self, name: &str) -> PathBuf {
        self.pool().join(format!("images/disk.{name}.json"))
    }

    fn change_header(&self, name: &str, change: impl FnOnce(&mut serde_json::Value)) {
        let mut header = serde_json::from_slice(&fs::read(self.header(name)).unwrap()).unwrap();
        change(&mut header);
        fs::write(self.header(name), serde_json::to_vec(&header).unwrap()).unwrap();
    }

    /// Where the bytes of an image are.
    fn data(&self, name: &str) -> PathBuf {
        let header: serde_json::Value =
            serde_json::from_slice(&fs::read(self.header(name)).unwrap()).unwrap();
        self.pool().join("data").join(header["id"].as_str().unwrap())
    }

    /// The files as they are now, as if the machine had stopped.
    fn crashed(&self) -> Self {
        let copy = Self::new();
        copy_folder(self.0.path(), copy.0.path());
        copy
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn object(number: u64) -> String {
    format!("{number:016x}")
}

/// Four objects in three layers: snapshots `a` and `b`, and the head. The bytes of each.
async fn layered(stores: &Stores) -> [Vec<u8>; 3] {
    let image = stores.image("layered", 4 * OBJECT).await;
    let mut bytes = noise(1, 4 * OBJECT).to_vec();
    image.write(0, bytes.clone().into()).await.unwrap();
    let first = bytes.clone();
    image.create_snapshot("a").await.unwrap();
    image.write(OBJECT, noise(2, OBJECT)).await.unwrap();
    bytes[OBJECT as usize..2 * OBJECT as usize].copy_from_slice(&noise(2, OBJECT));
    image.discard(3 * OBJECT, OBJECT).await.unwrap();
    bytes[3 * OBJECT as usize..].fill(0);
    let second = bytes.clone();
    image.create_snapshot("b").await.unwrap();
    image.write(5, noise(3, 5)).await.unwrap();
    bytes[5..10].copy_from_slice(&noise(3, 5));
    image.close().await.unwrap();
    [first, second, bytes]
}

#[tokio::test(flavor = "multi_thread")]
async fn many_random_operations() {
    let stores = fixture("many").await;
    for seed in 1000..1040 {
        crate::contract::model::run(&stores, seed, 120).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_user_at_a_time() {
    let disk = Disk::new();
    let first = open(disk.0.path());
    let fsid = first.pool("p").unwrap().fsid().await.unwrap();
    assert_eq!(first.pool("p").unwrap().monitors().await.unwrap(), []);
    let error = Directory::open(disk.0.path(), BlockingPool::default()).err().unwrap();
    assert_eq!(error.kind, ErrorKind::Busy);
    assert!(error.to_string().contains("in use"), "{error}");
    drop(first);
    assert_eq!(open(disk.0.path()).pool("p").unwrap().fsid().await.unwrap(), fsid);
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_pool_names_are_refused() {
    let disk = Disk::new();
    let directory = open(disk.0.path());
    for name in ["", "..", "../x", "a/b", "/x", ".x", "x\0", &"x".repeat(201)] {
        assert_eq!(directory.pool(name).err().unwrap().kind, ErrorKind::Invalid);
    }
    let path = SnapshotPath { pool: "../first".into(), image: "x".into(), snapshot: "s".into() };
    let cloned = directory.pool("p").unwrap().clone_snapshot(&path, "x", None).await;
    assert_refused(cloned, ErrorKind::NotFound);
    assert_refused(
        directory.pool("p").unwrap().trash_remove("../../lock", &Progress::new()).await,
        ErrorKind::NotFound,
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn all_is_there_after_reopening() {
    let disk = Disk::new();
    let stores = disk.open();
    let [first, second, head] = layered(&stores).await;
    let image = stores.write(&stores.name("layered")).await;
    image.protect_snapshot("a").await.unwrap();
    let path = stores.path(image.name(), "a");
    stores.second.clone_snapshot(&path, &stores.name("clone"), None).await.unwrap();
    let trashed = stores.image("trashed", OBJECT).await;
    let id = stores.first.trash_move(trashed.name()).await.unwrap();
    drop((image, trashed, stores));
    let stores = disk.open();
    let image = stores.write(&stores.name("layered")).await;
    assert_holds(&*image, &head).await;
    assert_holds(&*stores.at(image.name(), "a").await, &first).await;
    assert_holds(&*stores.at(image.name(), "b").await, &second).await;
    let clone = stores.second.open(&stores.name("clone"), OpenMode::ReadWrite).await.unwrap();
    assert_holds(&*clone, &first).await;
    assert_refused(image.unprotect_snapshot("a").await, ErrorKind::HasChildren);
    assert_eq!(stores.trash(&*stores.first).await[0].id, id);
    drop((image, clone));
    stores.clean().await;
    assert_eq!(fs::read_dir(disk.pool().join("data")).unwrap().count(), 0, "bytes are left behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshot_removal_ends_after_a_crash() {
    // The name is taken away; any of the files may have moved, or be gone where newer ones hide them.
    for moved in 0..16_u64 {
        let disk = Disk::new();
        let stores = disk.open();
        let [_, second, head] = layered(&stores).await;
        drop(stores);
        disk.change_header("layered", |header| header["layers"][0]["snapshot"] = serde_json::Value::Null);
        let (older, newer) = (disk.data("layered").join("0"), disk.data("layered").join("1"));
        for number in (0..4).filter(|number| moved & 1 << number != 0) {
            let (from, to) = (older.join(object(number)), newer.join(object(number)));
            if to.exists() { fs::remove_file(from).unwrap() } else { fs::rename(from, to).unwrap() }
        }
        let stores = disk.open();
        assert!(!older.exists());
        let image = stores.write(&stores.name("layered")).await;
        assert_eq!(image.snapshots().await.unwrap().len(), 1);
        assert_holds(&*image, &head).await;
        assert_holds(&*stores.at(image.name(), "b").await, &second).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn copy_up_counts_only_when_durable() {
    let disk = Disk::new();
    let stores = disk.open();
    let [first, ..] = layered(&stores).await;
    let image = stores.write(&stores.name("layered")).await;
    image.protect_snapshot("a").await.unwrap();
    stores.first.clone_snapshot(&stores.path(image.name(), "a"), &stores.name("clone"), None).await.unwrap();
    let clone = stores.write(&stores.name("clone")).await;
    clone.write(10, noise(7, 10)).await.unwrap();
    let before = disk.crashed();
    clone.flush().await.unwrap();
    let after = disk.crashed();
    let opened = before.open();
    assert_holds(&*opened.read(clone.name()).await, &first).await;
    assert!(!before.data("clone").join("fresh").exists());
    let mut bytes = first;
    bytes[10..20].copy_from_slice(&noise(7, 10));
    let opened = after.open();
    assert_holds(&*opened.read(clone.name()).await, &bytes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flatten_goes_on_after_a_crash() {
    let disk = Disk::new();
    let stores = disk.open();
    let parent = stores.image("parent", 64 * OBJECT).await;
    parent.write(0, noise(1, 64 * OBJECT)).await.unwrap();
    let clone = stores.clone_of(&*parent, "s", "clone").await;
    clone.close().await.unwrap();
    drop((parent, clone, stores));
    // Some objects are copied, one only in part.
    let (from, to) = (disk.data("parent").join("0"), disk.data("clone").join("0"));
    fs::create_dir_all(&to).unwrap();
    fs::create_dir_all(disk.data("clone").join("fresh")).unwrap();
    for number in [0, 1, 63] {
        fs::copy(from.join(object(number)), to.join(object(number))).unwrap();
    }
    fs::write(disk.data("clone").join("fresh/flat-2"), b"half").unwrap();
    let stores = disk.open();
    let clone = stores.write(&stores.name("clone")).await;
    assert_holds(&*clone, &noise(1, 64 * OBJECT)).await;
    clone.flatten(&Progress::new()).await.unwrap();
    assert_eq!(clone.parent().await.unwrap(), None);
    assert_holds(&*clone, &noise(1, 64 * OBJECT)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shrink_can_be_repeated_after_a_crash() {
    let disk = Disk::new();
    let stores = disk.open();
    let [first, ..] = layered(&stores).await;
    drop(stores);
    // Nothing shows from beneath any more, one of the head's objects is gone, the size is the old one.
    disk.change_header("layered", |header| header["layers"][2]["below"] = 100.into());
    let stores = disk.open();
    let image = stores.write(&stores.name("layered")).await;
    assert_eq!(image.size().await.unwrap(), 4 * OBJECT);
    image.resize(100, &Progress::new()).await.unwrap();
    image.resize(4 * OBJECT, &Progress::new()).await.unwrap();
    let mut bytes = first.clone();
    bytes[5..10].copy_from_slice(&noise(3, 5));
    bytes[100..].fill(0);
    assert_holds(&*image, &bytes).await;
    assert_holds(&*stores.at(image.name(), "a").await, &first).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn removal_can_be_repeated_after_a_crash() {
    let disk = Disk::new();
    let stores = disk.open();
    let image = stores.image("doomed", 4 * OBJECT).await;
    image.write(0, noise(1, 4 * OBJECT)).await.unwrap();
    image.close().await.unwrap();
    drop((image, stores));
    // Some bytes are gone already.
    fs::remove_file(disk.data("doomed").join("0").join(object(2))).unwrap();
    // And the header of another is, but not its bytes.
    fs::create_dir_all(disk.pool().join("data/0123/0")).unwrap();
    fs::write(disk.pool().join("data/0123/0").join(object(0)), b"left").unwrap();
    let stores = disk.open();
    stores.first.remove(&stores.name("doomed"), &Progress::new()).await.unwrap();
    assert_eq!(fs::read_dir(disk.pool().join("data")).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn drafts_are_cleared_away() {
    let disk = Disk::new();
    let stores = disk.open();
    stores.image("kept", OBJECT).await;
    drop(stores);
    let draft = disk.pool().join("images/.0123.new");
    fs::write(&draft, b"{").unwrap();
    fs::write(disk.pool().join("images/README"), b"of somebody").unwrap();
    let stores = disk.open();
    assert!(!draft.exists());
    assert_eq!(stores.first.list().await.unwrap(), ["disk.kept"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn unusable_header_hurts_its_image_only() {
    let headers = ["", "{", "null", "{\"format\":1}", "\0\0\0\0"];
    for text in headers {
        let disk = Disk::new();
        let stores = disk.open();
        for name in ["good", "bad"] {
            let image = stores.image(name, OBJECT).await;
            image.write(0, noise(1, OBJECT)).await.unwrap();
            image.close().await.unwrap();
        }
        let bad = stores.write(&stores.name("bad")).await;
        let clone = stores.clone_of(&*bad, "s", "clone").await;
        drop((bad, clone, stores));
        let bytes = disk.data("bad");
        fs::write(disk.header("bad"), text).unwrap();
        let stores = disk.open();
        assert_eq!(stores.names(&*stores.first).await, ["bad", "clone", "good"]);
        assert_holds(&*stores.write(&stores.name("good")).await, &noise(1, OBJECT)).await;
        let name = stores.name("bad");
        let error = stores.first.open(&name, OpenMode::ReadOnly).await.err().unwrap();
        assert_eq!(error.kind, ErrorKind::Io);
        assert!(error.to_string().contains("disk.bad.json"), "{error}");
        assert_refused(stores.first.create(&name, OBJECT, OBJECT).await, ErrorKind::Exists);
        assert_refused(stores.first.remove(&name, &Progress::new()).await, ErrorKind::Io);
        let clone = stores.write(&stores.name("clone")).await;
        assert_refused(clone.read(0, 1).await, ErrorKind::Io);
        assert!(bytes.exists(), "its bytes may still be wanted");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn header_of_another_shape_is_refused() {
    type Change = fn(&mut serde_json::Value);
    let changes: [Change; 6] = [
        |header| header["id"] = "../../../x".into(),
        |header| header["format"] = 2.into(),
        |header| header["object_size"] = 0.into(),
        |header| header["layers"] = serde_json::json!([]),
        |header| header["layers"][1]["number"] = 0.into(),
        |header| header["layers"][2]["snapshot"] = header["layers"][0]["snapshot"].clone(),
    ];
    for change in changes {
        let disk = Disk::new();
        let stores = disk.open();
        layered(&stores).await;
        drop(stores);
        disk.change_header("layered", change);
        let stores = disk.open();
        let opened = stores.first.open(&stores.name("layered"), OpenMode::ReadOnly).await;
        assert_not_opened(opened, ErrorKind::Io);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rolling_back_finds_the_parent_again() {
    let stores = fixture("back").await;
    let parent = stores.image("parent", 4 * OBJECT).await;
    parent.write(0, noise(1, 4 * OBJECT)).await.unwrap();
    let clone = stores.clone_of(&*parent, "s", "clone").await;
    clone.create_snapshot("whole").await.unwrap();
    clone.resize(OBJECT + 100, &Progress::new()).await.unwrap();
    clone.create_snapshot("cut").await.unwrap();
    clone.write(0, noise(2, OBJECT)).await.unwrap();
    clone.roll_back("whole", &Progress::new()).await.unwrap();
    assert_holds(&*clone, &noise(1, 4 * OBJECT)).await;
    assert_holds(&*stores.at(clone.name(), "cut").await, &noise(1, 4 * OBJECT)[..OBJECT as usize + 100])
        .await;
    clone.remove_snapshot("whole").await.unwrap();
    assert_holds(&*clone, &noise(1, 4 * OBJECT)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_and_flattens_race_with_writes() {
    let stores = fixture("race").await;
    let parent = stores.image("parent", 32 * OBJECT).await;
    parent.write(0, noise(1, 32 * OBJECT)).await.unwrap();
    let clone = stores.clone_of(&*parent, "s", "clone").await;
    let writer = {
        let clone = clone.clone();
        tokio::spawn(async move {
            for round in 0..20 {
                for object in 0..32 {
                    clone.write(object * OBJECT + 100, noise(round, 100)).await.unwrap();
                }
            }
        })
    };
    let snapper = {
        let clone = clone.clone();
        tokio::spawn(async move {
            for round in 0..10 {
                clone.create_snapshot(&format!("s{round}")).await.unwrap();
                if round > 1 {
                    clone.remove_snapshot(&format!("s{}", round - 2)).await.unwrap();
                }
            }
        })
    };
    clone.flatten(&Progress::new()).await.unwrap();
    writer.await.unwrap();
    snapper.await.unwrap();
    let mut bytes = noise(1, 32 * OBJECT).to_vec();
    for object in 0..32 {
        bytes[object * OBJECT as usize + 100..][..100].copy_from_slice(&noise(19, 100));
    }
    assert_holds(&*clone, &bytes).await;
    assert_eq!(clone.parent().await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cut_off_stays_so_whoever_writes_meanwhile() {
    let stores = fixture("cut-race").await;
    let image = stores.image("cut", 4 * OBJECT).await;
    for round in 0..20 {
        let writer = {
            let (image, data) = (image.clone(), noise(round, OBJECT));
            tokio::spawn(async move {
                let mut written = Ok(());
                while written.is_ok() {
                    written = image.write(3 * OBJECT, data.clone()).await;
                }
                written
            })
        };
        let (progress, snapshot) = (Progress::new(), format!("s{round}"));
        let (cut, taken) = tokio::join!(image.resize(OBJECT, &progress), image.create_snapshot(&snapshot));
        cut.unwrap();
        taken.unwrap();
        assert_refused(writer.await.unwrap(), ErrorKind::Invalid);
        image.resize(4 * OBJECT, &Progress::new()).await.unwrap();
        assert!(zeros(&image.read(OBJECT, 3 * OBJECT).await.unwrap()), "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_counts_the_objects_of_all_layers() {
    let stores = fixture("counted").await;
    layered(&stores).await;
    let id = stores.first.trash_move(&stores.name("layered")).await.unwrap();
    let progress = Progress::new();
    stores.first.trash_remove(&id, &progress).await.unwrap();
    // Four of the oldest layer, two of the next one, and the head's, which was the last to go.
    assert_eq!(progress.get(), (6, 7));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_grows_nothing_is_written() {
    let disk = Disk::new();
    let stores = disk.open();
    let image = stores.image("grown", 2 * OBJECT).await;
    let file = || fs::metadata(disk.header("grown")).unwrap().ino();
    let before = file();
    image.grow(OBJECT).await.unwrap();
    image.grow(2 * OBJECT).await.unwrap();
    image.resize(2 * OBJECT, &Progress::new()).await.unwrap();
    assert_eq!(file(), before);
    image.grow(3 * OBJECT).await.unwrap();
    assert_ne!(file(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_objects() {
    const COUNT: u64 = 5_000;
    let stores = fixture("many-objects").await;
    let name = stores.name("parted");
    stores.first.create(&name, COUNT << 12, 4 << 10).await.unwrap();
    let image = stores.write(&name).await;
    image.write(0, noise(1, COUNT << 12)).await.unwrap();
    image.flush().await.unwrap();
    image.create_snapshot("s").await.unwrap();
    image.write(7, noise(2, (COUNT << 12) - 7)).await.unwrap();
    image.remove_snapshot("s").await.unwrap();
    let bytes = [&noise(1, 7)[..], &noise(2, (COUNT << 12) - 7)[..]].concat();
    assert_holds(&*image, &bytes).await;
}

/// What it was mounted on lies under its name then, or nothing.
#[tokio::test]
async fn a_directory_that_is_not_there_does_not_answer() {
    let disk = Disk::new();
    let stores = disk.open();
    let (there, away) = (disk.0.path().join("fsid"), disk.0.path().join("away"));
    fs::rename(&there, &away).unwrap();
    assert_refused(stores.first.ping().await, ErrorKind::Disconnected);
    fs::write(&there, "another").unwrap();
    assert_refused(stores.first.ping().await, ErrorKind::Disconnected);
    fs::rename(&away, &there).unwrap();
    stores.first.ping().await.unwrap();
}
