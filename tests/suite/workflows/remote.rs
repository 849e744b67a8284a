//! Images whose bytes lie on a web server alone: they become volumes and are copied to stores, whole and as they were
//! when the image was made, or not at all.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use openssl::hash::MessageDigest;
use pumice::block::OpenMode;
use pumice::config::Config;
use pumice::db::Image;
use pumice::jobs::{Import, NoFaults, VolumeSource};
use pumice::model::{ImageId, ImageStatus, VolumeId, VolumeStatus};
use pumice::signature::{Certificates, Signature};
use pumice::workflows::names;
use tokio::net::TcpListener;

use super::imports::{copy_to_second, serve};
use super::{disk_image, on_every_store, pattern};
use crate::house::{DatabaseKind, House, StoreKind};
use crate::support::signer::{self, ID, certify};

const LENGTH: usize = 5_000_192;

impl House {
    /// An image with these bytes, none of which are in a store.
    pub async fn on_the_web(&self, bytes: Vec<u8>, format: &str) -> ImageId {
        self.at(serve(bytes).await, format).await
    }

    async fn at(&self, url: String, format: &str) -> ImageId {
        let image = self.queued_disk(format).await;
        self.add_location(&image, url).await;
        self.settle().await;
        assert_eq!(self.image_status(&image).await, Some(ImageStatus::Active));
        image
    }

    async fn assert_refuses(&self, volume: &VolumeId, words: &str) {
        self.settle().await;
        let job = self.last_job(volume).await.unwrap();
        assert_eq!(self.volume_status(volume).await, Some(VolumeStatus::Error), "{job:?}");
        let error = job.error.unwrap();
        assert!(error.contains(words), "{error}");
        assert!(self.on_pools().await.iter().all(|name| !name.contains("fetched")));
    }
}

async fn web_house(store: StoreKind, change: impl FnOnce(&mut Config)) -> House {
    let mut config = Config::default();
    config.import_filtering_opts.allowed_hosts = vec!["127.0.0.1".to_owned()];
    config.import_filtering_opts.allowed_ports.clear();
    change(&mut config);
    House::with(store, DatabaseKind::Sqlite, config, Arc::new(NoFaults)).await
}

