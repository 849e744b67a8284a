//! PostgreSQL behind a network that swallows what it should carry, and with others who hold what is asked for.

use std::time::Duration;

use pumice::db::{Database, Options};
use sqlx::PgPool;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio_util::sync::CancellationToken;

use super::DatabaseKind;
use crate::faults::proxy::Proxy;

/// TCP would take a quarter of an hour.
const PATIENCE: Duration = Duration::from_secs(180);

async fn open(url: String) -> Database {
    let options = Options { url, max_connections: 1, timeout: Duration::from_secs(5) };
    Database::open(&options).await.unwrap()
}

/// Something that was said from now on.
async fn hears(database: &Database, heard: &mut UnboundedReceiver<String>) {
    while heard.try_recv().is_ok() {}
    let said = async {
        loop {
            database.tell_others("news").await.unwrap();
            if tokio::time::timeout(Duration::from_millis(100), heard.recv()).await.is_ok() {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, said).await.expect("it is deaf");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_swallows_is_let_go_of() {
    let (url, _keep) = DatabaseKind::Postgres.migrated_url().await;
    let (proxy, through) = Proxy::before(&url).await;
    let (direct, database) = (open(url).await, open(through).await);
    let (tell, mut heard) = mpsc::unbounded_channel();
    let (listener, stop) = (database.clone(), CancellationToken::new());
    let halt = stop.clone();
    let told = move |news: &str| drop(tell.send(news.to_owned()));
    let listening = tokio::spawn(async move { listener.hear_others(told, halt).await });
    hears(&direct, &mut heard).await;

    let mut in_use = database.begin().await.unwrap();
    proxy.strand();
    assert!(in_use.all_leftovers().await.is_err());
    drop(in_use);
    let usable = async {
        while database.check().await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, usable).await.expect("the only connection is kept");
    hears(&direct, &mut heard).await;
    stop.cancel();
    listening.await.unwrap();
}

/// A dump does for hours. Whoever asks for the table behind the migration does not wait for the dump.
#[tokio::test(flavor = "multi_thread")]
async fn a_migration_takes_turns_with_who_holds_a_table() {
    let (url, _keep) = DatabaseKind::Postgres.migrated_url().await;
    let (pool, database) = (PgPool::connect(&url).await.unwrap(), open(url).await);
    let mut holder = pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE _sqlx_migrations").execute(&mut *holder).await.unwrap();
    let waiting = "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted AND relation = '_sqlx_migrations'::regclass)";
    let holding = async {
        for expected in [true, false] {
            while sqlx::query_scalar::<_, bool>(waiting).fetch_one(&pool).await.unwrap() != expected {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        // Its turn is over, and it has not had the table.
        holder.rollback().await.unwrap();
    };
    let both = async { tokio::join!(database.migrate(), holding) };
    let (migrated, ()) = tokio::time::timeout(PATIENCE, both).await.expect("it holds on to its turn");
    migrated.unwrap();
}
