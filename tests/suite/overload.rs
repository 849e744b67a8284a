//! Several times as many clients as there is room for: what is refused is refused at once, what is accepted is done, and
//! memory stays what it was.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::house::{DatabaseKind, StoreKind};
use crate::process::{Place, Server};

const ROOM: usize = 8;
const CLIENTS: usize = 4 * ROOM;
const REQUESTS: usize = 60;

/// How each of its requests was answered, and what was accepted.
async fn client(server: &Server) -> Vec<(StatusCode, Value)> {
    let mut answers = Vec::new();
    for _ in 0..REQUESTS {
        let body = json!({"volume": {"size": 1}});
        answers.push(server.send(Method::POST, "/volume/v3/volumes", Some(body)).await);
    }
    answers
}

async fn flood(server: &Server) -> Vec<(StatusCode, Value)> {
    let clients = (0..CLIENTS).map(|_| client(server));
    futures::future::join_all(clients).await.into_iter().flatten().collect()
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
    let mut answers = flood(&server).await;
    let before = server.memory();
    for _ in 0..3 {
        answers.extend(flood(&server).await);
    }
    let after = server.memory();
    let mut counts: BTreeMap<u16, usize> = BTreeMap::new();
    for (status, _) in &answers {
        *counts.entry(status.as_u16()).or_default() += 1;
    }
    println!("{counts:?}, {before} KiB before and {after} KiB after");
    assert!(counts.keys().all(|status| [202, 503].contains(status)), "{counts:?}\n{}", server.log());
    assert!(counts.len() == 2, "nothing was too much: {counts:?}");
    assert!(after < before + (32 << 10), "it grew from {before} to {after} KiB");
    // Each that was accepted, and no other.
    server.settle().await;
    let accepted: BTreeSet<&str> =
        answers.iter().filter_map(|(_, body)| body["volume"]["id"].as_str()).collect();
    let found = volumes(&server).await;
    assert!(found.iter().all(|volume| volume["status"] == "available"), "{}", server.log());
    assert_eq!(found.iter().map(|volume| volume["id"].as_str().unwrap()).collect::<BTreeSet<_>>(), accepted);
}
