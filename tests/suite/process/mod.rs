//! The real binary as a process of its own, on any store and any database: tests start it, talk to it, kill it.

pub mod pools;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use pumice::block::directory::Directory;
use pumice::block::rbd::{self, RbdOptions};
use pumice::block::{Backends, BlockStore, BlockingPool, Stores};
use pumice::db::{Database, ImageFilter, Options, Page, SnapshotFilter, VolumeFilter};
use reqwest::{Body, Method, StatusCode};
use serde_json::Value;
use tempfile::TempDir;

use crate::house::store::ceph_conf;
use crate::house::{DatabaseKind, StoreKind, database};
use pools::{Pools, Users};

/// Nothing here takes longer, however slow the machine.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// What a process that was killed or paused had is taken over soon. For tests that do so: on a slow machine a process
/// loses what it has without that.
pub const SHORT_LEASE: [(&str, &str); 2] = [("PUMICE_JOBS__LEASE", "4"), ("PUMICE_JOBS__HEARTBEAT", "1")];

/// What outlives the process: a store of its own and a database of its own.
pub struct Place {
    pub folder: TempDir,
    pub store: StoreKind,
    pub pools: Pools,
    /// What else it is told, as variables.
    pub options: Vec<(&'static str, String)>,
    users: Option<Users>,
    database_url: String,
    _database: database::Keep,
}

/// A running one.
pub struct Server {
    pub url: String,
    process: Child,
    log: PathBuf,
    /// Sent along, once a test has one.
    pub token: Option<String>,
    client: reqwest::Client,
}

impl Place {
    pub async fn new(store: StoreKind, database: DatabaseKind) -> Self {
        let (database_url, keep) = database.url().await;
        let folder = tempfile::tempdir().unwrap();
        let pools = Pools::make(store);
        let users = (store != StoreKind::Directory).then(|| Users::make(&pools, folder.path()));
        Self { folder, store, pools, options: Vec::new(), users, database_url, _database: keep }
    }

    /// Without what `options` make of it.
    pub fn database_url(&self) -> &str {
        &self.database_url
    }

    /// The users of the cluster that it is run as.
    pub fn users(&self) -> &Users {
        self.users.as_ref().unwrap()
    }

    pub fn directory(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    fn variables(&self) -> Vec<(&'static str, String)> {
        let mut variables = vec![
            ("PUMICE_API__LISTEN", "127.0.0.1:0".to_owned()),
            ("PUMICE_IDENTITY__MODE", "none".to_owned()),
            ("PUMICE_DATABASE__URL", self.database_url.clone()),
            ("PUMICE_IMAGES__RBD_STORE_POOL", self.pools.images.clone()),
            ("PUMICE_VOLUMES__RBD_POOL", self.pools.volumes.clone()),
            // However slow the disk is.
            ("PUMICE_DATABASE__BUSY_TIMEOUT", "60".to_owned()),
            ("PUMICE_API__REQUEST_TIMEOUT", "180".to_owned()),
            // More than any test makes.
            ("PUMICE_QUOTAS__QUOTA_VOLUMES", "10000".to_owned()),
            ("PUMICE_QUOTAS__QUOTA_SNAPSHOTS", "10000".to_owned()),
            ("PUMICE_QUOTAS__QUOTA_GIGABYTES", "1000000".to_owned()),
        ];
        let clone_format = match self.store {
            StoreKind::Directory | StoreKind::Apart => {
                let directory = self.directory().display().to_string();
                variables.push(("PUMICE_IMAGES__DIRECTORY", directory.clone()));
                variables.push(("PUMICE_VOLUMES__DIRECTORY", directory));
                return variables;
            }
            StoreKind::RbdV1 => "1",
            StoreKind::RbdV2 => "2",
        };
        variables.push(("PUMICE_IMAGES__STORE", "rbd".to_owned()));
        variables.push(("PUMICE_VOLUMES__STORE", "rbd".to_owned()));
        if let Some(users) = &self.users {
            let conf = users.conf.display().to_string();
            variables.push(("PUMICE_IMAGES__RBD_STORE_CEPH_CONF", conf.clone()));
            variables.push(("PUMICE_IMAGES__RBD_STORE_USER", users.images.clone()));
            variables.push(("PUMICE_VOLUMES__RBD_CEPH_CONF", conf));
            variables.push(("PUMICE_VOLUMES__RBD_USER", users.volumes.clone()));
        }
        variables.push(("PUMICE_VOLUMES__RBD_DEFAULT_CLONE_FORMAT", clone_format.to_owned()));
        variables
    }

    /// Starts the binary, and waits until it listens.
    pub fn start(&self) -> Server {
        self.start_with(&[])
    }

    /// With more options, as environment variables.
    pub fn start_with(&self, options: &[(&str, &str)]) -> Server {
        let log = self.folder.path().join("log");
        let errors = File::options().create(true).append(true).open(&log).unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_pumice"))
            .arg("serve")
            .current_dir(self.folder.path())
            .envs(self.variables())
            .envs(self.options.iter().map(|(name, value)| (name, value)))
            .envs(options.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        // `Image API v2    http://127.0.0.1:40123/image`: it says so once it listens.
        let address = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let (_, url) = line.rsplit_once(' ')?;
            // A worker says where it tells how it is.
            url.strip_suffix("/image").or(url.strip_suffix("/healthz")).map(str::to_owned)
        });
        let Some(address) = address else {
            let status = process.wait().unwrap();
            panic!("it did not start ({status}):\n{}", tail(&log));
        };
        // Nobody reads on, and nothing much is written: the pipe stays open with the thread.
        std::thread::spawn(move || lines.for_each(drop));
        let client = reqwest::Client::builder().timeout(PATIENCE).build().unwrap();
        Server { url: address, process, log, token: None, client }
    }

