//! Bodies that no client should send.

use serde_json::{Value, json};

use super::{assert_refused, fault};
use crate::support::Site;

const GENERIC: &str =
    "The server could not comply with the request since it is either malformed or otherwise incorrect.";

/// The texts are those that the real service's schemas give.
#[tokio::test]
async fn fields_are_refused_with_their_reason() {
    let site = Site::new().await;
    let field = |name: &str, value: &str, message: &str| {
        format!("Invalid input for field/attribute {name}. Value: {value}. {message}")
    };
    let long = "x".repeat(256);
    let too_long = format!("{long}. '{long}' is too long");
    let any_of = "is not valid under any of the given schemas";
    let integers = "is not of type 'integer', 'string', 'null'";
    let regex = "'^[a-zA-Z0-9-_:. /]{1,255}$'";
    let volume = |volume: Value| json!({"volume": volume});
    let cases = [
        (json!([]), "[] is not of type 'object'".to_owned()),
        (json!(null), "None is not of type 'object'".to_owned()),
        (json!("x"), "'x' is not of type 'object'".to_owned()),
        (json!({}), "'volume' is a required property".to_owned()),
        (json!({"volume": null}), field("volume", "None", "None is not of type 'object'")),
        (json!({"volume": []}), field("volume", "[]", "[] is not of type 'object'")),
        (
            json!({"volume": {}, "foo": 1}),
            "Additional properties are not allowed ('foo' was unexpected)".to_owned(),
        ),
        (
            json!({"volume": {}, "foo": 1, "bar": 2}),
            "Additional properties are not allowed ('bar', 'foo' were unexpected)".to_owned(),
        ),
        (
            json!({"volume": {}, "OS-SCH-HNT:scheduler_hints": 5}),
            field("OS-SCH-HNT:scheduler_hints", "5", "5 is not of type 'object', 'null'"),
        ),
        (volume(json!({})), GENERIC.to_owned()),
        (volume(json!({"size": null})), GENERIC.to_owned()),
        (volume(json!({"size": 0})), field("size", "0", "0 is less than the minimum of 1")),
        (volume(json!({"size": "0"})), field("size", "0", "0 is less than the minimum of 1")),
        (volume(json!({"size": -1})), field("size", "-1", "-1 is less than the minimum of 1")),
        (volume(json!({"size": 1.5})), field("size", "1.5", &format!("1.5 {integers}"))),
        (volume(json!({"size": true})), field("size", "True", &format!("True {integers}"))),
        (volume(json!({"size": [1]})), field("size", "[1]", &format!("[1] {integers}"))),
        (volume(json!({"size": "abc"})), field("size", "abc", "'abc' does not match '^[0-9]+$'")),
        (volume(json!({"size": ""})), field("size", "", "'' does not match '^[0-9]+$'")),
        (
            volume(json!({"size": 2147483648_u64})),
            field("size", "2147483648", "2147483648 is greater than the maximum of 2147483647"),
        ),
        (
            volume(json!({"size": u64::MAX})),
            field(
                "size",
                &u64::MAX.to_string(),
                &format!("{} is greater than the maximum of 2147483647", u64::MAX),
            ),
        ),
        (
            volume(json!({"size": "99999999999999999999999"})),
            field(
                "size",
                "99999999999999999999999",
                "99999999999999999999999 is greater than the maximum of 2147483647",
            ),
        ),
        (volume(json!({"size": 1, "name": 5})), field("name", "5", "5 is not of type 'string', 'null'")),
        (
            volume(json!({"size": 1, "name": "é".repeat(256)})),
            "Invalid input received: name has 256 characters, more than 255.".to_owned(),
        ),
        (
            volume(json!({"size": 1, "display_description": "a'b".repeat(100)})),
            "Invalid input received: description has 300 characters, more than 255.".to_owned(),
        ),
        (
            volume(json!({"size": 1, "volume_type": long})),
            format!("Invalid input for field/attribute volume_type. Value: {too_long}"),
        ),
        (
            volume(json!({"size": 1, "metadata": 5})),
            field("metadata", "5", "5 is not of type 'object', 'null'"),
        ),
        (volume(json!({"size": 1, "metadata": {"a": 5}})), field("a", "5", "5 is not of type 'string'")),
        (
            volume(json!({"size": 1, "metadata": {"a": null}})),
            field("a", "None", "None is not of type 'string'"),
        ),
        (
            volume(json!({"size": 1, "metadata": {"a": long}})),
            format!("Invalid input for field/attribute a. Value: {too_long}"),
        ),
        (
            volume(json!({"size": 1, "metadata": {"a!": "b"}})),
            field("metadata", "{'a!': 'b'}", &format!("'a!' does not match any of the regexes: {regex}")),
        ),
        (
            volume(json!({"size": 1, "metadata": {"": "b"}})),
            field("metadata", "{'': 'b'}", &format!("'' does not match any of the regexes: {regex}")),
        ),
        (
            volume(json!({"size": 1, "metadata": {"c!": "d", "a!": "b"}})),
            field(
                "metadata",
                "{'c!': 'd', 'a!': 'b'}",
                &format!("'a!', 'c!' do not match any of the regexes: {regex}"),
            ),
        ),
        (volume(json!({"snapshot_id": "x"})), field("snapshot_id", "x", &format!("'x' {any_of}"))),
        (volume(json!({"source_volid": 5})), field("source_volid", "5", &format!("5 {any_of}"))),
        (
            volume(json!({"size": 1, "availability_zone": ""})),
            field("availability_zone", "", "'' should be non-empty"),
        ),
        (
            volume(json!({"size": 1, "availability_zone": "mars"})),
            "Availability zone 'mars' is invalid.".to_owned(),
        ),
        (volume(json!({"size": 1, "multiattach": 1})), field("multiattach", "1", &format!("1 {any_of}"))),
        (
            volume(json!({"size": 1, "imageRef": 5})),
            field("imageRef", "5", "5 is not of type 'string', 'null'"),
        ),
        (
            volume(json!({"size": 1, "bogus": 1})),
            field(
                "volume",
                "{'size': 1, 'bogus': 1}",
                "Additional properties are not allowed ('bogus' was unexpected)",
            ),
        ),
    ];
    for (body, message) in cases {
        assert_refused(&site.post("/v3/volumes", body).await, &message);
    }
    let multiattach = site.post("/v3/volumes", volume(json!({"size": 1, "multiattach": "on"}))).await;
    assert!(multiattach.expect(400).text().contains("multiattach parameter has been removed."));
    assert_eq!(site.tasks().await, []);
    // Before 3.53 strangers are passed over.
    let lenient =
        site.volume("POST", "/v3/volumes").version(52).json(&volume(json!({"size": 1, "bogus": 1})));
    lenient.send().await.expect(202);
}

