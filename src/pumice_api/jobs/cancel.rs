//! `DELETE /pumice/v1/jobs/{id}`

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use super::show::no_such_job;
use super::view::JobDocument;
use crate::db::Job;
use crate::http::App;
use crate::jobs::Task;
use crate::model::JobId;
use crate::pumice_api::fault::{ErrorBody, Fault};
use crate::pumice_api::request::Call;
use crate::telemetry::chain;

/// Stop a job
///
/// What it did is undone, and it ends as `cancelled`: a volume that moves or gets another type stays what it was, a
/// volume or snapshot that is being made is in `error`, and so is a volume that gets the bytes of another image; an image
/// that is imported is `queued` again, and one that was made for the job (of a volume, or by `POST /v2/tasks`) is gone. An
/// image that gets bytes of its own goes on sharing those of the volume it was made of.
/// Jobs of other kinds go on to their end, and so does one whose volume Nova was asked to move.
#[utoipa::path(
    delete,
    path = "/pumice/v1/jobs/{id}",
    tag = "jobs",
    params(("id" = String, Path, description = "The job's id, a UUID")),
    responses(
        (status = 202, description = "It is told to stop", body = JobDocument),
        (status = 403, description = "The rules do not allow it", body = ErrorBody),
        (status = 404, description = "There is no such job, or it was forgotten", body = ErrorBody),
        (
            status = 409,
            description = "It is over, is being undone, has come too far, or is of a kind that cannot be cancelled",
            body = ErrorBody,
        ),
        (status = 503, description = "The database does not answer", body = ErrorBody),
    )
)]
pub(crate) async fn cancel_job(
    State(app): State<App>,
    call: Call,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<JobDocument>), Fault> {
    let job_id = JobId::parse(&id).ok_or_else(|| no_such_job(&id))?;
    let mut repository = app.database.begin().await?;
    let job =
        repository.job(&job_id).await?.and_then(|job| call.seen(job)).ok_or_else(|| no_such_job(&id))?;
    call.check_cancel(&job)?;
    if !job.state.is_over() && !Task::can_be_cancelled(&job.kind) {
        return Err(Fault::Conflict(format!("A job of the kind {} cannot be cancelled.", job.kind)));
    }
    let is_told = repository.cancel_job(&job_id, app.world.now()).await?;
    let job =
        repository.job(&job_id).await?.and_then(|job| call.seen(job)).ok_or_else(|| no_such_job(&id))?;
    if !is_told {
        return Err(Fault::Conflict(why_not(&job)));
    }
    repository.commit().await?;
    // In this process at once; other ones look by themselves.
    if let Err(error) = app.keeper.stop_cancelled().await {
        tracing::warn!(error = %chain(&error), "cancelled jobs cannot be read");
    }
    Ok((StatusCode::ACCEPTED, Json(JobDocument::new(job))))
}

/// Of a job that [`crate::db::Repository::cancel_job`] refused.
fn why_not(job: &Job) -> String {
    let state = job.state.as_str();
    if job.state.is_over() {
        format!("The job is over: it is {state}.")
    } else if job.settled {
        "The job has come too far: what it did stays.".to_owned()
    } else {
        "The job did not succeed and is being undone.".to_owned()
    }
}
