//! Requests at the same moment, on both databases: nothing is lost, and of two that exclude each other one wins.

use futures::future::join_all;
use pumice::config::{Backend, DatabaseUrl};
use pumice::model::{SnapshotId, SnapshotStatus, VolumeStatus};
use serde_json::{Value, json};

use crate::house::DatabaseKind;
use crate::house::database::Keep;
use crate::policy::stage::{ADMIN, Api, MEMBER, OTHER, OURS, Player, Stage, THEIRS};
use crate::support::{Answer, Call, Site};

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
    of_writes_upon_one_tag_one_wins,
    a_volume_that_is_retyped_is_left_alone,
    a_volume_that_moves_is_left_alone,
    a_volume_that_moves_unlocked_stays,
    a_volume_becomes_an_image_or_goes,
    only_one_makes_an_image,
    an_image_comes_into_a_volume_that_stays,
    a_volume_goes_back_or_gets_a_snapshot,
    only_one_offers,
);

macro_rules! staged_on_both {
    ($($case:ident),* $(,)?) => {
        mod staged_on_sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                let (stage, _keep) = super::stage(super::DatabaseKind::Sqlite).await;
                super::$case(&stage).await;
            })*
        }
        mod staged_on_postgresql {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                let (stage, _keep) = super::stage(super::DatabaseKind::Postgres).await;
                super::$case(&stage).await;
            })*
        }
    };
}

staged_on_both!(only_one_accepts, a_volume_is_handed_over_or_kept, only_one_takes_an_offer_back);

/// Another place for volumes.
const PLACE: &str = "pumice@far#far-pool";

async fn site(kind: DatabaseKind) -> (Site, Keep) {
    let (url, keep) = kind.migrated_url().await;
    let site = Site::with(|config| {
        config.database.url = DatabaseUrl::parse(&url).unwrap();
        config
            .backends
            .0
            .insert("far".to_owned(), Backend { rbd_pool: "far-pool".to_owned(), ..Backend::default() });
    });
    (site.await, keep)
}

async fn stage(kind: DatabaseKind) -> (Stage, Keep) {
    let (url, keep) = kind.migrated_url().await;
    (Stage::with(|config| config.database.url = DatabaseUrl::parse(&url).unwrap()).await, keep)
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

fn call(site: &Site, method: &str, path: &str) -> Call {
    site.request(method, &format!("/volume/v3/{path}")).version(71)
}

fn act(site: &Site, volume: &str, body: &Value) -> Call {
    call(site, "POST", &format!("volumes/{volume}/action")).json(body)
}

/// Of two requests for one thing, which one of these pairs of codes answers. Now the one is sent first, now the other.
async fn contest(round: usize, one: Call, other: Call, allowed: &[(u16, u16)]) -> (u16, u16) {
    let (one, other) = if round.is_multiple_of(2) {
        tokio::join!(one.send(), other.send())
    } else {
        let (other, one) = tokio::join!(other.send(), one.send());
        (one, other)
    };
    let codes = (one.status.as_u16(), other.status.as_u16());
    assert!(allowed.contains(&codes), "{codes:?}: {}\n{}", one.text(), other.text());
    codes
}

async fn count(site: &Site, path: &str, key: &str) -> usize {
    let list = site.request("GET", path).version(71).send().await.expect(200).json();
    list[key].as_array().unwrap().len()
}

async fn jobs(site: &Site) -> usize {
    let mut repository = site.app().database.read().await.unwrap();
    repository.jobs(&Default::default(), &Default::default()).await.unwrap().len()
}

/// Everybody read the same metadata; whoever writes first has it.
async fn of_writes_upon_one_tag_one_wins(site: &Site) {
    let id = available_volume(site).await;
    for path in [format!("volumes/{id}/metadata"), format!("volumes/{id}/metadata/n")] {
        let read = call(site, "GET", &format!("volumes/{id}/metadata")).send().await.expect(200);
        let tag = read.header("etag").unwrap().to_owned();
        let key = if path.ends_with("/n") { "meta" } else { "metadata" };
        let writes = (0..AT_ONCE).map(|n| {
            let body = json!({key: {"n": format!("{key}{n}")}});
            call(site, "PUT", &path).header("if-match", &tag).json(&body).send()
        });
        let answers = join_all(writes).await;
        let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status.as_u16() == 200);
        assert_eq!(won.len(), 1);
        for answer in lost {
            assert_eq!((answer.status.as_u16(), answer.text()), (412, ""));
        }
        let after = call(site, "GET", &format!("volumes/{id}/metadata")).send().await.expect(200).json();
        assert_eq!(after["metadata"]["n"], won[0].json()[key]["n"]);
    }
}

