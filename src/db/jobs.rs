//! The queue's rows. What a worker writes it writes under the fence of its claim: see [`Repository::hold_job`].

use std::collections::HashSet;

use serde_json::Value as Json;
use sqlx::AssertSqlSafe;

use super::error::{DbError, Result};
use super::filter::{Conditions, Page};
use super::{Repository, bind_all, on};
use crate::model::{Cause, JobId, JobState, ProjectId, Timestamp};

/// An image, of jobs by which its bytes come to one store more or leave one of several. Who reads from the
/// image need not wait for them: meanwhile it reads elsewhere.
pub const OF_STORES: &str = "image_stores";

/// What a job works on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// `volume`, `snapshot`, `image`; `volume_news`, `image_parent` of what need not wait for the jobs of these;
    /// and [`OF_STORES`].
    pub kind: &'static str,
    pub id: String,
}

/// A job to be enqueued.
#[derive(Clone, Debug)]
pub struct NewJob {
    pub id: JobId,
    pub kind: &'static str,
    pub resource: Resource,
    /// The id of the snapshot, volume or image it reads from while it runs.
    pub source_id: Option<String>,
    pub project_id: Option<ProjectId>,
    pub request_id: Option<String>,
    pub payload: Json,
}

#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Job {
    pub id: JobId,
    pub kind: String,
    pub resource_type: String,
    pub resource_id: String,
    pub source_id: Option<String>,
    pub project_id: Option<ProjectId>,
    pub request_id: Option<String>,
    /// Null where it was not asked for: [`Repository::jobs_in_brief`].
    #[sqlx(default)]
    pub payload: Json,
    pub state: JobState,
    pub step: Option<String>,
    pub bytes_done: i64,
    pub bytes_total: i64,
    pub attempts: i64,
    pub run_at: Timestamp,
    pub fence: i64,
    pub cancel: bool,
    /// What it did stays: it cannot be cancelled any more.
    pub settled: bool,
    /// Set while the job still runs: it is being undone.
    pub cause: Option<Cause>,
    /// For the user.
    pub error: Option<String>,
    /// For the operator.
    pub error_detail: Option<String>,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub updated_at: Timestamp,
    pub finished_at: Option<Timestamp>,
    /// Of one that was just claimed: who had it, and lost the lease.
    #[sqlx(skip)]
    pub left_by: Option<String>,
}

/// All but what was asked for, which may be long.
const BRIEF: &str = "id, kind, resource_type, resource_id, source_id, project_id, request_id, state, step, \
    bytes_done, bytes_total, attempts, run_at, fence, cancel, settled, cause, error, error_detail, created_at, \
    started_at, updated_at, finished_at";

/// Which jobs a list holds; `None` is no condition.
#[derive(Clone, Debug, Default)]
pub struct JobFilter {
    pub project_id: Option<String>,
    pub kind: Option<Vec<String>>,
    pub resource_id: Option<String>,
    pub state: Option<Vec<JobState>>,
    /// Only those changed after this moment.
    pub changed_after: Option<Timestamp>,
}

/// Who claims jobs.
#[derive(Clone, Copy, Debug)]
pub struct Claimant<'a> {
    pub owner: &'a str,
    pub lease_until: Timestamp,
    /// What it is at: of that it claims nothing that runs, though its lease ran out. Machines are suspended, and clocks are
    /// set.
    pub kept: &'a HashSet<JobId>,
    /// What it can do. While one version replaces another, there may be jobs that only the newer one knows.
    pub kinds: &'a [&'static str],
}

/// How many jobs a worker takes.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    /// That run at once in one place, with those that it works on already. Those that are cancelled need no seat there.
    pub of_place: i64,
    /// Of those, for one project: it leaves some for others, who may come while its own take hours.
    pub of_project: i64,
    /// That it takes now.
    pub in_all: i64,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobOutcome {
    Done,
    Failed,
    Cancelled,
}

