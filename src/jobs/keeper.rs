//! Keeps the leases of this process's jobs, publishes how far they came, and tells them to stop.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::{Fence, Run};
use crate::db::{self, Beat, Database, Heartbeat};
use crate::model::{JobId, Timestamp, World};
use crate::telemetry::chain;

pub struct Keeper {
    database: Database,
    world: World,
    owner: String,
    fence: Arc<dyn Fence>,
    /// Seconds.
    lease: i64,
    heartbeat: i64,
    kept: Mutex<HashMap<Claim, Kept>>,
}

/// A job and its fence: a job that has just been given back may be claimed before the claim before has gone.
type Claim = (JobId, i64);

/// The step, and bytes done of how many.
type State = (Option<&'static str>, (u64, u64));

struct Kept {
    run: Arc<Run>,
    /// What was published last.
    published: State,
    lease_until: Timestamp,
}

/// What is to be published.
struct Due {
    run: Arc<Run>,
    state: State,
    beat: Heartbeat,
}

/// While it lives, the job's lease is kept.
pub struct KeptLease {
    keeper: Arc<Keeper>,
    claim: Claim,
}

impl Drop for KeptLease {
    fn drop(&mut self) {
        self.keeper.locked().remove(&self.claim);
    }
}

impl Keeper {
    /// `owner` names this process, and no other one ever; `lease` is how long it is believed alive without a
    /// `heartbeat`, which is sent this often, and whenever a job has come further.
    pub fn new(
        database: Database,
        world: World,
        owner: String,
        fence: Arc<dyn Fence>,
        lease: Duration,
        heartbeat: Duration,
    ) -> Arc<Self> {
        let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX).max(1);
        let (lease, heartbeat) = (seconds(lease), seconds(heartbeat));
        Arc::new(Self { database, world, owner, fence, lease, heartbeat, kept: Mutex::default() })
    }

    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// Sees to it that nothing comes any more of what another process had under way for a job that is taken over from it.
    pub async fn shut_out(&self, owner: &str) {
        if owner != self.owner {
            // Even if it is alive: a call to the cluster that it was in when it lost the lease still goes on.
            self.fence.shut_out(owner).await;
        }
    }

    /// Until when a lease that is taken now lasts.
    pub fn lease_until(&self) -> Timestamp {
        self.world.now().plus_seconds(self.lease)
    }

    /// From the moment `taken`, when its transaction began.
    pub fn keep(self: &Arc<Self>, run: Arc<Run>, taken: Instant) -> KeptLease {
        let claim = (run.id.clone(), run.fence);
        self.allow(&run, taken);
        let kept = Kept { run, published: (None, (0, 0)), lease_until: self.lease_until() };
        self.locked().insert(claim.clone(), kept);
        KeptLease { keeper: self.clone(), claim }
    }

    /// The jobs that this process is at, whether their leases have run out or not.
    pub fn kept(&self) -> HashSet<JobId> {
        self.locked().keys().map(|(id, _)| id.clone()).collect()
    }

    pub fn count(&self) -> usize {
        self.locked().len()
    }

    /// Beats until `stop`. A second is how current progress is; leases need it far less often, unless they are short.
    pub async fn run(&self, stop: CancellationToken) {
        let half_a_beat = Duration::from_millis(500) * u32::try_from(self.heartbeat).unwrap_or(u32::MAX);
        let mut ticks = tokio::time::interval(half_a_beat.min(Duration::from_secs(1)));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = stop.cancelled() => return,
            }
            if let Err(error) = self.fence.announce(&self.owner).await {
                tracing::warn!(error = %chain(&error), "it was not written down what clusters call this process");
            }
            if let Err(error) = self.beat().await {
                tracing::warn!(error = %chain(&error), "heartbeats of jobs were not written");
            }
        }
    }

    /// Others count by clocks of their own: this one stops a little before.
    fn allow(&self, run: &Run, taken: Instant) {
        // Nobody else takes what belongs to the only process there is.
        if !self.database.is_exclusive() {
            let lease = Duration::from_secs(self.lease.unsigned_abs());
            run.progress.allow_until(taken + lease - lease / 10);
        }
    }

    /// Asks all jobs under way to stop where they are, so that somebody else can go on with them.
    pub fn hand_over(&self) {
        for kept in self.locked().values() {
            kept.run.hand_over();
        }
    }

    /// Publishes what changed and prolongs leases that are a heartbeat old.
    async fn beat(&self) -> db::Result<()> {
        let due = self.due();
        if due.is_empty() {
            return self.stop_cancelled().await;
        }
        let (now, taken) = (self.world.now(), Instant::now());
        let (mut held, mut lost) = (Vec::new(), Vec::new());
        let mut repository = self.database.begin().await?;
        for due in &due {
            match repository.beat(&due.beat, now).await? {
                Beat::Lost => lost.push(&due.run),
                // It is due with the next tick.
                Beat::Held => {}
                Beat::Kept { is_to_stop } => {
                    held.push(due);
                    if is_to_stop {
                        due.run.progress.cancel();
                    }
                }
            }
        }
        repository.commit().await?;
        for due in held {
            self.allow(&due.run, taken);
            self.note(due);
        }
        for run in lost {
            // It may also have ended in this very moment, and is told once.
            if !run.progress.is_forbidden() && self.locked().contains_key(&(run.id.clone(), run.fence)) {
                tracing::warn!(job.id = %run.id, job.kind = %run.kind, "the lease of a job was lost");
            }
            run.progress.forbid();
        }
        self.stop_cancelled().await
    }

    fn due(&self) -> Vec<Due> {
        let now = self.world.now();
        let until = self.lease_until();
        let mut due = Vec::new();
        for kept in self.locked().values() {
            let state = (kept.run.step(), kept.run.progress.get());
            let old = kept.lease_until < now.plus_seconds(self.lease - self.heartbeat);
            if state == kept.published && !old {
                continue;
            }
            let (step, (done, total)) = state;
            let beat = Heartbeat {
                id: kept.run.id.clone(),
                fence: kept.run.fence,
                step: step.map(str::to_owned),
                bytes_done: i64::try_from(done).unwrap_or(i64::MAX),
                bytes_total: i64::try_from(total).unwrap_or(i64::MAX),
                lease_until: until,
            };
            due.push(Due { run: kept.run.clone(), state, beat });
        }
        due
    }

    /// What was written need not be again; what was not is due with the next tick.
    fn note(&self, due: &Due) {
        if let Some(kept) = self.locked().get_mut(&(due.run.id.clone(), due.run.fence)) {
            kept.published = due.state;
            kept.lease_until = due.beat.lease_until;
        }
    }

    /// Tells those of our jobs that someone wants stopped.
    pub async fn stop_cancelled(&self) -> db::Result<()> {
        if self.locked().is_empty() {
            return Ok(());
        }
        let ids = self.database.read().await?.jobs_to_cancel(&self.owner).await?;
        for kept in self.locked().values().filter(|kept| ids.contains(&kept.run.id)) {
            kept.run.progress.cancel();
        }
        Ok(())
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<Claim, Kept>> {
        // Entries are whole values: a panic elsewhere leaves none half made.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
