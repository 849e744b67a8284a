//! `GET /pumice/v1/jobs/{id}`

use axum::Json;
use axum::extract::{Path, State};

use super::view::JobDocument;
use crate::http::App;
use crate::model::JobId;
use crate::pumice_api::fault::{ErrorBody, Fault};
use crate::pumice_api::request::Call;

/// One job
#[utoipa::path(
    get,
    path = "/pumice/v1/jobs/{id}",
    tag = "jobs",
    params(("id" = String, Path, description = "The job's id, a UUID")),
    responses(
        (status = 200, body = JobDocument),
        (status = 404, description = "There is no such job, or it was forgotten", body = ErrorBody),
        (status = 503, description = "The database does not answer", body = ErrorBody),
    )
)]
pub(crate) async fn show_job(
    State(app): State<App>,
    call: Call,
    Path(id): Path<String>,
) -> Result<Json<JobDocument>, Fault> {
    let job = match JobId::parse(&id) {
        Some(id) => app.database.read().await?.job(&id).await?,
        None => None,
    };
    job.and_then(|job| call.seen(job)).map(|job| Json(JobDocument::new(job))).ok_or_else(|| no_such_job(&id))
}

pub(super) fn no_such_job(id: &str) -> Fault {
    Fault::NotFound(format!("There is no job {id}."))
}
