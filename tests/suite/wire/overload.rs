//! More than there is room for: it is refused at once, and the client is told when to come again.

use std::io;

use bytes::Bytes;
use futures::stream;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::support::{Answer, Site};

async fn create(site: &Site) -> Answer {
    site.request("POST", "/volume/v3/volumes").json(&json!({"volume": {"size": 1}})).send().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_has_so_many_jobs_open_and_no_more() {
    let site = Site::with(|config| config.jobs.max_open_per_project = 2).await;
    create(&site).await.expect(202);
    create(&site).await.expect(202);
    let refused = create(&site).await.expect(429);
    assert_eq!(refused.header("retry-after"), Some("5"));
    assert_eq!(
        refused.json(),
        json!({"overLimit": {
            "code": 429,
            "message": "Too many jobs of the project are under way. Please try again later.",
            "retryAfter": "5"
        }})
    );
    // Nothing of it stayed.
    let volumes = site.request("GET", "/volume/v3/volumes").send().await.expect(200).json();
    assert_eq!(volumes["volumes"].as_array().map(Vec::len), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_together_have_so_many_jobs_open_and_no_more() {
    let site = Site::with(|config| config.jobs.max_open = 1).await;
    create(&site).await.expect(202);
    let refused = create(&site).await.expect(503);
    assert_eq!(refused.header("retry-after"), Some("5"));
    assert_eq!(
        refused.json(),
        json!({"serviceUnavailable": {
            "code": 503, "message": "The service is busy. Please try again later."
        }})
    );
    // An image goes by way of a job too.
    let image = json!({"disk_format": "raw", "container_format": "bare"});
    let image = site.request("POST", "/image/v2/images").json(&image).send().await.expect(201).json();
    let path = format!("/image/v2/images/{}", image["id"].as_str().unwrap());
    let refused = site.request("DELETE", &path).header("accept", "application/json").send().await.expect(503);
    assert_eq!(refused.header("retry-after"), Some("5"));
    let said = "The service is busy. Please try again later.<br /><br />\n\n\n";
    assert_eq!(
        refused.json(),
        json!({"message": said, "code": "503 Service Unavailable", "title": "Service Unavailable"})
    );
}

/// An image that bytes can be sent for.
async fn image(site: &Site) -> String {
    let body = json!({"disk_format": "raw", "container_format": "bare"});
    let image: Value = site.request("POST", "/image/v2/images").json(&body).send().await.expect(201).json();
    format!("/image/v2/images/{}/file", image["id"].as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_transfers_run_at_once_and_no_more() {
    let site = Site::with(|config| {
        config.api.max_transfers = 1;
        config.api.max_requests = 1;
    })
    .await;
    let (first, second) = (image(&site).await, image(&site).await);
    let (begun, goes_on) = (std::sync::Arc::new(Notify::new()), std::sync::Arc::new(Notify::new()));
    let pieces = stream::unfold(0, {
        let (begun, goes_on) = (begun.clone(), goes_on.clone());
        move |number| {
            let (begun, goes_on) = (begun.clone(), goes_on.clone());
            async move {
                if number == 1 {
                    begun.notify_one();
                    goes_on.notified().await;
                }
                let piece = Ok::<_, io::Error>(Bytes::from_static(b"bytes"));
                (number < 2).then_some((piece, number + 1))
            }
        }
    });
    let put = |path: &str| site.request("PUT", path).header("content-type", "application/octet-stream");
    let upload = tokio::spawn(put(&first).stream(pieces).send());
    begun.notified().await;
    let refused = put(&second).body("bytes").send().await.expect(503);
    assert_eq!(refused.header("retry-after"), Some("5"));
    // Everything else has room of its own.
    site.request("GET", &first.replace("/file", "")).send().await.expect(200);
    site.request("GET", "/healthz").send().await.expect(200);
    goes_on.notify_one();
    upload.await.unwrap().expect(204);
    put(&second).body("bytes").send().await.expect(204);
}
