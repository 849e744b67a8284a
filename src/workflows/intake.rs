//! Bytes from outside come into an image that is made for them: of an upload, or of an import.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;

use super::lineage;
use crate::block::{BlockError, BlockStore, ErrorKind, Missing, OpenMode, Progress};
use crate::config;
use crate::db::{Image, ImageChange};
use crate::formats::{self, Content, Refusal};
use crate::transfer::{Algorithm, ReceiveOptions, Received, TransferError, receive};

/// How they come in, and what they are measured by.
#[derive(Clone, Debug)]
pub struct Intake {
    /// In bytes.
    pub object_size: u64,
    /// `image_size_cap`, in bytes.
    pub limit: u64,
    /// `rbd_thin_provisioning`
    pub sparse: bool,
    pub in_flight: usize,
    pub idle_timeout: Duration,
    /// `upload_min_rate`, in bytes a second.
    pub min_rate: u64,
    pub formats: formats::Rules,
    /// For `checksum` and `os_hash_value`; `None` leaves both empty.
    pub digests: Option<Algorithm>,
    /// Others, which are of use to the caller alone.
    pub others: Vec<Algorithm>,
}

impl From<&config::Images> for Intake {
    fn from(options: &config::Images) -> Self {
        let algorithm = match options.hashing_algorithm {
            config::HashingAlgorithm::Sha256 => Algorithm::Sha256,
            config::HashingAlgorithm::Sha384 => Algorithm::Sha384,
            config::HashingAlgorithm::Sha512 => Algorithm::Sha512,
        };
        Self {
            object_size: options.object_size(),
            limit: options.image_size_cap,
            sparse: options.rbd_thin_provisioning,
            in_flight: options.writes_in_flight as usize,
            idle_timeout: options.upload_idle_timeout.into(),
            min_rate: options.upload_min_rate.into(),
            formats: options.format_rules(),
            digests: options.compute_digests.then_some(algorithm),
            others: Vec::new(),
        }
    }
}

impl Intake {
    /// Makes the image `name` and writes all of `body` to it.
    pub(super) async fn take_in<S, E>(
        &self,
        store: &Arc<dyn BlockStore>,
        name: &str,
        promised: Option<u64>,
        body: S,
        progress: &Progress,
    ) -> Result<Received, TransferError>
    where
        S: Stream<Item = Result<Bytes, E>> + Send,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        if promised.is_some_and(|size| size > self.limit) {
            return Err(TransferError::TooLarge { limit: self.limit });
        }
        if progress.is_cancelled() {
            // The source may have been long in coming, and somebody else may be at it: nobody would take it away.
            let detail = "it was told to stop before anything was made";
            return Err(BlockError::new(ErrorKind::Cancelled, "create", name, detail).into());
        }
        store.create(name, promised.unwrap_or(0), self.object_size).await?;
        let image = store.open(name, OpenMode::ReadWrite).await?;
        // One that is named twice is computed once.
        let kept = self.digests.map(|algorithm| [Algorithm::Md5, algorithm]).into_iter().flatten();
        let digests = kept.chain(self.others.iter().copied()).collect();
        let received = receive(body, image.clone(), self.options(promised, digests), progress).await;
        image.close().await?;
        received
    }

    /// For bytes that come from an image of ours, whose storage has bounds of its own: it may take minutes to say where
    /// there are any.
    pub(super) fn unhurried(&self) -> Self {
        Self { idle_timeout: Duration::MAX, min_rate: 0, ..self.clone() }
    }

    pub(super) fn options(&self, promised: Option<u64>, digests: Vec<Algorithm>) -> ReceiveOptions {
        ReceiveOptions {
            size: promised,
            limit: self.limit,
            sparse: self.sparse,
            in_flight: self.in_flight,
            chunk: self.object_size,
            digests,
            idle_timeout: self.idle_timeout,
            min_rate: self.min_rate,
        }
    }

    /// What an image's row says of bytes that came in.
    pub(super) fn facts(&self, received: &Received) -> ImageChange {
        let digest = |wanted| received.digest(wanted).map(str::to_owned);
        ImageChange {
            // No store has more than the column holds.
            size: i64::try_from(received.size).ok(),
            virtual_size: None,
            checksum: self.digests.and(digest(Algorithm::Md5)),
            os_hash_algo: self.digests.map(|algorithm| algorithm.name().to_owned()),
            os_hash_value: self.digests.and_then(digest),
        }
    }

    /// Refuses content that the image must not have. What is packed (`container_format` other than `bare`) is not
    /// looked into.
    pub(super) fn virtual_size(&self, row: &Image, content: &Content) -> Result<Option<i64>, Refusal> {
        let declared = row.disk_format.as_deref().unwrap_or_default();
        let size = match row.container_format.as_deref() {
            Some("bare") => content.judge(declared, &self.formats)?,
            _ => (declared == "raw").then_some(content.length),
        };
        Ok(size.and_then(|size| i64::try_from(size).ok()))
    }
}

/// Removes an image that was never finished.
pub(super) async fn discard(
    store: &Arc<dyn BlockStore>,
    name: &str,
    progress: &Progress,
) -> crate::block::Result<()> {
    match store.remove(name, progress).await.or_missing() {
        Err(error) if error.kind == ErrorKind::NoSpace => {
            lineage::empty(store, name, progress).await?;
            Err(error)
        }
        other => other.map(drop),
    }
}
