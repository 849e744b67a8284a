use anyhow::Context;
use clap::Args;

use super::Password;
use crate::commands::directory::Directory;
use crate::identity::standalone::accounts::new_user;
use crate::identity::standalone::hash;

/// Make a user; a random password is printed, unless one is given
#[derive(Debug, Args)]
pub struct Arguments {
    name: String,

    /// Take the password from standard input
    #[arg(long)]
    password_stdin: bool,
}

pub(super) async fn run(arguments: Arguments, directory: &Directory) -> anyhow::Result<()> {
    let Directory { database, world, domain } = directory;
    let password = Password::given(arguments.password_stdin, world)?;
    let hash = hash(world, &password.text)?;
    let user = new_user(world, domain.clone(), &arguments.name, Some(hash));
    let mut repository = database.begin().await?;
    repository.add_user(&user).await.with_context(|| format!("{} cannot be made", arguments.name))?;
    repository.commit().await?;
    password.show();
    Ok(())
}
