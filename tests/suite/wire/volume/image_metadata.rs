//! What the image said of itself, changed afterwards; and the encryption that no volume has.

use serde_json::{Value, json};

use super::{assert_refused, fault};
use crate::support::Site;

#[tokio::test]
async fn image_metadata_is_set_shown_and_unset() {
    let site = Site::new().await;
    let image = site.new_image(|_| {}).await;
    let id = site.available_volume(json!({"size": 1, "imageRef": image})).await;
    let path = format!("/v3/volumes/{id}/action");
    let act = async |body: Value| site.post(&path, body).await;
    let shown =
        async || act(json!({"os-show_image_metadata": null})).await.expect(200).json()["metadata"].clone();
    let before = shown().await;
    assert_eq!(before["hw_disk_bus"], "scsi");
    let long = "x".repeat(65_535);
    let set =
        act(json!({"os-set_image_metadata": {"metadata": {"hw_disk_bus": "virtio", "long": long}}})).await;
    let after = set.expect(200).json()["metadata"].clone();
    assert_eq!((&after["hw_disk_bus"], &after["long"]), (&json!("virtio"), &json!(long)));
    assert_eq!(shown().await, after);
    let volume = site.get(&format!("/v3/volumes/{id}")).await.json();
    assert_eq!(volume["volume"]["volume_image_metadata"], after);
    let unset = act(json!({"os-unset_image_metadata": {"key": "long"}})).await.expect(200);
    assert_eq!(unset.text(), "");
    assert_eq!(shown().await.get("long"), None);
    let missing = act(json!({"os-unset_image_metadata": {"key": "long"}})).await.expect(404);
    let message = format!("Glance metadata for volume/snapshot {id} cannot be found.");
    assert_eq!(missing.text(), fault("itemNotFound", 404, &message));
    for (body, refusal) in [
        (
            json!({"os-set_image_metadata": {"metadata": {"k": 1}}}),
            "Invalid input for field/attribute k. Value: 1. 1 is not of type 'string'",
        ),
        (
            json!({"os-set_image_metadata": {"metadata": {"ü": "v"}}}),
            "Invalid input for field/attribute metadata. Value: {'ü': 'v'}. 'ü' does not match any of the regexes: \
             '^[a-zA-Z0-9-_:. /]{1,255}$'",
        ),
        (
            json!({"os-set_image_metadata": {}}),
            "Invalid input for field/attribute os-set_image_metadata. Value: {}. 'metadata' is a required property",
        ),
        (
            json!({"os-unset_image_metadata": {"key": ""}}),
            "Invalid input for field/attribute key. Value: .  '' should be non-empty",
        ),
    ] {
        let answer = act(body).await;
        assert_refused(&answer, &refusal.replace(".  ''", ". ''"));
    }
    let too_long = act(json!({"os-set_image_metadata": {"metadata": {"k": "x".repeat(65_536)}}})).await;
    assert!(too_long.expect(400).text().contains("is not a 'mysql_text'"));
}

#[tokio::test]
async fn image_metadata_does_not_grow_without_end() {
    let site = Site::with(|config| config.limits.max_metadata_items = 3).await;
    let id = site.available_volume(json!({"size": 1})).await;
    let set = async |metadata: Value| {
        let body = json!({"os-set_image_metadata": {"metadata": metadata}});
        site.post(&format!("/v3/volumes/{id}/action"), body).await
    };
    set(json!({"a": "1", "b": "2", "c": "3"})).await.expect(200);
    set(json!({"a": "4"})).await.expect(200);
    set(json!({"d": "4"})).await.expect(413);
}

#[tokio::test]
async fn image_metadata_has_no_more_bytes_than_properties_of_an_image() {
    let site = Site::new().await;
    let id = site.available_volume(json!({"size": 1})).await;
    let set = async |key: &str, value: &str| {
        let body = json!({"os-set_image_metadata": {"metadata": {key: value}}});
        site.post(&format!("/v3/volumes/{id}/action"), body).await
    };
    let long = "x".repeat(65_535);
    for number in 10..25 {
        set(&number.to_string(), &long).await.expect(200);
    }
    let refused = set("25", &long).await.expect(413);
    let message =
        "MetadataLimitExceeded: Maximum size of all image metadata allowed (1048576 bytes) exceeded";
    assert!(refused.text().contains(message), "{}", refused.text());
    set("25", &long[..60_000]).await.expect(200);
}

#[tokio::test]
async fn a_volume_has_no_encryption() {
    let site = Site::new().await;
    let id = site.available_volume(json!({"size": 1})).await;
    let path = format!("/v3/volumes/{id}/encryption");
    assert_eq!(site.get(&path).await.expect(200).text(), r#"{"encryption_key_id":null}"#);
    for key in ["encryption_key_id", "cipher", "nonsense"] {
        let answer = site.get(&format!("{path}/{key}")).await.expect(404);
        assert_eq!(answer.text(), fault("itemNotFound", 404, "The resource could not be found."));
    }
    site.get("/v3/volumes/nonsense/encryption").await.expect(404);
    // A type may come to have one while nothing is of it.
    let made = site.post("/v3/types", json!({"volume_type": {"name": "secret"}})).await.expect(200).json();
    let of_type = made["volume_type"]["id"].as_str().unwrap();
    let encryption = json!({"encryption": {
        "provider": "luks", "control_location": "front-end", "cipher": "aes-xts-plain64", "key_size": 256,
    }});
    site.post(&format!("/v3/types/{of_type}/encryption"), encryption).await.expect(200);
    let mut row = site.volume_row(&id).await;
    row.id = pumice::model::VolumeId::from(site.app().world.ids.random());
    row.volume_type_id = pumice::model::VolumeTypeId::parse(of_type).unwrap();
    let mut repository = site.app().database.begin().await.unwrap();
    repository.add_volume(&row).await.unwrap();
    repository.commit().await.unwrap();
    let path = format!("/v3/volumes/{}/encryption", row.id);
    assert_eq!(
        site.get(&path).await.expect(200).text(),
        concat!(
            r#"{"encryption_key_id":null,"control_location":"front-end","cipher":"aes-xts-plain64","#,
            r#""key_size":256,"provider":"luks"}"#
        )
    );
    for (key, value) in [("cipher", "aes-xts-plain64"), ("key_size", "256"), ("provider", "luks")] {
        let answer = site.get(&format!("{path}/{key}")).await.expect(200);
        assert_eq!((answer.text(), answer.header("content-type")), (value, Some("text/html; charset=UTF-8")));
    }
}
