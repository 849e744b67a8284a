//! One request over and over, on several connections that stay open. As little work as can be, for it takes the
//! processor from the service.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures::future::try_join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::numbers::Times;

pub struct Load {
    pub answers: usize,
    pub times: Times,
    /// Of one answer's body.
    pub bytes: usize,
}

/// Runs on one thread.
pub async fn run(
    address: SocketAddr,
    path: &str,
    connections: usize,
    time: Duration,
) -> anyhow::Result<Load> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: application/json\r\n\r\n");
    tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async move {
            let end = Instant::now() + time;
            let all = (0..connections).map(|_| one(address, &request, end));
            let all: Vec<(Vec<Duration>, usize)> = try_join_all(all).await?;
            let bytes = all[0].1;
            let times: Vec<Duration> = all.into_iter().flat_map(|(times, _)| times).collect();
            Ok(Load { answers: times.len(), times: Times::new(times), bytes })
        })
    })
    .await?
}

async fn one(address: SocketAddr, request: &str, end: Instant) -> anyhow::Result<(Vec<Duration>, usize)> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 256 << 10];
    let mut times = Vec::new();
    let mut body = 0;
    while Instant::now() < end {
        let started = Instant::now();
        stream.write_all(request.as_bytes()).await?;
        let mut filled = 0;
        let mut whole = None;
        while whole.is_none_or(|whole| filled < whole) {
            let count = stream.read(&mut buffer[filled..]).await?;
            anyhow::ensure!(count > 0, "the service closed the connection");
            filled += count;
            if whole.is_none()
                && let Some(head) = buffer[..filled].windows(4).position(|four| four == b"\r\n\r\n")
            {
                body = content_length(&buffer[..head])?;
                whole = Some(head + 4 + body);
                anyhow::ensure!(head + 4 + body <= buffer.len(), "an answer of {body} bytes");
            }
        }
        times.push(started.elapsed());
    }
    Ok((times, body))
}

fn content_length(head: &[u8]) -> anyhow::Result<usize> {
    let head = std::str::from_utf8(head)?.to_ascii_lowercase();
    anyhow::ensure!(head.starts_with("http/1.1 200"), "not well answered: {head}");
    let line = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    Ok(line.context("no Content-Length")?.trim().parse()?)
}
