//! The way to PostgreSQL, and what can happen on it.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex};
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
    address: SocketAddr,
    /// The last one is that of new connections.
    weather: Arc<Mutex<Vec<watch::Sender<Weather>>>>,
}

impl Proxy {
    /// Before the server at this URL; and the URL by way of it.
    pub async fn before(url: &str) -> (Self, String) {
        let mut url = url::Url::parse(url).unwrap();
        let database = (url.host_str().unwrap(), url.port().unwrap_or(5432));
        let proxy = Self::to(database.to_socket_addrs().unwrap().next().unwrap()).await;
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(proxy.address.port())).unwrap();
        (proxy, url.into())
    }

    async fn to(database: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let weather = Arc::new(Mutex::new(vec![watch::Sender::new(Weather::Fair)]));
        let of_new = weather.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let seen = of_new.lock().unwrap().last().unwrap().subscribe();
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
        self.weather.lock().unwrap().last().unwrap().send_replace(weather);
    }

    /// Nothing passes any more on the connections there are, whatever comes; new ones are as if nothing had been.
    pub fn strand(&self) {
        self.set(Weather::Silent);
        self.weather.lock().unwrap().push(watch::Sender::new(Weather::Fair));
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
