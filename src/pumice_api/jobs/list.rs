//! `GET /pumice/v1/jobs`

use axum::Json;
use axum::extract::State;
use url::form_urlencoded;

use super::view::{JobView, JobsDocument};
use crate::db::{JobFilter, Page};
use crate::http::{App, Query};
use crate::model::{JobId, JobState};
use crate::pumice_api::fault::{ErrorBody, Fault};
use crate::pumice_api::request::Call;

const DEFAULT_LIMIT: i64 = 100;
const MAX_LIMIT: i64 = 1000;

/// Jobs, newest first
#[utoipa::path(
    get,
    path = "/pumice/v1/jobs",
    tag = "jobs",
    params(
        ("state" = Option<String>, Query, description = "queued, running, done, failed, cancelled; or open: queued or running"),
        ("kind" = Option<String>, Query, description = "For instance create_volume"),
        ("resource_id" = Option<String>, Query, description = "The id of a volume, snapshot or image"),
        ("limit" = Option<i64>, Query, description = "1 to 1000; 100 without"),
        ("marker" = Option<String>, Query, description = "The last id of the page before"),
    ),
    responses(
        (status = 200, body = JobsDocument),
        (status = 400, description = "A parameter cannot be understood", body = ErrorBody),
        (status = 403, description = "The rules do not allow it", body = ErrorBody),
        (status = 503, description = "The database does not answer", body = ErrorBody),
    )
)]
pub(crate) async fn list_jobs(
    State(app): State<App>,
    call: Call,
    query: Query,
) -> Result<Json<JobsDocument>, Fault> {
    call.check_list()?;
    let (mut filter, page) = parse(&query)?;
    filter.project_id = call.only_of();
    let mut repository = app.database.read().await?;
    if let Some(marker) = page.marker.as_deref().and_then(JobId::parse)
        && repository.job(&marker).await?.and_then(|job| call.seen(job)).is_none()
    {
        return Err(Fault::Invalid(format!("There is no job {marker} to start after.")));
    }
    let jobs = repository.jobs_in_brief(&filter, &page).await?;
    let full = i64::try_from(jobs.len()).ok() == page.limit;
    let next = jobs.last().filter(|_| full).map(|last| next_page(&query, last.id.as_str()));
    Ok(Json(JobsDocument {
        jobs: jobs.into_iter().filter_map(|job| call.seen(job)).map(JobView::from).collect(),
        next,
    }))
}

fn parse(query: &Query) -> Result<(JobFilter, Page), Fault> {
    if query.holds_nul() {
        return Err(Fault::Invalid("A parameter holds a NUL.".to_owned()));
    }
    let mut filter = JobFilter::default();
    let mut page = Page { limit: Some(DEFAULT_LIMIT), ..Page::default() };
    for (key, value) in &query.0 {
        match key.as_str() {
            "state" if value == "open" => filter.state = Some(vec![JobState::Queued, JobState::Running]),
            "state" => {
                let state =
                    value.parse().map_err(|_| Fault::Invalid(format!("{value:?} is not a state.")))?;
                filter.state = Some(vec![state]);
            }
            "kind" => filter.kind = Some(vec![value.clone()]),
            "resource_id" => filter.resource_id = Some(value.clone()),
            "limit" => {
                let limit = value.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
                let limit =
                    limit.ok_or_else(|| Fault::Invalid(format!("limit must be from 1 to {MAX_LIMIT}.")))?;
                page.limit = Some(limit);
            }
            "marker" => {
                let id =
                    JobId::parse(value).ok_or_else(|| Fault::Invalid("marker must be a job's id.".into()))?;
                page.marker = Some(id.to_string());
            }
            _ => return Err(Fault::Invalid(format!("{key:?} is not a parameter."))),
        }
    }
    Ok((filter, page))
}

fn next_page(query: &Query, marker: &str) -> String {
    let mut text = form_urlencoded::Serializer::new(String::new());
    text.extend_pairs(query.0.iter().filter(|(key, _)| key != "marker"));
    text.append_pair("marker", marker);
    format!("/pumice/v1/jobs?{}", text.finish())
}
