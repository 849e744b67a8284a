//! What goes wrong, and when: chosen by a seed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use tokio::time::{Instant, sleep};

use super::proxy::{Proxy, Weather};
use crate::process::pools;
use crate::process::{Place, Server};

/// See [`SHORT_LEASE`](crate::process::SHORT_LEASE).
const BEYOND_THE_LEASE: Duration = Duration::from_secs(6);

/// What a job does next comes within that, or later.
const PATIENCE_WITH_JOBS: Duration = Duration::from_secs(6);

#[derive(Clone, Copy, Debug)]
enum Fault {
    Kill,
    Step,
    Stop,
    Pause,
    Database(Weather),
    Full,
    Revoke,
    Osd,
    Monitor,
}

/// Where the replicas can be reached that are there.
#[derive(Clone, Default)]
pub struct Addresses(Arc<RwLock<Vec<Option<String>>>>);

impl Addresses {
    fn set(&self, number: usize, address: Option<String>) {
        let mut all = self.0.write().unwrap();
        if all.len() <= number {
            all.resize(number + 1, None);
        }
        all[number] = address;
    }

    pub fn choose(&self, random: &mut StdRng) -> Option<String> {
        let all: Vec<String> = self.0.read().unwrap().iter().flatten().cloned().collect();
        all.choose(random).cloned()
    }
}

pub struct Chaos<'a> {
    pub place: &'a Place,
    pub proxy: &'a Proxy,
    /// The folder of a cluster whose daemons may be killed.
    pub cluster: Option<PathBuf>,
    pub addresses: Addresses,
    servers: Vec<Option<Server>>,
    deaths: Deaths,
    pub counts: BTreeMap<String, u32>,
    random: StdRng,
}

impl<'a> Chaos<'a> {
    pub fn new(place: &'a Place, proxy: &'a Proxy, cluster: Option<PathBuf>, seed: u64) -> Self {
        let mut chaos = Self {
            place,
            proxy,
            cluster,
            addresses: Addresses::default(),
            servers: Vec::new(),
            deaths: Deaths::new(&deaths_of(place)),
            counts: BTreeMap::new(),
            random: StdRng::seed_from_u64(seed),
        };
        for number in 0..3 {
            chaos.servers.push(None);
            chaos.start(number);
        }
        chaos
    }

    fn start(&mut self, number: usize) {
        if self.servers[number].is_none() {
            let server = tokio::task::block_in_place(|| self.place.start());
            self.addresses.set(number, Some(server.url.clone()));
            self.servers[number] = Some(server);
        }
    }

    fn take(&mut self, number: usize) -> Option<Server> {
        self.addresses.set(number, None);
        self.servers[number].take()
    }

    /// Who died by itself is started again.
    fn revive(&mut self) {
        for number in 0..self.servers.len() {
            if self.servers[number].as_mut().is_some_and(Server::is_gone) {
                self.take(number);
                self.start(number);
            }
        }
    }

    /// One fault after the other, with some quiet in between.
    pub async fn reign(&mut self, until: Instant) {
        while Instant::now() < until {
            sleep(Duration::from_millis(self.random.random_range(300..3_000))).await;
            let fault = self.choose();
            println!("fault: {fault:?}");
            *self.counts.entry(name(fault)).or_default() += 1;
            self.strike(fault).await;
        }
    }

    fn choose(&mut self) -> Fault {
        let slow = Duration::from_millis(self.random.random_range(20..400));
        let faults = if self.cluster.is_some() { 21 } else { 12 };
        match self.random.random_range(0..faults) {
            0..=2 => Fault::Kill,
            3 => Fault::Stop,
            4 | 5 => Fault::Pause,
            6 => Fault::Database(Weather::Slow(slow)),
            7 => Fault::Database(Weather::Silent),
            8 => Fault::Database(Weather::HalfClosed),
            9 => Fault::Database(Weather::Cut),
            10 => Fault::Full,
            // Only where nobody else is: docs/faults.md has what was seen of it and is not understood.
            11 if self.cluster.is_none() => Fault::Kill,
            11 => Fault::Revoke,
            12 => Fault::Osd,
            13 => Fault::Monitor,
            _ => Fault::Step,
        }
    }

