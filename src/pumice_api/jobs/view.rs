//! A job as these routes and the event stream show it.

use serde::Serialize;
use utoipa::ToSchema;

use crate::db::Job;
use crate::jobs::Task;
use crate::model::{JobState, Timestamp};

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JobView {
    id: String,
    /// For instance `create_volume`, `delete_volume`, `extend_volume`, `migrate_volume`, `create_snapshot`,
    /// `upload_image`, `import_image` or `delete_image`.
    kind: String,
    resource: ResourceView,
    project_id: Option<String>,
    request_id: Option<String>,
    /// `queued`, `running`, `done`, `failed` or `cancelled`.
    state: &'static str,
    /// The step under way, or the last one.
    step: Option<String>,
    /// `DELETE` stops it.
    cancellable: bool,
    /// Somebody asked it to stop.
    cancelling: bool,
    /// What it did is being undone, for it failed or was cancelled.
    undoing: bool,
    /// Of the step under way, 0 to 100; `null` while its size is not known.
    percent: Option<f64>,
    bytes_done: i64,
    /// 0 while it is not known.
    bytes_total: i64,
    /// Bytes a second, since the job was started.
    rate: Option<f64>,
    /// Seconds, at this rate.
    seconds_left: Option<f64>,
    /// How often a worker took it.
    attempts: i64,
    /// Why it failed, for users.
    error: Option<String>,
    /// Why it failed or is tried again, for operators.
    error_detail: Option<String>,
    created_at: String,
    started_at: Option<String>,
    updated_at: String,
    finished_at: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
struct ResourceView {
    /// `volume`, `snapshot` or `image`; `image_stores`, where an image's bytes come to one store more or leave one
    /// of several. Or `volume_news`, where instances are told of a volume, `news-of-<volume id>`; or
    /// `image_parent`, where an image gets bytes of its own, `parent-of-<image id>`.
    #[serde(rename = "type")]
    kind: String,
    id: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JobDocument {
    job: JobView,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JobsDocument {
    pub(super) jobs: Vec<JobView>,
    /// The path of the next page, when there may be one.
    pub(super) next: Option<String>,
}

impl JobDocument {
    pub(super) fn new(job: Job) -> Self {
        Self { job: JobView::from(job) }
    }
}

impl From<Job> for JobView {
    fn from(job: Job) -> Self {
        let written = |moment: Timestamp| moment.to_microseconds() + "Z";
        let (done, is_open) = (job.state == JobState::Done, !job.state.is_over());
        let percent = match (done, job.bytes_total) {
            (true, _) => Some(100.0),
            (false, 0) => None,
            (false, total) => Some((job.bytes_done as f64 * 1000.0 / total as f64).round() / 10.0),
        };
        let seconds = job.started_at.map(|started| job.updated_at.seconds_since(started));
        let rate =
            seconds.filter(|s| *s > 0.0 && job.bytes_done > 0).map(|s| (job.bytes_done as f64 / s).round());
        let left = (job.bytes_total - job.bytes_done).max(0) as f64;
        let seconds_left = rate
            .filter(|rate| job.state == JobState::Running && job.bytes_total > 0 && *rate > 0.0)
            .map(|rate| (left / rate).ceil());
        Self {
            cancellable: is_open && !job.settled && job.cause.is_none() && Task::can_be_cancelled(&job.kind),
            cancelling: is_open && job.cancel,
            undoing: is_open && job.cause.is_some(),
            id: job.id.to_string(),
            kind: job.kind,
            resource: ResourceView { kind: job.resource_type, id: job.resource_id },
            project_id: job.project_id.map(|id| id.0),
            request_id: job.request_id,
            state: job.state.as_str(),
            step: job.step,
            percent,
            bytes_done: job.bytes_done,
            bytes_total: job.bytes_total,
            rate,
            seconds_left,
            attempts: job.attempts,
            error: job.error,
            error_detail: job.error_detail,
            created_at: written(job.created_at),
            started_at: job.started_at.map(written),
            updated_at: written(job.updated_at),
            finished_at: job.finished_at.map(written),
        }
    }
}
