//! Volume types with all that belongs to them.

use serde_json::{Value, json};

use super::{PROJECT, assert_refused, fault, id_of};
use crate::support::{Answer, Site};

const DEFAULT: &str = "00000000-0000-0000-0000-000000000002";

impl Site {
    async fn put(&self, path: &str, body: Value) -> Answer {
        self.volume("PUT", path).version(71).json(&body).send().await
    }

    async fn remove(&self, path: &str) -> Answer {
        self.volume("DELETE", path).version(71).send().await
    }

    async fn new_type(&self, volume_type: Value) -> String {
        let made = self.post("/v3/types", json!({ "volume_type": volume_type })).await.expect(200);
        id_of(&made.json()["volume_type"])
    }
}

#[track_caller]
fn assert_missing(answer: &Answer, message: &str) {
    let expected = fault("itemNotFound", 404, message);
    assert_eq!((answer.status.as_u16(), answer.text()), (404, expected.as_str()));
}

#[track_caller]
fn assert_conflict(answer: &Answer, message: &str) {
    let expected = fault("conflictingRequest", 409, message);
    assert_eq!((answer.status.as_u16(), answer.text()), (409, expected.as_str()));
}

#[tokio::test]
async fn a_type_is_made_changed_and_deleted() {
    let site = Site::new().await;
    let body = json!({"volume_type": {
        "name": " fast ", "description": "SSD", "os-volume-type-access:is_public": "no",
        "extra_specs": {"volume_backend_name": "ssd", "a b/c": null},
    }});
    let made = site.post("/v3/types", body.clone()).await.expect(200);
    let id = id_of(&made.json()["volume_type"]);
    assert_eq!(
        made.text(),
        format!(
            concat!(
                r#"{{"volume_type":{{"id":"{}","name":" fast ","is_public":false,"#,
                r#""extra_specs":{{"a b/c":null,"volume_backend_name":"ssd"}},"description":"SSD","#,
                r#""os-volume-type-access:is_public":false}}}}"#
            ),
            id
        )
    );
    assert_conflict(&site.post("/v3/types", body).await, "Volume Type  fast  already exists.");
    let plain = site.post("/v3/types", json!({"volume_type": {"name": "plain", "description": null}})).await;
    let plain = plain.expect(200).json()["volume_type"].clone();
    assert_eq!(plain["is_public"], true);
    assert_eq!((&plain["description"], &plain["extra_specs"]), (&Value::Null, &json!({})));

    let path = format!("/v3/types/{id}");
    let change = async |change: Value| site.put(&path, json!({ "volume_type": change })).await;
    let changed = change(json!({"name": "slow", "description": "", "is_public": "true"})).await.expect(200);
    let expected = format!(
        concat!(
            r#"{{"volume_type":{{"id":"{}","name":"slow","is_public":true,"#,
            r#""extra_specs":{{"a b/c":null,"volume_backend_name":"ssd"}},"description":""}}}}"#
        ),
        id
    );
    assert_eq!(changed.text(), expected);
    // Its own name is no other's.
    assert_eq!(change(json!({"name": "slow", "description": null})).await.expect(200).text(), expected);
    assert_conflict(&change(json!({"name": "plain"})).await, "Volume Type plain already exists.");
    let nothing = "Specify volume type name, description, is_public or a combination thereof.";
    assert_refused(&change(json!({})).await, nothing);
    assert_refused(&change(json!({"name": null, "description": null})).await, nothing);
    assert_refused(&change(json!({"name": "  "})).await, "Volume type name can not be empty.");
    let absent = json!({"volume_type": {"name": "x"}});
    assert_missing(&site.put("/v3/types/slow", absent).await, "Volume type slow could not be found.");

    // What is limited of a type keeps its limit when the type gets another name.
    let limits = format!("/v3/os-quota-sets/{PROJECT}");
    site.put(&limits, json!({"quota_set": {"volumes_slow": 7}})).await.expect(200);
    change(json!({"name": "quick"})).await.expect(200);
    assert_eq!(site.get(&limits).await.json()["quota_set"]["volumes_quick"], 7);
    change(json!({"name": "slow"})).await.expect(200);

    let volume = site.new_volume(json!({"size": 1, "volume_type": "slow"})).await;
    assert_eq!(volume["volume_type"], "slow");
    assert_refused(&site.remove(&path).await, "Target volume type is still in use.");
    let default = format!("The volume type {DEFAULT} is a default volume type and cannot be deleted.");
    assert_refused(&site.remove(&format!("/v3/types/{DEFAULT}")).await, &default);
    let gone = site.remove(&format!("/v3/types/{}", id_of(&plain))).await.expect(202);
    assert_eq!((gone.text(), gone.header("content-type")), ("", Some("text/html; charset=UTF-8")));
    site.get(&format!("/v3/types/{}", id_of(&plain))).await.expect(404);
    site.remove(&format!("/v3/types/{}", id_of(&plain))).await.expect(404);
}

