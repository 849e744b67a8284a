//! Jobs that somebody wants stopped, while others keep all seats.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use bytes::Bytes;
use futures::{StreamExt, stream};
use pumice::config::Config;
use pumice::db::{NewJob, Resource};
use pumice::jobs::{Fault, Faults, ImportSource, Moment, NoFaults, Run, VolumeSource};
use pumice::model::{ImageStatus, JobId, JobState, VolumeStatus};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Notify;

use super::generic::cancel;
use crate::house::{DatabaseKind, House, StoreKind};

const PATIENCE: Duration = Duration::from_secs(60);

/// Volumes are not made before this is let go.
struct Hold(Mutex<mpsc::Receiver<()>>);

impl Faults for Hold {
    fn at(&self, run: &Run, moment: Moment) -> Fault {
        if run.kind == "create_volume" && moment == Moment::Before("create") {
            // Ends, too, when nobody is left who could let it go.
            let _ = tokio::task::block_in_place(|| self.0.lock().unwrap().recv());
        }
        Fault::None
    }
}

/// A newer process has put it there, of which this one knows the kind and not all that it says.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_cannot_be_read_is_left_to_a_newer_version() {
    let mut house = House::new(StoreKind::Directory, DatabaseKind::Sqlite).await;
    let id = JobId::from(house.world.ids.ordered());
    let volume = house.world.ids.random().to_string();
    let job = NewJob {
        id: id.clone(),
        kind: "create_volume",
        resource: Resource { kind: "volume", id: volume.clone() },
        source_id: None,
        project_id: None,
        request_id: None,
        payload: json!({"kind": "create_volume", "volume_id": volume, "source": {"kind": "moon"}}),
    };
    let mut repository = house.database.begin().await.unwrap();
    repository.enqueue(&job, house.world.now()).await.unwrap();
    repository.commit().await.unwrap();
    let left = tokio::time::timeout(PATIENCE, async {
        loop {
            let job = house.last_job(&volume).await.unwrap();
            if job.error_detail.is_some() {
                break job;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let left = left.await.unwrap();
    assert_eq!((left.state, left.attempts, left.finished_at), (JobState::Queued, 0, None));
    assert!(left.run_at > house.world.now());
    house.stop().await;
}

/// A web server that says much and then nothing more; and a bell that rings when it was asked.
async fn silent() -> (String, Arc<Notify>) {
    let asked = Arc::new(Notify::new());
    let seen = asked.clone();
    let answer = async move || {
        let silence = stream::once(async move {
            seen.notify_one();
            std::future::pending().await
        });
        let front = Ok::<_, std::io::Error>(Bytes::from_static(&[7; 100_000]));
        Body::from_stream(stream::iter([front]).chain(silence))
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/disk.img", get(answer))).await });
    (format!("http://{address}/disk.img"), asked)
}

fn our_servers_may_be_asked() -> Config {
    let mut config = Config::default();
    config.import_filtering_opts.allowed_hosts = vec!["127.0.0.1".to_owned()];
    config.import_filtering_opts.allowed_ports.clear();
    config
}

async fn until(house: &House, id: &JobId, state: JobState) {
    let reached = tokio::time::timeout(PATIENCE, async {
        while house.database.read().await.unwrap().job(id).await.unwrap().unwrap().state != state {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    assert!(reached.await.is_ok(), "{id} is never {state}");
}

/// With two seats: a volume is made in one, which does not end, and an image is imported in the other, from a server
/// that does not go on.
async fn what_waits_ends_before_what_runs_and_that_stops_too(database: DatabaseKind) {
    let mut config = our_servers_may_be_asked();
    config.jobs.workers = 1;
    let (release, held) = mpsc::channel();
    let hold = Arc::new(Hold(Mutex::new(held)));
    let mut house = House::with(StoreKind::Directory, database, config, hold).await;
    let made = house.create_volume(VolumeSource::Empty, 1).await;
    let (uri, asked) = silent().await;
    let image = house.queued_image().await;
    house.import(&image, ImportSource::Web { uri }).await;
    tokio::time::timeout(PATIENCE, asked.notified()).await.unwrap();
    let making = house.last_job(&made).await.unwrap().id;
    until(&house, &making, JobState::Running).await;

    let waiting = house.create_volume(VolumeSource::Empty, 1).await;
    let job = house.last_job(&waiting).await.unwrap();
    assert!(cancel(&house.database, &job.id).await);
    until(&house, &job.id, JobState::Cancelled).await;
    assert_eq!(house.volume_status(&waiting).await, Some(VolumeStatus::Error));
    assert_eq!(house.last_job(&made).await.unwrap().state, JobState::Running);

    let importing = house.last_job(&image).await.unwrap();
    assert_eq!(importing.state, JobState::Running);
    assert!(cancel(&house.database, &importing.id).await);
    until(&house, &importing.id, JobState::Cancelled).await;
    assert_eq!(house.image_status(&image).await, Some(ImageStatus::Queued));

    // Whose last step is over before it hears of it.
    assert!(cancel(&house.database, &making).await);
    drop(release);
    until(&house, &making, JobState::Cancelled).await;
    assert_eq!(house.volume_status(&made).await, Some(VolumeStatus::Error));
    house.assert_nothing_is_left().await;
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_waits_ends_before_what_runs_and_that_stops_too_on_sqlite() {
    what_waits_ends_before_what_runs_and_that_stops_too(DatabaseKind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_waits_ends_before_what_runs_and_that_stops_too_on_postgresql() {
    what_waits_ends_before_what_runs_and_that_stops_too(DatabaseKind::Postgres).await;
}

/// Tells a job to stop, once, that nobody has cancelled, as a lease does that lapses and is prolonged afterwards.
#[derive(Default)]
struct Lapse(AtomicBool);

impl Faults for Lapse {
    fn at(&self, run: &Run, moment: Moment) -> Fault {
        if moment == Moment::Before("create") && !self.0.swap(true, Ordering::SeqCst) {
            run.progress.cancel();
        }
        Fault::None
    }
}

#[tokio::test]
async fn what_nobody_cancelled_goes_on() {
    let lapse = Arc::new(Lapse::default());
    let mut house =
        House::with(StoreKind::Directory, DatabaseKind::Sqlite, Config::default(), lapse.clone()).await;
    let volume = house.volume(VolumeSource::Empty, 1).await;
    assert!(lapse.0.load(Ordering::SeqCst));
    assert_eq!(house.last_job(&volume).await.unwrap().attempts, 2);
    house.assert_nothing_is_left().await;
    house.stop().await;
}

#[tokio::test]
async fn who_reads_from_a_silent_server_for_a_location_stops() {
    let config = our_servers_may_be_asked();
    let mut house = House::with(StoreKind::Directory, DatabaseKind::Sqlite, config, Arc::new(NoFaults)).await;
    let (uri, asked) = silent().await;
    let image = house.queued_image().await;
    house.add_location(&image, uri).await;
    tokio::time::timeout(PATIENCE, asked.notified()).await.unwrap();
    let job = house.last_job(&image).await.unwrap();
    assert!(cancel(&house.database, &job.id).await);
    until(&house, &job.id, JobState::Cancelled).await;
    assert_eq!(house.image_status(&image).await, Some(ImageStatus::Queued));
    house.stop().await;
}
