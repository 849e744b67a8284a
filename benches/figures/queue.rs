//! What a worker waits for when it asks for its next job, while many are waiting.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use pumice::db::{Claimant, Database, Options, Share};
use pumice::jobs::{self, Origin, Task};
use pumice::model::{ProjectId, VolumeId, World};

use crate::Bench;
use crate::numbers::{Times, ms, ms_pair};
use crate::server::database;
use crate::table::{Row, Table};

const FEW: usize = 100;
const MANY: usize = 10_000;
const PROJECTS: usize = 5;
const LIMIT: Duration = Duration::from_millis(20);

pub async fn measure(bench: &Bench, table: &mut Table) -> anyhow::Result<()> {
    let few = claims(bench, "queue_few", FEW).await?;
    let many = claims(bench, "queue_many", MANY).await?;
    let ratio = many.median().as_secs_f64() / few.median().as_secs_f64();
    table.add(
        Row::shown(format!("claim of a job while {MANY} of {PROJECTS} projects wait"), ms_pair(&many))
            .beside(format!("{FEW} wait {}", ms_pair(&few)), ratio)
            .limit(format!("<= {}", ms(LIMIT)), many.median() <= LIMIT),
    );
    Ok(())
}

/// None of them is kept: each finds the same queue. Nobody has counted its rows either, as when it grew in an instant.
async fn claims(bench: &Bench, name: &str, waiting: usize) -> anyhow::Result<Times> {
    let url = database(bench, name).await?;
    let database =
        Database::open(&Options { url, max_connections: 2, timeout: Duration::from_secs(10) }).await?;
    database.migrate().await?;
    let world = World::real();
    let mut repository = database.begin().await?;
    for number in 0..waiting {
        let project = ProjectId(format!("project-{}", number % PROJECTS));
        let origin = Origin { project_id: Some(project), request_id: None };
        let task = Task::DeleteVolume { volume_id: VolumeId::from(world.ids.random()) };
        jobs::follow_up(&mut repository, &world, task, &origin).await?;
    }
    repository.commit().await?;
    let (kept, share) = (HashSet::new(), Share { of_place: 8, of_project: 6, in_all: 8 });
    let mut times = Vec::with_capacity(bench.samples);
    for _ in 0..bench.samples {
        let now = world.now();
        let claimant =
            Claimant { owner: "bench", lease_until: now.plus_seconds(60), kept: &kept, kinds: Task::KINDS };
        let started = Instant::now();
        let mut repository = database.begin().await?;
        let claimed = repository.claim_jobs(claimant, share, now).await?;
        times.push(started.elapsed());
        anyhow::ensure!(claimed.len() == 8, "{} were claimed", claimed.len());
    }
    database.close().await;
    Ok(Times::new(times))
}
