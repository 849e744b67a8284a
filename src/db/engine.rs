//! The two engines, their pools and transactions.
//!
//! SQLite: write-ahead log, one writing connection whose transactions begin `IMMEDIATE` (an upgraded deferred one
//! fails at once instead of waiting), and a pool of readers that never wait for it. A commit that was answered
//! survives a power cut: [`super::durable`] sees to it, for many commits at once.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::migrate::MigrateError;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{
    Connection as _, PgConnection, PgPool, Postgres, Sqlite, SqliteConnection, SqlitePool, Transaction,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::durable::Durable;
use super::error::{DbError, Result};

/// What processes on one PostgreSQL tell each other on: there is work, or a job is asked to stop.
const BELL: &str = "pumice_jobs";

/// Likewise: what each of them is to know, in words of whoever says it.
const NEWS: &str = "pumice_news";

/// How long PostgreSQL may take for one statement. A network that swallows packets must not hold who waits for ever.
const STATEMENT: Duration = Duration::from_secs(20);

/// How long a listener that lost its connection waits before it tries again; the queue is polled meanwhile.
const LISTENER_PAUSE: Duration = Duration::from_secs(2);

/// How long nothing is heard before a listener asks whether it is still connected.
const SILENCE: Duration = Duration::from_secs(30);

/// How often a migration asks for the tables, for three seconds each time: whoever wants one of them meanwhile waits
/// behind it, and a dump holds them for hours.
const TURNS: u32 = 100;
const BETWEEN_TURNS: Duration = Duration::from_secs(3);
const TAKE_TURNS: &str = "SET lock_timeout = '3s'";

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!();

#[derive(Clone)]
pub struct Options {
    /// `sqlite:<path>` or `postgres://...`
    pub url: String,
    /// Connections for reading (SQLite) or in all (PostgreSQL).
    pub max_connections: u32,
    /// How long a connection, or SQLite's one writer, is waited for.
    pub timeout: Duration,
}

#[derive(Clone)]
enum Pools {
    Sqlite { file: PathBuf, writer: SqlitePool, readers: SqlitePool, durable: Durable },
    Postgres(PgPool),
}

/// How many jobs may be open at once; more or less, for those who enqueue at the same time do not see each other.
#[derive(Clone, Copy, Debug)]
pub struct QueueBounds {
    pub in_all: i64,
    pub of_project: i64,
}

impl QueueBounds {
    const NONE: Self = Self { in_all: i64::MAX, of_project: i64::MAX };
}

/// The database, shared by all; cheap to clone.
#[derive(Clone)]
pub struct Database {
    pools: Pools,
    bounds: QueueBounds,
    /// Rung when a transaction that put work into the queue, or asked a job to stop, was committed.
    bell: Arc<Notify>,
}

