//! Puts the rooms together: opens database and stores from the configuration, starts workers, serves.

mod clouds;
mod drain;
mod health;
mod listen;
mod options;
mod pace;
mod places;
mod reachable;
mod routes;
mod stores;
mod tls;

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::audit::{self, Audit};
use crate::block::{BlockStore, Stores};
use crate::config::{Config, IdentityMode};
use crate::db::{self, Database, Json, VolumeType};
use crate::http::{App, Gates, Shared};
use crate::identity::keystone::Keystone;
use crate::identity::policy::Policies;
use crate::identity::standalone::{FirstAdmin, Standalone, first_start};
use crate::identity::{Authority, Caller};
use crate::image_api;
use crate::jobs::{Backlog, Faults, Keeper, Worker};
use crate::model::{ProjectId, UserId, VolumeTypeId, World};
use crate::signature::Certificates;
use crate::telemetry::levels::Levels;
use crate::telemetry::metrics::Metrics;
use crate::web::{Barbican, Filter, Nova, Regions, Web};
use crate::workflows::{self, Reporter, Sweeper};

pub use listen::Listeners;
pub use reachable::{address, client};
pub use tls::Certificate;

/// How often what is kept for clones is looked after.
const SWEEP: Duration = Duration::from_secs(30);

/// How often the process says that it is alive. After a minute without a word it counts as dead.
const REPORT: Duration = Duration::from_secs(10);

/// How long what is neither a request nor a job may take to end, after these.
const REST: Duration = Duration::from_secs(5);

/// Connects to the stores the configuration names, as soon as something is asked of them.
pub async fn open_stores(config: &Config) -> anyhow::Result<Stores> {
    stores::open(config).await
}

/// Another pool of the cluster that `[volumes]` describes.
pub fn open_backups(config: &Config, pool: &str) -> anyhow::Result<Arc<dyn BlockStore>> {
    stores::open_backups(config, pool)
}

/// Everything a process runs, ready to be started.
pub struct Service {
    pub app: App,
    context: workflows::Context,
    worker: Arc<Worker>,
    /// Held as long as it lives.
    _lock: Option<File>,
}

/// Connects to the database the configuration names. One that is embedded is made when it is missing.
pub async fn open_database(config: &Config) -> anyhow::Result<Database> {
    stores::make_database(config)?;
    Database::open(&options::of_database(config))
        .await
        .with_context(|| format!("the database {} cannot be opened", config.database.url))
}

/// Passwords are for somebody who is there, and not for a log.
fn say_administrator(config: &Config, admin: &FirstAdmin) {
    let (name, file) = (&admin.user_name, config.identity.clouds_file.display());
    match io::stderr().is_terminal() {
        true => eprintln!(
            "The administrator is {name}, with the password {} (shown this once; {file} has it too).",
            admin.password
        ),
        false => eprintln!("The administrator is {name}, whose password is in {file}."),
    }
}

impl Service {
    /// Opens and migrates the database, opens the stores; makes the administrator of a first start known.
    pub async fn open(config: Config) -> anyhow::Result<Self> {
        stores::make_folders(&config)?;
        let database = open_database(&config).await?;
        let lock = database.file().map(lock).transpose()?;
        database.migrate().await?;
        let world = World::real();
        if config.identity.mode == IdentityMode::Standalone {
            first_start(&database, &world, |admin| {
                clouds::write(&config, admin)?;
                say_administrator(&config, admin);
                Ok(())
            })
            .await?;
        }
        let stores = stores::open(&config).await?;
        let faults = crate::jobs::faults_of_a_service();
        let assembled = Self::assemble(config, database, stores, world, faults).await?;
        let service = Self { _lock: lock, ..assembled };
        service.prepare().await?;
        Ok(service)
    }

