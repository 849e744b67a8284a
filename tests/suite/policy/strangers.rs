//! Nobody reads, guesses or touches what is another project's, by any route there is. The routes are those of the code,
//! so that a new one is tried here without being named.

use std::collections::BTreeSet;

use axum::body::BodyDataStream;
use futures::StreamExt;
use pumice::db::JobOutcome;
use pumice::model::{ImageStatus, JobId, MemberStatus};
use serde_json::json;

use super::gate::{self, Route, Wanted};
use super::stage::{Api, OTHER, OURS, Player, Stage, THEIRS};
use crate::process::PATIENCE;

const STRANGERS: [Player; 2] = [OTHER, Player { name: "other reader", roles: &["reader"], project: THEIRS }];

/// What names a thing of one project.
const OWNED: [&str; 9] = [
    "{image_id}",
    "{task_id}",
    "{namespace}",
    "{volume_id}",
    "{attachment_id}",
    "{snapshot_id}",
    "{transfer_id}",
    "{message_id}",
    "{id}",
];

/// What strangers get who name a thing that is not theirs: it is not there for them. The exceptions are those of the
/// real services.
fn expected(route: &Route, player: &Player) -> u16 {
    let is_reader = player.roles == ["reader"];
    match route.path.as_str() {
        // Whoever may not ask at all is told so first.
        path if path.starts_with("/v2/tasks/") => 403,
        // With a wrong key.
        path if path.ends_with("/accept") && is_reader => 403,
        path if path.ends_with("/accept") => 400,
        // The image was shared with the strangers' project: it is seen, and is not theirs.
        "/v2/images/{image_id}/members" | "/v2/images/{image_id}/members/{member_id}" => {
            match route.method.as_str() {
                "GET" => 200,
                "PUT" if !is_reader => 200,
                _ => 403,
            }
        }
        _ => 404,
    }
}

/// The ids and names of what is ours: the first column of its rows, where our project stands in them or nobody's does.
fn secrets(rows: &BTreeSet<(String, String)>) -> BTreeSet<String> {
    let ours = rows.iter().filter(|(table, row)| table == "attachments" || row.contains(OURS));
    let ids = ours.filter(|(table, _)| !table.starts_with("quota") && table != "default_volume_types");
    let ids = ids.filter_map(|(_, row)| row.split('\'').nth(1).map(str::to_owned));
    ids.chain([OURS.to_owned()]).collect()
}

/// Sends it, and sees that nothing of ours changes and nothing of ours is told but what the stranger said himself.
async fn attempt(stage: &Stage, route: &Route, player: Player, path: &str, wanted: Wanted) -> u16 {
    let what = format!("{} as {}", route.line(), player.name);
    let said = format!("{path} {}", wanted.as_ref().map(|(_, body)| body.to_string()).unwrap_or_default());
    let before = stage.site.rows().await;
    let answer = gate::newest(route, gate::call(stage, route, player, path, wanted)).send().await;
    let after = stage.site.rows().await;
    let is_own_answer = route.path.contains("/members/{member_id}") && route.method == "PUT";
    for row in before.difference(&after) {
        assert!(is_own_answer && row.0 == "image_members", "{what} changed {row:?}");
    }
    let body = String::from_utf8_lossy(&answer.body);
    let headers = format!("{:?}", answer.headers);
    for secret in secrets(&before).iter().filter(|secret| !said.contains(secret.as_str())) {
        assert!(!body.contains(secret) && !headers.contains(secret), "{what} tells {secret}: {body}");
    }
    answer.status.as_u16()
}

