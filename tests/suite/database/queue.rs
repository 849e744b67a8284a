//! Whose job is next.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;
use pumice::db::{Database, JobOutcome};
use pumice::jobs::{self, Backlog, Import, ImportSource, Origin, Task, VolumeSource};
use pumice::model::{Cause, Gib, Ids, ImageId, JobId, ProjectId, RandomIds, World};
use uuid::Uuid;

use super::{DatabaseKind, Options, Share, add, claimant, id, volume, volume_type};

on_both!(
    projects_take_turns,
    places_have_seats_of_their_own,
    one_project_leaves_seats_to_others,
    the_order_is_that_of_events_and_not_of_clocks,
    what_is_handed_over_is_claimed_at_once,
    what_is_cancelled_needs_no_seat,
    what_never_began_waits_for_nobody_at_its_source,
    who_reads_an_image_waits_for_no_copy_of_it,
    what_is_settled_is_not_cancelled,
    what_waits_is_woken,
    the_length_of_the_queue_is_told,
);

async fn delete(database: &Database, world: &World, number: u128, project: &str) -> JobId {
    let mut repository = database.begin().await.unwrap();
    let origin = Origin { project_id: Some(ProjectId(project.to_owned())), request_id: None };
    let task = Task::DeleteVolume { volume_id: id(number) };
    let job = jobs::enqueue(&mut repository, world, task, &origin).await.unwrap();
    repository.commit().await.unwrap();
    job
}

/// The projects of the claimed.
async fn claim(database: &Database, world: &World, owner: &str, share: Share) -> Vec<String> {
    let mut repository = database.begin().await.unwrap();
    let until = world.now().plus_seconds(60);
    let jobs = repository.claim_jobs(claimant(owner, until), share, world.now()).await.unwrap();
    repository.commit().await.unwrap();
    jobs.into_iter().map(|job| job.project_id.unwrap().0).collect()
}

async fn projects_take_turns(database: Database) {
    let world = World::real();
    for number in 1..=1_000 {
        delete(&database, &world, number, "large").await;
    }
    delete(&database, &world, 1_001, "small").await;
    let share = |in_all| Share { of_place: 1_000, of_project: 1_000, in_all };
    assert_eq!(claim(&database, &world, "a", share(1)).await, ["large"]);
    // It has nothing running, the other one has.
    assert_eq!(claim(&database, &world, "b", share(3)).await, ["small", "large", "large"]);
    delete(&database, &world, 1_002, "small").await;
    delete(&database, &world, 1_003, "small").await;
    // One of three against three of many: the small one's come up to the large one's.
    assert_eq!(claim(&database, &world, "a", share(4)).await, ["small", "small", "large", "large"]);
}

/// By kind and state; what there is no more of is told as none.
async fn the_length_of_the_queue_is_told(database: Database) {
    let world = World::real();
    let recorder = PrometheusBuilder::new().build_recorder();
    let told = recorder.handle();
    let lines = || {
        let mut lines: Vec<_> = told.render().lines().map(str::to_owned).collect();
        lines.retain(|line| line.starts_with("pumice_jobs_open{"));
        lines.sort();
        lines
    };
    let _counting = metrics::set_default_local_recorder(&recorder);
    let mut backlog = Backlog::new(database.clone());
    backlog.count().await.unwrap();
    assert_eq!(lines(), Vec::<String>::new());
    for number in 1..=3 {
        delete(&database, &world, number, "p").await;
    }
    claim(&database, &world, "a", Share { of_place: 1, of_project: 1, in_all: 1 }).await;
    backlog.count().await.unwrap();
    let line = |state: &str, count: u32| {
        format!("pumice_jobs_open{{kind=\"delete_volume\",state=\"{state}\"}} {count}")
    };
    assert_eq!(lines(), [line("queued", 2), line("running", 1)]);
    claim(&database, &world, "a", Share { of_place: 3, of_project: 3, in_all: 3 }).await;
    backlog.count().await.unwrap();
    assert_eq!(lines(), [line("queued", 0), line("running", 3)]);
}

