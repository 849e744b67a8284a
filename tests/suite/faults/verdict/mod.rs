//! All is well again: is what is there what was said, and can it be used?

mod bytes;
mod quotas;
mod unmanaged;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use pumice::block::Stores;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::model::{Fate, Kind, Patterns, Thing};
use crate::process::{Place, Server};

/// In which something waits for nothing any more.
const SETTLED: &[&str] = &[
    "available",
    "in-use",
    "reserved",
    "attaching",
    "awaiting-transfer",
    "error",
    "error_deleting",
    "error_extending",
    "error_managing",
    "error_unmanaging",
    "active",
    "queued",
    // Its bytes wait for an import.
    "uploading",
];

/// How long jobs may take to come to their end.
const SOON: Duration = Duration::from_secs(300);

/// What jobs say of clients that were at the same thing at once, or that asked for what cannot be.
const REFUSALS: [&str; 4] = [
    // Its type is for the other place.
    "Cannot place volume",
    "Volume must not have snapshots.",
    // With clone format 1.
    "Volumes are copy-on-write clones of the image.",
    "The volume is not attached to one server alone.",
];

/// The cluster takes a client that was killed for one for half a minute.
const WATCHED_FOR: Duration = Duration::from_secs(60);

/// What an audit may find here, and why.
fn excuse(finding: &Value) -> Option<&'static str> {
    match finding["kind"].as_str()? {
        "stale-lock" if finding["explanation"].as_str()?.contains("Whoever writes next takes it over") => {
            Some("a client was killed while it wrote to the image")
        }
        // Nothing fences a call to the cluster that was under way. What was written to such an image is no excuse.
        "nameless" if !finding["name"].as_str()?.starts_with("rbd_data.") => {
            Some("a process was paused while it made the image")
        }
        _ => None,
    }
}

pub struct Verdict<'a> {
    pub place: &'a Place,
    pub server: &'a Server,
    pub stores: &'a Stores,
    pub patterns: &'a Patterns,
    pub findings: Vec<String>,
    compared: Compared,
}

/// What was held against what clients were told: a round in which nothing happened shows nothing.
#[derive(Debug, Default)]
struct Compared {
    volumes: u32,
    images: u32,
    /// Something had been written there.
    marks: u32,
}

impl<'a> Verdict<'a> {
    pub fn new(
        place: &'a Place,
        server: &'a Server,
        stores: &'a Stores,
        patterns: &'a Patterns,
        findings: Vec<String>,
    ) -> Self {
        Self { place, server, stores, patterns, findings, compared: Compared::default() }
    }

    pub async fn over(&mut self, things: &[Thing], cancelled: &[String], is_gentle: bool) {
        self.all_jobs_end().await;
        self.what_failed_had_a_reason(is_gentle).await;
        for kind in [Kind::Volume, Kind::Snapshot, Kind::Image] {
            for row in self.rows(kind).await {
                let status = row["status"].as_str().unwrap_or_default();
                if !SETTLED.contains(&status) || row["os_glance_importing_to_stores"].as_str() > Some("") {
                    let jobs = self.jobs(&row).await;
                    self.findings.push(format!("it stays {status}: {row:#}\n{jobs:#?}"));
                }
            }
        }
        self.what_was_cancelled_ended(cancelled).await;
        self.quotas_are_true().await;
        // What waits on the pool for whoever manages it again is no orphan: it is taken back before the audit.
        let things = self.take_back(things).await;
        self.audit().await;
        for thing in &things {
            self.is_as_said(thing).await;
        }
        println!("{:?}", self.compared);
        let Compared { volumes, images, marks } = self.compared;
        if volumes == 0 || images == 0 || marks == 0 {
            self.findings.push(format!("there was nothing to judge: {:?}", self.compared));
        }
        self.volumes_can_be_made(&things).await;
        self.images_can_be_repeated(&things).await;
        self.quotas_are_true().await;
    }

    pub fn nobody_panicked(&mut self) {
        let log = self.server.whole_log();
        self.findings.extend(log.lines().filter(|line| line.contains("panicked at")).map(str::to_owned));
    }

