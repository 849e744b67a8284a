//! The way to PostgreSQL, and what can happen on it.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    Fair,
    /// Every piece is late.
    Slow(Duration),
    /// Nothing arrives, and nobody is told.
    Silent,
    /// What the database says does not arrive any more: one direction is closed.
    HalfClosed,
    /// All connections end, and new ones end at once.
    Cut,
}

pub struct Proxy {
    pub address: SocketAddr,
    weather: watch::Sender<Weather>,
}

impl Proxy {
    pub async fn to(database: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (weather, seen) = watch::channel(Weather::Fair);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let seen = seen.clone();
                tokio::spawn(async move {
                    if *seen.borrow() == Weather::Cut {
                        return;
                    }
                    if let Ok(server) = TcpStream::connect(database).await {
                        join(client, server, seen).await;
                    }
                });
            }
        });
        Self { address, weather }
    }

    pub fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }
}

async fn join(client: TcpStream, server: TcpStream, seen: watch::Receiver<Weather>) {
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    // The first that ends takes the other with it, unless it was closed alone.
    tokio::select! {
        () = pass(from_client, to_server, seen.clone(), false) => {}
        () = pass(from_server, to_client, seen, true) => {}
    }
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut seen: watch::Receiver<Weather>,
    is_answer: bool,
) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let length = tokio::select! {
            read = from.read(&mut buffer) => match read {
                Ok(0) | Err(_) => return,
                Ok(length) => length,
            },
            changed = seen.changed() => {
                if changed.is_err() || *seen.borrow() == Weather::Cut {
                    return;
                }
                continue;
            }
        };
        let weather = *seen.borrow();
        match weather {
            Weather::Fair => {}
            Weather::Slow(by) => tokio::time::sleep(by).await,
            Weather::Silent => {
                if seen.wait_for(|now| *now != Weather::Silent).await.is_err() {
                    return;
                }
            }
            Weather::HalfClosed if is_answer => {
                let _ = to.shutdown().await;
                let _ = seen.wait_for(|now| *now != Weather::HalfClosed).await;
                return;
            }
            Weather::HalfClosed => {}
            Weather::Cut => return,
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