impl JobOutcome {
    /// What the job's row says from then on.
    pub fn state(&self) -> JobState {
        match self {
            JobOutcome::Done => JobState::Done,
            JobOutcome::Failed => JobState::Failed,
            JobOutcome::Cancelled => JobState::Cancelled,
        }
    }
}

/// What a worker says of a job it works on.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    pub id: JobId,
    pub fence: i64,
    pub step: Option<String>,
    pub bytes_done: i64,
    pub bytes_total: i64,
    pub lease_until: Timestamp,
}

/// What became of a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    Kept {
        is_to_stop: bool,
    },
    /// Somebody has the row at this moment.
    Held,
    Lost,
}

impl JobFilter {
    /// Whether it leaves out all that is over.
    fn is_of_open(&self) -> bool {
        self.state.as_ref().is_some_and(|states| states.iter().all(|state| !state.is_over()))
    }

    fn conditions(&self) -> Conditions {
        let mut conditions = Conditions::default();
        if self.is_of_open() {
            self.only_open(&mut conditions);
        } else {
            conditions.text("project_id", &self.project_id);
        }
        conditions.one_of("kind", &self.kind);
        conditions.text("resource_id", &self.resource_id);
        conditions.one_of("state", &self.state);
        if let Some(moment) = self.changed_after {
            conditions.compare("updated_at", super::Operator::Greater, super::Value::Integer(moment.0));
        }
        conditions
    }

    /// The queue is short, the history is long. By their ids: SQLite, told only that they are not over, still walks all of
    /// it in the order of the list.
    fn only_open(&self, conditions: &mut Conditions) {
        let of_project = match &self.project_id {
            Some(id) => format!(" AND project_id = {}", conditions.bind(super::Value::Text(id.clone()))),
            None => String::new(),
        };
        conditions.push(format!("id IN (SELECT id FROM jobs WHERE finished_at IS NULL{of_project})"));
    }
}

impl Repository {
    /// Puts a job into the queue; workers hear of it when the transaction is committed.
    pub async fn enqueue(&mut self, job: &NewJob, now: Timestamp) -> Result<()> {
        self.rings = true;
        self.insert_job(job, JobState::Queued, None, now).await
    }

    /// Fails with [`DbError::QueueFull`] when there is no room for another job of this project.
    pub async fn check_queue(&mut self, project: Option<&ProjectId>) -> Result<()> {
        let bounds = self.bounds;
        // No further than the bound: what lies behind it is of no interest.
        let sql = "SELECT COUNT(*) FROM (SELECT 1 FROM jobs WHERE finished_at IS NULL LIMIT CAST($1 AS BIGINT)) AS found";
        let open: i64 = on!(self, c => sqlx::query_scalar(sql).bind(bounds.in_all).fetch_one(c).await)?;
        if open >= bounds.in_all {
            return Err(DbError::QueueFull { of_project: false });
        }
        let Some(project) = project.filter(|_| open >= bounds.of_project) else { return Ok(()) };
        let sql = "SELECT COUNT(*) FROM (SELECT 1 FROM jobs WHERE finished_at IS NULL AND project_id = $1 LIMIT CAST($2 AS BIGINT)) \
            AS found";
        let own: i64 = on!(self, c =>
            sqlx::query_scalar(sql).bind(project).bind(bounds.of_project).fetch_one(c).await)?;
        if own >= bounds.of_project { Err(DbError::QueueFull { of_project: true }) } else { Ok(()) }
    }

    /// Adds a job that the caller itself carries out, as if it had claimed it (its fence is 1).
    /// When the caller dies a worker claims it, to undo it.
    pub async fn enqueue_claimed(
        &mut self,
        job: &NewJob,
        owner: &str,
        lease_until: Timestamp,
        now: Timestamp,
    ) -> Result<()> {
        self.insert_job(job, JobState::Running, Some((owner, lease_until)), now).await
    }

