//! Requests at the same moment, on both databases: nothing is lost, and of two that exclude each other one wins.

use futures::future::join_all;
use pumice::config::DatabaseUrl;
use pumice::model::VolumeStatus;
use serde_json::{Value, json};

use crate::house::DatabaseKind;
use crate::house::database::Keep;
use crate::support::{Answer, Site};

const AT_ONCE: usize = 12;

macro_rules! on_both {
    ($($case:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                let (site, _keep) = super::site(super::DatabaseKind::Sqlite).await;
                super::$case(&site).await;
            })*
        }
        mod postgresql {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                let (site, _keep) = super::site(super::DatabaseKind::Postgres).await;
                super::$case(&site).await;
            })*
        }
    };
}

on_both!(
    metadata_written_at_once_is_all_there,
    a_snapshot_and_the_end_of_its_volume,
    a_clone_and_the_end_of_its_source,
    only_one_deletes,
    only_one_reserves,
    only_one_attaches,
    a_volume_is_attached_or_goes,
    an_image_changed_at_once_keeps_all_tags,
);

async fn site(kind: DatabaseKind) -> (Site, Keep) {
    let (url, keep) = kind.url().await;
    (Site::with(|config| config.database.url = DatabaseUrl::parse(&url).unwrap()).await, keep)
}

async fn post(site: &Site, path: &str, body: Value) -> Answer {
    site.request("POST", &format!("/volume/v3/{path}")).json(&body).send().await
}

async fn available_volume(site: &Site) -> String {
    let made = post(site, "volumes", json!({"volume": {"size": 1}})).await.expect(202).json();
    let id = made["volume"]["id"].as_str().unwrap().to_owned();
    site.move_volume(&id, &[VolumeStatus::Available]).await;
    id
}

async fn metadata_written_at_once_is_all_there(site: &Site) {
    let id = available_volume(site).await;
    let path = format!("volumes/{id}/metadata");
    let writes = (0..AT_ONCE).map(|n| post(site, &path, json!({"metadata": {format!("key{n}"): "x"}})));
    for answer in join_all(writes).await {
        answer.expect(200);
    }
    let shown = site.request("GET", &format!("/volume/v3/{path}")).send().await.expect(200).json();
    assert_eq!(shown["metadata"].as_object().unwrap().len(), AT_ONCE, "{shown}");
}

/// Either the volume goes and has no snapshot, or it has snapshots and stays.
async fn a_snapshot_and_the_end_of_its_volume(site: &Site) {
    for _ in 0..AT_ONCE {
        let id = available_volume(site).await;
        let delete = site.request("DELETE", &format!("/volume/v3/volumes/{id}")).send();
        let snapshot = post(site, "snapshots", json!({"snapshot": {"volume_id": id}}));
        let (deleted, taken) = tokio::join!(delete, snapshot);
        let outcome = (deleted.status.as_u16(), taken.status.as_u16());
        assert!(matches!(outcome, (202, 400) | (400, 202)), "{outcome:?}: {}", taken.text());
    }
}

/// A source that is on its way out is not cloned.
async fn a_clone_and_the_end_of_its_source(site: &Site) {
    for _ in 0..AT_ONCE {
        let id = available_volume(site).await;
        let delete = site.request("DELETE", &format!("/volume/v3/volumes/{id}")).send();
        let clone = post(site, "volumes", json!({"volume": {"size": 1, "source_volid": id}}));
        let (deleted, cloned) = tokio::join!(delete, clone);
        deleted.expect(202);
        assert!(matches!(cloned.status.as_u16(), 202 | 400), "{}", cloned.text());
    }
}

async fn only_one_deletes(site: &Site) {
    let id = available_volume(site).await;
    let path = format!("/volume/v3/volumes/{id}");
    let deletes = (0..AT_ONCE).map(|_| site.request("DELETE", &path).send());
    let statuses: Vec<u16> = join_all(deletes).await.iter().map(|answer| answer.status.as_u16()).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 202).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| matches!(status, 202 | 400)), "{statuses:?}");
}

async fn only_one_reserves(site: &Site) {
    let id = available_volume(site).await;
    let path = format!("volumes/{id}/action");
    let reservations = (0..AT_ONCE).map(|_| post(site, &path, json!({"os-reserve": null})));
    let answers = join_all(reservations).await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status.as_u16() == 202);
    assert_eq!(won.len(), 1);
    let message = "Invalid volume: Volume status must be available to reserve, but the status is attaching.";
    for answer in lost {
        assert_eq!((answer.status.as_u16(), &answer.json()["badRequest"]["message"]), (400, &json!(message)));
    }
}

/// Of servers that want one volume, one gets it, and there is one attachment.
async fn only_one_attaches(site: &Site) {
    let id = available_volume(site).await;
    let attachments = (0..AT_ONCE).map(|n| {
        let server = uuid::Uuid::from_u128(n as u128 + 1);
        let body = json!({"attachment": {"volume_uuid": id, "instance_uuid": server}});
        site.request("POST", "/volume/v3/attachments").version(71).json(&body).send()
    });
    let answers = join_all(attachments).await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status.as_u16() == 200);
    assert_eq!(won.len(), 1);
    let message = format!(
        "Invalid volume: Volume {id} status must be available or downloading to reserve, but the current status is \
         reserved."
    );
    for answer in lost {
        assert_eq!((answer.status.as_u16(), &answer.json()["badRequest"]["message"]), (400, &json!(message)));
    }
    let list = site.request("GET", "/volume/v3/attachments").version(71).send().await.expect(200).json();
    assert_eq!(list["attachments"].as_array().unwrap().len(), 1, "{list}");
}

/// Either it is reserved and stays, or it goes and has no attachment.
async fn a_volume_is_attached_or_goes(site: &Site) {
    for _ in 0..AT_ONCE {
        let id = available_volume(site).await;
        let body = json!({"attachment": {"volume_uuid": id}});
        let attach = site.request("POST", "/volume/v3/attachments").version(71).json(&body).send();
        let delete = site.request("DELETE", &format!("/volume/v3/volumes/{id}")).send();
        let (attached, deleted) = tokio::join!(attach, delete);
        let outcome = (attached.status.as_u16(), deleted.status.as_u16());
        assert!(matches!(outcome, (200, 400) | (400, 202)), "{outcome:?}: {}", attached.text());
    }
}

async fn an_image_changed_at_once_keeps_all_tags(site: &Site) {
    let image = json!({"name": "x", "disk_format": "raw", "container_format": "bare"});
    let made = site.request("POST", "/image/v2/images").json(&image).send().await.expect(201).json();
    let id = made["id"].as_str().unwrap();
    let paths: Vec<_> = (0..AT_ONCE).map(|n| format!("/image/v2/images/{id}/tags/tag{n}")).collect();
    for answer in join_all(paths.iter().map(|path| site.request("PUT", path).send())).await {
        answer.expect(204);
    }
    let shown = site.request("GET", &format!("/image/v2/images/{id}")).send().await.expect(200).json();
    assert_eq!(shown["tags"].as_array().unwrap().len(), AT_ONCE, "{shown}");
}
