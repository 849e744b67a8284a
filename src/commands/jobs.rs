//! `pumice jobs`: what a running service works on, from its `/pumice/v1/jobs`.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::Path;

use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand};
use futures::StreamExt;
use reqwest::header::{HeaderMap, HeaderValue};
use serde::Deserialize;
use uuid::Uuid;

use super::directory::token;
use crate::config::Config;
use crate::service::{address, client};

/// Lines that a stream of events may hold back until one ends.
const LONGEST_EVENT: usize = 1 << 20;
/// Cells of a progress bar.
const BAR: usize = 30;

/// List the jobs of the service on this machine. The token is that of OS_TOKEN, or, with standalone identity, made
/// from the database.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,

    /// Stay, and draw their progress
    #[arg(long)]
    watch: bool,

    /// Of all, not only of those that are not over
    #[arg(long, conflicts_with = "watch")]
    all: bool,

    /// Where the service is, for instance http://127.0.0.1:8080; the configuration says it otherwise
    #[arg(long, global = true)]
    url: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Stop a job: what it did is undone
    Cancel {
        /// As the list shows it
        id: Uuid,
    },
}

#[derive(Clone, Debug, Deserialize)]
struct Job {
    id: String,
    kind: String,
    resource: Resource,
    state: String,
    step: Option<String>,
    percent: Option<f64>,
    bytes_done: i64,
    rate: Option<f64>,
    seconds_left: Option<f64>,
    error: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Resource {
    id: String,
}

#[derive(Deserialize)]
struct Jobs {
    jobs: Vec<Job>,
    /// The path of the next page.
    next: Option<String>,
}

#[derive(Deserialize)]
struct Refusal {
    error: Reason,
}

#[derive(Deserialize)]
struct Reason {
    message: String,
}

pub fn run(arguments: Arguments, file: Option<&Path>) -> anyhow::Result<()> {
    let config = Config::load(file)?;
    // Only our own machine is believed whatever host its certificate names.
    let (base, client) = match arguments.url {
        Some(url) => (url.trim_end_matches('/').to_owned(), reqwest::Client::builder().no_proxy()),
        None => (address(&config), client(&config)?),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = client.default_headers(headers(&config).await?).build()?;
        match arguments.command {
            Some(Command::Cancel { id }) => cancel(&client, &base, id).await,
            None if arguments.watch => watch(&client, &base).await,
            None => list(&client, &base, arguments.all).await,
        }
    })
}

/// With a token, where the service wants one.
async fn headers(config: &Config) -> anyhow::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    if let Some(token) = token(config).await? {
        let mut token = HeaderValue::from_str(&token).context("OS_TOKEN is no token")?;
        token.set_sensitive(true);
        headers.insert("x-auth-token", token);
    }
    Ok(headers)
}

async fn list(client: &reqwest::Client, base: &str, all: bool) -> anyhow::Result<()> {
    let first = format!("/pumice/v1/jobs?limit=1000{}", if all { "" } else { "&state=open" });
    let mut page = Some(first);
    while let Some(path) = page {
        let url = format!("{base}{path}");
        let answer = client.get(&url).send().await.with_context(|| format!("no answer from {base}"))?;
        ensure!(answer.status().is_success(), "{url} answers {}", answer.status());
        let Jobs { jobs, next } = answer.json().await?;
        for job in jobs {
            println!("{}", line(&job));
        }
        page = next;
    }
    Ok(())
}

async fn cancel(client: &reqwest::Client, base: &str, id: Uuid) -> anyhow::Result<()> {
    let url = format!("{base}/pumice/v1/jobs/{id}");
    let answer = client.delete(&url).send().await.with_context(|| format!("no answer from {base}"))?;
    let status = answer.status();
    if !status.is_success() {
        let refusal = answer.json::<Refusal>().await.map(|refusal| refusal.error.message);
        bail!("{}", refusal.unwrap_or_else(|_| format!("{url} answers {status}")));
    }
    println!("the job is told to stop");
    Ok(())
}

/// Follows the events until the service ends the stream or the user has seen enough.
async fn watch(client: &reqwest::Client, base: &str) -> anyhow::Result<()> {
    let url = format!("{base}/pumice/v1/jobs/events");
    let answer = client.get(&url).send().await.with_context(|| format!("no answer from {base}"))?;
    ensure!(answer.status().is_success(), "{url} answers {}", answer.status());
    let mut body = answer.bytes_stream();
    let mut pending = Vec::new();
    let mut screen = Screen::default();
    while let Some(bytes) = body.next().await {
        pending.extend_from_slice(&bytes?);
        ensure!(pending.len() <= LONGEST_EVENT, "an event of {url} has no end");
        while let Some(end) = pending.iter().position(|&byte| byte == b'\n') {
            let text: Vec<u8> = pending.drain(..=end).collect();
            if let Some(data) = text.strip_prefix(b"data: ") {
                screen.show(serde_json::from_slice(data).context("an event is not a job")?)?;
            }
        }
    }
    Ok(())
}

/// One line a job that is not over, drawn again at each change; jobs that are over scroll away above.
#[derive(Default)]
struct Screen {
    open: BTreeMap<String, Job>,
    drawn: usize,
}

impl Screen {
    fn show(&mut self, job: Job) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        let is_over = !matches!(job.state.as_str(), "queued" | "running");
        if !out.is_terminal() {
            return writeln!(out, "{}", line(&job));
        }
        if self.drawn > 0 {
            // Up to the first line of the last drawing, and clear from there.
            write!(out, "\x1b[{}A\x1b[J", self.drawn)?;
        }
        if is_over {
            self.open.remove(&job.id);
            writeln!(out, "{}", line(&job))?;
        } else {
            self.open.insert(job.id.clone(), job);
        }
        for job in self.open.values() {
            writeln!(out, "{}", line(job))?;
        }
        self.drawn = self.open.len();
        out.flush()
    }
}

fn line(job: &Job) -> String {
    let percent = job.percent.unwrap_or(0.0).clamp(0.0, 100.0);
    let full = (percent / 100.0 * BAR as f64) as usize;
    let bar = format!("{}{}", "#".repeat(full), ".".repeat(BAR - full));
    let mut text = format!("{} {:<16} {} {:<9} [{bar}]", job.id, job.kind, job.resource.id, job.state);
    match job.percent {
        Some(percent) => text.push_str(&format!(" {percent:5.1} %")),
        None if job.bytes_done > 0 => text.push_str(&format!(" {} MiB", job.bytes_done >> 20)),
        None => {}
    }
    if let Some(rate) = job.rate {
        text.push_str(&format!(" {:.0} MiB/s", rate / f64::from(1 << 20)));
    }
    if let Some(seconds) = job.seconds_left {
        text.push_str(&format!(" {seconds:.0} s left"));
    }
    if let Some(step) = job.step.as_deref().filter(|_| job.state == "running") {
        text.push_str(&format!(" {step}"));
    }
    if let Some(error) = &job.error {
        text.push_str(&format!(" {error}"));
    }
    text
}
