//! Custom properties of images that not everybody may create, read, update and delete.

use pumice::config::{Config, PropertyRules};
use pumice::model::{ImageId, ImageStatus};
use serde_json::{Value, json};

use super::stage::{ADMIN, Api, MEMBER, OTHER, OURS, Player, READER, Stage};

const FILE: &str = "[^secret]\ncreate = admin\nread = admin\nupdate = admin\ndelete = admin\n\
    [^fixed]\ncreate = @\nread = @\nupdate = !\ndelete = admin\n\
    [^open]\ncreate = member\nread = @\nupdate = member\ndelete = member\n";

const V2_1: &str = "application/openstack-images-v2.1-json-patch";

async fn stage(folder: &std::path::Path, change: impl FnOnce(&mut Config)) -> Stage {
    let file = folder.join("protections.conf");
    std::fs::write(&file, FILE).unwrap();
    Stage::with(|config| {
        config.policy.property_protection_file = Some(file);
        change(config);
    })
    .await
}

impl Stage {
    async fn change(&self, player: Player, id: &str, op: &str, name: &str) -> (u16, String) {
        let patch = json!([{"op": op, "path": format!("/{name}"), "value": "new"}]);
        let call = self.call(Api::Image, player, "PATCH", &format!("/v2/images/{id}"));
        let call = call.header("content-type", V2_1).header("accept", "application/json");
        let answer = call.body(patch.to_string()).send().await;
        let status = answer.status.as_u16();
        let said = if status == 200 { String::new() } else { answer.json()["message"].to_string() };
        (status, said)
    }

    async fn seen(&self, player: Player, id: &str) -> Value {
        let answer = self.call(Api::Image, player, "GET", &format!("/v2/images/{id}")).send().await;
        let image = answer.expect(200).json();
        json!([image.get("secret"), image.get("fixed"), image.get("open"), image.get("other")])
    }

    /// With one property that members may see and one that they may not.
    async fn half_secret_image(&self) -> ImageId {
        let image = self.image(OURS, "shared", ImageStatus::Active).await;
        let mut repository = self.app().database.begin().await.unwrap();
        let mut row = repository.image_to_change(&image).await.unwrap().unwrap();
        row.properties.0.insert("secret".to_owned(), "s".to_owned());
        row.properties.0.insert("open".to_owned(), "o".to_owned());
        repository.update_image(&row).await.unwrap();
        repository.commit().await.unwrap();
        image
    }
}

#[tokio::test]
async fn roles_decide_by_the_first_section_that_fits() {
    let folder = tempfile::tempdir().unwrap();
    let stage = stage(folder.path(), |_| {}).await;
    let create = async |player, body: &Value| {
        let call = stage.call(Api::Image, player, "POST", "/v2/images").header("accept", "application/json");
        call.json(body).send().await
    };
    let body = json!({"owner": OURS, "secret": "s", "fixed": "f", "open": "o", "visibility": "public"});
    let refused = create(MEMBER, &json!({"secret": "s"})).await.expect(403);
    assert!(refused.json()["message"].as_str().unwrap().contains("Attribute 'secret' is reserved."));
    create(ADMIN, &json!({"other": "x"})).await.expect(403);
    let made = create(ADMIN, &body).await.expect(201).json();
    assert_eq!(made["secret"], "s");
    let id = made["id"].as_str().unwrap();

    assert_eq!(stage.seen(ADMIN, id).await, json!(["s", "f", "o", null]));
    for player in [MEMBER, READER, OTHER] {
        assert_eq!(stage.seen(player, id).await, json!([null, "f", "o", null]));
    }
    let listed = stage.call(Api::Image, MEMBER, "GET", "/v2/images").send().await.expect(200).json();
    assert_eq!((&listed["images"][0]["open"], &listed["images"][0]["secret"]), (&json!("o"), &Value::Null));

    for (player, op, name, status) in [
        (MEMBER, "add", "open", 200),
        (MEMBER, "replace", "fixed", 403),
        (MEMBER, "add", "fixed", 403),
        (MEMBER, "remove", "fixed", 403),
        // Who may not see it is told that it is not there.
        (MEMBER, "replace", "secret", 409),
        (MEMBER, "remove", "secret", 409),
        (MEMBER, "add", "secret", 403),
        (MEMBER, "add", "fixed_too", 200),
        (MEMBER, "add", "other", 403),
        (ADMIN, "replace", "secret", 200),
        (ADMIN, "replace", "fixed", 403),
        (ADMIN, "remove", "fixed", 200),
    ] {
        let (found, said) = stage.change(player, id, op, name).await;
        assert_eq!(found, status, "{} {op} {name}: {said}", player.name);
        if status == 403 {
            assert!(said.contains(&format!("Attribute '{name}' is reserved.")), "{said}");
        }
    }
    // What a member does not see they do not lose either.
    assert_eq!(stage.seen(ADMIN, id).await, json!(["new", null, "new", null]));

    // A service may what its own roles allow it.
    let routes = stage.routes_through(Api::Image, MEMBER, &["admin"]);
    let shown = crate::support::Call::to(routes, "GET", &format!("/v2/images/{id}")).send().await;
    assert_eq!(shown.expect(200).json()["secret"], "new");
}