async fn places_have_seats_of_their_own(database: Database) {
    let world = World::real();
    let of_type = volume_type(&database).await;
    let rows: Vec<_> = (1..=11)
        .map(|number| {
            let mut row = volume(number, &of_type);
            row.host = Some(if number <= 10 { "pumice@slow#a" } else { "pumice@fast#b" }.to_owned());
            row
        })
        .collect();
    add(&database, &rows).await;
    for number in 1..=10 {
        delete(&database, &world, number, "slow").await;
    }
    delete(&database, &world, 11, "fast").await;
    let share = Share { of_place: 3, of_project: 3, in_all: 10 };
    let mut claimed = claim(&database, &world, "a", share).await;
    claimed.sort();
    assert_eq!(claimed, ["fast", "slow", "slow", "slow"]);
    // All its seats in front of that pool are taken; another process has seats of its own.
    assert!(claim(&database, &world, "a", share).await.is_empty());
    assert_eq!(claim(&database, &world, "b", share).await, ["slow", "slow", "slow"]);
}

/// What its own jobs wait for may take hours.
async fn one_project_leaves_seats_to_others(database: Database) {
    let world = World::real();
    for number in 1..=10 {
        delete(&database, &world, number, "large").await;
    }
    let share = Share { of_place: 4, of_project: 3, in_all: 10 };
    assert_eq!(claim(&database, &world, "a", share).await, ["large", "large", "large"]);
    assert!(claim(&database, &world, "a", share).await.is_empty());
    for number in 11..=12 {
        delete(&database, &world, number, "other").await;
    }
    assert_eq!(claim(&database, &world, "a", share).await, ["other"]);
    assert!(claim(&database, &world, "a", share).await.is_empty());
    assert_eq!(claim(&database, &world, "b", share).await.len(), 4);
}

async fn what_is_cancelled_needs_no_seat(database: Database) {
    let world = World::real();
    let mut ids = Vec::new();
    for number in 1..=3 {
        ids.push(delete(&database, &world, number, &format!("p{number}")).await);
    }
    let none = Share { of_place: 0, of_project: 0, in_all: 10 };
    assert!(claim(&database, &world, "a", none).await.is_empty());
    let mut repository = database.begin().await.unwrap();
    // It was to be tried again much later.
    repository.requeue_job(&ids[2], world.now().plus_seconds(3_600), "", world.now()).await.unwrap();
    assert!(repository.cancel_job(&ids[2], world.now()).await.unwrap());
    repository.commit().await.unwrap();
    assert_eq!(claim(&database, &world, "a", Share { of_place: 1, of_project: 1, in_all: 1 }).await, ["p3"]);
    assert!(claim(&database, &world, "a", none).await.is_empty());
    assert_eq!(database.read().await.unwrap().jobs_to_cancel("a").await.unwrap(), [ids.remove(2)]);
}

async fn what_is_settled_is_not_cancelled(database: Database) {
    let world = World::real();
    let first = delete(&database, &world, 1, "p").await;
    let second = delete(&database, &world, 2, "p").await;
    let now = world.now();
    let mut repository = database.begin().await.unwrap();
    assert!(repository.settle_job(&first).await.unwrap());
    assert!(!repository.cancel_job(&first, now).await.unwrap());
    assert!(repository.job(&first).await.unwrap().unwrap().settled);
    // And the other way round.
    assert!(repository.cancel_job(&second, now).await.unwrap());
    assert!(!repository.settle_job(&second).await.unwrap());
    // Being undone, and over.
    repository.begin_undo(&second, Cause::Cancelled, "", "", now).await.unwrap();
    assert!(!repository.cancel_job(&second, now).await.unwrap());
    repository.finish_job(&second, &JobOutcome::Cancelled, None, now).await.unwrap();
    assert!(!repository.cancel_job(&second, now).await.unwrap());
    assert!(!repository.cancel_job(&JobId::from(world.ids.random()), now).await.unwrap());
    repository.commit().await.unwrap();
}