    /// From parts that are there already: tests bring their own. To be prepared before it is started.
    pub async fn assemble(
        config: Config,
        database: Database,
        stores: Stores,
        world: World,
        faults: Arc<dyn Faults>,
    ) -> anyhow::Result<Self> {
        let policies = Arc::new(Policies::load(&config.policy)?);
        let image_schema = Arc::new(image_api::image_schema(&config.images)?);
        let database = database.bounded(options::of_queue(&config));
        let owner = world.ids.random().to_string();
        let (lease, heartbeat) = (config.jobs.lease.into(), config.jobs.heartbeat.into());
        let web = Web::new(Filter::from(&config.import_filtering_opts), options::of_web(&config));
        let regions = Regions::new(&config)?;
        let nova = Nova::new(&config.nova, world.clone())?;
        let barbican = Barbican::new(&config.barbican)?;
        let certificates = Certificates::new(config.images.certificates_directory.clone(), barbican.clone());
        let context = workflows::Context::new(
            stores.clone(),
            options::of_workflows(&config),
            web.clone(),
            regions.clone(),
            nova,
            certificates.clone(),
        );
        let fence = Arc::new(workflows::Fence::new(context.clone(), database.clone(), world.clone()));
        let keeper = Keeper::new(database.clone(), world.clone(), owner, fence, lease, heartbeat);
        let build = context.clone();
        let worker = Worker::new(
            database.clone(),
            world.clone(),
            keeper.clone(),
            options::of_worker(&config),
            move |task| build.build(task),
            faults,
        );
        let authority = authority(&config, &database, &world).await?;
        let places = places::places(&config, &stores.volumes);
        let config = Arc::new(config);
        let gates = Gates::new(&config.api);
        let levels = Levels::new(&config.log.filter);
        let app = App::new(Shared {
            config,
            database,
            world,
            stores,
            places,
            authority,
            policies,
            image_schema,
            web,
            regions,
            certificates,
            barbican,
            nova: context.nova.clone(),
            keeper,
            gates,
            levels,
            stopping: CancellationToken::new(),
        });
        Ok(Self { app, context, worker, _lock: None })
    }

    /// Writes what must be in the database, and takes over what the last process left running.
    pub async fn prepare(&self) -> db::Result<()> {
        let Shared { config, database, world, .. } = &*self.app;
        ensure_default_type(config, database, world).await?;
        if config.replica.role.works() {
            self.worker.take_over().await?;
        }
        Ok(())
    }

    /// All routes, as they are served.
    pub fn routes(&self, metrics: Option<Metrics>) -> Router {
        routes::all(&self.app, metrics)
    }

    pub fn sweeper(&self) -> Sweeper {
        let Shared { config, database, world, .. } = &*self.app;
        let keep = options::of_sweeper(config);
        Sweeper::new(self.context.clone(), database.clone(), world.clone(), keep)
    }

    /// Which has few images open at once and does not walk over all objects, so that nobody waits for it.
    pub fn audit(&self) -> Audit {
        let Shared { stores, database, world, .. } = &*self.app;
        let options = audit::Options { at_once: 2, ..audit::Options::default() };
        Audit::new(stores.clone(), database.clone(), world.clone(), options)
    }

    pub fn reporter(&self) -> Reporter {
        let Shared { stores, places, database, world, .. } = &*self.app;
        Reporter::new(stores.volumes.clone(), places.clone(), database.clone(), world.clone())
    }