/// What is asked for the same volume while something begins that wants it alone: either that begins, or this.
async fn alone(site: &Site, body: Value) {
    for round in 0..AT_ONCE {
        let id = available_volume(site).await;
        // By the clock here the last time is long ago.
        site.report().await;
        let other = match round % 3 {
            0 => act(site, &id, &json!({"os-extend": {"new_size": 2}})),
            1 => call(site, "DELETE", &format!("volumes/{id}")),
            _ => call(site, "POST", "attachments").json(&json!({"attachment": {"volume_uuid": id}})),
        };
        let good = if round % 3 == 2 { 200 } else { 202 };
        let before = jobs(site).await;
        let codes = contest(round / 3, act(site, &id, &body), other, &[(202, 400), (400, good)]).await;
        // Who attaches needs no job.
        let attached = count(site, &format!("/volume/v3/attachments?volume_id={id}"), "attachments").await;
        assert_eq!((jobs(site).await - before) + attached, 1, "{codes:?}");
    }
}

async fn a_volume_that_is_retyped_is_left_alone(site: &Site) {
    call(site, "POST", "types").json(&json!({"volume_type": {"name": "another"}})).send().await.expect(200);
    alone(site, json!({"os-retype": {"new_type": "another", "migration_policy": "never"}})).await;
}

async fn a_volume_that_moves_is_left_alone(site: &Site) {
    alone(site, json!({"os-migrate_volume": {"host": PLACE, "lock_volume": true}})).await;
}

/// It may be attached meanwhile, but it does not go, and moves once.
async fn a_volume_that_moves_unlocked_stays(site: &Site) {
    let moves = json!({"os-migrate_volume": {"host": PLACE}});
    for round in 0..AT_ONCE {
        let id = available_volume(site).await;
        site.report().await;
        let (one, other) = match round % 2 {
            0 => (act(site, &id, &moves), act(site, &id, &moves)),
            _ => (act(site, &id, &moves), call(site, "DELETE", &format!("volumes/{id}"))),
        };
        let before = jobs(site).await;
        contest(round / 2, one, other, &[(202, 400), (400, 202)]).await;
        assert_eq!(jobs(site).await - before, 1);
    }
}

fn upload(site: &Site, volume: &str) -> Call {
    act(site, volume, &json!({"os-volume_upload_image": {"image_name": "of a volume"}}))
}

async fn a_volume_becomes_an_image_or_goes(site: &Site) {
    let mut uploads = 0;
    for round in 0..AT_ONCE {
        let id = available_volume(site).await;
        let delete = call(site, "DELETE", &format!("volumes/{id}"));
        let codes = contest(round, upload(site, &id), delete, &[(202, 400), (400, 202)]).await;
        uploads += usize::from(codes.0 == 202);
    }
    assert_eq!(count(site, "/image/v2/images", "images").await, uploads);
}

async fn only_one_makes_an_image(site: &Site) {
    let id = available_volume(site).await;
    let uploads = join_all((0..AT_ONCE).map(|_| upload(site, &id).send())).await;
    let mut codes: Vec<u16> = uploads.iter().map(|answer| answer.status.as_u16()).collect();
    codes.sort_unstable();
    assert_eq!(codes, [&[202][..], &[400; AT_ONCE - 1]].concat());
    assert_eq!(count(site, "/image/v2/images", "images").await, 1);
}

/// A volume may go while an image comes into it, but none comes into one that goes.
async fn an_image_comes_into_a_volume_that_stays(site: &Site) {
    let image = json!({"name": "x", "disk_format": "raw", "container_format": "bare"});
    let made = site.request("POST", "/image/v2/images").json(&image).send().await.expect(201).json();
    let image = made["id"].as_str().unwrap();
    let file = site.request("PUT", &format!("/image/v2/images/{image}/file"));
    file.header("content-type", "application/octet-stream").body("bytes").send().await.expect(204);
    for round in 0..AT_ONCE {
        let id = available_volume(site).await;
        let before = jobs(site).await;
        let reimage = act(site, &id, &json!({"os-reimage": {"image_id": image}}));
        let delete = call(site, "DELETE", &format!("volumes/{id}"));
        let codes = contest(round, reimage, delete, &[(202, 202), (400, 202)]).await;
        assert_eq!(jobs(site).await - before, if codes.0 == 202 { 2 } else { 1 });
        let shown = call(site, "GET", &format!("volumes/{id}")).send().await.expect(200).json();
        assert_eq!(shown["volume"]["status"], "deleting");
    }
}

