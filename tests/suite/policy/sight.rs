//! Who sees what: images of each visibility, and things of other projects in lists.

use pumice::model::ImageStatus;
use serde_json::{Value, json};

use super::stage::{ADMIN, Api, MEMBER, NOBODY, OTHER, OURS, Player, READER, Stage, THEIRS};

const VISIBILITIES: [&str; 4] = ["private", "shared", "community", "public"];

#[tokio::test]
async fn images_are_seen_as_their_visibility_says() {
    let stage = Stage::new().await;
    for (player, method, suffix, statuses) in [
        (NOBODY, "GET", "", [404, 404, 404, 404]),
        (READER, "GET", "", [200, 200, 200, 200]),
        (MEMBER, "GET", "", [200, 200, 200, 200]),
        (ADMIN, "GET", "", [200, 200, 200, 200]),
        (OTHER, "GET", "", [404, 404, 200, 200]),
        // To read is not to download.
        (READER, "GET", "/file", [403, 403, 403, 403]),
        (MEMBER, "GET", "/file", [204, 204, 204, 204]),
        (OTHER, "GET", "/file", [404, 404, 204, 204]),
        (OTHER, "DELETE", "", [404, 404, 403, 403]),
        (OTHER, "PUT", "/tags/x", [404, 404, 403, 403]),
        (OTHER, "POST", "/actions/deactivate", [404, 404, 403, 403]),
        (READER, "DELETE", "", [403, 403, 403, 403]),
    ] {
        let mut found = [0; 4];
        for (i, visibility) in VISIBILITIES.into_iter().enumerate() {
            let id = stage.image(OURS, visibility, ImageStatus::Active).await;
            let call = stage.call(Api::Image, player, method, &format!("/v2/images/{id}{suffix}"));
            found[i] = call.send().await.status.as_u16();
        }
        assert_eq!(found, statuses, "{method} {suffix} as {player:?}");
    }
}

async fn listed(stage: &Stage, api: Api, player: Player, path: &str, key: &str) -> Vec<Value> {
    let call = stage.call(api, player, "GET", path);
    let call = if matches!(api, Api::Volume) { call.version(71) } else { call };
    call.send().await.expect(200).json()[key].as_array().unwrap().clone()
}

#[tokio::test]
async fn lists_of_images_hold_what_the_caller_may_see() {
    let stage = Stage::new().await;
    for visibility in VISIBILITIES {
        stage.image(OURS, visibility, ImageStatus::Active).await;
    }
    for (player, query, expected) in [
        (MEMBER, "", &["public", "community", "shared", "private"][..]),
        (OTHER, "", &["public"]),
        (OTHER, "?visibility=all", &["public", "community"]),
        (OTHER, "?visibility=community", &["community"]),
        (OTHER, "?visibility=private", &[]),
        (OTHER, "?visibility=shared", &[]),
        (ADMIN, "", &["public", "shared", "private"]),
        (ADMIN, "?visibility=all", &["public", "community", "shared", "private"]),
    ] {
        let images = listed(&stage, Api::Image, player, &format!("/v2/images{query}"), "images").await;
        let found: Vec<&str> = images.iter().map(|image| image["visibility"].as_str().unwrap()).collect();
        assert_eq!(found, expected, "{query} as {player:?}");
    }
}

#[tokio::test]
async fn an_image_is_made_for_others_or_shown_to_them_only_by_who_may() {
    let stage = Stage::new().await;
    let post = async |player, body: Value| {
        stage.call(Api::Image, player, "POST", "/v2/images").json(&body).send().await
    };
    post(READER, json!({})).await.expect(403);
    post(MEMBER, json!({"visibility": "community"})).await.expect(201);
    let refused = post(MEMBER, json!({"visibility": "public"})).await.expect(403);
    assert!(refused.text().contains("You are not authorized to complete publicize_image action."));
    let refused = post(MEMBER, json!({"owner": THEIRS})).await.expect(403);
    let said = format!("You are not permitted to create images owned by '{THEIRS}'.");
    assert!(refused.text().contains(&said), "{}", refused.text());
    assert_eq!(post(ADMIN, json!({"owner": THEIRS})).await.expect(201).json()["owner"], THEIRS);
    post(ADMIN, json!({"visibility": "public"})).await.expect(201);

    let id = stage.image(OURS, "private", ImageStatus::Active).await;
    let patch = async |player, path: &str, value: &str| {
        let changes = json!([{"op": "replace", "path": path, "value": value}]);
        let call = stage.call(Api::Image, player, "PATCH", &format!("/v2/images/{id}"));
        let call = call.header("content-type", "application/openstack-images-v2.1-json-patch");
        call.body(changes.to_string()).send().await
    };
    patch(MEMBER, "/visibility", "public").await.expect(403);
    patch(MEMBER, "/visibility", "community").await.expect(200);
    patch(OTHER, "/name", "mine").await.expect(403);
    patch(MEMBER, "/owner", THEIRS).await.expect(403);
    patch(ADMIN, "/owner", THEIRS).await.expect(200);
}

