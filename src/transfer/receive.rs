//! Bytes from outside into an image.

use std::error::Error;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt};
use tokio::time::{Instant, sleep};

use crate::block::{self, BlockImage, ErrorKind, Progress};

use super::chunk::Chunk;
use super::digest::{Algorithm, Digests};
use super::error::TransferError;
use super::in_flight::InFlight;
use super::zero::{GRAIN, is_zero, zero_chunk};
use super::{DEFAULT_CHUNK, DEFAULT_IN_FLIGHT};

/// An image of unknown size first grows by this much, then by twice as much each time.
const FIRST_GROWTH: u64 = 16 << 20;
const LARGEST_GROWTH: u64 = 8 << 30;

/// How often a cancel is looked for while nothing arrives.
const LOOK_UP: Duration = Duration::from_millis(250);

#[derive(Clone, Debug)]
pub struct ReceiveOptions {
    /// What the sender promised. The target must have room for it and keeps its own size. Without a promise
    /// the target grows with the data and ends with the size of it.
    pub size: Option<u64>,
    /// More than this is refused.
    pub limit: u64,
    /// Leaves zeros unwritten: the target must be empty.
    pub sparse: bool,
    /// Writes at once.
    pub in_flight: usize,
    /// Normally the object size of the target.
    pub chunk: u64,
    pub digests: Vec<Algorithm>,
    /// How long the sender may be silent. The time the storage takes does not count.
    pub idle_timeout: Duration,
    /// Bytes a second that are as good as silence when it is fewer, over `idle_timeout`.
    pub min_rate: u64,
}

impl Default for ReceiveOptions {
    fn default() -> Self {
        Self {
            size: None,
            limit: u64::MAX,
            sparse: true,
            in_flight: DEFAULT_IN_FLIGHT,
            chunk: DEFAULT_CHUNK,
            digests: Vec::new(),
            idle_timeout: Duration::from_secs(60),
            min_rate: 0,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    pub size: u64,
    /// Bytes written; less than `size` where zeros were left out.
    pub stored: u64,
    /// Over all bytes, in the order asked for.
    pub digests: Vec<(Algorithm, String)>,
}

impl Received {
    /// In hexadecimal; `None`: it was not asked for.
    pub fn digest(&self, wanted: Algorithm) -> Option<&str> {
        self.digests.iter().find(|(algorithm, _)| *algorithm == wanted).map(|(_, hex)| hex.as_str())
    }
}

/// Writes all of `body` to the start of `target`, and flushes it.
///
/// When it fails, `target` holds a part of the bytes and no write is under way: it may be removed at once.
/// Not so when its future is dropped: to give up, cancel `progress` or end `body` with an error.
/// `progress` counts the bytes taken in, out of those promised (or out of 0).
pub async fn receive<S, E>(
    body: S,
    target: Arc<dyn BlockImage>,
    options: ReceiveOptions,
    progress: &Progress,
) -> Result<Received, TransferError>
where
    S: Stream<Item = Result<Bytes, E>> + Send,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    if options.size.is_some_and(|size| size > options.limit) {
        return Err(TransferError::TooLarge { limit: options.limit });
    }
    let mut writes = InFlight::new(target.name(), options.in_flight);
    let taken = take_in(pin!(body), &target, &options, progress, &mut writes).await;
    let settled = writes.settle().await;
    let (size, digests) = taken?;
    let stored = settled?;
    if options.size.is_none() && target.size().await? != size {
        trim(&target, size, progress).await?;
    }
    target.flush().await?;
    Ok(Received { size, stored, digests: digests.finish().await? })
}

/// Cuts off what the target has grown too much. It may wait for other removals: a cancel ends that. `progress` goes on
/// counting bytes.
async fn trim(target: &Arc<dyn BlockImage>, size: u64, progress: &Progress) -> Result<(), TransferError> {
    let own = Progress::new();
    let mut resize = target.resize(size, &own);
    let resized = match progress.wait_for(&mut resize).await {
        Some(resized) => resized,
        None => {
            // Waited for all the same, for nothing may be under way afterwards.
            own.cancel();
            resize.await
        }
    };
    match resized {
        Err(error) if error.kind == ErrorKind::Cancelled => Err(TransferError::Cancelled),
        other => Ok(other?),
    }
}

/// Reads all of `body` and keeps nothing: how many bytes there are, and their digests.
///
/// `options.sparse`, `in_flight` and `chunk` are of no concern. `progress` counts as in [`receive`].
pub async fn measure<S, E>(
    body: S,
    options: &ReceiveOptions,
    progress: &Progress,
) -> Result<Received, TransferError>
where
    S: Stream<Item = Result<Bytes, E>> + Send,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    let mut body = pin!(body);
    let digests = Digests::start(&options.digests)?;
    let mut pace = Pace::new(options.idle_timeout, options.min_rate);
    let mut writes = InFlight::new("", 1);
    let mut size = 0;
    let mut going_on = progress.report(0, options.size.unwrap_or(0));
    while going_on {
        let frame = next_frame(&mut body, &mut pace, progress, &mut writes).await?;
        let length = frame.as_ref().map_or(0, Bytes::len) as u64;
        size += length;
        check_size(size, frame.is_none(), options)?;
        let Some(frame) = frame else {
            return Ok(Received { size, stored: 0, digests: digests.finish().await? });
        };
        digests.update(frame).await?;
        going_on = progress.advance(length);
    }
    Err(TransferError::Cancelled)
}

