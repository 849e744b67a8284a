//! Version documents, negotiation, and what all answers have in common.

use serde_json::json;

use super::fault;
use crate::support::{Call, Site};

const DOCUMENT: &str = concat!(
    r#"{"versions":[{"id":"v3.0","status":"CURRENT","version":"3.71","min_version":"3.0","#,
    r#""updated":"2023-08-31T00:00:00Z","links":[{"rel":"describedby","type":"text/html","#,
    r#""href":"https://docs.openstack.org/"},{"rel":"self","href":"http://cloud.example:8080/volume/v3/"}],"#,
    r#""media-types":[{"base":"application/json","#,
    r#""type":"application/vnd.openstack.volume+json;version=3"}]}]}"#
);

#[tokio::test]
async fn the_version_documents() {
    let site = Site::new().await;
    let root = site.volume("GET", "").send().await.expect(300);
    assert_eq!(root.text(), DOCUMENT);
    assert_eq!(root.header("content-type"), Some("application/json"));
    assert_eq!(root.header("openstack-api-version"), None);
    assert_eq!(site.volume("GET", "/v3/").send().await.expect(200).text(), DOCUMENT);
    let moved = site.volume("GET", "/v3").send().await.expect(302);
    assert_eq!(moved.header("location"), Some("http://cloud.example:8080/volume/v3/"));
    assert_eq!(site.volume("GET", "/healthcheck").send().await.expect(200).text(), "OK");
}

#[tokio::test]
async fn links_start_where_the_client_sees_the_service() {
    let site = Site::new().await;
    let own_port = pumice::volume_api::router(site.app().clone(), "");
    let document = Call::to(own_port.clone(), "GET", "/").send().await.expect(300);
    assert_eq!(document.json()["versions"][0]["links"][1]["href"], "http://cloud.example:8080/v3/");
    let proxied = Call::to(own_port, "GET", "/v3/").header("x-forwarded-host", "a.example, b.example");
    assert_eq!(proxied.send().await.json()["versions"][0]["links"][1]["href"], "http://b.example/v3/");

    let endpoint = "https://public.example/block/".to_owned();
    let site = Site::with(|config| config.api.volume_public_endpoint = Some(endpoint)).await;
    let document = site.volume("GET", "/v3/").send().await;
    assert_eq!(document.json()["versions"][0]["links"][1]["href"], "https://public.example/block/v3/");
    let volume = site.new_volume(json!({"size": 1})).await;
    let (id, links) = (super::id_of(&volume), &volume["links"]);
    assert_eq!(links[0]["href"], format!("https://public.example/block/v3/volumes/{id}"));
    assert_eq!(links[1]["href"], format!("https://public.example/block/volumes/{id}"));
}

