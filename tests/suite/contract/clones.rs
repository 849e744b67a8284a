//! Copy-on-write clones.

use futures::future::join_all;
use pumice::block::{Child, ErrorKind, OpenMode, Progress};

use super::*;

/// An image of `objects` objects of noise with this seed.
async fn noisy(stores: &Stores, name: &str, seed: u64, objects: u64) -> Arc<dyn BlockImage> {
    let image = stores.image(name, objects * OBJECT).await;
    image.write(0, noise(seed, objects * OBJECT)).await.unwrap();
    image
}

pub async fn clone_has_the_bytes(stores: &Stores) {
    let parent = stores.image("parent", 3 * OBJECT + 77).await;
    let mut bytes = vec![0; 3 * OBJECT as usize + 77];
    bytes[..2 * OBJECT as usize - 5].copy_from_slice(&noise(1, 2 * OBJECT - 5));
    bytes[3 * OBJECT as usize..].copy_from_slice(&noise(2, 77));
    parent.write(0, noise(1, 2 * OBJECT - 5)).await.unwrap();
    parent.write(3 * OBJECT, noise(2, 77)).await.unwrap();
    parent.set_metadata("key", "value").await.unwrap();
    let clone = stores.clone_of(&*parent, "s", "clone").await;
    assert_eq!(clone.object_size(), OBJECT);
    assert!(clone.snapshots().await.unwrap().is_empty());
    assert_holds(&*clone, &bytes).await;
    clone.close().await.unwrap();
    assert_holds(&*stores.read(clone.name()).await, &bytes).await;
}

pub async fn clone_and_parent_are_apart(stores: &Stores) {
    let parent = noisy(stores, "parent", 1, 4).await;
    let clone = stores.clone_of(&*parent, "s", "clone").await;
    let other = stores.name("other");
    stores.first.clone_snapshot(&stores.path(parent.name(), "s"), &other, None).await.unwrap();
    clone.write(OBJECT / 2, noise(2, OBJECT)).await.unwrap();
    parent.write(3 * OBJECT, noise(3, OBJECT)).await.unwrap();
    parent.discard(0, OBJECT).await.unwrap();
    let mut bytes = noise(1, 4 * OBJECT).to_vec();
    assert_holds(&*stores.at(parent.name(), "s").await, &bytes).await;
    assert_holds(&*stores.read(&other).await, &bytes).await;
    bytes[OBJECT as usize / 2..][..OBJECT as usize].copy_from_slice(&noise(2, OBJECT));
    assert_holds(&*clone, &bytes).await;
    let mut bytes = noise(1, 4 * OBJECT).to_vec();
    bytes[..OBJECT as usize].fill(0);
    bytes[3 * OBJECT as usize..].copy_from_slice(&noise(3, OBJECT));
    assert_holds(&*parent, &bytes).await;
}

pub async fn clone_writes_part_of_an_object(stores: &Stores) {
    let parent = noisy(stores, "parent", 1, 5).await;
    let clone = stores.clone_of(&*parent, "s", "clone").await;
    let mut bytes = noise(1, 5 * OBJECT).to_vec();
    let places =
        [(7, 1), (OBJECT - 1, 2), (2 * OBJECT + 100, 4096), (3 * OBJECT, OBJECT), (5 * OBJECT - 1, 1)];
    for (seed, (offset, length)) in places.into_iter().enumerate() {
        let data = noise(seed as u64 + 2, length);
        bytes[offset as usize..][..length as usize].copy_from_slice(&data);
        clone.write(offset, data).await.unwrap();
        assert_holds(&*clone, &bytes).await;
    }
    clone.flush().await.unwrap();
    assert_holds(&*clone, &bytes).await;
    clone.write(8, noise(9, 10)).await.unwrap();
    bytes[8..18].copy_from_slice(&noise(9, 10));
    clone.close().await.unwrap();
    assert_holds(&*stores.read(clone.name()).await, &bytes).await;
    assert_holds(&*stores.at(parent.name(), "s").await, &noise(1, 5 * OBJECT)).await;
}

