//! `make bench`: how fast the service is, each figure beside its limit and beside what it is compared with, measured
//! in the same run. It shows and does not judge: the exit status is 0 also when a limit is missed.
//!
//! The service runs as a process of its own, on a real cluster (`PUMICE_TEST_CEPH_CONF`), in two pools that are
//! made for it and removed afterwards.

// A measurement that cannot go on says where, and that is all there is to do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bytes;
mod client;
mod cluster;
mod conversion;
mod latency;
mod load;
mod many;
mod memory;
mod numbers;
mod overload;
mod queue;
mod reads;
mod server;
mod table;

use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;

use cluster::Cluster;
use table::Table;

/// What is measured, in this order.
const GROUPS: [&str; 8] = ["memory", "bytes", "conversion", "latency", "many", "queue", "reads", "overload"];

#[derive(Debug, Parser)]
#[command(name = "make bench", about = "The figures, each beside its limit")]
struct Arguments {
    /// Only these groups: memory, bytes, conversion, latency, many, queue, reads, overload
    groups: Vec<String>,
    /// Put the table into docs/benchmarks.md
    #[arg(long)]
    write: bool,
    /// Keep the rows in PostgreSQL (PUMICE_TEST_POSTGRES) instead of SQLite
    #[arg(long)]
    postgres: bool,
    /// How often bytes are sent and fetched; the median counts
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How often each request is made whose latency is measured
    #[arg(long, default_value_t = 60)]
    samples: usize,
    /// Where the files lie that are sent and fetched: room for 3 GiB [default: memory, if there is room]
    #[arg(long)]
    scratch: Option<PathBuf>,
    /// Configuration of the service, as `images.writes_in_flight=8`; may be repeated
    #[arg(long = "set", value_name = "SECTION.OPTION=VALUE")]
    settings: Vec<String>,
    /// Another build of the service, to compare with
    #[arg(long, default_value = env!("CARGO_BIN_EXE_pumice"))]
    binary: PathBuf,
    /// What `cargo bench` says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

/// What every group works with.
struct Bench {
    cluster: Cluster,
    /// Files to be sent and fetched.
    scratch: tempfile::TempDir,
    /// The services' own: on a real disk, for a commit has to reach it.
    data: tempfile::TempDir,
    postgres: Option<String>,
    settings: Vec<String>,
    binary: PathBuf,
    rounds: usize,
    samples: usize,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    for group in &arguments.groups {
        anyhow::ensure!(GROUPS.contains(&group.as_str()), "{group}: there are {}", GROUPS.join(", "));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(arguments))
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let conf = std::env::var_os("PUMICE_TEST_CEPH_CONF")
        .context("PUMICE_TEST_CEPH_CONF names no cluster: scripts/with-services makes one")?;
    let postgres = match arguments.postgres {
        true => Some(std::env::var("PUMICE_TEST_POSTGRES").context("PUMICE_TEST_POSTGRES is not set")?),
        false => None,
    };
    let bench = Bench {
        cluster: Cluster::prepare(conf.into())?,
        scratch: scratch(arguments.scratch)?,
        data: tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?,
        postgres,
        settings: arguments.settings,
        binary: arguments.binary,
        rounds: arguments.rounds.max(1),
        samples: arguments.samples.max(1),
    };
    let mut table = Table::default();
    for group in GROUPS {
        if !arguments.groups.is_empty() && !arguments.groups.iter().any(|wanted| wanted == group) {
            continue;
        }
        eprintln!("measuring: {group}");
        let measured = match group {
            "memory" => memory::measure(&bench, &mut table).await,
            "bytes" => bytes::measure(&bench, &mut table).await,
            "conversion" => conversion::measure(&bench, &mut table).await,
            "latency" => latency::measure(&bench, &mut table).await,
            "many" => many::measure(&bench, &mut table).await,
            "queue" => queue::measure(&bench, &mut table).await,
            "reads" => reads::measure(&bench, &mut table).await,
            _ => overload::measure(&bench, &mut table).await,
        };
        // The other figures are worth seeing all the same.
        if let Err(error) = measured {
            eprintln!("{group}: {error:#}");
            table.broken(group, &format!("{error:#}"));
        }
        bench.cluster.empty_pools()?;
    }
    let machine = table::Machine::look(bench.postgres.is_some())?;
    print!("{}", table.to_text(&machine));
    if arguments.write {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/benchmarks.md");
        table::write(path, &table, &machine)?;
        println!("written to docs/benchmarks.md");
    }
    bench.cluster.remove_pools()
}

/// Memory, so that the disk under these files takes no part; another folder where there is too little of it.
fn scratch(wanted: Option<PathBuf>) -> anyhow::Result<tempfile::TempDir> {
    const NEEDED: u64 = 3 << 30;
    if let Some(folder) = wanted {
        return Ok(tempfile::tempdir_in(folder)?);
    }
    let memory = PathBuf::from("/dev/shm");
    let room = nix::sys::statvfs::statvfs(&memory).map(|s| s.blocks_available() * s.fragment_size());
    Ok(if room.is_ok_and(|room| room > NEEDED) {
        tempfile::tempdir_in(memory)?
    } else {
        tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?
    })
}
