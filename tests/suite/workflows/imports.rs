//! Imports: bytes come to their image whole and once, and one that fails leaves nothing and can be repeated.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::StreamExt;
use pumice::block::{OpenMode, SnapshotPath};
use pumice::config::Config;
use pumice::db::Job;
use pumice::jobs::{self, Import, ImportSource, Moment, NoFaults, Origin, Task, VolumeSource};
use pumice::model::{ImageId, ImageStatus, JobId, JobState, VolumeStatus};
use pumice::transfer::{Algorithm, Digests};
use pumice::workflows::{Arrival, names, upload_image};
use serde_json::Value;
use tokio::net::TcpListener;

use super::generic::cancel;
use super::refusals::Loss;
use super::{DeathAt, HoldBefore, disk_image, house, on_every_store, pattern};
use crate::house::{DatabaseKind, House, StoreKind};
use crate::support::regions::{self, Region};
use crate::support::signer;

/// As `gzip` packs it.
pub fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The address of a web server with these bytes, which goes with the test.
pub async fn serve(bytes: Vec<u8>) -> String {
    let bytes = Bytes::from(bytes);
    let routes = Router::new().route("/disk.img", get(async move || bytes));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await });
    format!("http://{address}/disk.img")
}

/// What an image has already is brought to another place too.
pub fn copy_to_second() -> Import {
    let stores = vec![Some("second".to_owned())];
    Import {
        source: ImportSource::Itself,
        stores,
        all_must_succeed: true,
        inject: false,
        signed_by: None,
        asked_by: None,
    }
}

async fn importing_house(store: StoreKind) -> House {
    House::with(store, DatabaseKind::Sqlite, importing(), Arc::new(NoFaults)).await
}

async fn region_house(store: StoreKind, region: &Region) -> House {
    let mut config = importing();
    region.configure(&mut config);
    House::with(store, DatabaseKind::Sqlite, config, Arc::new(NoFaults)).await
}

/// Where what is not raw is made raw.
async fn converting_house(store: StoreKind) -> House {
    let mut config = importing();
    config.image_import_opts.image_import_plugins.push("image_conversion".to_owned());
    config.images.image_size_cap = 32 << 20;
    House::with(store, DatabaseKind::Sqlite, config, Arc::new(NoFaults)).await
}

fn importing() -> Config {
    let mut config = Config::default();
    config.import_filtering_opts.allowed_hosts = vec!["127.0.0.1".to_owned()];
    config.import_filtering_opts.allowed_ports.clear();
    config.image_import_opts.image_import_plugins =
        vec!["image_decompression".to_owned(), "inject_image_metadata".to_owned()];
    config.inject_metadata_properties.inject.insert("from".to_owned(), "elsewhere".to_owned());
    config
}

async fn digest(bytes: &[u8]) -> String {
    let digests = Digests::start(&[Algorithm::Sha512]).unwrap();
    digests.update(Bytes::copy_from_slice(bytes)).await.unwrap();
    digests.finish().await.unwrap().remove(0).1
}

/// The image is active with these bytes, and nothing else lies on the pools.
async fn assert_has(house: &House, id: &ImageId, bytes: &[u8]) {
    house.settle().await;
    let row = house.images().await.into_iter().find(|row| row.id == *id).unwrap();
    assert_eq!(row.status, ImageStatus::Active, "{:?}", house.last_job(id).await);
    assert_eq!(row.size, Some(bytes.len() as i64));
    assert_eq!(row.virtual_size, Some(bytes.len() as i64));
    assert_eq!(row.os_hash_value, Some(digest(bytes).await));
    assert!(row.places().all(|place| place.url.is_some()));
    assert_eq!(row.properties["os_glance_importing_to_stores"], "");
    assert_eq!(row.properties["os_glance_failed_import"], "");
    assert_eq!(row.properties["from"], "elsewhere");
    let mut found: Vec<String> = Vec::new();
    for place in row.places() {
        let store = house.stores.images_in(place.store.as_deref()).unwrap();
        found.push(format!("{}/{id}", store.pool()));
        let image = store.open(id.as_str(), OpenMode::Snapshot("snap".to_owned())).await.unwrap();
        assert!(image.read(0, bytes.len() as u64).await.unwrap() == bytes);
        image.close().await.unwrap();
    }
    found.sort();
    let mut on_pools = house.on_pools().await;
    on_pools.sort();
    assert_eq!(on_pools, found);
}