    /// The binary, to do something beside a server that runs here.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pumice"));
        command.args(arguments).current_dir(self.folder.path()).envs(self.variables());
        command.envs(self.options.iter().map(|(name, value)| (name, value)));
        command
    }

    /// The stores themselves. The directory has one user at a time: the process must have ended.
    pub fn stores(&self) -> Stores {
        let (images, volumes) = (self.pools.images.as_str(), self.pools.volumes.as_str());
        let format = match self.store {
            StoreKind::Directory | StoreKind::Apart => {
                let root = Directory::open(self.directory(), BlockingPool::default()).unwrap();
                return Stores {
                    images: root.pool(images).unwrap(),
                    more_images: BTreeMap::new(),
                    volumes: Backends::one("directory", root.pool(volumes).unwrap()),
                };
            }
            StoreKind::RbdV1 => rbd::CloneFormat::V1,
            StoreKind::RbdV2 => rbd::CloneFormat::V2,
        };
        let pool = |name: &str| -> std::sync::Arc<dyn BlockStore> {
            let options =
                RbdOptions { conf: Some(ceph_conf()), clone_format: format, ..RbdOptions::new(name) };
            std::sync::Arc::new(rbd::open(options, BlockingPool::default()).unwrap())
        };
        Stores {
            images: pool(images),
            more_images: BTreeMap::new(),
            volumes: Backends::one("rbd", pool(volumes)),
        }
    }

    async fn database(&self) -> Database {
        let options =
            Options { url: self.database_url.clone(), max_connections: 2, timeout: Duration::from_secs(30) };
        Database::open(&options).await.unwrap()
    }

    /// No row and no byte is left. Leaves no process running.
    pub async fn assert_empty(&self, server: Server) {
        self.assert_empty_but_for(server, |_| false).await;
    }

    /// Likewise, but for objects that are excused.
    pub async fn assert_empty_but_for(&self, server: Server, is_excused: fn(&str) -> bool) {
        // A process that starts looks after what was kept for clones, and forgets what is gone.
        server.stop();
        let before = fs::metadata(self.folder.path().join("log")).unwrap().len() as usize;
        let server = self.start();
        let database = self.database().await;
        let leftovers = async || database.read().await.unwrap().leftovers().await.unwrap();
        let forgotten = tokio::time::timeout(PATIENCE, async {
            while !leftovers().await.is_empty() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        if forgotten.await.is_err() {
            panic!("leftovers stay: {:?}\n{}", leftovers().await, &server.whole_log()[before..]);
        }
        server.stop();
        let mut rows = database.read().await.unwrap();
        assert!(rows.volumes(&VolumeFilter::default(), &Page::default()).await.unwrap().is_empty());
        assert!(rows.snapshots(&SnapshotFilter::default(), &Page::default()).await.unwrap().is_empty());
        assert!(rows.images(&ImageFilter::default(), &Page::default()).await.unwrap().is_empty());
        drop(rows);
        database.close().await;
        let stores = self.stores();
        for store in [&stores.images, &stores.volumes.first().store] {
            let left = store.list().await.unwrap();
            let seen: Vec<String> = left.iter().map(|name| pools::seen_of(store.pool(), name)).collect();
            assert!(left.is_empty(), "in pool {}: {left:?}\n{}", store.pool(), seen.join("\n"));
            assert_eq!(store.trash_list().await.unwrap(), [], "in the trash of pool {}", store.pool());
        }
        drop(stores);
        self.assert_no_bytes(is_excused);
    }

    /// Below what the contract shows.
    fn assert_no_bytes(&self, is_excused: fn(&str) -> bool) {
        for pool in [&self.pools.images, &self.pools.volumes] {
            let mut left: Vec<String> = match self.store {
                StoreKind::Directory | StoreKind::Apart => {
                    let data = self.directory().join("pools").join(pool).join("data");
                    let entries = fs::read_dir(data).unwrap();
                    entries.map(|entry| entry.unwrap().path().display().to_string()).collect()
                }
                _ => pools::left_of_images(pool),
            };
            left.retain(|object| !is_excused(object));
            assert_eq!(left, Vec::<String>::new(), "in pool {pool}");
        }
    }
}

impl Server {
    /// All of it.
    pub fn whole_log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap()).into_owned()
    }

