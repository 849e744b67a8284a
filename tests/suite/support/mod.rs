//! A whole service in a temporary folder, and requests to it without a socket.

pub mod authority;
pub mod regions;
pub mod signer;

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use futures::Stream;
use http_body_util::BodyExt;
use pumice::block::directory::Directory;
use pumice::block::{Backends, BlockStore, BlockingPool, Stores};
use pumice::config::{Config, DatabaseUrl, IdentityMode, ImageStoreKind};
use pumice::http::App;
use pumice::jobs::NoFaults;
use pumice::model::{Clock, Ids, Timestamp, World};
use pumice::service::{Service, open_database};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};
use tempfile::TempDir;
use tower::ServiceExt;
use uuid::Uuid;

use crate::house::{DatabaseKind, StoreKind, database::Keep};
use crate::openapi::answers;

/// 2026-11-22T11:47:26.970525, and each look a second later.
struct StepClock(AtomicI64);

impl Clock for StepClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.fetch_add(1_000_000, Ordering::SeqCst))
    }
}

/// 1, 2, 3 ...
struct CountedIds(AtomicU64);

impl CountedIds {
    fn next(&self) -> Uuid {
        Uuid::from_u128(u128::from(self.0.fetch_add(1, Ordering::SeqCst)))
    }
}

impl Ids for CountedIds {
    fn random(&self) -> Uuid {
        self.next()
    }

    fn ordered(&self) -> Uuid {
        self.next()
    }
}

/// A service whose workers do not run: rows stay as requests, and the test, leave them.
pub struct Site {
    clock: Arc<StepClock>,
    pub service: Service,
    pub routes: Router,
    _folders: (TempDir, Keep),
}

impl Site {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// With other options than the defaults.
    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::on(None, change).await
    }

    /// Whose volumes lie in the pool `volumes` of the real cluster.
    pub async fn on_ceph(change: impl FnOnce(&mut Config)) -> Self {
        let (stores, _) = StoreKind::RbdV2.make().await;
        Self::on(Some(stores), |config| {
            config.volumes.rbd_pool = "volumes".to_owned();
            change(config);
        })
        .await
    }

    /// Every row of every table, as text with its table's name.
    pub async fn rows(&self) -> BTreeSet<(String, String)> {
        let url = self.app().config.database.url.expose();
        let mut connection = SqliteConnection::connect(url).await.unwrap();
        let tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' \
            AND name NOT IN ('_sqlx_migrations', 'services', 'quota_turns')";
        let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&mut connection).await.unwrap();
        let mut all = BTreeSet::new();
        for table in tables {
            let columns =
                "SELECT group_concat('quote(' || name || ')', ' || '','' || ') FROM pragma_table_info($1)";
            let columns: String =
                sqlx::query_scalar(columns).bind(&table).fetch_one(&mut connection).await.unwrap();
            let sql = AssertSqlSafe(format!("SELECT {columns} FROM {table}"));
            let found: Vec<String> = sqlx::query_scalar(sql).fetch_all(&mut connection).await.unwrap();
            all.extend(found.into_iter().map(|row| (table.clone(), row)));
        }
        connection.close().await.unwrap();
        all
    }

    /// On these stores, or in a folder of its own.
    async fn on(stores: Option<Stores>, change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.identity.mode = IdentityMode::None;
        let (url, database_folder) = DatabaseKind::Sqlite.migrated_url().await;
        config.database.url = DatabaseUrl::parse(&url).unwrap();
        // More than any test makes, unless it says so.
        config.quotas.quota_volumes = 10_000;
        config.quotas.quota_snapshots = 10_000;
        config.quotas.quota_gigabytes = 1_000_000;
        change(&mut config);
        let database = open_database(&config).await.unwrap();
        database.migrate().await.unwrap();
        let directory = Directory::open(folder.path().join("store"), BlockingPool::new(2, 1, 1, 2)).unwrap();
        let pool = |name: &str| -> Arc<dyn BlockStore> { directory.pool(name).unwrap() };
        let mut volumes = Backends::one("directory", pool(&config.volumes.rbd_pool));
        for (name, backend) in &config.backends.0 {
            volumes = volumes.and(name, pool(&backend.rbd_pool));
        }
        let more = config.image_stores.0.iter().filter(|(_, store)| store.store == ImageStoreKind::Directory);
        let own = Stores {
            images: pool(&config.images.rbd_store_pool),
            more_images: more.map(|(id, store)| (id.clone(), pool(&store.rbd_store_pool))).collect(),
            volumes,
        };
        let stores = stores.unwrap_or(own);
        let clock = Arc::new(StepClock(AtomicI64::new(1_795_348_046_970_525)));
        let world = World { clock: clock.clone(), ids: Arc::new(CountedIds(AtomicU64::new(1))) };
        let service = Service::assemble(config, database, stores, world, Arc::new(NoFaults)).await.unwrap();
        service.prepare().await.unwrap();
        let routes = service.routes(None);
        Self { clock, service, routes, _folders: (folder, database_folder) }
    }

    /// The process says that it is alive.
    pub async fn report(&self) {
        self.service.reporter().report().await.unwrap();
    }

    /// Lets time go by.
    pub fn pass(&self, seconds: i64) {
        self.clock.0.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
    }

    pub fn app(&self) -> &App {
        &self.service.app
    }

    pub fn request(&self, method: &str, path: &str) -> Call {
        Call::to(self.routes.clone(), method, path)
    }
}

/// A request on its way.
pub struct Call {
    routes: Router,
    method: String,
    path: String,
    headers: HeaderMap,
    body: Body,
}

impl Call {
    pub fn to(routes: Router, method: &str, path: &str) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("cloud.example:8080"));
        Self { routes, method: method.to_owned(), path: path.to_owned(), headers, body: Body::empty() }
    }

    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.insert(name, HeaderValue::from_str(value).unwrap());
        self
    }

    /// Of the Block Storage API.
    pub fn version(self, minor: u16) -> Self {
        self.header("openstack-api-version", &format!("volume 3.{minor}"))
    }

    pub fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json").body(body.to_string())
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Body::from(body.into());
        self
    }

    /// A body that comes in pieces.
    pub fn stream(mut self, pieces: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Self {
        self.body = Body::from_stream(pieces);
        self
    }

    /// Answers when the head is there.
    pub async fn open(self) -> Response<Body> {
        let mut request = Request::builder().method(self.method.as_str()).uri(&self.path);
        if let Some(headers) = request.headers_mut() {
            *headers = self.headers;
        }
        let request = request.body(self.body).unwrap();
        self.routes.oneshot(request).await.unwrap()
    }

    pub async fn send(self) -> Answer {
        let method = self.method.clone();
        Answer::to(&method, self.open().await).await
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    /// To a request with this method.
    pub async fn to(method: &str, response: Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        answers::hold(method, &parts, &body);
        Self { status: parts.status, headers: parts.headers, body }
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        self
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {:?}", self.text()))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}
