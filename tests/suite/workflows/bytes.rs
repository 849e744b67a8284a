//! Disks in images of other formats become volumes, once or by way of the cache; volumes become images; volumes get the
//! bytes of another image. Whatever is deleted first, the rest is whole, and nothing is left in the end.

use std::collections::BTreeSet;
use std::sync::Arc;

use pumice::block::{OpenMode, Parent};
use pumice::config::Config;
use pumice::db::Image;
use pumice::jobs::{Fault, Faults, Moment, NoFaults, Run, VolumeSource};
use pumice::model::{ImageId, ImageStatus, VolumeId, VolumeStatus};
use pumice::workflows::names;

use super::{DeathAt, disk_image, house, on_every_store, pattern, snapshots};
use crate::formats::bases::qemu_img;
use crate::house::{DatabaseKind, House, StoreKind};

/// Not a multiple of anything but a sector.
const LENGTH: usize = 5_000_192;

async fn with(store: StoreKind, change: impl FnOnce(&mut Config)) -> House {
    let mut config = Config::default();
    change(&mut config);
    House::with(store, DatabaseKind::Sqlite, config, Arc::new(NoFaults)).await
}

fn source(image: &ImageId) -> VolumeSource {
    VolumeSource::Disk { image_id: image.clone(), signed_by: None }
}

async fn assert_holds(house: &House, volume: &VolumeId, bytes: &[u8]) {
    assert!(house.read(volume, 0, bytes.len() as u64).await == bytes, "{volume}");
    let rest = house.read(volume, bytes.len() as u64, 1 << 20).await;
    assert!(rest.iter().all(|byte| *byte == 0), "{volume}");
}

async fn parent(house: &House, volume: &VolumeId) -> Option<Parent> {
    let image =
        house.stores.volumes.first().store.open(&names::volume(volume), OpenMode::ReadOnly).await.unwrap();
    let parent = image.parent().await.unwrap();
    image.close().await.unwrap();
    parent
}

async fn image(house: &House, id: &ImageId) -> Image {
    house.database.read().await.unwrap().image(id).await.unwrap().unwrap()
}

/// A qcow2 of this size that holds nothing.
fn empty_disk(size: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    qemu_img(folder.path(), &["create", "-q", "-f", "qcow2", "image", size]);
    std::fs::read(folder.path().join("image")).unwrap()
}

async fn every_format_becomes_a_volume(store: StoreKind) {
    let mut house = house(store).await;
    for (qemus, format, options) in [
        ("qcow2", "qcow2", &["-c"][..]),
        ("vmdk", "vmdk", &["-o", "subformat=streamOptimized"]),
        ("vpc", "vhd", &["-o", "force_size=on"]),
        ("vhdx", "vhdx", &[]),
        ("vdi", "vdi", &[]),
    ] {
        let bytes = pattern(LENGTH, 1);
        let id = house.upload_disk(disk_image(&bytes, qemus, options), format).await;
        assert_eq!(image(&house, &id).await.virtual_size, Some(LENGTH as i64), "{format}");
        let volume = house.volume(source(&id), 1).await;
        assert_holds(&house, &volume, &bytes).await;
        assert_eq!(parent(&house, &volume).await, None);
    }
    house.assert_nothing_is_left().await;
    house.stop().await;
}

async fn what_cannot_be_read_becomes_no_volume(store: StoreKind) {
    let mut house = house(store).await;
    let mut bytes = disk_image(&pattern(LENGTH, 2), "qcow2", &["-c"]);
    // All that is compressed is something else now.
    let length = bytes.len();
    bytes[length - 100_000..].fill(0x55);
    let broken = house.upload_disk(bytes, "qcow2").await;
    let large = house.upload_disk(empty_disk("1073742336"), "qcow2").await;
    for (image, words) in [(broken, "cannot be read"), (large, "too small")] {
        let volume = house.create_volume(source(&image), 1).await;
        house.settle().await;
        assert_eq!(house.volume_status(&volume).await, Some(VolumeStatus::Error));
        let error = house.last_job(&volume).await.unwrap().error.unwrap();
        assert!(error.contains(words), "{error}");
    }
    house.assert_nothing_is_left().await;
    house.stop().await;
}

