//! Private volume types are there for administrators and for the projects that were let in.

use serde_json::{Value, json};

use super::stage::{ADMIN, Api, MEMBER, OTHER, OURS, Player, READER, Stage, THEIRS};

async fn names(stage: &Stage, player: Player, query: &str, version: u16) -> Vec<String> {
    let call = stage.call(Api::Volume, player, "GET", &format!("/v3/types{query}")).version(version);
    let types = call.send().await.expect(200).json()["volume_types"].clone();
    types.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn private_types_are_seen_by_whom_they_are_for() {
    let stage = Stage::new().await;
    let private = stage.volume_type(false).await;
    let public = stage.volume_type(true).await;
    let default = "00000000-0000-0000-0000-000000000002";
    let (private, public) = (private.as_str(), public.as_str());
    // Newest first.
    for (player, query, expected) in [
        (MEMBER, "", &[public, default][..]),
        (MEMBER, "?is_public=None", &[public, default]),
        (MEMBER, "?is_public=false", &[public, default]),
        (OTHER, "", &[public, private, default]),
        (ADMIN, "", &[public, default]),
        (ADMIN, "?is_public=None", &[public, private, default]),
        (ADMIN, "?is_public=0", &[private]),
        (ADMIN, "?is_public=1", &[public, default]),
    ] {
        assert_eq!(names(&stage, player, query, 71).await, expected, "{query} as {}", player.name);
    }

    let path = format!("/v3/types/{private}");
    for (player, shown, used) in
        [(READER, 404, 404), (MEMBER, 404, 404), (OTHER, 200, 202), (ADMIN, 200, 202)]
    {
        for path in [path.clone(), format!("{path}/extra_specs"), format!("{path}/extra_specs/multiattach")] {
            stage.call(Api::Volume, player, "GET", &path).send().await.expect(shown);
        }
        let body = json!({"volume": {"size": 1, "volume_type": private}});
        stage
            .call(Api::Volume, player, "POST", "/v3/volumes")
            .version(71)
            .json(&body)
            .send()
            .await
            .expect(used);
    }
    // Let in, and out again.
    let change = async |body: Value| {
        stage
            .call(Api::Volume, ADMIN, "POST", &format!("{path}/action"))
            .json(&body)
            .send()
            .await
            .expect(202);
    };
    change(json!({"addProjectAccess": {"project": OURS}})).await;
    assert!(names(&stage, MEMBER, "", 71).await.contains(&private.to_owned()));
    stage.call(Api::Volume, MEMBER, "GET", &path).send().await.expect(200);
    change(json!({"removeProjectAccess": {"project": OURS}})).await;
    stage.call(Api::Volume, MEMBER, "GET", &path).send().await.expect(404);
}

#[tokio::test]
async fn extra_specs_that_are_not_everybodys_are_hidden() {
    let stage = Stage::new().await;
    let id = stage.volume_type(true).await;
    let path = format!("/v3/types/{id}/extra_specs");
    let specs = json!({"extra_specs": {"volume_backend_name": "secret", "replication_enabled": "<is> True"}});
    stage.call(Api::Volume, ADMIN, "POST", &path).json(&specs).send().await.expect(200);
    let get =
        async |player, path: &str| stage.call(Api::Volume, player, "GET", path).version(71).send().await;
    let all = json!({
        "multiattach": "<is> False", "replication_enabled": "<is> True", "volume_backend_name": "secret",
    });
    let everybodys = json!({"multiattach": "<is> False", "replication_enabled": "<is> True"});
    for (player, seen, status) in [(ADMIN, &all, 200), (READER, &everybodys, 404)] {
        assert_eq!(get(player, &path).await.json()["extra_specs"], *seen);
        assert_eq!(get(player, &format!("/v3/types/{id}")).await.json()["volume_type"]["extra_specs"], *seen);
        get(player, &format!("{path}/volume_backend_name")).await.expect(status);
        get(player, &format!("{path}/replication_enabled")).await.expect(200);
    }
    // Nor can they be guessed by filtering.
    let query = |filter: &str| {
        format!("?extra_specs={{\"{filter}\":\"secret\"}}")
            .replace('"', "%22")
            .replace('{', "%7B")
            .replace('}', "%7D")
    };
    assert_eq!(names(&stage, ADMIN, &query("volume_backend_name"), 52).await, [id.as_str()]);
    assert!(names(&stage, READER, &query("volume_backend_name"), 52).await.is_empty());
    // Before 3.52 the filter is no filter but for administrators.
    assert_eq!(names(&stage, READER, &query("volume_backend_name"), 51).await.len(), 2);
    let refused =
        stage.call(Api::Volume, READER, "GET", "/v3/types?name=x").version(52).send().await.expect(400);
    assert_eq!(refused.json()["badRequest"]["message"], "Invalid filters name are found in query options.");
}

/// The answer to an upload holds the volume's type, with what the type itself would show.
#[tokio::test]
async fn an_upload_tells_of_a_type_what_its_reader_may_know() {
    let stage = Stage::new().await;
    let default = "00000000-0000-0000-0000-000000000002";
    let admin = |method, path: &str| stage.call(Api::Volume, ADMIN, method, path).version(71);
    let specs = json!({"extra_specs": {"volume_backend_name": "secret", "multiattach": "<is> False"}});
    admin("POST", &format!("/v3/types/{default}/extra_specs")).json(&specs).send().await.expect(200);
    let qos = stage.qos_specs().await;
    let associate = format!("/v3/qos-specs/{qos}/associate?vol_type_id={default}");
    admin("GET", &associate).send().await.expect(202);
    for (player, seen, qos_specs_id) in [
        (MEMBER, json!({"multiattach": "<is> False"}), json!(null)),
        (ADMIN, specs["extra_specs"].clone(), json!(qos)),
    ] {
        let path = format!("/v3/volumes/{}/action", stage.volume(OURS).await);
        let body = json!({"os-volume_upload_image": {"image_name": "i"}});
        let call = stage.call(Api::Volume, player, "POST", &path).version(71).json(&body);
        let said = call.send().await.expect(202).json()["os-volume_upload_image"].clone();
        let of = &said["volume_type"];
        assert_eq!((&of["extra_specs"], &of["qos_specs_id"]), (&seen, &qos_specs_id), "{player:?}");
    }
}

#[tokio::test]
async fn quotas_name_the_types_that_their_reader_may_see() {
    let stage = Stage::new().await;
    let private = format!("volumes_type {}", stage.volume_type(false).await);
    let public = format!("gigabytes_type {}", stage.volume_type(true).await);
    let named = async |player, path: &str| {
        let set = stage.call(Api::Volume, player, "GET", path).send().await.expect(200).json();
        let set = set.as_object().unwrap().values().next().unwrap().clone();
        (set.get(&private).is_some(), set.get(&public).is_some())
    };
    for (player, project, sees) in
        [(READER, OURS, false), (MEMBER, OURS, false), (OTHER, THEIRS, true), (ADMIN, OURS, true)]
    {
        for end in ["", "?usage=true", "/defaults"] {
            let path = format!("/v3/os-quota-sets/{project}{end}");
            assert_eq!(named(player, &path).await, (sees, true), "{path} as {player:?}");
        }
    }
    assert_eq!(named(ADMIN, "/v3/os-quota-class-sets/default").await, (true, true));
    // Nor are they guessed by who may not set limits at all.
    for (path, set) in [
        (format!("/v3/os-quota-sets/{OURS}"), "quota_set"),
        ("/v3/os-quota-class-sets/default".to_owned(), "quota_class_set"),
    ] {
        for name in [private.as_str(), "volumes_no such type"] {
            let call = stage.call(Api::Volume, MEMBER, "PUT", &path).json(&json!({set: {name: 1}}));
            call.send().await.expect(403);
        }
        let name = private.as_str();
        let body = json!({set: {name: 1}});
        stage.call(Api::Volume, ADMIN, "PUT", &path).json(&body).send().await.expect(200);
    }
}

/// A project that was let out of a type has its volumes still, and they count.
#[tokio::test]
async fn what_is_of_a_type_that_is_not_seen_counts() {
    let stage = Stage::with(|config| config.quotas.quota_volumes = 1).await;
    let private = stage.volume_type(false).await;
    let create = async || {
        let body = json!({"volume": {"size": 1}});
        stage.call(Api::Volume, OTHER, "POST", "/v3/volumes").json(&body).send().await
    };
    let body = json!({"volume": {"size": 1, "volume_type": private.as_str()}});
    stage.call(Api::Volume, OTHER, "POST", "/v3/volumes").json(&body).send().await.expect(202);
    let path = format!("/v3/types/{private}/action");
    let out = json!({"removeProjectAccess": {"project": THEIRS}});
    stage.call(Api::Volume, ADMIN, "POST", &path).json(&out).send().await.expect(202);
    create().await.expect(413);
    let path = format!("/v3/os-quota-sets/{THEIRS}?usage=true");
    let set = stage.call(Api::Volume, OTHER, "GET", &path).send().await.expect(200).json();
    assert_eq!(set["quota_set"]["volumes"], json!({"limit": 1, "in_use": 1, "reserved": 0}));
    assert_eq!(set["quota_set"].get(format!("volumes_type {private}")), None);
}