enum Held {
    SqliteReading(PoolConnection<Sqlite>),
    SqliteWriting(Transaction<'static, Sqlite>, Durable),
    PostgresReading(PoolConnection<Postgres>),
    PostgresWriting(Transaction<'static, Postgres>),
}

pub(crate) enum Connection<'a> {
    Sqlite(&'a mut SqliteConnection),
    Postgres(&'a mut PgConnection),
}

/// A host that dies in the middle of a transaction does not keep the rows it holds from others for the two hours that TCP
/// allows.
const LET_GO: &str = "SET idle_in_transaction_session_timeout = '30s'; SET tcp_keepalives_idle = 30; \
    SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3";

/// One unit of work.
pub struct Repository {
    held: Held,
    bell: Arc<Notify>,
    pub(super) bounds: QueueBounds,
    /// Whether the bell is rung at the commit.
    pub(super) rings: bool,
}

impl Database {
    /// Connects. Creates a SQLite file that is not there; does not migrate.
    pub async fn open(options: &Options) -> Result<Self> {
        let pools = if options.url.starts_with("sqlite:") {
            Self::open_sqlite(options).await?
        } else if options.url.starts_with("postgres:") || options.url.starts_with("postgresql:") {
            let address = PgConnectOptions::from_str(&options.url).map_err(unusable)?;
            let pool = PgPoolOptions::new()
                .max_connections(options.max_connections)
                .acquire_timeout(options.timeout)
                .after_connect(|connection, _| {
                    Box::pin(async move { sqlx::raw_sql(LET_GO).execute(connection).await.map(drop) })
                })
                // The pool asks each connection that comes back whether it is alive, and would wait for the answer as
                // long as TCP does.
                .after_release(|connection, _| {
                    Box::pin(async move { bounded(connection.ping()).await.map(|()| true) })
                })
                .connect_with(address)
                .await?;
            Pools::Postgres(pool)
        } else {
            return Err(DbError::Address("it begins with neither sqlite: nor postgres:".to_owned()));
        };
        Ok(Self { pools, bounds: QueueBounds::NONE, bell: Arc::new(Notify::new()) })
    }

    /// Refuses jobs beyond these bounds; without it there are none.
    pub fn bounded(self, bounds: QueueBounds) -> Self {
        Self { bounds, ..self }
    }

    async fn open_sqlite(options: &Options) -> Result<Pools> {
        let file = SqliteConnectOptions::from_str(&options.url)
            .map_err(unusable)?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // What FULL adds is done by `Durable`.
            .synchronous(SqliteSynchronous::Normal)
            .foreign_keys(true)
            .busy_timeout(options.timeout)
            .statement_cache_capacity(256)
            // A whole page, so that a connection's thread need not stop in the middle until its reader has caught up.
            .row_buffer_size(1_024);
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            // A file does not hang up: asking whether it is still there costs a turn of the connection's thread.
            .test_before_acquire(false)
            .acquire_timeout(options.timeout)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(file.clone())
            .await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(options.max_connections)
            .test_before_acquire(false)
            .acquire_timeout(options.timeout)
            .connect_with(file.clone().read_only(true))
            .await?;
        let path = file.get_filename();
        Ok(Pools::Sqlite { file: path.to_owned(), writer, readers, durable: Durable::new(path) })
    }

    /// Brings the schema to this program's version; refuses a newer one.
    pub async fn migrate(&self) -> Result<()> {
        let done = match &self.pools {
            Pools::Sqlite { writer, .. } => MIGRATIONS.run(writer).await,
            Pools::Postgres(pool) => migrate_in_turns(pool).await,
        };
        done.map_err(|error| match error {
            MigrateError::VersionMissing(_) => DbError::Newer,
            other => DbError::Migration(other),
        })
    }

    /// A transaction that may write.
    pub async fn begin(&self) -> Result<Repository> {
        let held = match &self.pools {
            Pools::Sqlite { writer, durable, .. } => {
                durable.check()?;
                Held::SqliteWriting(writer.begin_with("BEGIN IMMEDIATE").await?, durable.clone())
            }
            Pools::Postgres(pool) => Held::PostgresWriting(bounded(pool.begin()).await?),
        };
        Ok(Repository { held, bell: self.bell.clone(), bounds: self.bounds, rings: false })
    }

    /// A connection to read with, each statement for itself. It must not write.
    pub async fn read(&self) -> Result<Repository> {
        let held = match &self.pools {
            Pools::Sqlite { readers, .. } => Held::SqliteReading(readers.acquire().await?),
            Pools::Postgres(pool) => Held::PostgresReading(pool.acquire().await?),
        };
        Ok(Repository { held, bell: self.bell.clone(), bounds: self.bounds, rings: false })
    }

    /// Tells all processes on this database something. One that does not listen at this moment misses it.
    pub async fn tell_others(&self, news: &str) -> Result<()> {
        // A file has no others.
        let Pools::Postgres(pool) = &self.pools else { return Ok(()) };
        let telling = sqlx::query("SELECT pg_notify($1, $2)").bind(NEWS).bind(news);
        bounded(telling.execute(pool)).await?;
        Ok(())
    }

    /// Rings the bell when other processes commit work, and hands on what they tell, until `stop`. Rings that are lost with
    /// a connection are made up for by whoever polls.
    pub async fn hear_others(&self, told: impl Fn(&str), stop: CancellationToken) {
        let Pools::Postgres(pool) = &self.pools else { return };
        let address = pool.connect_options();
        while !stop.is_cancelled() {
            // A connection of its own each time: one that is lost is only let go of when TCP gives up, too.
            let own = PgPoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None);
            let own = own.connect_lazy_with((*address).clone());
            tokio::select! {
                heard = self.hear(&own, &told) => if let Err(error) = heard {
                    tracing::warn!(%error, "other processes are not heard, the queue is polled");
                },
                () = stop.cancelled() => return,
            }
            tokio::select! {
                () = tokio::time::sleep(LISTENER_PAUSE) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    async fn hear(&self, pool: &PgPool, told: &impl Fn(&str)) -> Result<(), sqlx::Error> {
        let mut listener = PgListener::connect_with(pool).await?;
        // What is said meanwhile would be missed, and the bell not rung.
        listener.eager_reconnect(false);
        listener.listen_all([BELL, NEWS]).await?;
        // What was said before.
        self.bell.notify_one();
        loop {
            match tokio::time::timeout(SILENCE, listener.try_recv()).await {
                Ok(heard) => match heard? {
                    Some(heard) if heard.channel() == NEWS => told(heard.payload()),
                    Some(_) => self.bell.notify_one(),
                    None => return Ok(()),
                },
                // A connection that nothing comes from may be one that nothing comes through.
                Err(_) => bounded(sqlx::query("SELECT 1").execute(&mut listener)).await.map(drop)?,
            }
        }
    }

    /// Waits for the bell. A ring while nobody waits is kept for the next who does.
    pub async fn work_committed(&self) {
        self.bell.notified().await;
    }

    /// One process alone uses it (SQLite): what it finds running at its start was left behind.
    pub fn is_exclusive(&self) -> bool {
        matches!(self.pools, Pools::Sqlite { .. })
    }

    /// The file it is (SQLite).
    pub fn file(&self) -> Option<&Path> {
        match &self.pools {
            Pools::Sqlite { file, .. } => Some(file),
            Pools::Postgres(_) => None,
        }
    }

    /// Whether it answers, and an SQLite file can be written to.
    pub async fn check(&self) -> Result<()> {
        if let Pools::Sqlite { durable, .. } = &self.pools {
            durable.check()?;
        }
        let mut repository = self.read().await?;
        on!(repository, c => sqlx::query("SELECT 1").execute(c).await.map(drop))?;
        Ok(())
    }

    pub async fn close(&self) {
        match &self.pools {
            Pools::Sqlite { writer, readers, .. } => {
                readers.close().await;
                writer.close().await;
            }
            Pools::Postgres(pool) => pool.close().await,
        }
    }
}

impl Repository {
    pub(crate) fn connection(&mut self) -> Connection<'_> {
        match &mut self.held {
            Held::SqliteReading(c) => Connection::Sqlite(c),
            Held::SqliteWriting(t, _) => Connection::Sqlite(t),
            Held::PostgresReading(c) => Connection::Postgres(c),
            Held::PostgresWriting(t) => Connection::Postgres(t),
        }
    }

    /// The end of a query that locks the rows it finds and passes over those that others hold.
    /// SQLite has one writer and needs none.
    pub(super) fn skip_locked(&self) -> &'static str {
        match self.held {
            Held::PostgresWriting(_) | Held::PostgresReading(_) => " FOR UPDATE SKIP LOCKED",
            _ => "",
        }
    }

    /// The condition that `what` is among the answers to a query, which is asked once for each row of the tables before
    /// it. PostgreSQL would ask an `IN` anew for each row that it tests.
    pub(super) fn is_one_of(&self, what: &str, query: &str) -> String {
        match self.held {
            Held::PostgresWriting(_) | Held::PostgresReading(_) => format!("{what} = ANY (ARRAY ({query}))"),
            _ => format!("{what} IN ({query})"),
        }
    }

    /// The end of a query that keeps the rows it finds as they are until the transaction ends; others may refer to
    /// them meanwhile. SQLite has one writer and needs none.
    pub(super) fn lock(&self) -> &'static str {
        match self.held {
            Held::PostgresWriting(_) | Held::PostgresReading(_) => " FOR NO KEY UPDATE",
            _ => "",
        }
    }

    /// Likewise, but others may not even refer to them meanwhile.
    pub(super) fn lock_out(&self) -> &'static str {
        match self.held {
            Held::PostgresWriting(_) | Held::PostgresReading(_) => " FOR UPDATE",
            _ => "",
        }
    }

    /// Likewise, for what only refers to them: it keeps out [`Repository::lock_out`], and nobody else.
    pub(super) fn lock_to_use(&self) -> &'static str {
        match self.held {
            Held::PostgresWriting(_) | Held::PostgresReading(_) => " FOR KEY SHARE",
            _ => "",
        }
    }

