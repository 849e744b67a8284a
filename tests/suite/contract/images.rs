//! Images as such: their names, sizes, text.

use pumice::block::{ErrorKind, LockKind, OpenMode, Progress};

use super::*;

pub async fn create_makes_zeros(stores: &Stores) {
    for (number, size) in [0, 1, 4096, OBJECT, OBJECT + 1, 3 * OBJECT - 1, 5 * OBJECT].into_iter().enumerate()
    {
        let image = stores.image(&format!("sized-{number}"), size).await;
        assert_eq!(image.object_size(), OBJECT);
        assert_eq!(image.name(), stores.name(&format!("sized-{number}")));
        assert_holds(&*image, &vec![0; size as usize]).await;
        assert_eq!(image.allocated().await.unwrap(), []);
        image.close().await.unwrap();
    }
    for (number, object_size) in [4 << 10, 4 << 20, 32 << 20].into_iter().enumerate() {
        let name = stores.name(&format!("parted-{number}"));
        stores.first.create(&name, 40 << 20, object_size).await.unwrap();
        let image = stores.write(&name).await;
        assert_eq!(image.object_size(), object_size);
        let bytes = noise(1, 10_000);
        image.write((32 << 20) - 5_000, bytes.clone()).await.unwrap();
        assert_same(&image.read((32 << 20) - 5_000, 10_000).await.unwrap(), &bytes);
        image.close().await.unwrap();
    }
}

pub async fn who_writes_elsewhere_is_seen(stores: &Stores) {
    let first = stores.image("written", OBJECT).await;
    assert!(!first.is_open_elsewhere().await.unwrap());
    let reader = stores.read(first.name()).await;
    assert!(reader.is_open_elsewhere().await.unwrap());
    assert!(!first.is_open_elsewhere().await.unwrap(), "who reads does not count");
    first.close().await.unwrap();
    drop(first);
    assert!(!reader.is_open_elsewhere().await.unwrap());
}

/// Whatever locks there are while somebody writes, they are the writer's, and are given back in the end.
pub async fn a_lock_goes_with_its_owner(stores: &Stores) {
    let first = stores.image("locked", OBJECT).await;
    first.write(0, noise(1, OBJECT)).await.unwrap();
    first.flush().await.unwrap();
    let reader = stores.read(first.name()).await;
    let (locks, writers) = (reader.locks().await.unwrap(), reader.writers().await.unwrap());
    assert_eq!(writers.len(), 1, "{writers:?}");
    assert!(locks.iter().all(|lock| writers.contains(&lock.owner)), "{locks:?} {writers:?}");
    let other = stores.write(first.name()).await;
    for lock in &locks {
        assert_eq!(lock.kind, LockKind::Exclusive);
        assert_refused(other.break_lock(lock).await, ErrorKind::Busy);
    }
    other.close().await.unwrap();
    first.write(0, noise(2, OBJECT)).await.unwrap();
    first.close().await.unwrap();
    reader.close().await.unwrap();
    assert_eq!(stores.read(first.name()).await.locks().await.unwrap(), []);
}

pub async fn create_refuses_a_taken_name(stores: &Stores) {
    let image = stores.image("taken", OBJECT).await;
    image.write(0, noise(1, OBJECT)).await.unwrap();
    image.close().await.unwrap();
    let name = stores.name("taken");
    assert_refused(stores.first.create(&name, 5 * OBJECT, OBJECT).await, ErrorKind::Exists);
    assert_holds(&*stores.read(&name).await, &noise(1, OBJECT)).await;
    // Names are a pool's own.
    stores.second.create(&name, OBJECT, OBJECT).await.unwrap();
}

pub async fn create_refuses_unusable_names(stores: &Stores) {
    let longest = format!("{:x<200}", stores.name(""));
    stores.first.create(&longest, OBJECT, OBJECT).await.unwrap();
    stores.first.remove(&longest, &Progress::new()).await.unwrap();
    let too_long = format!("{longest}x");
    let names = ["", ".", "..", "../x", "/x", "x/y", ".x", "x\0y", "x y", "x@y", "ü", "x\n", &too_long];
    for name in names {
        assert_refused(stores.first.create(name, OBJECT, OBJECT).await, ErrorKind::Invalid);
        assert_not_opened(stores.first.open(name, OpenMode::ReadOnly).await, ErrorKind::Invalid);
        assert_refused(stores.first.remove(name, &Progress::new()).await, ErrorKind::Invalid);
    }
    let image = stores.image("usable", OBJECT).await;
    for name in names {
        assert_refused(stores.first.rename(image.name(), name).await, ErrorKind::Invalid);
    }
    assert_eq!(stores.names(&*stores.first).await, ["usable"]);
}

