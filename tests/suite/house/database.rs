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
        let (url, keep) = self.migrated_url().await;
        (open(url).await, keep)
    }

    /// The address of a new database with the newest schema: a copy of one that was migrated once.
    pub async fn migrated_url(self) -> (String, Keep) {
        match self {
            DatabaseKind::Sqlite => {
                static MODEL: OnceCell<Vec<u8>> = OnceCell::const_new();
                let model = MODEL.get_or_init(async || {
                    let (url, folder) = new_file();
                    migrate(url).await;
                    std::fs::read(folder.path().join(FILE)).unwrap()
                });
                let model = model.await;
                let (url, folder) = new_file();
                std::fs::write(folder.path().join(FILE), model).unwrap();
                (url, Keep::Folder(folder))
            }
            DatabaseKind::Postgres => {
                static MODEL: OnceCell<String> = OnceCell::const_new();
                let model = MODEL.get_or_init(async || {
                    let name = new_name();
                    migrate(new_postgres(&name, "template1").await).await;
                    name
                });
                (new_postgres(&new_name(), model.await).await, Keep::Server)
            }
        }
    }

    /// The address of a new, empty database.
    pub async fn url(self) -> (String, Keep) {
        match self {
            DatabaseKind::Sqlite => {
                let (url, folder) = new_file();
                (url, Keep::Folder(folder))
            }
            DatabaseKind::Postgres => (new_postgres(&new_name(), "template1").await, Keep::Server),
        }
    }
}

const FILE: &str = "pumice.db";

fn new_file() -> (String, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (format!("sqlite:{}/{FILE}", folder.path().display()), folder)
}

fn new_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("pumice_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

async fn new_postgres(name: &str, model: &str) -> String {
    let server = std::env::var("PUMICE_TEST_POSTGRES")
        .expect("PUMICE_TEST_POSTGRES names no database server: run the tests with `make test`");
    let mut connection = PgConnection::connect(&server).await.unwrap();
    let make = format!("CREATE DATABASE {name} TEMPLATE {model}");
    sqlx::query(AssertSqlSafe(make)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let mut url = url::Url::parse(&server).unwrap();
    url.set_path(name);
    url.to_string()
}

async fn open(url: String) -> Database {
    let options = Options { url, max_connections: 4, timeout: Duration::from_secs(60) };
    Database::open(&options).await.unwrap()
}

/// And lets go of it, so that it lies in its file whole, and can be copied.
async fn migrate(url: String) {
    let database = open(url).await;
    database.migrate().await.unwrap();
    database.close().await;
}
