//! `pumice audit`: what of database and pools does not fit together.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::json;

use crate::audit::{Audit, Finding, Leaks, Options, Outcome, Report};
use crate::config::Config;
use crate::model::{ImageId, World};
use crate::service::{open_backups, open_database, open_stores};
use crate::telemetry::chain;

/// Compare database and pools, and say what only one side has. The exit status is 0 when nothing was found, 1 when
/// something was, and 2 when not everything could be looked at
#[derive(Debug, Args)]
pub struct Arguments {
    /// Mend what is safe: adopt it, or move it to the trash. Nothing is deleted that a row may still want
    #[arg(long)]
    repair: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,

    /// Seconds; younger things may be on their way, and are no findings
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    older_than: u32,

    /// Walk over all objects of the pools as well, for names that lead to no image. It takes minutes where there are millions
    #[arg(long)]
    objects: bool,

    /// Ask no database: say what Glance and Cinder leaked, by what lies on their pools. It mends nothing
    #[arg(long, conflicts_with_all = ["repair", "older_than"])]
    pools_only: bool,

    /// The ids of all images, volumes and snapshots that Glance and Cinder know, one a line: what has another id is an
    /// orphan
    #[arg(long, value_name = "FILE", requires = "pools_only")]
    ids: Option<PathBuf>,

    /// Where Cinder keeps backups, in the cluster of [volumes]: snapshots that backups left on volumes are held against it
    #[arg(long, value_name = "POOL", requires = "pools_only")]
    backup_pool: Option<String>,
}

const FOUND: u8 = 1;
const NOT_SEEN: u8 = 2;

pub fn run(arguments: Arguments, file: Option<&Path>) -> ExitCode {
    audit(arguments, file).unwrap_or_else(|error| {
        eprintln!("pumice: {error:#}");
        ExitCode::from(NOT_SEEN)
    })
}

fn audit(arguments: Arguments, file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let config = Config::load(file)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        if arguments.pools_only {
            return say(&leaks(&arguments, &config).await?, &[], arguments.json);
        }
        let database = open_database(&config).await?;
        let older_than = Duration::from_secs(arguments.older_than.into());
        let options = Options { older_than, at_objects: arguments.objects, ..Options::default() };
        let audit = Audit::new(open_stores(&config).await?, database.clone(), World::real(), options);
        let report = audit.look().await?;
        let mut mended = Vec::new();
        if arguments.repair {
            for finding in report.findings.iter().filter(|finding| finding.repair.is_some()) {
                mended.push((finding, audit.repair(finding).await.map_err(|error| chain(&error))));
            }
        }
        database.close().await;
        say(&report, &mended, arguments.json)
    });
    // A storage call that hangs must not keep the process.
    runtime.shutdown_background();
    outcome
}

async fn leaks(arguments: &Arguments, config: &Config) -> anyhow::Result<Report> {
    let ids = arguments.ids.as_deref().map(read_ids).transpose()?;
    let backups = match &arguments.backup_pool {
        Some(pool) => Some(open_backups(config, pool)?),
        None => None,
    };
    let stores = open_stores(config).await?;
    let Options { at_once, .. } = Options::default();
    Ok(Leaks { stores, backups, ids, at_once, at_objects: arguments.objects }.look().await)
}

/// None at all, or anything that is no id, is a list that came about wrongly: everything would be an orphan.
fn read_ids(file: &Path) -> anyhow::Result<HashSet<String>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let mut ids = HashSet::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let Some(id) = ImageId::parse(line.trim()) else {
            bail!("line {} of {} is no id", number + 1, file.display());
        };
        ids.insert(id.to_string());
    }
    if ids.is_empty() {
        bail!("{} names no id", file.display());
    }
    Ok(ids)
}

type Mended<'a> = [(&'a Finding, Result<Outcome, String>)];

fn say(report: &Report, mended: &Mended<'_>, as_json: bool) -> anyhow::Result<ExitCode> {
    if as_json {
        print_json(report, mended)?
    } else {
        print(report, mended)
    }
    Ok(exit_code(report))
}

fn exit_code(report: &Report) -> ExitCode {
    if !report.unseen.is_empty() {
        ExitCode::from(NOT_SEEN)
    } else if !report.findings.is_empty() {
        ExitCode::from(FOUND)
    } else {
        ExitCode::SUCCESS
    }
}

fn print(report: &Report, mended: &Mended<'_>) {
    let outcomes: HashMap<_, _> = mended.iter().map(|(of, done)| (*of, done)).collect();
    for finding in &report.findings {
        let size = finding.size.map_or(String::new(), |size| format!(" ({size} bytes)"));
        println!("{} {} {}{size}", finding.kind.as_str(), finding.backend, finding.name);
        println!("    {}", finding.explanation);
        match outcomes.get(finding) {
            None => println!("    repair: {}", finding.repair.unwrap_or("nothing; somebody has to decide")),
            Some(done) => println!("    {}", said(finding, done)),
        }
    }
    for why in &report.unseen {
        println!("not looked at: {why}");
    }
    println!("{} found, {} not looked at", report.findings.len(), report.unseen.len());
}

fn said(finding: &Finding, done: &Result<Outcome, String>) -> String {
    match done {
        Ok(Outcome::Mended) => format!("repaired: {}", finding.repair.unwrap_or_default()),
        Ok(Outcome::LeftAlone) => {
            "left alone: it is not as it was any more, or somebody has it open".to_owned()
        }
        Err(error) => format!("not repaired: {error}"),
    }
}

fn print_json(report: &Report, mended: &Mended<'_>) -> anyhow::Result<()> {
    let repairs: Vec<_> = mended
        .iter()
        .map(|(finding, done)| {
            let (outcome, error) = match done {
                Ok(Outcome::Mended) => ("mended", None),
                Ok(Outcome::LeftAlone) => ("left-alone", None),
                Err(error) => ("failed", Some(error)),
            };
            json!({ "backend": finding.backend, "name": finding.name, "outcome": outcome, "error": error })
        })
        .collect();
    let text = json!({ "findings": report.findings, "unseen": report.unseen, "repairs": repairs });
    println!("{}", serde_json::to_string_pretty(&text)?);
    Ok(())
}