    async fn insert_job(
        &mut self,
        job: &NewJob,
        state: JobState,
        lease: Option<(&str, Timestamp)>,
        now: Timestamp,
    ) -> Result<()> {
        // Who enqueues after another saw what that one did, and so finds its job here.
        let sql = "INSERT INTO jobs (id, kind, resource_type, resource_id, source_id, project_id, request_id, \
            payload, state, bytes_done, bytes_total, attempts, run_at, lease_owner, lease_until, fence, cancel, \
            created_at, started_at, updated_at, ordinal, place) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, 0, \
            $10, $11, $12, $13, $10, FALSE, $11, $14, $11, (SELECT COALESCE(MAX(ordinal), 0) + 1 FROM jobs), \
            CASE WHEN $10 = 0 THEN COALESCE((SELECT host FROM volumes WHERE id = $4), \
            (SELECT host FROM volumes WHERE id = $5), '') END)";
        let claims = i64::from(lease.is_some());
        on!(self, c => sqlx::query(sql)
            .bind(&job.id)
            .bind(job.kind)
            .bind(job.resource.kind)
            .bind(&job.resource.id)
            .bind(&job.source_id)
            .bind(&job.project_id)
            .bind(&job.request_id)
            .bind(&job.payload)
            .bind(state)
            .bind(claims)
            .bind(now)
            .bind(lease.map(|l| l.0))
            .bind(lease.map(|l| l.1))
            .bind(lease.map(|_| now))
            .execute(c).await.map(drop))?;
        Ok(())
    }