pub async fn clone_discards_and_zeroes(stores: &Stores) {
    let parent = noisy(stores, "parent", 1, 6).await;
    let clone = stores.clone_of(&*parent, "s", "clone").await;
    let mut bytes = noise(1, 6 * OBJECT).to_vec();
    clone.discard(OBJECT, 2 * OBJECT).await.unwrap();
    bytes[OBJECT as usize..3 * OBJECT as usize].fill(0);
    assert_holds(&*clone, &bytes).await;
    clone.write_zeroes(3 * OBJECT + 10, 2 * OBJECT).await.unwrap();
    bytes[3 * OBJECT as usize + 10..5 * OBJECT as usize + 10].fill(0);
    assert_holds(&*clone, &bytes).await;
    clone.flush().await.unwrap();
    clone.write(OBJECT + 1, noise(2, 1)).await.unwrap();
    bytes[OBJECT as usize + 1] = noise(2, 1)[0];
    assert_holds(&*clone, &bytes).await;
    clone.write(4 * OBJECT, noise(3, OBJECT)).await.unwrap();
    clone.discard(4 * OBJECT, OBJECT).await.unwrap();
    assert_holds(&*clone, &bytes).await;
    assert_holds(&*stores.at(parent.name(), "s").await, &noise(1, 6 * OBJECT)).await;
}

pub async fn clone_into_another_pool(stores: &Stores) {
    let parent = noisy(stores, "parent", 1, 2).await;
    parent.create_snapshot("s").await.unwrap();
    parent.protect_snapshot("s").await.unwrap();
    let name = stores.name("clone");
    stores.second.clone_snapshot(&stores.path(parent.name(), "s"), &name, None).await.unwrap();
    let clone = stores.second.open(&name, OpenMode::ReadWrite).await.unwrap();
    clone.write(0, noise(2, 10)).await.unwrap();
    let bytes = [&noise(2, 10)[..], &noise(1, 2 * OBJECT)[10..]].concat();
    assert_holds(&*clone, &bytes).await;
    assert_eq!(parent_of(&*clone).await.path, stores.path(parent.name(), "s"));
    let child = &parent.children().await.unwrap()[0];
    assert_eq!((&*child.pool, &*child.image), (stores.second.pool(), &*name));
    if stores.needs_protection {
        assert_refused(parent.unprotect_snapshot("s").await, ErrorKind::HasChildren);
    }
    clone.flatten(&Progress::new()).await.unwrap();
    assert_holds(&*clone, &bytes).await;
    parent.unprotect_snapshot("s").await.unwrap();
}

pub async fn clone_with_another_object_size(stores: &Stores) {
    let parent = noisy(stores, "parent", 1, 5).await;
    parent.discard(2 * OBJECT, OBJECT).await.unwrap();
    parent.create_snapshot("s").await.unwrap();
    parent.protect_snapshot("s").await.unwrap();
    let mut bytes = noise(1, 5 * OBJECT).to_vec();
    bytes[2 * OBJECT as usize..3 * OBJECT as usize].fill(0);
    for object_size in [OBJECT / 4, 4 * OBJECT] {
        let name = stores.name(&format!("clone-{object_size}"));
        let path = stores.path(parent.name(), "s");
        stores.first.clone_snapshot(&path, &name, Some(object_size)).await.unwrap();
        let clone = stores.write(&name).await;
        assert_eq!(clone.object_size(), object_size);
        assert_holds(&*clone, &bytes).await;
        let mut bytes = bytes.clone();
        clone.write(OBJECT + 100, noise(2, OBJECT)).await.unwrap();
        bytes[OBJECT as usize + 100..][..OBJECT as usize].copy_from_slice(&noise(2, OBJECT));
        assert_holds(&*clone, &bytes).await;
        clone.flatten(&Progress::new()).await.unwrap();
        assert_holds(&*clone, &bytes).await;
        assert_eq!(clone.parent().await.unwrap(), None);
    }
    let refused = stores.first.clone_snapshot(&stores.path(parent.name(), "s"), "x", Some(5000)).await;
    assert_refused(refused, ErrorKind::Invalid);
}

