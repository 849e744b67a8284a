//! QoS specs.

use serde_json::{Value, json};

use super::{assert_refused, fault, id_of};
use crate::support::{Answer, Site};

impl Site {
    async fn new_specs(&self, specs: Value) -> String {
        let made = self.post("/v3/qos-specs", json!({ "qos_specs": specs })).await.expect(200);
        id_of(&made.json()["qos_specs"])
    }
}

#[track_caller]
fn assert_missing(answer: &Answer, message: &str) {
    let expected = fault("itemNotFound", 404, message);
    assert_eq!((answer.status.as_u16(), answer.text()), (404, expected.as_str()));
}

#[track_caller]
fn assert_accepted(answer: &Answer) {
    assert_eq!((answer.status.as_u16(), answer.text()), (202, ""));
    assert_eq!(answer.header("content-type"), Some("text/html; charset=UTF-8"));
}

#[tokio::test]
async fn qos_specs_are_made_changed_and_deleted() {
    let site = Site::new().await;
    let body =
        json!({"qos_specs": {"name": " gold ", "consumer": "front-end", "total_iops_sec": "500", "x": null}});
    let made = site.post("/v3/qos-specs", body.clone()).await.expect(200);
    let id = id_of(&made.json()["qos_specs"]);
    let expected = format!(
        concat!(
            r#"{{"qos_specs":{{"id":"{0}","name":"gold","consumer":"front-end","#,
            r#""specs":{{"total_iops_sec":"500"}}}},"#,
            r#""links":[{{"rel":"self","href":"http://cloud.example:8080/volume/v3/qos-specs/{0}"}},"#,
            r#"{{"rel":"bookmark","href":"http://cloud.example:8080/volume/qos-specs/{0}"}}]}}"#
        ),
        id
    );
    assert_eq!(made.text(), expected);
    let path = format!("/v3/qos-specs/{id}");
    assert_eq!(site.get(&path).await.expect(200).text(), expected);
    let twice = site.post("/v3/qos-specs", body).await.expect(409);
    assert_eq!(twice.text(), fault("conflictingRequest", 409, "QoS Specs gold already exists."));

    let change =
        json!({"qos_specs": {"consumer": "both", "total_iops_sec": "600", "total_bytes_sec": "7", "x": "1"}});
    let changed = site.volume("PUT", &path).version(71).json(&change).send().await.expect(200);
    assert_eq!(changed.text(), change.to_string());
    // Null takes a text away, and makes no spec.
    let nulls = json!({"qos_specs": {"x": null, "y": null}});
    site.volume("PUT", &path).version(71).json(&nulls).send().await.expect(200);
    let shown = site.get(&path).await.json()["qos_specs"].clone();
    assert_eq!(shown["consumer"], "both");
    assert_eq!(shown["specs"], json!({"total_bytes_sec": "7", "total_iops_sec": "600", "x": null}));

    let delete_keys = async |keys: Value| {
        let call = site.volume("PUT", &format!("{path}/delete_keys")).version(71);
        call.json(&json!({ "keys": keys })).send().await
    };
    assert_accepted(&delete_keys(json!(["x"])).await);
    // All or none.
    let absent = format!("QoS spec {id} has no spec with key x.");
    assert_missing(&delete_keys(json!(["total_bytes_sec", "x"])).await, &absent);
    assert_missing(
        &delete_keys(json!(["consumer"])).await,
        &format!("QoS spec {id} has no spec with key consumer."),
    );
    let specs = site.get(&path).await.json()["qos_specs"]["specs"].clone();
    assert_eq!(specs, json!({"total_bytes_sec": "7", "total_iops_sec": "600"}));
    for (keys, message) in [
        (json!("x"), "keys. Value: x. 'x' is not of type 'array'"),
        (json!(["a", 5]), "1. Value: 5. 5 is not of type 'string'"),
        (json!([""]), "0. Value: . '' should be non-empty"),
        (json!(["a", "b", "a"]), "keys. Value: ['a', 'b', 'a']. ['a', 'b', 'a'] has non-unique elements"),
    ] {
        assert_refused(&delete_keys(keys).await, &format!("Invalid input for field/attribute {message}"));
    }

    let delete =
        async |query: &str| site.volume("DELETE", &format!("{path}{query}")).version(71).send().await;
    assert_refused(&delete("?force=maybe").await, "Value 'maybe' for 'force' is not a boolean.");
    assert_accepted(&delete("").await);
    let missing = format!("No such QoS spec {id}.");
    assert_missing(&delete("").await, &missing);
    assert_missing(&site.get(&path).await, &missing);
    assert_missing(&delete_keys(json!(["x"])).await, &missing);
    assert_missing(&site.volume("PUT", &path).version(71).json(&change).send().await, &missing);
    for what in ["associations", "associate?vol_type_id=x", "disassociate?vol_type_id=x", "disassociate_all"]
    {
        assert_missing(&site.get(&format!("{path}/{what}")).await, &missing);
    }
}