/// Answers when the last write was started, with the number of bytes.
async fn take_in<S, E>(
    mut body: Pin<&mut S>,
    target: &Arc<dyn BlockImage>,
    options: &ReceiveOptions,
    progress: &Progress,
    writes: &mut InFlight,
) -> Result<(u64, Digests), TransferError>
where
    S: Stream<Item = Result<Bytes, E>>,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    let digests = Digests::start(&options.digests)?;
    let mut room = Room::new(target, options.size).await?;
    let mut gather = Gather::new(options.chunk, options.size);
    let mut pace = Pace::new(options.idle_timeout, options.min_rate);
    let (mut size, mut offset) = (0, 0);
    if !progress.report(0, options.size.unwrap_or(0)) {
        return Err(TransferError::Cancelled);
    }
    loop {
        let frame = next_frame(&mut body, &mut pace, progress, writes).await?;
        if progress.is_cancelled() {
            return Err(TransferError::Cancelled);
        }
        let is_last = frame.is_none();
        let mut frame = frame.unwrap_or_default();
        size += frame.len() as u64;
        check_size(size, is_last, options)?;
        while let Some(chunk) = gather.next(&mut frame, is_last) {
            let length = chunk.len() as u64;
            // A place for the write comes before the digests: so no more than two chunks that no write
            // holds are ever kept by the digests and the gathering together.
            writes.room().await?;
            digests.update_vectored(chunk.parts()).await?;
            room.cover(offset + length).await?;
            store(chunk, offset, target, options.sparse, writes).await?;
            offset += length;
            if !progress.advance(length) {
                return Err(TransferError::Cancelled);
            }
        }
        if is_last {
            return Ok((size, digests));
        }
    }
}

/// The next bytes, or `None` at the end. Fails early when a write has failed meanwhile.
async fn next_frame<S, E>(
    body: &mut Pin<&mut S>,
    pace: &mut Pace,
    progress: &Progress,
    writes: &mut InFlight,
) -> Result<Option<Bytes>, TransferError>
where
    S: Stream<Item = Result<Bytes, E>>,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    let since = Instant::now();
    let mut too_long = pin!(sleep(pace.left()));
    loop {
        tokio::select! {
            biased;
            frame = body.next() => {
                let frame = frame.transpose().map_err(|cause| TransferError::of_source(cause.into()))?;
                pace.count(frame.as_ref().map_or(0, Bytes::len), since.elapsed());
                return Ok(frame);
            }
            written = writes.next(), if !writes.is_empty() => written?,
            () = &mut too_long => return Err(TransferError::Stalled(pace.patience)),
            () = sleep(LOOK_UP) => if progress.is_cancelled() {
                return Err(TransferError::Cancelled);
            },
        }
    }
}

/// Whether a sender is fast enough to be waited for. One that sends a byte now and then is not.
struct Pace {
    patience: Duration,
    /// Bytes that begin the time anew.
    enough: u64,
    arrived: u64,
    waited: Duration,
}

impl Pace {
    fn new(patience: Duration, min_rate: u64) -> Self {
        let millis = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
        let enough = (min_rate.saturating_mul(millis) / 1000).max(1);
        Self { patience, enough, arrived: 0, waited: Duration::ZERO }
    }

    fn left(&self) -> Duration {
        self.patience.saturating_sub(self.waited)
    }

    fn count(&mut self, bytes: usize, waited: Duration) {
        self.arrived = self.arrived.saturating_add(bytes as u64);
        self.waited += waited;
        if self.arrived >= self.enough {
            (self.arrived, self.waited) = (0, Duration::ZERO);
        }
    }
}

fn check_size(size: u64, is_last: bool, options: &ReceiveOptions) -> Result<(), TransferError> {
    match options.size {
        Some(expected) if size > expected => Err(TransferError::TooLong { expected }),
        Some(expected) if is_last && size < expected => {
            Err(TransferError::TooShort { expected, actual: size })
        }
        _ if size > options.limit => Err(TransferError::TooLarge { limit: options.limit }),
        _ => Ok(()),
    }
}

