//! Images out of the name space.

use pumice::block::{ErrorKind, OpenMode, Progress};

use super::*;

pub async fn moved_out_of_the_name_space(stores: &Stores) {
    let image = stores.image("old", OBJECT).await;
    image.close().await.unwrap();
    let id = stores.first.trash_move(image.name()).await.unwrap();
    assert!(stores.names(&*stores.first).await.is_empty());
    let entry = TrashEntry { id: id.clone(), name: stores.name("old") };
    assert_eq!(stores.trash(&*stores.first).await, [entry]);
    assert!(stores.trash(&*stores.second).await.is_empty());
    assert_not_opened(stores.first.open(image.name(), OpenMode::ReadOnly).await, ErrorKind::NotFound);
    assert_refused(stores.first.trash_move(image.name()).await, ErrorKind::NotFound);
    // The name is free, and may come to the trash again.
    let image = stores.image("old", OBJECT).await;
    image.close().await.unwrap();
    let other = stores.first.trash_move(image.name()).await.unwrap();
    assert_ne!(id, other);
    assert_eq!(stores.trash(&*stores.first).await.len(), 2);
    stores.first.trash_remove(&id, &Progress::new()).await.unwrap();
    let left = stores.trash(&*stores.first).await;
    assert_eq!(left.iter().map(|entry| &entry.id).collect::<Vec<_>>(), [&other]);
}

pub async fn moved_while_open(stores: &Stores) {
    let image = stores.image("open", 2 * OBJECT).await;
    image.write(0, noise(1, OBJECT)).await.unwrap();
    let id = stores.first.trash_move(image.name()).await.unwrap();
    image.write(OBJECT, noise(2, OBJECT)).await.unwrap();
    image.flush().await.unwrap();
    assert_holds(&*image, &[noise(1, OBJECT), noise(2, OBJECT)].concat()).await;
    image.close().await.unwrap();
    stores.first.trash_remove(&id, &Progress::new()).await.unwrap();
    assert!(stores.trash(&*stores.first).await.is_empty());
}

pub async fn open_for_writing_it_stays(stores: &Stores) {
    let image = stores.image("written", 2 * OBJECT).await;
    image.write(0, noise(1, OBJECT)).await.unwrap();
    image.create_snapshot("s").await.unwrap();
    let id = stores.first.trash_move(image.name()).await.unwrap();
    for _ in 0..2 {
        assert_refused(stores.first.trash_remove(&id, &Progress::new()).await, ErrorKind::Busy);
        assert_eq!(stores.trash(&*stores.first).await.len(), 1);
        assert_eq!(image.snapshots().await.unwrap().len(), 1);
    }
    image.write(OBJECT, noise(2, OBJECT)).await.unwrap();
    assert_holds(&*image, &[noise(1, OBJECT), noise(2, OBJECT)].concat()).await;
    image.close().await.unwrap();
    stores.first.trash_remove(&id, &Progress::new()).await.unwrap();
    assert!(stores.trash(&*stores.first).await.is_empty());
}

pub async fn removed_with_its_snapshots(stores: &Stores) {
    let image = stores.image("layered", 2 * OBJECT).await;
    for name in ["a", "b", "c"] {
        image.write(0, noise(1, 2 * OBJECT)).await.unwrap();
        image.create_snapshot(name).await.unwrap();
    }
    image.protect_snapshot("b").await.unwrap();
    image.close().await.unwrap();
    let id = stores.first.trash_move(image.name()).await.unwrap();
    stores.first.trash_remove(&id, &Progress::new()).await.unwrap();
    assert!(stores.trash(&*stores.first).await.is_empty());
}

pub async fn clones_keep_reading(stores: &Stores) {
    let parent = stores.image("parent", 3 * OBJECT).await;
    parent.write(0, noise(1, 3 * OBJECT)).await.unwrap();
    let clone = stores.clone_of(&*parent, "s", "clone").await;
    parent.create_snapshot("later").await.unwrap();
    parent.close().await.unwrap();
    let id = stores.first.trash_move(parent.name()).await.unwrap();
    assert_holds(&*clone, &noise(1, 3 * OBJECT)).await;
    clone.write(0, noise(2, 10)).await.unwrap();
    let bytes = [&noise(2, 10)[..], &noise(1, 3 * OBJECT)[10..]].concat();
    assert_holds(&*clone, &bytes).await;
    let tie = parent_of(&*clone).await;
    assert!(tie.in_trash);
    assert_eq!(tie.overlap, 3 * OBJECT);
    assert!(stores.first.trash_has_clones(&id).await.unwrap());
    for _ in 0..2 {
        let error = stores.first.trash_remove(&id, &Progress::new()).await.unwrap_err();
        assert!(matches!(error.kind, ErrorKind::HasChildren | ErrorKind::HasSnapshots), "{error:?}");
        assert_eq!(stores.trash(&*stores.first).await.len(), 1);
        assert_holds(&*stores.read(clone.name()).await, &bytes).await;
    }
    clone.flatten(&Progress::new()).await.unwrap();
    assert!(!stores.first.trash_has_clones(&id).await.unwrap());
    assert_eq!(stores.first.trash_remove(&id, &Progress::new()).await.unwrap(), None);
    assert!(stores.trash(&*stores.first).await.is_empty());
    assert_holds(&*clone, &bytes).await;
}

pub async fn trashed_clone_holds_its_parent(stores: &Stores) {
    let parent = stores.image("parent", OBJECT).await;
    parent.write(0, noise(1, OBJECT)).await.unwrap();
    let clone = stores.clone_of(&*parent, "s", "clone").await;
    clone.close().await.unwrap();
    let id = stores.first.trash_move(clone.name()).await.unwrap();
    let children = parent.children().await.unwrap();
    assert_eq!(children.len(), 1);
    assert!(children[0].in_trash);
    assert_eq!((&*children[0].pool, &*children[0].snapshot), (stores.first.pool(), "s"));
    if stores.needs_protection {
        assert_refused(parent.unprotect_snapshot("s").await, ErrorKind::HasChildren);
    }
    let hung_on = stores.first.trash_remove(&id, &Progress::new()).await.unwrap();
    assert_eq!(hung_on, Some(stores.path(parent.name(), "s")));
    assert!(parent.children().await.unwrap().is_empty());
    parent.unprotect_snapshot("s").await.unwrap();
    parent.remove_snapshot("s").await.unwrap();
}

pub async fn missing_entries_are_refused(stores: &Stores) {
    let removed = stores.first.trash_remove("0123456789abcdef", &Progress::new()).await;
    assert_refused(removed, ErrorKind::NotFound);
    assert_refused(stores.first.trash_has_clones("0123456789abcdef").await, ErrorKind::NotFound);
    let image = stores.image("gone", OBJECT).await;
    image.close().await.unwrap();
    let id = stores.first.trash_move(image.name()).await.unwrap();
    stores.first.trash_remove(&id, &Progress::new()).await.unwrap();
    assert_refused(stores.first.trash_remove(&id, &Progress::new()).await, ErrorKind::NotFound);
}