pub async fn clone_refuses_what_is_missing_or_taken(stores: &Stores) {
    let parent = noisy(stores, "parent", 1, 1).await;
    parent.create_snapshot("s").await.unwrap();
    parent.protect_snapshot("s").await.unwrap();
    let good = stores.path(parent.name(), "s");
    let name = stores.name("clone");
    let missing = [stores.path(parent.name(), "t"), stores.path(&stores.name("missing"), "s")];
    for path in missing {
        assert_refused(stores.first.clone_snapshot(&path, &name, None).await, ErrorKind::NotFound);
    }
    let taken = stores.first.clone_snapshot(&good, parent.name(), None).await;
    assert_refused(taken, ErrorKind::Exists);
    for name in ["../x", "", "x\0"] {
        assert_refused(stores.first.clone_snapshot(&good, name, None).await, ErrorKind::Invalid);
    }
    assert!(parent.children().await.unwrap().is_empty());
    parent.unprotect_snapshot("s").await.unwrap();
    assert_eq!(stores.names(&*stores.first).await, ["parent"]);
}

pub async fn clone_grows_with_zeros(stores: &Stores) {
    let parent = stores.image("parent", OBJECT + OBJECT / 2).await;
    parent.write(0, noise(1, OBJECT + OBJECT / 2)).await.unwrap();
    let clone = stores.clone_of(&*parent, "s", "clone").await;
    // The parent grows too, after the snapshot: that is not to be seen.
    parent.resize(4 * OBJECT, &Progress::new()).await.unwrap();
    parent.write(OBJECT, noise(2, 3 * OBJECT)).await.unwrap();
    clone.resize(4 * OBJECT, &Progress::new()).await.unwrap();
    let mut bytes = noise(1, OBJECT + OBJECT / 2).to_vec();
    bytes.resize(4 * OBJECT as usize, 0);
    assert_holds(&*clone, &bytes).await;
    assert_eq!(parent_of(&*clone).await.overlap, OBJECT + OBJECT / 2);
    clone.write(2 * OBJECT - 1, noise(3, 2)).await.unwrap();
    bytes[2 * OBJECT as usize - 1..][..2].copy_from_slice(&noise(3, 2));
    assert_holds(&*clone, &bytes).await;
}

pub async fn clone_shrinks_for_good(stores: &Stores) {
    let parent = noisy(stores, "parent", 1, 4).await;
    let clone = stores.clone_of(&*parent, "s", "clone").await;
    clone.write(3 * OBJECT, noise(2, 5)).await.unwrap();
    clone.resize(OBJECT + 100, &Progress::new()).await.unwrap();
    clone.resize(4 * OBJECT, &Progress::new()).await.unwrap();
    let mut bytes = noise(1, 4 * OBJECT).to_vec();
    bytes[OBJECT as usize + 100..].fill(0);
    assert_holds(&*clone, &bytes).await;
    assert_eq!(parent_of(&*clone).await.overlap, OBJECT + 100);
    clone.write(2 * OBJECT - 1, noise(3, 2)).await.unwrap();
    bytes[2 * OBJECT as usize - 1..][..2].copy_from_slice(&noise(3, 2));
    assert_holds(&*clone, &bytes).await;
    clone.flatten(&Progress::new()).await.unwrap();
    assert_holds(&*clone, &bytes).await;
}

pub async fn chain_of_clones(stores: &Stores) {
    let mut bytes = noise(1, 6 * OBJECT).to_vec();
    let mut image = noisy(stores, "link-0", 1, 6).await;
    let mut frozen = Vec::new();
    for depth in 1..=4 {
        let clone = stores.clone_of(&*image, "s", &format!("link-{depth}")).await;
        assert_holds(&*clone, &bytes).await;
        frozen.push((image.name().to_owned(), bytes.clone()));
        let at = depth * OBJECT + depth;
        clone.write(at, noise(depth, 100)).await.unwrap();
        bytes[at as usize..][..100].copy_from_slice(&noise(depth, 100));
        image = clone;
    }
    assert_holds(&*image, &bytes).await;
    for (name, bytes) in &frozen {
        assert_holds(&*stores.read(name).await, bytes).await;
    }
    // Cut in the middle: what is below is free, what is above still reads.
    let middle = stores.write(&stores.name("link-2")).await;
    middle.flatten(&Progress::new()).await.unwrap();
    assert_holds(&*image, &bytes).await;
    let below = stores.write(&stores.name("link-1")).await;
    below.unprotect_snapshot("s").await.unwrap();
    below.remove_snapshot("s").await.unwrap();
    below.close().await.unwrap();
    stores.first.remove(below.name(), &Progress::new()).await.unwrap();
    // Opened anew: what was open before the cut may still look below it.
    let name = image.name().to_owned();
    image.close().await.unwrap();
    drop(image);
    let image = stores.write(&name).await;
    assert_holds(&*image, &bytes).await;
    image.flatten(&Progress::new()).await.unwrap();
    assert_holds(&*image, &bytes).await;
}

