use clap::Args;

use crate::commands::directory::Directory;
use crate::db::ProjectFilter;

/// List projects: id, name, domain, whether enabled
#[derive(Debug, Args)]
pub struct Arguments {}

pub(super) async fn run(directory: &Directory) -> anyhow::Result<()> {
    for project in directory.database.read().await?.projects(&ProjectFilter::default()).await? {
        let enabled = if project.enabled { "enabled" } else { "disabled" };
        println!("{}  {}  {}  {enabled}", project.id, project.name, project.domain_id);
    }
    Ok(())
}
