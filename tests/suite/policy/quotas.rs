//! How much a project may have, on both databases.

use std::sync::Arc;

use futures::future::join_all;
use pumice::config::{Config, DatabaseUrl};
use pumice::jobs::{ImportSource, NoFaults, Origin, VolumeSource};
use pumice::model::{ImageId, ImageStatus, VolumeStatus};
use pumice::workflows::{Arrival, upload_image};
use serde_json::{Value, json};

use super::stage::{ADMIN, Api, MEMBER, NOBODY, OTHER, OURS, Player, READER, Stage, THEIRS};
use crate::house::database::Keep;
use crate::house::{DatabaseKind, House, StoreKind};
use crate::support::Answer;
use crate::workflows::imports::serve;

const AT_ONCE: usize = 16;

const ADMIN_OF_OURS: Player =
    Player { name: "our admin", roles: &["admin", "member", "reader"], project: OURS };

macro_rules! on_both {
    ($($case:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                super::$case(super::DatabaseKind::Sqlite).await;
            })*
        }
        mod postgresql {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                super::$case(super::DatabaseKind::Postgres).await;
            })*
        }
    };
}

on_both!(
    volumes_at_once_stop_at_the_limit,
    snapshots_at_once_stop_at_the_limit,
    extensions_at_once_stop_at_the_limit,
    images_at_once_stop_at_the_limit,
    uploads_at_once_stop_at_the_limit,
    stored_bytes_stop_at_the_limit,
    every_door_to_the_storage_has_the_limit,
    imports_at_once_stop_at_the_limit,
    locations_of_a_patch_stop_at_the_limit,
    an_image_of_a_volume_stops_at_the_limit,
    what_is_gone_makes_room,
    a_type_has_limits_of_its_own,
    snapshots_need_not_count_as_gigabytes,
    limits_are_set_shown_and_taken_back,
    a_class_stands_for_all_projects_without_limits,
    limits_with_what_is_used,
    limits_that_are_none_are_refused,
    image_sizes_add_up,
);

async fn stage(kind: DatabaseKind, change: impl FnOnce(&mut Config)) -> (Stage, Keep) {
    let (url, keep) = kind.migrated_url().await;
    let stage = Stage::with(|config| {
        config.database.url = DatabaseUrl::parse(&url).unwrap();
        config.quotas = Default::default();
        change(config);
    });
    (stage.await, keep)
}

async fn send(stage: &Stage, player: Player, method: &str, path: &str, body: Option<Value>) -> Answer {
    let call = stage.call(Api::Volume, player, method, &format!("/v3/{path}")).version(71);
    match body {
        Some(body) => call.json(&body).send().await,
        None => call.send().await,
    }
}

async fn post(stage: &Stage, path: &str, body: Value) -> Answer {
    send(stage, MEMBER, "POST", path, Some(body)).await
}

async fn new_volume(stage: &Stage, size: i64) -> Answer {
    post(stage, "volumes", json!({"volume": {"size": size}})).await
}

/// How many of the answers are this, where all others are 413.
fn successes(answers: &[Answer], status: u16) -> usize {
    let (good, rest): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == status);
    for answer in rest {
        assert_eq!(answer.status, 413, "{}", answer.text());
    }
    good.len()
}

fn message(answer: Answer) -> String {
    let answer = answer.expect(413);
    assert_eq!(answer.header("retry-after"), Some("0"));
    let fault = answer.json()["overLimit"].clone();
    assert_eq!((&fault["code"], &fault["retryAfter"]), (&json!(413), &json!("0")));
    fault["message"].as_str().unwrap().to_owned()
}

async fn volumes_at_once_stop_at_the_limit(kind: DatabaseKind) {
    let (stage, _keep) = stage(kind, |config| config.quotas.quota_volumes = 5).await;
    let answers = join_all((0..AT_ONCE).map(|_| new_volume(&stage, 1))).await;
    assert_eq!(successes(&answers, 202), 5);
    let said = "VolumeLimitExceeded: Maximum number of volumes allowed (5) exceeded for quota 'volumes'.";
    assert_eq!(message(new_volume(&stage, 1).await), said);
    // Another project has a limit of its own.
    let other = json!({"volume": {"size": 1}});
    send(&stage, OTHER, "POST", "volumes", Some(other)).await.expect(202);

    let (stage, _keep) = self::stage(kind, |config| config.quotas.quota_gigabytes = 7).await;
    let answers = join_all((0..AT_ONCE).map(|_| new_volume(&stage, 2))).await;
    assert_eq!(successes(&answers, 202), 3);
    let said = "VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed gigabytes quota. \
        Requested 2G, quota is 7G and 6G has been consumed.";
    assert_eq!(message(new_volume(&stage, 2).await), said);
    new_volume(&stage, 1).await.expect(202);
}

