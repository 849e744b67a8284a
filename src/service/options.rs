//! What the configuration says to each part, in that part's own terms.

use std::time::Duration;

use crate::config::{Backend, Config};
use crate::{db, jobs, web, workflows};

pub(super) fn of_database(config: &Config) -> db::Options {
    db::Options {
        url: config.database.url.expose().to_owned(),
        max_connections: config.database.max_connections,
        timeout: config.database.busy_timeout.into(),
    }
}

pub(super) fn of_queue(config: &Config) -> db::QueueBounds {
    db::QueueBounds {
        in_all: config.jobs.max_open.into(),
        of_project: config.jobs.max_open_per_project.into(),
    }
}

pub(super) fn of_worker(config: &Config) -> jobs::Options {
    let workers = config.jobs.workers as usize;
    jobs::Options {
        // The pool of the images is a place too.
        slots: workers * (config.all_backends().count() + 1),
        slots_of_place: workers,
        max_attempts: i64::from(config.jobs.max_attempts),
        poll: config.jobs.poll_interval.into(),
        retry_pause: 1,
    }
}

pub(super) fn of_web(config: &Config) -> web::Options {
    web::Options {
        answer_timeout: config.images.upload_idle_timeout.into(),
        whole_timeout: config.images.web_download_timeout.into(),
        resumptions: config.images.http_retries,
        pause: Duration::from_secs(1),
    }
}

pub(super) fn of_workflows(config: &Config) -> workflows::Options {
    workflows::Options {
        making: config.all_backends().map(|(name, backend)| (name.to_owned(), making(&backend))).collect(),
        intake: workflows::Intake::from(&config.images),
        imports: workflows::Imports::from(config),
        weights: config.store_weights(),
    }
}

fn making(backend: &Backend) -> workflows::Making {
    workflows::Making {
        object_size: backend.object_size(),
        flatten_from_snapshot: backend.rbd_flatten_volume_from_snapshot,
        max_clone_depth: backend.rbd_max_clone_depth,
        image_cache: cache_limits(backend),
    }
}

fn cache_limits(backend: &Backend) -> Option<workflows::CacheLimits> {
    let count = usize::try_from(backend.image_volume_cache_max_count).unwrap_or(usize::MAX);
    let gib = i64::from(backend.image_volume_cache_max_size_gb);
    backend.image_volume_cache_enabled.then_some(workflows::CacheLimits { count, gib })
}

pub(super) fn of_sweeper(config: &Config) -> workflows::Keep {
    workflows::Keep {
        finished_days: config.jobs.keep_finished_days,
        messages: config.volumes.message_lifetime(),
    }
}