    /// Claims jobs that may run now: due, with no earlier job on the same resource or its source, and queued, or left
    /// behind by a worker whose lease ran out. One that is cancelled before it was ever claimed read nothing, and
    /// waits for nobody at its source.
    ///
    /// Projects take turns: the project that has least running comes first, so that a thousand jobs of one keep
    /// another's one waiting for no more than a seat, and one project leaves some seats of a place to others. Places
    /// have seats of their own, so that a pool that is slow keeps no other waiting. What is cancelled comes before all
    /// others: it only gives back.
    pub async fn claim_jobs(
        &mut self,
        claimant: Claimant<'_>,
        share: Share,
        now: Timestamp,
    ) -> Result<Vec<Job>> {
        let Claimant { owner, lease_until, kept, kinds } = claimant;
        // Names out of the program, none out of a request.
        let kinds: Vec<String> = kinds.iter().map(|kind| format!("'{kind}'")).collect();
        let waits = format!(
            "jobs.finished_at IS NULL AND jobs.run_at <= $1 AND jobs.kind IN ({}) \
             AND (jobs.state = 'queued' OR (jobs.state = 'running' AND jobs.lease_until < $1))",
            kinds.join(", ")
        );
        const EARLIER: &str = "SELECT 1 FROM jobs e WHERE e.finished_at IS NULL \
            AND (e.ordinal, e.id) < (jobs.ordinal, jobs.id)";
        let may_run = format!(
            "{waits} AND NOT EXISTS ({EARLIER} AND e.resource_id = jobs.resource_id) \
             AND NOT EXISTS ({EARLIER} AND e.source_id = jobs.resource_id) \
             AND (jobs.cancel AND jobs.fence = 0 OR NOT EXISTS ({EARLIER} \
                AND e.resource_id = jobs.source_id AND e.resource_type <> '{OF_STORES}'))"
        );
        // Of a project's jobs in a place no more are looked at than could have a seat: the queue may be long.
        let first = self.is_one_of(
            "head.id",
            &format!(
                "SELECT jobs.id FROM jobs WHERE COALESCE(jobs.project_id, '') = lines.project \
                 AND COALESCE(jobs.place, '') = lines.place AND {may_run} \
                 ORDER BY jobs.run_at, jobs.ordinal, jobs.id LIMIT CAST($3 AS BIGINT)"
            ),
        );
        let sql = format!(
            "WITH busy AS (SELECT project_id, place, lease_owner FROM jobs \
                WHERE finished_at IS NULL AND state = 'running' AND lease_until >= $1), \
             of_projects AS (SELECT project_id, COUNT(*) AS held FROM busy GROUP BY project_id), \
             of_places AS (SELECT place, COUNT(*) AS held FROM busy WHERE lease_owner = $2 GROUP BY place), \
             of_pairs AS (SELECT project_id, place, COUNT(*) AS held FROM busy WHERE lease_owner = $2 GROUP BY project_id, place), \
             lines AS (SELECT DISTINCT COALESCE(project_id, '') AS project, COALESCE(place, '') AS place \
                FROM jobs WHERE finished_at IS NULL), \
             heads AS (SELECT head.id, head.project_id, head.place, head.run_at, head.ordinal \
                FROM lines CROSS JOIN jobs AS head WHERE {first} \
                UNION SELECT jobs.id, jobs.project_id, jobs.place, jobs.run_at, jobs.ordinal \
                FROM jobs WHERE jobs.cancel AND {may_run}), \
             due AS (SELECT heads.id, heads.project_id, heads.place, heads.run_at, heads.ordinal, COALESCE(of_projects.held, 0) \
                + ROW_NUMBER() OVER (PARTITION BY heads.project_id ORDER BY heads.run_at, heads.ordinal, heads.id) AS turn \
                FROM heads LEFT JOIN of_projects ON of_projects.project_id = heads.project_id), \
             shared AS (SELECT due.id, due.place, due.turn, due.run_at, due.ordinal, COALESCE(of_pairs.held, 0) \
                + ROW_NUMBER() OVER (PARTITION BY due.project_id, due.place \
                    ORDER BY due.turn, due.run_at, due.ordinal, due.id) AS part \
                FROM due LEFT JOIN of_pairs ON of_pairs.project_id = due.project_id AND of_pairs.place = due.place), \
             seated AS (SELECT shared.id, shared.turn, shared.run_at, shared.ordinal, shared.part, COALESCE(of_places.held, 0) \
                + ROW_NUMBER() OVER (PARTITION BY shared.place \
                    ORDER BY shared.turn, shared.run_at, shared.ordinal, shared.id) AS seat \
                FROM shared LEFT JOIN of_places ON of_places.place = shared.place) \
             SELECT jobs.id, jobs.state, jobs.lease_owner FROM jobs JOIN seated ON seated.id = jobs.id \
             WHERE (seated.seat <= $3 AND seated.part <= $5 OR jobs.cancel) AND {waits} \
             ORDER BY jobs.cancel DESC, seated.turn, seated.run_at, seated.ordinal, seated.id LIMIT CAST($4 AS BIGINT){}",
            self.skip_locked()
        );
        let found: Vec<(JobId, JobState, Option<String>)> = on!(self, c => sqlx::query_as(AssertSqlSafe(sql))
            .bind(now).bind(owner).bind(share.of_place).bind(share.in_all).bind(share.of_project).fetch_all(c).await)?;
        let mut jobs = Vec::with_capacity(found.len());
        for (id, state, left_by) in found {
            if state == JobState::Running && kept.contains(&id) {
                continue;
            }
            let sql = format!(
                "UPDATE jobs SET state = 'running', lease_owner = $2, lease_until = $3, fence = fence + 1, \
                 attempts = attempts + 1, started_at = COALESCE(started_at, $4), updated_at = $4 \
                 WHERE id = $1 RETURNING {BRIEF}, payload"
            );
            let job: Job = on!(self, c => sqlx::query_as(AssertSqlSafe(sql))
                .bind(&id).bind(owner).bind(lease_until).bind(now).fetch_one(c).await)?;
            jobs.push(Job { left_by, ..job });
        }
        Ok(jobs)
    }

