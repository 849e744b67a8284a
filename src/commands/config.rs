//! `pumice config`: what can be set, and what is.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use crate::config::{Config, reference};
use crate::identity::policy::{Api, Policies};
use crate::image_api::image_schema;

/// Print the options in force, without passwords; or all there are; or all rules; or check a file
#[derive(Debug, Args)]
pub struct Arguments {
    /// Print every option with default, unit and meaning, as Markdown
    #[arg(long, conflicts_with = "check")]
    reference: bool,

    /// Print a policy file for each API: every rule with its default, commented out
    #[arg(long, conflicts_with_all = ["check", "reference"])]
    policies: bool,

    /// Say what is wrong with a file (and the environment, and the files that it names), and fail if anything is
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,
}

pub fn run(arguments: Arguments, file: Option<&Path>) -> anyhow::Result<()> {
    let text = if arguments.reference {
        reference()
    } else if arguments.policies {
        Api::ALL.map(Api::sample).join("\n")
    } else if let Some(file) = arguments.check {
        let config = Config::load(Some(&file))?;
        Policies::load(&config.policy)?;
        image_schema(&config.images)?;
        format!("{}: no fault found\n", file.display())
    } else {
        toml::to_string(&Config::load(file)?)?
    };
    Ok(io::stdout().write_all(text.as_bytes())?)
}