async fn bytes_come_from_everywhere(store: StoreKind) {
    let mut house = importing_house(store).await;
    let bytes = pattern(2_500_000, 1);

    let staged = house.stage(bytes.clone()).await;
    assert_eq!(house.image_status(&staged).await, Some(ImageStatus::Uploading));
    house.import(&staged, ImportSource::Staged).await;
    assert_has(&house, &staged, &bytes).await;
    assert!(house.delete_image(&staged).await);
    house.settle().await;

    let fetched = house.queued_image().await;
    house.import(&fetched, ImportSource::Web { uri: serve(packed(&bytes)).await }).await;
    assert_has(&house, &fetched, &bytes).await;

    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// One that breaks off is gone on with, and what the image there says of itself comes along.
async fn an_image_comes_from_another_region(store: StoreKind) {
    let bytes = pattern(2_500_000, 23);
    let region = Region::play(bytes.clone()).await;
    region.breaks_off();
    let mut house = region_house(store, &region).await;
    let image = house.queued_disk("qcow2").await;
    house.import(&image, regions::source(&house, &image).await).await;
    assert_has(&house, &image, &bytes).await;
    let rest = Some(format!("bytes={}-", bytes.len() / 2));
    assert_eq!(region.ranges(), [None, rest]);
    assert_eq!(format_of(&house, &image).await, ("raw".to_owned(), "bare".to_owned()));
    let row = house.images().await.remove(0);
    assert_eq!(row.name.as_deref(), Some("an image"));
    let copied = ["os_distro", "hw_disk_bus"].map(|name| row.properties[name].as_str());
    assert_eq!(copied, ["debian", "scsi"]);
    let not_copied = ["architecture", "hw_number", "os_hidden"];
    assert!(not_copied.iter().all(|name| !row.properties.contains_key(*name)), "{:?}", row.properties);
    let job = house.last_job(&image).await.unwrap();
    assert!(!job.payload.to_string().contains(regions::TOKEN), "{}", job.payload);
    assert!(house.delete_image(&image).await);
    house.settle().await;
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// What the import took over is taken back, and nothing that a user has said of the image since.
async fn what_users_said_meanwhile_stays(store: StoreKind) {
    let region = Region::play(pattern(300_000, 25)).await;
    // The bytes are something else, which is found out later.
    region.says("disk_format", "vmdk".into());
    region.says("hw_video_model", "vga".into());
    let mut config = importing();
    region.configure(&mut config);
    let hold = HoldBefore::new("import_image", "unpack");
    let mut house = House::with(store, DatabaseKind::Sqlite, config, hold.clone()).await;
    let image = house.queued_disk("qcow2").await;
    let say = async |said: &[(&str, &str)]| {
        let mut repository = house.database.begin().await.unwrap();
        let mut row = repository.image_to_change(&image).await.unwrap().unwrap();
        row.properties.0.extend(said.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        repository.update_image(&row).await.unwrap();
        repository.commit().await.unwrap();
    };
    say(&[("hw_disk_bus", "ide"), ("hw_vif_model", "e1000")]).await;
    let source = regions::source(&house, &image).await;
    // Before the bytes were there.
    say(&[("hw_disk_bus", "virtio")]).await;
    house.import(&image, source).await;
    hold.begins().await;
    let row = house.images().await.remove(0);
    assert_eq!(row.disk_format.as_deref(), Some("vmdk"));
    assert_eq!((&*row.properties["hw_disk_bus"], &*row.properties["os_distro"]), ("scsi", "debian"));
    say(&[("os_distro", "arch"), ("hw_cdrom_bus", "sata")]).await;
    hold.let_go();
    house.settle().await;
    assert_eq!(house.last_job(&image).await.unwrap().state, JobState::Failed);
    let row = house.images().await.remove(0);
    assert_eq!(row.disk_format.as_deref(), Some("qcow2"));
    let properties: Vec<(&str, &str)> = row
        .properties
        .iter()
        .filter(|(name, _)| !name.starts_with("os_glance"))
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let expected = [
        ("hw_cdrom_bus", "sata"),
        ("hw_disk_bus", "virtio"),
        ("hw_vif_model", "e1000"),
        ("os_distro", "arch"),
    ];
    assert_eq!(properties, expected);
    house.assert_nothing_is_left().await;
    house.stop().await;
}

async fn what_another_region_cannot_give_is_told(store: StoreKind) {
    let bytes = pattern(300_000, 24);
    let region = Region::play(bytes.clone()).await;
    let mut house = region_house(store, &region).await;
    let image = house.queued_disk("qcow2").await;
    let fails = async |source: ImportSource, reason: &str| {
        house.import(&image, source).await;
        house.settle().await;
        let job = house.last_job(&image).await.unwrap();
        assert_eq!((job.state, job.error.as_deref()), (JobState::Failed, Some(reason)));
        let row = house.images().await.remove(0);
        assert_eq!((row.status, row.size), (ImageStatus::Queued, None));
        assert_eq!(row.disk_format.as_deref(), Some("qcow2"));
        assert!(!row.properties.contains_key("os_distro"), "{:?}", row.properties);
        assert_eq!(house.on_pools().await, Vec::<String>::new());
    };
    let with = async |name: &str, value: Value| {
        region.says(name, value);
        regions::source(&house, &image).await
    };
    for (place, interface, reason) in [
        ("three", "public", "public glance endpoint not found for region three"),
        ("two", "admin", "admin glance endpoint not found for region two"),
        ("moved", "public", "The other region answers 404."),
    ] {
        fails(regions::source_in(&house, &image, place, interface).await, reason).await;
    }
    let reason = "Source image status should be active instead of queued";
    fails(with("status", "queued".into()).await, reason).await;
    region.says("status", "active".into());
    let reason = format!("Size attribute of remote image {} could not be determined.", regions::IMAGE);
    fails(with("size", Value::Null).await, &reason).await;
    let reason = "downloaded data size 300000 is different from expected 300001";
    fails(with("size", 300_001.into()).await, reason).await;
    region.says("size", bytes.len().into());
    let reason = "Source image has no disk_format or no container_format.";
    fails(with("disk_format", Value::Null).await, reason).await;
    // Found out once the bytes are there, with all that came along.
    let reason = "Image disk_format qcow2 does not match stream data raw";
    fails(with("disk_format", "qcow2".into()).await, reason).await;
    region.says("disk_format", "raw".into());
    region.says("os_hash_algo", "sha512".into());
    let reason = "The bytes have another digest than the other region says.";
    fails(with("os_hash_value", "00".into()).await, reason).await;

    // A token that was sealed for something else.
    let other = house.queued_disk("qcow2").await;
    let stolen = regions::source(&house, &other).await;
    assert!(house.delete_image(&other).await);
    house.settle().await;
    let reason = "The token that came with the request cannot be read any more. Please ask again.";
    fails(stolen, reason).await;

    house.import(&image, with("os_hash_value", digest(&bytes).await.into()).await).await;
    assert_has(&house, &image, &bytes).await;
    assert!(house.delete_image(&image).await);
    house.settle().await;
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// The signature comes along, and is held against the bytes that come with it.
async fn a_signed_image_comes_from_another_region(store: StoreKind) {
    let bytes = pattern(1_500_000, 25);
    let folder = tempfile::tempdir().unwrap();
    signer::certify(folder.path(), "RSA-PSS");
    let region = Region::play(bytes.clone()).await;
    let mut config = importing();
    region.configure(&mut config);
    config.glance_download_properties.extra_properties = vec!["img_signature".to_owned()];
    config.images.certificates_directory = Some(folder.path().to_owned());
    let mut house = House::with(store, DatabaseKind::Sqlite, config, Arc::new(NoFaults)).await;
    let image = house.queued_disk("raw").await;
    // Its own is replaced, and comes back.
    let mut repository = house.database.begin().await.unwrap();
    let mut row = repository.image_to_change(&image).await.unwrap().unwrap();
    row.properties.insert("img_signature".to_owned(), "its own".to_owned());
    repository.update_image(&row).await.unwrap();
    repository.commit().await.unwrap();

    let gone = "99999999-2222-4333-8444-555555555555";
    let properties = signer::properties(folder.path(), &bytes);
    let others = signer::properties(folder.path(), b"others");
    let say = |properties: &BTreeMap<String, String>| {
        for (name, value) in properties {
            region.says(name, value.as_str().into());
        }
    };
    let nobody =
        format!("Signature verification for the image failed: Certificate not found with ID: {gone}.");
    for (certificate, reason, downloads) in
        [(gone, nobody.as_str(), 0), (signer::ID, "Signature verification failed.", 1)]
    {
        say(&others);
        region.says("img_signature_certificate_uuid", certificate.into());
        house.import(&image, regions::source(&house, &image).await).await;
        house.settle().await;
        let job = house.last_job(&image).await.unwrap();
        assert_eq!((job.state, job.error.as_deref()), (JobState::Failed, Some(reason)));
        let row = house.images().await.remove(0);
        assert_eq!((row.status, row.properties["img_signature"].as_str()), (ImageStatus::Queued, "its own"));
        assert!(!row.properties.contains_key("img_signature_key_type"), "{:?}", row.properties);
        assert_eq!(house.on_pools().await, Vec::<String>::new());
        assert_eq!(region.ranges().len(), downloads);
    }
    say(&properties);
    house.import(&image, regions::source(&house, &image).await).await;
    assert_has(&house, &image, &bytes).await;
    let row = house.images().await.remove(0);
    assert!(properties.iter().all(|(name, value)| row.properties[name] == *value), "{:?}", row.properties);
    assert!(house.delete_image(&image).await);
    house.settle().await;
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// What its row says of the format.
async fn format_of(house: &House, id: &ImageId) -> (String, String) {
    let row = house.images().await.into_iter().find(|row| row.id == *id).unwrap();
    (row.disk_format.unwrap(), row.container_format.unwrap())
}

async fn what_is_not_raw_is_made_raw(store: StoreKind) {
    let mut house = converting_house(store).await;
    // Of no whole number of clusters, with holes.
    let mut bytes = pattern(3_000_320, 19);
    bytes[200_000..1_500_000].fill(0);
    let raw = ("raw".to_owned(), "bare".to_owned());
    for (format, name, options) in [
        ("qcow2", "qcow2", &["-c"][..]),
        ("vmdk", "vmdk", &["-o", "subformat=streamOptimized"]),
        ("vpc", "vhd", &["-o", "force_size=on"]),
        ("vhdx", "vhdx", &[]),
        ("vdi", "vdi", &[]),
    ] {
        let image = house.stage_disk(disk_image(&bytes, format, options), name).await;
        house.import(&image, ImportSource::Staged).await;
        assert_has(&house, &image, &bytes).await;
        assert_eq!(format_of(&house, &image).await, raw, "{name}");
        assert!(house.delete_image(&image).await);
        house.settle().await;
    }

    // Fetched, packed, and for two stores.
    let image = house.queued_disk("qcow2").await;
    let uri = serve(packed(&disk_image(&bytes, "qcow2", &[]))).await;
    house.import_twice(&image, ImportSource::Web { uri }, true).await;
    assert_has(&house, &image, &bytes).await;
    assert_eq!(format_of(&house, &image).await, raw);
    let volume = house.volume(VolumeSource::Image { image_id: image.clone(), signed_by: None }, 1).await;
    assert!(house.read(&volume, 0, bytes.len() as u64).await == bytes);

    // Raw already.
    let image = house.stage(bytes.clone()).await;
    house.import(&image, ImportSource::Staged).await;
    house.settle().await;
    assert_eq!(house.image_status(&image).await, Some(ImageStatus::Active));
    house.assert_nothing_is_left().await;
    house.stop().await;
}

async fn what_cannot_be_made_raw_stays_out(store: StoreKind) {
    let mut house = converting_house(store).await;
    let hidden = disk_image(&disk_image(&pattern(100_352, 1), "qcow2", &[]), "qcow2", &[]);
    let large = disk_image(&vec![0; (32 << 20) + 512], "qcow2", &[]);
    let mut torn = disk_image(&pattern(3_000_320, 20), "qcow2", &[]);
    torn.truncate(300_000);
    for (bytes, format, reason) in [
        (large, "qcow2", "It is more than the 33554432 bytes that an image may have."),
        (pattern(4096, 1), "ami", "An image of the format ami cannot be made raw."),
        (hidden, "qcow2", ""),
        (torn, "qcow2", ""),
    ] {
        let image = house.stage_disk(bytes, format).await;
        house.import(&image, ImportSource::Staged).await;
        house.settle().await;
        let job = house.last_job(&image).await.unwrap();
        assert_eq!(job.state, JobState::Failed, "{format} {reason}");
        let said = job.error.unwrap();
        assert!(
            if reason.is_empty() { said.contains("qcow2") || said.contains("disk") } else { said == reason },
            "{said}"
        );
        assert_eq!(house.image_status(&image).await, Some(ImageStatus::Queued));
        assert_eq!(format_of(&house, &image).await.0, format);
        assert_eq!(house.on_pools().await, Vec::<String>::new());
        assert!(house.delete_image(&image).await);
        house.settle().await;
    }
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// It is `queued`, nothing is left of what arrived, and the next import goes well.
async fn assert_failed_and_repeatable(house: &House, id: &ImageId, reason: &str) {
    house.settle().await;
    let job = house.last_job(id).await.unwrap();
    assert_eq!(job.state, JobState::Failed);
    assert_eq!(job.error.as_deref(), Some(reason));
    let row = house.images().await.remove(0);
    assert_eq!((row.status, row.size), (ImageStatus::Queued, None));
    assert_eq!(house.on_pools().await, Vec::<String>::new());
    let bytes = pattern(1_000_000, 2);
    house.import(id, ImportSource::Web { uri: serve(bytes.clone()).await }).await;
    assert_has(house, id, &bytes).await;
    assert!(house.delete_image(id).await);
    house.settle().await;
}

async fn what_must_not_come_in_stays_out(store: StoreKind) {
    let mut house = importing_house(store).await;

    // A qcow2 that reads from a file of the machine it is opened on.
    let mut unsafe_disk = b"QFI\xfb\0\0\0\x03".to_vec();
    unsafe_disk.resize(2_000_000, 0);
    unsafe_disk[15] = 1;
    let image = house.stage(unsafe_disk).await;
    house.import(&image, ImportSource::Staged).await;
    house.settle().await;
    let refusal = house.last_job(&image).await.unwrap().error.unwrap();
    assert!(refusal.starts_with("Image failed safety checks"), "{refusal}");
    assert_failed_and_repeatable(&house, &image, &refusal).await;

    let image = house.queued_image().await;
    let uri = serve(Vec::new()).await.replace("disk.img", "none.img");
    house.import(&image, ImportSource::Web { uri }).await;
    assert_failed_and_repeatable(&house, &image, "The web server answers 404.").await;

    let image = house.queued_image().await;
    let uri = serve(Vec::new()).await.replace("127.0.0.1", "localhost");
    house.import(&image, ImportSource::Web { uri }).await;
    assert_failed_and_repeatable(&house, &image, "The address may not be asked: its host is not allowed.")
        .await;

    let mut damaged = packed(&pattern(1_000_000, 3));
    damaged.truncate(1000);
    let image = house.stage(damaged).await;
    house.import(&image, ImportSource::Staged).await;
    assert_failed_and_repeatable(&house, &image, "The compressed data are damaged.").await;

    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// Somebody else's image that has the name of ours is not touched.
async fn bytes_of_others_stay(store: StoreKind) {
    let mut house = importing_house(store).await;
    let image = house.stage(pattern(1_000_000, 4)).await;
    let pool = house.stores.images.clone();
    pool.create(image.as_str(), 4096, 1 << 20).await.unwrap();
    house.import(&image, ImportSource::Staged).await;
    house.settle().await;
    assert_eq!(house.image_status(&image).await, Some(ImageStatus::Queued));
    assert_eq!(house.on_pools().await, [format!("images/{image}")]);
    pool.remove(image.as_str(), &pumice::block::Progress::new()).await.unwrap();
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// The process that staged dies while bytes arrive: another one undoes it.
async fn an_interrupted_stage_is_undone(store: StoreKind) {
    let mut house = house(store).await;
    let image = house.queued_image().await;
    let body = futures::stream::iter([Ok::<_, std::io::Error>(Bytes::from(pattern(1_000_000, 5)))]);
    let upload = house.uploader_of(Arrival::Stage);
    let stalled = upload_image(
        upload,
        image.clone(),
        Some(2_000_000),
        body.chain(futures::stream::pending()),
        Origin::default(),
    );
    let uploading = tokio::spawn(stalled);
    while house.on_pools().await.is_empty() {
        tokio::task::yield_now().await;
    }
    assert!(house.delete_image(&image).await);
    house.settle().await;
    uploading.await.unwrap().unwrap_err();
    assert_eq!(house.image_status(&image).await, None);
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// A deletion does not wait for a web server that says nothing any more.
async fn a_deleted_image_is_not_waited_for(store: StoreKind) {
    let mut house = importing_house(store).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}/", listener.local_addr().unwrap());
    let routes = Router::new().route(
        "/",
        get(async || {
            let first = futures::stream::iter([Ok::<_, std::io::Error>(Bytes::from(pattern(100_000, 6)))]);
            axum::body::Body::from_stream(first.chain(futures::stream::pending()))
        }),
    );
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let image = house.queued_image().await;
    house.import(&image, ImportSource::Web { uri }).await;
    while house.on_pools().await.is_empty() {
        tokio::task::yield_now().await;
    }
    assert!(house.delete_image(&image).await);
    house.settle().await;
    assert_eq!(house.image_status(&image).await, None);
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// Somebody else may be at it by the time the web server answers: what is made then nobody takes away.
#[tokio::test(flavor = "multi_thread")]
async fn who_lost_an_import_makes_nothing() {
    let loss = Loss::of("import_image", "fetch");
    let mut house = House::with(StoreKind::Directory, DatabaseKind::Sqlite, importing(), loss.clone()).await;
    let image = house.queued_image().await;
    house.import(&image, ImportSource::Web { uri: serve(pattern(100_000, 19)).await }).await;
    loss.came().await;
    house.stop().await;
    assert_eq!(house.on_pools().await, Vec::<String>::new());
    house.start(Arc::new(NoFaults)).await;
    house.settle().await;
    assert_eq!(house.image_status(&image).await, Some(ImageStatus::Active));
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// The stores that have the image, and those that an import failed for.
pub async fn stores_of(house: &House, id: &ImageId) -> (Vec<Option<String>>, String) {
    let row = house.images().await.into_iter().find(|row| row.id == *id).unwrap();
    let failed = row.properties.get("os_glance_failed_import").cloned().unwrap_or_default();
    (row.places().map(|place| place.store.clone()).collect(), failed)
}

/// It was brought there, and is to go from there, when the job that brought it begins once more.
async fn what_is_being_deleted_is_not_brought_again(store: StoreKind) {
    let death = Arc::new(DeathAt::new("import_image", Moment::After("store")));
    let mut house = House::with(store, DatabaseKind::Sqlite, importing(), death.clone()).await;
    let image = house.upload(pattern(300_000, 7)).await;
    house.settle().await;
    house.import_to(&image, copy_to_second()).await;
    death.comes().await;
    house.delete_from_store(&image, Some("second")).await;
    house.stop().await;
    let death = Arc::new(DeathAt::new("delete_from_store", Moment::Before("remove")));
    house.start(death.clone()).await;
    death.comes().await;
    // Else its last bytes could be removed from the other store.
    assert_eq!(stores_of(&house, &image).await, (vec![None], String::new()));
    house.stop().await;
    house.start(Arc::new(NoFaults)).await;
    house.settle().await;
    assert_eq!(stores_of(&house, &image).await, (vec![None], String::new()));
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// The copy was seen, and so the bytes may go from the other store, when the job that made it is cancelled.
async fn the_last_bytes_are_not_taken_back(store: StoreKind) {
    let death = Arc::new(DeathAt::new("import_image", Moment::After("store")));
    let mut house = House::with(store, DatabaseKind::Sqlite, importing(), death.clone()).await;
    let bytes = pattern(300_000, 9);
    let image = house.upload(bytes.clone()).await;
    house.settle().await;
    house.import_to(&image, copy_to_second()).await;
    death.comes().await;
    let job = house.last_job(&image).await.unwrap();
    house.delete_from_store(&image, None).await;
    assert!(cancel(&house.database, &job.id).await);
    house.stop().await;
    house.start(Arc::new(NoFaults)).await;
    house.settle().await;
    let second = Some("second".to_owned());
    assert_eq!(stores_of(&house, &image).await.0, std::slice::from_ref(&second));
    let kept = house.stores.images_in(second.as_deref()).unwrap();
    let kept = kept.open(image.as_str(), OpenMode::ReadOnly).await.unwrap();
    assert!(kept.read(0, bytes.len() as u64).await.unwrap() == bytes);
    kept.close().await.unwrap();
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// Nova clones what it sees, and no job of ours knows of that.
async fn a_copy_that_is_taken_back_stays_for_its_clones(store: StoreKind) {
    let death = Arc::new(DeathAt::new("import_image", Moment::After("store")));
    let mut house = House::with(store, DatabaseKind::Sqlite, importing(), death.clone()).await;
    let bytes = pattern(300_000, 12);
    let image = house.upload(bytes.clone()).await;
    house.settle().await;
    house.import_to(&image, copy_to_second()).await;
    death.comes().await;
    let job = house.last_job(&image).await.unwrap();
    let kept = house.stores.images_in(Some("second")).unwrap().clone();
    let parent = SnapshotPath {
        pool: kept.pool().to_owned(),
        image: image.to_string(),
        snapshot: names::IMAGE_SNAPSHOT.to_owned(),
    };
    kept.clone_snapshot(&parent, "nova_disk", None).await.unwrap();
    assert!(cancel(&house.database, &job.id).await);
    house.stop().await;
    house.start(Arc::new(NoFaults)).await;
    house.settle().await;
    assert_eq!(job_of(&house, &job.id).await.state, JobState::Cancelled);
    let disk = kept.open("nova_disk", OpenMode::ReadOnly).await.unwrap();
    assert!(disk.read(0, bytes.len() as u64).await.unwrap() == bytes);
    disk.close().await.unwrap();
    kept.remove("nova_disk", &pumice::block::Progress::new()).await.unwrap();
    house.sweep().await;
    house.assert_nothing_is_left().await;
    house.stop().await;
}

async fn job_of(house: &House, id: &JobId) -> Job {
    house.database.read().await.unwrap().job(id).await.unwrap().unwrap()
}

/// It was seen, and so a volume may be copied from it at this moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_copy_that_is_taken_back_waits_for_who_reads_it() {
    let death = Arc::new(DeathAt::new("import_image", Moment::After("store")));
    let mut house = House::with(StoreKind::Directory, DatabaseKind::Sqlite, importing(), death.clone()).await;
    let bytes = pattern(300_000, 33);
    let image = house.upload(bytes.clone()).await;
    house.settle().await;
    house.import_to(&image, copy_to_second()).await;
    death.comes().await;
    let job = house.last_job(&image).await.unwrap();
    house.stop().await;
    assert!(cancel(&house.database, &job.id).await);
    let source = VolumeSource::Image { image_id: image.clone(), signed_by: None };
    let volume = house.create_volume(source, 1).await;
    let hold = HoldBefore::new("create_volume", "clone");
    house.start(hold.clone()).await;
    hold.begins().await;
    let is_over = async {
        while !job_of(&house, &job.id).await.state.is_over() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), is_over).await.unwrap();
    assert_eq!(stores_of(&house, &image).await, (vec![None], "second".to_owned()));
    let goes = house.last_job(&image).await.unwrap();
    assert_eq!((goes.kind.as_str(), goes.state), ("delete_from_store", JobState::Queued));
    let second = house.stores.images_in(Some("second")).unwrap().clone();
    assert_eq!(second.list().await.unwrap(), [image.as_str()]);
    hold.let_go();
    house.settle().await;
    assert!(house.read(&volume, 0, bytes.len() as u64).await == bytes);
    assert_eq!(second.list().await.unwrap(), [names::volume(&volume)]);
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// It may take hours, and the image is whole where it was.
async fn volumes_are_made_while_an_image_is_copied(database: DatabaseKind) {
    let hold = HoldBefore::new("import_image", "store");
    let mut house = House::with(StoreKind::Directory, database, importing(), hold.clone()).await;
    let bytes = pattern(300_000, 34);
    let image = house.upload(bytes.clone()).await;
    let other = house.volume(VolumeSource::Empty, 1).await;
    house.import_to(&image, copy_to_second()).await;
    hold.begins().await;
    let source = VolumeSource::Image { image_id: image.clone(), signed_by: None };
    let volume = house.create_volume(source, 1).await;
    house.reimage(&other, &image).await;
    let are_made = async {
        for volume in [&volume, &other] {
            while house.volume_status(volume).await != Some(VolumeStatus::Available) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), are_made).await.unwrap();
    // The deletion waits, and ends it.
    assert!(house.delete_image(&image).await);
    assert_eq!(house.last_job(&image).await.unwrap().state, JobState::Queued);
    hold.let_go();
    house.settle().await;
    for volume in [&volume, &other] {
        assert!(house.read(volume, 0, bytes.len() as u64).await == bytes);
    }
    house.assert_nothing_is_left().await;
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn volumes_are_made_while_an_image_is_copied_with_sqlite() {
    volumes_are_made_while_an_image_is_copied(DatabaseKind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn volumes_are_made_while_an_image_is_copied_with_postgresql() {
    volumes_are_made_while_an_image_is_copied(DatabaseKind::Postgres).await;
}

/// A request for the same was refused meanwhile, and they count again; others may go now.
async fn bytes_that_count_are_not_removed(store: StoreKind) {
    let mut house = importing_house(store).await;
    let image = house.upload(pattern(300_000, 10)).await;
    house.import_to(&image, copy_to_second()).await;
    house.settle().await;
    let mut repository = house.database.begin().await.unwrap();
    let task = Task::DeleteFromStore { image_id: image.clone(), store: Some("second".to_owned()) };
    jobs::enqueue(&mut repository, &house.world, task, &Origin::default()).await.unwrap();
    repository.commit().await.unwrap();
    house.settle().await;
    assert_eq!(house.last_job(&image).await.unwrap().state, JobState::Failed);
    assert_eq!(stores_of(&house, &image).await.0.len(), 2);
    // Nothing was touched.
    let row = house.images().await.remove(0);
    assert!(row.places().all(|place| place.url.is_some()), "{:?}", row.locations);
    house.delete_from_store(&image, None).await;
    house.settle().await;
    assert_eq!(stores_of(&house, &image).await.0, [Some("second".to_owned())]);
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// It is seen to have the bytes before its job is over, and so the next import may be under way by then.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_ends_leaves_the_next_one_alone() {
    const IMPORTING_TO: &str = "os_glance_importing_to_stores";
    let death = Arc::new(DeathAt::new("import_image", Moment::After("store")));
    let mut house = House::with(StoreKind::Directory, DatabaseKind::Sqlite, importing(), death.clone()).await;
    let image = house.upload(pattern(300_000, 11)).await;
    house.settle().await;
    house.import_to(&image, copy_to_second()).await;
    death.comes().await;
    let mut repository = house.database.begin().await.unwrap();
    let mut row = repository.image_to_change(&image).await.unwrap().unwrap();
    row.properties.0.insert(IMPORTING_TO.to_owned(), "third".to_owned());
    repository.update_image(&row).await.unwrap();
    repository.commit().await.unwrap();
    house.stop().await;
    house.start(Arc::new(NoFaults)).await;
    house.settle().await;
    let row = house.images().await.remove(0);
    assert_eq!((row.places().count(), row.properties[IMPORTING_TO].as_str()), (2, "third"));
    house.assert_nothing_is_left().await;
    house.stop().await;
}

async fn an_image_is_in_several_stores(store: StoreKind) {
    let mut house = importing_house(store).await;
    let bytes = pattern(2_500_000, 7);
    let second = Some("second".to_owned());

    let image = house.stage(bytes.clone()).await;
    house.import_twice(&image, ImportSource::Staged, true).await;
    assert_has(&house, &image, &bytes).await;
    assert_eq!(stores_of(&house, &image).await, (vec![None, second.clone()], String::new()));
    house.delete_from_store(&image, None).await;
    assert_has(&house, &image, &bytes).await;
    assert_eq!(stores_of(&house, &image).await.0, std::slice::from_ref(&second));
    // A volume finds them where they are.
    let volume = house.volume(VolumeSource::Image { image_id: image.clone(), signed_by: None }, 1).await;
    assert!(house.read(&volume, 0, bytes.len() as u64).await == bytes);
    house.assert_nothing_is_left().await;

    // One of two is enough, if that is what was asked for.
    let pool = house.stores.images_in(second.as_deref()).unwrap().clone();
    for (all_must_succeed, status) in [(false, ImageStatus::Active), (true, ImageStatus::Queued)] {
        let image = house.stage(bytes.clone()).await;
        pool.create(image.as_str(), 4096, 1 << 20).await.unwrap();
        house.import_twice(&image, ImportSource::Staged, all_must_succeed).await;
        house.settle().await;
        assert_eq!(house.image_status(&image).await, Some(status));
        pool.remove(image.as_str(), &pumice::block::Progress::new()).await.unwrap();
        let (stores, failed) = stores_of(&house, &image).await;
        if all_must_succeed {
            assert_eq!((stores, failed.as_str()), (Vec::new(), "default,second"));
        } else {
            assert_eq!((stores, failed.as_str()), (vec![None], "second"));
            assert_has_but_told(&house, &image, &bytes).await;
        }
        assert!(house.delete_image(&image).await);
        house.settle().await;
    }
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// The process dies when all is brought that could be: the next one knows where it could not.
async fn stores_that_were_done_without_are_told_after_a_crash(store: StoreKind) {
    let death = Arc::new(DeathAt::new("import_image", Moment::After("store")));
    let mut house = House::with(store, DatabaseKind::Sqlite, importing(), death.clone()).await;
    let image = house.stage(pattern(300_000, 13)).await;
    let pool = house.stores.images_in(Some("second")).unwrap().clone();
    pool.create(image.as_str(), 4096, 1 << 20).await.unwrap();
    house.import_twice(&image, ImportSource::Staged, false).await;
    death.comes().await;
    house.stop().await;
    house.start(Arc::new(NoFaults)).await;
    house.settle().await;
    assert_eq!(house.image_status(&image).await, Some(ImageStatus::Active));
    assert_eq!(stores_of(&house, &image).await, (vec![None], "second".to_owned()));
    pool.remove(image.as_str(), &pumice::block::Progress::new()).await.unwrap();
    // It is told no more when they are there.
    house.import_to(&image, copy_to_second()).await;
    house.settle().await;
    let second = Some("second".to_owned());
    assert_eq!(stores_of(&house, &image).await, (vec![None, second], String::new()));
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// Where the first store is elsewhere, a volume is a clone of the image in the store beside it.
#[tokio::test(flavor = "multi_thread")]
async fn a_volume_is_cloned_from_the_store_beside_it() {
    let mut house = house(StoreKind::Apart).await;
    let bytes = pattern(2_500_000, 8);
    let image = house.upload(bytes.clone()).await;
    house.import_to(&image, copy_to_second()).await;
    house.settle().await;
    let volume = house.volume(VolumeSource::Image { image_id: image.clone(), signed_by: None }, 1).await;
    let store = &house.stores.volumes.first().store;
    let clone = store.open(&format!("volume-{volume}"), OpenMode::ReadOnly).await.unwrap();
    let parent = clone.parent().await.unwrap().unwrap();
    clone.close().await.unwrap();
    assert_eq!((parent.path.pool.as_str(), parent.path.image.as_str()), ("volumes", image.as_str()));
    assert!(house.read(&volume, 0, bytes.len() as u64).await == bytes);
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// As [`assert_has`], but for what the image tells of its import.
async fn assert_has_but_told(house: &House, id: &ImageId, bytes: &[u8]) {
    let image = house.stores.images.open(id.as_str(), OpenMode::ReadOnly).await.unwrap();
    assert!(image.read(0, bytes.len() as u64).await.unwrap() == bytes);
    image.close().await.unwrap();
}

/// Each place counts.
async fn a_projects_storage_is_not_exceeded(store: StoreKind) {
    let mut config = importing();
    config.images.user_storage_quota = serde_json::from_value("3MB".into()).unwrap();
    let mut house = House::with(store, DatabaseKind::Sqlite, config, Arc::new(NoFaults)).await;
    let bytes = pattern(1_000_000, 31);
    let first = house.stage(bytes.clone()).await;
    house.import(&first, ImportSource::Staged).await;
    assert_has(&house, &first, &bytes).await;
    house.import_to(&first, copy_to_second()).await;
    house.settle().await;
    let row = house.database.read().await.unwrap().image(&first).await.unwrap().unwrap();
    assert_eq!(row.places().count(), 2);

    let second = house.stage(pattern(1_200_000, 32)).await;
    house.import(&second, ImportSource::Staged).await;
    house.settle().await;
    let error = house.last_job(&second).await.unwrap().error.unwrap();
    assert_eq!(error, "The size of the data 1200000 will exceed the limit. 1145728 bytes remaining.");
    assert_eq!(house.image_status(&second).await, Some(ImageStatus::Queued));
    house.assert_nothing_is_left().await;
    house.stop().await;
}

on_every_store!(
    a_projects_storage_is_not_exceeded,
    an_image_is_in_several_stores,
    stores_that_were_done_without_are_told_after_a_crash,
    the_last_bytes_are_not_taken_back,
    a_copy_that_is_taken_back_stays_for_its_clones,
    bytes_that_count_are_not_removed,
    what_is_being_deleted_is_not_brought_again,
    bytes_come_from_everywhere,
    an_image_comes_from_another_region,
    a_signed_image_comes_from_another_region,
    what_another_region_cannot_give_is_told,
    what_users_said_meanwhile_stays,
    what_is_not_raw_is_made_raw,
    what_cannot_be_made_raw_stays_out,
    what_must_not_come_in_stays_out,
    bytes_of_others_stay,
    an_interrupted_stage_is_undone,
    a_deleted_image_is_not_waited_for,
);
