//! Says that this process is alive, and how much room there is in the places for volumes: the scheduler and the
//! administrators go by it.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::block::{self, Backends, BlockStore, ErrorKind, PoolStatistics};
use crate::db::{self, Database, Service};
use crate::model::{Host, World};
use crate::scheduler::Place;
use crate::telemetry::chain;

/// How long a store may take: with it, all are heard of well before they count as down.
const PATIENCE: Duration = Duration::from_secs(10);

pub struct Reporter {
    backends: Backends,
    places: Arc<[Place]>,
    database: Database,
    world: World,
}

/// What a store says of itself.
struct Seen {
    /// `None`: it answers, and knows nothing of that yet.
    statistics: Option<PoolStatistics>,
    mirrors: bool,
}

impl Seen {
    async fn of(store: &Arc<dyn BlockStore>) -> block::Result<Self> {
        let statistics = match store.statistics().await {
            Err(error) if error.kind == ErrorKind::Busy => {
                tracing::info!(%error, "a pool is not measured yet");
                None
            }
            statistics => Some(statistics?),
        };
        // Whoever may not ask cannot see to it either.
        let mirrors = store.mirrors_images().await.unwrap_or_else(|error| {
            tracing::warn!(%error, "it is not known whether a pool mirrors images");
            false
        });
        Ok(Self { statistics, mirrors })
    }
}

impl Reporter {
    pub fn new(backends: Backends, places: Arc<[Place]>, database: Database, world: World) -> Self {
        Self { backends, places, database, world }
    }

    pub async fn run(self, every: Duration, stop: CancellationToken) {
        let reports = async {
            loop {
                if let Err(error) = self.report().await {
                    tracing::warn!(error = %chain(&error), "no sign of life was given");
                }
                tokio::time::sleep(every).await;
            }
        };
        stop.run_until_cancelled(reports).await;
    }

    /// Once. A store that does not answer keeps the others from nothing but [`PATIENCE`].
    pub async fn report(&self) -> db::Result<()> {
        let asked = self.places.iter().map(async |place| (place, self.look_at(place).await));
        let found = futures::future::join_all(asked).await;
        let now = self.world.now();
        // It reads all volumes: nobody who writes waits for that.
        let provisioned = self.database.read().await?.provisioned().await?;
        let mut repository = self.database.begin().await?;
        for (place, seen) in &found {
            let bytes = |count: fn(&PoolStatistics) -> u64| {
                let statistics = seen.as_ref()?.statistics.as_ref()?;
                Some(i64::try_from(count(statistics)).unwrap_or(i64::MAX))
            };
            let lies_there = |host: &str| {
                self.backends.of(Some(host)).is_some_and(|backend| *backend.name == *place.backend)
            };
            let service = Service {
                answers: seen.is_some(),
                mirrors: seen.as_ref().is_some_and(|seen| seen.mirrors),
                total_bytes: bytes(|statistics| statistics.total_bytes),
                free_bytes: bytes(|statistics| statistics.available_bytes),
                provisioned: provisioned
                    .iter()
                    .filter(|(host, _)| lies_there(host))
                    .map(|(_, gib)| gib)
                    .sum(),
                ..Service::seen(place.service(), Service::VOLUME, &place.zone, now)
            };
            repository.see_service(&service).await?;
        }
        if let Some(first) = self.places.first() {
            let scheduler = Service::seen(Host::OURS, Service::SCHEDULER, &first.zone, now);
            repository.see_service(&scheduler).await?;
        }
        repository.commit().await
    }

    async fn look_at(&self, place: &Place) -> Option<Seen> {
        let backend = self.backends.named(&place.backend)?;
        match tokio::time::timeout(PATIENCE, Seen::of(&backend.store)).await {
            Ok(Ok(seen)) => Some(seen),
            Ok(Err(error)) => {
                tracing::warn!(backend.name = %backend.name, %error, "a place for volumes does not answer");
                None
            }
            Err(_) => {
                tracing::warn!(backend.name = %backend.name, "a place for volumes does not answer in time");
                None
            }
        }
    }
}