async fn store(
    chunk: Chunk,
    offset: u64,
    target: &Arc<dyn BlockImage>,
    sparse: bool,
    writes: &mut InFlight,
) -> block::Result<()> {
    for (at, run) in chunk.runs(sparse) {
        writes.room().await?;
        let target = target.clone();
        writes.start(async move {
            let length = run.len() as u64;
            target.write_vectored(offset + at, run.into_parts()).await.map(|()| length)
        });
    }
    Ok(())
}

/// A frame of this size is kept as it is: it is half of the buffer it was read into, or more, so that what is kept holds
/// at most twice its memory. Smaller ones are copied together.
const LARGE: usize = 256 << 10;

/// Cuts frames of any size into chunks.
struct Gather {
    size: usize,
    /// Bytes still expected, where that is known: so that a small image takes little memory.
    expected: usize,
    chunk: Chunk,
    /// Zeros that follow it, which are counted and not kept: most of a sparse image.
    zeros: usize,
    /// Small frames that follow it. Never both.
    small: BytesMut,
}

impl Gather {
    fn new(chunk: u64, size: Option<u64>) -> Self {
        let at_hand = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        Self {
            size: at_hand(chunk).max(1),
            expected: size.map_or(usize::MAX, at_hand),
            chunk: Chunk::default(),
            zeros: 0,
            small: BytesMut::new(),
        }
    }

    fn held(&self) -> usize {
        self.chunk.len() + self.zeros + self.small.len()
    }

    /// Takes from `frame` and answers a chunk when one is full, or when there is a rest at the end.
    fn next(&mut self, frame: &mut Bytes, is_last: bool) -> Option<Chunk> {
        let fits = frame.len().min(self.size - self.held());
        self.keep(frame.split_to(fits));
        let is_full = self.held() == self.size || is_last && self.held() > 0;
        is_full.then(|| self.take())
    }

    fn keep(&mut self, part: Bytes) {
        // While the frame is still in the cache this costs a fraction of the copy it saves.
        if is_zero(&part) && (self.small.is_empty() || part.len() >= GRAIN) {
            self.close_small();
            self.zeros += part.len();
        } else if part.len() >= LARGE {
            self.close_small();
            self.close_zeros();
            self.chunk.push(part);
        } else {
            self.close_zeros();
            if self.small.is_empty() {
                let room = self.size - self.held();
                self.small.reserve(room.min(self.expected));
            }
            self.small.extend_from_slice(&part);
        }
    }

    fn close_zeros(&mut self) {
        if self.zeros > 0 {
            self.chunk.push(zero_chunk(std::mem::take(&mut self.zeros)));
        }
    }

    fn close_small(&mut self) {
        if !self.small.is_empty() {
            self.chunk.push(self.small.split().freeze());
        }
    }

    fn take(&mut self) -> Chunk {
        self.close_small();
        self.close_zeros();
        self.expected = self.expected.saturating_sub(self.chunk.len());
        std::mem::take(&mut self.chunk)
    }
}

/// Keeps a target of unknown final size ahead of the data.
///
/// Few large steps instead of one for each chunk: each is a change of the image's header, of which every
/// client that has it open is told.
struct Room<'a> {
    target: &'a Arc<dyn BlockImage>,
    size: u64,
    step: u64,
}

