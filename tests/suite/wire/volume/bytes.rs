//! Volumes become images, images of all formats become volumes, and volumes get the bytes of other images.

use std::collections::BTreeSet;

use pumice::jobs::{Task, VolumeSource};
use pumice::model::{ImageId, ImageStatus, VolumeId, VolumeStatus};
use serde_json::{Value, json};
use sqlx::types::Json;

use super::{assert_refused, fault};
use crate::support::Site;

const UPLOAD: &str = "os-volume_upload_image";

async fn upload(site: &Site, id: &str, version: u16, body: Value) -> crate::support::Answer {
    let path = format!("/v3/volumes/{id}/action");
    site.volume("POST", &path).version(version).json(&json!({ UPLOAD: body })).send().await
}

#[tokio::test]
async fn a_volume_is_uploaded() {
    let site = Site::new().await;
    let id = site.available_volume(json!({"size": 2, "description": "d"})).await;
    let volume = site.volume_row(&id).await;
    let answer = upload(&site, &id, 0, json!({"image_name": "i"})).await.expect(202);
    let said = &answer.json()[UPLOAD];
    let image_id = ImageId::parse(said["image_id"].as_str().unwrap()).unwrap();
    let updated = volume.updated_at.unwrap().to_microseconds();
    let of = &said["volume_type"];
    let expected = format!(
        "{{\"{UPLOAD}\":{{\"id\":\"{id}\",\"updated_at\":\"{updated}\",\"status\":\"uploading\",\
         \"display_description\":\"d\",\"size\":2,\"volume_type\":{of},\"image_id\":\"{image_id}\",\
         \"container_format\":\"bare\",\"disk_format\":\"raw\",\"image_name\":\"i\",\"protected\":false,\
         \"visibility\":\"shared\"}}}}"
    );
    assert_eq!(answer.text(), expected);
    let keys: Vec<&String> = of.as_object().unwrap().keys().collect();
    let expected = [
        "id",
        "name",
        "description",
        "is_public",
        "extra_specs",
        "qos_specs_id",
        "created_at",
        "updated_at",
        "deleted_at",
        "deleted",
    ];
    assert_eq!(keys, expected);
    assert_eq!(site.volume_row(&id).await.status, VolumeStatus::Uploading);
    let shown = site.get(&format!("/v3/volumes/{id}")).await.json();
    assert_eq!(shown["volume"]["status"], "uploading");
    let image = site.app().database.read().await.unwrap().image(&image_id).await.unwrap().unwrap();
    assert_eq!((image.status, image.size), (ImageStatus::Saving, None));
    let task = Task::UploadVolume { volume_id: VolumeId::parse(&id).unwrap(), image_id };
    assert_eq!(site.tasks().await.pop(), Some((task, false)));
    // It is under way: neither once more, nor deleted.
    let again = upload(&site, &id, 71, json!({"image_name": "i"})).await;
    assert_refused(&again, &format!("Invalid volume: Volume {id} status must be available"));
    site.volume("DELETE", &format!("/v3/volumes/{id}")).send().await.expect(400);
}

#[tokio::test]
async fn an_uploaded_volume_keeps_what_its_image_had() {
    let site = Site::new().await;
    let from = site
        .new_image(|image| {
            for name in ["os_glance_x", "img_signature_key_type", "signature_verified"] {
                image.properties.0.insert(name.to_owned(), "1".to_owned());
            }
        })
        .await;
    let id = site.available_volume(json!({"size": 1, "imageRef": from.as_str()})).await;
    let body = json!({"image_name": "i", "visibility": "community", "protected": "true", "force": "no"});
    let said = upload(&site, &id, 1, body).await.expect(202).json()[UPLOAD].clone();
    assert_eq!((&said["visibility"], &said["protected"]), (&json!("community"), &json!(true)));
    let image = ImageId::parse(said["image_id"].as_str().unwrap()).unwrap();
    let image = site.app().database.read().await.unwrap().image(&image).await.unwrap().unwrap();
    assert_eq!(image.properties, Json([("hw_disk_bus".to_owned(), "scsi".to_owned())].into()));
    assert_eq!((image.min_disk, image.protected), (0, true));
}

