//! From a request to `available`, beside the librbd calls themselves, made in turn with it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use pumice::block::{OpenMode, SnapshotPath, Stores};
use pumice::model::World;

use crate::client::Client;
use crate::cluster::{IMAGES, VOLUMES};
use crate::numbers::{Times, ms, ms_pair};
use crate::server::Server;
use crate::table::{Row, Table};
use crate::{Bench, bytes};

const MIB: u64 = 1 << 20;
/// What a volume from an image may take beyond the clone itself.
const BEYOND_CLONE: Duration = Duration::from_millis(50);
/// Snapshots that are asked for at once.
const AT_ONCE: usize = 32;

/// librbd called directly.
struct Direct {
    stores: Stores,
    world: World,
}

impl Direct {
    fn name(&self) -> String {
        format!("direct-{}", self.world.ids.random())
    }

    async fn create(&self) -> anyhow::Result<String> {
        let name = self.name();
        self.stores.volumes.first().store.create(&name, bytes::GIB, 4 * MIB).await?;
        Ok(name)
    }

    async fn clone_image(&self, image: &str) -> anyhow::Result<String> {
        let name = self.name();
        let path = SnapshotPath { pool: IMAGES.into(), image: image.into(), snapshot: "snap".into() };
        self.stores.volumes.first().store.clone_snapshot(&path, &name, None).await?;
        Ok(name)
    }

    async fn snapshot(&self, volume: &str, snapshot: &str) -> anyhow::Result<()> {
        let image = self.stores.volumes.first().store.open(volume, OpenMode::ReadWrite).await?;
        image.create_snapshot(snapshot).await?;
        image.protect_snapshot(snapshot).await?;
        Ok(image.close().await?)
    }

    async fn drop_snapshot(&self, volume: &str, snapshot: &str) -> anyhow::Result<()> {
        let image = self.stores.volumes.first().store.open(volume, OpenMode::ReadWrite).await?;
        image.unprotect_snapshot(snapshot).await?;
        image.remove_snapshot(snapshot).await?;
        Ok(image.close().await?)
    }

    async fn clone_volume(&self, volume: &str) -> anyhow::Result<(String, String)> {
        let name = self.name();
        self.snapshot(volume, &name).await?;
        let path = SnapshotPath { pool: VOLUMES.into(), image: volume.into(), snapshot: name.clone() };
        self.stores.volumes.first().store.clone_snapshot(&path, &name, None).await?;
        Ok((name.clone(), name))
    }

    async fn remove(&self, name: &str) -> anyhow::Result<()> {
        Ok(self.stores.volumes.first().store.remove(name, &pumice::block::Progress::new()).await?)
    }
}

pub async fn measure(bench: &Bench, table: &mut Table) -> anyhow::Result<()> {
    let server = Server::start(bench, "latency", &[]).await?;
    let client = server.client();
    let direct = Arc::new(Direct { stores: bench.cluster.stores()?, world: World::real() });
    let (image, _) = client.uploaded(&bytes::dense_file(bench)?).await?;

    from_image(bench, table, &client, &direct, &image).await?;
    empty(bench, table, &client, &direct).await?;
    // Each costs a round of the monitor.
    let rounds = (bench.samples / 6).max(5);
    clone_of_volume(rounds, table, &client, &direct).await?;
    snapshots(rounds, table, &client, &direct).await?;
    client.delete_image(&image).await?;
    server.stop().await
}

async fn from_image(
    bench: &Bench,
    table: &mut Table,
    client: &Client,
    direct: &Direct,
    image: &str,
) -> anyhow::Result<()> {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..bench.samples {
        let started = Instant::now();
        let volume = client.volume("figure", Some(("imageRef", image))).await?;
        ours.push(started.elapsed());
        let started = Instant::now();
        let clone = direct.clone_image(image).await?;
        theirs.push(started.elapsed());
        client.delete_volume(&volume).await?;
        direct.remove(&clone).await?;
    }
    let (ours, theirs) = (Times::new(ours), Times::new(theirs));
    let beyond = ours.median().saturating_sub(theirs.median());
    let figure = format!("volume from a raw image: {} beyond the clone", ms(beyond));
    table.add(
        compared(&figure, &ours, &theirs)
            .limit(format!("<= {} beyond", ms(BEYOND_CLONE)), beyond <= BEYOND_CLONE),
    );
    Ok(())
}