async fn snapshots_at_once_stop_at_the_limit(kind: DatabaseKind) {
    let (stage, _keep) = stage(kind, |config| config.quotas.quota_snapshots = 3).await;
    let volumes = join_all((0..4).map(|_| stage.volume(OURS))).await;
    let bodies = volumes.iter().cycle().take(AT_ONCE);
    let answers = bodies.map(|id| post(&stage, "snapshots", json!({"snapshot": {"volume_id": id.as_str()}})));
    assert_eq!(successes(&join_all(answers).await, 202), 3);
    let body = json!({"snapshot": {"volume_id": volumes[0].as_str()}});
    let said = "SnapshotLimitExceeded: Maximum number of snapshots allowed (3) exceeded";
    assert_eq!(message(post(&stage, "snapshots", body).await), said);
}

async fn extensions_at_once_stop_at_the_limit(kind: DatabaseKind) {
    let (stage, _keep) = stage(kind, |config| {
        config.quotas.quota_volumes = 20;
        config.quotas.quota_gigabytes = AT_ONCE as i64 + 10;
    })
    .await;
    let volumes = join_all((0..AT_ONCE).map(|_| stage.volume(OURS))).await;
    let extend = async |id: &str, size: i64| {
        let path = format!("volumes/{id}/action");
        post(&stage, &path, json!({"os-extend": {"new_size": size}})).await
    };
    let answers = join_all(volumes.iter().map(|id| extend(id.as_str(), 4))).await;
    assert_eq!(successes(&answers, 202), 3);
    let usage = send(&stage, READER, "GET", &format!("os-quota-sets/{OURS}?usage=true"), None).await;
    let gigabytes = usage.expect(200).json()["quota_set"]["gigabytes"].clone();
    assert_eq!(gigabytes, json!({"limit": 26, "in_use": 16, "reserved": 9}));
    // No worker runs here: an extension that fails gives back what it was promised.
    let extended = answers.iter().position(|answer| answer.status == 202).unwrap();
    let refused = answers.iter().position(|answer| answer.status == 413).unwrap();
    let said = "VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed gigabytes quota. \
        Requested 3G, quota is 26G and 25G has been consumed.";
    assert_eq!(message(extend(volumes[refused].as_str(), 4).await), said);
    let path = [VolumeStatus::ErrorExtending];
    stage.site.move_volume(volumes[extended].as_str(), &path).await;
    extend(volumes[refused].as_str(), 4).await.expect(202);
}

async fn images_at_once_stop_at_the_limit(kind: DatabaseKind) {
    let (stage, _keep) = stage(kind, |config| config.quotas.image_count_total = 4).await;
    let create = async || {
        stage.call(Api::Image, MEMBER, "POST", "/v2/images").json(&json!({"name": "i"})).send().await
    };
    let answers = join_all((0..AT_ONCE).map(|_| create())).await;
    assert_eq!(successes(&answers, 201), 4);
    let refused = create().await.expect(413);
    let said = format!(
        "Project {OURS} is over a limit for [Resource image_count_total is over limit of 4 due to current usage 4 \
         and delta 1]"
    );
    assert!(refused.text().contains(&said), "{}", refused.text());
}

async fn upload(stage: &Stage, id: &str, body: Vec<u8>) -> Answer {
    let call = stage.call(Api::Image, MEMBER, "PUT", &format!("/v2/images/{id}/file"));
    let call = call.header("content-type", "application/octet-stream");
    call.header("x-openstack-image-size", &body.len().to_string()).body(body).send().await
}

async fn uploads_at_once_stop_at_the_limit(kind: DatabaseKind) {
    let (stage, _keep) = stage(kind, |config| config.quotas.image_count_uploading = 0).await;
    let id = stage.image(OURS, "private", ImageStatus::Queued).await;
    let refused = upload(&stage, id.as_str(), vec![1; 10]).await.expect(413);
    assert!(refused.text().contains("image_count_uploading is over limit of 0"), "{}", refused.text());
    let image = stage.call(Api::Image, MEMBER, "GET", &format!("/v2/images/{id}")).send().await;
    assert_eq!(image.expect(200).json()["status"], "queued");

    let (stage, _keep) = self::stage(kind, |config| config.quotas.image_count_uploading = 1).await;
    stage.image(OURS, "private", ImageStatus::Saving).await;
    let id = stage.image(OURS, "private", ImageStatus::Queued).await;
    upload(&stage, id.as_str(), vec![1; 10]).await.expect(413);
}

