//! Resident memory: idle, and while 4 GiB come in.

use std::time::Duration;

use crate::Bench;
use crate::bytes::{self, GIB};
use crate::numbers::mib;
use crate::server::Server;
use crate::table::{Row, Table};

const IDLE: u64 = 60 << 20;
const ABOVE: u64 = 128 << 20;

pub async fn measure(bench: &Bench, table: &mut Table) -> anyhow::Result<()> {
    let server = Server::start(bench, "memory", &[]).await?;
    let client = server.client();
    // Connected to the cluster, and done with what a start brings.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (idle, _) = server.memory()?;
    let figure = format!("resident memory, idle ({} threads)", server.threads()?);
    table.add(Row::shown(figure, mib(idle)).limit(format!("< {}", mib(IDLE)), idle < IDLE));

    let file = bytes::dense_file(bench)?;
    let image = client.image("memory").await?;
    client.upload(&image, &file, 4).await?;
    let (_, most) = server.memory()?;
    let above = most - idle;
    table.add(
        Row::shown("resident memory, most during an upload of 4 GiB", format!("{} above idle", mib(above)))
            .limit(format!("< {} above", mib(ABOVE)), above < ABOVE),
    );
    anyhow::ensure!(std::fs::metadata(&file)?.len() == GIB, "another file than was meant");
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (after, _) = server.memory()?;
    table.add(Row::shown("resident memory, 5 s afterwards", mib(after)));
    client.delete_image(&image).await?;
    server.stop().await
}