pub async fn protection_before_cloning(stores: &Stores) {
    let parent = noisy(stores, "parent", 1, 2).await;
    parent.create_snapshot("s").await.unwrap();
    let path = stores.path(parent.name(), "s");
    let cloned = stores.first.clone_snapshot(&path, &stores.name("clone"), None).await;
    if stores.needs_protection {
        assert_refused(cloned, ErrorKind::Invalid);
        assert_eq!(stores.names(&*stores.first).await, ["parent"]);
        return;
    }
    cloned.unwrap();
    // The snapshot leaves the name space, its bytes stay.
    parent.remove_snapshot("s").await.unwrap();
    assert!(parent.snapshots().await.unwrap().is_empty());
    assert_holds(&*stores.read(&stores.name("clone")).await, &noise(1, 2 * OBJECT)).await;
    let children = parent.children().await.unwrap();
    assert_eq!(children.len(), 1);
    assert_eq!(children[0].image, stores.name("clone"));
}

pub async fn children_hold_the_snapshot(stores: &Stores) {
    let parent = noisy(stores, "parent", 1, 2).await;
    let clone = stores.clone_of(&*parent, "s", "clone").await;
    if stores.needs_protection {
        assert_refused(parent.unprotect_snapshot("s").await, ErrorKind::HasChildren);
    }
    assert!(parent.snapshots().await.unwrap()[0].protected);
    assert_refused(parent.remove_snapshot("s").await, ErrorKind::Busy);
    clone.close().await.unwrap();
    stores.first.remove(clone.name(), &Progress::new()).await.unwrap();
    parent.unprotect_snapshot("s").await.unwrap();
    parent.remove_snapshot("s").await.unwrap();
}

pub async fn children_and_parent_are_named(stores: &Stores) {
    let parent = noisy(stores, "parent", 1, 2).await;
    assert_eq!(parent.parent().await.unwrap(), None);
    assert!(parent.children().await.unwrap().is_empty());
    let two = stores.clone_of(&*parent, "s", "two").await;
    let one = stores.clone_of(&*parent, "t", "one").await;
    let child = |image: &dyn BlockImage, snapshot: &str| Child {
        pool: stores.first.pool().into(),
        image: image.name().into(),
        snapshot: snapshot.into(),
        in_trash: false,
    };
    assert_eq!(parent.children().await.unwrap(), [child(&*one, "t"), child(&*two, "s")]);
    let expected = Parent { path: stores.path(parent.name(), "t"), overlap: 2 * OBJECT, in_trash: false };
    assert_eq!(one.parent().await.unwrap(), Some(expected));
    one.close().await.unwrap();
    stores.first.remove(one.name(), &Progress::new()).await.unwrap();
    assert_eq!(parent.children().await.unwrap(), [child(&*two, "s")]);
}

pub async fn names_follow_renames(stores: &Stores) {
    let parent = noisy(stores, "parent", 1, 2).await;
    let clone = stores.clone_of(&*parent, "s", "clone").await;
    parent.close().await.unwrap();
    clone.close().await.unwrap();
    stores.first.rename(&stores.name("parent"), &stores.name("new-parent")).await.unwrap();
    stores.first.rename(&stores.name("clone"), &stores.name("new-clone")).await.unwrap();
    let parent = stores.write(&stores.name("new-parent")).await;
    parent.rename_snapshot("s", "new-s").await.unwrap();
    let clone = stores.write(&stores.name("new-clone")).await;
    assert_eq!(parent_of(&*clone).await.path, stores.path(parent.name(), "new-s"));
    let children = parent.children().await.unwrap();
    assert_eq!(children.len(), 1);
    assert_eq!((&*children[0].image, &*children[0].snapshot), (clone.name(), "new-s"));
    assert_holds(&*clone, &noise(1, 2 * OBJECT)).await;
    // Another image under the old name is not the parent.
    noisy(stores, "parent", 2, 2).await;
    assert_holds(&*clone, &noise(1, 2 * OBJECT)).await;
}