async fn stored_bytes_stop_at_the_limit(kind: DatabaseKind) {
    let quota = serde_json::from_value(json!("3KB")).unwrap();
    let (stage, _keep) = stage(kind, |config| config.images.user_storage_quota = quota).await;
    let new_image = async || stage.image(OURS, "private", ImageStatus::Queued).await.to_string();
    let full = |size: &str, remaining: u32| {
        format!(
            "Image exceeds the storage quota: The size of the data {size} will exceed the limit. {remaining} \
             bytes remaining."
        )
    };
    let unsized_upload = async |id: &str, body: Vec<u8>| {
        let call = stage.call(Api::Image, MEMBER, "PUT", &format!("/v2/images/{id}/file"));
        call.header("content-type", "application/octet-stream").body(body).send().await
    };
    upload(&stage, &new_image().await, vec![1; 1 << 10]).await.expect(204);
    // A size that is told, one that is not, and one that comes to light while bytes arrive.
    let id = new_image().await;
    let refused = upload(&stage, &id, vec![1; 3 << 10]).await.expect(413);
    assert!(refused.text().contains(&full("3072", 2048)), "{}", refused.text());
    let refused = unsized_upload(&id, vec![1; 3 << 10]).await.expect(413);
    assert!(refused.text().contains(&full("None", 2048)), "{}", refused.text());
    let image = stage.call(Api::Image, MEMBER, "GET", &format!("/v2/images/{id}")).send().await;
    assert_eq!(image.expect(200).json()["status"], "queued");
    unsized_upload(&id, vec![1; 2 << 10]).await.expect(204);
    let refused = unsized_upload(&new_image().await, vec![1]).await.expect(413);
    assert!(refused.text().contains(&full("None", 0)), "{}", refused.text());
    // What is gone counts no more.
    stage.call(Api::Image, MEMBER, "DELETE", &format!("/v2/images/{id}")).send().await.expect(204);
    unsized_upload(&new_image().await, vec![1]).await.expect(204);
}

fn storage(quota: &str, config: &mut Config) {
    config.images.user_storage_quota = serde_json::from_value(json!(quota)).unwrap();
    config.import_filtering_opts.allowed_hosts = vec!["127.0.0.1".to_owned()];
    config.import_filtering_opts.allowed_ports.clear();
}

async fn house(kind: DatabaseKind, quota: &str) -> House {
    let mut config = Config::default();
    storage(quota, &mut config);
    House::with(StoreKind::Directory, kind, config, Arc::new(NoFaults)).await
}

/// Where it is refused as a job.
async fn assert_refused(house: &House, resource: &impl ToString, size: u64, remaining: u64) {
    house.settle().await;
    let said = format!("The size of the data {size} will exceed the limit. {remaining} bytes remaining.");
    assert_eq!(house.last_job(resource).await.unwrap().error, Some(said));
}

/// Bytes on a web server, and those of volumes: no request counts them.
async fn every_door_to_the_storage_has_the_limit(kind: DatabaseKind) {
    let mut house = house(kind, "3MB").await;
    let web = async |length: usize| {
        let image = house.queued_image().await;
        house.add_location(&image, serve(vec![1; length]).await).await;
        house.settle().await;
        image
    };
    let refused = web(4_000_000).await;
    assert_refused(&house, &refused, 4_000_000, 3 << 20).await;
    assert_eq!(house.image_status(&refused).await, Some(ImageStatus::Queued));
    let first = web(2_000_000).await;
    assert_eq!(house.image_status(&first).await, Some(ImageStatus::Active));
    let left = (3 << 20) - 2_000_000;
    assert_refused(&house, &web(2_000_000).await, 2_000_000, left).await;

    let volume = house.volume(VolumeSource::Empty, 1).await;
    let image = house.upload_volume(&volume).await;
    assert_refused(&house, &image, 1 << 30, left).await;
    assert_eq!(house.image_status(&image).await, None);
    assert_eq!(house.volume_status(&volume).await, Some(VolumeStatus::Available));
    // Its file is small.
    let image = house.upload_volume_as(&volume, "qcow2").await;
    house.settle().await;
    assert_eq!(house.image_status(&image).await, Some(ImageStatus::Active));
    let size = |id: &ImageId| {
        let id = id.clone();
        let database = house.database.clone();
        async move { database.read().await.unwrap().image(&id).await.unwrap().unwrap().size.unwrap() as u64 }
    };
    let left = left - size(&image).await;
    let staged = house.stage(vec![1; 1_100_000]).await;
    house.import(&staged, ImportSource::Staged).await;
    assert_refused(&house, &staged, 1_100_000, left).await;
    // What is deleted makes room.
    assert!(house.delete_image(&first).await);
    house.settle().await;
    house.import(&staged_again(&house, &staged).await, ImportSource::Staged).await;
    house.settle().await;
    assert_eq!(house.image_status(&staged).await, Some(ImageStatus::Active));
    house.assert_nothing_is_left().await;
    house.stop().await;
}

