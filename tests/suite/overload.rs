//! Several times as many clients as there is room for: what is refused is refused at once, what is accepted is done,
//! memory stays what it was, and whoever does not ask for what is full gets answers beside them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::header::RETRY_AFTER;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

use crate::house::{DatabaseKind, StoreKind};
use crate::process::{PATIENCE, Place, Server};

const ROOM: usize = 8;
const CLIENTS: usize = 4 * ROOM;
const REQUESTS: usize = 60;

/// How each of its requests was answered, and what was accepted. Who is refused is told when to come again.
async fn client(http: &Client, server: &Server) -> Vec<(StatusCode, Value)> {
    let mut answers = Vec::new();
    for _ in 0..REQUESTS {
        let body = json!({"volume": {"size": 1}});
        let asked = http.post(format!("{}/volume/v3/volumes", server.url)).json(&body).send();
        let answer = asked.await.unwrap_or_else(|error| panic!("{error:?}\n{}", server.log()));
        let (status, when) = (answer.status(), answer.headers().get(RETRY_AFTER).cloned());
        let text = answer.text().await.unwrap();
        if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            let seconds = when.as_ref().and_then(|when| when.to_str().ok()?.parse::<u32>().ok());
            assert!(seconds.is_some(), "{status}, {when:?}: {text}");
        }
        answers.push((status, serde_json::from_str(&text).unwrap_or_default()));
    }
    answers
}

/// Reads this beside the clients, for as long as they ask: each time it is answered.
async fn flood(server: &Server, beside: &[&str]) -> Vec<(StatusCode, Value)> {
    let http = Client::builder().timeout(PATIENCE).build().unwrap();
    let is_over = AtomicBool::new(false);
    let flood = async {
        let clients = (0..CLIENTS).map(|_| client(&http, server));
        let answers = futures::future::join_all(clients).await;
        is_over.store(true, Ordering::SeqCst);
        answers
    };
    let reader = async {
        while !is_over.load(Ordering::SeqCst) {
            for path in beside {
                let (status, body) = server.send(Method::GET, path, None).await;
                assert_eq!(status, StatusCode::OK, "{path}: {body}\n{}", server.log());
            }
        }
    };
    let (answers, ()) = tokio::join!(flood, reader);
    answers.into_iter().flatten().collect()
}

/// How often each status was answered: some were accepted and some were refused.
fn counted(answers: &[(StatusCode, Value)], server: &Server) -> BTreeMap<u16, usize> {
    let mut counts: BTreeMap<u16, usize> = BTreeMap::new();
    for (status, _) in answers {
        *counts.entry(status.as_u16()).or_default() += 1;
    }
    assert!(counts.keys().all(|status| [202, 503].contains(status)), "{counts:?}\n{}", server.log());
    assert!(counts.len() == 2, "nothing was too much, or everything: {counts:?}");
    counts
}

async fn volumes(server: &Server) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    loop {
        let after =
            all.last().map_or(String::new(), |last| format!("?marker={}", last["id"].as_str().unwrap()));
        let page = server.list(&format!("/volume/v3/volumes/detail{after}"), "volumes").await;
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_accepted_is_done_and_the_rest_is_told_to_come_again() {
    let place = Place::new(StoreKind::Directory, DatabaseKind::Sqlite).await;
    let room = ROOM.to_string();
    let server = place.start_with(&[
        ("PUMICE_API__MAX_REQUESTS", room.as_str()),
        ("PUMICE_JOBS__WORKERS", "2"),
        ("PUMICE_JOBS__MAX_OPEN", "50"),
        ("PUMICE_QUOTAS__QUOTA_VOLUMES", "-1"),
        ("PUMICE_QUOTAS__QUOTA_GIGABYTES", "-1"),
    ]);
    // All other requests need the room that there is not.
    let beside = ["/healthz", "/metrics"];
    let mut answers = flood(&server, &beside).await;
    let before = server.memory();
    for _ in 0..3 {
        answers.extend(flood(&server, &beside).await);
    }
    let after = server.memory();
    let counts = counted(&answers, &server);
    println!("{counts:?}, {before} KiB before and {after} KiB after");
    assert!(after < before + (32 << 10), "it grew from {before} to {after} KiB");
    // Each that was accepted, and no other.
    server.settle().await;
    let accepted: BTreeSet<&str> =
        answers.iter().filter_map(|(_, body)| body["volume"]["id"].as_str()).collect();
    let found = volumes(&server).await;
    assert!(found.iter().all(|volume| volume["status"] == "available"), "{}", server.log());
    assert_eq!(found.iter().map(|volume| volume["id"].as_str().unwrap()).collect::<BTreeSet<_>>(), accepted);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_does_not_hear_of_a_full_queue() {
    let place = Place::new(StoreKind::Directory, DatabaseKind::Sqlite).await;
    let server = place.start_with(&[("PUMICE_JOBS__MAX_OPEN", "1")]);
    let beside = [
        "/volume/v3/volumes/detail?limit=10",
        "/volume/v3/limits",
        "/image/v2/images",
        "/pumice/v1/jobs?state=open",
    ];
    let answers = flood(&server, &beside).await;
    println!("{:?}", counted(&answers, &server));
    server.settle().await;
    server.stop();
}
