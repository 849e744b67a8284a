//! Figures for Prometheus: what is counted, under which name, and the text of `/metrics`.
//!
//! Others call the functions here, so that names and labels stand in one place.

use std::time::Duration;

use anyhow::Context;
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

/// Requests answered; labels `method`, `route` and `status`.
pub const REQUESTS: &str = "pumice_http_requests_total";
/// Seconds from a request's headers to the headers of its answer; labels `method` and `route`.
pub const REQUEST_DURATION: &str = "pumice_http_request_duration_seconds";
/// Jobs that ended; labels `kind` and `outcome`: `done`, `failed` or `cancelled`.
pub const JOBS: &str = "pumice_jobs_total";
/// Seconds that the last attempt of such a job took; labels `kind` and `outcome`.
pub const JOB_DURATION: &str = "pumice_job_duration_seconds";
/// Jobs being worked on by this process; label `kind`.
pub const JOBS_RUNNING: &str = "pumice_jobs_running";
/// Jobs of the whole queue that are not over; labels `kind` and `state`.
pub const JOBS_OPEN: &str = "pumice_jobs_open";
/// Bytes of images and volumes; label `direction`: `upload`, `download` or `copy`.
pub const BYTES: &str = "pumice_transferred_bytes_total";
/// What the last audit found; label `kind`.
pub const AUDIT_FINDINGS: &str = "pumice_audit_findings";
/// What the last audit could not look at.
pub const AUDIT_UNSEEN: &str = "pumice_audit_unseen";
/// When the last audit ended, in seconds since 1970.
pub const AUDIT_TIME: &str = "pumice_audit_timestamp_seconds";
/// Always 1; label `version`.
pub const BUILD: &str = "pumice_build_info";

/// Requests take from under a millisecond to a minute.
const REQUEST_BUCKETS: [f64; 13] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];
/// Jobs take from milliseconds (a clone) to hours (a flatten).
const JOB_BUCKETS: [f64; 13] =
    [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0, 3_600.0, 14_400.0];
/// How often what was measured is folded into the buckets, read or not.
const UPKEEP: Duration = Duration::from_secs(5);

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From a client into a store.
    Upload,
    /// From a store to a client.
    Download,
    /// From a store into a store.
    Copy,
}

impl Direction {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::Download => "download",
            Self::Copy => "copy",
        }
    }
}

/// The figures of this process.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// Starts counting for the whole process. Fails when it was started before.
    pub fn install() -> anyhow::Result<Self> {
        let recorder = recorder()?;
        let metrics = Self(recorder.handle());
        metrics::set_global_recorder(recorder).ok().context("counting was already started")?;
        describe();
        Ok(metrics)
    }

    /// The text of `/metrics`.
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Runs for ever. Without it what was measured piles up in memory until somebody reads `/metrics`.
    pub async fn keep_up(&self) {
        let mut ticks = tokio::time::interval(UPKEEP);
        loop {
            ticks.tick().await;
            self.0.run_upkeep();
        }
    }
}

/// Counts an answered request. `route` is the route's pattern, never the path: a label has few values.
pub fn request(method: &'static str, route: &str, status: u16, duration: Duration) {
    let route = route.to_owned();
    histogram!(REQUEST_DURATION, "method" => method, "route" => route.clone()).record(duration);
    counter!(REQUESTS, "method" => method, "route" => route, "status" => status.to_string()).increment(1);
}

/// Counts a job that is over. What is tried again, or left to another worker, is not.
pub fn job_ended(kind: &str, outcome: &'static str, duration: Duration) {
    counter!(JOBS, "kind" => kind.to_owned(), "outcome" => outcome).increment(1);
    histogram!(JOB_DURATION, "kind" => kind.to_owned(), "outcome" => outcome).record(duration);
}