#[tokio::test]
async fn an_upload_brings_no_property_that_its_user_may_not_give() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("protections.conf");
    let rules = "[^secret]\ncreate = !\nread = @\nupdate = !\ndelete = !\n\
        [.*]\ncreate = @\nread = @\nupdate = @\ndelete = @\n";
    std::fs::write(&file, rules).unwrap();
    let site = Site::with(|config| config.policy.property_protection_file = Some(file)).await;
    let from = site.new_image(|_| {}).await;
    let id = site.available_volume(json!({"size": 1, "imageRef": from.as_str()})).await;
    let path = format!("/v3/volumes/{id}/action");
    let own = ["owner", "status", "visibility", "locations", "created_at", "id", "location", "deleted"];
    let set = async |names: &[&str]| {
        let metadata: Value = names.iter().map(|name| (name.to_string(), json!("x"))).collect();
        site.post(&path, json!({"os-set_image_metadata": {"metadata": metadata}})).await.expect(200);
    };
    set(&["secret"]).await;
    assert_refused(&upload(&site, &id, 71, json!({"image_name": "i"})).await, "Not authorized.");
    site.post(&path, json!({"os-unset_image_metadata": {"key": "secret"}})).await.expect(200);
    set(&own).await;
    let said = upload(&site, &id, 71, json!({"image_name": "i"})).await.expect(202).json()[UPLOAD].clone();
    let image = ImageId::parse(said["image_id"].as_str().unwrap()).unwrap();
    let image = site.app().database.read().await.unwrap().image(&image).await.unwrap().unwrap();
    assert_eq!(image.properties, Json([("hw_disk_bus".to_owned(), "scsi".to_owned())].into()));
}

#[tokio::test]
async fn an_upload_brings_no_properties_that_no_image_may_have() {
    let site = Site::with(|config| config.images.image_property_quota = 2).await;
    let from = site.new_image(|_| {}).await;
    let id = site.available_volume(json!({"size": 1, "imageRef": from.as_str()})).await;
    let path = format!("/v3/volumes/{id}/action");
    let kernel = "5f2f2bd5-39ed-4a53-9e62-5b0e5d9c0f8b";
    for (set, refusal) in [
        (json!({"kernel_id": "x"}), "Provided object does not match schema 'image': 'x' does not match"),
        (json!({"kernel_id": kernel, "more": "x"}), "image properties. Attempted: 3, Maximum: 2"),
    ] {
        site.post(&path, json!({"os-set_image_metadata": {"metadata": set}})).await.expect(200);
        let refused = upload(&site, &id, 71, json!({"image_name": "i"})).await.expect(400);
        assert!(refused.text().contains(refusal), "{}", refused.text());
    }
    site.post(&path, json!({"os-unset_image_metadata": {"key": "more"}})).await.expect(200);
    upload(&site, &id, 71, json!({"image_name": "i"})).await.expect(202);
}

#[tokio::test]
async fn uploads_that_cannot_be_are_refused() {
    let site = Site::new().await;
    let id = site.available_volume(json!({"size": 1})).await;
    let field = |field: &str| format!("Invalid input for field/attribute {field}");
    for (version, body, message) in [
        (71, json!({}), field("os-volume_upload_image. Value: {}. 'image_name' is a required property")),
        (71, json!({"image_name": ""}), field("image_name. Value: . '' should be non-empty")),
        (
            71,
            json!({"image_name": "i", "disk_format": "iso"}),
            field(
                "disk_format. Value: iso. 'iso' is not one of ['raw', 'vmdk', 'vdi', 'qcow2', 'vhd', 'vhdx', \
                 'ploop']",
            ),
        ),
        (
            0,
            json!({"image_name": "i", "protected": true}),
            field(
                "os-volume_upload_image. Value: {'image_name': 'i', 'protected': True}. Additional properties are \
                 not allowed ('protected' was unexpected)",
            ),
        ),
        (
            71,
            json!({"image_name": "i", "container_format": "compressed"}),
            "Image compression upload disallowed, but container_format is compressed".to_owned(),
        ),
    ] {
        assert_refused(&upload(&site, &id, version, body).await, &message);
    }
    let converted =
        upload(&site, &id, 71, json!({"image_name": "i", "disk_format": "ploop"})).await.expect(501);
    let message = "The conversion of a volume to the disk format ploop is not implemented.";
    assert_eq!(converted.text(), fault("notImplemented", 501, message));
    let missing = "00000000-0000-0000-0000-00000000ffff";
    upload(&site, missing, 71, json!({"image_name": "i"})).await.expect(404);
    assert_eq!(site.volume_row(&id).await.status, VolumeStatus::Available);
    assert_eq!(site.tasks().await.len(), 1);
}

