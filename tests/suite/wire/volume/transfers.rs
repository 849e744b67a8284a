//! Volumes that go to another project.

use pumice::model::{SnapshotStatus, TransferId, VolumeStatus};
use serde_json::{Value, json};

use super::{PROJECT, assert_refused, fault, id_of};
use crate::policy::stage::{ADMIN, Api, MEMBER, OTHER, OURS, Player, Stage, THEIRS};
use crate::support::{Answer, Site};

impl Site {
    async fn offer(&self, body: Value) -> Value {
        self.post("/v3/volume-transfers", json!({ "transfer": body })).await.expect(202).json()["transfer"]
            .clone()
    }
}

#[tokio::test]
async fn a_transfer_is_shown_key_by_key() {
    let history =
        format!(r#","destination_project_id":null,"source_project_id":"{PROJECT}","accepted":false"#);
    for (version, later) in [
        (0, String::new()),
        (55, r#","no_snapshots":false"#.to_owned()),
        (71, { format!(r#","no_snapshots":false{history}"#) }),
    ] {
        for name in ["volume-transfers", "os-volume-transfer"] {
            let site = Site::new().await;
            let volume = site.available_volume(json!({"size": 1})).await;
            let body = json!({"transfer": {"volume_id": volume, "name": " t "}});
            let root = format!("/v3/{name}");
            let made = site.volume("POST", &root).version(version).json(&body).send().await.expect(202);
            let transfer = &made.json()["transfer"];
            let (id, time) = (transfer["id"].as_str().unwrap(), transfer["created_at"].as_str().unwrap());
            let key = transfer["auth_key"].as_str().unwrap();
            assert!(key.len() == 16 && key.bytes().all(|b| b.is_ascii_hexdigit()), "{key}");
            let links = format!(
                concat!(
                    r#""links":[{{"rel":"self","href":"#,
                    r#""http://cloud.example:8080/volume/v3/os-volume-transfer/{0}"}},{{"rel":"bookmark","href":"#,
                    r#""http://cloud.example:8080/volume/os-volume-transfer/{0}"}}]"#
                ),
                id
            );
            let head = format!(r#"{{"id":"{id}","created_at":"{time}","name":"t","volume_id":"{volume}""#);
            assert_eq!(made.text(), format!(r#"{{"transfer":{head},"auth_key":"{key}",{links}{later}}}}}"#));
            let get =
                async |path: String| site.volume("GET", &path).version(version).send().await.expect(200);
            let one = format!("{head},{links}{later}}}");
            assert_eq!(get(format!("{root}/{id}")).await.text(), format!(r#"{{"transfer":{one}}}"#));
            assert_eq!(get(format!("{root}/detail")).await.text(), format!(r#"{{"transfers":[{one}]}}"#));
            let summary = format!(r#"{{"id":"{id}","volume_id":"{volume}","name":"t",{links}}}"#);
            assert_eq!(get(root.clone()).await.text(), format!(r#"{{"transfers":[{summary}]}}"#));
            assert_eq!(site.volume_status(&volume).await, VolumeStatus::AwaitingTransfer);

            let gone =
                site.volume("DELETE", &format!("{root}/{id}")).version(version).send().await.expect(202);
            assert_eq!((gone.text(), gone.header("content-type")), ("", Some("text/html; charset=UTF-8")));
            assert_eq!(site.volume_status(&volume).await, VolumeStatus::Available);
            let missing = site.get(&format!("{root}/{id}")).await.expect(404);
            let message = format!("Transfer {id} could not be found.");
            assert_eq!(missing.text(), fault("itemNotFound", 404, &message));
        }
    }
}

#[tokio::test]
async fn what_cannot_be_transferred() {
    let site = Site::new().await;
    let volume = site.available_volume(json!({"size": 1})).await;
    let offer = async |path: &str, version: u16, body: Value| {
        site.volume("POST", path).version(version).json(&json!({ "transfer": body })).send().await
    };
    let new = "/v3/volume-transfers";
    for (body, refusal) in [
        (
            json!({"volume_id": "x"}),
            "Invalid input for field/attribute volume_id. Value: x. 'x' is not a 'uuid'",
        ),
        (
            json!({"name": "x"}),
            "Invalid input for field/attribute transfer. Value: {'name': 'x'}. 'volume_id' is a required property",
        ),
        (
            json!({"volume_id": volume, "name": " "}),
            "Invalid input for field/attribute name. Value:  . ' ' is not valid under any of the given schemas",
        ),
    ] {
        assert_refused(&offer(new, 71, body).await, refusal);
    }
    for (path, version) in [(new, 54), ("/v3/os-volume-transfer", 71)] {
        let answer =
            offer(path, version, json!({"volume_id": volume, "no_snapshots": true})).await.expect(400);
        assert!(answer.text().contains("('no_snapshots' was unexpected)"), "{}", answer.text());
    }
    let snapshot = site.new_snapshot_id(&volume).await;
    let refusal = format!("Invalid snapshot: snapshot: {snapshot} status must be available");
    assert_refused(&offer(new, 71, json!({"volume_id": volume})).await, &refusal);
    assert_eq!(site.volume_status(&volume).await, VolumeStatus::Available);
    offer(new, 71, json!({"volume_id": volume, "no_snapshots": "yes", "name": null})).await.expect(202);
    let again = offer(new, 71, json!({"volume_id": volume, "no_snapshots": true})).await;
    assert_refused(&again, "Invalid volume: status must be available");
    let unknown = "00000000-0000-0000-0000-0000000000ff";
    let missing = offer(new, 71, json!({"volume_id": unknown})).await.expect(404);
    assert_eq!(missing.text(), fault("itemNotFound", 404, &format!("Volume {unknown} could not be found.")));
}

#[tokio::test]
async fn the_key_is_kept_as_a_hash() {
    let site = Site::new().await;
    let volume = site.available_volume(json!({"size": 1})).await;
    let made = site.offer(json!({"volume_id": volume})).await;
    let key = made["auth_key"].as_str().unwrap();
    let id = TransferId::parse(&id_of(&made)).unwrap();
    let row = site.app().database.read().await.unwrap().transfer(&id).await.unwrap().unwrap();
    assert!(!format!("{row:?}").contains(key));
    assert_eq!((row.salt.len(), row.key_hash.len()), (32, 64));
    let other = site.available_volume(json!({"size": 1})).await;
    assert_ne!(site.offer(json!({"volume_id": other})).await["auth_key"], key);
}

#[tokio::test]
async fn lists_have_pages_since_3_59() {
    let site = Site::new().await;
    let mut ids = Vec::new();
    for name in ["a", "b", "c"] {
        let volume = site.available_volume(json!({"size": 1})).await;
        ids.push(id_of(&site.offer(json!({"volume_id": volume, "name": name})).await));
    }
    let list = async |path: &str, version: u16| {
        let answer = site.volume("GET", path).version(version).send().await.expect(200).json();
        let found = answer["transfers"].as_array().unwrap().iter().map(id_of).collect::<Vec<_>>();
        (found, answer["transfers_links"][0]["href"].as_str().map(str::to_owned))
    };
    let newest: Vec<String> = ids.iter().rev().cloned().collect();
    assert_eq!(list("/v3/volume-transfers", 59).await.0, newest);
    for path in ["/v3/volume-transfers", "/v3/os-volume-transfer"] {
        assert_eq!(list(path, 58).await.0, ids);
    }
    let (page, next) = list("/v3/volume-transfers?limit=2&sort=display_name:asc", 71).await;
    assert_eq!(page, ids[..2]);
    let next = next.unwrap();
    assert_eq!(
        next,
        format!(
            "http://cloud.example:8080/volume/v3/volume-transfers?limit=2&sort=display_name%3Aasc&marker={}",
            ids[1]
        )
    );
    assert_eq!(list(next.strip_prefix("http://cloud.example:8080/volume").unwrap(), 71).await.0, ids[2..]);
    // Without pages they are filters that nothing has.
    for path in ["/v3/volume-transfers?limit=2", "/v3/os-volume-transfer?limit=2"] {
        assert_eq!(list(path, 58).await.0, Vec::<String>::new());
    }
    assert_eq!(list("/v3/os-volume-transfer?limit=2", 71).await.0, Vec::<String>::new());
    assert_eq!(list("/v3/volume-transfers/detail?name=b", 71).await.0, ids[1..2]);
    assert_eq!(list("/v3/volume-transfers?no_snapshots=True", 71).await.0, Vec::<String>::new());
    assert_eq!(list("/v3/volume-transfers?bogus=1", 71).await.0, Vec::<String>::new());
    let sorted = site.get("/v3/volume-transfers?sort=salt").await;
    assert_refused(&sorted, "Invalid input received: Invalid sort key");
    let marker = site.get("/v3/volume-transfers?marker=nonsense").await.expect(404);
    assert_eq!(marker.text(), fault("itemNotFound", 404, "Transfer nonsense could not be found."));
}

#[tokio::test]
async fn whoever_follows_the_links_finds_all_transfers() {
    let site = Site::with(|config| config.volumes.osapi_max_limit = 2).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        let volume = site.available_volume(json!({"size": 1})).await;
        ids.push(id_of(&site.offer(json!({"volume_id": volume})).await));
    }
    for (path, version, has_detail) in [
        ("/v3/volume-transfers?sort=created_at:asc", 71, false),
        ("/v3/volume-transfers/detail?sort=created_at:asc", 71, true),
        ("/v3/volume-transfers", 58, false),
        ("/v3/os-volume-transfer", 0, false),
        ("/v3/os-volume-transfer/detail?all_tenants=1", 71, true),
    ] {
        let (mut found, mut next) = (Vec::new(), Some(path.to_owned()));
        while let Some(path) = next.filter(|_| found.len() < 6) {
            let page = site.volume("GET", &path).version(version).send().await.expect(200).json();
            for transfer in page["transfers"].as_array().unwrap() {
                found.push(id_of(transfer));
                assert_eq!(transfer.get("created_at").is_some(), has_detail, "{path}");
            }
            let href = page["transfers_links"][0]["href"].as_str();
            next = href.map(|href| href.strip_prefix("http://cloud.example:8080/volume").unwrap().to_owned());
        }
        assert_eq!(found, ids, "{path} at 3.{version}");
    }
}

async fn post(stage: &Stage, player: Player, path: &str, body: Value) -> Answer {
    stage.call(Api::Volume, player, "POST", path).version(71).json(&body).send().await
}

async fn offer(stage: &Stage, body: Value) -> (String, Value) {
    let made =
        post(stage, MEMBER, "/v3/volume-transfers", json!({ "transfer": body })).await.expect(202).json();
    (id_of(&made["transfer"]), made["transfer"]["auth_key"].clone())
}

async fn accept(stage: &Stage, id: &str, key: &Value) -> Answer {
    let path = format!("/v3/volume-transfers/{id}/accept");
    post(stage, OTHER, &path, json!({"accept": {"auth_key": key}})).await
}

#[tokio::test]
async fn a_volume_goes_to_another_project() {
    for no_snapshots in [false, true] {
        let stage = Stage::new().await;
        let snapshot = stage.snapshot(OURS).await;
        let database = &stage.app().database;
        let volume = database.read().await.unwrap().snapshot(&snapshot).await.unwrap().unwrap().volume_id;
        let (id, key) = offer(&stage, json!({"volume_id": volume, "no_snapshots": no_snapshots})).await;
        let hidden = stage.call(Api::Volume, OTHER, "GET", &format!("/v3/volume-transfers/{id}"));
        hidden.version(71).send().await.expect(404);
        for wrong in [json!("0000000000000000"), json!(""), json!(5), json!("x".repeat(10_000))] {
            let refusal = format!("Invalid auth key: Attempt to transfer {id} with invalid auth key.");
            assert_refused(&accept(&stage, &id, &wrong).await, &refusal);
        }
        let accepted = accept(&stage, &id, &key).await.expect(202).json();
        assert_eq!(accepted["transfer"]["volume_id"], volume.as_str());
        let mut repository = database.read().await.unwrap();
        let row = repository.volume(&volume).await.unwrap().unwrap();
        assert_eq!((row.project_id.as_str(), row.user_id.as_str()), (THEIRS, "user-other"));
        assert_eq!(row.status, VolumeStatus::Available);
        let row = repository.snapshot(&snapshot).await.unwrap().unwrap();
        assert_eq!(row.project_id.as_str() == THEIRS, !no_snapshots);
        drop(repository);
        accept(&stage, &id, &key).await.expect(404);
        if no_snapshots {
            // Nor go back to one of them.
            let revert = json!({"revert": {"snapshot_id": snapshot.as_str()}});
            let reverted = post(&stage, OTHER, &format!("/v3/volumes/{volume}/action"), revert).await;
            assert_refused(&reverted, &format!("Volume {volume} doesn't have any snapshots."));
        }
        // Who has the volume cannot take the snapshots with it that are still the former owner's.
        let cascade = stage.call(Api::Volume, OTHER, "DELETE", &format!("/v3/volumes/{volume}?cascade=true"));
        cascade.version(71).send().await.expect(if no_snapshots { 400 } else { 202 });
    }
}

/// It stayed with the project that it is in when the volume went to another one, and does not go on with it.
#[tokio::test]
async fn a_snapshot_of_a_third_project_is_not_handed_over() {
    // Nor does it count for who gets the volume.
    let stage = Stage::with(|config| config.quotas.quota_snapshots = 0).await;
    let kept = stage.snapshot(OURS).await;
    let volume = stage.volume_of(&kept).await;
    let (id, key) = offer(&stage, json!({"volume_id": volume, "no_snapshots": true})).await;
    accept(&stage, &id, &key).await.expect(202);
    stage.site.reset_snapshot(kept.as_str(), SnapshotStatus::Error).await;
    let body = json!({"transfer": {"volume_id": volume}});
    let made = post(&stage, OTHER, "/v3/volume-transfers", body).await.expect(202).json()["transfer"].clone();
    let path = format!("/v3/volume-transfers/{}/accept", id_of(&made));
    post(&stage, ADMIN, &path, json!({"accept": {"auth_key": made["auth_key"]}})).await.expect(202);
    let mut repository = stage.app().database.read().await.unwrap();
    let volume = repository.volume(&volume).await.unwrap().unwrap();
    assert_eq!(volume.project_id.as_str(), ADMIN.project);
    let kept = repository.snapshot(&kept).await.unwrap().unwrap();
    assert_eq!((kept.project_id.as_str(), kept.user_id.as_str()), (OURS, "owner"));
}

#[tokio::test]
async fn a_transfer_is_for_what_its_receiver_may_have() {
    for (volumes, snapshots, gigabytes, refusal) in [
        (
            0,
            -1,
            -1,
            Some("VolumeLimitExceeded: Maximum number of volumes allowed (0) exceeded for quota 'volumes'."),
        ),
        (
            -1,
            -1,
            0,
            Some(
                "VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed gigabytes quota. \
                 Requested 1G, quota is 0G and 0G has been consumed.",
            ),
        ),
        (
            -1,
            -1,
            1,
            Some(
                "VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed gigabytes quota. \
                 Requested 1G, quota is 1G and 1G has been consumed.",
            ),
        ),
        (-1, 0, -1, Some("SnapshotLimitExceeded: Maximum number of snapshots allowed (0) exceeded")),
        (1, 1, 2, None),
    ] {
        let stage = Stage::with(|config| {
            config.quotas.quota_volumes = volumes;
            config.quotas.quota_snapshots = snapshots;
            config.quotas.quota_gigabytes = gigabytes;
        })
        .await;
        let snapshot = stage.snapshot(OURS).await;
        let database = &stage.app().database;
        let volume = database.read().await.unwrap().snapshot(&snapshot).await.unwrap().unwrap().volume_id;
        let (id, key) = offer(&stage, json!({"volume_id": volume})).await;
        let answer = accept(&stage, &id, &key).await;
        let status = database.read().await.unwrap().volume(&volume).await.unwrap().unwrap().status;
        match refusal {
            None => {
                answer.expect(202);
                assert_eq!(status, VolumeStatus::Available);
            }
            Some(refusal) => {
                assert_eq!(
                    (answer.status.as_u16(), answer.json()["overLimit"]["message"].as_str()),
                    (413, Some(refusal))
                );
                assert_eq!(status, VolumeStatus::AwaitingTransfer);
            }
        }
    }
}

#[tokio::test]
async fn what_was_changed_meanwhile_is_not_accepted() {
    let stage = Stage::new().await;
    let snapshot = stage.snapshot(OURS).await;
    let database = &stage.app().database;
    let volume = database.read().await.unwrap().snapshot(&snapshot).await.unwrap().unwrap().volume_id;
    let (id, key) = offer(&stage, json!({"volume_id": volume})).await;
    let reset = async |volume_status: VolumeStatus, snapshot_status: SnapshotStatus| {
        stage.site.reset_volume(volume.as_str(), volume_status).await;
        stage.site.reset_snapshot(snapshot.as_str(), snapshot_status).await;
    };
    reset(VolumeStatus::Maintenance, SnapshotStatus::Available).await;
    let answer = accept(&stage, &id, &key).await;
    assert_refused(&answer, "Invalid volume: The volume cannot accept transfer in maintenance mode.");
    reset(VolumeStatus::Available, SnapshotStatus::Available).await;
    let refusal =
        format!("Invalid volume: Transfer {id}: Volume id {volume} expected in awaiting-transfer state.");
    assert_refused(&accept(&stage, &id, &key).await, &refusal);
    reset(VolumeStatus::AwaitingTransfer, SnapshotStatus::Error).await;
    let refusal = format!(
        "Invalid snapshot: Transfer {id}: Snapshot {snapshot} is not in the expected available state."
    );
    assert_refused(&accept(&stage, &id, &key).await, &refusal);
    // A second offer, after an administrator took the first one back: it ends with the acceptance of either.
    reset(VolumeStatus::Available, SnapshotStatus::Available).await;
    let (second, _) = offer(&stage, json!({"volume_id": volume})).await;
    accept(&stage, &id, &key).await.expect(202);
    accept(&stage, &second, &key).await.expect(404);
}
