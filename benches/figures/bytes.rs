//! Bytes in and out, beside `rbd import` and `rbd export` of the same file.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pumice::transfer::{Algorithm, Digests};

use crate::Bench;
use crate::client;
use crate::numbers::{median, mib_s, rate};
use crate::server::Server;
use crate::table::{Row, Table};

pub const GIB: u64 = 1 << 30;

const UPLOAD_WITHOUT: f64 = 0.9;
const UPLOAD_WITH: f64 = 0.6;
const SPARSE: f64 = 4.0;
const DOWNLOAD: f64 = 0.7;
const PARTS: u64 = 10;

/// What one round measured, in MiB/s.
#[derive(Default)]
struct Rates {
    import: Vec<f64>,
    /// With the snapshot.
    import_sealed: Vec<f64>,
    export: Vec<f64>,
    without: Vec<f64>,
    without_sealed: Vec<f64>,
    with: Vec<f64>,
    import_digested: Vec<f64>,
    sparse_without: Vec<f64>,
    passing_by: Vec<f64>,
    sparse_with: Vec<f64>,
    download: Vec<f64>,
    in_parts: Vec<f64>,
    cpu_without: Vec<f64>,
    cpu_with: Vec<f64>,
    cpu_download: Vec<f64>,
}

pub async fn measure(bench: &Bench, table: &mut Table) -> anyhow::Result<()> {
    let dense = dense_file(bench)?;
    let sparse = sparse_file(bench)?;
    let fetched = bench.scratch.path().join("fetched.raw");
    let without = Server::start(bench, "digests_off", &["images.compute_digests=false"]).await?;
    let with = Server::start(bench, "digests_on", &[]).await?;
    let mut rates = Rates::default();
    // The first round warms everybody up alike and does not count.
    for round in 0..=bench.rounds {
        if round == 1 {
            rates = Rates::default();
        }
        let imported = bench.cluster.import(&dense, "peer")?;
        rates.import.push(rate(GIB, imported));
        rates.import_sealed.push(rate(GIB, imported + bench.cluster.seal("peer")?));
        pause().await;

        let client = without.client();
        let cpu = without.cpu()?;
        let (image, time) = client.uploaded(&dense).await?;
        rates.without.push(rate(GIB, time));
        rates.without_sealed.push(rate(GIB, time + client.sealed(&image).await?));
        rates.cpu_without.push((without.cpu()? - cpu).as_secs_f64());
        pause().await;

        rates.export.push(rate(GIB, bench.cluster.export("peer", &fetched)?));
        let cpu = without.cpu()?;
        rates.download.push(rate(GIB, client.download(&image, &fetched).await?));
        rates.cpu_download.push((without.cpu()? - cpu).as_secs_f64());
        if round == 0 {
            same_bytes(&dense, &fetched)?;
        }
        rates.in_parts.push(rate(GIB, client.download_in_parts(&image, &fetched, GIB, PARTS).await?));
        if round == 0 {
            same_bytes(&dense, &fetched)?;
        }
        std::fs::remove_file(&fetched)?;
        client.delete_image(&image).await?;
        bench.cluster.remove_sealed("peer")?;
        pause().await;

        let client = with.client();
        let cpu = with.cpu()?;
        let (image, time) = client.uploaded(&dense).await?;
        rates.with.push(rate(GIB, time));
        rates.cpu_with.push((with.cpu()? - cpu).as_secs_f64());
        client.delete_image(&image).await?;
        pause().await;

        rates.import_digested.push(rate(GIB, import_digested(bench, &dense)?));
        bench.cluster.remove("digested")?;
        pause().await;

        for (server, list) in [(&without, &mut rates.sparse_without), (&with, &mut rates.sparse_with)] {
            let client = server.client();
            let (image, time) = client.uploaded(&sparse).await?;
            list.push(rate(GIB, time));
            client.delete_image(&image).await?;
        }
        let file = sparse.clone();
        let passed = tokio::task::spawn_blocking(move || client::pass_by(&file)).await??;
        rates.passing_by.push(rate(GIB, passed));
        pause().await;
    }
    show(rates, table);
    table.note(digest_speeds().await?);
    without.stop().await?;
    with.stop().await
}

/// What takes the same of the cores with the tools that there are: they start together, and the last one counts.
fn import_digested(bench: &Bench, file: &Path) -> anyhow::Result<Duration> {
    let started = Instant::now();
    let digest = |algorithm: &str| {
        let arguments: [&OsStr; 3] = ["dgst".as_ref(), algorithm.as_ref(), file.as_ref()];
        Command::new("openssl").args(arguments).stdout(Stdio::null()).spawn()
    };
    let digests = [digest("-md5")?, digest("-sha512")?];
    bench.cluster.import(file, "digested")?;
    for mut digest in digests {
        anyhow::ensure!(digest.wait()?.success(), "openssl dgst failed");
    }
    Ok(started.elapsed())
}

/// The OSD goes on for a while with what it was told.
async fn pause() {
    tokio::time::sleep(Duration::from_millis(1500)).await;
}