#[tokio::test]
async fn volumes_in_use_are_uploaded_where_the_operator_lets_them() {
    for (enabled, status, statuses) in [(false, 400, "available"), (true, 202, "available or in-use")] {
        let site = Site::with(|config| config.volumes.enable_force_upload = enabled).await;
        let id = site.available_volume(json!({"size": 1})).await;
        site.move_volume(&id, &[VolumeStatus::InUse]).await;
        upload(&site, &id, 71, json!({"image_name": "i"})).await.expect(400);
        let forced = upload(&site, &id, 71, json!({"image_name": "i", "force": true})).await;
        assert_eq!(forced.status, status);
        let again = upload(&site, &id, 71, json!({"image_name": "i", "force": true})).await;
        assert_refused(&again, &format!("Invalid volume: Volume {id} status must be {statuses}"));
    }
}

#[tokio::test]
async fn images_of_volumes_count() {
    let site = Site::with(|config| {
        config.quotas.image_count_total = 1;
        config.quotas.image_size_total = 1500;
    })
    .await;
    let small = site.available_volume(json!({"size": 1})).await;
    let large = site.available_volume(json!({"size": 2})).await;
    let refused = upload(&site, &large, 71, json!({"image_name": "i"})).await.expect(400);
    assert!(refused.text().contains("image_size_total is over limit of 1500"), "{}", refused.text());
    upload(&site, &small, 71, json!({"image_name": "i"})).await.expect(202);
    let refused = upload(&site, &large, 71, json!({"image_name": "i"})).await.expect(400);
    assert!(refused.text().contains("image_count_total is over limit of 1"), "{}", refused.text());
    assert_eq!(site.volume_row(&large).await.status, VolumeStatus::Available);
}

#[tokio::test]
async fn disks_of_other_formats_become_volumes() {
    let site = Site::new().await;
    for format in ["qcow2", "vmdk", "vhd", "vhdx", "vdi"] {
        let image = site.new_image(|image| image.disk_format = Some(format.to_owned())).await;
        let volume = site.new_volume(json!({"size": 1, "imageRef": image.as_str()})).await;
        let volume_id = VolumeId::parse(volume["id"].as_str().unwrap()).unwrap();
        let source = VolumeSource::Disk { image_id: image, signed_by: None };
        assert_eq!(site.tasks().await.pop(), Some((Task::CreateVolume { volume_id, source }, false)));
    }
    // Its bytes are those of the disk.
    let iso = site.new_image(|image| image.disk_format = Some("iso".to_owned())).await;
    let volume = site.new_volume(json!({"size": 1, "imageRef": iso.as_str()})).await;
    let volume_id = VolumeId::parse(volume["id"].as_str().unwrap()).unwrap();
    let source = VolumeSource::Image { image_id: iso, signed_by: None };
    assert_eq!(site.tasks().await.pop(), Some((Task::CreateVolume { volume_id, source }, false)));
    let large = site.new_image(|image| {
        image.disk_format = Some("qcow2".to_owned());
        image.virtual_size = Some((1 << 30) + 1);
    });
    let large = large.await;
    let refused = site.post("/v3/volumes", json!({"volume": {"size": 1, "imageRef": large.as_str()}})).await;
    let message = "Image virtual size is 2GB and doesn't fit in a volume of size 1GB.";
    assert_refused(&refused, &format!("Image {large} is unacceptable: {message}"));
}

