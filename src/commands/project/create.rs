use anyhow::Context;
use clap::Args;

use crate::commands::directory::Directory;
use crate::identity::standalone::accounts::new_project;

/// Make a project
#[derive(Debug, Args)]
pub struct Arguments {
    name: String,

    #[arg(long, default_value = "")]
    description: String,
}

pub(super) async fn run(arguments: Arguments, directory: &Directory) -> anyhow::Result<()> {
    let Directory { database, world, domain } = directory;
    let project = new_project(world, domain.clone(), &arguments.name, &arguments.description);
    let mut repository = database.begin().await?;
    repository.add_project(&project).await.with_context(|| format!("{} cannot be made", arguments.name))?;
    repository.commit().await?;
    println!("{}", project.id);
    Ok(())
}
