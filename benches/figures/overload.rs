//! Four times as many clients as there is room for, for a minute, each making and deleting volumes: what is too much is
//! refused at once, reads do not get slower from one half minute to the next, memory stays, and what is accepted is done.

use std::time::{Duration, Instant};

use anyhow::Context;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::Bench;
use crate::client::Client;
use crate::numbers::{Times, mib, ms_pair};
use crate::server::Server;
use crate::table::{Row, Table};

/// Requests that the service answers at once.
const ROOM: usize = 16;
const TIMES: usize = 4;
const READERS: usize = 2;
const HALF: Duration = Duration::from_secs(30);
/// Until a client that was refused comes again; it was told a second.
const PAUSE: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(120);
const SLOWER: f64 = 1.5;
const MORE: u64 = 16 << 20;

pub async fn measure(bench: &Bench, table: &mut Table) -> anyhow::Result<()> {
    let room = format!("api.max_requests={ROOM}");
    let server = Server::start(bench, "overload", &[&room, "jobs.max_open=128"]).await?;
    let alone = reads(&server, Duration::from_secs(5)).await?.answered;

    let end = Instant::now() + 2 * HALF;
    let mut clients = JoinSet::new();
    for _ in 0..TIMES * ROOM {
        clients.spawn(Asker::new(server.client()).make_and_delete(end));
    }
    let first = reads(&server, HALF).await?;
    let (before, _) = server.memory()?;
    let second = reads(&server, HALF).await?;
    let (after, _) = server.memory()?;
    let mut all = Asked::default();
    let mut made = 0;
    for outcome in clients.join_all().await {
        let (asked, volumes) = outcome?;
        all.add(asked);
        made += volumes;
    }
    nothing_is_left(&server).await?;

    let what = format!("volume list, {TIMES} times as many clients as there is room for");
    let (first, second) = (Times::new(first.answered), Times::new(second.answered));
    let slower = second.p99().as_secs_f64() / first.p99().as_secs_f64();
    table.add(
        Row::shown(what, ms_pair(&second))
            .beside(format!("half a minute before {}", ms_pair(&first)), slower)
            .limit(format!("p99 < {SLOWER} times"), slower < SLOWER),
    );
    let grown = after.saturating_sub(before);
    table.add(
        Row::shown("resident memory, half a minute later", mib(after))
            .beside(mib(before), after as f64 / before as f64)
            .limit(format!("< {} more", mib(MORE)), grown < MORE),
    );
    table.note(format!(
        "Of {} requests beside these reads {} were refused (503), in {}; {made} volumes were accepted, made and deleted. \
         The same reads without that load: {}.",
        all.answered.len() + all.refused.len(),
        all.refused.len(),
        all.refused.first().map_or("no time".to_owned(), |_| ms_pair(&Times::new(all.refused.clone()))),
        ms_pair(&Times::new(alone)),
    ));
    server.stop().await
}

/// How long each answer took.
#[derive(Default)]
struct Asked {
    answered: Vec<Duration>,
    refused: Vec<Duration>,
}

impl Asked {
    fn add(&mut self, other: Self) {
        self.answered.extend(other.answered);
        self.refused.extend(other.refused);
    }
}

struct Asker {
    client: Client,
    asked: Asked,
}

impl Asker {
    fn new(client: Client) -> Self {
        Self { client, asked: Asked::default() }
    }

    /// Asks until it is not refused.
    async fn ask(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<(StatusCode, Value)> {
        let end = Instant::now() + PATIENCE;
        loop {
            let started = Instant::now();
            let (status, answer) = self.client.send(method.clone(), path, body).await?;
            if status != StatusCode::SERVICE_UNAVAILABLE {
                self.asked.answered.push(started.elapsed());
                return Ok((status, answer));
            }
            self.asked.refused.push(started.elapsed());
            anyhow::ensure!(Instant::now() < end, "{method} {path} is refused for ever");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Answers how many volumes there were.
    async fn make_and_delete(mut self, end: Instant) -> anyhow::Result<(Asked, usize)> {
        let mut made = 0;
        while Instant::now() < end {
            let body = json!({ "volume": { "size": 1 } });
            let (status, answer) = self.ask(Method::POST, "/volume/v3/volumes", Some(&body)).await?;
            let id = answer["volume"]["id"].as_str();
            let path = format!("/volume/v3/volumes/{}", id.with_context(|| format!("{status}: {answer}"))?);
            loop {
                let (_, answer) = self.ask(Method::GET, &path, None).await?;
                match answer["volume"]["status"].as_str() {
                    Some("available") => break,
                    Some("creating") => tokio::time::sleep(PAUSE).await,
                    _ => anyhow::bail!("GET {path}: {answer}"),
                }
            }
            let (status, answer) = self.ask(Method::DELETE, &path, None).await?;
            anyhow::ensure!(status == StatusCode::ACCEPTED, "DELETE {path}: {status}: {answer}");
            made += 1;
        }
        Ok((self.asked, made))
    }
}

async fn reads(server: &Server, time: Duration) -> anyhow::Result<Asked> {
    let end = Instant::now() + time;
    let mut readers = JoinSet::new();
    for _ in 0..READERS {
        let mut asker = Asker::new(server.client());
        readers.spawn(async move {
            while Instant::now() < end {
                let (status, answer) = asker.ask(Method::GET, "/volume/v3/volumes?limit=20", None).await?;
                anyhow::ensure!(status == StatusCode::OK, "{status}: {answer}");
            }
            Ok(asker.asked)
        });
    }
    let mut all = Asked::default();
    for outcome in readers.join_all().await {
        all.add(outcome?);
    }
    Ok(all)
}

/// Waits until every volume is gone, and sees that no job failed.
async fn nothing_is_left(server: &Server) -> anyhow::Result<()> {
    let mut asker = Asker::new(server.client());
    let end = Instant::now() + PATIENCE;
    loop {
        let (_, answer) = asker.ask(Method::GET, "/volume/v3/volumes", None).await?;
        let volumes = answer["volumes"].as_array().context("no list of volumes")?;
        if volumes.is_empty() {
            break;
        }
        anyhow::ensure!(Instant::now() < end, "volumes stay: {volumes:?}");
        tokio::time::sleep(PAUSE).await;
    }
    let (_, answer) = asker.ask(Method::GET, "/pumice/v1/jobs?state=failed", None).await?;
    anyhow::ensure!(answer["jobs"] == json!([]), "jobs failed: {answer}");
    Ok(())
}
