//! `pumice user`: who may log in, with `identity.mode = "standalone"`.

mod create;
mod delete;
mod enable;
mod list;
mod set_password;

use std::io::Read;
use std::path::Path;

use anyhow::{Context, ensure};
use clap::{Args, Subcommand};

use super::directory::with_directory;
use crate::identity::standalone::accounts::random_password;
use crate::model::World;

/// Manage the users of standalone identity
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
    SetPassword(set_password::Arguments),
    Enable(enable::Arguments),
}

pub fn run(arguments: Arguments, file: Option<&Path>) -> anyhow::Result<()> {
    with_directory(file, async |directory| match arguments.command {
        Command::List(_) => list::run(directory).await,
        Command::Create(arguments) => create::run(arguments, directory).await,
        Command::Delete(arguments) => delete::run(arguments, directory).await,
        Command::SetPassword(arguments) => set_password::run(arguments, directory).await,
        Command::Enable(arguments) => enable::run(arguments, directory).await,
    })
}

struct Password {
    text: String,
    is_random: bool,
}

impl Password {
    /// From standard input (never from the command line, which others can see), or a random one.
    fn given(from_stdin: bool, world: &World) -> anyhow::Result<Self> {
        if !from_stdin {
            return Ok(Self { text: random_password(world), is_random: true });
        }
        let mut text = String::new();
        std::io::stdin().take(4097).read_to_string(&mut text).context("no password on standard input")?;
        let text = text.trim_end_matches(['\r', '\n']);
        ensure!(!text.is_empty() && text.len() <= 4096, "a password has 1 to 4096 bytes");
        ensure!(!text.contains('\0'), "a password has no NUL in it");
        Ok(Self { text: text.to_owned(), is_random: false })
    }

    /// Once it is good: nobody else knows a random one.
    fn show(&self) {
        if self.is_random {
            println!("{}", self.text);
        }
    }
}