#[tokio::test]
async fn a_property_cannot_pass_for_the_owner() {
    let stage = Stage::new().await;
    let body =
        json!({"visibility": "private", "project_id": THEIRS, "member_id": THEIRS, "is_public": "yes"});
    let made = stage.call(Api::Image, MEMBER, "POST", "/v2/images").json(&body).send().await.expect(201);
    let path = format!("/v2/images/{}", made.json()["id"].as_str().unwrap());
    stage.call(Api::Image, OTHER, "GET", &path).send().await.expect(404);
    stage.call(Api::Image, MEMBER, "DELETE", &path).send().await.expect(204);
}

#[tokio::test]
async fn a_deactivated_image_is_downloaded_by_administrators_only() {
    let stage = Stage::new().await;
    let id = stage.image(OURS, "public", ImageStatus::Deactivated).await;
    for (player, status) in [(MEMBER, 403), (OTHER, 403), (ADMIN, 204)] {
        stage.call(Api::Image, player, "GET", &format!("/v2/images/{id}/file")).send().await.expect(status);
    }
}

#[tokio::test]
async fn lists_of_volumes_hold_the_own_project_and_all_for_administrators() {
    let stage = Stage::new().await;
    for project in [OURS, THEIRS] {
        stage.snapshot(project).await;
        stage.job(project).await;
    }
    for (player, query, count) in [
        (READER, "", 1),
        (OTHER, "", 1),
        (OTHER, "?all_tenants=1", 1),
        (ADMIN, "", 0),
        (ADMIN, "?all_tenants=1", 2),
    ] {
        for kind in ["volumes", "snapshots"] {
            let found = listed(&stage, Api::Volume, player, &format!("/v3/{kind}/detail{query}"), kind).await;
            assert_eq!(found.len(), count, "{kind}{query} as {player:?}");
        }
    }
    for (player, count) in [(READER, 1), (OTHER, 1), (ADMIN, 2)] {
        let found = listed(&stage, Api::Pumice, player, "/pumice/v1/jobs", "jobs").await;
        assert_eq!(found.len(), count, "{player:?}");
    }
    for (player, query, count) in [
        (OTHER, "", 1),
        (OTHER, "?all_tenants=1&colour=red", 1),
        (ADMIN, "", 0),
        (ADMIN, "?all_tenants=1", 2),
    ] {
        let path = format!("/v3/volumes/summary{query}");
        let totals =
            stage.call(Api::Volume, player, "GET", &path).version(71).send().await.expect(200).json();
        assert_eq!(totals["volume-summary"]["total_count"], count, "{query} as {player:?}");
    }
}

#[tokio::test]
async fn what_of_a_volume_is_shown_is_a_matter_of_rules() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.yaml");
    let rules = "'volume_extension:volume_host_attribute': 'role:reader'\n\
        'volume_extension:volume_tenant_attribute': '!'\n\
        'volume_extension:extended_snapshot_attributes': '!'\n";
    std::fs::write(&file, rules).unwrap();
    let usual = Stage::new().await;
    let changed = Stage::with(|config| config.policy.volume_policy_file = Some(file.clone())).await;
    for (stage, host, tenant) in [(&usual, false, true), (&changed, true, false)] {
        let path = format!("/v3/volumes/{}", stage.volume(OURS).await);
        let volume = stage.call(Api::Volume, READER, "GET", &path).send().await.expect(200).json();
        assert_eq!(volume["volume"].get("os-vol-host-attr:host").is_some(), host);
        assert_eq!(volume["volume"].get("os-vol-tenant-attr:tenant_id").is_some(), tenant);
        let path = format!("/v3/snapshots/{}", stage.snapshot(OURS).await);
        let snapshot = stage.call(Api::Volume, READER, "GET", &path).send().await.expect(200).json();
        let progress = snapshot["snapshot"].get("os-extended-snapshot-attributes:progress");
        assert_eq!(progress.is_some(), tenant);
    }
}