async fn the_second_volume_is_a_clone_of_the_cache(store: StoreKind) {
    let mut house = with(store, |config| config.volumes.image_volume_cache_enabled = true).await;
    let bytes = pattern(LENGTH, 3);
    let id = house.upload_disk(disk_image(&bytes, "qcow2", &[]), "qcow2").await;
    let first = house.volume(source(&id), 1).await;
    let second = house.volume(source(&id), 3).await;
    let cached = parent(&house, &first).await.unwrap().path;
    assert_eq!(cached.image, names::cached(&first));
    assert_eq!(parent(&house, &second).await.unwrap().path, cached);
    assert_holds(&house, &second, &bytes).await;
    house.write(&first, 0, &pattern(1000, 4)).await;

    // The image goes, and with it the cache, but what the volumes read stays.
    assert!(house.delete_image(&id).await);
    house.settle().await;
    assert!(house.database.read().await.unwrap().cached_images().await.unwrap().is_empty());
    assert_holds(&house, &second, &bytes).await;
    assert!(house.delete_volume(&first).await);
    house.settle().await;
    assert_holds(&house, &second, &bytes).await;
    house.assert_nothing_is_left().await;
    house.stop().await;
}

async fn the_cache_keeps_to_its_bounds(store: StoreKind) {
    let mut house = with(store, |config| {
        config.volumes.image_volume_cache_enabled = true;
        config.volumes.image_volume_cache_max_count = 2;
        config.volumes.image_volume_cache_max_size_gb = 3;
    })
    .await;
    let mut images = Vec::new();
    for seed in 0..3 {
        images.push(house.upload_disk(disk_image(&pattern(LENGTH, seed), "qcow2", &[]), "qcow2").await);
    }
    let kept = async || -> Vec<ImageId> {
        let cached = house.database.read().await.unwrap().cached_images().await.unwrap();
        cached.into_iter().map(|cached| cached.image_id).collect()
    };
    let first = house.volume(source(&images[0]), 1).await;
    house.volume(source(&images[1]), 1).await;
    // It is used again, and so the other one goes.
    house.volume(source(&images[0]), 1).await;
    house.volume(source(&images[2]), 1).await;
    assert_eq!(kept().await, [images[0].clone(), images[2].clone()]);
    // One that is larger than all that may be kept is not kept, and needs none to go.
    let huge = house.upload_disk(empty_disk("4G"), "qcow2").await;
    let volume = house.volume(source(&huge), 4).await;
    assert_eq!(parent(&house, &volume).await, None);
    assert_eq!(kept().await, [images[0].clone(), images[2].clone()]);
    assert_holds(&house, &first, &pattern(LENGTH, 0)).await;
    house.assert_nothing_is_left().await;
    house.stop().await;
}

