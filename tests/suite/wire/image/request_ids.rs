//! What a client calls its request, its answer is called, and what it asks for.

use axum::body::Body;
use serde_json::json;

use super::{Api, BYTES, JSON};

const NAME: &str = "x-openstack-request-id";

#[tokio::test(flavor = "multi_thread")]
async fn a_client_names_its_request() {
    let api = Api::start().await;
    let long = "x".repeat(64);
    for (given, echo) in [
        ("req-mine", "req-mine".to_owned()),
        ("mine, too \"quoted\"", "req-mine, too \"quoted\"".to_owned()),
        (&*long, format!("req-{long}")),
    ] {
        let answer = api.send("GET", "/v2/images", &[(NAME, given)], Body::empty()).await.is(200);
        assert_eq!(answer.header(NAME), Some(&*echo));
    }
    // A fault is named likewise.
    let answer = api.send("GET", "/v2/images/x", &[(NAME, "req-mine")], Body::empty()).await.is(404);
    assert_eq!(answer.header(NAME), Some("req-mine"));
    // Nothing is no name, and who asks for versions is nobody yet.
    for (path, given) in [("/v2/images", ""), ("/versions", "req-mine"), ("/healthcheck", "req-mine")] {
        let answer = api.send("GET", path, &[(NAME, given)], Body::empty()).await;
        let made = answer.header(NAME).unwrap().strip_prefix("req-").unwrap();
        assert!(uuid::Uuid::parse_str(made).is_ok(), "{path} {given}: {made}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_too_long_is_refused() {
    let api = Api::start().await;
    let long = "x".repeat(65);
    let ask = async |headers: &[(&str, &str)]| {
        let headers = [&[(NAME, long.as_str())], headers].concat();
        api.send("GET", "/v2/images", &headers, Body::empty()).await.is(431)
    };
    let message = "The request header fields were too large<br /><br />\n\n<!-- x-openstack-request-id is too \
        long, max size 64 -->\n";
    let title = "Request Header Fields Too Large";
    let expected = json!({"message": message, "code": format!("431 {title}"), "title": title});
    assert_eq!(ask(&[JSON]).await.json(), expected);
    let answer = ask(&[]).await;
    let text = "431 Request Header Fields Too Large\n\nThe request header fields were too large\n\n   \
        x-openstack-request-id is too long, max size 64  ";
    assert_eq!(answer.text(), text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_says_who_asked_for_it() {
    let api = Api::start().await;
    let id = api.image(json!({"disk_format": "raw", "container_format": "bare"})).await;
    let path = format!("/v2/images/{id}");
    api.send("PUT", &format!("{path}/stage"), &[BYTES], "x").await.is(204);
    let body = json!({"method": {"name": "glance-direct"}}).to_string();
    api.send("POST", &format!("{path}/import"), &[(NAME, "mine")], body).await.is(202);
    let tasks = api.get(&format!("{path}/tasks")).await.is(200).json();
    let task = &tasks["tasks"][0];
    assert_eq!(task["request_id"], "mine");
    assert!(task["user_id"].as_str().is_some_and(|user| !user.is_empty()), "{task}");
    let shown = api.get(&format!("/v2/tasks/{}", task["id"].as_str().unwrap())).await.is(200).json();
    assert_eq!((&shown["request_id"], &shown["user_id"]), (&task["request_id"], &task["user_id"]));
}