    pub fn log(&self) -> String {
        tail(&self.log)
    }

    /// What it holds in memory, in KiB.
    pub fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Whether it ended by itself.
    pub fn is_gone(&mut self) -> bool {
        self.own_end().is_some()
    }

    /// How it ended by itself, if it did.
    pub fn own_end(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().unwrap()
    }

    /// Speaks to it as somebody who believes this authority and no other.
    pub fn believe(&mut self, authority: reqwest::Certificate) {
        let client = reqwest::Client::builder().timeout(PATIENCE).tls_certs_only([authority]);
        self.client = client.build().unwrap();
    }

    /// As a power cut would.
    pub fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// As a service manager would. It must end by itself, and well.
    pub fn stop(self) {
        self.ask_to_stop();
        self.has_stopped();
    }

    pub fn ask_to_stop(&self) {
        self.signal("-TERM");
    }

    /// Waits until it ended.
    pub fn has_stopped(mut self) {
        let status = self.ended();
        assert!(status.success(), "it ended with {status}:\n{}", self.log());
    }

    /// As a host that swaps, or a virtual machine that is being moved.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    pub fn resume(&self) {
        self.signal("-CONT");
    }

    pub fn hang_up(&self) {
        self.signal("-HUP");
    }

    fn signal(&self, signal: &str) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    fn ended(&mut self) -> ExitStatus {
        let start = std::time::Instant::now();
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "it does not end:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.url));
        match &self.token {
            Some(token) => request.header("X-Auth-Token", token),
            None => request,
        }
    }

    /// An answer and its JSON; an error when the process is gone.
    pub async fn try_send(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> reqwest::Result<(StatusCode, Value)> {
        let mut request = self.request(method, path).header("Accept", "application/json");
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        Ok((status, serde_json::from_str(&text).unwrap_or(Value::Null)))
    }

    /// The same, of a process that must be there.
    pub async fn send(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        match self.try_send(method, path, body).await {
            Ok(answer) => answer,
            Err(error) => panic!("{path}: {error}\n{}", self.log()),
        }
    }

    pub async fn get(&self, path: &str) -> Value {
        let (status, body) = self.send(Method::GET, path, None).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        body
    }

    pub async fn try_upload(&self, image: &str, body: impl Into<Body>) -> reqwest::Result<StatusCode> {
        let request = self.request(Method::PUT, &format!("/image/v2/images/{image}/file"));
        let request = request.header("Content-Type", "application/octet-stream").body(body);
        Ok(request.send().await?.status())
    }

    /// An upload that promises so many bytes, and does not bring them: what is said to it.
    pub async fn promise(&self, image: &str, bytes: u64) -> (StatusCode, String) {
        let request = self.request(Method::PUT, &format!("{image}/file")).body("");
        let request = request.header("Content-Type", "application/octet-stream");
        let answer = request.header("x-openstack-image-size", bytes).send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    }

    pub async fn try_download(&self, image: &str) -> (StatusCode, Vec<u8>) {
        let request = self.request(Method::GET, &format!("/image/v2/images/{image}/file"));
        let answer = request.send().await.unwrap();
        (answer.status(), answer.bytes().await.unwrap().into())
    }

    pub async fn download(&self, image: &str) -> Vec<u8> {
        let (status, bytes) = self.try_download(image).await;
        assert_eq!(status, StatusCode::OK, "{}", self.log());
        bytes
    }

    /// What a list answers, without paging.
    pub async fn list(&self, path: &str, key: &str) -> Vec<Value> {
        self.get(path).await[key].as_array().unwrap().clone()
    }

    /// Waits until no job is open.
    pub async fn settle(&self) {
        let settled = tokio::time::timeout(PATIENCE, async {
            while !self.list("/pumice/v1/jobs?state=open", "jobs").await.is_empty() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        if settled.await.is_err() {
            let open = self.list("/pumice/v1/jobs?state=open", "jobs").await;
            panic!("jobs are still open: {open:#?}\n{}", self.log());
        }
    }
}

/// No test leaves a process behind, also not one that failed.
impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The end of a log.
fn tail(path: &Path) -> String {
    let text = String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}
