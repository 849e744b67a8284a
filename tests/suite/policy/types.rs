//! Private volume types are there for administrators and for the projects that were let in.

use serde_json::{Value, json};

use super::stage::{ADMIN, Api, MEMBER, OTHER, OURS, Player, READER, Stage};

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
