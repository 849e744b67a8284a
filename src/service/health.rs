//! What load balancers, service managers and Prometheus ask.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures::future::try_join_all;
use serde::Serialize;

use crate::http::App;
use crate::telemetry::chain;

/// How long a store or the database may take to say that it is there.
const PATIENCE: Duration = Duration::from_secs(5);

/// The process answers: nothing else is asked.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

#[derive(Serialize)]
struct Readiness {
    database: &'static str,
    images: &'static str,
    volumes: &'static str,
}

/// Database and stores answer: 200; else 503, and which of them does not.
pub(super) async fn readyz(State(app): State<App>) -> Response {
    let (database, images, volumes) = tokio::join!(
        ready("database", async { app.database.check().await.map_err(|e| chain(&e)) }),
        ready("images", images(&app)),
        ready("volumes", volumes(&app)),
    );
    let all = [database, images, volumes].iter().all(|answer| *answer == "ok");
    let status = if all { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, axum::Json(Readiness { database, images, volumes })).into_response()
}

async fn images(app: &App) -> Result<(), String> {
    let asked = app.stores.all_images().map(async |(_, store)| {
        store.ping().await.map_err(|error| format!("{}: {}", store.pool(), chain(&error)))
    });
    try_join_all(asked).await.map(drop)
}

/// Where one backend is gone there are volumes that cannot be reached.
async fn volumes(app: &App) -> Result<(), String> {
    let asked = app.stores.volumes.iter().map(async |backend| {
        backend.store.ping().await.map_err(|error| format!("{}: {}", backend.name, chain(&error)))
    });
    try_join_all(asked).await.map(drop)
}

async fn ready(what: &'static str, check: impl Future<Output = Result<(), String>>) -> &'static str {
    match tokio::time::timeout(PATIENCE, check).await {
        Ok(Ok(())) => "ok",
        Ok(Err(error)) => {
            tracing::warn!(part = what, error, "not ready");
            "failed"
        }
        Err(_) => {
            tracing::warn!(part = what, "not ready: no answer in time");
            "silent"
        }
    }
}