    /// Likewise, for what reads from them: nobody changes them.
    pub(super) fn lock_to_read(&self) -> &'static str {
        match self.held {
            Held::PostgresWriting(_) | Held::PostgresReading(_) => " FOR SHARE",
            _ => "",
        }
    }

    /// Makes it all true at once. Dropped without it, nothing happened.
    pub async fn commit(self) -> Result<()> {
        self.commit_and(true).await
    }

    /// Likewise, of something that would be done again if a power cut took it: whatever was committed earlier is
    /// safe when this answers, this itself soon afterwards.
    pub async fn commit_repeatable(self) -> Result<()> {
        self.commit_and(false).await
    }

    async fn commit_and(self, is_safe: bool) -> Result<()> {
        match self.held {
            Held::SqliteWriting(transaction, durable) if is_safe => {
                let place = durable.enter();
                transaction.commit().await?;
                durable.wait(place).await?;
            }
            Held::SqliteWriting(transaction, durable) => {
                let earlier = durable.earlier();
                transaction.commit().await?;
                durable.wait(earlier).await?;
            }
            Held::PostgresWriting(mut transaction) => {
                if self.rings {
                    let ring = sqlx::query("SELECT pg_notify($1, '')").bind(BELL);
                    bounded(ring.execute(&mut *transaction)).await?;
                }
                bounded(transaction.commit()).await?;
            }
            Held::SqliteReading(_) | Held::PostgresReading(_) => {}
        }
        if self.rings {
            self.bell.notify_one();
        }
        Ok(())
    }
}

