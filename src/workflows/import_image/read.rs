//! Bytes that lie still are read once more: what they are, and their digests.

use std::pin::pin;
use std::sync::Arc;

use futures::StreamExt;

use crate::block::BlockImage;
use crate::formats::{Content, Inspector};
use crate::jobs::{Run, StepError};
use crate::transfer::{Algorithm, DigestError, Digests, SendOptions, send};

/// What is read at once of bytes that are looked into.
const LOOK: u64 = 1 << 20;

/// Reads what says something of bytes that lie still.
pub(in crate::workflows) async fn look_into(
    image: &dyn BlockImage,
    size: u64,
) -> crate::block::Result<Content> {
    let mut inspector = Inspector::default();
    loop {
        let piece = inspector.next(size);
        if piece.is_empty() {
            return Ok(inspector.finish());
        }
        inspector.skip(piece.start);
        let length = (piece.end - piece.start).min(LOOK);
        inspector.feed(&image.read(piece.start, length).await?);
    }
}

/// In the order of the algorithms, in hexadecimal.
pub(in crate::workflows) async fn digests_of(
    image: &Arc<dyn BlockImage>,
    size: u64,
    algorithms: &[Algorithm],
    run: &Run,
) -> Result<Vec<(Algorithm, String)>, StepError> {
    let failed = |error: DigestError| StepError::fatal(error.to_string());
    if algorithms.is_empty() {
        return Ok(Vec::new());
    }
    let digests = Digests::start(algorithms).map_err(failed)?;
    let options = SendOptions { chunk: image.object_size(), ..SendOptions::default() };
    let mut bytes = pin!(send(image.clone(), 0..size, options));
    let mut read: u64 = 0;
    while let Some(piece) = bytes.next().await {
        let piece = piece?;
        read += piece.len() as u64;
        if !run.progress.report(read, size) {
            return Err(StepError::cancelled());
        }
        digests.update(piece).await.map_err(failed)?;
    }
    digests.finish().await.map_err(failed)
}