/// A web server whose bytes change.
async fn fickle(bytes: Vec<u8>) -> (Arc<Mutex<Bytes>>, String) {
    let held = Arc::new(Mutex::new(Bytes::from(bytes)));
    let served = held.clone();
    let routes = Router::new().route("/disk.img", get(async move || served.lock().unwrap().clone()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (held, format!("http://{address}/disk.img"))
}

async fn assert_holds(house: &House, volume: &VolumeId, bytes: &[u8]) {
    let name = names::volume(volume);
    let image = house.stores.volumes.first().store.open(&name, OpenMode::ReadOnly).await.unwrap();
    assert_eq!(image.size().await.unwrap(), 1 << 30);
    assert!(image.parent().await.unwrap().is_none());
    image.close().await.unwrap();
    assert!(house.read(volume, 0, bytes.len() as u64).await == bytes, "{volume}");
    let rest = house.read(volume, bytes.len() as u64, 1 << 20).await;
    assert!(rest.iter().all(|byte| *byte == 0), "{volume}");
    assert!(house.on_pools().await.iter().all(|name| !name.contains("fetched")));
}

async fn they_become_volumes(store: StoreKind) {
    let mut house = web_house(store, |_| {}).await;
    let bytes = pattern(LENGTH, 1);
    let raw = house.on_the_web(bytes.clone(), "raw").await;
    let packed = house.on_the_web(disk_image(&bytes, "qcow2", &["-c"]), "qcow2").await;
    let volume = house.volume(VolumeSource::Image { image_id: raw.clone(), signed_by: None }, 1).await;
    assert_holds(&house, &volume, &bytes).await;
    let volume = house.volume(VolumeSource::Disk { image_id: packed.clone(), signed_by: None }, 1).await;
    assert_holds(&house, &volume, &bytes).await;
    for image in [raw, packed] {
        let volume = house.volume(VolumeSource::Empty, 1).await;
        house.write(&volume, 4096, &pattern(LENGTH, 2)).await;
        house.reimage(&volume, &image).await;
        house.settle().await;
        assert_eq!(house.volume_status(&volume).await, Some(VolumeStatus::Available));
        assert!(house.read(&volume, 0, bytes.len() as u64).await == bytes, "{volume}");
    }
    house.assert_nothing_is_left().await;
    house.stop().await;
}

async fn they_are_cached(store: StoreKind) {
    let mut house = web_house(store, |config| config.volumes.image_volume_cache_enabled = true).await;
    let bytes = pattern(LENGTH, 3);
    let (held, url) = fickle(disk_image(&bytes, "qcow2", &[])).await;
    let source = VolumeSource::Disk { image_id: house.at(url, "qcow2").await, signed_by: None };
    house.volume(source.clone(), 1).await;
    // The second one needs nobody any more.
    *held.lock().unwrap() = Bytes::new();
    let second = house.volume(source, 1).await;
    assert!(house.read(&second, 0, bytes.len() as u64).await == bytes);
    house.assert_nothing_is_left().await;
    house.stop().await;
}

async fn bytes_that_changed_become_nothing(store: StoreKind) {
    let mut house = web_house(store, |_| {}).await;
    let bytes = pattern(LENGTH, 4);
    for others in [pattern(LENGTH, 5), pattern(LENGTH - 512, 4), pattern(LENGTH + 512, 4)] {
        for format in ["raw", "qcow2"] {
            let of = |bytes: &[u8]| match format {
                "raw" => bytes.to_vec(),
                _ => disk_image(bytes, format, &[]),
            };
            let (held, url) = fickle(of(&bytes)).await;
            let image = house.at(url, format).await;
            *held.lock().unwrap() = of(&others).into();
            let source = match format {
                "raw" => VolumeSource::Image { image_id: image.clone(), signed_by: None },
                _ => VolumeSource::Disk { image_id: image.clone(), signed_by: None },
            };
            let volume = house.create_volume(source, 1).await;
            house.assert_refuses(&volume, "other bytes").await;

            house.import_to(&image, copy_to_second()).await;
            house.settle().await;
            let row = house.database.read().await.unwrap().image(&image).await.unwrap().unwrap();
            assert_eq!((row.status, row.locations.len()), (ImageStatus::Active, 1), "{:?}", row.locations);
            assert_eq!(row.properties["os_glance_failed_import"], "second");
        }
    }
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// Nobody has looked into them before.
async fn what_they_are_is_judged_first(store: StoreKind) {
    let mut house = web_house(store, |_| {}).await;
    // It says that it has a backing file.
    let mut unsafe_one = disk_image(&pattern(LENGTH, 6), "qcow2", &[]);
    (unsafe_one[14], unsafe_one[19]) = (1, 4);
    let raw = house.on_the_web(unsafe_one, "raw").await;
    let volume = house.create_volume(VolumeSource::Image { image_id: raw, signed_by: None }, 1).await;
    house.assert_refuses(&volume, "safety checks").await;
    let qcow2 = house.on_the_web(pattern(LENGTH, 7), "qcow2").await;
    let volume = house.create_volume(VolumeSource::Disk { image_id: qcow2, signed_by: None }, 1).await;
    house.assert_refuses(&volume, "does not match").await;
    house.assert_nothing_is_left().await;
    house.stop().await;
}

async fn they_are_copied_to_a_store(store: StoreKind) {
    let mut house = web_house(store, |_| {}).await;
    let bytes = pattern(LENGTH, 8);
    let (held, url) = fickle(bytes.clone()).await;
    let image = house.at(url, "raw").await;
    house.import_to(&image, copy_to_second()).await;
    house.settle().await;
    *held.lock().unwrap() = Bytes::new();
    let row = house.database.read().await.unwrap().image(&image).await.unwrap().unwrap();
    assert_eq!(row.places().count(), 2, "{:?}", house.last_job(&image).await);
    assert_eq!(row.properties["os_glance_failed_import"], "");
    // A volume takes them from there now.
    let volume = house.volume(VolumeSource::Image { image_id: image.clone(), signed_by: None }, 1).await;
    assert!(house.read(&volume, 0, bytes.len() as u64).await == bytes);
    house.assert_nothing_is_left().await;
    house.stop().await;
}

/// A web server that does not say how many bytes it has.
async fn reticent(bytes: Vec<u8>) -> String {
    let pieces = move || {
        let pieces: Vec<_> =
            bytes.chunks(1 << 20).map(Bytes::copy_from_slice).map(Ok::<_, std::io::Error>).collect();
        axum::body::Body::from_stream(futures::stream::iter(pieces))
    };
    let routes = Router::new().route("/disk.img", get(async move || pieces()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await });
    format!("http://{address}/disk.img")
}

async fn row(house: &House, image: &ImageId) -> Image {
    house.database.read().await.unwrap().image(image).await.unwrap().unwrap()
}

async fn a_copy_brings_to_light_what_they_are(store: StoreKind) {
    let mut house = web_house(store, |config| config.images.do_secure_hash = false).await;
    let bytes = pattern(LENGTH, 11);
    let packed = disk_image(&bytes, "qcow2", &[]);
    for (bytes, format, virtual_size) in [(bytes, "raw", LENGTH), (packed, "qcow2", LENGTH)] {
        let image = house.at(reticent(bytes.clone()).await, format).await;
        let before = row(&house, &image).await;
        assert_eq!((before.size, before.virtual_size, &before.checksum), (None, None, &None));
        house.import_to(&image, copy_to_second()).await;
        house.settle().await;
        let row = row(&house, &image).await;
        assert_eq!(row.places().count(), 2, "{:?}", house.last_job(&image).await);
        assert_eq!((row.size, row.virtual_size), (Some(bytes.len() as i64), Some(virtual_size as i64)));
        let hex = |method: MessageDigest| {
            let digest = openssl::hash::hash(method, &bytes).unwrap();
            digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
        };
        assert_eq!(row.checksum, Some(hex(MessageDigest::md5())));
        assert_eq!(row.os_hash_algo.as_deref(), Some("sha512"));
        assert_eq!(row.os_hash_value, Some(hex(MessageDigest::sha512())));
    }
    house.assert_nothing_is_left().await;
    house.stop().await;
}

async fn a_copy_of_nobody_knows_how_many_is_held_against_the_quota(store: StoreKind) {
    let mut house = web_house(store, |config| {
        config.images.do_secure_hash = false;
        config.images.user_storage_quota = serde_json::from_value("6MB".into()).unwrap();
    })
    .await;
    let image = house.at(reticent(pattern(LENGTH, 12)).await, "raw").await;
    house.import_to(&image, copy_to_second()).await;
    house.settle().await;
    let error = house.last_job(&image).await.unwrap().error.unwrap();
    // It would count where it is and where it goes.
    assert_eq!(error, format!("The image has more than the {} bytes there is room for.", 3 << 20));
    let row = row(&house, &image).await;
    assert_eq!((row.status, row.places().count(), row.size), (ImageStatus::Active, 1, None));
    house.assert_nothing_is_left().await;
    house.stop().await;
}

async fn a_signed_one_is_held_against_its_signature(store: StoreKind) {
    let folder = tempfile::tempdir().unwrap();
    certify(folder.path(), "RSA-PSS");
    let certificates = Certificates::new(Some(folder.path().to_owned()), None);
    let own = folder.path().to_owned();
    let mut house = web_house(store, |config| config.images.certificates_directory = Some(own)).await;
    let bytes = pattern(LENGTH, 9);
    let packed = disk_image(&bytes, "qcow2", &[]);
    let others = pattern(LENGTH, 10);
    for (content, format, signed) in [
        (&bytes, "raw", &bytes),
        (&packed, "qcow2", &packed),
        (&bytes, "raw", &others),
        (&packed, "qcow2", &others),
    ] {
        let image = house.on_the_web(content.clone(), format).await;
        let mut signed_row = row(&house, &image).await;
        let properties = signer::properties(folder.path(), signed);
        signed_row.properties.0.extend(properties.clone());
        let mut repository = house.database.begin().await.unwrap();
        repository.update_image(&signed_row).await.unwrap();
        repository.commit().await.unwrap();
        let source = match format {
            "raw" => VolumeSource::Image { image_id: image.clone(), signed_by: None },
            _ => VolumeSource::Disk { image_id: image.clone(), signed_by: None },
        };
        let signature = Signature::of(&properties).unwrap().unwrap();
        let key = signature.by(&certificates.find(ID, None).await.unwrap()).unwrap().key().unwrap();
        let copy = Import { signed_by: Some(key), ..copy_to_second() };
        if content == signed {
            let volume = house.volume(source, 1).await;
            assert!(house.read(&volume, 0, bytes.len() as u64).await == bytes, "{format}");
        } else {
            let refusal = "Signature verification failed.";
            let volume = house.create_volume(source, 1).await;
            house.assert_refuses(&volume, refusal).await;
            let volume = house.volume(VolumeSource::Empty, 1).await;
            house.reimage(&volume, &image).await;
            house.assert_refuses(&volume, refusal).await;
        }
        house.import_to(&image, copy).await;
        house.settle().await;
        let places = if content == signed { 2 } else { 1 };
        assert_eq!(row(&house, &image).await.places().count(), places, "{format}");
    }
    // Nobody knows whose it is.
    std::fs::remove_file(folder.path().join(format!("{ID}.pem"))).unwrap();
    let image = house.on_the_web(bytes.clone(), "raw").await;
    let mut signed_row = row(&house, &image).await;
    signed_row.properties.0.extend(signer::properties(folder.path(), &bytes));
    let mut repository = house.database.begin().await.unwrap();
    repository.update_image(&signed_row).await.unwrap();
    repository.commit().await.unwrap();
    let volume = house.create_volume(VolumeSource::Image { image_id: image, signed_by: None }, 1).await;
    house.assert_refuses(&volume, "Certificate not found").await;
    house.assert_nothing_is_left().await;
    house.stop().await;
}

on_every_store!(
    a_copy_brings_to_light_what_they_are,
    a_copy_of_nobody_knows_how_many_is_held_against_the_quota,
    a_signed_one_is_held_against_its_signature,
    they_become_volumes,
    they_are_cached,
    bytes_that_changed_become_nothing,
    what_they_are_is_judged_first,
    they_are_copied_to_a_store,
);