use super::on;

/// Gives up waiting for PostgreSQL after a while; the connection is not used again.
pub(super) async fn bounded<T>(work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    match tokio::time::timeout(STATEMENT, work).await {
        Ok(done) => done,
        Err(_) => Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())),
    }
}

async fn migrate_in_turns(pool: &PgPool) -> Result<(), MigrateError> {
    let mut turn = 1;
    loop {
        // A connection of its own, for what was set on it.
        let mut connection = pool.acquire().await?.detach();
        sqlx::raw_sql(TAKE_TURNS).execute(&mut connection).await?;
        let done = MIGRATIONS.run(&mut connection).await;
        // What it came to is known, whatever becomes of the connection.
        let _ = bounded(connection.close()).await;
        match done {
            Err(error) if turn < TURNS && is_out_of_turn(&error) => {
                tracing::warn!(turn, "others hold tables that the migration changes: it tries again");
            }
            done => return done,
        }
        turn += 1;
        tokio::time::sleep(BETWEEN_TURNS).await;
    }
}

/// `lock_not_available`
fn is_out_of_turn(error: &MigrateError) -> bool {
    let (MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) = error else {
        return false;
    };
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "55P03")
}

/// The address may hold a password: only the parser's words, which do not repeat it, are kept.
fn unusable(error: sqlx::Error) -> DbError {
    match error {
        sqlx::Error::Configuration(_) => DbError::Address("it cannot be parsed".to_owned()),
        other => DbError::Engine(other),
    }
}
