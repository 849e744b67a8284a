//! The service under measurement, as a process of its own.

use std::fmt::Write as _;
use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::Context;
use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgConnection};

use crate::Bench;
use crate::client::Client;
use crate::cluster::{IMAGES, VOLUMES};

pub struct Server {
    process: Child,
    pub address: SocketAddr,
    pub database: String,
    log: PathBuf,
}

impl Server {
    /// Starts it with an empty database and waits until it is ready. `settings` as `section.option=value` (TOML).
    pub async fn start(bench: &Bench, name: &str, settings: &[&str]) -> anyhow::Result<Self> {
        let folder = bench.data.path();
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let database = database(bench, name).await?;
        let conf = bench.cluster.conf.display();
        let mut options = vec![
            format!("api.listen={address:?}").replace('=', "=\"") + "\"",
            format!("database.url={database:?}"),
            "identity.mode=\"none\"".to_owned(),
            "images.store=\"rbd\"".to_owned(),
            format!("images.rbd_store_pool={IMAGES:?}"),
            format!("images.rbd_store_ceph_conf=\"{conf}\""),
            "volumes.store=\"rbd\"".to_owned(),
            format!("volumes.rbd_pool={VOLUMES:?}"),
            format!("volumes.rbd_ceph_conf=\"{conf}\""),
            // Counted as ever, but never reached.
            "quotas.quota_volumes=1000000".to_owned(),
            "quotas.quota_snapshots=1000000".to_owned(),
            "quotas.quota_gigabytes=1000000000".to_owned(),
            // What a service in production would say.
            "log.filter=\"info\"".to_owned(),
        ];
        options.extend(settings.iter().map(|&setting| setting.to_owned()));
        options.extend(bench.settings.iter().cloned());
        let file = folder.join(format!("{name}.toml"));
        std::fs::write(&file, to_toml(&options)?)?;
        let log = folder.join(format!("{name}.log"));
        let process = Command::new(&bench.binary)
            .arg("--config")
            .arg(&file)
            .arg("serve")
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()?;
        let mut server = Self { process, address, database, log };
        server.wait_until_ready().await?;
        Ok(server)
    }

    async fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let client = self.client();
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            if client.is_ready().await {
                return Ok(());
            }
            let ended = self.process.try_wait()?;
            if ended.is_some() || Instant::now() > end {
                let log = std::fs::read_to_string(&self.log).unwrap_or_default();
                anyhow::bail!("the service does not become ready; it said:\n{log}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// Resident memory in bytes: now, and the most there ever was.
    pub fn memory(&self) -> anyhow::Result<(u64, u64)> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = |name: &str| -> anyhow::Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).context("no such line")?;
            Ok(line.trim().trim_end_matches(" kB").trim().parse::<u64>()? << 10)
        };
        Ok((line("VmRSS:")?, line("VmHWM:")?))
    }

    /// Bytes it had to write to a disk of this machine so far.
    pub fn written_to_disk(&self) -> anyhow::Result<u64> {
        let io = std::fs::read_to_string(format!("/proc/{}/io", self.process.id()))?;
        let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: ")).context("no such line")?;
        Ok(line.parse()?)
    }

    pub fn threads(&self) -> anyhow::Result<usize> {
        Ok(std::fs::read_dir(format!("/proc/{}/task", self.process.id()))?.count())
    }

    /// Processor time it used so far.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        let (_, fields) = stat.rsplit_once(')').context("an unknown form of stat")?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let ticks = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
        // A hundredth of a second on every Linux there is.
        Ok(Duration::from_millis(ticks * 10))
    }

    pub async fn stop(mut self) -> anyhow::Result<()> {
        let _ = Command::new("kill").arg(self.process.id().to_string()).status()?;
        let end = Instant::now() + Duration::from_secs(20);
        while self.process.try_wait()?.is_none() {
            anyhow::ensure!(Instant::now() < end, "the service does not end");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The settings as a configuration file, each section once.
fn to_toml(settings: &[String]) -> anyhow::Result<String> {
    let mut sections = std::collections::BTreeMap::<&str, std::collections::BTreeMap<&str, &str>>::new();
    for setting in settings {
        let (key, value) = setting.split_once('=').with_context(|| format!("{setting}: no ="))?;
        let (section, option) = key.split_once('.').with_context(|| format!("{setting}: no section"))?;
        sections.entry(section).or_default().insert(option, value);
    }
    let mut text = String::new();
    for (section, options) in sections {
        let _ = writeln!(text, "[{section}]");
        for (option, value) in options {
            let _ = writeln!(text, "{option} = {value}");
        }
    }
    Ok(text)
}

/// Where an empty database is.
pub async fn database(bench: &Bench, name: &str) -> anyhow::Result<String> {
    match &bench.postgres {
        Some(url) => new_database(url, name).await,
        None => Ok(format!("sqlite:{}", bench.data.path().join(format!("{name}.db")).display())),
    }
}

async fn new_database(url: &str, name: &str) -> anyhow::Result<String> {
    let name = format!("bench_{name}");
    let mut connection = PgConnection::connect_with(&PgConnectOptions::from_str(url)?).await?;
    for statement in [format!("DROP DATABASE IF EXISTS {name}"), format!("CREATE DATABASE {name}")] {
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await?;
    }
    connection.close().await?;
    let (server, _) = url.rsplit_once('/').context("the URL names no database")?;
    Ok(format!("{server}/{name}"))
}