#[tokio::test]
async fn bodies_of_snapshots_and_actions_are_refused_too() {
    let site = Site::new().await;
    let id = site.available_volume(json!({"size": 1})).await;
    for (snapshot, message) in [
        (
            json!({}),
            "Invalid input for field/attribute snapshot. Value: {}. 'volume_id' is a required property",
        ),
        (
            json!({"volume_id": "x"}),
            "Invalid input for field/attribute volume_id. Value: x. 'x' is not valid under any of the given schemas",
        ),
        (
            json!({"volume_id": null, "force": 1}),
            "Invalid input for field/attribute force. Value: 1. 1 is not of type 'boolean', 'string'",
        ),
        (
            json!({"volume_id": null, "force": "x"}),
            "Invalid input for field/attribute force. Value: x. 'x' is not one of [True, 'True', 'TRUE', 'true', '1', \
             'ON', 'On', 'on', 'YES', 'Yes', 'yes', 'y', 't', False, 'False', 'FALSE', 'false', '0', 'OFF', 'Off', \
             'off', 'NO', 'No', 'no', 'n', 'f']",
        ),
        (
            json!({"volume_id": null, "foo": 1}),
            "Invalid input for field/attribute snapshot. Value: {'volume_id': None, 'foo': 1}. Additional properties \
             are not allowed ('foo' was unexpected)",
        ),
    ] {
        assert_refused(&site.post("/v3/snapshots", json!({"snapshot": snapshot})).await, message);
    }
    let newline = json!({"snapshot": {"volume_id": id, "description": "a\nb"}});
    site.post("/v3/snapshots", newline).await.expect(400);
    let path = format!("/v3/volumes/{id}/action");
    for (extend, message) in [
        (json!({}), "os-extend. Value: {}. 'new_size' is a required property"),
        (json!(null), "os-extend. Value: None. None is not of type 'object'"),
        (json!({"new_size": 0}), "new_size. Value: 0. 0 is less than the minimum of 1"),
        (json!({"new_size": null}), "new_size. Value: None. None is not of type 'integer', 'string'"),
        (json!({"new_size": 1.5}), "new_size. Value: 1.5. 1.5 is not of type 'integer', 'string'"),
        (
            json!({"new_size": 5, "x": 1}),
            "os-extend. Value: {'new_size': 5, 'x': 1}. Additional properties are not allowed ('x' was unexpected)",
        ),
    ] {
        let message = format!("Invalid input for field/attribute {message}");
        assert_refused(&site.post(&path, json!({"os-extend": extend})).await, &message);
    }
}