async fn staged_again(house: &House, image: &ImageId) -> ImageId {
    let body = futures::stream::iter([Ok::<_, std::io::Error>(vec![1; 1_100_000].into())]);
    let upload = house.uploader_of(Arrival::Stage);
    upload_image(upload, image.clone(), None, body, Origin::default()).await.unwrap();
    image.clone()
}

/// Each alone would fit.
async fn imports_at_once_stop_at_the_limit(kind: DatabaseKind) {
    let mut house = house(kind, "3MB").await;
    let mut images = Vec::new();
    for _ in 0..5 {
        images.push(house.stage(vec![1; 1_500_000]).await);
    }
    for image in &images {
        house.import(image, ImportSource::Staged).await;
    }
    house.settle().await;
    let mut statuses = Vec::new();
    for image in &images {
        statuses.push(house.image_status(image).await.unwrap());
    }
    let active = statuses.iter().filter(|status| **status == ImageStatus::Active).count();
    let queued = statuses.iter().filter(|status| **status == ImageStatus::Queued).count();
    assert_eq!((active, queued), (2, 3));
    house.assert_nothing_is_left().await;
    house.stop().await;
}

async fn locations_of_a_patch_stop_at_the_limit(kind: DatabaseKind) {
    let (stage, _keep) = stage(kind, |config| {
        storage("15B", config);
        config.images.show_multiple_locations = true;
    })
    .await;
    let path = async || {
        let id = stage.image(OURS, "private", ImageStatus::Queued).await;
        format!("/v2/images/{id}")
    };
    let urls = [serve(vec![1; 10]).await, serve(vec![1; 10]).await];
    let patch = async |path: &str, url: &str| {
        let call = stage.call(Api::Image, ADMIN_OF_OURS, "PATCH", path);
        let change = json!([{"op": "add", "path": "/locations/-", "value": {"url": url, "metadata": {}}}]);
        let call = call.body(change.to_string());
        call.header("content-type", "application/openstack-images-v2.1-json-patch").send().await
    };
    let full = |size: u32, remaining: u32| {
        format!(
            "Denying attempt to upload image because it exceeds the quota: The size of the data {size} will exceed the \
             limit. {remaining} bytes remaining."
        )
    };
    let first = path().await;
    patch(&first, &urls[0]).await.expect(200);
    // Each place counts, of one image and of several.
    let refused = patch(&first, &urls[1]).await.expect(413);
    assert!(refused.text().contains(&full(20, 15)), "{}", refused.text());
    let second = path().await;
    let refused = patch(&second, &urls[0]).await.expect(413);
    assert!(refused.text().contains(&full(10, 5)), "{}", refused.text());
    for (path, status, places) in [(&first, "active", 1), (&second, "queued", 0)] {
        let image = stage.call(Api::Image, ADMIN_OF_OURS, "GET", path).send().await.expect(200).json();
        let locations = image["locations"].as_array().unwrap().len();
        assert_eq!((image["status"].as_str(), locations), (Some(status), places));
    }
}

