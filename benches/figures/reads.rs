//! Reads while there are many volumes.

use std::time::Duration;

use anyhow::Context;
use pumice::db::{Database, Options};
use pumice::model::{VolumeId, World};
use sqlx::types::Json;

use crate::Bench;
use crate::load::{self, Load};
use crate::numbers::ms;
use crate::server::Server;
use crate::table::{Row, Table};

const VOLUMES: usize = 1000;
const CONNECTIONS: usize = 16;
const TIME: Duration = Duration::from_secs(6);
/// What Cinder answers a second on a like machine, and how many times that is the aim.
const CINDER_SHOW: f64 = 180.0;
const CINDER_DETAIL: f64 = 77.0;
const TIMES: f64 = 50.0;

pub async fn measure(bench: &Bench, table: &mut Table) -> anyhow::Result<()> {
    let server = Server::start(bench, "reads", &[]).await?;
    let first = server.client().volume("first", None).await?;
    fill(&server.database, &first).await?;
    for (figure, path, cinder) in [
        ("show a volume", format!("/volume/v3/volumes/{first}"), CINDER_SHOW),
        ("detail page of 50 volumes", "/volume/v3/volumes/detail?limit=50".to_owned(), CINDER_DETAIL),
    ] {
        load::run(server.address, &path, CONNECTIONS, Duration::from_secs(1)).await?;
        let Load { answers, times, bytes } = load::run(server.address, &path, CONNECTIONS, TIME).await?;
        let a_second = answers as f64 / TIME.as_secs_f64();
        let aim = cinder * TIMES;
        let figure = format!("{figure}, of {VOLUMES} ({:.1} KiB)", bytes as f64 / 1024.0);
        let measured = format!("{a_second:.0} /s, median {}, p99 {}", ms(times.median()), ms(times.p99()));
        table.add(
            Row::shown(figure, measured)
                .beside(format!("Cinder {cinder} /s"), a_second / cinder)
                .limit(format!("aim {aim:.0} /s"), a_second >= aim),
        );
    }
    server.stop().await
}

/// Adds rows like the one that is there: the pool has no part in reads.
async fn fill(url: &str, like: &str) -> anyhow::Result<()> {
    let options = Options { url: url.to_owned(), max_connections: 2, timeout: Duration::from_secs(10) };
    let database = Database::open(&options).await?;
    let world = World::real();
    let id = VolumeId::from(uuid::Uuid::parse_str(like)?);
    let template = database.read().await?.volume(&id).await?.context("the first volume has no row")?;
    let mut repository = database.begin().await?;
    for number in 1..VOLUMES {
        let mut volume = template.clone();
        volume.id = VolumeId::from(world.ids.random());
        volume.name = Some(format!("volume number {number}"));
        volume.metadata = Json([("role".to_owned(), format!("web-{number}"))].into());
        volume.created_at = world.now();
        repository.add_volume(&volume).await?;
    }
    repository.commit().await?;
    database.close().await;
    Ok(())
}
