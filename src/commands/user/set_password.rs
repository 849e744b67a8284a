use clap::Args;

use super::password;
use crate::commands::directory::Directory;
use crate::identity::standalone::accounts::set_password;
use crate::identity::standalone::hash;

/// Give a user a new password, and make the user's tokens bad; a random one is printed, unless one is given
#[derive(Debug, Args)]
pub struct Arguments {
    /// Name or id
    user: String,

    /// Take the password from standard input
    #[arg(long)]
    password_stdin: bool,
}

pub(super) async fn run(arguments: Arguments, directory: &Directory) -> anyhow::Result<()> {
    // Before anything is held that others wait for: a terminal may take its time.
    let password = password(arguments.password_stdin, &directory.world)?;
    let hash = hash(&directory.world, &password)?;
    directory.change(&arguments.user, |user| set_password(&directory.world, user, hash)).await
}