async fn an_image_of_a_volume_stops_at_the_limit(kind: DatabaseKind) {
    let (stage, _keep) = stage(kind, |config| storage("1GB", config)).await;
    let upload = async |format: &str| {
        let path = format!("volumes/{}/action", stage.volume(OURS).await);
        let action = json!({"image_name": "of a volume", "disk_format": format});
        post(&stage, &path, json!({ "os-volume_upload_image": action })).await
    };
    upload("raw").await.expect(202);
    // Nobody has counted that one yet: its job does.
    let id = stage.image(OURS, "private", ImageStatus::Saving).await;
    let mut repository = stage.app().database.begin().await.unwrap();
    repository.expect_image_size(&id, 1).await.unwrap();
    repository.commit().await.unwrap();
    let refused = upload("raw").await.expect(400);
    let said = format!(
        "Image exceeds the storage quota: The size of the data {} will exceed the limit. {} bytes remaining.",
        1 << 30,
        (1 << 30) - 1
    );
    assert!(refused.text().contains(&said), "{}", refused.text());
    upload("qcow2").await.expect(202);
}

async fn image_sizes_add_up(kind: DatabaseKind) {
    let (stage, _keep) = stage(kind, |config| config.quotas.image_size_total = 2).await;
    let mut statuses = Vec::new();
    for _ in 0..3 {
        let id = stage.image(OURS, "private", ImageStatus::Queued).await;
        statuses.push(upload(&stage, id.as_str(), vec![1; 1 << 20]).await.status.as_u16());
    }
    assert_eq!(statuses, [204, 204, 413]);
    let usage = stage.call(Api::Image, NOBODY, "GET", "/v2/info/usage").send().await.expect(200).json();
    assert_eq!(
        usage["usage"],
        json!({
            "image_size_total": {"usage": 2, "limit": 2},
            "image_stage_total": {"usage": 0, "limit": -1},
            "image_count_total": {"usage": 3, "limit": 100_000},
            "image_count_uploading": {"usage": 0, "limit": -1},
        })
    );
}

async fn what_is_gone_makes_room(kind: DatabaseKind) {
    let (stage, _keep) = stage(kind, |config| config.quotas.quota_volumes = 1).await;
    let id = stage.volume(OURS).await;
    new_volume(&stage, 1).await.expect(413);
    // What is being deleted is still there.
    stage.site.move_volume(id.as_str(), &[VolumeStatus::Deleting]).await;
    new_volume(&stage, 1).await.expect(413);
    let mut repository = stage.app().database.begin().await.unwrap();
    assert!(repository.remove_volume(&id).await.unwrap());
    repository.commit().await.unwrap();
    new_volume(&stage, 1).await.expect(202);
    new_volume(&stage, 1).await.expect(413);
}

async fn a_type_has_limits_of_its_own(kind: DatabaseKind) {
    let (stage, _keep) = stage(kind, |_| {}).await;
    let set = async |key: &str, limit: i64| {
        let body = json!({"quota_set": {key: limit}});
        send(&stage, ADMIN, "PUT", &format!("os-quota-sets/{OURS}"), Some(body)).await.expect(200);
    };
    set("volumes___DEFAULT__", 1).await;
    new_volume(&stage, 1).await.expect(202);
    let said = "VolumeLimitExceeded: Maximum number of volumes allowed (1) exceeded for quota 'volumes___DEFAULT__'.";
    assert_eq!(message(new_volume(&stage, 1).await), said);
    set("volumes___DEFAULT__", -1).await;
    set("gigabytes___DEFAULT__", 3).await;
    let said = "VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed \
        gigabytes___DEFAULT__ quota. Requested 3G, quota is 3G and 1G has been consumed.";
    assert_eq!(message(new_volume(&stage, 3).await), said);
    set("per_volume_gigabytes", 2).await;
    let said = "VolumeSizeExceedsLimit: Requested volume size 3G is larger than maximum allowed limit 2G.";
    assert_eq!(message(new_volume(&stage, 3).await), said);
    new_volume(&stage, 2).await.expect(202);
    set("snapshots___DEFAULT__", 0).await;
    set("gigabytes___DEFAULT__", -1).await;
    let body = json!({"snapshot": {"volume_id": stage.volume(OURS).await.as_str()}});
    post(&stage, "snapshots", body).await.expect(413);
}

async fn snapshots_need_not_count_as_gigabytes(kind: DatabaseKind) {
    for (free, status, used) in [(false, 413, 2), (true, 202, 1)] {
        let (stage, _keep) = stage(kind, |config| {
            config.quotas.quota_gigabytes = 2;
            config.quotas.no_snapshot_gb_quota = free;
        })
        .await;
        stage.snapshot(OURS).await;
        let limits = send(&stage, READER, "GET", "limits", None).await.expect(200).json();
        assert_eq!(limits["limits"]["absolute"]["totalGigabytesUsed"], used);
        new_volume(&stage, 1).await.expect(status);
    }
}

