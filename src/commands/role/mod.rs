//! `pumice role`: who may do what, with `identity.mode = "standalone"`.

mod add;
mod list;
mod remove;

use std::path::Path;

use anyhow::Context;
use clap::{Args, Subcommand};

use super::directory::{Directory, with_directory};
use crate::db::Repository;
use crate::model::{RoleId, Scope, UserId};

/// Manage the roles of standalone identity
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(list::Arguments),
    Add(Assignment),
    Remove(Unassignment),
}

/// Give a user a role
#[derive(Debug, Args)]
struct Assignment {
    #[command(flatten)]
    grant: Grant,
}

/// Take a role from a user, with the application credentials that the user has on the project
#[derive(Debug, Args)]
struct Unassignment {
    #[command(flatten)]
    grant: Grant,
}

#[derive(Debug, Args)]
struct Grant {
    /// Name of the role, for instance member
    role: String,

    /// Name or id of the user
    #[arg(long)]
    user: String,

    /// Name or id of the project
    #[arg(long, required_unless_present = "system")]
    project: Option<String>,

    /// On the whole system instead of a project
    #[arg(long, conflicts_with = "project")]
    system: bool,
}

pub fn run(arguments: Arguments, file: Option<&Path>) -> anyhow::Result<()> {
    with_directory(file, async |directory| match arguments.command {
        Command::List(_) => list::run(directory).await,
        Command::Add(Assignment { grant }) => add::run(grant, directory).await,
        Command::Remove(Unassignment { grant }) => remove::run(grant, directory).await,
    })
}

impl Grant {
    async fn find(
        &self,
        repository: &mut Repository,
        directory: &Directory,
    ) -> anyhow::Result<(UserId, Scope, RoleId)> {
        let user = directory.user(repository, &self.user).await?;
        let scope = match &self.project {
            Some(project) => Scope::Project(directory.project(repository, project).await?.id),
            None => Scope::System,
        };
        let role = repository.roles().await?.into_iter().find(|role| role.name == self.role);
        let role = role.with_context(|| format!("there is no role {}", self.role))?;
        Ok((user.id, scope, role.id))
    }
}
