//! An image's bytes as a stream.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, TryFutureExt, stream};
use tokio_util::task::AbortOnDropHandle;

use crate::block::{BlockImage, Result};
use crate::formats::Segment;

use super::in_flight::lost;
use super::pieces::{Piece, Pieces};
use super::zero::zeros;
use super::{DEFAULT_CHUNK, DEFAULT_IN_FLIGHT};

#[derive(Clone, Debug)]
pub struct SendOptions {
    /// Normally the object size of the source.
    pub chunk: u64,
    /// Reads at once, and chunks held for a slow client.
    pub ahead: usize,
    /// Asks the source once what it holds, and does not read the rest.
    pub sparse: bool,
}

impl Default for SendOptions {
    fn default() -> Self {
        Self { chunk: DEFAULT_CHUNK, ahead: DEFAULT_IN_FLIGHT, sparse: true }
    }
}

/// The bytes of `range`, in order. Ends after the first error. Nothing is read before the stream is polled,
/// which must happen inside of a runtime; dropping it gives up on the reads under way.
///
/// The source must not change meanwhile.
pub fn send(
    source: Arc<dyn BlockImage>,
    range: Range<u64>,
    options: SendOptions,
) -> impl Stream<Item = Result<Bytes>> + Send + 'static {
    async move {
        let pieces = plan(&*source, range, &options).await;
        Ok(read(source, pieces.map(Next::from), options.ahead))
    }
    .try_flatten_stream()
}

/// Likewise the bytes of a file that holds the disk `source` in a format.
pub fn send_encoded(
    source: Arc<dyn BlockImage>,
    segments: impl Iterator<Item = Segment> + Send + 'static,
    options: SendOptions,
) -> impl Stream<Item = Result<Bytes>> + Send + 'static {
    let parts = segments.flat_map(move |segment| -> Box<dyn Iterator<Item = Next> + Send> {
        match segment {
            Segment::Bytes(bytes) => Box::new(std::iter::once(Next::Given(bytes))),
            Segment::Zeros(length) => Box::new(std::iter::once(Next::Zeros(length))),
            Segment::Disk(range) => Box::new(Pieces::solid(range, options.chunk).map(Next::from)),
        }
    });
    read(source, parts, options.ahead)
}

fn read(
    source: Arc<dyn BlockImage>,
    parts: impl Iterator<Item = Next> + Send + 'static,
    ahead: usize,
) -> impl Stream<Item = Result<Bytes>> + Send + 'static {
    let reader = Reader { source, parts, ahead: ahead.max(1), queue: VecDeque::new() };
    stream::try_unfold(
        reader,
        |mut reader| async move { Ok(reader.next().await?.map(|bytes| (bytes, reader))) },
    )
}

async fn plan(source: &dyn BlockImage, range: Range<u64>, options: &SendOptions) -> Pieces {
    // The map of a whole image costs more than it saves where all reads go out at once anyway.
    let at_once = options.chunk.saturating_mul(options.ahead as u64);
    if options.sparse && range.end.saturating_sub(range.start) > at_once {
        match source.allocated().await {
            Ok(extents) => return Pieces::new(range, extents, options.chunk),
            // Costs time, not bytes.
            Err(error) => tracing::debug!(%error, "reading all of an image whose holes are not known"),
        }
    }
    Pieces::solid(range, options.chunk)
}

struct Reader<I> {
    source: Arc<dyn BlockImage>,
    parts: I,
    ahead: usize,
    /// What comes next, in order.
    queue: VecDeque<Next>,
}

enum Next {
    Zeros(u64),
    Given(Bytes),
    Wanted(Range<u64>),
    Read(AbortOnDropHandle<Result<Bytes>>),
}

impl From<Piece> for Next {
    fn from(piece: Piece) -> Self {
        match piece {
            Piece::Hole(range) => Self::Zeros(range.end - range.start),
            Piece::Data(range) => Self::Wanted(range),
        }
    }
}

impl<I: Iterator<Item = Next>> Reader<I> {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        while self.queue.len() < self.ahead {
            let Some(part) = self.parts.next() else { break };
            let started = match part {
                Next::Wanted(range) => Next::Read(self.start(range)),
                other => other,
            };
            self.queue.push_back(started);
        }
        match self.queue.pop_front() {
            // All that is wanted was started.
            None | Some(Next::Wanted(_)) => Ok(None),
            Some(Next::Given(bytes)) => Ok(Some(bytes)),
            Some(Next::Zeros(0)) => Ok(Some(Bytes::new())),
            Some(Next::Read(read)) => read.await.map_err(|error| lost(self.source.name(), error))?.map(Some),
            Some(Next::Zeros(left)) => {
                let bytes = zeros(left);
                let left = left - bytes.len() as u64;
                if left > 0 {
                    self.queue.push_front(Next::Zeros(left));
                }
                Ok(Some(bytes))
            }
        }
    }

    fn start(&self, range: Range<u64>) -> AbortOnDropHandle<Result<Bytes>> {
        let source = self.source.clone();
        let read = async move { source.read(range.start, range.end - range.start).await };
        AbortOnDropHandle::new(tokio::spawn(read))
    }
}
