//! Several replicas under a mixed load, while everything that can break does, chosen by a seed. Afterwards all must be
//! true, usable, and gone when it is deleted.
//!
//! `make test` runs a short round, by itself; `make faults FOR=600 SEED=1` runs a long one, on a cluster whose daemons it may
//! kill. The same seed chooses the same acts and faults; what meets what is up to the machine.

mod chaos;
mod load;
mod model;
mod nova;
pub mod proxy;
mod verdict;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use pumice::block::rbd::{self, RbdOptions};
use pumice::block::{BlockStore, BlockingPool, Stores};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::house::store::ceph_conf;
use crate::house::{DatabaseKind, StoreKind};
use crate::process::pools::{self, Pools};
use crate::process::{Place, SHORT_LEASE};
use chaos::{Chaos, Reign};
use load::{Client, Ground, OTHER_TYPE, STORES};
use model::Patterns;
use nova::Nova;
use proxy::Proxy;
use verdict::Verdict;

const CLIENTS: usize = 6;

/// Of a cluster that hangs: shorter than by default, so that a round sees calls end.
const PATIENCE_WITH_CEPH: &str = "8";

/// Of all images: more than any round makes, and so that it is counted.
const STORAGE_QUOTA: u64 = 1 << 50;

struct Round {
    seed: u64,
    length: Duration,
    /// The folder of a cluster that is ours alone.
    cluster: Option<PathBuf>,
    /// Nothing is done to the cluster, and so nothing that was accepted may fail.
    is_gentle: bool,
}