    /// Where the cluster is left alone, nothing fails: who died or was cut off is stood in for.
    async fn what_failed_had_a_reason(&mut self, is_gentle: bool) {
        let mut counts = BTreeMap::<String, u32>::new();
        for job in self.server.list("/pumice/v1/jobs?state=failed&limit=1000", "jobs").await {
            *counts.entry(format!("{}: {}", job["kind"], job["error"])).or_default() += 1;
            let error = job["error"].as_str().unwrap_or_default();
            let is_refused = REFUSALS.iter().any(|refusal| error.starts_with(refusal));
            // Nobody else has the bytes that come over a connection.
            let is_of_a_request = matches!(job["kind"].as_str(), Some("upload_image" | "stage_image"));
            if is_gentle && !is_refused && !is_of_a_request {
                self.findings.push(format!("a job failed: {job:#}"));
            }
        }
        for (what, count) in counts {
            println!("failed: {what}: {count}");
        }
    }

    /// What `pumice audit` says, however young, once those are forgotten that were killed.
    async fn audit(&mut self) {
        let end = Instant::now() + WATCHED_FOR;
        let mut report = self.report();
        let is_watched = |report: &Option<Value>| {
            let findings = report.iter().flat_map(|report| report["findings"].as_array().unwrap());
            findings.into_iter().any(|finding| finding["kind"] == "stale-watcher")
        };
        while is_watched(&report) && Instant::now() < end {
            tokio::time::sleep(Duration::from_secs(1)).await;
            report = self.report();
        }
        let Some(report) = report else { return };
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

    fn report(&mut self) -> Option<Value> {
        let mut command = self.place.command(&["audit", "--json", "--objects", "--older-than", "0"]);
        let output = tokio::task::block_in_place(|| command.output().unwrap());
        let report = serde_json::from_slice(&output.stdout).ok();
        if report.is_none() {
            self.findings.push(format!("the audit says nothing: {output:?}"));
        }
        report
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
            Kind::Snapshot => self.server.list("/volume/v3/snapshots/detail", "snapshots").await,
            Kind::Image => self.server.list("/image/v2/images?limit=1000", "images").await,
        }
    }

    async fn jobs(&self, row: &Value) -> Vec<Value> {
        let path = format!("/pumice/v1/jobs?resource_id={}", row["id"].as_str().unwrap());
        self.server.list(&path, "jobs").await
    }

    /// Who was told that a job is told to stop finds that it did.
    async fn what_was_cancelled_ended(&mut self, cancelled: &[String]) {
        for id in cancelled {
            let (status, job) = self.server.send(Method::GET, &format!("/pumice/v1/jobs/{id}"), None).await;
            if status != StatusCode::OK
                || !matches!(job["job"]["state"].as_str(), Some("cancelled" | "failed"))
            {
                self.findings.push(format!("a job was cancelled, and is not: {status} {job:#}"));
            }
        }
    }

    async fn is_as_said(&mut self, thing: &Thing) {
        if thing.fate == Fate::GivenUp {
            return;
        }
        let (status, body) = self.server.send(Method::GET, &thing.path(), None).await;
        let row = thing.kind.of(&body);
        if status == StatusCode::NOT_FOUND {
            if thing.fate == Fate::Kept && !thing.may_vanish {
                self.findings.push(format!("it is gone, and nobody deleted it: {thing:?}"));
            }
            return;
        }
        if status != StatusCode::OK {
            return self.findings.push(format!("{}: {status} {body}", thing.path()));
        }
        if thing.fate == Fate::Deleted {
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
            (Kind::Volume, Some("available" | "in-use" | "reserved" | "attaching" | "awaiting-transfer")) => {
                self.compared.volumes += 1;
                self.compared.marks += u32::from(thing.has_mark());
                self.wrong_bytes(thing, row).await
            }
            (Kind::Image, Some("active")) => {
                self.compared.images += 1;
                self.wrong_image(thing, row).await
            }
            (_, status) => wrong_status(thing, status.unwrap_or_default()),
        };
        let wrong = match wrong {
            None => self.wrong_words(thing, row).await,
            wrong => wrong,
        };
        if let Some(wrong) = wrong {
            let jobs = self.jobs(row).await;
            self.findings.push(format!("{wrong}: {thing:?}\n{row:#}\n{jobs:#?}"));
        }
    }