async fn limits_are_set_shown_and_taken_back(kind: DatabaseKind) {
    let (stage, _keep) = stage(kind, |_| {}).await;
    let path = format!("os-quota-sets/{OURS}");
    let get =
        async |player, suffix: &str| send(&stage, player, "GET", &format!("{path}{suffix}"), None).await;
    let defaults = json!({"quota_set": {
        "volumes": 10, "per_volume_gigabytes": -1, "snapshots": 10, "gigabytes": 1000, "backups": 10,
        "backup_gigabytes": 1000, "volumes___DEFAULT__": -1, "gigabytes___DEFAULT__": -1,
        "snapshots___DEFAULT__": -1, "groups": 10, "id": OURS,
    }});
    assert_eq!(get(READER, "").await.expect(200).text(), defaults.to_string());
    assert_eq!(get(READER, "/defaults").await.expect(200).json(), defaults);
    get(OTHER, "").await.expect(403);
    get(NOBODY, "").await.expect(403);
    get(ADMIN, "").await.expect(200);

    let set = json!({"quota_set": {"volumes": 3, "backups": "4", "tenant_id": OURS}});
    send(&stage, MEMBER, "PUT", &path, Some(set.clone())).await.expect(403);
    let answer = send(&stage, ADMIN, "PUT", &path, Some(set)).await.expect(200).json();
    assert_eq!((&answer["quota_set"]["volumes"], &answer["quota_set"]["backups"]), (&json!(3), &json!(4)));
    assert_eq!(answer["quota_set"].get("id"), None);
    assert_eq!(get(READER, "").await.expect(200).json()["quota_set"]["volumes"], 3);
    assert_eq!(get(READER, "/defaults").await.expect(200).json(), defaults);
    // Below what is in use a limit can be set, but not lowered.
    stage.volume(OURS).await;
    stage.volume(OURS).await;
    let lower =
        async |key: &str| send(&stage, ADMIN, "PUT", &path, Some(json!({"quota_set": {key: 1}}))).await;
    let refused = lower("volumes").await.expect(400);
    let said = "Quota volumes limit must be equal or greater than existing resources. Current usage is 2 and the \
        requested limit is 1.";
    assert_eq!(refused.json()["badRequest"]["message"], said);
    lower("gigabytes").await.expect(200);
    let usage = get(READER, "?usage=True").await.expect(200).json();
    assert_eq!(usage["quota_set"]["volumes"], json!({"limit": 3, "in_use": 2, "reserved": 0}));
    assert_eq!(usage["quota_set"]["volumes___DEFAULT__"], json!({"limit": -1, "in_use": 2, "reserved": 0}));
    assert_eq!(usage["quota_set"]["per_volume_gigabytes"], json!({"limit": -1, "in_use": 0, "reserved": 0}));

    send(&stage, MEMBER, "DELETE", &path, None).await.expect(403);
    let deleted = send(&stage, ADMIN, "DELETE", &path, None).await.expect(200);
    assert_eq!(deleted.text(), "");
    assert_eq!(get(READER, "").await.expect(200).json(), defaults);
}

async fn a_class_stands_for_all_projects_without_limits(kind: DatabaseKind) {
    let (stage, _keep) = stage(kind, |_| {}).await;
    let path = "os-quota-class-sets/default";
    send(&stage, MEMBER, "GET", path, None).await.expect(403);
    let set = json!({"quota_class_set": {"volumes": 1, "groups": "0"}});
    send(&stage, MEMBER, "PUT", path, Some(set.clone())).await.expect(403);
    let answer = send(&stage, ADMIN, "PUT", path, Some(set)).await.expect(200).json();
    assert_eq!(answer["quota_class_set"]["volumes"], 1);
    assert_eq!(answer["quota_class_set"].get("id"), None);
    let shown = send(&stage, ADMIN, "GET", path, None).await.expect(200).json();
    assert_eq!(
        (&shown["quota_class_set"]["id"], &shown["quota_class_set"]["groups"]),
        (&json!("default"), &json!(0))
    );
    // A class of another name has these limits where it has none, and nobody is in it.
    let other = send(&stage, ADMIN, "GET", "os-quota-class-sets/other", None).await.expect(200).json();
    assert_eq!(other["quota_class_set"]["volumes"], 1);
    new_volume(&stage, 1).await.expect(202);
    new_volume(&stage, 1).await.expect(413);
    let own = json!({"quota_set": {"volumes": 2}});
    send(&stage, ADMIN, "PUT", &format!("os-quota-sets/{OURS}"), Some(own)).await.expect(200);
    new_volume(&stage, 1).await.expect(202);
}

