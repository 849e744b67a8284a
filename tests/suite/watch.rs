//! Jobs as somebody follows them: the stream of events, and what `pumice jobs --watch` makes of it.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::mpsc;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::house::{DatabaseKind, StoreKind};
use crate::process::{PATIENCE, Place, Server};

async fn volume(server: &Server) -> String {
    let body = json!({"volume": {"size": 1}});
    let (status, body) = server.send(Method::POST, "/volume/v3/volumes", Some(body)).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{body}");
    body["volume"]["id"].as_str().unwrap().to_owned()
}

/// Each job is told of until it is over, as the list shows it then.
#[tokio::test]
async fn events_tell_of_jobs_until_they_are_over() {
    let place = Place::new(StoreKind::Directory, DatabaseKind::Sqlite).await;
    let server = place.start();
    let mut stream = reqwest::get(format!("{}/pumice/v1/jobs/events", server.url)).await.unwrap();
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let id = volume(&server).await;
    let mut text = String::new();
    let over = tokio::time::timeout(PATIENCE, async {
        loop {
            let bytes = stream.chunk().await.unwrap().expect("the stream has no end");
            text.push_str(std::str::from_utf8(&bytes).unwrap());
            let whole = text.rfind("\n\n").map_or("", |end| &text[..end]);
            let events = whole.split("\n\n").filter_map(|event| {
                let data = event.strip_prefix("event: job\ndata: ")?;
                Some(serde_json::from_str::<Value>(data).unwrap())
            });
            let mut of_ours = events.filter(|job| job["resource"]["id"] == id.as_str());
            if let Some(job) = of_ours.find(|job| job["state"] == "done") {
                return job;
            }
        }
    });
    let told = over.await.unwrap_or_else(|_| panic!("{text}"));
    let listed = server.list(&format!("/pumice/v1/jobs?resource_id={id}"), "jobs").await.remove(0);
    for key in ["id", "kind", "state", "attempts", "finished_at"] {
        assert_eq!(told[key], listed[key], "{key}");
    }
    server.stop();
}

#[tokio::test]
async fn the_command_draws_them_and_ends_with_the_service() {
    let place = Place::new(StoreKind::Directory, DatabaseKind::Sqlite).await;
    let server = place.start();
    let mut watch = place
        .command(&["jobs", "--watch", "--url", &server.url])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let (said, heard) = mpsc::channel();
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| drop(said.send(line))));
    // What is over before it looks is no news.
    let line = tokio::time::timeout(PATIENCE, async {
        loop {
            volume(&server).await;
            tokio::time::sleep(Duration::from_millis(200)).await;
            if let Some(line) = heard.try_iter().find(|line| line.contains(" done ")) {
                return line;
            }
        }
    });
    let line = line.await.unwrap();
    assert!(line.contains(" create_volume ") && line.contains(" done      ["), "{line}");
    server.stop();
    assert!(watch.wait().unwrap().success());
}
