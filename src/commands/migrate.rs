//! `pumice migrate`: brings the database to this version, as `serve` does at its start.

use std::path::Path;

use clap::Args;

use crate::config::Config;
use crate::service::open_database;

/// Bring the database's schema to this version; a newer one is refused
#[derive(Debug, Args)]
pub struct Arguments {}

pub fn run(_: Arguments, file: Option<&Path>) -> anyhow::Result<()> {
    let config = Config::load(file)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let database = open_database(&config).await?;
        database.migrate().await?;
        database.close().await;
        println!("{} is up to date.", config.database.url);
        Ok(())
    })
}
