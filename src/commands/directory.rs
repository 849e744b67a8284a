//! What the commands that manage users, projects and roles work on: the database itself, so that they work while the
//! service runs (it notices within seconds) and while it does not.

use std::path::Path;

use anyhow::{Context, bail, ensure};

use crate::config::{Config, IdentityMode};
use crate::db::{Database, Project, Repository, RoleAssignmentFilter, User};
use crate::identity::standalone::Standalone;
use crate::identity::standalone::accounts::DEFAULT_DOMAIN;
use crate::model::{DomainId, ProjectId, Scope, UserId, World};
use crate::service::open_database;

pub(super) struct Directory {
    pub(super) database: Database,
    pub(super) world: World,
    /// The commands know no other.
    pub(super) domain: DomainId,
}

/// Does something with it, from a thread that does nothing else.
pub(super) fn with_directory(
    file: Option<&Path>,
    act: impl AsyncFnOnce(&Directory) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let config = Config::load(file)?;
    ensure!(
        config.identity.mode == IdentityMode::Standalone,
        "users, projects and roles are managed here only with identity.mode = \"standalone\""
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let directory = Directory::open(&config).await?;
        let done = act(&directory).await;
        directory.database.close().await;
        done
    })
}

impl Directory {
    async fn open(config: &Config) -> anyhow::Result<Self> {
        let database = open_database(config).await?;
        let domain = DomainId(DEFAULT_DOMAIN.to_owned());
        let found = database.read().await?.domain(&domain).await;
        if found.context("has the service been started once?")?.is_none() {
            bail!("there is nobody yet: the first start of the service makes the administrator");
        }
        Ok(Self { database, world: World::real(), domain })
    }

    pub(super) async fn user(&self, repository: &mut Repository, name_or_id: &str) -> anyhow::Result<User> {
        let found = match repository.user_named(&self.domain, name_or_id).await? {
            Some(user) => Some(user),
            None => repository.user(&UserId(name_or_id.to_owned())).await?,
        };
        found.with_context(|| format!("there is no user {name_or_id}"))
    }

    /// Nobody else changes it before the end of the transaction.
    pub(super) async fn user_to_change(
        &self,
        repository: &mut Repository,
        name_or_id: &str,
    ) -> anyhow::Result<User> {
        let found = self.user(repository, name_or_id).await?;
        let user = repository.user_to_change(&found.id).await?;
        user.with_context(|| format!("there is no user {name_or_id}"))
    }

    pub(super) async fn project(
        &self,
        repository: &mut Repository,
        name_or_id: &str,
    ) -> anyhow::Result<Project> {
        let found = match repository.project_named(&self.domain, name_or_id).await? {
            Some(project) => Some(project),
            None => repository.project(&ProjectId(name_or_id.to_owned())).await?,
        };
        found.with_context(|| format!("there is no project {name_or_id}"))
    }
}

/// A token for commands that ask the service: `OS_TOKEN`, or, since whoever has the database has the key, one of an
/// administrator. `None`: the service wants none.
pub(super) async fn token(config: &Config) -> anyhow::Result<Option<String>> {
    if let Ok(token) = std::env::var("OS_TOKEN") {
        return Ok(Some(token));
    }
    match config.identity.mode {
        IdentityMode::None => Ok(None),
        IdentityMode::Keystone => {
            bail!("OS_TOKEN is not set: `openstack token issue -f value -c id` gives one")
        }
        IdentityMode::Standalone => {
            let directory = Directory::open(config).await?;
            let token = token_of_an_administrator(config, &directory).await;
            directory.database.close().await;
            token.map(Some)
        }
    }
}

async fn token_of_an_administrator(config: &Config, directory: &Directory) -> anyhow::Result<String> {
    let Directory { database, world, .. } = directory;
    let standalone = Standalone::open(database.clone(), world.clone(), config).await?;
    let mut repository = database.read().await?;
    let admin = repository.roles().await?.into_iter().find(|role| role.name == "admin");
    let filter = RoleAssignmentFilter {
        role_id: admin.map(|role| role.id.0),
        scope: Some("project".to_owned()),
        ..RoleAssignmentFilter::default()
    };
    for held in repository.role_assignments(&filter).await? {
        let Some(user) = repository.user(&held.user_id).await? else { continue };
        let token = standalone.vouch(&user, Scope::Project(ProjectId(held.scope_id)))?;
        // The user or the project may be disabled.
        if standalone.session(&token).await.is_ok() {
            return Ok(token);
        }
    }
    bail!("there is no administrator; set OS_TOKEN")
}
