//! All is well again: is what is there what was said, and can it be used?

use std::collections::BTreeSet;
use std::time::Duration;

use pumice::block::{BlockError, OpenMode, Stores};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::load::{Kind, LENGTH, MARK_AT, Thing, bytes, store_of};
use crate::process::{Place, Server};

/// In which something waits for nothing any more.
const SETTLED: &[&str] = &[
    "available",
    "in-use",
    "reserved",
    "awaiting-transfer",
    "error",
    "error_deleting",
    "error_extending",
    "active",
    "queued",
];

/// How long jobs may take to come to their end.
const SOON: Duration = Duration::from_secs(300);

/// What an audit may find here, and why.
fn excuse(finding: &Value) -> Option<&'static str> {
    match finding["kind"].as_str()? {
        // On 16.2; see docs/operations.md.
        "stale-watcher" => Some("a client was killed while it opened the image"),
        "stale-lock" if finding["explanation"].as_str()?.contains("Whoever writes next takes it over") => {
            Some("a client was killed while it wrote to the image")
        }
        _ => None,
    }
}

pub struct Verdict<'a> {
    pub place: &'a Place,
    pub server: &'a Server,
    pub stores: &'a Stores,
    pub findings: Vec<String>,
}

impl Verdict<'_> {
    pub async fn over(&mut self, things: &[Thing]) {
        self.all_jobs_end().await;
        for kind in [Kind::Volume, Kind::Snapshot, Kind::Image] {
            for row in self.rows(kind).await {
                let status = row["status"].as_str().unwrap_or_default();
                if !SETTLED.contains(&status) {
                    let jobs = self.jobs(&row).await;
                    self.findings.push(format!("it stays {status}: {row:#}\n{jobs:#?}"));
                }
            }
        }
        for thing in things {
            self.is_as_said(thing).await;
        }
        self.quotas_are_true().await;
        self.audit();
    }

    /// What `pumice audit` says, however young.
    fn audit(&mut self) {
        let mut command = self.place.command(&["audit", "--json", "--older-than", "0"]);
        let output = tokio::task::block_in_place(|| command.output().unwrap());
        let Ok(report) = serde_json::from_slice::<Value>(&output.stdout) else {
            return self.findings.push(format!("the audit says nothing: {output:?}"));
        };
        for unseen in report["unseen"].as_array().unwrap() {
            self.findings.push(format!("the audit did not see {unseen}"));
        }
        for finding in report["findings"].as_array().unwrap() {
            if let Some(why) = excuse(finding) {
                println!("audit, {why}: {finding}");
            } else {
                self.findings.push(format!("audit: {finding:#}"));
            }
        }
    }

    async fn all_jobs_end(&mut self) {
        let ended = tokio::time::timeout(SOON, async {
            while !self.open_jobs().await.is_empty() {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        });
        if ended.await.is_err() {
            let open = self.open_jobs().await;
            self.findings.push(format!("jobs are still open: {open:#?}"));
        }
    }

    async fn open_jobs(&self) -> Vec<Value> {
        self.server.list("/pumice/v1/jobs?state=open", "jobs").await
    }

    async fn rows(&self, kind: Kind) -> Vec<Value> {
        match kind {
            Kind::Volume => self.server.list("/volume/v3/volumes/detail", "volumes").await,
            Kind::Snapshot => self.server.list("/volume/v3/snapshots", "snapshots").await,
            Kind::Image => self.server.list("/image/v2/images?limit=1000", "images").await,
        }
    }

    async fn jobs(&self, row: &Value) -> Vec<Value> {
        let path = format!("/pumice/v1/jobs?resource_id={}", row["id"].as_str().unwrap());
        self.server.list(&path, "jobs").await
    }

    async fn is_as_said(&mut self, thing: &Thing) {
        let path = format!("{}/{}", thing.kind.path(), thing.id);
        let (status, body) = self.server.send(Method::GET, &path, None).await;
        let row = thing.kind.of(&body);
        if status == StatusCode::NOT_FOUND {
            if !thing.is_deleted && !thing.may_be_deleted {
                self.findings.push(format!("it is gone, and nobody deleted it: {thing:?}"));
            }
            return;
        }
        if status != StatusCode::OK {
            return self.findings.push(format!("{path}: {status} {body}"));
        }
        if thing.is_deleted {
            // It may be there only when its deletion failed, and says so.
            let jobs = self.jobs(row).await;
            let failed = jobs
                .iter()
                .any(|job| job["kind"].as_str().unwrap().starts_with("delete") && job["state"] == "failed");
            if !failed {
                self.findings.push(format!("it was deleted, and is there: {row:#}\n{jobs:#?}"));
            }
            // A volume that was given back is whole; an image has no status that says otherwise.
            if !failed || thing.kind != Kind::Volume {
                return;
            }
        }
        let wrong = match (thing.kind, row["status"].as_str()) {
            (Kind::Volume, Some("available")) => self.wrong_bytes(thing, row).await,
            (Kind::Image, Some("active")) => {
                (self.server.download(&thing.id).await != bytes()).then(|| "its bytes are others".to_owned())
            }
            _ => None,
        };
        if let Some(wrong) = wrong {
            let jobs = self.jobs(row).await;
            self.findings.push(format!("{wrong}: {thing:?}\n{row:#}\n{jobs:#?}"));
        }
    }

    /// Past the service.
    async fn wrong_bytes(&self, thing: &Thing, row: &Value) -> Option<String> {
        let store = store_of(self.stores, row);
        let name = format!("volume-{}", thing.id);
        let Ok(image) = store.open(&name, OpenMode::ReadOnly).await else {
            return Some("it is available, and not on the pool".to_owned());
        };
        let read = async {
            Ok::<_, BlockError>((
                image.size().await?,
                image.read(0, LENGTH as u64).await?,
                image.read(MARK_AT, 8).await?,
            ))
        };
        let (size, front, mark) = match read.await {
            Ok(found) => found,
            Err(error) => {
                let again = image.read(0, LENGTH as u64).await.map(drop);
                return Some(format!("it cannot be read: {error}; once more: {again:?}"));
            }
        };
        image.close().await.unwrap();
        let mark = u64::from_le_bytes(mark[..].try_into().unwrap());
        let is_right = if thing.is_full { front == bytes() } else { front.iter().all(|byte| *byte == 0) };
        let wrong = if size != row["size"].as_u64().unwrap() << 30 {
            "its size on the pool is another"
        } else if !is_right {
            "its bytes are others"
        } else if !thing.is_doubtful && !thing.marks.contains(&mark) {
            "what was written to it is lost"
        } else {
            return None;
        };
        Some(wrong.to_owned())
    }

    async fn quotas_are_true(&mut self) {
        let (volumes, snapshots) = (self.rows(Kind::Volume).await, self.rows(Kind::Snapshot).await);
        let project = "00000000-0000-0000-0000-000000000000";
        let project =
            volumes.first().and_then(|row| row["os-vol-tenant-attr:tenant_id"].as_str()).unwrap_or(project);
        let path = format!("/volume/v3/os-quota-sets/{project}?usage=true");
        let usage = self.server.get(&path).await["quota_set"].clone();
        let sum = |rows: &[Value]| rows.iter().filter_map(|row| row["size"].as_i64()).sum::<i64>();
        for (name, counted) in [
            ("volumes", volumes.len() as i64),
            ("snapshots", snapshots.len() as i64),
            ("gigabytes", sum(&volumes) + sum(&snapshots)),
        ] {
            if usage[name]["in_use"] != counted {
                self.findings.push(format!("quota {name}: {} instead of {counted}", usage[name]));
            }
        }
    }

    /// In no order: what is refused is tried again.
    pub async fn delete_everything(&mut self) {
        let mut left = BTreeSet::new();
        for _ in 0..12 {
            left.clear();
            for transfer in self.server.list("/volume/v3/os-volume-transfer", "transfers").await {
                let path = format!("/volume/v3/os-volume-transfer/{}", transfer["id"].as_str().unwrap());
                self.server.send(Method::DELETE, &path, None).await;
            }
            for kind in [Kind::Snapshot, Kind::Volume, Kind::Image] {
                for row in self.rows(kind).await {
                    let path = format!("{}/{}", kind.path(), row["id"].as_str().unwrap());
                    if kind == Kind::Volume && matches!(row["status"].as_str(), Some("in-use" | "reserved")) {
                        self.detach(&path).await;
                    }
                    self.server.send(Method::DELETE, &path, None).await;
                    left.insert(format!("{path} {}", row["status"]));
                }
            }
            if left.is_empty() {
                return;
            }
            self.server.settle().await;
        }
        self.findings.push(format!("it cannot be deleted: {left:#?}"));
    }

    /// As an administrator does whose compute service is gone.
    async fn detach(&self, volume: &str) {
        let detach = json!({"os-force_detach": {}});
        self.server.send(Method::POST, &format!("{volume}/action"), Some(detach)).await;
        let reset = json!({"os-reset_status": {"status": "available", "attach_status": "detached"}});
        self.server.send(Method::POST, &format!("{volume}/action"), Some(reset)).await;
    }
}