async fn limits_with_what_is_used(kind: DatabaseKind) {
    let (stage, _keep) = stage(kind, |_| {}).await;
    stage.snapshot(OURS).await;
    let get = async |player, query: &str| send(&stage, player, "GET", &format!("limits{query}"), None).await;
    let ours = json!({"limits": {"rate": [], "absolute": {
        "maxTotalVolumes": 10, "maxTotalSnapshots": 10, "maxTotalVolumeGigabytes": 1000,
        "maxTotalBackups": 10, "maxTotalBackupGigabytes": 1000,
        "totalVolumesUsed": 1, "totalSnapshotsUsed": 1, "totalGigabytesUsed": 2,
        "totalBackupsUsed": 0, "totalBackupGigabytesUsed": 0,
    }}});
    assert_eq!(get(READER, "").await.expect(200).json(), ours);
    assert_eq!(get(ADMIN, &format!("?project_id={OURS}")).await.expect(200).json(), ours);
    let none = get(OTHER, &format!("?project_id={OURS}")).await.expect(200).json();
    assert_eq!(none["limits"]["absolute"]["totalVolumesUsed"], 0);
    let without = get(NOBODY, "").await.expect(200).json();
    assert_eq!(without["limits"]["absolute"].get("totalVolumesUsed"), None);
    assert_eq!(without["limits"]["absolute"]["maxTotalVolumes"], 10);
}

async fn limits_that_are_none_are_refused(kind: DatabaseKind) {
    let (stage, _keep) = stage(kind, |_| {}).await;
    let generic =
        "The server could not comply with the request since it is either malformed or otherwise incorrect.";
    for (path, body, said) in [
        (
            "os-quota-sets",
            json!({"quota_set": {"bogus": 1, "more": 2}}),
            "Invalid input received: Bad key(s) in quota set: bogus, more",
        ),
        ("os-quota-sets", json!({"quota_set": {"volumes": -2}}), "volumes must be >= -1"),
        ("os-quota-sets", json!({"quota_set": {"volumes": "many"}}), "volumes must be an integer"),
        ("os-quota-sets", json!({"quota_set": {"volumes": 1.5}}), "volumes must be an integer"),
        ("os-quota-sets", json!({"quota_set": {"volumes": null}}), "volumes must be an integer"),
        (
            "os-quota-sets",
            json!({"quota_set": {"volumes": 2_147_483_648_i64}}),
            "volumes must be <= 2147483647",
        ),
        ("os-quota-sets", json!({"quotas": {}}), "'quota_set' is a required property"),
        (
            "os-quota-class-sets",
            json!({"quota_class_set": {"bogus": 1}}),
            "Invalid input received: Bad key(s) in quota class set: bogus",
        ),
        (
            "os-quota-class-sets",
            json!({"quota_class_set": {"volumes": -2}}),
            "Invalid input for field/attribute volumes. Value: -2. -2 is less than the minimum of -1",
        ),
        (
            "os-quota-class-sets",
            json!({"quota_class_set": {"volumes": "x"}}),
            "Invalid input for field/attribute volumes. Value: x. 'x' does not match '^[0-9]*$'",
        ),
        ("os-quota-class-sets", json!({}), "'quota_class_set' is a required property"),
    ] {
        let answer = send(&stage, ADMIN, "PUT", &format!("{path}/{THEIRS}"), Some(body.clone())).await;
        assert_eq!(answer.expect(400).json()["badRequest"]["message"], said, "{body}");
    }
    let long = format!("os-quota-sets/{}", "x".repeat(256));
    let body = json!({"quota_set": {"volumes": 1}});
    let answer = send(&stage, ADMIN, "PUT", &long, Some(body)).await.expect(400);
    let said = "Invalid input received: quota_set_name has 256 characters, more than 255.";
    assert_eq!(answer.json()["badRequest"]["message"], said);
    let empty =
        send(&stage, ADMIN, "PUT", &format!("os-quota-sets/{OURS}"), Some(json!({"quota_set": {}}))).await;
    assert_ne!(empty.expect(400).json()["badRequest"]["message"], generic);
}
