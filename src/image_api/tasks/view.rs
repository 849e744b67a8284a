//! A task as a client sees it.

use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::{STATUSES, kind};
use crate::config;
use crate::db::Job;
use crate::jobs::{ImportSource, Task};
use crate::model::{JobId, JobState, Timestamp};

const SECONDS_A_DAY: i64 = 86_400;

/// What a list says of a task; the order of the fields is Glance's.
#[derive(Serialize, ToSchema)]
#[schema(title = "TaskInList")]
pub struct TaskStub {
    #[schema(value_type = String)]
    id: JobId,
    /// `api_image_import`, `location_import` or `import`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// `pending`, `processing`, `success` or `failure`.
    status: &'static str,
    owner: Option<String>,
    created_at: String,
    updated_at: String,
    #[serde(rename = "self")]
    itself: String,
    schema: &'static str,
    /// When it will be forgotten, once it is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(title = "Task")]
pub struct TaskView {
    #[schema(value_type = String)]
    id: JobId,
    #[schema(value_type = Object)]
    input: Value,
    /// `api_image_import`, `location_import` or `import`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// `pending`, `processing`, `success` or `failure`.
    status: &'static str,
    owner: Option<String>,
    message: String,
    #[schema(value_type = Option<Object>)]
    result: Value,
    created_at: String,
    updated_at: String,
    #[serde(rename = "self")]
    itself: String,
    schema: &'static str,
    image_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,
    /// When it will be forgotten, once it is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
}

/// As Glance shows tasks of an image: rows of its table.
#[derive(Serialize, ToSchema)]
#[schema(title = "TaskOfImage")]
pub struct TaskRow {
    #[schema(value_type = String)]
    id: JobId,
    /// `api_image_import`, `location_import` or `import`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// `pending`, `processing`, `success` or `failure`.
    status: &'static str,
    owner: Option<String>,
    expires_at: Option<String>,
    created_at: String,
    updated_at: String,
    deleted_at: Option<String>,
    deleted: bool,
    image_id: String,
    request_id: Option<String>,
    user_id: Option<String>,
    #[schema(value_type = Object)]
    input: Value,
    #[schema(value_type = Option<Object>)]
    result: Value,
    message: String,
}

fn status(state: JobState) -> &'static str {
    let known = STATUSES.iter().find(|(_, states)| states.contains(&state));
    known.map_or("processing", |(status, _)| status)
}

fn expires(job: &Job, jobs: &config::Jobs) -> Option<Timestamp> {
    let days = i64::from(jobs.keep_finished_days);
    job.finished_at.filter(|_| days > 0).map(|end| end.plus_seconds(days * SECONDS_A_DAY))
}

fn message(job: &Job) -> String {
    match (&job.error, job.state) {
        (Some(error), _) => error.clone(),
        (None, JobState::Running) => format!("Copied {} MiB", job.bytes_done >> 20),
        (None, _) => String::new(),
    }
}

/// What was asked for, as Glance keeps it. An address may hold a secret and is left out.
fn input(job: &Job) -> Value {
    let method = match serde_json::from_value(job.payload.clone()) {
        Ok(Task::ImportImage { import, .. }) => match import.source {
            ImportSource::Staged => json!({"name": "glance-direct"}),
            ImportSource::Web { .. } => json!({"name": "web-download"}),
            ImportSource::Region(from) => json!({
                "name": "glance-download",
                "glance_region": from.region,
                "glance_image_id": from.image_id,
                "glance_service_interface": from.interface,
            }),
            ImportSource::Itself => json!({"name": "copy-image"}),
        },
        Ok(Task::ImportNewImage { input, .. }) => return Value::Object(input),
        _ => return json!({"image_id": job.resource_id}),
    };
    json!({"image_id": job.resource_id, "import_req": {"method": method}})
}

/// Unless it is older than that was kept.
fn asked_by(job: &Job) -> Option<String> {
    match serde_json::from_value(job.payload.clone()).ok()? {
        Task::ImportImage { import, .. } | Task::ImportNewImage { import, .. } => import.asked_by,
        Task::AddLocation { location, .. } => location.asked_by,
        _ => None,
    }
    .map(|user| user.0)
}

fn result(job: &Job) -> Value {
    if job.state == JobState::Done { json!({"image_id": job.resource_id}) } else { Value::Null }
}

impl TaskStub {
    pub fn new(job: Job, jobs: &config::Jobs) -> Self {
        Self {
            itself: path(&job.id),
            kind: kind(&job).unwrap_or_default(),
            status: status(job.state),
            created_at: job.created_at.to_seconds(),
            updated_at: job.updated_at.to_seconds(),
            schema: "/v2/schemas/task",
            expires_at: expires(&job, jobs).map(Timestamp::to_seconds),
            owner: job.project_id.map(|project| project.0),
            id: job.id,
        }
    }
}

impl TaskView {
    pub fn new(job: Job, jobs: &config::Jobs) -> Self {
        Self {
            input: input(&job),
            kind: kind(&job).unwrap_or_default(),
            status: status(job.state),
            message: message(&job),
            result: result(&job),
            created_at: job.created_at.to_seconds(),
            updated_at: job.updated_at.to_seconds(),
            itself: path(&job.id),
            schema: "/v2/schemas/task",
            expires_at: expires(&job, jobs).map(Timestamp::to_seconds),
            user_id: asked_by(&job),
            owner: job.project_id.map(|project| project.0),
            image_id: job.resource_id,
            request_id: job.request_id,
            id: job.id,
        }
    }
}

impl TaskRow {
    pub fn new(job: Job, jobs: &config::Jobs) -> Self {
        Self {
            kind: kind(&job).unwrap_or_default(),
            status: status(job.state),
            expires_at: expires(&job, jobs).map(Timestamp::to_microseconds),
            created_at: job.created_at.to_microseconds(),
            updated_at: job.updated_at.to_microseconds(),
            deleted_at: None,
            deleted: false,
            user_id: asked_by(&job),
            input: input(&job),
            result: result(&job),
            message: message(&job),
            owner: job.project_id.map(|project| project.0),
            image_id: job.resource_id,
            request_id: job.request_id,
            id: job.id,
        }
    }
}

pub fn path(id: &JobId) -> String {
    format!("/v2/tasks/{id}")
}
