//! Several processes on one database and one cluster, with nothing else between them.

use std::collections::BTreeSet;
use std::error::Error;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use bytes::Bytes;
use futures::{StreamExt, stream};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::house::{DatabaseKind, StoreKind};
use crate::process::{PATIENCE, Place, SHORT_LEASE, Server};

const ROLE: &str = "PUMICE_REPLICA__ROLE";
/// Longer than any test: what happens within it happened because somebody said so.
const LONG: &str = "3600";

/// Likewise, and as seldom as the queue may be polled: longer than anything here is waited for.
const SELDOM: &str = "600";

async fn place() -> Place {
    Place::new(StoreKind::RbdV2, DatabaseKind::Postgres).await
}

async fn create(server: &Server) -> String {
    let body = json!({"volume": {"size": 1}});
    let (status, body) = server.send(Method::POST, "/volume/v3/volumes", Some(body)).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{body}");
    body["volume"]["id"].as_str().unwrap().to_owned()
}

async fn delete_volumes(server: &Server) {
    for volume in server.list("/volume/v3/volumes", "volumes").await {
        let path = format!("/volume/v3/volumes/{}", volume["id"].as_str().unwrap());
        assert_eq!(server.send(Method::DELETE, &path, None).await.0, StatusCode::ACCEPTED);
    }
    server.settle().await;
}