/// The texts are those that the real service's schemas give.
#[tokio::test]
async fn bodies_of_types_are_refused_with_their_reason() {
    let site = Site::new().await;
    let field = |name: &str, value: &str, message: &str| {
        format!("Invalid input for field/attribute {name}. Value: {value}. {message}")
    };
    let long = "x".repeat(256);
    let too_long = |name: &str| field(name, &long, &format!("'{long}' is too long"));
    let spaced = "'^[a-zA-Z0-9-_:. /]{1,255}$'";
    for (volume_type, message) in [
        (json!({}), field("volume_type", "{}", "'name' is a required property")),
        (json!({"name": null}), field("name", "None", "None is not of type 'string'")),
        (json!({"name": 5}), field("name", "5", "5 is not of type 'string'")),
        (json!({"name": ""}), field("name", "", "'' should be non-empty")),
        (
            json!({"name": " \t"}),
            "An invalid 'name' value was provided. The 'name' can not be empty.".to_owned(),
        ),
        (json!({"name": long}), too_long("name")),
        (json!({"name": "a", "description": long}), too_long("description")),
        (
            json!({"name": "a", "description": 5}),
            field("description", "5", "5 is not of type 'string', 'null'"),
        ),
        (
            json!({"name": "a", "os-volume-type-access:is_public": null}),
            field("os-volume-type-access:is_public", "None", "None is not of type 'boolean', 'string'"),
        ),
        (json!({"name": "a", "extra_specs": []}), field("extra_specs", "[]", "[] is not of type 'object'")),
        (json!({"name": "a", "extra_specs": {"k": 5}}), field("k", "5", "5 is not of type 'string', 'null'")),
        (json!({"name": "a", "extra_specs": {"k": long}}), too_long("k")),
        (
            json!({"name": "a", "extra_specs": {"k!": "v"}}),
            field("extra_specs", "{'k!': 'v'}", &format!("'k!' does not match any of the regexes: {spaced}")),
        ),
        (
            json!({"name": "a", "is_public": true}),
            field(
                "volume_type",
                "{'name': 'a', 'is_public': True}",
                "Additional properties are not allowed ('is_public' was unexpected)",
            ),
        ),
    ] {
        let refused = site.post("/v3/types", json!({ "volume_type": volume_type })).await;
        assert_refused(&refused, &message);
    }
    for (body, message) in [
        (json!({}), "'volume_type' is a required property"),
        (json!([]), "[] is not of type 'object'"),
        (
            json!({"volume_type": {"name": "a"}, "x": 1}),
            "Additional properties are not allowed ('x' was unexpected)",
        ),
    ] {
        assert_refused(&site.post("/v3/types", body).await, message);
    }
    let refused = site.put(&format!("/v3/types/{DEFAULT}"), json!({"volume_type": {"name": ""}})).await;
    assert_refused(&refused, &field("name", "", "'' should be non-empty"));
    assert_eq!(
        site.get("/v3/types?is_public=None").await.json()["volume_types"].as_array().unwrap().len(),
        1
    );
}

