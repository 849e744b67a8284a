//! The two APIs as a client uses them.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::sys::sendfile::sendfile64;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::TcpCongestion;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// How often the status of something is asked for while it is waited for.
const LOOK: Duration = Duration::from_millis(2);
/// No single thing takes so long.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    address: SocketAddr,
    look: Duration,
}

impl Client {
    pub fn new(address: SocketAddr) -> Self {
        Self { http: reqwest::Client::new(), address, look: LOOK }
    }

    /// Looks less often: asking takes the processor from those who do the work.
    pub fn looking_every(self, look: Duration) -> Self {
        Self { look, ..self }
    }

    pub async fn is_ready(&self) -> bool {
        let answer = self.http.get(format!("http://{}/readyz", self.address)).send().await;
        answer.is_ok_and(|answer| answer.status() == StatusCode::OK)
    }

    /// Whatever is answered.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<(StatusCode, Value)> {
        let mut request = self.http.request(method, format!("http://{}{path}", self.address));
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<(StatusCode, Value)> {
        let (status, answer) = self.send(method.clone(), path, body).await?;
        anyhow::ensure!(
            status.is_success() || status == StatusCode::NOT_FOUND,
            "{method} {path}: {status}: {answer}"
        );
        Ok((status, answer))
    }

    /// Creates a volume or a snapshot; answers its id.
    async fn create(&self, what: &str, body: Value) -> anyhow::Result<String> {
        let path = format!("/volume/v3/{what}s");
        let (status, answer) = self.call(Method::POST, &path, Some(&json!({ what: body }))).await?;
        let id = answer[what]["id"].as_str();
        Ok(id.with_context(|| format!("POST {path}: {status}: {answer}"))?.to_owned())
    }

    /// Waits until it is available.
    async fn available(&self, what: &str, id: &str) -> anyhow::Result<()> {
        let path = format!("/volume/v3/{what}s/{id}");
        let end = Instant::now() + PATIENCE;
        loop {
            let (_, answer) = self.call(Method::GET, &path, None).await?;
            match answer[what]["status"].as_str() {
                Some("available") => return Ok(()),
                Some("creating" | "downloading") if Instant::now() < end => {
                    tokio::time::sleep(self.look).await
                }
                _ => anyhow::bail!("GET {path}: {answer}"),
            }
        }
    }

    /// Asks for it to be deleted, and waits until it is gone.
    async fn delete(&self, what: &str, id: &str) -> anyhow::Result<()> {
        let path = format!("/volume/v3/{what}s/{id}");
        self.call(Method::DELETE, &path, None).await?;
        let end = Instant::now() + PATIENCE;
        loop {
            let (status, answer) = self.call(Method::GET, &path, None).await?;
            match answer[what]["status"].as_str() {
                None if status == StatusCode::NOT_FOUND => return Ok(()),
                Some("deleting") if Instant::now() < end => tokio::time::sleep(self.look).await,
                _ => anyhow::bail!("GET {path}: {answer}"),
            }
        }
    }

    /// `source` as `imageRef`, `snapshot_id` or `source_volid`. Answers the id of the volume, which is available.
    pub async fn volume(&self, name: &str, source: Option<(&str, &str)>) -> anyhow::Result<String> {
        let mut body = json!({ "name": name, "size": 1 });
        if let Some((key, id)) = source {
            body[key] = id.into();
        }
        let id = self.create("volume", body).await?;
        self.available("volume", &id).await?;
        Ok(id)
    }

    pub async fn delete_volume(&self, id: &str) -> anyhow::Result<()> {
        self.delete("volume", id).await
    }

    pub async fn snapshot(&self, volume: &str) -> anyhow::Result<String> {
        let body = json!({ "name": "figure", "volume_id": volume });
        let id = self.create("snapshot", body).await?;
        self.available("snapshot", &id).await?;
        Ok(id)
    }

    pub async fn delete_snapshot(&self, id: &str) -> anyhow::Result<()> {
        self.delete("snapshot", id).await
    }

    /// The record of a raw image, without bytes.
    pub async fn image(&self, name: &str) -> anyhow::Result<String> {
        self.image_as(name, "raw").await
    }

    async fn image_as(&self, name: &str, disk_format: &str) -> anyhow::Result<String> {
        let body = json!({ "name": name, "disk_format": disk_format, "container_format": "bare" });
        let (status, answer) = self.call(Method::POST, "/image/v2/images", Some(&body)).await?;
        let id = answer["id"].as_str();
        Ok(id.with_context(|| format!("POST /image/v2/images: {status}: {answer}"))?.to_owned())
    }

    /// How long it takes, from now on, until an image has its snapshot.
    pub async fn sealed(&self, image: &str) -> anyhow::Result<Duration> {
        let started = Instant::now();
        let path = format!("/pumice/v1/jobs?resource_id={image}&state=open");
        while self.call(Method::GET, &path, None).await?.1["jobs"] != json!([]) {
            anyhow::ensure!(started.elapsed() < PATIENCE, "an image gets no snapshot");
            tokio::time::sleep(self.look).await;
        }
        Ok(started.elapsed())
    }

    pub async fn delete_image(&self, id: &str) -> anyhow::Result<()> {
        self.call(Method::DELETE, &format!("/image/v2/images/{id}"), None).await?;
        Ok(())
    }

    /// Sends a file, `times` over, as an image's bytes. It is active when this answers.
    pub async fn upload(&self, image: &str, file: &Path, times: u64) -> anyhow::Result<Duration> {
        let (address, image, file) = (self.address, image.to_owned(), file.to_owned());
        tokio::task::spawn_blocking(move || send(address, &image, &file, times)).await?
    }