pub async fn create_refuses_unusable_object_sizes(stores: &Stores) {
    for object_size in [0, 1, 2 << 10, 4095, 5000, 3 << 20, 64 << 20, u64::MAX] {
        let created = stores.first.create(&stores.name("x"), OBJECT, object_size).await;
        assert_refused(created, ErrorKind::Invalid);
    }
    assert!(stores.names(&*stores.first).await.is_empty());
}

pub async fn open_refuses_what_is_missing(stores: &Stores) {
    let missing = stores.name("missing");
    for mode in [OpenMode::ReadWrite, OpenMode::ReadOnly, OpenMode::Snapshot("s".into())] {
        assert_not_opened(stores.first.open(&missing, mode).await, ErrorKind::NotFound);
    }
    let image = stores.image("present", OBJECT).await;
    image.create_snapshot("here").await.unwrap();
    let elsewhere = stores.first.open(image.name(), OpenMode::Snapshot("elsewhere".into())).await;
    assert_not_opened(elsewhere, ErrorKind::NotFound);
    assert_refused(stores.first.remove(&missing, &Progress::new()).await, ErrorKind::NotFound);
    assert_refused(stores.first.rename(&missing, &stores.name("new")).await, ErrorKind::NotFound);
    assert_refused(stores.first.trash_move(&missing).await, ErrorKind::NotFound);
}

pub async fn read_only_refuses_changes(stores: &Stores) {
    let image = stores.image("kept", 2 * OBJECT).await;
    image.write(0, noise(1, 2 * OBJECT)).await.unwrap();
    image.create_snapshot("s").await.unwrap();
    image.close().await.unwrap();
    for image in [stores.read(image.name()).await, stores.at(image.name(), "s").await] {
        assert_refused(image.write(0, noise(2, 10)).await, ErrorKind::ReadOnly);
        assert_refused(image.write_zeroes(0, 10).await, ErrorKind::ReadOnly);
        assert_refused(image.discard(0, OBJECT).await, ErrorKind::ReadOnly);
        assert_refused(image.resize(OBJECT, &Progress::new()).await, ErrorKind::ReadOnly);
        assert_refused(image.grow(3 * OBJECT).await, ErrorKind::ReadOnly);
        assert_refused(image.create_snapshot("t").await, ErrorKind::ReadOnly);
        assert_refused(image.remove_snapshot("s").await, ErrorKind::ReadOnly);
        assert_refused(image.roll_back("s", &Progress::new()).await, ErrorKind::ReadOnly);
        assert_refused(image.set_metadata("key", "value").await, ErrorKind::ReadOnly);
        assert_holds(&*image, &noise(1, 2 * OBJECT)).await;
        image.close().await.unwrap();
    }
}

pub async fn grow_and_shrink(stores: &Stores) {
    let image = stores.image("sized", OBJECT + 100).await;
    let mut bytes = noise(1, OBJECT + 100).to_vec();
    image.write(0, bytes.clone().into()).await.unwrap();
    for size in [3 * OBJECT + 7, 3 * OBJECT + 7, OBJECT + 50, 40, 0, 2 * OBJECT] {
        image.resize(size, &Progress::new()).await.unwrap();
        bytes.resize(size as usize, 0);
        assert_holds(&*image, &bytes).await;
    }
    image.close().await.unwrap();
    assert_holds(&*stores.read(&stores.name("sized")).await, &bytes).await;
}

pub async fn growing_makes_nothing_smaller(stores: &Stores) {
    let image = stores.image("growing", OBJECT).await;
    let mut bytes = noise(1, OBJECT).to_vec();
    image.write(0, bytes.clone().into()).await.unwrap();
    for size in [0, OBJECT - 1, OBJECT, 2 * OBJECT + 7, OBJECT] {
        image.grow(size).await.unwrap();
        bytes.resize(bytes.len().max(size as usize), 0);
        assert_holds(&*image, &bytes).await;
    }
    // Somebody else was faster, and wanted more.
    let other = stores.write(&stores.name("growing")).await;
    other.grow(4 * OBJECT).await.unwrap();
    other.close().await.unwrap();
    image.grow(3 * OBJECT).await.unwrap();
    bytes.resize(4 * OBJECT as usize, 0);
    assert_holds(&*image, &bytes).await;
}