#[tokio::test]
async fn no_route_tells_or_changes_anything_of_another_project() {
    let stage = Stage::new().await;
    // So that every list would have something to tell.
    stage.message(OURS).await;
    stage.transfer(OURS).await;
    stage.attachment(OURS).await;
    stage.snapshot(OURS).await;
    stage.job(OURS).await;
    stage.namespace(OURS, "private").await;
    let shared = stage.image(OURS, "shared", ImageStatus::Active).await;
    stage.member(&shared, "0000000000000000000000000000dddd", MemberStatus::Accepted).await;
    let mut tried = 0;
    for route in gate::routes() {
        // Has no end: see below.
        if route.path.ends_with("/events") {
            continue;
        }
        for player in STRANGERS {
            let (path, mut wanted) = gate::prepare(&stage, &route).await;
            if route.path.ends_with("/accept") {
                wanted = gate::json(json!({"accept": {"auth_key": "fedcba9876543210"}}));
            }
            let status = attempt(&stage, &route, player, &path, wanted).await;
            if OWNED.iter().any(|variable| route.path.contains(variable)) {
                assert_eq!(status, expected(&route, &player), "{} as {}", route.line(), player.name);
                tried += 1;
            }
        }
    }
    assert!(tried > 200, "{tried}");
}

/// Reads on until it tells of this job.
async fn read(events: &mut BodyDataStream, told: &mut String, job: &JobId) {
    let read = tokio::time::timeout(PATIENCE, async {
        while !told.contains(job.as_str()) {
            told.push_str(std::str::from_utf8(&events.next().await.unwrap().unwrap()).unwrap());
        }
    });
    assert!(read.await.is_ok(), "{job} is not told of: {told}");
}

/// The older news come first, so what comes before a job of their own would tell of ours.
#[tokio::test]
async fn events_tell_nothing_of_another_project() {
    let stage = Stage::new().await;
    for player in STRANGERS {
        let (ours, theirs) = (stage.job(OURS).await, stage.job(THEIRS).await);
        let answer = stage.call(Api::Pumice, player, "GET", "/pumice/v1/jobs/events").open().await;
        assert_eq!(answer.status().as_u16(), 200);
        let (mut events, mut told) = (answer.into_body().into_data_stream(), String::new());
        read(&mut events, &mut told, &theirs).await;
        let mut repository = stage.app().database.begin().await.unwrap();
        let now = stage.app().world.now();
        repository.finish_job(&ours, &JobOutcome::Done, None, now).await.unwrap();
        repository.commit().await.unwrap();
        stage.job(OURS).await;
        let theirs = stage.job(THEIRS).await;
        read(&mut events, &mut told, &theirs).await;
        for secret in secrets(&stage.site.rows().await) {
            assert!(!told.contains(&secret), "{} is told {secret}: {told}", player.name);
        }
    }
}

/// Things are named in bodies, too.
#[tokio::test]
async fn nothing_is_made_from_what_is_another_projects() {
    let stage = Stage::new().await;
    let (volume, snapshot) = (stage.volume(OURS).await, stage.snapshot(OURS).await);
    let image = stage.image(OURS, "private", ImageStatus::Active).await;
    let own = stage.volume(THEIRS).await;
    let own_path = format!("/v3/volumes/{own}/action");
    for (path, body) in [
        ("/v3/volumes", json!({"volume": {"size": 1, "snapshot_id": snapshot}})),
        ("/v3/volumes", json!({"volume": {"size": 1, "source_volid": volume}})),
        ("/v3/volumes", json!({"volume": {"size": 1, "imageRef": image}})),
        ("/v3/snapshots", json!({"snapshot": {"volume_id": volume}})),
        ("/v3/snapshots", json!({"snapshot": {"volume_id": volume, "force": true}})),
        ("/v3/attachments", json!({"attachment": {"volume_uuid": volume}})),
        ("/v3/volume-transfers", json!({"transfer": {"volume_id": volume}})),
        (&own_path, json!({"revert": {"snapshot_id": snapshot}})),
        (&own_path, json!({"os-reimage": {"image_id": image}})),
    ] {
        let route = Route { api: Api::Volume, method: "POST".into(), path: path.to_owned(), action: None };
        for player in STRANGERS {
            let status = attempt(&stage, &route, player, path, gate::json(body.clone())).await;
            // As for what is not there at all, or for those who may not make anything.
            assert!(matches!(status, 400 | 403 | 404), "{path} {body} as {}: {status}", player.name);
        }
    }
}