    pub async fn download(&self, image: &str, file: &Path) -> anyhow::Result<Duration> {
        let (address, image, file) = (self.address, image.to_owned(), file.to_owned());
        tokio::task::spawn_blocking(move || {
            let _ = std::fs::remove_file(&file);
            fetch(address, &image, File::create(&file)?, None)
        })
        .await?
    }

    /// All of an image of `size` bytes, in so many ranges at once.
    pub async fn download_in_parts(
        &self,
        image: &str,
        file: &Path,
        size: u64,
        parts: u64,
    ) -> anyhow::Result<Duration> {
        let _ = std::fs::remove_file(file);
        File::create(file)?.set_len(size)?;
        let started = Instant::now();
        let mut downloads = tokio::task::JoinSet::new();
        for part in 0..parts {
            let (address, image, file) = (self.address, image.to_owned(), file.to_owned());
            let range = size * part / parts..size * (part + 1) / parts;
            downloads.spawn_blocking(move || {
                let mut file = File::options().write(true).open(&file)?;
                file.seek(SeekFrom::Start(range.start))?;
                fetch(address, &image, file, Some(range))
            });
        }
        for outcome in downloads.join_all().await {
            outcome?;
        }
        Ok(started.elapsed())
    }

    /// An image with bytes.
    pub async fn uploaded(&self, file: &Path) -> anyhow::Result<(String, Duration)> {
        self.uploaded_as("raw", file).await
    }

    pub async fn uploaded_as(&self, disk_format: &str, file: &Path) -> anyhow::Result<(String, Duration)> {
        let id = self.image_as("figure", disk_format).await?;
        let time = self.upload(&id, file, 1).await?;
        Ok((id, time))
    }
}

/// A connection to send much on. How fast a sender believes it may be is the sender's own affair: `cubic` is what Linux
/// comes with, while some machines pace all connections for long ways (`bbr`), which halves what loopback carries.
fn connect_to_send(address: SocketAddr) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    // Where it is not to be had, `reno` always is, and on loopback does as well.
    setsockopt(&stream, TcpCongestion, &"cubic".into())
        .or_else(|_| setsockopt(&stream, TcpCongestion, &"reno".into()))
        .context("congestion control")?;
    Ok(stream)
}

/// A whole file by `sendfile`, so that the sender takes as little of the processor from the receiver as it can:
/// `std::io::copy` would go by way of a small buffer.
fn send_file(file: &File, stream: &TcpStream) -> anyhow::Result<()> {
    let size = usize::try_from(file.metadata()?.len())?;
    let (mut offset, mut sent) = (0, 0);
    while sent < size {
        let count = sendfile64(stream, file, Some(&mut offset), size - sent)?;
        anyhow::ensure!(count > 0, "the file became shorter");
        sent += count;
    }
    Ok(())
}

fn send(address: SocketAddr, image: &str, file: &Path, times: u64) -> anyhow::Result<Duration> {
    let file = File::open(file)?;
    let size = file.metadata()?.len() * times;
    let started = Instant::now();
    let mut stream = connect_to_send(address)?;
    write!(
        stream,
        "PUT /image/v2/images/{image}/file HTTP/1.1\r\nHost: {address}\r\nContent-Type: \
         application/octet-stream\r\nContent-Length: {size}\r\nx-openstack-image-size: {size}\r\n\
         Connection: close\r\n\r\n"
    )?;
    for _ in 0..times {
        send_file(&file, &stream)?;
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let time = started.elapsed();
    anyhow::ensure!(answer.starts_with("HTTP/1.1 204"), "PUT file: {answer}");
    Ok(time)
}

/// How long the file takes to somebody on this machine who receives it and does nothing else.
pub fn pass_by(file: &Path) -> anyhow::Result<Duration> {
    const BUFFER: usize = 512 << 10;
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr()?;
    let receiver = std::thread::spawn(move || -> std::io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        let mut buffer = vec![0; BUFFER];
        while stream.read(&mut buffer)? > 0 {}
        Ok(())
    });
    let file = File::open(file)?;
    let started = Instant::now();
    let stream = connect_to_send(address)?;
    send_file(&file, &stream)?;
    drop(stream);
    match receiver.join() {
        Ok(received) => received?,
        Err(_) => anyhow::bail!("the receiver panicked"),
    }
    Ok(started.elapsed())
}

/// Writes all of an image, or a range of it, to where the file stands.
fn fetch(
    address: SocketAddr,
    image: &str,
    mut target: File,
    range: Option<Range<u64>>,
) -> anyhow::Result<Duration> {
    let started = Instant::now();
    let mut stream = TcpStream::connect(address)?;
    let asked = range.as_ref().map(|range| format!("Range: bytes={}-{}\r\n", range.start, range.end - 1));
    write!(
        stream,
        "GET /image/v2/images/{image}/file HTTP/1.1\r\nHost: {address}\r\n{}Connection: close\r\n\r\n",
        asked.unwrap_or_default()
    )?;
    let mut reader = BufReader::with_capacity(64 << 10, stream);
    let mut length = None;
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = if range.is_some() { "HTTP/1.1 206" } else { "HTTP/1.1 200" };
    anyhow::ensure!(line.starts_with(status), "GET file: {line}");
    while line.trim() != "" {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = Some(value.trim().parse::<u64>()?);
        }
        line.clear();
        reader.read_line(&mut line)?;
    }
    let length = length.context("GET file: no Content-Length")?;
    let begun = reader.buffer().to_vec();
    target.write_all(&begun)?;
    let mut stream = reader.into_inner();
    let mut buffer = vec![0; 1 << 20];
    let mut received = begun.len() as u64;
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        target.write_all(&buffer[..count])?;
        received += count as u64;
    }
    anyhow::ensure!(received == length, "GET file: {received} bytes of {length}");
    Ok(started.elapsed())
}