pub async fn shrink_cuts_bytes(stores: &Stores) {
    let image = stores.image("cut", 4 * OBJECT).await;
    for cut in [4 * OBJECT - 1, 3 * OBJECT, OBJECT + 10, 1, 0] {
        image.write(0, noise(cut, 4 * OBJECT)).await.unwrap();
        image.resize(cut, &Progress::new()).await.unwrap();
        image.resize(4 * OBJECT, &Progress::new()).await.unwrap();
        let mut bytes = noise(cut, 4 * OBJECT).to_vec();
        bytes[cut as usize..].fill(0);
        assert_holds(&*image, &bytes).await;
    }
}

pub async fn shrink_can_be_cancelled(stores: &Stores) {
    let image = stores.image("long", 64 * OBJECT).await;
    image.write(0, noise(1, 64 * OBJECT)).await.unwrap();
    let progress = Progress::new();
    progress.cancel();
    assert_refused(image.resize(OBJECT, &progress).await, ErrorKind::Cancelled);
    assert_eq!(image.size().await.unwrap(), 64 * OBJECT);
    image.resize(OBJECT, &Progress::new()).await.unwrap();
    assert_holds(&*image, &noise(1, OBJECT)).await;
}

pub async fn rename_keeps_everything(stores: &Stores) {
    let image = stores.image("old", 2 * OBJECT).await;
    image.write(0, noise(1, 2 * OBJECT)).await.unwrap();
    image.create_snapshot("s").await.unwrap();
    image.write(0, noise(2, OBJECT)).await.unwrap();
    image.set_metadata("key", "value").await.unwrap();
    image.close().await.unwrap();
    stores.first.rename(&stores.name("old"), &stores.name("new")).await.unwrap();
    assert_eq!(stores.names(&*stores.first).await, ["new"]);
    let old = stores.first.open(&stores.name("old"), OpenMode::ReadOnly).await;
    assert_not_opened(old, ErrorKind::NotFound);
    let image = stores.read(&stores.name("new")).await;
    assert_same(&image.read(0, OBJECT).await.unwrap(), &noise(2, OBJECT));
    assert_eq!(image.metadata().await.unwrap()["key"], "value");
    assert_holds(&*stores.at(&stores.name("new"), "s").await, &noise(1, 2 * OBJECT)).await;
    // The old name is free again.
    stores.first.create(&stores.name("old"), OBJECT, OBJECT).await.unwrap();
}

pub async fn rename_refuses_a_taken_name(stores: &Stores) {
    for (seed, name) in [(1, "one"), (2, "two")] {
        let image = stores.image(name, OBJECT).await;
        image.write(0, noise(seed, OBJECT)).await.unwrap();
        image.close().await.unwrap();
    }
    let renamed = stores.first.rename(&stores.name("one"), &stores.name("two")).await;
    assert_refused(renamed, ErrorKind::Exists);
    assert_holds(&*stores.read(&stores.name("one")).await, &noise(1, OBJECT)).await;
    assert_holds(&*stores.read(&stores.name("two")).await, &noise(2, OBJECT)).await;
}

pub async fn rename_while_open(stores: &Stores) {
    let image = stores.image("old", 2 * OBJECT).await;
    image.write(0, noise(1, OBJECT)).await.unwrap();
    stores.first.rename(&stores.name("old"), &stores.name("new")).await.unwrap();
    image.write(OBJECT, noise(2, OBJECT)).await.unwrap();
    image.flush().await.unwrap();
    let bytes = [noise(1, OBJECT), noise(2, OBJECT)].concat();
    assert_holds(&*image, &bytes).await;
    image.close().await.unwrap();
    assert_holds(&*stores.read(&stores.name("new")).await, &bytes).await;
}

pub async fn remove_frees_the_name(stores: &Stores) {
    let image = stores.image("gone", 3 * OBJECT).await;
    image.write(0, noise(1, 3 * OBJECT)).await.unwrap();
    image.close().await.unwrap();
    let name = stores.name("gone");
    stores.first.remove(&name, &Progress::new()).await.unwrap();
    assert!(stores.names(&*stores.first).await.is_empty());
    assert_refused(stores.first.remove(&name, &Progress::new()).await, ErrorKind::NotFound);
    let image = stores.image("gone", 3 * OBJECT).await;
    assert_holds(&*image, &vec![0; 3 * OBJECT as usize]).await;
}

