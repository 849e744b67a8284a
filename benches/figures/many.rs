//! Many volumes created, then deleted, some at a time; beside the librbd calls alone.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures::{StreamExt, TryStreamExt, stream};
use pumice::block::Progress;
use pumice::model::World;

use crate::server::Server;
use crate::table::{Row, Table};
use crate::{Bench, bytes};

const COUNT: usize = 200;
const AT_A_TIME: usize = 8;
const CREATED: f64 = 60.0;
const DELETED: f64 = 30.0;

pub async fn measure(bench: &Bench, table: &mut Table) -> anyhow::Result<()> {
    let server = Server::start(bench, "many", &[]).await?;
    let client = server.client().looking_every(Duration::from_millis(10));
    let volumes = bench.cluster.stores()?.volumes.first().store.clone();
    let world = World::real();

    // Connections and caches of both.
    let warm = client.volume("warm", None).await?;
    client.delete_volume(&warm).await?;

    let names: Vec<String> = (0..COUNT).map(|_| format!("direct-{}", world.ids.random())).collect();
    let volumes = &volumes;
    let (direct_created, _) = some_at_a_time(&names, |name| async move {
        volumes.create(name, bytes::GIB, 4 << 20).await.context("create")
    })
    .await?;
    let (direct_deleted, _) = some_at_a_time(&names, |name| async move {
        volumes.remove(name, &Progress::new()).await.context("remove")
    })
    .await?;

    let cpu = server.cpu()?;
    let client = &client;
    let numbers: Vec<usize> = (0..COUNT).collect();
    let (created, ids) =
        some_at_a_time(
            &numbers,
            |number| async move { client.volume(&format!("figure {number}"), None).await },
        )
        .await?;
    let (deleted, _) = some_at_a_time(&ids, |id| client.delete_volume(id)).await?;
    let cpu = (server.cpu()? - cpu).as_secs_f64();

    for (what, ours, direct, limit) in
        [("created", created, direct_created, CREATED), ("deleted", deleted, direct_deleted, DELETED)]
    {
        let (ours, direct) = (COUNT as f64 / ours.as_secs_f64(), COUNT as f64 / direct.as_secs_f64());
        table.add(
            Row::shown(format!("{COUNT} volumes {what}, {AT_A_TIME} at a time"), format!("{ours:.0} /s"))
                .beside(format!("librbd {direct:.0} /s"), ours / direct)
                .limit(format!(">= {limit} /s"), ours >= limit),
        );
    }
    table.note(format!(
        "Processor time of the service for creating and deleting one of these volumes: {:.1} ms.",
        cpu * 1e3 / COUNT as f64
    ));
    server.stop().await
}

async fn some_at_a_time<'a, T, O, F>(
    items: &'a [T],
    work: impl Fn(&'a T) -> F,
) -> anyhow::Result<(Duration, Vec<O>)>
where
    F: Future<Output = anyhow::Result<O>>,
{
    let started = Instant::now();
    let done = stream::iter(items).map(work).buffer_unordered(AT_A_TIME).try_collect().await?;
    Ok((started.elapsed(), done))
}
