use clap::Args;

use crate::commands::directory::Directory;
use crate::db::UserFilter;

/// List users: id, name, domain, whether enabled
#[derive(Debug, Args)]
pub struct Arguments {}

pub(super) async fn run(directory: &Directory) -> anyhow::Result<()> {
    for user in directory.database.read().await?.users(&UserFilter::default()).await? {
        let enabled = if user.enabled { "enabled" } else { "disabled" };
        println!("{}  {}  {}  {enabled}", user.id, user.name, user.domain_id);
    }
    Ok(())
}
