//! A volume from a qcow2, beside `qemu-img convert` into the same pool; and what the cache makes of the second one.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::Bench;
use crate::bytes::{GIB, noise};
use crate::cluster::{Cluster, VOLUMES};
use crate::numbers::{Times, median, ms};
use crate::server::Server;
use crate::table::{Row, Table};

const DATA: u64 = 100 << 20;
/// Of the peer's time.
const CONVERSION: f64 = 1.0;
const FROM_CACHE: Duration = Duration::from_millis(100);
/// How often somebody asks whether the volume is there; more often would take the processor from who makes it.
const LOOK: Duration = Duration::from_millis(10);
/// The database writes a little, whatever the image.
const ON_DISK: u64 = 4 << 20;

pub async fn measure(bench: &Bench, table: &mut Table) -> anyhow::Result<()> {
    let server = Server::start(bench, "conversion", &[]).await?;
    let raw = raw_file(bench)?;
    let peer = Peer::find(bench);
    for (name, options) in [("qcow2", &[][..]), ("qcow2, compressed", &["-c"])] {
        let file = qcow2_file(bench, &raw, options)?;
        row(bench, table, &server, &peer, name, &file).await?;
    }
    server.stop().await?;
    cached(bench, table, &qcow2_file(bench, &raw, &["-c"])?).await
}

async fn row(
    bench: &Bench,
    table: &mut Table,
    server: &Server,
    peer: &Peer,
    name: &str,
    file: &Path,
) -> anyhow::Result<()> {
    let client = server.client().looking_every(LOOK);
    let (image, _) = client.uploaded_as("qcow2", file).await?;
    client.sealed(&image).await?;
    let (mut ours, mut theirs, mut on_disk) = (Vec::new(), Vec::new(), 0);
    // The first round warms everybody up alike and does not count.
    for round in 0..=bench.rounds {
        let before = server.written_to_disk()?;
        let started = Instant::now();
        let volume = client.volume("figure", Some(("imageRef", &image))).await?;
        let time = started.elapsed();
        let beside = peer.convert(bench, file)?;
        if round > 0 {
            ours.push(time.as_secs_f64());
            theirs.push(beside.as_secs_f64());
            on_disk = on_disk.max(server.written_to_disk()? - before);
        }
        client.delete_volume(&volume).await?;
        bench.cluster.run("rbd", &["rm", "--no-progress", &format!("{VOLUMES}/peer")])?;
    }
    client.delete_image(&image).await?;
    let ratio = median(ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs).collect());
    table.add(
        Row::shown(format!("volume from a {name} of 1 GiB that holds 100 MiB"), seconds(ours))
            .beside(format!("{} {}", peer.name(), seconds(theirs)), ratio)
            .limit(format!("<= {CONVERSION}"), ratio <= CONVERSION),
    );
    table.add(
        Row::shown("written to this machine's disk meanwhile", format!("{} KiB", on_disk >> 10))
            .limit(format!("<= {} KiB", ON_DISK >> 10), on_disk <= ON_DISK),
    );
    Ok(())
}

async fn cached(bench: &Bench, table: &mut Table, file: &Path) -> anyhow::Result<()> {
    let server = Server::start(bench, "cached", &["volumes.image_volume_cache_enabled=true"]).await?;
    let client = server.client();
    let (image, _) = client.uploaded_as("qcow2", file).await?;
    client.sealed(&image).await?;
    let first = client.volume("figure", Some(("imageRef", &image))).await?;
    let mut times = Vec::new();
    for _ in 0..bench.samples {
        let started = Instant::now();
        let volume = client.volume("figure", Some(("imageRef", &image))).await?;
        times.push(started.elapsed());
        client.delete_volume(&volume).await?;
    }
    let median = Times::new(times).median();
    table.add(
        Row::shown("a second volume from a qcow2, with the cache", ms(median))
            .limit(format!("<= {}", ms(FROM_CACHE)), median <= FROM_CACHE),
    );
    client.delete_volume(&first).await?;
    client.delete_image(&image).await?;
    server.stop().await
}

fn seconds(times: Vec<f64>) -> String {
    ms(Duration::from_secs_f64(median(times)))
}

enum Peer {
    /// Straight into the pool.
    Rbd,
    /// Where QEMU's driver for it is not installed: by way of a raw file, which lies in memory.
    File,
}

impl Peer {
    fn find(bench: &Bench) -> Self {
        let target = format!("rbd:{VOLUMES}/none:conf={}", bench.cluster.conf.display());
        let output = Command::new("qemu-img").args(["info", "-f", "raw", &target]).output();
        match output {
            // Whoever has the driver says that the image is not there.
            Ok(output) if !String::from_utf8_lossy(&output.stderr).contains("Unknown protocol") => Peer::Rbd,
            _ => Peer::File,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Peer::Rbd => "qemu-img convert",
            Peer::File => "qemu-img convert, rbd import",
        }
    }

    fn convert(&self, bench: &Bench, file: &Path) -> anyhow::Result<Duration> {
        let started = Instant::now();
        match self {
            Peer::Rbd => {
                let target = format!("rbd:{VOLUMES}/peer:conf={}", bench.cluster.conf.display());
                qemu_img(&["convert", "-O", "raw", text(file)?, &target])?;
            }
            Peer::File => {
                let raw = bench.scratch.path().join("converted.raw");
                qemu_img(&["convert", "-O", "raw", text(file)?, text(&raw)?])?;
                import(&bench.cluster, &raw)?;
                std::fs::remove_file(&raw)?;
            }
        }
        Ok(started.elapsed())
    }
}

fn import(cluster: &Cluster, raw: &Path) -> anyhow::Result<()> {
    let target = format!("{VOLUMES}/peer");
    cluster.run("rbd", &["import", "--no-progress", "--object-size", "4M", text(raw)?, &target]).map(drop)
}

fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("a path that is not text")
}

fn qemu_img(arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new("qemu-img").args(arguments).output().context("qemu-img cannot be run")?;
    anyhow::ensure!(output.status.success(), "qemu-img: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// 1 GiB with 100 pieces of a MiB all over it, half of each noise and half something that can be compressed.
fn raw_file(bench: &Bench) -> anyhow::Result<PathBuf> {
    let path = bench.scratch.path().join("holes.raw");
    let mut file = File::create(&path)?;
    file.set_len(GIB)?;
    let mut piece = noise(1 << 20);
    piece.chunks_mut(32 << 10).step_by(2).for_each(|half| half.fill(7));
    let pieces = DATA >> 20;
    for place in 0..pieces {
        piece[..8].copy_from_slice(&place.to_le_bytes());
        file.seek(SeekFrom::Start(place * ((GIB / pieces) >> 16 << 16)))?;
        file.write_all(&piece)?;
    }
    Ok(path)
}

fn qcow2_file(bench: &Bench, raw: &Path, options: &[&str]) -> anyhow::Result<PathBuf> {
    let path = bench.scratch.path().join("figure.qcow2");
    let arguments = [&["convert", "-f", "raw", "-O", "qcow2"], options, &[text(raw)?, text(&path)?]].concat();
    qemu_img(&arguments)?;
    Ok(path)
}