#[tokio::test]
async fn extra_specs_are_added_changed_and_taken_away() {
    let site = Site::new().await;
    let id = site.new_type(json!({"name": "fast", "extra_specs": {"old": "1"}})).await;
    let path = format!("/v3/types/{id}/extra_specs");
    let added = site.post(&path, json!({"extra_specs": {"capabilities:x": "<in> a", "b": null}})).await;
    assert_eq!(added.expect(200).text(), r#"{"extra_specs":{"capabilities:x":"<in> a","b":null}}"#);
    assert_eq!(
        site.get(&path).await.expect(200).text(),
        r#"{"extra_specs":{"b":null,"capabilities:x":"<in> a","old":"1"}}"#
    );
    assert_eq!(
        site.put(&format!("{path}/old"), json!({"old": "2"})).await.expect(200).text(),
        r#"{"old":"2"}"#
    );
    assert_eq!(site.get(&format!("{path}/old")).await.expect(200).text(), r#"{"old":"2"}"#);
    assert_eq!(site.get(&format!("{path}/b")).await.expect(200).text(), r#"{"b":null}"#);
    let gone = site.remove(&format!("{path}/b")).await.expect(202);
    assert_eq!((gone.text(), gone.header("content-type")), ("", Some("application/json")));
    let missing = format!("Volume Type {id} has no extra specs with key b.");
    assert_missing(&site.get(&format!("{path}/b")).await, &missing);
    assert_missing(&site.remove(&format!("{path}/b")).await, &missing);

    let regex = "does not match any of the regexes: '^[a-zA-Z0-9-_:.]{1,255}$'";
    let one = async |body: Value| site.put(&format!("{path}/a"), body).await;
    assert_refused(&one(json!({"b": "1"})).await, "Request body and URI mismatch");
    assert_refused(&one(json!({})).await, "{} should be non-empty");
    assert_refused(&one(json!({"a": "1", "b": "2"})).await, "{'a': '1', 'b': '2'} has too many properties");
    assert_refused(&one(json!({"a b": "1"})).await, &format!("'a b' {regex}"));
    let number = "Invalid input for field/attribute a. Value: 1. 1 is not of type 'string', 'null'";
    assert_refused(&one(json!({"a": 1})).await, number);
    let slashed = site.post(&path, json!({"extra_specs": {"a/b": "1"}})).await;
    let message =
        format!("Invalid input for field/attribute extra_specs. Value: {{'a/b': '1'}}. 'a/b' {regex}");
    assert_refused(&slashed, &message);
    let both = "cacheable cannot be set with multiattach.";
    let specs = json!({"multiattach": "<is> True", "cacheable": "<is> True"});
    assert_refused(&site.post(&path, json!({"extra_specs": specs})).await, both);
    site.put(&format!("{path}/multiattach"), json!({"multiattach": "<is> True"})).await.expect(200);
    assert_refused(&site.put(&format!("{path}/cacheable"), json!({"cacheable": "<is> True"})).await, both);
    let nowhere = "/v3/types/00000000-0000-0000-0000-0000000000ff/extra_specs";
    let missing = "Volume type 00000000-0000-0000-0000-0000000000ff could not be found.";
    assert_missing(&site.get(nowhere).await, missing);
    assert_missing(&site.post(nowhere, json!({"extra_specs": {}})).await, missing);

    // Volumes were made as they said.
    site.new_volume(json!({"size": 1, "volume_type": id})).await;
    let in_use = "Volume Type is currently in use.";
    assert_refused(&site.post(&path, json!({"extra_specs": {"a": "1"}})).await, in_use);
    assert_refused(&one(json!({"a": "1"})).await, in_use);
    assert_refused(&site.remove(&format!("{path}/old")).await, in_use);
    assert_eq!(
        site.get(&path).await.json()["extra_specs"],
        json!({"multiattach": "<is> True", "capabilities:x": "<in> a", "old": "2"})
    );
}

#[tokio::test]
async fn projects_are_let_in_to_private_types() {
    let site = Site::new().await;
    let id = site.new_type(json!({"name": "private", "os-volume-type-access:is_public": false})).await;
    let path = format!("/v3/types/{id}");
    let act = async |action: &str, project: Value| {
        site.post(&format!("{path}/action"), json!({ action: { "project": project } })).await
    };
    let list = format!("{path}/os-volume-type-access");
    assert_eq!(site.get(&list).await.expect(200).text(), r#"{"volume_type_access":[]}"#);
    for project in ["b", "a"] {
        let done = act("addProjectAccess", json!(project)).await.expect(202);
        assert_eq!((done.text(), done.header("content-type")), ("", Some("text/html; charset=UTF-8")));
    }
    let access = |project: &str| format!(r#"{{"volume_type_id":"{id}","project_id":"{project}"}}"#);
    assert_eq!(
        site.get(&list).await.text(),
        format!(r#"{{"volume_type_access":[{},{}]}}"#, access("b"), access("a"))
    );
    let twice = format!("Volume type access for {id} / a combination already exists.");
    assert_conflict(&act("addProjectAccess", json!("a")).await, &twice);
    act("removeProjectAccess", json!("a")).await.expect(202);
    let absent = format!("Volume type access not found for {id} / a combination.");
    assert_missing(&act("removeProjectAccess", json!("a")).await, &absent);

    let empty = "Invalid input for field/attribute project. Value: . '' should be non-empty";
    assert_refused(&act("addProjectAccess", json!("")).await, empty);
    let number = "Invalid input for field/attribute project. Value: 5. 5 is not of type 'string'";
    assert_refused(&act("removeProjectAccess", json!(5)).await, number);
    let unknown = site.post(&format!("{path}/action"), json!({"grant": {}})).await;
    let message =
        "There is no such action: grant. Verify the request body and Content-Type header and try again.";
    assert_refused(&unknown, message);

    let public = format!("/v3/types/{DEFAULT}");
    let message = "Access list not available for public volume types.";
    assert_missing(&site.get(&format!("{public}/os-volume-type-access")).await, message);
    let message = "Invalid volume type: Type access modification is not applicable to public volume type.";
    for action in ["addProjectAccess", "removeProjectAccess"] {
        let refused = site.post(&format!("{public}/action"), json!({ action: { "project": "a" } })).await;
        assert_refused(&refused, message);
    }
    // It takes who may use it with it.
    site.remove(&path).await.expect(202);
    assert_missing(&site.get(&list).await, &format!("Volume type {id} could not be found."));
}

#[tokio::test]
async fn a_type_has_one_encryption() {
    let site = Site::new().await;
    let id = site.new_type(json!({"name": "secret"})).await;
    let path = format!("/v3/types/{id}/encryption");
    let absent = format!("Volume type encryption for type {id} does not exist.");
    assert_eq!(site.get(&path).await.expect(200).text(), "{}");
    assert_missing(&site.get(&format!("{path}/cipher")).await, &absent);
    assert_missing(&site.remove(&format!("{path}/x")).await, &absent);
    assert_missing(&site.put(&format!("{path}/x"), json!({"encryption": {}})).await, &absent);

    let encryption = json!({
        "key_size": "256", "provider": "luks", "control_location": "front-end", "cipher": null, "more": [1],
    });
    let made = site.post(&path, json!({ "encryption": encryption })).await.expect(200);
    let encryption_id = made.json()["encryption"]["encryption_id"].as_str().unwrap().to_owned();
    assert_eq!(
        made.text(),
        format!(
            concat!(
                r#"{{"encryption":{{"key_size":256,"provider":"luks","control_location":"front-end","#,
                r#""cipher":null,"more":[1],"volume_type_id":"{}","encryption_id":"{}"}}}}"#
            ),
            id, encryption_id
        )
    );
    let exists = format!("Volume type encryption for type {id} already exists.");
    assert_refused(&site.post(&path, json!({ "encryption": encryption })).await, &exists);
    let shown = site.get(&path).await.expect(200);
    let created_at = shown.json()["created_at"].as_str().unwrap().to_owned();
    assert_eq!(
        shown.text(),
        format!(
            concat!(
                r#"{{"encryption_id":"{}","cipher":null,"key_size":256,"provider":"luks","#,
                r#""control_location":"front-end","volume_type_id":"{}","deleted_at":null,"deleted":false,"#,
                r#""created_at":"{}","updated_at":null}}"#
            ),
            encryption_id, id, created_at
        )
    );
    assert_eq!(site.get(&format!("{path}/key_size")).await.expect(200).text(), r#"{"key_size":256}"#);
    assert_missing(&site.get(&format!("{path}/nothing")).await, &absent);
    // The path's last part does not matter.
    let change = json!({"encryption": {"cipher": "aes", "key_size": null}});
    assert_eq!(site.put(&format!("{path}/x"), change.clone()).await.expect(200).json(), change);
    let shown = site.get(&path).await.json();
    assert_eq!((&shown["cipher"], &shown["key_size"]), (&json!("aes"), &Value::Null));
    assert!(shown["updated_at"].is_string());

    for (change, message) in [
        (json!({"key_size": -1}), "key_size. Value: -1. -1 is less than the minimum of 0"),
        (json!({"key_size": "-1"}), "key_size. Value: -1. -1 is less than the minimum of 0"),
        (
            json!({"key_size": "99999999999999999999"}),
            "key_size. Value: 99999999999999999999. 99999999999999999999 is greater than the maximum of 2147483647",
        ),
        (json!({"key_size": true}), "key_size. Value: True. True is not of type 'string', 'integer', 'null'"),
        (
            json!({"control_location": "both"}),
            "control_location. Value: both. 'both' is not one of ['front-end', 'back-end']",
        ),
        (json!({"provider": null}), "provider. Value: None. None is not of type 'string'"),
        (json!({"cipher": 5}), "cipher. Value: 5. 5 is not of type 'string', 'null'"),
    ] {
        let refused = site.put(&format!("{path}/x"), json!({ "encryption": change })).await;
        assert_refused(&refused, &format!("Invalid input for field/attribute {message}"));
    }
    for text in ["", "x", "1.5", "007", " 7"] {
        let refused = site.post(&path, json!({"encryption": {"key_size": text}})).await;
        assert_refused(&refused, "Invalid input received: key_size must be an integer.");
    }
    let partial = site.post(&path, json!({"encryption": {"provider": "luks"}})).await;
    let message = "encryption. Value: {'provider': 'luks'}. 'control_location' is a required property";
    assert_refused(&partial, &format!("Invalid input for field/attribute {message}"));

    // A volume that is not encrypted must not be taken for one that is.
    let body = json!({"volume": {"size": 1, "volume_type": id}});
    site.post("/v3/volumes", body.clone()).await.expect(501);
    site.remove(&format!("{path}/{encryption_id}")).await.expect(202);
    assert_eq!(site.get(&path).await.text(), "{}");
    site.post("/v3/volumes", body).await.expect(202);
    for (method, what) in [("POST", "create"), ("PUT", "update"), ("DELETE", "delete")] {
        let path = if method == "POST" { path.clone() } else { format!("{path}/x") };
        let call = site.volume(method, &path).version(71);
        let call = if method == "DELETE" { call } else { call.json(&json!({ "encryption": encryption })) };
        let message = format!("Cannot {what} encryption specs. Volume type in use.");
        assert_refused(&call.send().await, &message);
    }
}

#[tokio::test]
async fn a_project_has_a_default_of_its_own() {
    let site = Site::new().await;
    let id = site.new_type(json!({"name": "fast"})).await;
    let path = format!("/v3/default-types/{PROJECT}");
    let absent = format!("Default type for project {PROJECT} not found.");
    assert_eq!(site.get("/v3/default-types").await.expect(200).text(), r#"{"default_types":[]}"#);
    assert_missing(&site.get(&path).await, &absent);
    let default = format!(r#"{{"project_id":"{PROJECT}","volume_type_id":"{id}"}}"#);
    for name in ["fast", id.as_str()] {
        let set = site.put(&path, json!({"default_type": {"volume_type": name}})).await.expect(200);
        assert_eq!(set.text(), format!(r#"{{"default_type":{default}}}"#));
    }
    assert_eq!(site.get(&path).await.expect(200).text(), format!(r#"{{"default_type":{default}}}"#));
    assert_eq!(site.get("/v3/default-types").await.text(), format!(r#"{{"default_types":[{default}]}}"#));
    assert_eq!(site.get("/v3/types/default").await.json()["volume_type"]["name"], "fast");
    let volume = site.new_volume(json!({"size": 1})).await;
    assert_eq!(volume["volume_type"], "fast");
    let message = format!("The volume type {id} is a default volume type and cannot be deleted.");
    assert_refused(&site.remove(&format!("/v3/types/{id}")).await, &message);

    let gone = site.remove(&path).await.expect(204);
    assert_eq!(gone.text(), "");
    site.remove(&path).await.expect(204);
    assert_missing(&site.get(&path).await, &absent);
    assert_eq!(site.get("/v3/types/default").await.json()["volume_type"]["name"], "__DEFAULT__");

    let set = async |body: Value| site.put(&path, body).await;
    let unknown = set(json!({"default_type": {"volume_type": "nothing"}})).await;
    assert_refused(&unknown, "Volume type with name nothing could not be found.");
    assert_refused(&set(json!({})).await, "'default_type' is a required property");
    let message =
        "Invalid input for field/attribute default_type. Value: {}. 'volume_type' is a required property";
    assert_refused(&set(json!({"default_type": {}})).await, message);
    let far = format!("/v3/default-types/{}", "x".repeat(4000));
    site.put(&far, json!({"default_type": {"volume_type": "fast"}})).await.expect(404);
    // They came with 3.62.
    for (method, path) in [("GET", "/v3/default-types"), ("GET", &path), ("DELETE", &path)] {
        site.volume(method, path).version(61).send().await.expect(404);
        site.volume(method, path).version(62).send().await;
    }
    let old = site.volume("PUT", &path).version(61).json(&json!({"default_type": {"volume_type": "fast"}}));
    old.send().await.expect(404);
}

#[tokio::test]
async fn volumes_are_as_their_type_says() {
    let site = Site::new().await;
    let specs = json!({
        "multiattach": "<is> True",
        "provisioning:min_vol_size": "2",
        "provisioning:max_vol_size": "4",
        "RESKEY:availability_zones": "mars, nova",
    });
    site.new_type(json!({"name": "shared", "extra_specs": specs})).await;
    let create = async |volume: Value| site.post("/v3/volumes", json!({ "volume": volume })).await;
    let small = create(json!({"size": 1, "volume_type": "shared"})).await;
    let message = "Invalid input received: Specified volume size of '1' is less than the minimum required size of \
        '2' for volume type 'shared'.";
    assert_refused(&small, message);
    let large = create(json!({"size": 5, "volume_type": "shared"})).await;
    let message = "Invalid input received: Specified volume size of '5' is greater than the maximum allowable size \
        of '4' for volume type 'shared'.";
    assert_refused(&large, message);
    let id = site.available_volume(json!({"size": 2, "volume_type": "shared"})).await;
    assert_eq!(site.get(&format!("/v3/volumes/{id}")).await.json()["volume"]["multiattach"], true);
    let plain = site.new_volume(json!({"size": 1})).await;
    assert_eq!(plain["multiattach"], false);
    for (query, expected) in [("true", id.clone()), ("false", id_of(&plain))] {
        let found = site.get(&format!("/v3/volumes?multiattach={query}")).await.json()["volumes"].clone();
        assert_eq!(found.as_array().unwrap().iter().map(id_of).collect::<Vec<_>>(), [expected]);
    }
    let extend = json!({"os-extend": {"new_size": 5}});
    assert_refused(&site.post(&format!("/v3/volumes/{id}/action"), extend).await, message);
    // A clone has its source's type, and all that this says.
    let clone = site.new_volume(json!({"source_volid": id})).await;
    assert_eq!((&clone["volume_type"], &clone["multiattach"]), (&json!("shared"), &json!(true)));

    site.new_type(json!({"name": "far", "extra_specs": {"RESKEY:availability_zones": "mars,venus"}})).await;
    let message = "Volume type is only supported in these availability zones: ['mars', 'venus']";
    assert_refused(&create(json!({"size": 1, "volume_type": "far"})).await, message);
    site.new_type(json!({"name": "odd", "extra_specs": {"provisioning:min_vol_size": "large"}})).await;
    let message = "Invalid volume type: its extra spec provisioning:min_vol_size is not a number of GiB.";
    assert_refused(&create(json!({"size": 1, "volume_type": "odd"})).await, message);
    let image = site
        .new_image(|image| {
            image.properties.insert("cinder_img_volume_type".to_owned(), "shared".to_owned());
        })
        .await;
    let volume = site.new_volume(json!({"size": 2, "imageRef": image.as_str()})).await;
    assert_eq!(volume["volume_type"], "shared");
}

#[tokio::test]
async fn types_are_listed_as_asked() {
    let site = Site::new().await;
    let specs = json!({"extra_specs": {"a": "1", "b": "2", "RESKEY:availability_zones": "nova,mars"}});
    let mut one = json!({"name": "one", "description": "the first"});
    one["extra_specs"] = specs["extra_specs"].clone();
    let one = site.new_type(one).await;
    let two = site.new_type(json!({"name": "two", "extra_specs": {"a": "1"}})).await;
    let names = async |query: &str| {
        let found = site.get(&format!("/v3/types?{query}")).await.expect(200).json()["volume_types"].clone();
        let names = found.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>().join(" ")
    };
    for (query, expected) in [
        ("sort=name:asc", "__DEFAULT__ one two"),
        ("sort_key=name&sort_dir=desc&limit=2", "two one"),
        ("sort=updated_at:asc,name:desc", "two one __DEFAULT__"),
        ("extra_specs=%7B%27a%27:%271%27%7D", "two one"),
        ("extra_specs=%7B%27a%27:%271%27,%27b%27:%272%27%7D", "one"),
        ("extra_specs=%7B%27RESKEY:availability_zones%27:%27mars%27%7D", "one"),
        ("extra_specs=%7B%27a%27:%272%27%7D", ""),
        ("extra_specs=nonsense", ""),
        ("name=two", "two"),
        ("description=the+first", "one"),
        (&format!("id={one}"), "one"),
        ("color=red", ""),
        (&format!("limit=1&marker={two}"), "one"),
        ("offset=2", "__DEFAULT__"),
    ] {
        assert_eq!(names(query).await, expected, "{query}");
    }
    assert_refused(&site.get("/v3/types?is_public=x").await, "Invalid is_public filter [x]");
    assert_refused(&site.get("/v3/types?sort=color").await, "Invalid input received: Invalid sort key");
}
