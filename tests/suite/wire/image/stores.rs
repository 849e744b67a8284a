//! Several stores.

use std::time::Duration;

use pumice::config::Seconds;
use pumice::db::{JobFilter, JobOutcome, Page};
use pumice::model::ImageStatus;
use serde_json::{Value, json};

use super::{Api, BYTES, JSON};
use crate::policy::stage::{self, ADMIN, OURS, Stage};

/// With a second store, and one that is only read from.
async fn start() -> Api {
    Api::with(&[
        ("PUMICE_IMAGES__DEFAULT_BACKEND", "first"),
        ("PUMICE_IMAGE_STORES__SECOND__DIRECTORY", "@/second"),
        ("PUMICE_IMAGE_STORES__SECOND__STORE_DESCRIPTION", "the other one"),
        ("PUMICE_IMAGE_STORES__SECOND__WEIGHT", "5"),
        ("PUMICE_IMAGE_STORES__WEB__STORE", "http"),
    ])
    .await
}

impl Api {
    async fn in_stores(&self, id: &str) -> Value {
        self.get(&format!("/v2/images/{id}")).await.is(200).json()["stores"].clone()
    }

    async fn copy(&self, id: &str, more: Value) -> super::Answer {
        let mut body = json!({"method": {"name": "copy-image"}});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.send("POST", &format!("/v2/images/{id}/import"), &[JSON], body.to_string()).await
    }

    async fn delete_in(&self, store: &str, id: &str) -> super::Answer {
        self.send("DELETE", &format!("/v2/stores/{store}/{id}"), &[JSON], "").await
    }