    /// In no order: what is refused is tried again. What is accepted does not fail.
    pub async fn delete_everything(&mut self) {
        let mut left = BTreeSet::new();
        let mut failed = self.failed_deletions().await;
        for _ in 0..12 {
            left.clear();
            self.end_transfers().await;
            for kind in [Kind::Snapshot, Kind::Volume, Kind::Image] {
                for row in self.rows(kind).await {
                    let path = format!("{}/{}", kind.path(), row["id"].as_str().unwrap());
                    if kind == Kind::Volume {
                        self.detach(&row).await;
                    }
                    let (status, said) = self.server.send(Method::DELETE, &path, None).await;
                    left.insert(format!("{path} {} {status}", row["status"]));
                    if status.is_server_error() {
                        self.findings.push(format!("{path} cannot be deleted: {status} {said}"));
                    }
                }
            }
            if left.is_empty() {
                return;
            }
            self.server.settle().await;
            let now = self.failed_deletions().await;
            let new = now.iter().filter(|(id, _)| !failed.contains_key(*id));
            self.findings.extend(new.map(|(_, job)| format!("a deletion failed: {job:#}")));
            failed = now;
        }
        self.findings.push(format!("it cannot be deleted: {left:#?}"));
    }

    /// By the ids of their jobs.
    async fn failed_deletions(&self) -> BTreeMap<String, Value> {
        let failed = self.server.list("/pumice/v1/jobs?state=failed&limit=1000", "jobs").await;
        let deletions = failed.into_iter().filter(|job| job["kind"].as_str().unwrap().starts_with("delete"));
        deletions.map(|job| (job["id"].as_str().unwrap().to_owned(), job)).collect()
    }

    async fn end_transfers(&self) {
        for transfer in self.server.list("/volume/v3/os-volume-transfer", "transfers").await {
            let path = format!("/volume/v3/os-volume-transfer/{}", transfer["id"].as_str().unwrap());
            self.server.send(Method::DELETE, &path, None).await;
        }
    }

    /// As an administrator does.
    async fn reset(&self, volume: &str, status: &str) {
        let path = format!("{}/{volume}/action", Kind::Volume.path());
        let reset = json!({"os-reset_status": {"status": status}});
        self.server.send(Method::POST, &path, Some(reset)).await;
    }

    /// As an administrator does whose compute service is gone.
    async fn detach(&self, volume: &Value) {
        if !matches!(volume["status"].as_str(), Some("in-use" | "reserved" | "attaching")) {
            return;
        }
        let path = format!("{}/{}/action", Kind::Volume.path(), volume["id"].as_str().unwrap());
        let detach = json!({"os-force_detach": {}});
        self.server.send(Method::POST, &path, Some(detach)).await;
        let reset = json!({"os-reset_status": {"status": "available", "attach_status": "detached"}});
        self.server.send(Method::POST, &path, Some(reset)).await;
    }
}

/// What is not whole, and should be or has no reason to be so.
fn wrong_status(thing: &Thing, status: &str) -> Option<String> {
    if thing.is_staged.agrees(&true) && status == "uploading" {
        return None;
    }
    if !thing.is_staged.agrees(&false) || (thing.kind == Kind::Image && status == "uploading") {
        return Some(format!("its bytes were staged, and it is {status}"));
    }
    let is_broken = thing.kind == Kind::Image || status.starts_with("error");
    let is_wrong = thing.is_whole && is_broken && !thing.may_break.agrees(&true);
    // A deletion that failed may say so.
    let is_excused = thing.fate != Fate::Kept && status == "error_deleting";
    (is_wrong && !is_excused).then(|| format!("it was whole, and is {status}"))
}