/// Of a clock that goes back.
struct Backwards(AtomicU64);

impl Ids for Backwards {
    fn random(&self) -> Uuid {
        RandomIds.random()
    }

    fn ordered(&self) -> Uuid {
        Uuid::from_u128(self.0.fetch_sub(1, Ordering::Relaxed).into())
    }
}

async fn the_order_is_that_of_events_and_not_of_clocks(database: Database) {
    let world = World { ids: Arc::new(Backwards(AtomicU64::new(100))), ..World::real() };
    let extend = Task::ExtendVolume { volume_id: id(1), new_size: Gib::new(2).unwrap() };
    let first = super::enqueue(&database, &world, extend).await;
    let second = super::enqueue(&database, &world, Task::DeleteVolume { volume_id: id(1) }).await;
    assert!(second < first);
    assert_eq!(super::claim_all(&database, &world).await, ["extend_volume"]);
    assert_eq!(super::claim_all(&database, &world).await, ["delete_volume"]);
}

async fn what_is_handed_over_is_claimed_at_once(database: Database) {
    let world = World::real();
    delete(&database, &world, 1, "p").await;
    let share = Share { of_place: 1, of_project: 1, in_all: 1 };
    let claim = async |owner: &str| {
        let mut repository = database.begin().await.unwrap();
        let until = world.now().plus_seconds(3_600);
        let jobs = repository.claim_jobs(claimant(owner, until), share, world.now()).await.unwrap();
        repository.commit().await.unwrap();
        jobs.into_iter().next()
    };
    let job = claim("first").await.unwrap();
    assert!(claim("second").await.is_none());
    let mut repository = database.begin().await.unwrap();
    repository.hold_job(&job.id, job.fence, world.now()).await.unwrap();
    repository.hand_over_job(&job.id, world.now()).await.unwrap();
    repository.commit().await.unwrap();
    let again = claim("second").await.unwrap();
    assert_eq!((again.id, again.attempts, again.fence), (job.id.clone(), 1, job.fence + 1));
    let mut repository = database.read().await.unwrap();
    assert!(repository.holds_job(&job.id, again.fence).await.unwrap());
    assert!(!repository.holds_job(&job.id, job.fence).await.unwrap());
}

/// As the version before the columns `ordinal` and `place` did, which may run beside this one while processes are
/// replaced one by one.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_older_version_enqueues_is_claimed_first() {
    let (url, _keep) = DatabaseKind::Postgres.url().await;
    let options = Options { url: url.clone(), max_connections: 2, timeout: Duration::from_secs(60) };
    let database = Database::open(&options).await.unwrap();
    database.migrate().await.unwrap();
    let world = World::real();
    super::enqueue(&database, &world, Task::DeleteVolume { volume_id: id(1) }).await;
    let older = sqlx::PgPool::connect(&url).await.unwrap();
    sqlx::query(
        "INSERT INTO jobs (id, kind, resource_type, resource_id, source_id, project_id, request_id, payload, state, \
         bytes_done, bytes_total, attempts, run_at, lease_owner, lease_until, fence, cancel, created_at, started_at, \
         updated_at) VALUES ('older', 'extend_volume', 'volume', $1, NULL, NULL, NULL, '{}', 'queued', 0, 0, 0, 1, \
         NULL, NULL, 0, FALSE, 1, NULL, 1)",
    )
    .bind(id(1).to_string())
    .execute(&older)
    .await
    .unwrap();
    assert_eq!(super::claim_all(&database, &world).await, ["extend_volume"]);
    assert_eq!(super::claim_all(&database, &world).await, ["delete_volume"]);
    older.close().await;
}