#[tokio::test]
async fn volumes_take_over_what_their_maker_may_see() {
    let folder = tempfile::tempdir().unwrap();
    let stage = stage(folder.path(), |_| {}).await;
    let image = stage.half_secret_image().await;
    let body = json!({"volume": {"size": 1, "imageRef": image.to_string()}});
    let path = format!("/v3/{OURS}/volumes");
    let made = stage.call(Api::Volume, MEMBER, "POST", &path).json(&body).send().await.expect(202).json();
    let id = made["volume"]["id"].as_str().unwrap();
    let shown =
        stage.call(Api::Volume, MEMBER, "GET", &format!("{path}/{id}")).send().await.expect(200).json();
    let metadata = &shown["volume"]["volume_image_metadata"];
    assert_eq!((&metadata["open"], &metadata["secret"]), (&json!("o"), &Value::Null));
}

#[tokio::test]
async fn reimaged_volumes_take_over_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let stage = stage(folder.path(), |_| {}).await;
    let image = stage.half_secret_image().await;
    for (player, readable) in [(MEMBER, json!(["open"])), (ADMIN, json!(["open", "secret"]))] {
        let path = format!("/v3/volumes/{}/action", stage.volume(OURS).await);
        let action = json!({"os-reimage": {"image_id": image.as_str()}});
        stage.call(Api::Volume, player, "POST", &path).version(71).json(&action).send().await.expect(202);
        let mut repository = stage.app().database.read().await.unwrap();
        let jobs = repository.jobs(&Default::default(), &Default::default()).await.unwrap();
        assert_eq!(jobs[0].payload["reimage"]["readable"], readable, "{}", player.name);
    }
}

#[tokio::test]
async fn nobody_finds_by_what_they_may_not_see() {
    let folder = tempfile::tempdir().unwrap();
    let stage = stage(folder.path(), |_| {}).await;
    stage.half_secret_image().await;
    for (player, query, expected) in [
        (MEMBER, "open=o", 1),
        (MEMBER, "open=x", 0),
        (MEMBER, "secret=s", 0),
        (MEMBER, "open=o&secret=s", 0),
        (ADMIN, "secret=s", 1),
    ] {
        let answer = stage.call(Api::Image, player, "GET", &format!("/v2/images?{query}")).send().await;
        let images = answer.expect(200).json()["images"].as_array().unwrap().len();
        assert_eq!(images, expected, "{} {query}", player.name);
    }
}

#[tokio::test]
async fn policies_decide_and_both_files_are_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let (policy, file) = (folder.path().join("policy.yaml"), folder.path().join("protections.conf"));
    std::fs::write(&policy, "keepers: role:admin\n").unwrap();
    let stage = stage(folder.path(), |config| {
        config.policy.image_policy_file = Some(policy.clone());
        config.policy.property_protection_rule_format = PropertyRules::Policies;
        let all = "create = keepers\nread = keepers\nupdate = keepers\ndelete = nobodys\n";
        std::fs::write(&file, format!("[.*]\n{all}")).unwrap();
    })
    .await;
    let body = json!({"owner": OURS, "open": "o", "visibility": "public"});
    let made =
        stage.call(Api::Image, ADMIN, "POST", "/v2/images").json(&body).send().await.expect(201).json();
    let id = made["id"].as_str().unwrap();
    let open = async |player| stage.seen(player, id).await[2].clone();
    assert_eq!((open(ADMIN).await, open(MEMBER).await), (json!("o"), Value::Null));
    // A rule that is not there allows nothing.
    assert_eq!(stage.change(ADMIN, id, "remove", "open").await.0, 403);

    std::fs::write(&policy, "keepers: role:member\nnobodys: role:admin\n").unwrap();
    stage.app().policies.reload();
    assert_eq!((open(MEMBER).await, open(READER).await), (json!("o"), Value::Null));
    std::fs::write(&file, "[.*]\ncreate = @\n").unwrap();
    stage.app().policies.reload();
    assert_eq!((open(MEMBER).await, open(READER).await), (json!("o"), Value::Null));
    std::fs::write(&file, "[.*]\ncreate=@\nread=@\nupdate=@\ndelete=@\n").unwrap();
    stage.app().policies.reload();
    assert_eq!(open(READER).await, json!("o"));
}

#[tokio::test]
async fn an_image_of_a_volume_has_what_every_new_one_must_have() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("schema-image.json");
    for (required, status) in [("k", 202), ("os_distro", 400)] {
        let text = json!({"properties": {required: {"type": "string"}}, "required": [required, "name"]});
        std::fs::write(&file, text.to_string()).unwrap();
        let stage = Stage::with(|config| config.images.schema_file = Some(file.clone())).await;
        // What its image had it has, too: `k`.
        let path = format!("/v3/volumes/{}/action", stage.volume(OURS).await);
        let action = json!({"os-volume_upload_image": {"image_name": "of a volume"}});
        let answer = stage.call(Api::Volume, MEMBER, "POST", &path).json(&action).send().await.expect(status);
        let said = "Provided object does not match schema 'image': 'os_distro' is a required property";
        assert_eq!(answer.text().contains(said), status == 400, "{}", answer.text());
    }
}