pub async fn flatten_cuts_the_tie(stores: &Stores) {
    let parent = noisy(stores, "parent", 1, 5).await;
    let clone = stores.clone_of(&*parent, "s", "clone").await;
    clone.write(OBJECT + 5, noise(2, 10)).await.unwrap();
    clone.discard(3 * OBJECT, OBJECT).await.unwrap();
    let mut bytes = noise(1, 5 * OBJECT).to_vec();
    bytes[OBJECT as usize + 5..][..10].copy_from_slice(&noise(2, 10));
    bytes[3 * OBJECT as usize..4 * OBJECT as usize].fill(0);
    clone.flatten(&Progress::new()).await.unwrap();
    assert_holds(&*clone, &bytes).await;
    assert_eq!(clone.parent().await.unwrap(), None);
    assert!(parent.children().await.unwrap().is_empty());
    parent.unprotect_snapshot("s").await.unwrap();
    parent.remove_snapshot("s").await.unwrap();
    parent.close().await.unwrap();
    stores.first.remove(parent.name(), &Progress::new()).await.unwrap();
    assert_holds(&*clone, &bytes).await;
    clone.close().await.unwrap();
    assert_holds(&*stores.read(clone.name()).await, &bytes).await;
}

pub async fn flatten_keeps_the_snapshots(stores: &Stores) {
    let parent = noisy(stores, "parent", 1, 4).await;
    let clone = stores.clone_of(&*parent, "s", "clone").await;
    let mut bytes = noise(1, 4 * OBJECT).to_vec();
    let mut frozen = vec![bytes.clone()];
    clone.create_snapshot("c0").await.unwrap();
    clone.write(10, noise(2, 2 * OBJECT)).await.unwrap();
    bytes[10..][..2 * OBJECT as usize].copy_from_slice(&noise(2, 2 * OBJECT));
    frozen.push(bytes.clone());
    clone.create_snapshot("c1").await.unwrap();
    clone.discard(0, OBJECT).await.unwrap();
    bytes[..OBJECT as usize].fill(0);
    clone.flatten(&Progress::new()).await.unwrap();
    assert_holds(&*clone, &bytes).await;
    for (number, bytes) in frozen.iter().enumerate() {
        assert_holds(&*stores.at(clone.name(), &format!("c{number}")).await, bytes).await;
    }
    clone.roll_back("c0", &Progress::new()).await.unwrap();
    assert_holds(&*clone, &frozen[0]).await;
}

pub async fn flatten_reports_progress(stores: &Stores) {
    let parent = noisy(stores, "parent", 1, 32).await;
    let clone = stores.clone_of(&*parent, "s", "clone").await;
    let progress = Progress::new();
    clone.flatten(&progress).await.unwrap();
    let (done, total) = progress.get();
    assert!(done > 0 && total > 0 && done <= total, "{done} of {total}");
}

pub async fn flatten_can_be_cancelled(stores: &Stores) {
    let parent = noisy(stores, "parent", 1, 64).await;
    let clone = stores.clone_of(&*parent, "s", "clone").await;
    let progress = Progress::new();
    progress.cancel();
    assert_refused(clone.flatten(&progress).await, ErrorKind::Cancelled);
    assert_eq!(parent_of(&*clone).await.overlap, 64 * OBJECT);
    assert_holds(&*clone, &noise(1, 64 * OBJECT)).await;
    clone.flatten(&Progress::new()).await.unwrap();
    assert_eq!(clone.parent().await.unwrap(), None);
    assert_holds(&*clone, &noise(1, 64 * OBJECT)).await;
}

