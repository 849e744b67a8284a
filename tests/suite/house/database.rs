//! Databases of a test's own.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use pumice::db::{Database, Options};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tempfile::TempDir;
use tokio::sync::OnceCell;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseKind {
    Sqlite,
    Postgres,
}

/// Lives as long as the database is used.
pub enum Keep {
    Folder(#[expect(dead_code, reason = "removed when dropped")] TempDir),
    /// The server is thrown away with all that is in it.
    Server,
}

impl DatabaseKind {
    /// A new, migrated database.
    pub async fn make(self) -> (Database, Keep) {
        let (url, keep) = match self {
            DatabaseKind::Sqlite => self.url().await,
            DatabaseKind::Postgres => (new_postgres(Some(template().await)).await, Keep::Server),
        };
        let database = open(url).await;
        database.migrate().await.unwrap();
        (database, keep)
    }

    /// The address of a new, empty database.
    pub async fn url(self) -> (String, Keep) {
        match self {
            DatabaseKind::Sqlite => {
                let folder = tempfile::tempdir().unwrap();
                (format!("sqlite:{}/pumice.db", folder.path().display()), Keep::Folder(folder))
            }
            DatabaseKind::Postgres => (new_postgres(None).await, Keep::Server),
        }
    }
}

async fn open(url: String) -> Database {
    let options = Options { url, max_connections: 4, timeout: Duration::from_secs(60) };
    Database::open(&options).await.unwrap()
}

/// The name of a migrated database: to copy one takes a fraction of the time of its migrations.
async fn template() -> &'static str {
    static TEMPLATE: OnceCell<String> = OnceCell::const_new();
    let make = async || {
        let url = new_postgres(None).await;
        let database = open(url.clone()).await;
        database.migrate().await.unwrap();
        // One that is in use cannot be copied.
        database.close().await;
        url::Url::parse(&url).unwrap().path().trim_start_matches('/').to_owned()
    };
    TEMPLATE.get_or_init(make).await
}

async fn new_postgres(template: Option<&str>) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let server = std::env::var("PUMICE_TEST_POSTGRES")
        .expect("PUMICE_TEST_POSTGRES names no database server: run the tests with `make test`");
    let name = format!("pumice_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let mut connection = PgConnection::connect(&server).await.unwrap();
    let from = template.map(|template| format!(" TEMPLATE {template}")).unwrap_or_default();
    sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}{from}")))
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    let mut url = url::Url::parse(&server).unwrap();
    url.set_path(&name);
    url.to_string()
}