/// Counts a job as being worked on for as long as the answer is kept.
pub fn running(kind: &str) -> Running {
    let jobs = gauge!(JOBS_RUNNING, "kind" => kind.to_owned());
    jobs.increment(1);
    Running(jobs)
}

/// See [`running`].
pub struct Running(metrics::Gauge);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}

/// Says how many jobs of a kind wait or run, whoever works on them.
pub fn open_jobs(kind: &str, state: &'static str, count: i64) {
    gauge!(JOBS_OPEN, "kind" => kind.to_owned(), "state" => state).set(count as f64);
}

/// Counts bytes that have gone their way.
pub fn transferred(direction: Direction, bytes: u64) {
    counter!(BYTES, "direction" => direction.as_str()).increment(bytes);
}

/// Says how much of a kind an audit found.
pub fn audited(kind: &'static str, findings: usize) {
    gauge!(AUDIT_FINDINGS, "kind" => kind).set(findings as f64);
}

/// Says that an audit ended.
pub fn audit_ended(unseen: usize, now: i64) {
    gauge!(AUDIT_UNSEEN).set(unseen as f64);
    gauge!(AUDIT_TIME).set(now as f64);
}

fn recorder() -> anyhow::Result<PrometheusRecorder> {
    Ok(PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full(REQUEST_DURATION.into()), &REQUEST_BUCKETS)?
        .set_buckets_for_metric(Matcher::Full(JOB_DURATION.into()), &JOB_BUCKETS)?
        .build_recorder())
}

fn describe() {
    describe_counter!(REQUESTS, "Requests answered");
    describe_histogram!(REQUEST_DURATION, Unit::Seconds, "Time from request to the answer's headers");
    describe_counter!(JOBS, "Jobs that ended");
    describe_histogram!(JOB_DURATION, Unit::Seconds, "Time of the attempt with which a job ended");
    describe_gauge!(JOBS_RUNNING, "Jobs being worked on");
    describe_gauge!(JOBS_OPEN, "Jobs of the whole queue that wait or run");
    describe_counter!(BYTES, Unit::Bytes, "Bytes of images and volumes uploaded, downloaded and copied");
    describe_gauge!(AUDIT_FINDINGS, "What the last audit found");
    describe_gauge!(AUDIT_UNSEEN, "What the last audit could not look at");
    describe_gauge!(AUDIT_TIME, Unit::Seconds, "When the last audit ended");
    describe_gauge!(BUILD, "The version that runs");
    gauge!(BUILD, "version" => env!("CARGO_PKG_VERSION")).set(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_shown() {
        let recorder = recorder().unwrap();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            describe();
            request("GET", "/image/v2/images/{id}", 200, Duration::from_millis(3));
            job_ended("create_volume", "done", Duration::from_secs(2));
            transferred(Direction::Upload, 42);
            let _running = running("flatten");
            open_jobs("create_volume", "queued", 3);
            let text = handle.render();
            for line in [
                r#"pumice_http_requests_total{method="GET",route="/image/v2/images/{id}",status="200"} 1"#,
                r#"pumice_http_request_duration_seconds_bucket{method="GET",route="/image/v2/images/{id}",le="0.005"} 1"#,
                r#"pumice_jobs_total{kind="create_volume",outcome="done"} 1"#,
                r#"pumice_job_duration_seconds_bucket{kind="create_volume",outcome="done",le="1"} 0"#,
                r#"pumice_jobs_running{kind="flatten"} 1"#,
                r#"pumice_jobs_open{kind="create_volume",state="queued"} 3"#,
                r#"pumice_transferred_bytes_total{direction="upload"} 42"#,
                concat!(r#"pumice_build_info{version=""#, env!("CARGO_PKG_VERSION"), r#""} 1"#),
                "# HELP pumice_jobs_total Jobs that ended",
            ] {
                assert!(text.contains(line), "{line} in\n{text}");
            }
        });
        assert!(handle.render().contains(r#"pumice_jobs_running{kind="flatten"} 0"#));
    }
}