impl Round {
    async fn run(self) {
        println!("seed {}, for {:?}", self.seed, self.length);
        let store = if self.seed.is_multiple_of(2) { StoreKind::RbdV1 } else { StoreKind::RbdV2 };
        let mut place = Place::new(store, DatabaseKind::Postgres).await;
        let other = Pools::make(store);
        let nova = Nova::play().await;
        let proxy = self.prepare(&mut place, &other, &nova).await;
        let stores = stores(&place, &other);
        let mut chaos = Chaos::new(&place, &proxy, self.cluster.clone(), self.is_gentle, self.seed);
        nova.knows(chaos.addresses.clone(), stores.clone());
        let ground = self.ground(&chaos, &stores).await;
        let until = Instant::now() + self.length;
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| tokio::spawn(Client::new(number, self.seed, &ground).work(until)))
            .collect();
        chaos.reign(until).await;
        let mut clients: Vec<Client> =
            futures::future::join_all(clients).await.into_iter().map(Result::unwrap).collect();
        let Reign { server, counts, mut findings } = chaos.end();
        report(&clients, &counts);
        let mut things: Vec<_> =
            clients.iter_mut().flat_map(|client| std::mem::take(&mut client.things)).collect();
        things.sort_by(|one, other| one.id.cmp(&other.id));
        let cancelled: Vec<_> = clients.iter().flat_map(|client| client.cancelled.clone()).collect();
        findings.extend(clients.iter_mut().flat_map(|client| std::mem::take(&mut client.findings)));
        for pool in [&place.pools.images, &place.pools.volumes, &other.images, &other.volumes] {
            pools::repeer(pool);
        }
        let patterns = &ground.patterns;
        let mut verdict = Verdict::new(&place, &server, &stores, patterns, findings);
        verdict.over(&things, &cancelled, self.is_gentle).await;
        verdict.delete_everything().await;
        verdict.nobody_panicked();
        let findings = verdict.findings;
        // Until all is well; the folder goes in any case.
        let kept = std::env::temp_dir().join(format!("pumice-faults-{}.log", std::process::id()));
        std::fs::copy(place.folder.path().join("log"), &kept).unwrap();
        if !findings.is_empty() {
            panic!(
                "seed {}, {} findings, log {}:\n{}",
                self.seed,
                findings.len(),
                kept.display(),
                findings.join("\n")
            );
        }
        drop((stores, ground));
        // See docs/faults.md: nothing fences a call to the cluster that was under way.
        for pool in [&place.pools.images, &place.pools.volumes, &other.images, &other.volumes] {
            let nameless = pools::take_away_nameless(pool);
            if !nameless.is_empty() {
                println!("images without a name in pool {pool}: {nameless:?}");
            }
        }
        pools::trim_without_rests();
        place.assert_empty_but_for(server, is_never_trimmed).await;
        for pool in [&other.images, &other.volumes] {
            let mut left = pools::left_of_images(pool);
            left.retain(|object| !is_never_trimmed(object));
            assert_eq!(left, Vec::<String>::new(), "in pool {pool}");
        }
        println!("nothing is left");
        std::fs::remove_file(&kept).unwrap();
    }

    async fn prepare(&self, place: &mut Place, other: &Pools, nova: &Nova) -> Proxy {
        let (proxy, url) = Proxy::before(place.database_url()).await;
        let deaths = chaos::deaths_of(place);
        let clone_format = if place.store == StoreKind::RbdV1 { "1" } else { "2" };
        let mut set = |name, value: &str| place.options.push((name, value.to_owned()));
        set("PUMICE_DATABASE__URL", &url);
        set("PUMICE_TEST_DEATHS", deaths.to_str().unwrap());
        for (name, value) in SHORT_LEASE {
            set(name, value);
        }
        set("PUMICE_DATABASE__BUSY_TIMEOUT", "5");
        set("PUMICE_API__SHUTDOWN_TIMEOUT", "3");
        if self.is_gentle {
            // Replicas die more often than jobs are tried.
            set("PUMICE_JOBS__MAX_ATTEMPTS", "100");
        }
        set("PUMICE_IMPORT_FILTERING_OPTS__ALLOWED_HOSTS", r#"["127.0.0.1"]"#);
        set("PUMICE_IMPORT_FILTERING_OPTS__ALLOWED_PORTS", "[]");
        set("PUMICE_IMAGES__USER_STORAGE_QUOTA", &STORAGE_QUOTA.to_string());
        let conf = ceph_conf().display().to_string();
        set("PUMICE_IMAGES__DEFAULT_BACKEND", STORES[0]);
        set("PUMICE_IMAGES__OPERATION_TIMEOUT", PATIENCE_WITH_CEPH);
        set("PUMICE_IMAGE_STORES__SECOND__STORE", "rbd");
        set("PUMICE_IMAGE_STORES__SECOND__RBD_STORE_POOL", &other.images);
        set("PUMICE_IMAGE_STORES__SECOND__RBD_STORE_USER", "admin");
        set("PUMICE_IMAGE_STORES__SECOND__RBD_STORE_CEPH_CONF", &conf);
        set("PUMICE_IMAGE_STORES__SECOND__OPERATION_TIMEOUT", PATIENCE_WITH_CEPH);
        set("PUMICE_IMAGE_STORES__WEB__STORE", "http");
        set("PUMICE_VOLUMES__OPERATION_TIMEOUT", PATIENCE_WITH_CEPH);
        set("PUMICE_BACKENDS__OTHER__STORE", "rbd");
        set("PUMICE_BACKENDS__OTHER__RBD_POOL", &other.volumes);
        set("PUMICE_BACKENDS__OTHER__RBD_DEFAULT_CLONE_FORMAT", clone_format);
        set("PUMICE_BACKENDS__OTHER__RBD_USER", "admin");
        set("PUMICE_BACKENDS__OTHER__RBD_CEPH_CONF", &conf);
        set("PUMICE_BACKENDS__OTHER__OPERATION_TIMEOUT", PATIENCE_WITH_CEPH);
        set("PUMICE_NOVA__AUTH_URL", &nova.auth_url());
        set("PUMICE_NOVA__PASSWORD", "secret");
        set("PUMICE_NOVA__TIMEOUT", "5");
        set("PUMICE_NOVA__MIGRATION_TIMEOUT", "60");
        proxy
    }

    async fn ground(&self, chaos: &Chaos<'_>, stores: &Stores) -> Ground {
        let server = chaos.any();
        let kind =
            json!({"volume_type": {"name": OTHER_TYPE, "extra_specs": {"volume_backend_name": "other"}}});
        let (status, body) = server.send(Method::POST, "/volume/v3/types", Some(kind)).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        let patterns = Patterns::new();
        let image = json!({"disk_format": "raw", "container_format": "bare"});
        let (_, image) = server.send(Method::POST, "/image/v2/images", Some(image)).await;
        let base = image["id"].as_str().unwrap().to_owned();
        let bytes = patterns.get(0).bytes.clone();
        assert_eq!(server.try_upload(&base, bytes).await.unwrap(), StatusCode::NO_CONTENT);
        server.settle().await;
        let pools = server.list("/volume/v3/scheduler-stats/get_pools", "pools").await;
        let hosts: Vec<String> = pools.iter().map(|pool| pool["name"].as_str().unwrap().to_owned()).collect();
        assert_eq!(hosts.len(), 2, "{hosts:?}");
        let web = serve(patterns.clone()).await;
        Ground { addresses: chaos.addresses.clone(), stores: stores.clone(), patterns, base, web, hosts }
    }
}