async fn many_volumes_at_once_are_converted_once(store: StoreKind) {
    let mut house = with(store, |config| config.volumes.image_volume_cache_enabled = true).await;
    let bytes = pattern(LENGTH, 5);
    let id = house.upload_disk(disk_image(&bytes, "qcow2", &[]), "qcow2").await;
    let mut volumes = Vec::new();
    for _ in 0..5 {
        volumes.push(house.create_volume(source(&id), 1).await);
    }
    house.settle().await;
    let mut parents = std::collections::BTreeSet::new();
    for volume in &volumes {
        parents.insert(parent(&house, volume).await.unwrap().path);
        assert_holds(&house, volume, &bytes).await;
    }
    assert_eq!(parents.len(), 1);
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// The image stays a clone of the volume.
struct NoDetach;

impl Faults for NoDetach {
    fn at(&self, run: &Run, moment: Moment) -> Fault {
        let is_detach = run.kind == "detach_image" && moment == Moment::Before("flatten");
        if is_detach { Fault::Fail } else { Fault::None }
    }
}

async fn a_volume_becomes_an_image(store: StoreKind) {
    let mut house = house(store).await;
    let volume = house.volume(VolumeSource::Empty, 1).await;
    let bytes = pattern(LENGTH, 6);
    house.write(&volume, 0, &bytes).await;
    let id = house.upload_volume(&volume).await;
    house.settle().await;
    assert_eq!(house.volume_status(&volume).await, Some(VolumeStatus::Available));
    let made = image(&house, &id).await;
    assert_eq!(
        (made.status, made.size),
        (ImageStatus::Active, Some(1 << 30)),
        "{:?}",
        house.last_job(&id).await
    );
    // It is of that moment, and hangs on nothing any more.
    house.write(&volume, 0, &pattern(1000, 7)).await;
    let copy = house.stores.images.open(id.as_str(), OpenMode::ReadOnly).await.unwrap();
    assert_eq!(copy.parent().await.unwrap(), None);
    copy.close().await.unwrap();
    assert_eq!(snapshots(&house, &volume).await, Vec::<String>::new());
    let second = house.volume(VolumeSource::Image { image_id: id, signed_by: None }, 1).await;
    assert_holds(&house, &second, &bytes).await;
    house.assert_nothing_is_left().await;
    house.stop().await;
}

async fn a_volume_becomes_an_image_of_any_format(store: StoreKind) {
    let mut house = house(store).await;
    let volume = house.volume(VolumeSource::Empty, 1).await;
    let bytes = pattern(LENGTH, 6);
    house.write(&volume, 0, &bytes).await;
    for format in ["qcow2", "vmdk", "vhd", "vhdx", "vdi"] {
        let id = house.upload_volume_as(&volume, format).await;
        house.settle().await;
        assert_eq!(house.volume_status(&volume).await, Some(VolumeStatus::Available));
        let made = image(&house, &id).await;
        assert_eq!(made.status, ImageStatus::Active, "{:?}", house.last_job(&id).await);
        assert_eq!(made.virtual_size, Some(1 << 30), "{format}");
        let file = house.stores.images.open(id.as_str(), OpenMode::ReadOnly).await.unwrap();
        let size = file.size().await.unwrap();
        let whole = file.read(0, size).await.unwrap();
        file.close().await.unwrap();
        assert_eq!(made.size, Some(size as i64));
        assert!(size < 4 * LENGTH as u64, "{format}: holes are stored");
        let md5 = openssl::hash::hash(openssl::hash::MessageDigest::md5(), &whole).unwrap();
        let hex = md5.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(made.checksum, Some(hex), "{format}");
        let second = house.volume(source(&id), 1).await;
        assert_holds(&house, &second, &bytes).await;
    }
    assert_eq!(snapshots(&house, &volume).await, Vec::<String>::new());
    house.assert_nothing_is_left().await;
    house.stop().await;
}

async fn an_attached_pair_is_deleted_in_either_order(store: StoreKind) {
    let no_detach = Arc::new(NoDetach);
    let mut house = House::with(store, DatabaseKind::Sqlite, Config::default(), no_detach).await;
    for volume_first in [true, false] {
        let volume = house.volume(VolumeSource::Empty, 1).await;
        let bytes = pattern(LENGTH, 8);
        house.write(&volume, 0, &bytes).await;
        let id = house.upload_volume(&volume).await;
        house.settle().await;
        assert_eq!(image(&house, &id).await.status, ImageStatus::Active);
        if volume_first {
            assert!(house.delete_volume(&volume).await);
            house.settle().await;
            let second = house.volume(VolumeSource::Image { image_id: id.clone(), signed_by: None }, 1).await;
            assert_holds(&house, &second, &bytes).await;
        } else {
            assert!(house.delete_image(&id).await);
            house.settle().await;
            assert_eq!(house.image_status(&id).await, None);
            assert_eq!(snapshots(&house, &volume).await, Vec::<String>::new());
            assert_holds(&house, &volume, &bytes).await;
        }
        house.assert_nothing_is_left().await;
    }
    house.stop().await;
}

/// An instance that runs from a volume of the image, since before the image had bytes of its own, looks for them in the
/// first volume for as long as it runs.
async fn what_is_open_outlives_what_its_image_was_made_of(store: StoreKind) {
    let mut house = House::with(store, DatabaseKind::Sqlite, Config::default(), Arc::new(NoDetach)).await;
    let volume = house.volume(VolumeSource::Empty, 1).await;
    let bytes = pattern(LENGTH, 8);
    house.write(&volume, 0, &bytes).await;
    let id = house.upload_volume(&volume).await;
    house.settle().await;
    let second = house.volume(VolumeSource::Image { image_id: id.clone(), signed_by: None }, 1).await;
    let place = house.stores.volumes.first().store.clone();
    let opened = place.open(&names::volume(&second), OpenMode::ReadWrite).await.unwrap();
    house.stop().await;
    house.start(Arc::new(NoFaults)).await;
    house.detach_image(&id).await;
    house.settle().await;
    let copy = house.stores.images.open(id.as_str(), OpenMode::ReadOnly).await.unwrap();
    assert_eq!(copy.parent().await.unwrap(), None);
    copy.close().await.unwrap();
    house.sweeper().sweep().await.unwrap();
    assert!(house.delete_volume(&volume).await);
    house.settle().await;
    assert_eq!(house.volume_status(&volume).await, None);
    house.sweeper().sweep().await.unwrap();
    assert!(opened.read(0, LENGTH as u64).await.unwrap() == bytes);
    opened.close().await.unwrap();
    drop(opened);
    assert!(house.delete_volume(&second).await);
    house.settle().await;
    house.sweep().await;
    assert_eq!(house.on_pools().await, [format!("{}/{id}", house.stores.images.pool())]);
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// The same, of a volume that stays.
async fn a_volume_loses_the_snapshot_of_its_image_with_the_last_clone(store: StoreKind) {
    let mut house = House::with(store, DatabaseKind::Sqlite, Config::default(), Arc::new(NoDetach)).await;
    let volume = house.volume(VolumeSource::Empty, 1).await;
    let id = house.upload_volume(&volume).await;
    house.settle().await;
    let second = house.volume(VolumeSource::Image { image_id: id.clone(), signed_by: None }, 1).await;
    house.stop().await;
    house.start(Arc::new(NoFaults)).await;
    house.detach_image(&id).await;
    house.settle().await;
    assert_eq!(house.sweeper().sweep().await.unwrap(), 1);
    assert_eq!(snapshots(&house, &volume).await, [names::upload_snapshot(&id)]);
    assert!(house.delete_volume(&second).await);
    house.settle().await;
    house.sweep().await;
    assert_eq!(snapshots(&house, &volume).await, Vec::<String>::new());
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// It begins anew with another snapshot, and what was zeroed in between was copied before.
async fn a_copy_is_of_one_moment(store: StoreKind) {
    let death = Arc::new(DeathAt::new("create_volume", Moment::After("drop_snapshot")));
    let mut config = Config::default();
    config.volumes.rbd_max_clone_depth = 0;
    let mut house = House::with(store, DatabaseKind::Sqlite, config, death.clone()).await;
    let source = house.volume(VolumeSource::Empty, 1).await;
    house.write(&source, 0, &pattern(LENGTH, 8)).await;
    let copy = house.create_volume(VolumeSource::Volume { volume_id: source.clone() }, 1).await;
    death.comes().await;
    house.stop().await;
    let place = house.stores.volumes.first().store.clone();
    let image = place.open(&names::volume(&source), OpenMode::ReadWrite).await.unwrap();
    image.write_zeroes(0, LENGTH as u64).await.unwrap();
    image.close().await.unwrap();
    drop((image, place));
    house.start(Arc::new(NoFaults)).await;
    house.settle().await;
    assert_eq!(house.volume_status(&copy).await, Some(VolumeStatus::Available));
    assert_holds(&house, &copy, &vec![0; LENGTH]).await;
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// The image stays a clone of the volume, and a process dies when it is removed and its snapshot there is not.
struct DeathBetween(DeathAt);

impl Faults for DeathBetween {
    fn at(&self, run: &Run, moment: Moment) -> Fault {
        match self.0.at(run, moment) {
            Fault::None => NoDetach.at(run, moment),
            fault => fault,
        }
    }
}

async fn a_crash_leaves_no_snapshot_of_a_deleted_image(store: StoreKind) {
    let death = Arc::new(DeathBetween(DeathAt::new("delete_image", Moment::After("remove"))));
    let mut house = House::with(store, DatabaseKind::Sqlite, Config::default(), death.clone()).await;
    let volume = house.volume(VolumeSource::Empty, 1).await;
    let bytes = pattern(LENGTH, 8);
    house.write(&volume, 0, &bytes).await;
    let id = house.upload_volume(&volume).await;
    house.settle().await;
    assert_eq!(snapshots(&house, &volume).await.len(), 1);
    assert!(house.delete_image(&id).await);
    death.0.comes().await;
    house.stop().await;
    house.start(Arc::new(NoFaults)).await;
    house.settle().await;
    assert_eq!(house.image_status(&id).await, None);
    assert_eq!(house.sweeper().sweep().await.unwrap(), 0);
    assert_eq!(snapshots(&house, &volume).await, Vec::<String>::new());
    assert_holds(&house, &volume, &bytes).await;
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// It waits in the trash for a volume that was made of it, and hangs on the snapshot until then.
#[tokio::test(flavor = "multi_thread")]
async fn an_image_in_the_trash_takes_its_snapshot_along() {
    let no_detach = Arc::new(NoDetach);
    let mut house = House::with(StoreKind::RbdV2, DatabaseKind::Sqlite, Config::default(), no_detach).await;
    let volume = house.volume(VolumeSource::Empty, 1).await;
    let bytes = pattern(LENGTH, 8);
    house.write(&volume, 0, &bytes).await;
    let id = house.upload_volume(&volume).await;
    house.settle().await;
    let clone = house.volume(VolumeSource::Image { image_id: id.clone(), signed_by: None }, 1).await;
    assert!(house.delete_image(&id).await);
    house.settle().await;
    assert_eq!(house.image_status(&id).await, None);
    assert_eq!(snapshots(&house, &volume).await.len(), 1);
    assert_holds(&house, &clone, &bytes).await;
    assert!(house.delete_volume(&clone).await);
    house.settle().await;
    house.sweep().await;
    assert_eq!(snapshots(&house, &volume).await, Vec::<String>::new());
    assert_holds(&house, &volume, &bytes).await;
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// While its bytes are on the way: the volume is as it was.
async fn an_image_deleted_at_once_is_gone(store: StoreKind) {
    let mut house = house(store).await;
    let volume = house.volume(VolumeSource::Empty, 1).await;
    let id = house.upload_volume(&volume).await;
    assert!(house.delete_image(&id).await);
    house.settle().await;
    assert_eq!(house.volume_status(&volume).await, Some(VolumeStatus::Available));
    assert_eq!(house.image_status(&id).await, None);
    house.assert_nothing_is_left().await;
    house.stop().await;
}

async fn a_reimaged_volume_keeps_its_snapshots(store: StoreKind) {
    let mut house = house(store).await;
    let volume = house.volume(VolumeSource::Empty, 1).await;
    let (before, after) = (pattern(2 * LENGTH, 9), pattern(LENGTH, 10));
    house.write(&volume, 0, &before).await;
    let snapshot = house.snapshot(&volume).await;
    let packed = house.upload_disk(disk_image(&after, "qcow2", &["-c"]), "qcow2").await;
    let raw = house.upload(pattern(LENGTH, 11)).await;
    for (image, bytes) in [(&packed, after), (&raw, pattern(LENGTH, 11))] {
        house.reimage(&volume, image).await;
        house.settle().await;
        assert_eq!(house.volume_status(&volume).await, Some(VolumeStatus::Available));
        // Nothing of what it held shows behind the image's end.
        assert_holds(&house, &volume, &bytes).await;
        let row = house.database.read().await.unwrap().volume(&volume).await.unwrap().unwrap();
        assert_eq!(row.image_metadata.unwrap()["image_id"], image.to_string());
    }
    let mut of_raw = image(&house, &raw).await;
    of_raw.properties.0.extend(["open", "secret"].map(|name| (name.to_owned(), "x".to_owned())));
    let mut repository = house.database.begin().await.unwrap();
    assert!(repository.update_image(&of_raw).await.unwrap());
    repository.commit().await.unwrap();
    house.reimage_with(&volume, &raw, Some(BTreeSet::from(["open".to_owned()]))).await;
    house.settle().await;
    let row = house.database.read().await.unwrap().volume(&volume).await.unwrap().unwrap();
    let remembered = row.image_metadata.unwrap();
    assert!(remembered.contains_key("open") && !remembered.contains_key("secret"), "{remembered:?}");
    let source = VolumeSource::Snapshot { snapshot_id: snapshot, volume_id: volume };
    let old = house.volume(source, 1).await;
    assert_holds(&house, &old, &before).await;
    house.assert_nothing_is_left().await;
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn digests_are_made_where_bytes_move() {
    let mut house = house(StoreKind::Apart).await;
    let volume = house.volume(VolumeSource::Empty, 1).await;
    house.write(&volume, 0, &pattern(LENGTH, 12)).await;
    let id = house.upload_volume(&volume).await;
    house.settle().await;
    let made = image(&house, &id).await;
    assert_eq!(made.os_hash_algo.as_deref(), Some("sha512"));
    let mut whole = pattern(LENGTH, 12);
    whole.resize(1 << 30, 0);
    let md5 = openssl::hash::hash(openssl::hash::MessageDigest::md5(), &whole).unwrap();
    assert_eq!(made.checksum.unwrap(), md5.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    assert_eq!(snapshots(&house, &volume).await, Vec::<String>::new());
    house.assert_nothing_is_left().await;
    house.stop().await;
}

on_every_store!(
    every_format_becomes_a_volume,
    what_cannot_be_read_becomes_no_volume,
    the_second_volume_is_a_clone_of_the_cache,
    the_cache_keeps_to_its_bounds,
    many_volumes_at_once_are_converted_once,
    a_volume_becomes_an_image,
    a_volume_becomes_an_image_of_any_format,
    an_attached_pair_is_deleted_in_either_order,
    what_is_open_outlives_what_its_image_was_made_of,
    a_volume_loses_the_snapshot_of_its_image_with_the_last_clone,
    a_copy_is_of_one_moment,
    a_crash_leaves_no_snapshot_of_a_deleted_image,
    an_image_deleted_at_once_is_gone,
    a_reimaged_volume_keeps_its_snapshots,
);