    /// Fails with [`DbError::LeaseLost`] unless the job still runs under this fence, and keeps it so
    /// until the transaction ends. The first line of whatever a worker writes.
    pub async fn hold_job(&mut self, id: &JobId, fence: i64, now: Timestamp) -> Result<()> {
        let sql = "UPDATE jobs SET updated_at = $3 WHERE id = $1 AND fence = $2 AND state = 'running'";
        let rows = on!(self, c => sqlx::query(sql)
            .bind(id).bind(fence).bind(now).execute(c).await.map(|done| done.rows_affected()))?;
        if rows == 1 { Ok(()) } else { Err(DbError::LeaseLost) }
    }

    /// Ends a job that the transaction holds.
    pub async fn finish_job(
        &mut self,
        id: &JobId,
        outcome: &JobOutcome,
        error: Option<(&str, &str)>,
        now: Timestamp,
    ) -> Result<()> {
        self.rings = true;
        let sql = "UPDATE jobs SET state = $2, error = COALESCE($3, error), error_detail = COALESCE($4, error_detail), \
            lease_owner = NULL, lease_until = NULL, finished_at = $5, updated_at = $5 WHERE id = $1";
        on!(self, c => sqlx::query(sql)
            .bind(id)
            .bind(outcome.state())
            .bind(error.map(|e| e.0))
            .bind(error.map(|e| e.1))
            .bind(now)
            .execute(c).await.map(drop))?;
        Ok(())
    }

    /// Says of a job that the transaction holds that it failed and is being undone from now on.
    pub async fn begin_undo(
        &mut self,
        id: &JobId,
        cause: Cause,
        error: &str,
        detail: &str,
        now: Timestamp,
    ) -> Result<()> {
        let sql = "UPDATE jobs SET cause = $2, error = $3, error_detail = $4, updated_at = $5 WHERE id = $1";
        on!(self, c => sqlx::query(sql)
            .bind(id).bind(cause).bind(error).bind(detail).bind(now).execute(c).await.map(drop))?;
        Ok(())
    }

    /// Says anew what a job that the transaction holds was asked for, with what came to light since.
    pub async fn set_job_payload(&mut self, id: &JobId, payload: &Json) -> Result<()> {
        let sql = "UPDATE jobs SET payload = $2 WHERE id = $1";
        on!(self, c => sqlx::query(sql).bind(id).bind(payload).execute(c).await.map(drop))?;
        Ok(())
    }

    /// Gives a job that the transaction holds back to the queue, for another try.
    pub async fn requeue_job(
        &mut self,
        id: &JobId,
        run_at: Timestamp,
        detail: &str,
        now: Timestamp,
    ) -> Result<()> {
        self.rings = true;
        let sql = "UPDATE jobs SET state = 'queued', lease_owner = NULL, lease_until = NULL, run_at = $2, \
            error_detail = $3, updated_at = $4 WHERE id = $1";
        on!(self, c => sqlx::query(sql).bind(id).bind(run_at).bind(detail).bind(now).execute(c).await.map(drop))?;
        Ok(())
    }

    /// Gives a job that the transaction holds back to the queue until somebody else has done something, or `until` then:
    /// it counts as no attempt. `seen`: when it was due; whoever woke it meanwhile changed that.
    pub async fn postpone_job(
        &mut self,
        id: &JobId,
        seen: Timestamp,
        until: Timestamp,
        detail: &str,
        now: Timestamp,
    ) -> Result<()> {
        self.rings = true;
        let sql = "UPDATE jobs SET state = 'queued', lease_owner = NULL, lease_until = NULL, attempts = attempts - 1, \
            run_at = CASE WHEN run_at = $2 THEN $3 ELSE run_at END, error_detail = $4, updated_at = $5 WHERE id = $1";
        on!(self, c => sqlx::query(sql)
            .bind(id).bind(seen).bind(until).bind(detail).bind(now).execute(c).await.map(drop))?;
        Ok(())
    }

