//! What goes wrong, and when: chosen by a seed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
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
    /// Each kind once, before chance decides.
    to_come: Vec<Fault>,
    is_gentle: bool,
    pub counts: BTreeMap<String, u32>,
    /// What no fault excuses.
    findings: Vec<String>,
    random: StdRng,
}

/// What was done in a round.
pub struct Reign {
    /// One of the replicas that run; the others have stopped.
    pub server: Server,
    pub counts: BTreeMap<String, u32>,
    pub findings: Vec<String>,
}

impl<'a> Chaos<'a> {
    /// A gentle one leaves the cluster alone.
    pub fn new(
        place: &'a Place,
        proxy: &'a Proxy,
        cluster: Option<PathBuf>,
        is_gentle: bool,
        seed: u64,
    ) -> Self {
        let mut chaos = Self {
            place,
            proxy,
            cluster,
            addresses: Addresses::default(),
            servers: Vec::new(),
            deaths: Deaths::new(&deaths_of(place)),
            to_come: Vec::new(),
            is_gentle,
            counts: BTreeMap::new(),
            findings: Vec::new(),
            random: StdRng::seed_from_u64(seed),
        };
        for number in 0..3 {
            chaos.servers.push(None);
            chaos.start(number);
        }
        chaos.to_come = chaos.possible().into_iter().map(|(fault, _)| fault).collect();
        chaos.to_come.shuffle(&mut chaos.random);
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

    /// Who died where it was told to is started again, and so is who died by itself, which nobody may.
    fn revive(&mut self) {
        for number in 0..self.servers.len() {
            let Some(server) = &mut self.servers[number] else { continue };
            let Some(end) = server.own_end() else { continue };
            if !(end.signal() == Some(libc::SIGABRT) && self.deaths.has_one_more()) {
                self.findings.push(format!("a replica ended by itself, {end}:\n{}", server.log()));
            }
            self.take(number);
            self.start(number);
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
        if let Some(fault) = self.to_come.pop() {
            return fault;
        }
        let possible = self.possible();
        possible.choose_weighted(&mut self.random, |(_, weight)| *weight).unwrap().0
    }

    /// And how often each is chosen, compared with the others.
    fn possible(&mut self) -> Vec<(Fault, u32)> {
        let slow = Duration::from_millis(self.random.random_range(20..400));
        let mut faults = vec![
            (Fault::Kill, 3),
            (Fault::Step, 7),
            (Fault::Stop, 1),
            (Fault::Pause, 2),
            (Fault::Database(Weather::Slow(slow)), 1),
            (Fault::Database(Weather::Silent), 1),
            (Fault::Database(Weather::HalfClosed), 1),
            (Fault::Database(Weather::Cut), 1),
        ];
        if !self.is_gentle {
            faults.push((Fault::Full, 1));
        }
        if !self.is_gentle && self.cluster.is_some() {
            faults.extend([(Fault::Revoke, 1), (Fault::Osd, 1), (Fault::Monitor, 1)]);
        }
        faults
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
                tokio::task::block_in_place(|| pools::fill(pool, 1 << 20));
                sleep(while_it_lasts).await;
                tokio::task::block_in_place(|| pools::drain(pool));
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

    /// All is well again.
    pub fn end(mut self) -> Reign {
        self.proxy.set(Weather::Fair);
        self.revive();
        for number in 0..self.servers.len() {
            self.start(number);
        }
        let died = self.deaths.report();
        // Perhaps no job came while one replica was to die.
        if died == 0 && self.counts.get("Step").is_some_and(|count| *count > 2) {
            self.findings.push("no replica died at a moment of a job".to_owned());
        }
        let server = self.servers[0].take().unwrap();
        self.servers.into_iter().flatten().for_each(Server::stop);
        Reign { server, counts: self.counts, findings: self.findings }
    }
}

/// Where it is said at which moment of a job the process that does it dies, and where it died: see `jobs::faults`.
struct Deaths {
    passed: PathBuf,
    armed: PathBuf,
    unarmed: PathBuf,
    /// How many were told of already.
    told: usize,
}

pub fn deaths_of(place: &Place) -> PathBuf {
    place.folder.path().join("deaths")
}

impl Deaths {
    fn new(folder: &Path) -> Self {
        let [passed, armed, unarmed] = ["passed", "armed", "unarmed"].map(|name| folder.join(name));
        fs::create_dir_all(&passed).unwrap();
        fs::create_dir_all(&unarmed).unwrap();
        Self { passed, armed, unarmed, told: 0 }
    }

    fn arm(&self) {
        fs::rename(&self.unarmed, &self.armed).unwrap();
    }

    fn disarm(&self) {
        fs::rename(&self.armed, &self.unarmed).unwrap();
    }

    /// Whether one more replica died where it was told to, since this was asked last.
    fn has_one_more(&mut self) -> bool {
        let is_so = names(&self.unarmed).len() > self.told;
        self.told += usize::from(is_so);
        is_so
    }

    /// Answers how many there were.
    fn report(&self) -> usize {
        let (passed, died) = (names(&self.passed), names(&self.unarmed));
        let spared: Vec<_> = passed.difference(&died).collect();
        println!("replicas died at {} of {} moments of jobs, not at {spared:?}", died.len(), passed.len());
        died.len()
    }
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn name(fault: Fault) -> String {
    match fault {
        Fault::Database(Weather::Slow(_)) => "Database(Slow)".to_owned(),
        other => format!("{other:?}"),
    }
}