impl<'a> Room<'a> {
    async fn new(target: &'a Arc<dyn BlockImage>, promised: Option<u64>) -> Result<Room<'a>, TransferError> {
        let size = target.size().await?;
        match promised {
            Some(needed) if needed > size => Err(TransferError::TargetTooSmall { needed, actual: size }),
            _ => Ok(Self { target, size, step: FIRST_GROWTH }),
        }
    }

    async fn cover(&mut self, end: u64) -> block::Result<()> {
        let mut size = self.size;
        while size < end {
            size = size.saturating_add(self.step);
            self.step = (self.step * 2).min(LARGEST_GROWTH);
        }
        if size > self.size {
            self.target.resize(size, &Progress::new()).await?;
            self.size = size;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunks(frames: &[Bytes], size: u64) -> Vec<Chunk> {
        let mut gather = Gather::new(size, None);
        let mut chunks = Vec::new();
        for mut frame in frames.iter().cloned() {
            while let Some(chunk) = gather.next(&mut frame, false) {
                chunks.push(chunk);
            }
        }
        chunks.extend(gather.next(&mut Bytes::new(), true));
        chunks
    }

    fn bytes(frames: &[&'static [u8]], size: u64) -> Vec<Vec<u8>> {
        let frames: Vec<_> = frames.iter().map(|frame| Bytes::from_static(frame)).collect();
        chunks(&frames, size).iter().map(|chunk| chunk.parts().concat()).collect()
    }

    #[test]
    fn only_enough_bytes_begin_the_time_anew() {
        let second = Duration::from_secs(1);
        let mut pace = Pace::new(10 * second, 100);
        pace.count(999, 4 * second);
        assert_eq!(pace.left(), 6 * second);
        pace.count(0, 5 * second);
        assert_eq!(pace.left(), second);
        pace.count(1, second);
        assert_eq!(pace.left(), 10 * second);
        // Without a rate a single byte does, and an empty frame is none.
        let mut pace = Pace::new(10 * second, 0);
        pace.count(0, 7 * second);
        assert_eq!(pace.left(), 3 * second);
        pace.count(1, second);
        assert_eq!(pace.left(), 10 * second);
        pace.count(0, 11 * second);
        assert_eq!(pace.left(), Duration::ZERO);
    }

    #[test]
    fn frames_of_any_size_become_chunks() {
        assert_eq!(
            bytes(&[b"a", b"", b"bcdefg", b"h"], 3),
            [b"abc".to_vec(), b"def".to_vec(), b"gh".to_vec()]
        );
        assert_eq!(bytes(&[b"abcdef"], 3), [b"abc", b"def"]);
        assert_eq!(bytes(&[b"ab"], 3), [b"ab"]);
        assert!(bytes(&[], 3).is_empty());
    }

    #[test]
    fn zeros_are_kept_where_they_are() {
        assert_eq!(bytes(&[b"\0\0", b"\0\0a", b"\0b"], 4), [b"\0\0\0\0".to_vec(), b"a\0b".to_vec()]);
        assert_eq!(bytes(&[b"\0", b"\0a", b"\0", b"\0\0\0"], 4), [b"\0\0a\0".to_vec(), b"\0\0\0".to_vec()]);
    }

    #[test]
    fn frames_of_all_kinds_keep_their_order() {
        let noise =
            |length: usize, seed: usize| (0..length).map(move |at| (at * seed % 251) as u8 | 1).collect();
        let zeros = |length| vec![0; length];
        let frames: [Vec<u8>; 9] = [
            noise(7, 3),
            noise(LARGE + 1, 5),
            zeros(9),
            noise(1000, 7),
            zeros(10),
            zeros(GRAIN),
            noise(20, 11),
            noise(3 * LARGE, 13),
            zeros(GRAIN + 1),
        ];
        let whole = frames.concat();
        let frames = frames.map(Bytes::from);
        for size in [1000, 100_000, LARGE as u64, 1 << 20, 8 << 20] {
            let chunks = chunks(&frames, size);
            let (last, others) = chunks.split_last().unwrap();
            assert!(others.iter().all(|chunk| chunk.len() as u64 == size) && last.len() as u64 <= size);
            let parts: Vec<_> = chunks.iter().flat_map(Chunk::parts).cloned().collect();
            assert!(parts.concat() == whole, "{size}");
        }
    }

    #[test]
    fn a_large_frame_is_not_copied() {
        let frame = Bytes::from(vec![1; 2 * LARGE]);
        let parts: Vec<_> = chunks(std::slice::from_ref(&frame), LARGE as u64)
            .into_iter()
            .flat_map(Chunk::into_parts)
            .collect();
        let addresses: Vec<_> = parts.iter().map(|part| part.as_ptr()).collect();
        assert_eq!(addresses, [frame.as_ptr(), frame[LARGE..].as_ptr()]);
    }

    #[test]
    fn chunks_of_zeros_take_no_memory() {
        let frame = vec![0; 1000];
        let mut gather = Gather::new(8 << 20, None);
        assert!(gather.next(&mut frame.into(), false).is_none());
        assert_eq!(gather.small.capacity(), 0);
        assert_eq!(gather.next(&mut Bytes::new(), true).unwrap().parts().concat(), vec![0; 1000]);
    }

    #[test]
    fn small_frames_make_few_parts() {
        let frames: Vec<_> = (0..10_000).map(|at| Bytes::from(vec![u8::from(at % 3 == 0); 100])).collect();
        let chunks = chunks(&frames, 8 << 20);
        assert_eq!(chunks.iter().map(|chunk| chunk.parts().len()).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn a_small_promise_takes_little_memory() {
        let mut gather = Gather::new(8 << 20, Some(10));
        assert!(gather.next(&mut Bytes::from_static(b"a"), false).is_none());
        assert!(gather.small.capacity() < 100);
    }
}
