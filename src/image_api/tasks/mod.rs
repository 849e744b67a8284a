//! Tasks: what Glance calls the jobs that import images. Here they are rows of the queue, and are as they are there.

pub(super) mod create;
pub(super) mod delete;
pub(super) mod list;
pub(super) mod of_image;
pub(super) mod show;
mod view;

use super::fault::Result;
use super::request::Call;
use crate::db::{Job, JobFilter};
use crate::identity::policy::{Target, image as rules};
use crate::model::JobState;

/// The kinds of jobs that are tasks, and Glance's names for them.
const KINDS: [(&str, &str); 3] =
    [("import_image", "api_image_import"), ("add_location", "location_import"), ("import_new_image", IMPORT)];

/// Of tasks that were asked for as such.
const IMPORT: &str = "import";

/// Glance's name for the kind of a job; `None`: it is no task.
fn kind(job: &Job) -> Option<&'static str> {
    KINDS.iter().find(|(kind, _)| *kind == job.kind).map(|(_, name)| *name)
}

/// The kinds of jobs for which Glance has such names.
fn job_kinds(is_wanted: impl Fn(&str) -> bool) -> Vec<String> {
    KINDS.iter().filter(|(_, name)| is_wanted(name)).map(|(kind, _)| (*kind).to_owned()).collect()
}

/// Glance's name for a job's state; a job that was cancelled did not succeed.
const STATUSES: [(&str, &[JobState]); 4] = [
    ("pending", &[JobState::Queued]),
    ("processing", &[JobState::Running]),
    ("success", &[JobState::Done]),
    ("failure", &[JobState::Failed, JobState::Cancelled]),
];

fn check(call: &Call) -> Result<()> {
    call.check(rules::TASKS_API_ACCESS, &Target::new())
}

/// Tasks that the caller may know of: their own project's, or all.
fn visible(call: &Call) -> JobFilter {
    let project_id = (!call.guard.is_admin()).then(|| call.project_id().to_string());
    JobFilter { kind: Some(job_kinds(|_| true)), project_id, ..JobFilter::default() }
}

fn is_visible(call: &Call, job: &Job) -> bool {
    kind(job).is_some() && (call.guard.is_admin() || job.project_id.as_ref() == Some(call.project_id()))
}
