//! What the binary can be asked to do: one file a subcommand, one line here.

mod audit;
mod config;
mod directory;
mod health;
mod jobs;
mod migrate;
pub mod openapi;
mod project;
mod role;
mod serve;
mod user;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// OpenStack's Image API v2 and Block Storage API v3 for a Ceph cluster, in one binary.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub struct CommandLine {
    /// The TOML file to read options from. Without it the variable PUMICE_CONFIG names one, or there is none.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Arguments),
    Migrate(migrate::Arguments),
    Jobs(jobs::Arguments),
    Audit(audit::Arguments),
    User(user::Arguments),
    Project(project::Arguments),
    Role(role::Arguments),
    Config(config::Arguments),
    Openapi(openapi::Arguments),
    Health(health::Arguments),
}

impl CommandLine {
    /// Does what was asked.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        // An empty variable counts as not set, as for every other option.
        let named = || std::env::var_os("PUMICE_CONFIG").filter(|name| !name.is_empty()).map(PathBuf::from);
        let file = self.config.or_else(named);
        match self.command {
            Command::Serve(arguments) => serve::run(arguments, file.as_deref()),
            Command::Migrate(arguments) => migrate::run(arguments, file.as_deref()),
            Command::Audit(arguments) => return Ok(audit::run(arguments, file.as_deref())),
            Command::Jobs(arguments) => jobs::run(arguments, file.as_deref()),
            Command::User(arguments) => user::run(arguments, file.as_deref()),
            Command::Project(arguments) => project::run(arguments, file.as_deref()),
            Command::Role(arguments) => role::run(arguments, file.as_deref()),
            Command::Openapi(arguments) => openapi::run(arguments),
            Command::Config(arguments) => config::run(arguments, file.as_deref()),
            Command::Health(arguments) => health::run(arguments, file.as_deref()),
        }
        .map(|()| ExitCode::SUCCESS)
    }
}