fn show(rates: Rates, table: &mut Table) {
    let ratio = |ours: &[f64], peers: &[f64]| median(ours.iter().zip(peers).map(|(a, b)| a / b).collect());
    let import = format!("rbd import {}", mib_s(median(rates.import.clone())));
    let row = |figure: &str, ours: &[f64], peer: &str, peers: &[f64], limit: f64| {
        let ratio = ratio(ours, peers);
        Row::shown(figure, mib_s(median(ours.to_vec())))
            .beside(peer, ratio)
            .limit(format!(">= {limit}"), ratio >= limit)
    };
    let (without, with) = (&rates.without, &rates.with);
    table.add(row("upload of dense 1 GiB, digests off", without, &import, &rates.import, UPLOAD_WITHOUT));
    table.add(row("upload of dense 1 GiB, md5 and sha512", with, &import, &rates.import, UPLOAD_WITH));
    let peers = &rates.import_digested;
    let peer = format!("rbd import, openssl dgst -md5, -sha512 at once {}", mib_s(median(peers.clone())));
    table.add(
        Row::shown("the same, beside tools that do as much", mib_s(median(with.clone())))
            .beside(peer, ratio(with, peers)),
    );
    // What must be done for the same result, whoever waits for it.
    let sealed = &rates.without_sealed;
    let peer = format!("import, snap create, protect {}", mib_s(median(rates.import_sealed.clone())));
    table.add(
        Row::shown("the first, until its snapshot is there too", mib_s(median(sealed.clone())))
            .beside(peer, ratio(sealed, &rates.import_sealed)),
    );
    let dense = format!("dense {}", mib_s(median(without.clone())));
    let sparse = &rates.sparse_without;
    table.add(row("upload of 1 GiB, mostly holes, digests off", sparse, &dense, without, SPARSE));
    let upload = format!("the upload {}", mib_s(median(sparse.clone())));
    table.add(
        Row::shown(
            "the same file over loopback, received and dropped",
            mib_s(median(rates.passing_by.clone())),
        )
        .beside(upload, ratio(&rates.passing_by, sparse)),
    );
    let dense = format!("dense {}", mib_s(median(with.clone())));
    let sparse = &rates.sparse_with;
    table.add(
        Row::shown(
            "upload of 1 GiB, mostly holes, md5 and sha512: all is hashed",
            mib_s(median(sparse.clone())),
        )
        .beside(dense, ratio(sparse, with)),
    );
    let export = format!("rbd export {}", mib_s(median(rates.export.clone())));
    table.add(row("download of dense 1 GiB", &rates.download, &export, &rates.export, DOWNLOAD));
    let whole = format!("one download {}", mib_s(median(rates.download.clone())));
    let in_parts = &rates.in_parts;
    table.add(
        Row::shown(format!("the same in {PARTS} ranges at once"), mib_s(median(in_parts.clone())))
            .beside(whole, ratio(in_parts, &rates.download)),
    );
    table.note(format!(
        "Processor time of the service for 1 GiB: upload {:.2} s without digests, {:.2} s more with both; download {:.2} s.",
        median(rates.cpu_without.clone()),
        median(rates.cpu_with) - median(rates.cpu_without),
        median(rates.cpu_download),
    ));
}

/// Digests by themselves, on bytes in memory: what each costs.
async fn digest_speeds() -> anyhow::Result<String> {
    const TOTAL: u64 = 512 << 20;
    let piece = bytes::Bytes::from(noise(8 << 20));
    let mut parts = Vec::new();
    for (name, algorithms) in [
        ("md5", &[Algorithm::Md5][..]),
        ("sha256", &[Algorithm::Sha256]),
        ("sha512", &[Algorithm::Sha512]),
        ("md5 and sha512 side by side", &[Algorithm::Md5, Algorithm::Sha512]),
    ] {
        let started = Instant::now();
        let digests = Digests::start(algorithms)?;
        for _ in 0..TOTAL / piece.len() as u64 {
            digests.update(piece.clone()).await?;
        }
        digests.finish().await?;
        parts.push(format!("{name} {}", mib_s(rate(TOTAL, started.elapsed()))));
    }
    Ok(format!("Digests by themselves, from memory: {}.", parts.join(", ")))
}

/// Bytes that nothing can leave out or compress.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// 1 GiB without a hole. Made once a run.
pub fn dense_file(bench: &Bench) -> anyhow::Result<PathBuf> {
    let path = bench.scratch.path().join("dense.raw");
    if !path.exists() {
        let mut file = File::create(&path)?;
        file.write_all(&noise(GIB as usize))?;
    }
    Ok(path)
}

/// 1 GiB, of which 32 MiB hold something, all over it.
fn sparse_file(bench: &Bench) -> anyhow::Result<PathBuf> {
    let path = bench.scratch.path().join("sparse.raw");
    let mut file = File::create(&path)?;
    file.set_len(GIB)?;
    let piece = noise(1 << 20);
    for place in 0..32 {
        file.seek(SeekFrom::Start(place * (GIB / 32)))?;
        file.write_all(&piece)?;
    }
    Ok(path)
}

fn same_bytes(one: &Path, other: &Path) -> anyhow::Result<()> {
    let same = Command::new("cmp").arg(one).arg(other).status()?.success();
    anyhow::ensure!(same, "what was downloaded is not what was uploaded");
    Ok(())
}
