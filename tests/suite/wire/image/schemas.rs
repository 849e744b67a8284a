//! What `/v2/schemas` tells: the shape of the real ones, whatever is said in them in other words.

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
