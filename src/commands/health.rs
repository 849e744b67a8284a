//! `pumice health`: the probe for containers and service managers, which need no other HTTP client then.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;

use crate::config::Config;
use crate::service::{address, client};

/// Ask the service on this machine whether it is well; succeeds if it is
#[derive(Debug, Args)]
pub struct Arguments {
    /// Ask whether it can serve: whether database and stores answer too
    #[arg(long)]
    ready: bool,

    /// How long the answer may take, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    timeout: u64,
}

pub fn run(arguments: Arguments, file: Option<&Path>) -> anyhow::Result<()> {
    let config = Config::load(file)?;
    let path = if arguments.ready { "readyz" } else { "healthz" };
    let url = format!("{}/{path}", address(&config));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(ask(client(&config)?, &url, Duration::from_secs(arguments.timeout)))
}

async fn ask(client: reqwest::ClientBuilder, url: &str, timeout: Duration) -> anyhow::Result<()> {
    let client = client.timeout(timeout).build()?;
    let answer = client.get(url).send().await.map_err(reqwest::Error::without_url);
    let answer = answer.with_context(|| format!("no answer from {url}"))?;
    let status = answer.status();
    let text = answer.text().await.unwrap_or_default();
    ensure!(status.is_success(), "{url} answers {status}: {}", text.trim());
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    fn asked(answer: &'static str) -> anyhow::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/healthz", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let outcome =
            runtime.block_on(ask(client(&Config::default()).unwrap(), &url, Duration::from_secs(5)));
        server.join().unwrap();
        outcome
    }

    #[test]
    fn the_answer_decides() {
        asked("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap();
        let error =
            asked("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 8\r\n\r\ndatabase").unwrap_err();
        assert!(error.to_string().contains("503"), "{error}");
        assert!(error.to_string().ends_with("database"), "{error}");
    }
}