pub async fn flatten_cancelled_midway(stores: &Stores) {
    let parent = noisy(stores, "parent", 1, 128).await;
    let clone = stores.clone_of(&*parent, "s", "clone").await;
    let progress = Progress::new();
    let watched = progress.clone();
    let watcher = tokio::spawn(async move {
        while watched.get().0 == 0 {
            tokio::task::yield_now().await;
        }
        watched.cancel();
    });
    if let Err(error) = clone.flatten(&progress).await {
        assert_eq!(error.kind, ErrorKind::Cancelled, "{error}");
        assert_eq!(parent_of(&*clone).await.overlap, 128 * OBJECT);
    }
    watcher.abort();
    assert_holds(&*clone, &noise(1, 128 * OBJECT)).await;
    clone.flatten(&Progress::new()).await.unwrap();
    assert_eq!(clone.parent().await.unwrap(), None);
    assert_holds(&*clone, &noise(1, 128 * OBJECT)).await;
}

pub async fn flatten_without_parent(stores: &Stores) {
    let image = noisy(stores, "single", 1, 2).await;
    image.flatten(&Progress::new()).await.unwrap();
    assert_holds(&*image, &noise(1, 2 * OBJECT)).await;
}

pub async fn allocated_with_a_parent(stores: &Stores) {
    let parent = stores.image("parent", 8 * OBJECT).await;
    parent.write(OBJECT, noise(1, OBJECT)).await.unwrap();
    parent.write(5 * OBJECT, noise(2, OBJECT)).await.unwrap();
    let clone = stores.clone_of(&*parent, "s", "clone").await;
    let object = |number, count| Extent { offset: number * OBJECT, length: count * OBJECT };
    assert_eq!(clone.allocated().await.unwrap(), [object(1, 1), object(5, 1)]);
    clone.write(2 * OBJECT, noise(3, OBJECT)).await.unwrap();
    clone.write(5 * OBJECT + 9, noise(4, 9)).await.unwrap();
    clone.flush().await.unwrap();
    assert_eq!(clone.allocated().await.unwrap(), [object(1, 2), object(5, 1)]);
    clone.resize(5 * OBJECT, &Progress::new()).await.unwrap();
    clone.resize(8 * OBJECT, &Progress::new()).await.unwrap();
    assert_eq!(clone.allocated().await.unwrap(), [object(1, 2)]);
}

pub async fn snapshots_of_a_clone(stores: &Stores) {
    let parent = noisy(stores, "parent", 1, 3).await;
    let clone = stores.clone_of(&*parent, "s", "clone").await;
    let before = noise(1, 3 * OBJECT).to_vec();
    clone.create_snapshot("c").await.unwrap();
    clone.write(OBJECT + 10, noise(2, OBJECT)).await.unwrap();
    let mut bytes = before.clone();
    bytes[OBJECT as usize + 10..][..OBJECT as usize].copy_from_slice(&noise(2, OBJECT));
    assert_holds(&*stores.at(clone.name(), "c").await, &before).await;
    assert_holds(&*clone, &bytes).await;
    clone.write_zeroes(0, OBJECT).await.unwrap();
    bytes[..OBJECT as usize].fill(0);
    clone.remove_snapshot("c").await.unwrap();
    assert_holds(&*clone, &bytes).await;
    clone.create_snapshot("d").await.unwrap();
    clone.write(0, noise(3, 3 * OBJECT)).await.unwrap();
    clone.roll_back("d", &Progress::new()).await.unwrap();
    assert_holds(&*clone, &bytes).await;
}

pub async fn writes_in_flight_on_a_clone(stores: &Stores) {
    let parent = noisy(stores, "parent", 1, 8).await;
    let clone = stores.clone_of(&*parent, "s", "clone").await;
    // 16 writes to each object, all racing to copy it up, and flushes between.
    let places: Vec<u64> = (0..128).map(|n| (n % 8) * OBJECT + (n / 8) * 4096 + 17).collect();
    let image = &clone;
    let writes = places.iter().map(|&place| async move {
        image.write(place, noise(place, 1000)).await?;
        if place % 3 == 0 { image.flush().await } else { Ok(()) }
    });
    for written in join_all(writes).await {
        written.unwrap();
    }
    let mut bytes = noise(1, 8 * OBJECT).to_vec();
    for place in places {
        bytes[place as usize..][..1000].copy_from_slice(&noise(place, 1000));
    }
    assert_holds(&*clone, &bytes).await;
}