    /// Something happened that jobs on a resource may wait for.
    pub async fn wake_jobs(&mut self, resource_id: &str, now: Timestamp) -> Result<()> {
        self.rings = true;
        let sql = "UPDATE jobs SET run_at = $2 WHERE resource_id = $1 AND finished_at IS NULL";
        on!(self, c => sqlx::query(sql).bind(resource_id).bind(now).execute(c).await.map(drop))?;
        Ok(())
    }

    /// Whether the job still runs under this fence.
    pub async fn holds_job(&mut self, id: &JobId, fence: i64) -> Result<bool> {
        let sql = "SELECT 1 FROM jobs WHERE id = $1 AND fence = $2 AND state = 'running'";
        let found: Option<i32> = on!(self, c =>
            sqlx::query_scalar(sql).bind(id).bind(fence).fetch_optional(c).await)?;
        Ok(found.is_some())
    }

    /// Gives a job that the transaction holds back to the queue, for somebody else to go on with at once. Nothing went
    /// wrong: it counts as no attempt.
    pub async fn hand_over_job(&mut self, id: &JobId, now: Timestamp) -> Result<()> {
        self.rings = true;
        let sql = "UPDATE jobs SET state = 'queued', lease_owner = NULL, lease_until = NULL, run_at = $2, \
            attempts = attempts - 1, updated_at = $2 WHERE id = $1";
        on!(self, c => sqlx::query(sql).bind(id).bind(now).execute(c).await.map(drop))?;
        Ok(())
    }

    /// Keeps the lease and tells how far it came. Waits for nobody: one row that somebody holds must not keep the leases
    /// of all other jobs from being kept.
    pub async fn beat(&mut self, beat: &Heartbeat, now: Timestamp) -> Result<Beat> {
        let held = format!(
            "SELECT id FROM jobs WHERE id = $1 AND fence = $2 AND state = 'running'{}",
            self.skip_locked()
        );
        let sql = format!(
            "UPDATE jobs SET step = $3, bytes_done = $4, bytes_total = $5, lease_until = $6, updated_at = $7 \
            WHERE id IN ({held}) RETURNING cancel"
        );
        let kept: Option<bool> = on!(self, c => sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(&beat.id)
            .bind(beat.fence)
            .bind(&beat.step)
            .bind(beat.bytes_done)
            .bind(beat.bytes_total)
            .bind(beat.lease_until)
            .bind(now)
            .fetch_optional(c).await)?;
        match kept {
            Some(is_to_stop) => Ok(Beat::Kept { is_to_stop }),
            None if self.holds_job(&beat.id, beat.fence).await? => Ok(Beat::Held),
            None => Ok(Beat::Lost),
        }
    }

    /// Asks the jobs on a resource to stop that have not come too far; those that run are undone. Answers how many.
    pub async fn cancel_jobs(&mut self, resource_id: &str, now: Timestamp) -> Result<u64> {
        self.cancel_where("resource_id", resource_id, now).await
    }

    /// Keeps the jobs on a resource that are not over as they are until the transaction ends: before its row, as their
    /// workers do. SQLite has one writer and needs no order.
    pub async fn hold_jobs(&mut self, resource_id: &str) -> Result<()> {
        let sql = "SELECT id FROM jobs WHERE resource_id = $1 AND finished_at IS NULL ORDER BY id";
        let sql = format!("{sql}{}", self.lock());
        on!(self, c => sqlx::query(AssertSqlSafe(sql)).bind(resource_id).fetch_all(c).await.map(drop))?;
        Ok(())
    }

    /// Likewise those on the snapshots of a volume.
    pub async fn hold_jobs_of_snapshots(&mut self, volume_id: &str) -> Result<()> {
        let sql = "SELECT id FROM jobs WHERE resource_id IN (SELECT id FROM snapshots WHERE volume_id = $1) \
            AND finished_at IS NULL ORDER BY id";
        let sql = format!("{sql}{}", self.lock());
        on!(self, c => sqlx::query(AssertSqlSafe(sql)).bind(volume_id).fetch_all(c).await.map(drop))?;
        Ok(())
    }