    async fn strike(&mut self, fault: Fault) {
        self.revive();
        let number = self.random.random_range(0..self.servers.len());
        let while_it_lasts = Duration::from_millis(self.random.random_range(500..7_000));
        let pools = &self.place.pools;
        let pool = [&pools.images, &pools.volumes].choose(&mut self.random).copied().unwrap();
        match fault {
            Fault::Kill => {
                if let Some(server) = self.take(number) {
                    server.kill();
                }
                sleep(while_it_lasts / 4).await;
                self.start(number);
            }
            Fault::Step => {
                self.deaths.arm();
                let until = Instant::now() + PATIENCE_WITH_JOBS;
                while Instant::now() < until && !self.servers.iter_mut().flatten().any(Server::is_gone) {
                    sleep(Duration::from_millis(10)).await;
                }
                self.deaths.disarm();
                self.revive();
            }
            Fault::Stop => {
                if let Some(server) = self.take(number) {
                    tokio::task::block_in_place(|| server.stop());
                }
                self.start(number);
            }
            Fault::Pause => {
                if let Some(server) = &self.servers[number] {
                    server.pause();
                    sleep(BEYOND_THE_LEASE).await;
                    server.resume();
                }
            }
            Fault::Database(weather) => {
                self.proxy.set(weather);
                sleep(while_it_lasts).await;
                self.proxy.set(Weather::Fair);
            }
            Fault::Full => {
                pools::limit(pool, 1 << 20);
                sleep(while_it_lasts).await;
                pools::limit(pool, 0);
            }
            Fault::Revoke => {
                let users = self.place.users();
                let keys = users.revoke();
                // Who is connected stays so for a while: one that connects anew finds out.
                if let Some(server) = self.take(number) {
                    server.kill();
                }
                self.start(number);
                sleep(while_it_lasts).await;
                users.restore(&keys);
            }
            Fault::Osd => self.restart_daemon("osd.0", while_it_lasts).await,
            Fault::Monitor => self.restart_daemon("mon.a", while_it_lasts).await,
        }
    }

    async fn restart_daemon(&self, daemon: &str, away: Duration) {
        let Some(folder) = &self.cluster else { return };
        let pid = std::fs::read_to_string(folder.join(format!("run/{daemon}.pid"))).unwrap();
        assert!(Command::new("kill").args(["-KILL", pid.trim()]).status().unwrap().success());
        sleep(away).await;
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/ceph-dev");
        let up = tokio::process::Command::new(script).arg("up").arg(folder).output().await.unwrap();
        assert!(up.status.success(), "{}", String::from_utf8_lossy(&up.stderr));
    }

    /// One that runs.
    pub fn any(&self) -> &Server {
        self.servers.iter().flatten().next().unwrap()
    }

    /// All is well again. Answers one of those that run, after the others have stopped.
    pub fn end(mut self) -> (Server, BTreeMap<String, u32>) {
        self.proxy.set(Weather::Fair);
        self.revive();
        for number in 0..self.servers.len() {
            self.start(number);
        }
        self.deaths.report();
        let first = self.servers[0].take().unwrap();
        self.servers.into_iter().flatten().for_each(Server::stop);
        (first, self.counts)
    }
}

/// Where it is said at which moment of a job the process that does it dies, and where it died: see `jobs::faults`.
struct Deaths {
    passed: PathBuf,
    armed: PathBuf,
    unarmed: PathBuf,
}

pub fn deaths_of(place: &Place) -> PathBuf {
    place.folder.path().join("deaths")
}

impl Deaths {
    fn new(folder: &Path) -> Self {
        let [passed, armed, unarmed] = ["passed", "armed", "unarmed"].map(|name| folder.join(name));
        fs::create_dir_all(&passed).unwrap();
        fs::create_dir_all(&unarmed).unwrap();
        Self { passed, armed, unarmed }
    }

    fn arm(&self) {
        fs::rename(&self.unarmed, &self.armed).unwrap();
    }

    fn disarm(&self) {
        fs::rename(&self.armed, &self.unarmed).unwrap();
    }

    fn report(&self) {
        let names = |folder| -> BTreeSet<String> {
            fs::read_dir(folder)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect()
        };
        let (passed, died) = (names(&self.passed), names(&self.unarmed));
        let spared: Vec<_> = passed.difference(&died).collect();
        println!("replicas died at {} of {} moments of jobs, not at {spared:?}", died.len(), passed.len());
    }
}

fn name(fault: Fault) -> String {
    match fault {
        Fault::Database(Weather::Slow(_)) => "Database(Slow)".to_owned(),
        other => format!("{other:?}"),
    }
}