    /// Starts what works in the background; it ends some time after `stop`, when `tasks` is empty.
    pub fn start_background(&self, stop: &CancellationToken, tasks: &TaskTracker) {
        let works = self.app.config.replica.role.works();
        // Leases are kept until the jobs are over: only then may the keeper stop.
        let last = CancellationToken::new();
        let (keeper, kept) = (self.app.keeper.clone(), last.clone());
        tasks.spawn(async move { keeper.run(kept).await });
        let (worker, halt, end) = (self.worker.clone(), stop.clone(), self.end_of_jobs());
        tasks.spawn(async move {
            let jobs = TaskTracker::new();
            if works {
                worker.run(halt, jobs.clone()).await;
            } else {
                halt.cancelled().await;
            }
            jobs.close();
            end.come(&jobs).await;
            last.cancel();
        });
        let (app, halt) = (self.app.clone(), stop.clone());
        tasks.spawn(async move { app.database.hear_others(|news| app.levels.hear(news), halt).await });
        if works {
            tasks.spawn(self.sweeper().run(SWEEP, stop.clone()));
            tasks.spawn(self.reporter().run(REPORT, stop.clone()));
            tasks.spawn(Backlog::new(self.app.database.clone()).run(REPORT, stop.clone()));
            let interval = self.app.config.jobs.audit_interval;
            if interval.0 > 0 {
                tasks.spawn(audit::Watch::new(self.audit()).run(interval.into(), stop.clone()));
            }
        }
    }

    fn end_of_jobs(&self) -> drain::End {
        let config = &self.app.config;
        drain::End {
            keeper: self.app.keeper.clone(),
            patience: config.api.shutdown_timeout.into(),
            handover: config.jobs.handover_timeout.into(),
        }
    }

    /// Serves until `stop`, then lets requests and jobs under way end, for a bounded time.
    pub async fn serve(
        self,
        listeners: Listeners,
        metrics: Option<Metrics>,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        let tasks = TaskTracker::new();
        self.start_background(&stop, &tasks);
        let (halt, stopping) = (stop.clone(), self.app.stopping.clone());
        tasks.spawn(async move {
            halt.cancelled().await;
            stopping.cancel();
        });
        let served = listeners.serve(&self.app, metrics, &stop).await;
        // Also when serving itself failed.
        stop.cancel();
        tasks.close();
        let end = self.end_of_jobs();
        // A sweep may be in the middle of a large removal, which goes on at the next start.
        match tokio::time::timeout(end.patience + end.handover + REST, tasks.wait()).await {
            Ok(()) => self.app.database.close().await,
            Err(_) => tracing::warn!("something was still under way when the time to end was over"),
        }
        served
    }
}

/// Whoever starts on a file takes all that runs for left behind: so nobody else may be at it. Commands may.
fn lock(database: &Path) -> anyhow::Result<File> {
    let mut path = database.as_os_str().to_owned();
    path.push(".lock");
    let path = PathBuf::from(path);
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.with_context(|| format!("{} cannot be opened", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => anyhow::bail!(
            "{} is in use by another process: several need PostgreSQL (database.url)",
            database.display()
        ),
        Err(TryLockError::Error(error)) if error.kind() == std::io::ErrorKind::Unsupported => {
            tracing::warn!(path = %path.display(), "the file system has no locks: nothing keeps a second process out");
            Ok(file)
        }
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("{} cannot be locked", path.display()))
        }
    }
}

async fn authority(config: &Config, database: &Database, world: &World) -> anyhow::Result<Authority> {
    let identity = &config.identity;
    Ok(match identity.mode {
        IdentityMode::Standalone => {
            Authority::Standalone(Standalone::open(database.clone(), world.clone(), config).await?)
        }
        IdentityMode::Keystone => {
            Authority::Keystone(Keystone::new(&config.keystone_authtoken, world.clone())?)
        }
        IdentityMode::None => {
            let user = UserId(identity.user_id.clone());
            let project = ProjectId(identity.project_id.clone());
            Authority::Nobody(Arc::new(Caller::everybody(user, project)))
        }
    })
}

async fn ensure_default_type(config: &Config, database: &Database, world: &World) -> db::Result<()> {
    let mut repository = database.begin().await?;
    let default = VolumeType {
        id: VolumeTypeId::from(world.ids.random()),
        name: config.volumes.default_volume_type.clone(),
        description: Some("Default Volume Type".to_owned()),
        is_public: true,
        extra_specs: Json(BTreeMap::new()),
        qos_specs_id: None,
        created_at: world.now(),
        updated_at: None,
    };
    repository.ensure_volume_type(&default).await?;
    repository.commit().await
}