    /// Asks one job to stop. `false`: it is over, is being undone, or has come too far.
    pub async fn cancel_job(&mut self, id: &JobId, now: Timestamp) -> Result<bool> {
        Ok(self.cancel_where("id", id.as_str(), now).await? == 1)
    }

    async fn cancel_where(&mut self, column: &str, value: &str, now: Timestamp) -> Result<u64> {
        self.rings = true;
        // They wait for no better time any more.
        let sql = format!(
            "UPDATE jobs SET cancel = TRUE, run_at = $2, updated_at = $2 WHERE {column} = $1 \
             AND finished_at IS NULL AND cause IS NULL AND NOT settled"
        );
        Ok(on!(self, c => sqlx::query(AssertSqlSafe(sql))
            .bind(value).bind(now).execute(c).await.map(|done| done.rows_affected()))?)
    }

    /// What a job that the transaction holds does in it stays, and the job cannot be cancelled any more. `false`: it was
    /// cancelled before.
    pub async fn settle_job(&mut self, id: &JobId) -> Result<bool> {
        let sql = "UPDATE jobs SET settled = TRUE WHERE id = $1 AND NOT cancel";
        let rows =
            on!(self, c => sqlx::query(sql).bind(id).execute(c).await.map(|done| done.rows_affected()))?;
        Ok(rows == 1)
    }

    /// Those of this owner's jobs that were asked to stop.
    pub async fn jobs_to_cancel(&mut self, owner: &str) -> Result<Vec<JobId>> {
        let sql = "SELECT id FROM jobs WHERE finished_at IS NULL AND cancel AND lease_owner = $1";
        Ok(on!(self, c => sqlx::query_scalar(sql).bind(owner).fetch_all(c).await)?)
    }

    /// Ends all leases: nobody else can be alive who holds one (see [`super::Database::is_exclusive`]).
    pub async fn end_all_leases(&mut self) -> Result<u64> {
        let sql = "UPDATE jobs SET lease_until = 0 WHERE state = 'running' AND finished_at IS NULL";
        Ok(on!(self, c => sqlx::query(sql).execute(c).await.map(|done| done.rows_affected()))?)
    }

    pub async fn job(&mut self, id: &JobId) -> Result<Option<Job>> {
        let sql = format!("SELECT {BRIEF}, payload FROM jobs WHERE id = $1");
        Ok(on!(self, c => sqlx::query_as(AssertSqlSafe(sql)).bind(id).fetch_optional(c).await)?)
    }

    pub async fn jobs(&mut self, filter: &JobFilter, page: &Page) -> Result<Vec<Job>> {
        self.listed_jobs(&format!("{BRIEF}, payload"), filter, page).await
    }

    /// Likewise, for who does not want to know what was asked for: their payloads are not read.
    pub async fn jobs_in_brief(&mut self, filter: &JobFilter, page: &Page) -> Result<Vec<Job>> {
        self.listed_jobs(BRIEF, filter, page).await
    }

    async fn listed_jobs(&mut self, columns: &str, filter: &JobFilter, page: &Page) -> Result<Vec<Job>> {
        let mut conditions = filter.conditions();
        let sql = conditions.page(columns, "jobs", page);
        Ok(
            on!(self, c => bind_all!(sqlx::query_as(AssertSqlSafe(sql)), &conditions.values).fetch_all(c).await)?,
        )
    }

    /// How many are not over, by kind and state.
    pub async fn count_open_jobs(&mut self) -> Result<Vec<(String, JobState, i64)>> {
        let sql = "SELECT kind, state, COUNT(*) FROM jobs WHERE finished_at IS NULL GROUP BY kind, state";
        Ok(on!(self, c => sqlx::query_as(sql).fetch_all(c).await)?)
    }
}
