//! `pumice project`: what images and volumes belong to, with `identity.mode = "standalone"`.

mod create;
mod delete;
mod list;

use std::path::Path;

use clap::{Args, Subcommand};

use super::directory::with_directory;

/// Manage the projects of standalone identity
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(list::Arguments),
    Create(create::Arguments),
    Delete(delete::Arguments),
}

pub fn run(arguments: Arguments, file: Option<&Path>) -> anyhow::Result<()> {
    with_directory(file, async |directory| match arguments.command {
        Command::List(_) => list::run(directory).await,
        Command::Create(arguments) => create::run(arguments, directory).await,
        Command::Delete(arguments) => delete::run(arguments, directory).await,
    })
}