#[tokio::test]
async fn the_version_is_negotiated() {
    let site = Site::new().await;
    let generic =
        "The server could not comply with the request since it is either malformed or otherwise incorrect.";
    let invalid = |text: &str| {
        let message =
            format!("API Version String {text} is of invalid format. Must be of format MajorNum.MinorNum.");
        fault("badRequest", 400, &message)
    };
    let unsupported = |text: &str| {
        let message =
            format!("Version {text} is not supported by the API. Minimum is 3.0 and maximum is 3.71.");
        fault("computeFault", 406, &message)
    };
    let empty = r#"{"volumes":[]}"#.to_owned();
    for (header, status, echo, body) in [
        (None, 200, Some("volume 3.0"), empty.clone()),
        (Some("volume 3.27"), 200, Some("volume 3.27"), empty.clone()),
        (Some("compute 2.1, volume 3.27"), 200, Some("volume 3.27"), empty.clone()),
        (Some("volume latest"), 200, Some("volume 3.71"), empty.clone()),
        (Some("volume 3.72"), 406, Some("volume 3.72"), unsupported("3.72")),
        (Some("volume 4.0"), 406, Some("volume 4.0"), unsupported("4.0")),
        (Some("volume 3.x"), 400, None, invalid("3.x")),
        (Some("volume 3"), 400, None, invalid("3")),
        (Some("compute 2.1"), 400, None, fault("badRequest", 400, generic)),
    ] {
        let mut call = site.volume("GET", "/v3/volumes");
        if let Some(header) = header {
            call = call.header("openstack-api-version", header);
        }
        let answer = call.send().await;
        assert_eq!((answer.status.as_u16(), answer.text()), (status, body.as_str()), "{header:?}");
        assert_eq!(answer.header("openstack-api-version"), echo, "{header:?}");
        assert_eq!(answer.header("vary"), echo.map(|_| "OpenStack-API-Version"), "{header:?}");
        let request_id = answer.header("x-openstack-request-id").unwrap();
        assert!(request_id.starts_with("req-"));
        assert_eq!(answer.header("x-compute-request-id"), Some(request_id));
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
}

#[tokio::test]
async fn what_is_no_route_is_told_in_plain_text() {
    let site = Site::new().await;
    for (method, path) in [
        ("GET", "/v2/volumes"),
        ("GET", "/v3/nothing"),
        ("GET", "/v3/volumes/x/y"),
        ("PATCH", "/v3/volumes"),
        ("DELETE", "/v3/volumes"),
        ("HEAD", "/v3/volumes"),
        ("PUT", "/v3/volumes/detail/x"),
        ("GET", "/v3/volumes/%ff"),
        ("GET", "/v3/0123"),
    ] {
        let answer = site.volume(method, path).version(71).send().await.expect(404);
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=UTF-8"), "{method} {path}");
        assert_eq!(answer.text(), "404 Not Found\n\nThe resource could not be found.\n\n   ");
        assert_eq!(answer.header("openstack-api-version"), None);
    }
    let options = site.volume("OPTIONS", "/v3/volumes").send().await.expect(200);
    assert!(options.body.is_empty());
}

#[tokio::test]
async fn a_path_may_name_its_project() {
    let site = Site::new().await;
    let id = site.new_volume_id().await;
    let path = format!("/v3/{}/volumes/{id}", super::PROJECT);
    let volume = site.get(&path).await.expect(200).json();
    let href = format!("http://cloud.example:8080/volume{path}");
    assert_eq!(volume["volume"]["links"][0]["href"], href);
    assert_eq!(volume["volume"]["links"][1]["href"], href.replace("/v3/", "/"));
    site.get(&format!("{path}.json")).await.expect(200);
    site.get("/v3/volumes/detail.json?limit=1").await.expect(200);

    let other = site.get(&format!("/v3/abc/volumes/{id}")).await.expect(400);
    assert_eq!(other.text(), fault("badRequest", 400, "Malformed request url"));
    assert_eq!(other.header("openstack-api-version"), Some("volume 3.71"));
}

#[tokio::test]
async fn zones_types_and_extensions() {
    let site = Site::new().await;
    assert_eq!(
        site.get("/v3/os-availability-zone").await.expect(200).text(),
        r#"{"availabilityZoneInfo":[{"zoneName":"nova","zoneState":{"available":true}}]}"#
    );

    let id = "00000000-0000-0000-0000-000000000002";
    let default = format!(
        concat!(
            r#"{{"id":"{}","name":"__DEFAULT__","is_public":true,"description":"Default Volume Type","#,
            r#""extra_specs":{{}},"qos_specs_id":null,"os-volume-type-access:is_public":true}}"#
        ),
        id
    );
    let shown = format!(r#"{{"volume_type":{default}}}"#);
    assert_eq!(site.get("/v3/types/default").await.expect(200).text(), shown);
    assert_eq!(site.get(&format!("/v3/types/{id}")).await.expect(200).text(), shown);
    assert_eq!(
        site.get("/v3/types/__DEFAULT__").await.expect(404).text(),
        fault("itemNotFound", 404, "Volume type __DEFAULT__ could not be found.")
    );
    assert_eq!(site.get("/v3/types").await.text(), format!(r#"{{"volume_types":[{default}]}}"#));
    assert_eq!(site.get("/v3/types?is_public=false").await.text(), r#"{"volume_types":[]}"#);
    assert_eq!(site.get("/v3/types?is_public=None").await.json()["volume_types"][0]["id"], id);
    let page = site.get("/v3/types?limit=1").await.json();
    let next = format!("http://cloud.example:8080/volume/v3/types?limit=1&marker={id}");
    assert_eq!(page["volume_type_links"], json!([{"rel": "next", "href": next}]));
    assert_eq!(site.get(&format!("/v3/types?limit=1&marker={id}")).await.text(), r#"{"volume_types":[]}"#);
    site.get("/v3/types?marker=nowhere").await.expect(404);

    let extensions = site.get("/v3/extensions").await.expect(200).json();
    for extension in extensions["extensions"].as_array().unwrap() {
        let alias = extension["alias"].as_str().unwrap();
        let one = site.get(&format!("/v3/extensions/{alias}")).await.expect(200).json();
        assert_eq!(&one["extension"], extension);
    }
    assert_eq!(
        site.get("/v3/extensions/backups").await.expect(404).text(),
        fault("itemNotFound", 404, "The resource could not be found.")
    );
}

#[test]
fn every_route_is_documented() {
    let document = pumice::volume_api::openapi().unwrap();
    let paths = document["paths"].as_object().unwrap();
    for path in ["/", "/v3/volumes", "/v3/volumes/{volume_id}/action", "/v3/snapshots/detail", "/v3/types"] {
        assert!(paths.contains_key(path), "{path}");
    }
}
