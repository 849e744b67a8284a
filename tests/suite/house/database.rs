//! Databases of a test's own.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use pumice::db::{Database, Options};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tempfile::TempDir;

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
        let (url, keep) = self.url().await;
        let options = Options { url, max_connections: 4, timeout: Duration::from_secs(60) };
        let database = Database::open(&options).await.unwrap();
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
            DatabaseKind::Postgres => (new_postgres().await, Keep::Server),
        }
    }
}

async fn new_postgres() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let server = std::env::var("PUMICE_TEST_POSTGRES")
        .expect("PUMICE_TEST_POSTGRES names no database server: run the tests with `make test`");
    let name = format!("pumice_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let mut connection = PgConnection::connect(&server).await.unwrap();
    sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let mut url = url::Url::parse(&server).unwrap();
    url.set_path(&name);
    url.to_string()
}