#[tokio::test]
async fn a_volume_is_made_only_from_what_its_maker_may_see() {
    let stage = Stage::new().await;
    let create = async |player, from: Value| {
        let mut volume = json!({"size": 1});
        volume.as_object_mut().unwrap().extend(from.as_object().unwrap().clone());
        let call = stage.call(Api::Volume, player, "POST", "/v3/volumes").version(71);
        call.json(&json!({"volume": volume})).send().await.status.as_u16()
    };
    let volume = stage.volume(OURS).await;
    let snapshot = stage.snapshot(OURS).await;
    let private = stage.image(OURS, "private", ImageStatus::Active).await;
    let public = stage.image(OURS, "public", ImageStatus::Active).await;
    for (from, ours, theirs) in [
        (json!({"source_volid": volume.as_str()}), 202, 404),
        (json!({"snapshot_id": snapshot.as_str()}), 202, 404),
        (json!({"imageRef": private.as_str()}), 202, 400),
        (json!({"imageRef": public.as_str()}), 202, 202),
    ] {
        let statuses = (create(MEMBER, from.clone()).await, create(OTHER, from.clone()).await);
        assert_eq!(statuses, (ours, theirs), "{from}");
    }
}

/// An administrator of the system, for instance.
/// A page on which a rule left out all is not the last one.
#[tokio::test]
async fn pages_of_namespaces_go_on_behind_what_a_rule_leaves_out() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.yaml");
    std::fs::write(&file, "get_metadef_namespace: project_id:%(project_id)s\n").unwrap();
    let stage = Stage::with(|config| config.policy.image_policy_file = Some(file)).await;
    let ours = stage.namespace(OURS, "public").await;
    let theirs = stage.namespace(THEIRS, "public").await;
    let path = "/v2/metadefs/namespaces?limit=1&sort_key=created_at&sort_dir=desc";
    let page = stage.call(Api::Image, MEMBER, "GET", path).send().await.expect(200).json();
    assert_eq!(page["namespaces"], json!([]));
    let next = page["next"].as_str().unwrap();
    assert!(next.ends_with(&format!("marker={theirs}")), "{next}");
    let page = stage.call(Api::Image, MEMBER, "GET", next).send().await.expect(200).json();
    assert_eq!(page["namespaces"][0]["namespace"], ours);
}

#[tokio::test]
async fn who_has_no_project_makes_no_volume() {
    let stage = Stage::new().await;
    let player = Player { project: "", ..ADMIN };
    let call = stage.call(Api::Volume, player, "POST", "/v3/volumes").json(&json!({"volume": {"size": 1}}));
    let refused = call.send().await.expect(400);
    assert!(refused.text().contains("not scoped"), "{}", refused.text());
}

#[tokio::test]
async fn who_has_no_project_makes_nothing_of_a_volume() {
    let stage = Stage::new().await;
    let player = Player { project: "", ..ADMIN };
    let volume = stage.volume(OURS).await;
    stage.lay_snapshot(&volume, "by-hand").await;
    let managed = json!({"snapshot": {"volume_id": volume, "ref": {"source-name": "by-hand"}}});
    for (path, body) in [
        ("/v3/snapshots".to_owned(), json!({"snapshot": {"volume_id": volume}})),
        ("/v3/os-snapshot-manage".to_owned(), managed),
        (format!("/v3/volumes/{volume}/action"), json!({"os-volume_upload_image": {"image_name": "i"}})),
    ] {
        let refused = stage.call(Api::Volume, player, "POST", &path).json(&body).send().await.expect(400);
        assert!(refused.text().contains("not scoped"), "{path}: {}", refused.text());
    }
}

#[tokio::test]
async fn refusals_read_as_those_of_the_real_services() {
    let stage = Stage::new().await;
    let volume = format!("/v3/volumes/{}", stage.volume(OURS).await);
    let refused = stage.call(Api::Volume, READER, "DELETE", &volume).send().await.expect(403);
    let said = "Policy doesn't allow volume:delete to be performed.";
    assert_eq!(refused.json(), json!({"forbidden": {"code": 403, "message": said}}));
    let forced = format!("{volume}?force=true");
    let refused = stage.call(Api::Volume, MEMBER, "DELETE", &forced).version(71).send().await.expect(403);
    assert!(refused.text().contains("volume:force_delete"));

    let image = format!("/v2/images/{}", stage.image(OURS, "private", ImageStatus::Active).await);
    let refused = stage.call(Api::Image, READER, "DELETE", &image).send().await.expect(403);
    assert_eq!(
        refused.text(),
        "403 Forbidden\n\nYou are not authorized to complete delete_image action.\n\n   "
    );
    let list = stage.call(Api::Image, NOBODY, "GET", "/v2/images").send().await.expect(403);
    assert!(list.text().contains("get_images"));
    let jobs = stage.call(Api::Pumice, NOBODY, "GET", "/pumice/v1/jobs").send().await.expect(403);
    assert_eq!(jobs.json()["error"]["code"], 403);
}