/// What a metric with these labels says; none is 0.
async fn figure(server: &Server, start: &str) -> f64 {
    let text = reqwest::get(format!("{}/metrics", server.url)).await.unwrap().text().await.unwrap();
    let lines = text.lines().filter(|line| line.starts_with(start));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn share_the_work_and_see_the_same() {
    let place = place().await;
    // Together, on an empty database: one of them migrates it.
    let (one, other) = std::thread::scope(|scope| {
        let other = scope.spawn(|| place.start());
        (place.start(), other.join().unwrap())
    });
    let made = futures::future::join_all((0..24).map(|number| {
        let server = if number % 2 == 0 { &one } else { &other };
        create(server)
    }));
    let made: BTreeSet<String> = made.await.into_iter().collect();
    one.settle().await;
    for server in [&one, &other] {
        let found = server.list("/volume/v3/volumes/detail", "volumes").await;
        assert!(found.iter().all(|volume| volume["status"] == "available"), "{found:#?}");
        let ids: BTreeSet<String> =
            found.iter().map(|volume| volume["id"].as_str().unwrap().to_owned()).collect();
        assert_eq!(ids, made);
    }
    let done = r#"pumice_jobs_total{kind="create_volume",outcome="done"}"#;
    assert_eq!(figure(&one, done).await + figure(&other, done).await, 24.0);
    delete_volumes(&other).await;
    other.stop();
    place.assert_empty(one).await;
}

/// Of a file there is one at a time: it would take the jobs of the other for left behind.
#[tokio::test(flavor = "multi_thread")]
async fn do_not_share_a_file() {
    let place = Place::new(StoreKind::RbdV2, DatabaseKind::Sqlite).await;
    let server = place.start();
    let second = place.command(&["serve"]).output().unwrap();
    let words = String::from_utf8_lossy(&second.stderr);
    assert!(!second.status.success());
    assert!(words.contains("in use by another process: several need PostgreSQL"), "{words}");
    // A command may use it meanwhile, and the next one may serve it afterwards.
    assert!(place.command(&["migrate"]).output().unwrap().status.success());
    server.stop();
    place.assert_empty(place.start()).await;
}

/// The worker is told; it would look by itself in ten minutes.
#[tokio::test(flavor = "multi_thread")]
async fn have_roles_and_hear_of_work() {
    let place = place().await;
    let lazy = ("PUMICE_JOBS__POLL_INTERVAL", SELDOM);
    let api = place.start_with(&[(ROLE, "api"), lazy]);
    create(&api).await;
    assert_eq!(api.list("/pumice/v1/jobs?state=open", "jobs").await.len(), 1);
    let worker = place.start_with(&[(ROLE, "worker"), lazy]);
    api.settle().await;
    create(&api).await;
    api.settle().await;
    assert_eq!(figure(&worker, r#"pumice_jobs_total{kind="create_volume",outcome="done"}"#).await, 2.0);
    // It serves health and figures alone.
    assert_eq!(worker.try_send(Method::GET, "/readyz", None).await.unwrap().0, StatusCode::OK);
    for path in ["/volume/v3/volumes", "/image/v2/images", "/pumice/v1/jobs"] {
        assert_eq!(worker.send(Method::GET, path, None).await.0, StatusCode::NOT_FOUND, "{path}");
    }
    delete_volumes(&api).await;
    worker.stop();
    place.assert_empty(api).await;
}

/// Also those who work only.
#[tokio::test(flavor = "multi_thread")]
async fn log_as_much_as_one_of_them_is_told() {
    let place = place().await;
    let (one, other) = (place.start_with(&[(ROLE, "api")]), place.start_with(&[(ROLE, "api")]));
    let worker = place.start_with(&[(ROLE, "worker")]);
    let ask = async |server: &Server, path: &str, body: Value| {
        let url = format!("{}/volume/v3/os-services/{path}", server.url);
        let call = reqwest::Client::new().put(url).header("openstack-api-version", "volume 3.32").json(&body);
        call.send().await.unwrap()
    };
    let level = async || {
        let named = json!({"binary": "cinder-volume", "prefix": "pumice::jobs"});
        let answer: Value = ask(&other, "get-log", named).await.json().await.unwrap();
        answer["log_levels"][0]["levels"]["pumice::jobs"].clone()
    };
    let heard = || worker.whole_log().matches("levels were set").count();
    let set = async |to: &str| {
        let reached = tokio::time::timeout(PATIENCE, async {
            let mut is_known = false;
            // Who had not begun to listen, or to say that it is alive, is told again; and once more when all know it, so
            // that the worker heard no earlier word only.
            while !is_known {
                is_known = level().await == to;
                let before = heard();
                let named = json!({"binary": "cinder-volume", "prefix": "pumice::jobs", "level": to});
                assert_eq!(ask(&one, "set-log", named).await.status(), StatusCode::ACCEPTED);
                while is_known && heard() == before {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        });
        assert!(reached.await.is_ok(), "{}\n{}", other.log(), worker.log());
    };
    let says_so = || worker.whole_log().contains("a job ended");
    set("ERROR").await;
    create(&one).await;
    one.settle().await;
    assert!(!says_so());
    set("INFO").await;
    delete_volumes(&one).await;
    assert!(says_so());
    worker.stop();
    other.stop();
    place.assert_empty(one).await;
}

/// A web server that holds its first answer back in the middle.
async fn halting(bytes: &'static [u8]) -> (String, Arc<Notify>) {
    let (asked, reached) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let seen = reached.clone();
    let answer = async move || {
        let (front, back) = bytes.split_at(bytes.len() / 2);
        if asked.fetch_add(1, Ordering::SeqCst) > 0 {
            return Body::from(bytes);
        }
        let back = stream::once(async move {
            seen.notify_one();
            std::future::pending::<()>().await;
            Ok::<_, std::io::Error>(Bytes::from_static(back))
        });
        Body::from_stream(stream::iter([Ok(Bytes::from_static(front))]).chain(back))
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/disk.img", get(answer))).await });
    (format!("http://{address}/disk.img"), reached)
}

async fn import(server: &Server, uri: &str) -> String {
    let image = json!({"disk_format": "raw", "container_format": "bare"});
    let (status, image) = server.send(Method::POST, "/image/v2/images", Some(image)).await;
    assert_eq!(status, StatusCode::CREATED);
    let id = image["id"].as_str().unwrap().to_owned();
    let method = json!({"method": {"name": "web-download", "uri": uri}});
    let path = format!("/image/v2/images/{id}/import");
    assert_eq!(server.send(Method::POST, &path, Some(method)).await.0, StatusCode::ACCEPTED);
    id
}

async fn importing() -> Place {
    let mut place = place().await;
    place.options.push(("PUMICE_IMPORT_FILTERING_OPTS__ALLOWED_HOSTS", r#"["127.0.0.1"]"#.to_owned()));
    place.options.push(("PUMICE_IMPORT_FILTERING_OPTS__ALLOWED_PORTS", "[]".to_owned()));
    place
}

async fn assert_image(server: &Server, id: &str, bytes: &[u8]) {
    server.settle().await;
    let image: Value = server.get(&format!("/image/v2/images/{id}")).await;
    assert_eq!(image["status"], "active", "{image:#}\n{}", server.log());
    assert!(server.download(id).await == bytes);
}

/// Nothing waits for the end of a lease.
#[tokio::test(flavor = "multi_thread")]
async fn hand_over_what_they_are_at_when_they_stop() {
    let place = importing().await;
    let bytes: &'static [u8] = Vec::leak((0..3_000_000_u32).map(|at| (at % 251) as u8).collect());
    let (uri, reached) = halting(bytes).await;
    let options = [("PUMICE_JOBS__LEASE", LONG), ("PUMICE_API__SHUTDOWN_TIMEOUT", "1")];
    let leaving = place.start_with(&options);
    let id = import(&leaving, &uri).await;
    tokio::time::timeout(PATIENCE, reached.notified()).await.unwrap();
    let staying = place.start_with(&options);
    leaving.stop();
    assert_image(&staying, &id, bytes).await;
    let job = staying.list(&format!("/pumice/v1/jobs?resource_id={id}"), "jobs").await;
    let import = job.iter().find(|job| job["kind"] == "import_image").unwrap();
    assert_eq!((&import["state"], &import["attempts"]), (&json!("done"), &json!(1)), "{import:#}");
    let path = format!("/image/v2/images/{id}");
    assert_eq!(staying.send(Method::DELETE, &path, None).await.0, StatusCode::NO_CONTENT);
    staying.settle().await;
    place.assert_empty(staying).await;
}

/// The one that is asked to stop a job is not the one that is at it.
#[tokio::test(flavor = "multi_thread")]
async fn cancel_each_others_jobs() {
    let place = importing().await;
    let (uri, reached) = halting(&[7; 3_000_000]).await;
    let options = [("PUMICE_JOBS__LEASE", LONG), ("PUMICE_JOBS__POLL_INTERVAL", SELDOM)];
    let worker = place.start_with(&[options[0], options[1], (ROLE, "worker")]);
    let api = place.start_with(&[options[0], options[1], (ROLE, "api")]);
    let id = import(&api, &uri).await;
    tokio::time::timeout(PATIENCE, reached.notified()).await.unwrap();
    let job = api.list("/pumice/v1/jobs?state=running", "jobs").await.remove(0);
    assert_eq!(job["cancellable"], true);
    let job = job["id"].as_str().unwrap();
    let listed = place.command(&["jobs", "--url", &api.url]).output().unwrap();
    assert!(String::from_utf8(listed.stdout).unwrap().starts_with(job));
    let cancel = ["jobs", "cancel", job, "--url", &api.url];
    let told = place.command(&cancel).output().unwrap();
    assert!(told.status.success(), "{told:?}");
    api.settle().await;
    let job: Value = api.get(&format!("/pumice/v1/jobs/{job}")).await;
    assert_eq!(
        (&job["job"]["state"], &job["job"]["error"]),
        (&json!("cancelled"), &json!("It was cancelled.")),
        "{job:#}"
    );
    let image: Value = api.get(&format!("/image/v2/images/{id}")).await;
    assert_eq!(image["status"], "queued");
    let again = place.command(&cancel).output().unwrap();
    assert!(!again.status.success());
    let words = String::from_utf8(again.stderr).unwrap();
    assert!(words.contains("The job is over: it is cancelled."), "{words}");
    let path = format!("/image/v2/images/{id}");
    assert_eq!(api.send(Method::DELETE, &path, None).await.0, StatusCode::NO_CONTENT);
    api.settle().await;
    worker.stop();
    place.assert_empty(api).await;
}

/// Until so many clients of the cluster are known by name.
async fn announced(place: &Place, count: i64) {
    let database = sqlx::PgPool::connect(place.database_url()).await.unwrap();
    let known = async || -> i64 {
        sqlx::query_scalar("SELECT COUNT(*) FROM cluster_clients").fetch_one(&database).await.unwrap()
    };
    while known().await < count {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// It finds what it was at done by somebody else, and even gone, and touches nothing.
#[tokio::test(flavor = "multi_thread")]
async fn do_no_harm_after_a_pause_beyond_their_lease() {
    let place = importing().await;
    let bytes: &'static [u8] = Vec::leak((0..3_000_000_u32).map(|at| (at % 241) as u8).collect());
    let (uri, reached) = halting(bytes).await;
    let paused = place.start_with(&SHORT_LEASE);
    create(&paused).await;
    let id = import(&paused, &uri).await;
    tokio::time::timeout(PATIENCE, reached.notified()).await.unwrap();
    // One for the images, and one for the volumes.
    assert!(tokio::time::timeout(PATIENCE, announced(&place, 2)).await.is_ok());
    paused.pause();
    let other = place.start_with(&SHORT_LEASE);
    assert_image(&other, &id, bytes).await;
    paused.resume();
    let lost = tokio::time::timeout(PATIENCE, async {
        while !other.whole_log().contains("another worker goes on with this job") {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    assert!(lost.await.is_ok(), "{}", other.log());
    assert!(other.whole_log().contains("is shut out of the cluster"), "{}", other.log());
    // It works on, with other things.
    create(&paused).await;
    assert_image(&paused, &id, bytes).await;
    other.stop();
    create(&paused).await;
    paused.settle().await;
    let path = format!("/image/v2/images/{id}");
    assert_eq!(paused.send(Method::DELETE, &path, None).await.0, StatusCode::NO_CONTENT);
    delete_volumes(&paused).await;
    place.assert_empty(paused).await;
}

/// A request that a replica is at, and whose body is yet to come.
struct Begun {
    stream: TcpStream,
}

impl Begun {
    const BODY: &str = r#"{"volume": {"size": 1}}"#;
    const GO_ON: &str = "HTTP/1.1 100 Continue\r\n\r\n";

    async fn at(server: &Server) -> Self {
        let (_, address) = server.url.split_once("://").unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!(
            "POST /volume/v3/volumes HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
            Connection: close\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
            Self::BODY.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        // It says so when it wants the body.
        let mut said = vec![0; Self::GO_ON.len()];
        tokio::time::timeout(PATIENCE, stream.read_exact(&mut said)).await.unwrap().unwrap();
        assert_eq!(String::from_utf8_lossy(&said), Self::GO_ON);
        Self { stream }
    }

    /// The id of the volume that was asked for.
    async fn end(mut self) -> String {
        self.stream.write_all(Self::BODY.as_bytes()).await.unwrap();
        let mut answer = String::new();
        tokio::time::timeout(PATIENCE, self.stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
        accepted(answer.split_once("\r\n\r\n").unwrap().1)
    }
}

fn accepted(answer: &str) -> String {
    let body: Value = serde_json::from_str(answer).unwrap();
    body["volume"]["id"].as_str().unwrap().to_owned()
}

/// Asks it for volumes until it is not there any more: all its answers, and why there was none in the end.
async fn ask_until_it_is_gone(
    url: String,
    answered: Arc<Notify>,
) -> (Vec<(StatusCode, String)>, reqwest::Error) {
    // A replica that ends closes connections that wait for another request, and that may be on its way already.
    let client = reqwest::Client::builder().timeout(PATIENCE).pool_max_idle_per_host(0).build().unwrap();
    let mut answers = Vec::new();
    loop {
        let body = json!({"volume": {"size": 1}});
        let asked = client.post(format!("{url}/volume/v3/volumes")).json(&body).send().await;
        answered.notify_one();
        match asked {
            // One that has begun comes to its end.
            Ok(answer) => answers.push((answer.status(), answer.text().await.unwrap())),
            Err(error) => return (answers, error),
        }
    }
}

/// Nobody listened any more; or the connection was made, and closed before the replica had read anything of it. For
/// those nothing is promised: what the kernel had not handed on yet when the port was closed it resets, and of what was
/// accepted hyper closes what has said nothing so far. Nor is anything done for them, as the list of volumes shows.
/// What was read is answered: see [`Begun`].
fn came_too_late(error: &reqwest::Error) -> bool {
    let is_closed = |cause: &(dyn Error + 'static)| match cause.downcast_ref::<hyper::Error>() {
        Some(error) => error.is_incomplete_message() || error.is_canceled() || error.is_closed(),
        None => cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)),
    };
    error.is_connect() || std::iter::successors(error.source(), |&cause| cause.source()).any(is_closed)
}

/// One after the other is replaced while clients ask it: what was accepted is done, and nothing else, and whatever a
/// replica was at when it was asked to stop it answers.
#[tokio::test(flavor = "multi_thread")]
async fn are_replaced_one_by_one_without_losing_a_request() {
    const CLIENTS: usize = 4;
    let place = place().await;
    let mut servers = vec![place.start(), place.start()];
    let mut made = BTreeSet::new();
    for _ in 0..3 {
        let leaving = servers.remove(0);
        servers.push(place.start());
        let begun = Begun::at(&leaving).await;
        let answered = Arc::new(Notify::new());
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| tokio::spawn(ask_until_it_is_gone(leaving.url.clone(), answered.clone())))
            .collect();
        tokio::time::timeout(PATIENCE, answered.notified()).await.unwrap();
        leaving.ask_to_stop();
        let before = made.len();
        for client in clients {
            let (answers, error) = client.await.unwrap();
            assert!(came_too_late(&error), "{error:?}\n{}", leaving.log());
            for (status, answer) in answers {
                assert_eq!(status, StatusCode::ACCEPTED, "{answer}\n{}", leaving.log());
                made.insert(accepted(&answer));
            }
        }
        assert!(made.len() > before, "{}", leaving.log());
        // The port is closed by now.
        made.insert(begun.end().await);
        leaving.has_stopped();
        made.insert(create(&servers[0]).await);
    }
    servers[0].settle().await;
    let found = servers[1].list("/volume/v3/volumes/detail", "volumes").await;
    assert!(found.iter().all(|volume| volume["status"] == "available"), "{found:#?}");
    let there: BTreeSet<String> =
        found.iter().map(|volume| volume["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(there, made, "{found:#?}");
    delete_volumes(&servers[0]).await;
    servers.remove(0).stop();
    place.assert_empty(servers.remove(0)).await;
}