    async fn raw(&self) -> String {
        self.image(json!({"disk_format": "raw", "container_format": "bare"})).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stores_are_told_where_there_are_several() {
    let api = start().await;
    let stores = api.get("/v2/info/stores").await.is(200);
    let expected = json!({"stores": [
        {"id": "first", "default": "true"},
        {"id": "second", "description": "the other one"},
        {"id": "web", "read-only": "true"},
    ]});
    assert_eq!(stores.json(), expected);
    let detail = api.get("/v2/info/stores/detail").await.is(200).json();
    let second = &detail["stores"][1];
    assert_eq!((&second["type"], &second["weight"]), (&json!("file"), &json!(5)));
    assert_eq!(second["properties"]["chunk_size"], 8 << 20);
    assert_eq!(detail["stores"][2]["properties"], json!({}));
    let created = api.post(&json!({})).await.is(201);
    assert_eq!(created.header("openstack-image-store-ids"), Some("first,second,web"));
    let methods = "glance-direct,web-download,copy-image";
    assert_eq!(created.header("openstack-image-import-methods"), Some(methods));
    assert_eq!(created.json().get("stores"), None);
    let versions = api.get("/versions").await.json();
    let ids: Vec<&str> =
        versions["versions"].as_array().unwrap().iter().map(|v| v["id"].as_str().unwrap()).collect();
    let of_several = ["v2.15", "v2.13", "v2.12", "v2.11", "v2.10", "v2.9", "v2.8", "v2.17", "v2.7"];
    assert_eq!(ids[..9], of_several);

    let one = Api::start().await;
    let reason = "Multi backend is not supported at this site.";
    one.get("/v2/info/stores").await.fault(404, reason);
    one.get("/v2/info/stores/detail").await.fault(404, reason);
    let id = one.active(b"x").await;
    one.delete_in("default", &id).await.fault(404, "The resource could not be found.");
    assert_eq!(one.in_stores(&id).await, Value::Null);
    assert_eq!(one.post(&json!({})).await.is(201).header("openstack-image-store-ids"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_goes_where_it_is_told() {
    let api = start().await;
    let id = api.raw().await;
    let path = format!("/v2/images/{id}/file");
    for (store, reason) in
        [("nowhere", "Unknown scheme 'nowhere' found in URI"), ("web", "Unknown scheme 'web' found in URI")]
    {
        let headers = [BYTES, JSON, ("x-image-meta-store", store)];
        api.send("PUT", &path, &headers, "0123").await.fault(400, reason);
    }
    api.send("PUT", &path, &[BYTES, ("x-image-meta-store", "second")], "0123456789").await.is(204);
    assert_eq!(api.in_stores(&id).await, "second");
    assert_eq!(api.send("GET", &path, &[], "").await.is(200).text(), "0123456789");
    assert_eq!(api.app.stores.images.list().await.unwrap(), [""; 0]);
    api.settle().await;
    api.send("DELETE", &format!("/v2/images/{id}"), &[], "").await.is(204);
    let second = api.app.stores.images_in(Some("second")).unwrap();
    assert_eq!(second.list().await.unwrap(), [""; 0]);
    assert_eq!(api.in_stores(&api.active(b"x").await).await, "first");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_goes_where_it_is_told() {
    let api = start().await;
    let import = async |more: Value, headers: &[(&str, &str)]| {
        let id = api.raw().await;
        api.send("PUT", &format!("/v2/images/{id}/stage"), &[BYTES], "0123456789").await.is(204);
        let mut body = json!({"method": {"name": "glance-direct"}});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let headers = [&[JSON], headers].concat();
        let answer = api.send("POST", &format!("/v2/images/{id}/import"), &headers, body.to_string()).await;
        api.settle().await;
        (id, answer)
    };
    let second = [("x-image-meta-store", "second")];
    for (more, headers, stores) in [
        (json!({}), &[][..], "first"),
        (json!({}), &second[..], "second"),
        (json!({"stores": ["first"]}), &[], "first"),
        // The heavier one is named first.
        (json!({"stores": ["first", "second", "first"]}), &[], "second,first"),
        (json!({"all_stores": true, "all_stores_must_succeed": false}), &[], "second,first"),
    ] {
        let (id, answer) = import(more.clone(), headers).await;
        answer.is(202);
        let image = api.get(&format!("/v2/images/{id}")).await.json();
        assert_eq!((&image["status"], &image["stores"]), (&json!("active"), &json!(stores)), "{more}");
        assert_eq!(image["os_glance_importing_to_stores"], "");
    }
    for (more, headers, status, reason) in [
        (json!({"stores": ["nowhere"]}), &[][..], 409, "Unknown scheme 'nowhere' found in URI"),
        (json!({"stores": ["web"]}), &[], 409, "Unknown scheme 'web' found in URI"),
        (json!({"stores": "first"}), &[], 400, "'stores' must be a list of ids of stores"),
        (json!({"stores": []}), &[], 400, "'stores' must be a list of ids of stores"),
        (
            json!({"stores": ["first"]}),
            &second[..],
            400,
            "Stores parameter and x-image-meta-store header can't be both specified",
        ),
        (
            json!({"stores": ["first"], "all_stores": true}),
            &[],
            400,
            "All_stores parameter can't be used with x-image-meta-store header or stores parameter",
        ),
    ] {
        let (id, answer) = import(more, headers).await;
        answer.fault(status, reason);
        assert_eq!(api.get(&format!("/v2/images/{id}")).await.json()["status"], "uploading");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_come_and_go() {
    let api = start().await;
    let id = api.sealed(b"0123456789").await;
    api.copy(&id, json!({"stores": ["first"]})).await.fault(400, "Image is already present at store 'first'");
    let reason = "Only images with status active can be targeted for copying";
    api.copy(&api.raw().await, json!({"all_stores": true})).await.fault(409, reason);
    let only =
        "Cannot delete image data from the only store containing it. Consider deleting the image instead.";
    api.delete_in("first", &id).await.fault(403, only);

    api.copy(&id, json!({"all_stores": true, "all_stores_must_succeed": false})).await.is(202);
    api.settle().await;
    assert_eq!(api.in_stores(&id).await, "second,first");
    // Nothing is left to do.
    api.copy(&id, json!({"all_stores": true})).await.is(202);
    assert_eq!(api.in_stores(&id).await, "second,first");
    let file = async |query: &str| {
        let path = format!("/v2/images/{id}/file{query}");
        api.send("GET", &path, &[], "").await.is(200).text().to_owned()
    };
    assert_eq!(file("").await, "0123456789");
    assert_eq!(file("?prefer=nowhere,first").await, "0123456789");

    api.delete_in("nowhere", &id)
        .await
        .fault(409, "The selected store nowhere is not available on this node.");
    let nobody = "00000000-0000-4000-8000-000000000000";
    api.delete_in("first", nobody).await.fault(404, &format!("Failed to find image {nobody}"));
    api.delete_in("web", &id).await.fault(404, &format!("Image {id} is not stored in store web."));
    api.delete_in("first", &id).await.is(204);
    assert_eq!(api.in_stores(&id).await, "second");
    assert_eq!(file("").await, "0123456789");
    assert_eq!(api.app.stores.images.list().await.unwrap(), [""; 0]);
    api.send("DELETE", &format!("/v2/images/{id}"), &[], "").await.is(204);
    api.get(&format!("/v2/images/{id}")).await.is(404);
}

/// What lies in a store that does not answer any more is read from another one.
#[tokio::test(flavor = "multi_thread")]
async fn a_download_goes_on_to_the_next_store() {
    let api = start().await;
    let id = api.sealed(b"0123456789").await;
    api.copy(&id, json!({"stores": ["second"]})).await.is(202);
    api.settle().await;
    let second = api.app.stores.images_in(Some("second")).unwrap();
    second.trash_move(&id).await.unwrap();
    let file = api.send("GET", &format!("/v2/images/{id}/file"), &[], "").await.is(200);
    assert_eq!(file.text(), "0123456789");
}

/// As when the image is deleted meanwhile: the bytes are not removed by this.
#[tokio::test(flavor = "multi_thread")]
async fn a_removal_that_is_cancelled_is_not_done() {
    let stage = Stage::with(|config| config.api.request_timeout = Seconds(120)).await;
    let image = stage.image(OURS, "shared", ImageStatus::Active).await;
    stage.place(&image, &[None, Some("second")]).await;
    let path = format!("/v2/stores/second/{image}");
    let asked =
        stage.call(stage::Api::Image, ADMIN, "DELETE", &path).header("accept", "application/json").send();
    let cancel = async {
        let database = &stage.app().database;
        let filter = JobFilter { resource_id: Some(image.to_string()), ..JobFilter::default() };
        loop {
            let mut repository = database.begin().await.unwrap();
            let jobs = repository.jobs(&filter, &Page::default()).await.unwrap();
            if let Some(job) = jobs.first() {
                let now = stage.app().world.now();
                repository.finish_job(&job.id, &JobOutcome::Cancelled, None, now).await.unwrap();
                return repository.commit().await.unwrap();
            }
            drop(repository);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let (answer, ()) = tokio::join!(asked, cancel);
    let said = format!("The data for Image {image} was not deleted: the request was cancelled.");
    assert!(answer.expect(409).text().contains(&said));
}