/// It goes back to its latest snapshot, which another one would be.
async fn a_volume_goes_back_or_gets_a_snapshot(site: &Site) {
    for round in 0..AT_ONCE {
        let id = available_volume(site).await;
        let body = json!({"snapshot": {"volume_id": id}});
        let made = post(site, "snapshots", body.clone()).await.expect(202).json();
        let snapshot = SnapshotId::parse(made["snapshot"]["id"].as_str().unwrap()).unwrap();
        let mut repository = site.app().database.begin().await.unwrap();
        let (from, to, now) = (SnapshotStatus::Creating, SnapshotStatus::Available, site.app().world.now());
        assert!(repository.change_snapshot(&snapshot, from, to, now).await.unwrap());
        repository.commit().await.unwrap();
        let revert = act(site, &id, &json!({"revert": {"snapshot_id": snapshot.as_str()}}));
        let another = call(site, "POST", "snapshots").json(&body);
        let codes = contest(round, revert, another, &[(202, 400), (400, 202)]).await;
        let path = format!("/volume/v3/snapshots?volume_id={id}");
        assert_eq!(count(site, &path, "snapshots").await, if codes.1 == 202 { 2 } else { 1 });
    }
}

async fn only_one_offers(site: &Site) {
    let id = available_volume(site).await;
    let body = json!({"transfer": {"volume_id": id}});
    let offers = (0..AT_ONCE).map(|_| call(site, "POST", "volume-transfers").json(&body).send());
    let mut codes: Vec<u16> = join_all(offers).await.iter().map(|answer| answer.status.as_u16()).collect();
    codes.sort_unstable();
    assert_eq!(codes, [&[202][..], &[400; AT_ONCE - 1]].concat());
    assert_eq!(count(site, "/volume/v3/volume-transfers", "transfers").await, 1);
}

/// Of a third project.
const THIRD: Player = Player { name: "third", project: "0000000000000000000000000000dddd", ..OTHER };

fn accept(stage: &Stage, player: Player, transfer: &str, key: &str) -> Call {
    let path = format!("/v3/volume-transfers/{transfer}/accept");
    stage.call(Api::Volume, player, "POST", &path).version(71).json(&json!({"accept": {"auth_key": key}}))
}

fn take_back(stage: &Stage, player: Player, transfer: &str) -> Call {
    stage.call(Api::Volume, player, "DELETE", &format!("/v3/volume-transfers/{transfer}")).version(71)
}

/// How many volumes a project has of its quota.
async fn used(stage: &Stage, project: &str) -> Value {
    let path = format!("/v3/os-quota-sets/{project}?usage=True");
    let shown = stage.call(Api::Volume, ADMIN, "GET", &path).version(71).send().await.expect(200).json();
    shown["quota_set"]["volumes"]["in_use"].clone()
}

async fn only_one_accepts(stage: &Stage) {
    let (id, key) = stage.transfer(OURS).await;
    let players = [OTHER, THIRD];
    let accepts = (0..AT_ONCE).map(|n| accept(stage, players[n % 2], id.as_str(), key).send());
    let answers = join_all(accepts).await;
    let won: Vec<usize> = (0..AT_ONCE).filter(|n| answers[*n].status.as_u16() == 202).collect();
    assert_eq!(won.len(), 1, "{won:?}");
    let message = format!("Transfer {id} could not be found.");
    for answer in answers.iter().filter(|answer| answer.status.as_u16() != 202) {
        assert_eq!(
            (answer.status.as_u16(), &answer.json()["itemNotFound"]["message"]),
            (404, &json!(message))
        );
    }
    let winner = players[won[0] % 2].project;
    for project in [OURS, THEIRS, THIRD.project] {
        assert_eq!(used(stage, project).await, i32::from(project == winner), "{project}");
    }
}

/// Whoever comes second is told that there is no such offer.
async fn a_volume_is_handed_over_or_kept(stage: &Stage) {
    let mut given = 0;
    for round in 0..AT_ONCE {
        let (id, key) = stage.transfer(OURS).await;
        // An administrator sees the volume afterwards too.
        let owner = if round % 4 < 2 { MEMBER } else { ADMIN };
        let accepted = accept(stage, OTHER, id.as_str(), key);
        let taken_back = take_back(stage, owner, id.as_str());
        let codes = contest(round, accepted, taken_back, &[(202, 404), (404, 202)]).await;
        given += usize::from(codes.0 == 202);
    }
    assert_eq!(used(stage, THEIRS).await, given);
    assert_eq!(used(stage, OURS).await, AT_ONCE - given);
}

async fn only_one_takes_an_offer_back(stage: &Stage) {
    let (id, _) = stage.transfer(OURS).await;
    let answers = join_all((0..AT_ONCE).map(|_| take_back(stage, MEMBER, id.as_str()).send())).await;
    let mut codes: Vec<u16> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    codes.sort_unstable();
    assert_eq!(codes, [&[202][..], &[404; AT_ONCE - 1]].concat());
}