/// Nova makes such an image of a server that booted from a volume: it has no bytes, and names the snapshot that has.
#[tokio::test]
async fn an_image_of_a_server_is_its_snapshot() {
    let site = Site::new().await;
    let volume = site.available_volume(json!({"size": 2})).await;
    let snapshot = site.available_snapshot(&volume).await;
    let image_of = async |snapshot: &str| {
        let devices = json!([
            {"source_type": "blank", "boot_index": 1},
            {"source_type": "snapshot", "boot_index": 0, "snapshot_id": snapshot},
        ]);
        let made = site.new_image(|image| {
            image.size = Some(0);
            image.properties.0.insert("block_device_mapping".to_owned(), devices.to_string());
        });
        made.await.to_string()
    };
    let image = image_of(&snapshot).await;
    let volume = site.new_volume(json!({"imageRef": image})).await;
    assert_eq!((&volume["snapshot_id"], &volume["size"]), (&json!(snapshot), &json!(2)));
    // Before 3.46 it is an image like others.
    for (version, source) in [(45, json!(null)), (46, json!(snapshot))] {
        let body = json!({"volume": {"size": 2, "imageRef": image}});
        let made = site.volume("POST", "/v3/volumes").version(version).json(&body).send().await.expect(202);
        assert_eq!(made.json()["volume"]["snapshot_id"], source, "3.{version}");
    }
    let id = site.available_volume(json!({"size": 2})).await;
    let path = format!("/v3/volumes/{id}/action");
    site.post(&path, json!({"os-reimage": {"image_id": image}})).await.expect(501);

    let gone = "5f2f2bd5-39ed-4a53-9e62-5b0e5d9c0f8b";
    let image = image_of(gone).await;
    let refused =
        site.post("/v3/volumes", json!({"volume": {"size": 2, "imageRef": image}})).await.expect(404);
    let message = format!("Nova specific image is found, but boot volume snapshot id:{gone} not found.");
    assert_eq!(refused.text(), fault("itemNotFound", 404, &message));
}

#[tokio::test]
async fn a_volume_is_reimaged() {
    let site = Site::new().await;
    let id = site.available_volume(json!({"size": 1})).await;
    let path = format!("/v3/volumes/{id}/action");
    let image = site.new_image(|_| {}).await;
    let reimage = async |body: Value| site.post(&path, json!({"os-reimage": body})).await;
    let early =
        site.volume("POST", &path).version(67).json(&json!({"os-reimage": {"image_id": image.as_str()}}));
    early.send().await.expect(404);
    assert_refused(
        &reimage(json!({})).await,
        "Invalid input for field/attribute os-reimage. Value: {}. 'image_id' is a required property",
    );
    let missing = "00000000-0000-0000-0000-00000000ffff";
    let answer = reimage(json!({"image_id": missing})).await.expect(404);
    assert_eq!(answer.text(), fault("itemNotFound", 404, &format!("Image {missing} could not be found.")));
    let large = site.new_image(|image| image.size = Some((1 << 30) + 1)).await;
    assert_refused(
        &reimage(json!({"image_id": large.as_str()})).await,
        "Invalid input received: Size of specified image 2GB is larger than volume size 1GB.",
    );
    assert_eq!(site.volume_row(&id).await.status, VolumeStatus::Available);

    let accepted = reimage(json!({"image_id": image.as_str(), "reimage_reserved": false})).await.expect(202);
    assert_eq!(accepted.text(), "");
    assert_eq!(site.volume_row(&id).await.status, VolumeStatus::Downloading);
    let (volume_id, image_id) = (VolumeId::parse(&id).unwrap(), image.clone());
    let readable = Some(BTreeSet::from(["hw_disk_bus".to_owned()]));
    let task = Task::Reimage { volume_id, image_id, signed_by: None, readable };
    assert_eq!(site.tasks().await.pop(), Some((task, false)));
    for (reserved, statuses) in [(false, "available or error"), (true, "available or error or reserved")] {
        let again = reimage(json!({"image_id": image.as_str(), "reimage_reserved": reserved})).await;
        let message = format!("status must be {statuses}, but current status is downloading.");
        assert_refused(&again, &format!("Invalid volume: Volume {id} {message}"));
    }
    site.move_volume(&id, &[VolumeStatus::Error]).await;
    reimage(json!({"image_id": image.as_str()})).await.expect(202);

    // Kept for somebody: only who says so overwrites it.
    site.move_volume(&id, &[VolumeStatus::Reserved]).await;
    let message = "status must be available or error, but current status is reserved.";
    let refused = reimage(json!({"image_id": image.as_str()})).await;
    assert_refused(&refused, &format!("Invalid volume: Volume {id} {message}"));
    reimage(json!({"image_id": image.as_str(), "reimage_reserved": true})).await.expect(202);
}
