use clap::Args;

use crate::commands::directory::Directory;

/// Remove a project, with the roles on it; its images and volumes stay
#[derive(Debug, Args)]
pub struct Arguments {
    /// Name or id
    project: String,
}

pub(super) async fn run(arguments: Arguments, directory: &Directory) -> anyhow::Result<()> {
    let mut repository = directory.database.begin().await?;
    let project = directory.project(&mut repository, &arguments.project).await?;
    repository.remove_project(&project.id).await?;
    repository.commit().await?;
    Ok(())
}
