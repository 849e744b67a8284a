//! Snapshots of one image.

use pumice::block::{ErrorKind, OpenMode, Progress, SnapshotInfo};

use super::*;

async fn names(image: &dyn BlockImage) -> Vec<String> {
    image.snapshots().await.unwrap().into_iter().map(|snapshot| snapshot.name).collect()
}

/// An image of four objects with snapshots `s0` to `s3` and different bytes in each, and those bytes.
async fn layered(stores: &Stores) -> (Arc<dyn BlockImage>, Vec<Vec<u8>>) {
    let image = stores.image("layered", 4 * OBJECT).await;
    let mut bytes = vec![0; 4 * OBJECT as usize];
    let mut frozen = Vec::new();
    for (number, (offset, length)) in
        [(0, 3 * OBJECT), (OBJECT + 10, 20), (2 * OBJECT, 2 * OBJECT), (5, 5)].into_iter().enumerate()
    {
        let data = noise(number as u64, length);
        bytes[offset as usize..(offset + length) as usize].copy_from_slice(&data);
        image.write(offset, data).await.unwrap();
        image.create_snapshot(&format!("s{number}")).await.unwrap();
        frozen.push(bytes.clone());
    }
    (image, frozen)
}

pub async fn listed_in_order(stores: &Stores) {
    let image = stores.image("listed", OBJECT).await;
    assert!(image.snapshots().await.unwrap().is_empty());
    for (number, name) in ["z", "a", "m"].into_iter().enumerate() {
        image.resize((number as u64 + 1) * OBJECT, &Progress::new()).await.unwrap();
        image.create_snapshot(name).await.unwrap();
    }
    image.protect_snapshot("a").await.unwrap();
    let snapshot = |name: &str, objects, protected| {
        let size = objects * OBJECT;
        SnapshotInfo { name: name.into(), size, protected }
    };
    let expected = [snapshot("z", 1, false), snapshot("a", 2, true), snapshot("m", 3, false)];
    assert_eq!(image.snapshots().await.unwrap(), expected);
    assert_eq!(stores.read(image.name()).await.snapshots().await.unwrap(), expected);
    image.unprotect_snapshot("a").await.unwrap();
}

pub async fn names_are_checked(stores: &Stores) {
    let image = stores.image("named", OBJECT).await;
    image.create_snapshot("taken").await.unwrap();
    image.create_snapshot("other").await.unwrap();
    assert_refused(image.create_snapshot("taken").await, ErrorKind::Exists);
    assert_refused(image.rename_snapshot("other", "taken").await, ErrorKind::Exists);
    for name in ["", "x/y", "x@y", "../x", "x\0", &"x".repeat(201)] {
        assert_refused(image.create_snapshot(name).await, ErrorKind::Invalid);
        assert_refused(image.rename_snapshot("other", name).await, ErrorKind::Invalid);
    }
    assert_refused(image.remove_snapshot("missing").await, ErrorKind::NotFound);
    assert_refused(image.protect_snapshot("missing").await, ErrorKind::NotFound);
    assert_refused(image.unprotect_snapshot("missing").await, ErrorKind::NotFound);
    assert_refused(image.rename_snapshot("missing", "new").await, ErrorKind::NotFound);
    assert_refused(image.roll_back("missing", &Progress::new()).await, ErrorKind::NotFound);
    assert_eq!(names(&*image).await, ["taken", "other"]);
}

pub async fn bytes_are_frozen(stores: &Stores) {
    let image = stores.image("changing", 4 * OBJECT).await;
    let before = noise(1, 4 * OBJECT);
    image.write(0, before.clone()).await.unwrap();
    image.create_snapshot("s").await.unwrap();
    image.write(10, noise(2, OBJECT)).await.unwrap();
    assert_holds(&*stores.at(image.name(), "s").await, &before).await;
    image.discard(OBJECT, 2 * OBJECT).await.unwrap();
    assert_holds(&*stores.at(image.name(), "s").await, &before).await;
    image.write_zeroes(3 * OBJECT + 5, 100).await.unwrap();
    assert_holds(&*stores.at(image.name(), "s").await, &before).await;
    image.resize(OBJECT / 2, &Progress::new()).await.unwrap();
    assert_holds(&*stores.at(image.name(), "s").await, &before).await;
    image.resize(6 * OBJECT, &Progress::new()).await.unwrap();
    assert_holds(&*stores.at(image.name(), "s").await, &before).await;
    let mut bytes = vec![0; 6 * OBJECT as usize];
    bytes[..OBJECT as usize / 2].copy_from_slice(&before[..OBJECT as usize / 2]);
    bytes[10..OBJECT as usize / 2].copy_from_slice(&noise(2, OBJECT)[..OBJECT as usize / 2 - 10]);
    assert_holds(&*image, &bytes).await;
    image.write(OBJECT, noise(3, OBJECT)).await.unwrap();
    bytes[OBJECT as usize..2 * OBJECT as usize].copy_from_slice(&noise(3, OBJECT));
    assert_holds(&*image, &bytes).await;
    assert_holds(&*stores.at(image.name(), "s").await, &before).await;
}

pub async fn opened_at_a_snapshot(stores: &Stores) {
    let (image, frozen) = layered(stores).await;
    for (number, bytes) in frozen.iter().enumerate() {
        let at = stores.at(image.name(), &format!("s{number}")).await;
        assert_eq!(at.name(), image.name());
        assert_holds(&*at, bytes).await;
        assert_same(&at.read(OBJECT, 100).await.unwrap(), &bytes[OBJECT as usize..][..100]);
        assert_refused(at.read(4 * OBJECT, 1).await, ErrorKind::Invalid);
        at.close().await.unwrap();
    }
}