pub async fn remove_refuses_while_open_for_writing(stores: &Stores) {
    let image = stores.image("open", OBJECT).await;
    image.write(0, noise(1, OBJECT)).await.unwrap();
    assert_refused(stores.first.remove(image.name(), &Progress::new()).await, ErrorKind::Busy);
    assert_holds(&*image, &noise(1, OBJECT)).await;
    image.close().await.unwrap();
    stores.first.remove(image.name(), &Progress::new()).await.unwrap();
}

pub async fn remove_refuses_snapshots(stores: &Stores) {
    let image = stores.image("held", OBJECT).await;
    image.write(0, noise(1, OBJECT)).await.unwrap();
    image.create_snapshot("s").await.unwrap();
    assert_refused(stores.first.remove(image.name(), &Progress::new()).await, ErrorKind::HasSnapshots);
    image.close().await.unwrap();
    assert_refused(stores.first.remove(image.name(), &Progress::new()).await, ErrorKind::HasSnapshots);
    let image = stores.write(image.name()).await;
    assert_holds(&*image, &noise(1, OBJECT)).await;
    image.remove_snapshot("s").await.unwrap();
    image.close().await.unwrap();
    stores.first.remove(image.name(), &Progress::new()).await.unwrap();
}

pub async fn remove_can_be_cancelled(stores: &Stores) {
    let image = stores.image("long", 64 * OBJECT).await;
    image.write(0, noise(1, 64 * OBJECT)).await.unwrap();
    image.close().await.unwrap();
    let progress = Progress::new();
    progress.cancel();
    // Where the cluster cannot stop, the image is gone.
    if let Err(error) = stores.first.remove(image.name(), &progress).await {
        assert_eq!(error.kind, ErrorKind::Cancelled);
        stores.first.remove(image.name(), &Progress::new()).await.unwrap();
    }
    assert!(stores.names(&*stores.first).await.is_empty());
}

pub async fn list_is_sorted(stores: &Stores) {
    for name in ["b", "a", "c", "B", "a-1", "a.json", "a.1"] {
        stores.first.create(&stores.name(name), OBJECT, OBJECT).await.unwrap();
    }
    stores.second.create(&stores.name("d"), OBJECT, OBJECT).await.unwrap();
    assert_eq!(stores.names(&*stores.first).await, ["B", "a", "a-1", "a.1", "a.json", "b", "c"]);
    assert_eq!(stores.names(&*stores.second).await, ["d"]);
}

pub async fn metadata_is_kept(stores: &Stores) {
    let image = stores.image("told", OBJECT).await;
    assert!(image.metadata().await.unwrap().is_empty());
    for (key, value) in [("b", "two"), ("a", "one"), ("long", &*"x".repeat(5_000)), ("ü", "„ö“\n")] {
        image.set_metadata(key, value).await.unwrap();
    }
    image.set_metadata("a", "other").await.unwrap();
    image.remove_metadata("b").await.unwrap();
    image.remove_metadata("absent").await.unwrap();
    image.close().await.unwrap();
    let found = stores.read(&stores.name("told")).await.metadata().await.unwrap();
    let expected = [("a", "other".into()), ("long", "x".repeat(5_000)), ("ü", "„ö“\n".into())];
    assert_eq!(found, expected.map(|(key, value)| (key.to_owned(), value)).into());
}

pub async fn statistics_are_sane(stores: &Stores) {
    stores.first.ping().await.unwrap();
    let statistics = stores.first.statistics().await.unwrap();
    assert!(statistics.total_bytes >= statistics.available_bytes, "{statistics:?}");
    if stores.has_statistics {
        assert!(statistics.available_bytes > 0, "{statistics:?}");
    }
}

pub async fn pools_are_of_one_cluster(stores: &Stores) {
    assert_ne!(stores.first.pool(), stores.second.pool());
    let fsid = stores.first.fsid().await.unwrap();
    assert!(!fsid.is_empty());
    assert_eq!(stores.second.fsid().await.unwrap(), fsid);
    assert_eq!(stores.first.fsid().await.unwrap(), fsid);
}

pub async fn huge_sparse_image(stores: &Stores) {
    const SIZE: u64 = 10 << 40;
    let name = stores.name("huge");
    stores.first.create(&name, SIZE, 4 << 20).await.unwrap();
    let image = stores.write(&name).await;
    image.write(SIZE - 4096, noise(1, 4096)).await.unwrap();
    assert_same(&image.read(SIZE - 4096, 4096).await.unwrap(), &noise(1, 4096));
    assert!(zeros(&image.read(SIZE / 2, 4096).await.unwrap()));
    image.close().await.unwrap();
}