#[tokio::test]
async fn bodies_of_qos_specs_are_refused_with_their_reason() {
    let site = Site::new().await;
    let long = "x".repeat(256);
    let consumers = "Invalid qos specs: Valid consumer of QoS specs are: 'back-end', 'front-end', 'both'";
    let name = "An invalid 'name' value was provided. The 'name' can not be";
    for (specs, message) in [
        (
            json!({}),
            "Invalid input for field/attribute qos_specs. Value: {}. 'name' is a required property"
                .to_owned(),
        ),
        (
            json!({"name": 5}),
            "Invalid input for field/attribute name. Value: 5. 5 is not of type 'string'".to_owned(),
        ),
        (json!({"name": ""}), format!("{name} None.")),
        (json!({"name": "  "}), format!("{name} empty.")),
        (json!({"name": long}), format!("{name} greater than 255 characters.")),
        (json!({"name": "a", "consumer": "nobody"}), consumers.to_owned()),
        (json!({"name": "a", "consumer": ""}), consumers.to_owned()),
        (
            json!({"name": "a", "k": 5}),
            r#"Invalid input received: Value for key "k" is not a string or unicode"#.to_owned(),
        ),
        (
            json!({"name": "a", "k": long}),
            r#"Invalid input received: Value for key "k" has 256 characters, more than 255."#.to_owned(),
        ),
        (
            json!({"name": "a", "": "v"}),
            r#"Invalid input received: Key "" has 0 characters, less than 1."#.to_owned(),
        ),
        (
            json!({"name": "a", &long: "v"}),
            format!(r#"Invalid input received: Key "{long}" has 256 characters, more than 255."#),
        ),
    ] {
        assert_refused(&site.post("/v3/qos-specs", json!({ "qos_specs": specs })).await, &message);
    }
    assert_refused(&site.post("/v3/qos-specs", json!({})).await, "'qos_specs' is a required property");

    let id = site.new_specs(json!({"name": "plain", "consumer": null})).await;
    let path = format!("/v3/qos-specs/{id}");
    assert_eq!(site.get(&path).await.json()["qos_specs"]["consumer"], "back-end");
    let change = async |specs: Value| {
        site.volume("PUT", &path).version(71).json(&json!({ "qos_specs": specs })).send().await
    };
    assert_refused(&change(json!({"consumer": "nobody"})).await, consumers);
    let message = "Invalid input for field/attribute k. Value: 5. 5 is not of type 'string', 'null'";
    assert_refused(&change(json!({"k": 5})).await, message);
    let message = "Invalid input for field/attribute qos_specs. Value: {'ü': 'v'}. 'ü' does not match any of the \
        regexes: '^[a-zA-Z0-9-_:. /]{1,255}$'";
    assert_refused(&change(json!({"ü": "v"})).await, message);
    change(json!({})).await.expect(200);
    assert_eq!(site.get(&path).await.json()["qos_specs"]["specs"], json!({}));
}

#[tokio::test]
async fn qos_specs_belong_to_types() {
    let site = Site::new().await;
    let id = site.new_specs(json!({"name": "gold"})).await;
    let other = site.new_specs(json!({"name": "silver"})).await;
    let path = format!("/v3/qos-specs/{id}");
    let made = site.post("/v3/types", json!({"volume_type": {"name": "fast"}})).await.json();
    let of_type = id_of(&made["volume_type"]);
    let get = async |what: &str| site.get(&format!("{path}/{what}")).await;
    assert_eq!(get("associations").await.expect(200).text(), r#"{"qos_associations":[]}"#);
    for _ in 0..2 {
        assert_accepted(&get(&format!("associate?vol_type_id={of_type}")).await);
    }
    assert_eq!(
        get("associations").await.text(),
        format!(
            r#"{{"qos_associations":[{{"association_type":"volume_type","name":"fast","id":"{of_type}"}}]}}"#
        )
    );
    assert_eq!(
        site.get(&format!("/v3/types/{of_type}")).await.json()["volume_type"]["qos_specs_id"],
        json!(id)
    );
    let second = site.get(&format!("/v3/qos-specs/{other}/associate?vol_type_id={of_type}")).await;
    let message =
        format!("Invalid volume type: Type {of_type} is already associated with another qos specs: {id}");
    assert_refused(&second, &message);
    let delete =
        async |query: &str| site.volume("DELETE", &format!("{path}{query}")).version(71).send().await;
    assert_refused(&delete("").await, "Qos specs still in use.");

    for what in ["associate", "disassociate", "associate?vol_type_id="] {
        assert_refused(&get(what).await, "Volume Type id must not be None.");
    }
    for what in ["associate?vol_type_id=fast", "disassociate?vol_type_id=fast"] {
        assert_missing(&get(what).await, "Volume type fast could not be found.");
    }
    // Taken from a type that has others: nothing happens.
    let elsewhere = site.get(&format!("/v3/qos-specs/{other}/disassociate?vol_type_id={of_type}")).await;
    assert_accepted(&elsewhere);
    assert_eq!(get("associations").await.json()["qos_associations"].as_array().unwrap().len(), 1);
    assert_accepted(&get(&format!("disassociate?vol_type_id={of_type}")).await);
    assert_eq!(
        site.get(&format!("/v3/types/{of_type}")).await.json()["volume_type"]["qos_specs_id"],
        json!(null)
    );
    assert_accepted(&get(&format!("associate?vol_type_id={of_type}")).await);
    assert_accepted(&get("disassociate_all").await);
    assert_eq!(get("associations").await.json(), json!({"qos_associations": []}));
    assert_accepted(&get(&format!("associate?vol_type_id={of_type}")).await);
    assert_accepted(&delete("?force=True").await);
    assert_eq!(
        site.get(&format!("/v3/types/{of_type}")).await.json()["volume_type"]["qos_specs_id"],
        json!(null)
    );
}

#[tokio::test]
async fn qos_specs_are_listed_as_asked() {
    let site = Site::new().await;
    let mut ids = Vec::new();
    for (name, consumer) in [("a", "both"), ("b", "front-end"), ("c", "both")] {
        ids.push(site.new_specs(json!({"name": name, "consumer": consumer, "k": "v"})).await);
    }
    let page = site.get("/v3/qos-specs?limit=1").await.expect(200);
    assert_eq!(
        page.text(),
        format!(
            concat!(
                r#"{{"qos_specs":[{{"id":"{0}","name":"c","consumer":"both","specs":{{"k":"v"}}}}],"#,
                r#""qos_specs_links":[{{"rel":"next","#,
                r#""href":"http://cloud.example:8080/volume/v3/qos-specs?limit=1&marker={0}"}}]}}"#
            ),
            ids[2]
        )
    );
    for (query, expected) in [
        (String::new(), "c b a"),
        ("?sort=name:asc".to_owned(), "a b c"),
        ("?consumer=both".to_owned(), "c a"),
        ("?name=b".to_owned(), "b"),
        (format!("?id={}", ids[0]), "a"),
        ("?color=red".to_owned(), ""),
        (format!("?limit=1&marker={}", ids[2]), "b"),
        ("?offset=1&limit=5".to_owned(), "b a"),
    ] {
        let found = site.get(&format!("/v3/qos-specs{query}")).await.expect(200).json()["qos_specs"].clone();
        let names: Vec<_> = found
            .as_array()
            .unwrap()
            .iter()
            .map(|specs| specs["name"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(names.join(" "), expected, "{query}");
    }
    assert_missing(&site.get("/v3/qos-specs?marker=nowhere").await, "No such QoS spec nowhere.");
    assert_refused(&site.get("/v3/qos-specs?sort=key").await, "Invalid input received: Invalid sort key");
}