async fn empty(bench: &Bench, table: &mut Table, client: &Client, direct: &Direct) -> anyhow::Result<()> {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..bench.samples {
        let started = Instant::now();
        let volume = client.volume("figure", None).await?;
        ours.push(started.elapsed());
        let started = Instant::now();
        let image = direct.create().await?;
        theirs.push(started.elapsed());
        client.delete_volume(&volume).await?;
        direct.remove(&image).await?;
    }
    table.add(compared("empty volume", &Times::new(ours), &Times::new(theirs)));
    Ok(())
}

async fn clone_of_volume(
    rounds: usize,
    table: &mut Table,
    client: &Client,
    direct: &Direct,
) -> anyhow::Result<()> {
    let source = client.volume("source", None).await?;
    let peer = direct.create().await?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let started = Instant::now();
        let volume = client.volume("figure", Some(("source_volid", &source))).await?;
        ours.push(started.elapsed());
        let started = Instant::now();
        let (clone, snapshot) = direct.clone_volume(&peer).await?;
        theirs.push(started.elapsed());
        client.delete_volume(&volume).await?;
        direct.remove(&clone).await?;
        direct.drop_snapshot(&peer, &snapshot).await?;
    }
    table.add(compared("clone of a volume", &Times::new(ours), &Times::new(theirs)));
    client.delete_volume(&source).await?;
    direct.remove(&peer).await
}

async fn snapshots(
    rounds: usize,
    table: &mut Table,
    client: &Client,
    direct: &Arc<Direct>,
) -> anyhow::Result<()> {
    let volumes = try_join_all((0..AT_ONCE).map(|_| client.volume("source", None))).await?;
    let peers = try_join_all((0..AT_ONCE).map(|_| direct.create())).await?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let started = Instant::now();
        let snapshot = client.snapshot(&volumes[0]).await?;
        ours.push(started.elapsed());
        let started = Instant::now();
        direct.snapshot(&peers[0], "figure").await?;
        theirs.push(started.elapsed());
        client.delete_snapshot(&snapshot).await?;
        direct.drop_snapshot(&peers[0], "figure").await?;
    }
    let one = Times::new(ours);
    table.add(compared("snapshot", &one, &Times::new(theirs)));

    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let started = Instant::now();
        let snapshots = try_join_all(volumes.iter().map(|volume| client.snapshot(volume))).await?;
        ours.push(started.elapsed());
        let started = Instant::now();
        try_join_all(peers.iter().map(|peer| direct.snapshot(peer, "figure"))).await?;
        theirs.push(started.elapsed());
        try_join_all(snapshots.iter().map(|snapshot| client.delete_snapshot(snapshot))).await?;
        try_join_all(peers.iter().map(|peer| direct.drop_snapshot(peer, "figure"))).await?;
    }
    let (ours, theirs) = (Times::new(ours), Times::new(theirs));
    let figure = format!("snapshots of {AT_ONCE} volumes at once, all of them");
    // Sharing the monitor's round, they take about as long as one; queueing, thirty times as long.
    let kept = ours.median() <= one.median() * 4;
    table.add(
        Row::shown(figure, ms(ours.median()))
            .beside(
                format!("librbd {}", ms(theirs.median())),
                ours.median().div_duration_f64(theirs.median()),
            )
            .limit("<= 4 of one", kept),
    );
    try_join_all(volumes.iter().map(|volume| client.delete_volume(volume))).await?;
    try_join_all(peers.iter().map(|peer| direct.remove(peer))).await?;
    Ok(())
}

fn compared(figure: &str, ours: &Times, theirs: &Times) -> Row {
    Row::shown(figure, ms_pair(ours))
        .beside(format!("librbd {}", ms_pair(theirs)), ours.median().div_duration_f64(theirs.median()))
}
