//! A volume from an image that is not raw: its disk is read where the image lies, and written once. With the cache that
//! is a copy of its own, and this volume and all later ones are clones of it.

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;

use super::{Step, Target, unknown_step};
use crate::block::{Missing, OpenMode, SnapshotPath};
use crate::db::{self, CachedImage, Repository};
use crate::jobs::{Cause, Run, StepError, Workflow};
use crate::model::{Action, Detail, Event, Gib, VolumeId};
use crate::workflows::origin::Origin;
use crate::workflows::{Context, image_cache, lineage, names};

pub(in crate::workflows) struct FromConverted {
    target: Target,
    origin: Origin,
    is_clone: AtomicBool,
    /// It has the volume's size.
    is_whole: AtomicBool,
}

impl FromConverted {
    pub(in crate::workflows) fn new(context: Context, id: VolumeId, origin: Origin) -> Self {
        Self {
            target: Target::new(context, id),
            origin,
            is_clone: AtomicBool::new(false),
            is_whole: AtomicBool::new(false),
        }
    }

    /// Fills the cache, unless it has the image or is not wanted.
    async fn cache(&self, run: &Run) -> Step {
        let (target, image) = (&self.target, &self.origin.image);
        let context = &target.context;
        let Some(limits) = target.making(run).await?.image_cache else { return Ok(()) };
        let backend = target.backend(run).await?;
        // Several volumes of one image wait for the first one's copy.
        let lock = format!("cache {image} {}", backend.name);
        let lock = run.progress.wait_for(context.locks.lock(&lock)).await;
        let _lock = lock.ok_or_else(StepError::cancelled)?;
        let kept = run.database.read().await?.cached_images_of(image).await?;
        if kept.iter().any(|cached| *cached.backend == *backend.name) {
            // Somebody else was faster than an earlier try of this one.
            return self.drop_copy(run).await;
        }
        let room = target.row(run).await?.size.bytes();
        let source = self.origin.open(context, &backend.store, run).await?;
        let bytes = source.size().await?;
        let fits = Gib::holding(bytes).filter(|size| size.bytes() <= room);
        let Some(size) = fits else {
            // What cannot become this volume is not worth keeping.
            source.close().await?;
            return Err(too_small(bytes));
        };
        if !image_cache::make_room(context, backend, limits, size, run).await? {
            source.close().await?;
            return self.drop_copy(run).await;
        }
        self.target.downloading(run).await?;
        let name = names::cached(&self.target.id);
        self.target.create_image(&name, size.bytes(), run).await?;
        source.write(&backend.store, &name, true, run).await?;
        lineage::take_snapshot(&backend.store, &name, names::IMAGE_SNAPSHOT).await?;
        let cached = CachedImage {
            name,
            image_id: self.origin.image.clone(),
            backend: backend.name.to_string(),
            size,
            used_at: run.now(),
        };
        let mut repository = run.transaction().await?;
        repository.add_cached_image(&cached).await?;
        Ok(repository.commit().await?)
    }

    async fn create(&self, run: &Run) -> Step {
        let context = &self.target.context;
        let backend = self.target.backend(run).await?;
        let cached = match context.making(backend).image_cache {
            Some(_) => image_cache::find(&self.origin.image, backend, run).await?,
            None => None,
        };
        self.is_clone.store(cached.is_some(), Ordering::Relaxed);
        let Some(cached) = cached else { return self.target.create_anew(run).await };
        self.is_whole.store(cached.size == self.target.row(run).await?.size, Ordering::Relaxed);
        let path = image_cache::path(backend, &cached);
        match self.target.clone_from(&path, run).await {
            Err(_) if !self.is_there(&path, run).await? => {
                // Put out of use this very moment, or half so by a process that died.
                image_cache::evict(context, &cached, run).await?;
                Err(StepError::new(Cause::Transient, "The image is being cached anew.", path.image))
            }
            cloned => cloned,
        }
    }

    async fn is_there(&self, path: &SnapshotPath, run: &Run) -> Result<bool, StepError> {
        let store = self.target.store(run).await?;
        let mode = OpenMode::Snapshot(path.snapshot.clone());
        match store.open(&path.image, mode).await.or_missing()? {
            Some(image) => Ok(image.close().await.map(|()| true)?),
            None => Ok(false),
        }
    }

    async fn download(&self, run: &Run) -> Step {
        if self.is_clone.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.target.downloading(run).await?;
        let store = self.target.store(run).await?;
        let source = self.origin.open(&self.target.context, store, run).await?;
        let bytes = source.size().await?;
        if bytes > self.target.row(run).await?.size.bytes() {
            source.close().await?;
            return Err(too_small(bytes));
        }
        source.write(store, &self.target.name(), true, run).await
    }

    /// Of a copy that did not come into the cache.
    async fn drop_copy(&self, run: &Run) -> Step {
        let name = names::cached(&self.target.id);
        let kept = run.database.read().await?.cached_images_of(&self.origin.image).await?;
        if kept.iter().any(|cached| cached.name == name) {
            return Ok(());
        }
        if self.target.row(run).await?.host.is_none() {
            return Ok(());
        }
        lineage::take_away_sealed(self.target.store(run).await?, &name, run).await
    }

    /// What was fetched from the web, if that is where the image lies.
    async fn tidy(&self, run: &Run) -> Step {
        if self.target.row(run).await?.host.is_none() {
            return Ok(());
        }
        self.origin.tidy(self.target.store(run).await?, run).await
    }
}

fn too_small(bytes: u64) -> StepError {
    StepError::fatal(format!("The disk in the image has {bytes} bytes, for which the volume is too small."))
}

#[async_trait]
impl Workflow for FromConverted {
    fn steps(&self) -> &'static [&'static str] {
        &["cache", "create", "download", "tidy", "resize", "replicate"]
    }

    async fn run(&self, step: &'static str, run: &Run) -> Step {
        match step {
            "cache" => self.cache(run).await,
            "create" => self.create(run).await,
            "download" => self.download(run).await,
            "tidy" => self.tidy(run).await,
            "resize" if self.is_whole.load(Ordering::Relaxed) => self.target.limit(run).await,
            "resize" => self.target.grow(run).await,
            "replicate" => self.target.replicate(None, run).await,
            other => Err(unknown_step(other)),
        }
    }

    async fn undo(&self, step: &'static str, run: &Run) -> Step {
        match step {
            "create" => self.target.remove(run).await,
            "cache" => {
                self.drop_copy(run).await?;
                self.tidy(run).await
            }
            _ => Ok(()),
        }
    }

    async fn finish(&self, repository: &mut Repository, run: &Run) -> db::Result<()> {
        self.target.finish(repository, run).await
    }

    async fn fail(&self, repository: &mut Repository, run: &Run, _: Cause) -> db::Result<()> {
        self.target.fail(repository, run).await
    }

    fn complaint(&self, _: Cause) -> Option<Event> {
        self.target.complaint(Event::new(Action::CopyImageToVolume, Detail::Unknown))
    }
}