/// A web server that has the patterns, by their numbers.
async fn serve(patterns: Patterns) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let answer = async move |Path(number): Path<u8>| patterns.get(number).bytes.clone();
    let routes = Router::new().route("/{number}", get(answer));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    address
}

/// Past the service, by the administrator.
fn stores(place: &Place, other: &Pools) -> Stores {
    let open = |pool: &str| -> Arc<dyn BlockStore> {
        let options = RbdOptions { conf: Some(ceph_conf()), ..RbdOptions::new(pool) };
        Arc::new(rbd::open(options, BlockingPool::default()).unwrap())
    };
    let stores = place.stores();
    Stores {
        volumes: stores.volumes.and("other", open(&other.volumes)),
        more_images: BTreeMap::from([(STORES[1].to_owned(), open(&other.images))]),
        ..stores
    }
}

/// Where a volume lies.
fn store_of(stores: &Stores, volume: &Value) -> Arc<dyn BlockStore> {
    let host = volume["os-vol-host-attr:host"].as_str().unwrap_or_default();
    let backend = stores.volumes.of(Some(host)).unwrap_or_else(|| panic!("{volume:#}"));
    backend.store.clone()
}

fn report(clients: &[Client], faults: &BTreeMap<String, u32>) {
    let mut all: BTreeMap<_, u32> = BTreeMap::new();
    for (what, count) in clients.iter().flat_map(|client| &client.counts) {
        *all.entry(what).or_default() += count;
    }
    println!("{} operations of {CLIENTS} clients:", all.values().sum::<u32>());
    for ((what, said), count) in all {
        println!("  {what}: {said}: {count}");
    }
    println!("{} faults: {faults:?}", faults.values().sum::<u32>());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "scripts/test runs it by itself, before the others: what it asks for must come in a bounded time"]
async fn a_short_round() {
    // Each kind of fault once, and a few more.
    Round { seed: 1, length: Duration::from_secs(90), cluster: cluster(), is_gentle: false }.run().await;
}

/// Whose daemons may be killed.
fn cluster() -> Option<PathBuf> {
    std::env::var_os("PUMICE_FAULTS_CLUSTER").map(PathBuf::from)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it runs as long as it is told: make faults FOR=600 SEED=1"]
async fn a_long_round() {
    let number = |name, otherwise| std::env::var(name).map_or(otherwise, |text| text.parse().unwrap());
    let length = Duration::from_secs(number("PUMICE_FAULTS_FOR", 600));
    let is_gentle = number("PUMICE_FAULTS_GENTLE", 0) > 0;
    Round { seed: number("PUMICE_FAULTS_SEED", 1), length, cluster: cluster(), is_gentle }.run().await;
}

/// See docs/faults.md: the removal of a snapshot had broken off, and somebody wrote to the image.
fn is_never_trimmed(object: &str) -> bool {
    let is_so = pools::is_for_snapshots_alone(object);
    if is_so {
        println!("RADOS keeps for a snapshot that is gone: {object}");
    }
    is_so
}