#[tokio::test]
async fn bodies_that_cannot_be_read_are_refused() {
    let site = Site::new().await;
    let send = |content_type: &'static str, body: Vec<u8>| {
        site.volume("POST", "/v3/volumes").header("content-type", content_type).body(body).send()
    };
    for body in [
        &b"{"[..],
        b"{\"volume\": {\"size\": 1}} x",
        b"{\"volume\": {\"size\": 1e999}}",
        b"\xff\xfe",
        b"{\"volume\": {\"size\": 1, \"name\": \"a\\u0000b\"}}",
        b"{\"volume\": {\"size\": 1, \"metadata\": {\"a\\u0000\": \"b\"}}}",
    ] {
        assert_refused(&send("application/json", body.to_vec()).await, "Malformed request body");
    }
    let deep = "[".repeat(50_000).into_bytes();
    assert_refused(&send("application/json", deep).await, "Malformed request body");
    let good = br#"{"volume": {"size": 1}}"#.to_vec();
    for content_type in ["text/plain", "application/xml", "application/x-www-form-urlencoded"] {
        let answer = send(content_type, good.clone()).await.expect(415);
        assert_eq!(answer.text(), fault("badMediaType", 415, "Unsupported Content-Type"));
    }
    send("application/json; charset=utf-8", good.clone()).await.expect(202);
    send("application/vnd.openstack.volume+json", good.clone()).await.expect(202);
    // The real service answers 500 to these two.
    assert_refused(&site.volume("POST", "/v3/volumes").send().await, GENERIC);
    assert_refused(&site.volume("POST", "/v3/volumes").body(good).send().await, GENERIC);
}

#[tokio::test]
async fn bodies_have_a_largest_size() {
    let site = Site::with(|config| config.api.osapi_max_request_body_size = 1024).await;
    let body = |length: usize| {
        let mut body = br#"{"volume": {"size": 1}}"#.to_vec();
        body.resize(length, b' ');
        body
    };
    let send = |length: usize| {
        site.volume("POST", "/v3/volumes")
            .header("content-type", "application/json")
            .body(body(length))
            .send()
    };
    send(1024).await.expect(202);
    let answer = send(1025).await.expect(413);
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=UTF-8"));
    assert!(answer.text().starts_with("413 Payload Too Large\n\nRequest is too large. Larger than 1024"));
    // Announced, though never sent.
    let announced = site.volume("POST", "/v3/volumes").header("content-length", "18446744073709551615");
    announced.header("content-type", "application/json").send().await.expect(413);
}

#[tokio::test]
async fn headers_have_a_largest_size() {
    let site = Site::with(|config| config.api.max_header_bytes = 8192).await;
    let send = |length: usize| site.volume("GET", "/v3/volumes").header("x-long", &"x".repeat(length)).send();
    send(7_000).await.expect(200);
    send(8_192).await.expect(431);
}