pub async fn removal_keeps_the_others(stores: &Stores) {
    let (image, frozen) = layered(stores).await;
    let mut left = vec![0, 1, 2, 3];
    for gone in [1, 0, 3, 2] {
        image.remove_snapshot(&format!("s{gone}")).await.unwrap();
        left.retain(|number| *number != gone);
        assert_eq!(names(&*image).await, left.iter().map(|n| format!("s{n}")).collect::<Vec<_>>());
        for number in &left {
            let at = stores.at(image.name(), &format!("s{number}")).await;
            assert_holds(&*at, &frozen[*number]).await;
        }
        assert_holds(&*image, &frozen[3]).await;
    }
    let opened = stores.first.open(image.name(), OpenMode::Snapshot("s1".into())).await;
    assert_not_opened(opened, ErrorKind::NotFound);
    image.close().await.unwrap();
    assert_holds(&*stores.read(image.name()).await, &frozen[3]).await;
}

pub async fn removal_after_discards_and_shrinks(stores: &Stores) {
    let image = stores.image("cut", 4 * OBJECT).await;
    let mut bytes = noise(1, 4 * OBJECT).to_vec();
    image.write(0, bytes.clone().into()).await.unwrap();
    image.create_snapshot("full").await.unwrap();
    image.discard(0, OBJECT).await.unwrap();
    image.resize(2 * OBJECT + 100, &Progress::new()).await.unwrap();
    image.create_snapshot("cut").await.unwrap();
    image.resize(4 * OBJECT, &Progress::new()).await.unwrap();
    image.create_snapshot("grown").await.unwrap();
    image.write(3 * OBJECT, noise(2, 10)).await.unwrap();
    bytes[..OBJECT as usize].fill(0);
    bytes[2 * OBJECT as usize + 100..].fill(0);
    let grown = bytes.clone();
    bytes[3 * OBJECT as usize..][..10].copy_from_slice(&noise(2, 10));
    for gone in ["full", "cut", "grown"] {
        image.remove_snapshot(gone).await.unwrap();
        assert_holds(&*image, &bytes).await;
        if gone != "grown" {
            assert_holds(&*stores.at(image.name(), "grown").await, &grown).await;
        }
    }
}

pub async fn renamed(stores: &Stores) {
    let (image, frozen) = layered(stores).await;
    image.protect_snapshot("s1").await.unwrap();
    image.rename_snapshot("s1", "new").await.unwrap();
    image.rename_snapshot("s0", "s1").await.unwrap();
    assert_eq!(names(&*image).await, ["s1", "new", "s2", "s3"]);
    assert!(image.snapshots().await.unwrap()[1].protected);
    assert_holds(&*stores.at(image.name(), "new").await, &frozen[1]).await;
    assert_holds(&*stores.at(image.name(), "s1").await, &frozen[0]).await;
}

pub async fn rolled_back(stores: &Stores) {
    let image = stores.image("back", 4 * OBJECT + 100).await;
    let mut bytes = vec![0; 4 * OBJECT as usize + 100];
    bytes[OBJECT as usize..][..2 * OBJECT as usize].copy_from_slice(&noise(1, 2 * OBJECT));
    image.write(OBJECT, noise(1, 2 * OBJECT)).await.unwrap();
    image.create_snapshot("s").await.unwrap();
    image.write(0, noise(2, 3 * OBJECT)).await.unwrap();
    image.discard(OBJECT, OBJECT).await.unwrap();
    image.roll_back("s", &Progress::new()).await.unwrap();
    assert_holds(&*image, &bytes).await;
    image.resize(6 * OBJECT, &Progress::new()).await.unwrap();
    image.write(0, noise(3, 6 * OBJECT)).await.unwrap();
    image.roll_back("s", &Progress::new()).await.unwrap();
    assert_holds(&*image, &bytes).await;
    image.resize(OBJECT / 2, &Progress::new()).await.unwrap();
    image.roll_back("s", &Progress::new()).await.unwrap();
    assert_holds(&*image, &bytes).await;
    assert_holds(&*stores.at(image.name(), "s").await, &bytes).await;
    image.close().await.unwrap();
    assert_holds(&*stores.read(image.name()).await, &bytes).await;
}

pub async fn rolled_back_past_a_newer_snapshot(stores: &Stores) {
    let (image, frozen) = layered(stores).await;
    image.resize(OBJECT, &Progress::new()).await.unwrap();
    image.create_snapshot("short").await.unwrap();
    for number in [1, 3, 0, 2] {
        image.roll_back(&format!("s{number}"), &Progress::new()).await.unwrap();
        assert_holds(&*image, &frozen[number]).await;
        image.write(OBJECT + 3, noise(9, OBJECT)).await.unwrap();
        assert_holds(&*stores.at(image.name(), &format!("s{number}")).await, &frozen[number]).await;
        assert_holds(&*stores.at(image.name(), "short").await, &frozen[3][..OBJECT as usize]).await;
    }
}

pub async fn protection(stores: &Stores) {
    let image = stores.image("safe", OBJECT).await;
    image.create_snapshot("s").await.unwrap();
    image.unprotect_snapshot("s").await.unwrap();
    image.protect_snapshot("s").await.unwrap();
    image.protect_snapshot("s").await.unwrap();
    assert_refused(image.remove_snapshot("s").await, ErrorKind::Busy);
    image.unprotect_snapshot("s").await.unwrap();
    image.unprotect_snapshot("s").await.unwrap();
    image.remove_snapshot("s").await.unwrap();
    assert!(names(&*image).await.is_empty());
}
