//! What `/v2/schemas` tells: the shape of the real ones, whatever is said in them in other words.

use pumice::config::Config;
use pumice::service::Service;
use serde_json::{Map, Value, json};

use super::Api;
use crate::support::Site;

/// Without what is written for people.
fn shape(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            // A description of something, or something called description.
            let told = fields.into_iter().filter(|(name, value)| name != "description" || !value.is_string());
            Value::Object(told.map(|(name, value)| (name, shape(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(shape).collect()),
        other => other,
    }
}

#[tokio::test]
async fn each_has_the_shape_of_glances() {
    let site = Site::new().await;
    let expected: Map<String, Value> = serde_json::from_str(include_str!("schemas.json")).unwrap();
    assert_eq!(expected.len(), 16);
    for (name, expected) in expected {
        let found = site.request("GET", &format!("/image/v2/schemas/{name}")).send().await.expect(200);
        assert_eq!(found.header("content-type"), Some("application/json"));
        assert_eq!(shape(found.json()), expected, "{name}");
        site.request("GET", &format!("/image/v2/schemas/{name}")).body("x").send().await.expect(400);
    }
}

#[tokio::test]
async fn a_list_keeps_definitions_where_references_look_for_them() {
    let site = Site::new().await;
    let list = site.request("GET", "/image/v2/schemas/metadefs/objects").send().await.expect(200).json();
    let item = &list["properties"]["objects"]["items"];
    assert_eq!(item.get("definitions"), None);
    let reference = item["properties"]["properties"]["$ref"].as_str().unwrap();
    assert!(list.pointer(reference.strip_prefix('#').unwrap()).is_some(), "{reference}");
    let keys: Vec<&String> = list.as_object().unwrap().keys().collect();
    assert_eq!(json!(keys), json!(["name", "properties", "links", "definitions"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn formats_are_those_that_are_configured() {
    let formats = [
        ("PUMICE_IMAGES__DISK_FORMATS", r#"["raw", "gpt"]"#),
        ("PUMICE_IMAGES__CONTAINER_FORMATS", r#"["bare", "own"]"#),
    ];
    let api = Api::with(&formats).await;
    let schema = api.get("/v2/schemas/image").await.is(200).json();
    assert_eq!(schema["properties"]["disk_format"]["enum"], json!([null, "raw", "gpt"]));
    assert_eq!(schema["properties"]["container_format"]["enum"], json!([null, "bare", "own"]));
    let schema = api.get("/v2/schemas/images").await.is(200).json();
    let of_images = &schema["properties"]["images"]["items"]["properties"];
    assert_eq!(of_images["disk_format"]["enum"], json!([null, "raw", "gpt"]));

    let id = api.image(json!({"disk_format": "gpt", "container_format": "own"})).await;
    let refused = "Provided object does not match schema 'image': 'qcow2' is not one of [None, 'raw', 'gpt']";
    let answer = api.post(&json!({"disk_format": "qcow2"})).await.is(400);
    assert!(answer.message().starts_with(refused), "{}", answer.message());
    let patch = async |value: &str| {
        let change = json!([{"op": "replace", "path": "/disk_format", "value": value}]);
        api.patch(&id, super::V2_1, change).await
    };
    let answer = patch("qcow2").await.is(400);
    assert!(answer.message().starts_with(refused), "{}", answer.message());
    patch("raw").await.is(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn custom_properties_have_the_forms_that_glance_comes_with() {
    let api = Api::start().await;
    let kernel = "a5e0b0c4-0000-4000-8000-000000000001";
    // As Nova sends it for what boots without one.
    let body = json!({"kernel_id": null, "ramdisk_id": kernel, "os_distro": "debian", "os_type": "linux"});
    let id = api.image(body.clone()).await;
    let image = api.get(&format!("/v2/images/{id}")).await.is(200).json();
    for (name, value) in body.as_object().unwrap() {
        assert_eq!(&image[name], value, "{name}");
    }
    assert!(image.as_object().unwrap().contains_key("kernel_id"));
    let change = |value: Value| json!([{"op": "replace", "path": "/kernel_id", "value": value}]);
    assert_eq!(api.patch(&id, super::V2_1, change(json!(kernel))).await.is(200).json()["kernel_id"], kernel);
    assert_eq!(
        api.patch(&id, super::V2_1, change(Value::Null)).await.is(200).json()["kernel_id"],
        Value::Null
    );
    let refused = "Provided object does not match schema 'image': 'vmlinuz' does not match '^([0-9a-fA-F])";
    for answer in [
        api.patch(&id, super::V2_1, change(json!("vmlinuz"))).await,
        api.post(&json!({"kernel_id": "vmlinuz"})).await,
    ] {
        let said = answer.is(400).message();
        assert!(said.starts_with(refused) && said.ends_with("On instance['kernel_id']"), "{said}");
    }
    for body in [
        json!({"cinder_encryption_key_deletion_policy": "never"}),
        json!({"os_distro": null}),
        json!({"os_version": 12}),
        json!({"os_type": null}),
    ] {
        api.post(&body).await.is(400);
    }
}

/// A service whose images have custom properties of these forms.
async fn with_forms(forms: &Value) -> Api {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("schema-image.json");
    std::fs::write(&file, forms.to_string()).unwrap();
    Api::with(&[("PUMICE_IMAGES__SCHEMA_FILE", file.to_str().unwrap())]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn custom_properties_have_the_forms_of_a_file() {
    let forms = json!({
        "cores": {"type": "integer", "minimum": 1, "maximum": 64, "description": "Cores that it wants"},
        "tested": {"type": ["null", "boolean"]},
        "release": {"type": "string", "pattern": "^\\d+\\.\\d+$", "maxLength": 5},
        "roles": {"type": "array", "items": {"type": "string", "enum": ["web", "db"]}, "maxItems": 2},
    });
    let api = with_forms(&forms).await;
    let schema = api.get("/v2/schemas/image").await.is(200).json();
    let of_cores = json!({
        "type": "integer", "minimum": 1, "maximum": 64, "description": "Cores that it wants", "is_base": false,
    });
    assert_eq!(schema["properties"]["cores"], of_cores);
    assert_eq!(schema["properties"].get("kernel_id"), None);
    assert_eq!(schema["additionalProperties"], json!({"type": "string"}));
    let keys: Vec<&String> = schema.as_object().unwrap().keys().collect();
    assert_eq!(json!(keys), json!(["name", "properties", "additionalProperties", "links"]));
    let of_list = api.get("/v2/schemas/images").await.is(200).json();
    assert_eq!(of_list["properties"]["images"]["items"]["properties"]["cores"], of_cores);

    let good = json!({"cores": 4, "tested": true, "release": "12.1", "roles": ["web", "db"], "other": "4"});
    let made = api.post(&good).await.is(201).json();
    let id = made["id"].as_str().unwrap().to_owned();
    let shown = api.get(&format!("/v2/images/{id}")).await.is(200).json();
    let listed = api.get("/v2/images?cores=4").await.is(200).json()["images"][0].clone();
    for (name, value) in good.as_object().unwrap() {
        assert_eq!((&made[name], &shown[name], &listed[name]), (value, value, value), "{name}");
    }
    assert_eq!(api.get("/v2/images?cores=5").await.is(200).json()["images"], json!([]));
    for (name, value, reason) in [
        ("cores", json!(0), "0 is less than the minimum of 1"),
        ("cores", json!(65), "65 is greater than the maximum of 64"),
        ("cores", json!("4"), "'4' is not of type 'integer'"),
        ("cores", json!(null), "None is not of type 'integer'"),
        ("tested", json!("yes"), "'yes' is not of type 'null', 'boolean'"),
        ("release", json!("twelve"), r"'twelve' does not match '^\\d+\\.\\d+$'"),
        ("release", json!("12.100"), "'12.100' is too long"),
        ("roles", json!(["web", "db", "web"]), "[...] is too long"),
        ("roles", json!(["mail"]), "'mail' is not one of ['web', 'db']"),
        ("other", json!(4), "4 is not of type 'string'"),
    ] {
        let change = json!([{"op": "add", "path": format!("/{name}"), "value": value}]);
        for answer in [api.post(&json!({name: value})).await, api.patch(&id, super::V2_1, change).await] {
            let said = answer.is(400).message();
            let expected = format!("Provided object does not match schema 'image': {reason}");
            assert!(said.starts_with(&expected), "{said}");
        }
    }
    let change =
        json!([{"op": "replace", "path": "/tested", "value": null}, {"op": "remove", "path": "/cores"}]);
    let changed = api.patch(&id, super::V2_1, change).await.is(200).json();
    assert_eq!((changed.get("tested"), changed.get("cores")), (Some(&Value::Null), None));
    assert_eq!(api.get(&format!("/v2/images/{id}")).await.json().get("tested"), Some(&Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_image_has_what_the_file_requires() {
    let form = json!({"type": "string"});
    let forms =
        json!({"properties": {"os_distro": form, "owner_mail": form}, "required": ["os_distro", "name"]});
    let api = with_forms(&forms).await;
    let schema = api.get("/v2/schemas/image").await.is(200).json();
    assert_eq!(schema["required"], json!(["os_distro", "name"]));
    for (body, missing) in [
        (json!({"name": "n"}), "os_distro"),
        (json!({"os_distro": "debian"}), "name"),
        (json!({"os_distro": 1}), "name"),
    ] {
        let said = api.post(&body).await.is(400).message();
        let expected =
            format!("Provided object does not match schema 'image': '{missing}' is a required property");
        assert!(said.starts_with(&expected), "{said}");
    }
    let id = api.image(json!({"name": "n", "os_distro": "debian"})).await;
    // Only of what is made is it asked: Glance refuses every change then.
    let change = json!([{"op": "replace", "path": "/name", "value": "m"}]);
    api.patch(&id, super::V2_1, change).await.is(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_does_not_start_with_a_file_that_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("schema-image.json");
    let start = async || {
        let mut config = Config::default();
        config.database.url = pumice::config::DatabaseUrl::file(folder.path().join("db").to_str().unwrap());
        config.images.directory = folder.path().join("store");
        config.volumes.directory = folder.path().join("store");
        config.identity.mode = pumice::config::IdentityMode::None;
        config.images.schema_file = Some(file.clone());
        Service::open(config).await.err().map(|error| error.to_string())
    };
    assert!(start().await.unwrap().starts_with(&format!("{}: cannot be read: ", file.display())));
    let deep = format!("{}{}", r#"{"a":"#.repeat(200), "}".repeat(200));
    for (text, reason) in [
        (deep.as_str(), "is no JSON: "),
        (
            r#"{"a": {"type": "string", "pattern": "(?=x)"}}"#,
            "\"a\": \"(?=x)\" is no regular expression that is known here: ",
        ),
        (
            r#"{"a": {"pattern": "(x{9999}){9999}"}}"#,
            "\"a\": \"(x{9999}){9999}\" is no regular expression that is known here: ",
        ),
        (r##"{"a": {"$ref": "#/properties/a"}}"##, "\"a\": the keyword \"$ref\" is not known here"),
        (r#"{"a": {"type": ["string", "text"]}}"#, "\"a\": there is no type \"text\""),
        (r#"{"a": {"type": []}}"#, "\"a\": type must be a text, or a list of texts"),
        (r#"{"a": {"enum": []}}"#, "\"a\": enum must be a list of values"),
        (r#"{"a": {"maxLength": -1}}"#, "\"a\": maxLength must be a whole number, 0 or more"),
        (r#"{"a": {"items": {"minimum": "1"}}}"#, "\"a\": minimum must be a number"),
        (r#"{"checksum": {"type": "string"}}"#, "\"checksum\" is no custom property: its form is given"),
    ] {
        std::fs::write(&file, text).unwrap();
        let said = start().await.unwrap();
        assert!(said.starts_with(&format!("{}: {reason}", file.display())), "{said}");
    }
    std::fs::write(&file, vec![b' '; (1 << 20) + 1]).unwrap();
    assert!(start().await.unwrap().ends_with("the file is larger than 1048576 bytes"));
    std::fs::write(&file, "{}").unwrap();
    assert_eq!(start().await, None);
}