/// It read nothing, and is only to be ended. What else is asked of it waits for that.
async fn what_never_began_waits_for_nobody_at_its_source(database: Database) {
    let world = World::real();
    super::enqueue(&database, &world, Task::DeleteVolume { volume_id: id(1) }).await;
    let share = Share { of_place: 10, of_project: 10, in_all: 10 };
    let claim = async || {
        let mut repository = database.begin().await.unwrap();
        let until = world.now().plus_seconds(60);
        let jobs = repository.claim_jobs(claimant("me", until), share, world.now()).await.unwrap();
        repository.commit().await.unwrap();
        jobs.into_iter().map(|job| job.id).collect::<Vec<_>>()
    };
    assert_eq!(claim().await.len(), 1);
    let source = VolumeSource::Volume { volume_id: id(1) };
    let reads = super::enqueue(&database, &world, Task::CreateVolume { volume_id: id(2), source }).await;
    super::enqueue(&database, &world, Task::DeleteVolume { volume_id: id(2) }).await;
    assert_eq!(claim().await, []);
    let mut repository = database.begin().await.unwrap();
    assert!(repository.cancel_job(&reads, world.now()).await.unwrap());
    repository.commit().await.unwrap();
    assert_eq!(claim().await, std::slice::from_ref(&reads));
    // It is to be tried again, and may have done something by now.
    let mut repository = database.begin().await.unwrap();
    repository.requeue_job(&reads, world.now(), "why", world.now()).await.unwrap();
    repository.commit().await.unwrap();
    assert_eq!(claim().await, []);
}

/// But its deletion does, and what takes its bytes away waits for who reads them.
async fn who_reads_an_image_waits_for_no_copy_of_it(database: Database) {
    let world = World::real();
    let image_id = ImageId::from(Uuid::from_u128(9));
    let (source, stores) = (ImportSource::Itself, vec![Some("second".to_owned())]);
    let import =
        Import { source, stores, all_must_succeed: true, inject: false, signed_by: None, asked_by: None };
    let reads = |number| {
        let source = VolumeSource::Image { image_id: image_id.clone(), signed_by: None };
        Task::CreateVolume { volume_id: id(number), source }
    };
    let store = Some("second".to_owned());
    for task in [
        Task::ImportImage { image_id: image_id.clone(), import },
        reads(1),
        Task::DeleteFromStore { image_id: image_id.clone(), store },
        reads(2),
        Task::DeleteImage { image_id: image_id.clone() },
    ] {
        super::enqueue(&database, &world, task).await;
    }
    assert_eq!(super::claim_all(&database, &world).await, ["import_image", "create_volume", "create_volume"]);
    assert_eq!(super::claim_all(&database, &world).await, ["delete_from_store"]);
    assert_eq!(super::claim_all(&database, &world).await, ["delete_image"]);
}

/// Also by what happens while it is about to wait.
async fn what_waits_is_woken(database: Database) {
    let world = World::real();
    let job = delete(&database, &world, 1, "p").await;
    let resource = id(1);
    let share = Share { of_place: 10, of_project: 10, in_all: 10 };
    for wakes_before in [false, true] {
        assert_eq!(claim(&database, &world, "a", share).await.len(), 1, "{wakes_before}");
        let mut repository = database.begin().await.unwrap();
        let seen = repository.job(&job).await.unwrap().unwrap();
        assert_eq!(seen.attempts, 1);
        if wakes_before {
            repository.wake_jobs(resource.as_str(), world.now()).await.unwrap();
        }
        let (now, until) = (world.now(), world.now().plus_seconds(1_000));
        repository.postpone_job(&job, seen.run_at, until, "why", now).await.unwrap();
        repository.commit().await.unwrap();
        if !wakes_before {
            assert!(claim(&database, &world, "a", share).await.is_empty());
            let mut repository = database.begin().await.unwrap();
            repository.wake_jobs(resource.as_str(), world.now()).await.unwrap();
            repository.commit().await.unwrap();
        }
    }
    assert_eq!(claim(&database, &world, "a", share).await.len(), 1);
}
