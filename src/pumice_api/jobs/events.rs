//! `GET /pumice/v1/jobs/events`: every change of a job, as it happens (server-sent events).

use std::collections::HashMap;
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::{Stream, StreamExt, stream};

use super::view::JobView;
use crate::db::{self, Direction, Job, JobFilter, Page, SortKey};
use crate::http::{Admission, App};
use crate::model::{JobId, JobState, Timestamp};
use crate::pumice_api::fault::{ErrorBody, Fault};
use crate::pumice_api::request::Call;
use crate::telemetry::chain;

/// How old news may be. The database is asked, so that jobs of other processes are seen too.
const PERIOD: Duration = Duration::from_millis(500);

/// A transaction may be committed after one with a later moment: so far back it is looked again, in seconds.
const OVERLAP: i64 = 5;

/// Changes seen at once at the most; the rest comes with the next look.
const BATCH: i64 = 500;

/// Changes of jobs, as server-sent events
///
/// First every job that is not over, then each change: an event `job` with the same object as
/// `/pumice/v1/jobs/{id}` has in `job`. The stream ends with the token, and when its roles change.
#[utoipa::path(
    get,
    path = "/pumice/v1/jobs/events",
    tag = "jobs",
    responses(
        (status = 200, content_type = "text/event-stream", body = String),
        (status = 403, description = "The rules do not allow it", body = ErrorBody),
    )
)]
pub(crate) async fn job_events(
    State(app): State<App>,
    call: Call,
    admission: Admission,
) -> Result<impl IntoResponse, Fault> {
    call.check_list()?;
    let stopping = app.stopping.clone().cancelled_owned();
    let listener = Listener { app, call, admission, since: None, told: HashMap::new() };
    Ok(Sse::new(events(listener).take_until(stopping))
        .keep_alive(KeepAlive::new().interval(Duration::from_secs(15))))
}

/// What one listener was told.
struct Listener {
    app: App,
    call: Call,
    admission: Admission,
    since: Option<Timestamp>,
    told: HashMap<JobId, Timestamp>,
}

fn events(listener: Listener) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(listener, |mut listener| async move {
        if listener.since.is_some() {
            tokio::time::sleep(PERIOD).await;
        }
        let news = listener.news_if_admitted().await?;
        Some((stream::iter(news), listener))
    })
    .flatten()
    .filter_map(async |job| Event::default().event("job").json_data(JobView::from(job)).ok().map(Ok))
}

impl Listener {
    /// `None`: the listener has no business here any more. What cannot be told now is told with a later look.
    async fn news_if_admitted(&mut self) -> Option<Vec<Job>> {
        match self.admission.holds().await {
            Ok(true) => {
                self.call = self.call.renewed(&self.app);
                self.call.check_list().ok()?;
                Some(self.news().await.unwrap_or_else(|error| {
                    tracing::warn!(error = %chain(&error), "changes of jobs cannot be read");
                    Vec::new()
                }))
            }
            Ok(false) => None,
            Err(refusal) => {
                tracing::warn!(error = %refusal, "whether a listener may go on cannot be told");
                Some(Vec::new())
            }
        }
    }

    async fn news(&mut self) -> db::Result<Vec<Job>> {
        let now = self.app.world.now();
        let mut filter = JobFilter { project_id: self.call.only_of(), ..JobFilter::default() };
        match self.since {
            None => filter.state = Some(vec![JobState::Queued, JobState::Running]),
            Some(since) => filter.changed_after = Some(since.plus_seconds(-OVERLAP)),
        }
        let oldest_first = SortKey { column: "updated_at", direction: Direction::Ascending };
        let page = Page { sort: vec![oldest_first], limit: Some(BATCH), ..Page::default() };
        let changed = self.app.database.read().await?.jobs_in_brief(&filter, &page).await?;
        // A full batch may have left some out: the next look begins at its end.
        let full = i64::try_from(changed.len()).ok() == Some(BATCH);
        let reached = changed.last().filter(|_| full).map(|job| job.updated_at.plus_seconds(OVERLAP));
        let since = reached.unwrap_or(now).max(self.since.unwrap_or(Timestamp(0)));
        self.since = Some(since);
        let news = changed
            .into_iter()
            .filter(|job| self.told.get(&job.id) != Some(&job.updated_at))
            .collect::<Vec<_>>();
        for job in &news {
            self.told.insert(job.id.clone(), job.updated_at);
        }
        self.told.retain(|_, moment| *moment >= since.plus_seconds(-2 * OVERLAP));
        Ok(news.into_iter().filter_map(|job| self.call.seen(job)).collect())
    }
}
