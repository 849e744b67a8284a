//! How bytes move, on an image kept in memory that watches what is done to it, may be slow, and may fail.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail as tests do")]

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use openssl::hash::{MessageDigest, hash};
use proptest::prelude::*;
use pumice::block::{
    BlockError, BlockImage, Child, ErrorKind, Extent, Parent, Progress, Result, SnapshotInfo,
};
use pumice::transfer::{
    Algorithm, CopyOptions, GRAIN, ReceiveOptions, Received, SendOptions, TransferError, copy, receive, send,
};

const CHUNK: u64 = 4 * GRAIN as u64;
const MIB: u64 = 1 << 20;

/// The unit in which the fake allocates.
const PAGE: u64 = 4096;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Read(u64, u64),
    Write(u64, u64),
    Zero(u64, u64),
    Resize(u64),
    Flush,
    Allocated,
}

impl Call {
    fn is_write(self) -> bool {
        matches!(self, Self::Write(..) | Self::Zero(..))
    }
}

#[derive(Default)]
struct State {
    size: u64,
    pages: HashMap<u64, Vec<u8>>,
    calls: Vec<Call>,
    running: usize,
    peak: usize,
    /// Calls given up by their caller before they had ended.
    abandoned: usize,
    /// The next so many reads, writes and zeroings succeed, all others fail.
    failure: Option<(usize, ErrorKind)>,
    no_map: bool,
    /// Each call waits for up to so many turns of the scheduler.
    slowness: u64,
    /// Each write takes this long.
    delay: Duration,
    random: u64,
}

#[derive(Default)]
struct Fake(Mutex<State>);

/// One read or write under way.
struct Running<'a> {
    image: &'a Fake,
    ended: bool,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut state = self.image.state();
        state.running -= 1;
        state.abandoned += usize::from(!self.ended);
    }
}

impl Fake {
    fn new(size: u64) -> Arc<Self> {
        let fake = Self::default();
        fake.state().size = size;
        Arc::new(fake)
    }

    fn holding(bytes: &[u8]) -> Arc<Self> {
        let fake = Self::new(bytes.len() as u64);
        fake.put(0, bytes);
        fake
    }

    fn slow(self: Arc<Self>) -> Arc<Self> {
        self.state().slowness = 20;
        self
    }

    fn failing(self: Arc<Self>, after: usize, kind: ErrorKind) -> Arc<Self> {
        self.state().failure = Some((after, kind));
        self
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn put(&self, offset: u64, bytes: &[u8]) {
        let mut state = self.state();
        let mut at = offset;
        for part in page_parts(offset, bytes) {
            let page = state.pages.entry(at / PAGE).or_insert_with(|| vec![0; PAGE as usize]);
            let start = (at % PAGE) as usize;
            page[start..start + part.len()].copy_from_slice(part);
            at += part.len() as u64;
        }
    }

    fn get(&self, offset: u64, length: u64) -> Vec<u8> {
        let state = self.state();
        let mut bytes = vec![0; length as usize];
        for number in offset / PAGE..(offset + length).div_ceil(PAGE) {
            let Some(page) = state.pages.get(&number) else { continue };
            let start = (number * PAGE).max(offset);
            let end = ((number + 1) * PAGE).min(offset + length);
            bytes[(start - offset) as usize..(end - offset) as usize]
                .copy_from_slice(&page[(start - number * PAGE) as usize..(end - number * PAGE) as usize]);
        }
        bytes
    }

    fn all(&self) -> Vec<u8> {
        let size = self.state().size;
        self.get(0, size)
    }

    fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    fn peak(&self) -> usize {
        self.state().peak
    }

    /// Whether no call is under way, and none was given up that may still be.
    fn is_quiet(&self) -> bool {
        let state = self.state();
        state.running == 0 && state.abandoned == 0
    }

    async fn run<T>(&self, call: Call, work: impl FnOnce() -> T) -> Result<T> {
        let (turns, delay) = {
            let mut state = self.state();
            state.calls.push(call);
            state.running += 1;
            state.peak = state.peak.max(state.running);
            state.random = state.random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (
                (state.random >> 33) % (state.slowness + 1),
                if call.is_write() { state.delay } else { Duration::ZERO },
            )
        };
        let mut running = Running { image: self, ended: false };
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        running.ended = true;
        let (Call::Read(offset, length) | Call::Write(offset, length) | Call::Zero(offset, length)) = call
        else {
            return Ok(work());
        };
        {
            let mut state = self.state();
            if offset + length > state.size {
                return Err(fault(ErrorKind::Invalid));
            }
            match &mut state.failure {
                Some((0, kind)) => return Err(fault(*kind)),
                Some((left, _)) => *left -= 1,
                None => {}
            }
        }
        Ok(work())
    }
}

fn fault(kind: ErrorKind) -> BlockError {
    BlockError::new(kind, "test", "fake", "as told")
}

fn unused<T>() -> Result<T> {
    Err(fault(ErrorKind::Invalid))
}

/// Cuts bytes that start at `offset` at the borders of pages.
fn page_parts(offset: u64, mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    let mut room = PAGE - offset % PAGE;
    while !bytes.is_empty() {
        let (part, rest) = bytes.split_at(bytes.len().min(room as usize));
        parts.push(part);
        bytes = rest;
        room = PAGE;
    }
    parts
}

#[async_trait]
impl BlockImage for Fake {
    fn name(&self) -> &str {
        "fake"
    }

    async fn size(&self) -> Result<u64> {
        Ok(self.state().size)
    }

    fn object_size(&self) -> u64 {
        CHUNK
    }

    async fn read(&self, offset: u64, length: u64) -> Result<Bytes> {
        self.run(Call::Read(offset, length), || self.get(offset, length).into()).await
    }

    async fn write(&self, offset: u64, data: Bytes) -> Result<()> {
        self.run(Call::Write(offset, data.len() as u64), || self.put(offset, &data)).await
    }

    async fn write_zeroes(&self, offset: u64, length: u64) -> Result<()> {
        self.run(Call::Zero(offset, length), || self.put(offset, &vec![0; length as usize])).await
    }

    async fn discard(&self, _offset: u64, _length: u64) -> Result<()> {
        unused()
    }

    async fn flush(&self) -> Result<()> {
        self.run(Call::Flush, || ()).await
    }

    async fn allocated(&self) -> Result<Vec<Extent>> {
        self.run(Call::Allocated, || ()).await?;
        let state = self.state();
        if state.no_map {
            return Err(fault(ErrorKind::TimedOut));
        }
        let mut pages: Vec<u64> = state.pages.keys().copied().collect();
        pages.sort_unstable();
        let mut extents: Vec<Extent> = Vec::new();
        for page in pages {
            let offset = page * PAGE;
            let length = PAGE.min(state.size - offset);
            match extents.last_mut() {
                Some(last) if last.offset + last.length == offset => last.length += length,
                _ => extents.push(Extent { offset, length }),
            }
        }
        Ok(extents)
    }

    async fn grow(&self, _size: u64) -> Result<()> {
        unused()
    }

    async fn resize(&self, size: u64, _progress: &Progress) -> Result<()> {
        self.run(Call::Resize(size), || self.state().size = size).await
    }

    async fn snapshots(&self) -> Result<Vec<SnapshotInfo>> {
        unused()
    }

    async fn create_snapshot(&self, _snapshot: &str) -> Result<()> {
        unused()
    }

    async fn protect_snapshot(&self, _snapshot: &str) -> Result<()> {
        unused()
    }

    async fn unprotect_snapshot(&self, _snapshot: &str) -> Result<()> {
        unused()
    }

    async fn remove_snapshot(&self, _snapshot: &str) -> Result<()> {
        unused()
    }

    async fn rename_snapshot(&self, _from: &str, _to: &str) -> Result<()> {
        unused()
    }

    async fn roll_back(&self, _snapshot: &str, _progress: &Progress) -> Result<()> {
        unused()
    }

    async fn children(&self) -> Result<Vec<Child>> {
        unused()
    }

    async fn parent(&self) -> Result<Option<Parent>> {
        unused()
    }

    async fn flatten(&self, _progress: &Progress) -> Result<()> {
        unused()
    }

    async fn writers(&self) -> Result<Vec<String>> {
        unused()
    }

    async fn metadata(&self) -> Result<BTreeMap<String, String>> {
        unused()
    }

    async fn set_metadata(&self, _key: &str, _value: &str) -> Result<()> {
        unused()
    }

    async fn remove_metadata(&self, _key: &str) -> Result<()> {
        unused()
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

/// Bytes without a zero among them.
fn noise(length: u64) -> Vec<u8> {
    (0..length).map(|at| (at.wrapping_mul(2654435761) >> 7) as u8 | 1).collect()
}

/// A body of frames of `frame` bytes.
fn frames(bytes: &[u8], frame: usize) -> impl Stream<Item = io::Result<Bytes>> + Send + use<> {
    let bytes = Bytes::copy_from_slice(bytes);
    let cuts = (0..bytes.len()).step_by(frame);
    let frames: Vec<_> = cuts.map(|at| Ok(bytes.slice(at..bytes.len().min(at + frame)))).collect();
    stream::iter(frames)
}

fn options() -> ReceiveOptions {
    ReceiveOptions { chunk: CHUNK, ..ReceiveOptions::default() }
}

fn promised(size: u64) -> ReceiveOptions {
    ReceiveOptions { size: Some(size), ..options() }
}

async fn take(
    body: impl Stream<Item = io::Result<Bytes>> + Send,
    target: &Arc<Fake>,
    options: ReceiveOptions,
) -> Result<Received, TransferError> {
    receive(body, target.clone(), options, &Progress::new()).await
}

/// A stretch of time in which nothing happens is a failure of the test, not of the suite's patience.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("an answer in time")
}

mod receiving {
    use super::*;

    #[tokio::test]
    async fn every_size_in_frames_of_every_size() {
        for size in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5] {
            let bytes = noise(size);
            for frame in [1 << 20, CHUNK as usize, 65_536, 4099, CHUNK as usize + 13] {
                for size_known in [true, false] {
                    let target = Fake::new(if size_known { size } else { 0 }).slow();
                    let options = ReceiveOptions { size: size_known.then_some(size), ..options() };
                    let received = take(frames(&bytes, frame), &target, options).await.unwrap();
                    assert_eq!(received, Received { size, stored: size, digests: vec![] });
                    assert!(target.all() == bytes, "{size} bytes in frames of {frame}");
                    assert_eq!(target.calls().last(), Some(&Call::Flush));
                }
            }
        }
    }

    #[tokio::test]
    async fn writes_keep_to_one_object_each() {
        let target = Fake::new(3 * CHUNK);
        take(frames(&noise(3 * CHUNK), 4099), &target, promised(3 * CHUNK)).await.unwrap();
        let expected =
            [Call::Write(0, CHUNK), Call::Write(CHUNK, CHUNK), Call::Write(2 * CHUNK, CHUNK), Call::Flush];
        assert_eq!(target.calls(), expected);
    }

    #[tokio::test]
    async fn digests_are_those_of_openssl_zeros_included() {
        let mut bytes = noise(2 * CHUNK + 77);
        bytes.extend(vec![0; 2 * CHUNK as usize]);
        let target = Fake::new(bytes.len() as u64);
        let options = ReceiveOptions { digests: Algorithm::ALL.to_vec(), ..promised(bytes.len() as u64) };
        let received = take(frames(&bytes, 10_007), &target, options).await.unwrap();
        let expected: Vec<_> = Algorithm::ALL
            .into_iter()
            .map(|algorithm| {
                let digest = hash(MessageDigest::from_name(algorithm.name()).unwrap(), &bytes).unwrap();
                (algorithm, digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
            })
            .collect();
        assert_eq!(received.digests, expected);
    }

    #[tokio::test]
    async fn digests_of_nothing() {
        let options = ReceiveOptions { digests: vec![Algorithm::Md5], ..promised(0) };
        let received = take(frames(&[], 1), &Fake::new(0), options).await.unwrap();
        assert_eq!(received.digests, [(Algorithm::Md5, "d41d8cd98f00b204e9800998ecf8427e".to_owned())]);
    }

    #[tokio::test]
    async fn zeros_are_not_written_to_an_empty_image() {
        const SIZE: u64 = 2 << 30;
        let zeros = Bytes::from(vec![0; MIB as usize]);
        let island = Bytes::from_static(b"here");
        let body = stream::iter((0..SIZE / MIB).map(move |at| match at {
            700 => [island.clone(), zeros.slice(4..)],
            2047 => [zeros.slice(4..), island.clone()],
            _ => [zeros.clone(), Bytes::new()],
        }));
        let target = Fake::new(SIZE);
        let options = ReceiveOptions { chunk: 8 * MIB, ..promised(SIZE) };
        let received = take(body.flat_map(stream::iter).map(Ok), &target, options).await.unwrap();
        assert_eq!((received.size, received.stored), (SIZE, 2 * GRAIN as u64));
        assert_eq!(target.get(700 * MIB, 4), b"here");
        assert_eq!(target.get(SIZE - 4, 4), b"here");
        assert_eq!(target.calls().len(), 3);
    }

    #[tokio::test]
    async fn zeros_are_written_when_the_image_is_not_empty() {
        let target = Fake::holding(&noise(3 * CHUNK));
        let options = ReceiveOptions { sparse: false, ..promised(2 * CHUNK) };
        let received = take(frames(&vec![0; 2 * CHUNK as usize], 9999), &target, options).await.unwrap();
        assert_eq!(received.stored, 2 * CHUNK);
        assert!(target.get(0, 2 * CHUNK).iter().all(|&byte| byte == 0));
        assert_eq!(target.get(2 * CHUNK, CHUNK), noise(3 * CHUNK)[2 * CHUNK as usize..]);
    }

    #[tokio::test]
    async fn unknown_sizes_grow_in_doubling_steps_and_are_trimmed() {
        let target = Fake::new(0);
        let body = stream::repeat_with(|| Ok(Bytes::from(vec![0; MIB as usize]))).take(96);
        let received = take(body, &target, ReceiveOptions { chunk: 8 * MIB, ..options() }).await.unwrap();
        assert_eq!((received.size, received.stored), (96 * MIB, 0));
        let expected = [16, 48, 112, 96].map(|size| Call::Resize(size * MIB));
        assert_eq!(target.calls()[..4], expected);
    }

    #[tokio::test]
    async fn broken_promises() {
        let bytes = noise(2 * CHUNK);
        let target = Fake::new(2 * CHUNK + 1).slow();
        let outcome = take(frames(&bytes, 4099), &target, promised(2 * CHUNK + 1)).await;
        let (expected, actual) = (2 * CHUNK + 1, 2 * CHUNK);
        assert!(
            matches!(outcome, Err(TransferError::TooShort { expected: e, actual: a }) if (e, a) == (expected, actual))
        );
        assert!(target.is_quiet());

        let target = Fake::new(2 * CHUNK - 1).slow();
        let outcome = take(frames(&bytes, 4099), &target, promised(2 * CHUNK - 1)).await;
        assert!(matches!(outcome, Err(TransferError::TooLong { expected }) if expected == 2 * CHUNK - 1));
        assert!(target.is_quiet());

        let outcome = take(frames(&bytes, 4099), &Fake::new(0), promised(0)).await;
        assert!(matches!(outcome, Err(TransferError::TooLong { expected: 0 })));

        let outcome = take(frames(&bytes, 4099), &Fake::new(CHUNK), promised(2 * CHUNK)).await;
        assert!(matches!(outcome, Err(TransferError::TargetTooSmall { needed, .. }) if needed == 2 * CHUNK));
    }

    #[tokio::test]
    async fn the_limit_holds_promised_or_not() {
        let bytes = noise(CHUNK);
        let target = Fake::new(CHUNK);
        let at_limit = ReceiveOptions { limit: CHUNK, ..promised(CHUNK) };
        take(frames(&bytes, 4099), &target, at_limit.clone()).await.unwrap();

        for size in [Some(CHUNK), None] {
            let target = Fake::new(CHUNK);
            let options = ReceiveOptions { limit: CHUNK - 1, size, ..at_limit.clone() };
            let outcome = take(frames(&bytes, 4099), &target, options).await;
            assert!(matches!(outcome, Err(TransferError::TooLarge { limit }) if limit == CHUNK - 1));
            assert!(target.calls().is_empty());
        }
    }

    #[tokio::test]
    async fn a_sender_that_breaks_off_leaves_no_write_behind() {
        let target = Fake::new(9 * CHUNK).slow();
        let body = frames(&noise(4 * CHUNK), 4099)
            .chain(stream::iter([Err(io::Error::new(io::ErrorKind::ConnectionReset, "gone"))]));
        let options = ReceiveOptions { digests: vec![Algorithm::Md5], ..promised(9 * CHUNK) };
        let outcome = take(body, &target, options).await;
        assert!(matches!(outcome, Err(TransferError::Source(cause)) if cause.to_string() == "gone"));
        assert!(target.is_quiet());
        assert!(!target.calls().contains(&Call::Flush));
    }

    #[tokio::test]
    async fn a_storage_that_fails_ends_it_once_all_writes_have_ended() {
        for after in 0..6 {
            let target = Fake::new(9 * CHUNK).slow().failing(after, ErrorKind::NoSpace);
            let outcome = take(frames(&noise(9 * CHUNK), 4099), &target, promised(9 * CHUNK)).await;
            let Err(TransferError::Storage(error)) = outcome else { panic!("{outcome:?}") };
            assert_eq!(error.kind, ErrorKind::NoSpace);
            assert!(target.is_quiet());
        }
    }

    #[tokio::test]
    async fn a_failed_write_is_noticed_while_nothing_arrives() {
        let target = Fake::new(9 * CHUNK).failing(0, ErrorKind::NoSpace);
        let body = frames(&noise(CHUNK), 4099).chain(stream::pending());
        let outcome = soon(take(body, &target, promised(9 * CHUNK))).await;
        assert!(matches!(outcome, Err(TransferError::Storage(_))));
    }

    #[tokio::test]
    async fn a_silent_sender_is_given_up() {
        let target = Fake::new(9 * CHUNK).slow();
        let body = frames(&noise(CHUNK), 4099).chain(stream::pending());
        let idle_timeout = Duration::from_millis(10);
        let options = ReceiveOptions { idle_timeout, ..promised(9 * CHUNK) };
        let outcome = soon(take(body, &target, options)).await;
        assert!(matches!(outcome, Err(TransferError::Stalled(time)) if time == idle_timeout));
        assert!(target.is_quiet());
    }

    #[tokio::test]
    async fn a_sender_of_single_bytes_is_given_up() {
        let target = Fake::new(9 * CHUNK);
        let body = stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            Some((Ok(Bytes::from_static(b"a")), ()))
        });
        let idle_timeout = Duration::from_millis(50);
        let options = ReceiveOptions { idle_timeout, min_rate: 1_000_000, ..promised(9 * CHUNK) };
        let outcome = soon(take(body, &target, options)).await;
        assert!(matches!(outcome, Err(TransferError::Stalled(time)) if time == idle_timeout));
        assert!(target.is_quiet());
    }

    #[tokio::test]
    async fn a_slow_storage_is_not_a_silent_sender() {
        let target = Fake::new(2 * CHUNK);
        target.state().delay = Duration::from_millis(15);
        let idle_timeout = Duration::from_millis(5);
        let options = ReceiveOptions { idle_timeout, in_flight: 1, ..promised(2 * CHUNK) };
        take(frames(&noise(2 * CHUNK), 4099), &target, options).await.unwrap();
    }

    #[tokio::test]
    async fn cancelled_between_two_chunks() {
        let target = Fake::new(9 * CHUNK).slow();
        let progress = Progress::new();
        let watched = progress.clone();
        let body = frames(&noise(9 * CHUNK), 4096).inspect(move |_| {
            if watched.get().0 == 2 * CHUNK {
                watched.cancel();
            }
        });
        let outcome = receive(body, target.clone(), promised(9 * CHUNK), &progress).await;
        assert!(matches!(outcome, Err(TransferError::Cancelled)));
        assert_eq!(progress.get(), (2 * CHUNK, 9 * CHUNK));
        assert!(target.is_quiet());
    }

    #[tokio::test]
    async fn cancelled_while_nothing_arrives() {
        let progress = Progress::new();
        let watched = progress.clone();
        let body = stream::poll_fn(move |_| {
            watched.cancel();
            std::task::Poll::<Option<io::Result<Bytes>>>::Pending
        });
        let outcome = soon(receive(body, Fake::new(1), promised(1), &progress)).await;
        assert!(matches!(outcome, Err(TransferError::Cancelled)));
    }

    #[tokio::test]
    async fn cancelled_before_anything_arrives() {
        let progress = Progress::new();
        progress.cancel();
        let target = Fake::new(CHUNK);
        let outcome = receive(frames(&noise(CHUNK), 99), target.clone(), promised(CHUNK), &progress).await;
        assert!(matches!(outcome, Err(TransferError::Cancelled)));
        assert!(target.calls().is_empty());
    }

    #[tokio::test]
    async fn no_more_writes_at_once_than_allowed() {
        for in_flight in [0, 1, 4, 7] {
            let target = Fake::new(40 * CHUNK).slow();
            // Every other grain is a hole, so that a chunk is more than one write.
            let mut bytes = noise(40 * CHUNK);
            bytes.chunks_mut(GRAIN).step_by(2).for_each(|grain| grain.fill(0));
            let options = ReceiveOptions { in_flight, ..promised(40 * CHUNK) };
            take(frames(&bytes, 4099), &target, options).await.unwrap();
            assert_eq!(target.peak(), in_flight.max(1));
            assert!(target.all() == bytes);
        }
    }
}

mod sending {
    use super::*;

    fn options() -> SendOptions {
        SendOptions { chunk: CHUNK, ..SendOptions::default() }
    }

    async fn sent(source: &Arc<Fake>, range: std::ops::Range<u64>, options: SendOptions) -> Vec<u8> {
        send(source.clone(), range, options).try_collect::<Vec<Bytes>>().await.unwrap().concat()
    }

    #[tokio::test]
    async fn in_order_however_reads_end() {
        let bytes = noise(30 * CHUNK + 3);
        let source = Fake::holding(&bytes).slow();
        assert!(sent(&source, 0..bytes.len() as u64, options()).await == bytes);
        assert_eq!(source.peak(), options().ahead);
    }

    #[tokio::test]
    async fn any_range_in_reads_of_one_object_each() {
        let bytes = noise(6 * CHUNK);
        for (start, end) in
            [(0, 0), (7, 7), (0, 1), (CHUNK - 1, CHUNK + 1), (5, 6 * CHUNK), (CHUNK, 2 * CHUNK)]
        {
            let source = Fake::holding(&bytes).slow();
            assert!(sent(&source, start..end, options()).await == bytes[start as usize..end as usize]);
            for call in source.calls() {
                if let Call::Read(offset, length) = call {
                    assert_eq!(offset / CHUNK, (offset + length - 1) / CHUNK);
                }
            }
        }
    }

    #[tokio::test]
    async fn holes_are_not_read() {
        let source = Fake::new(1 << 30);
        source.put(100 * CHUNK + 1, b"here");
        let options = SendOptions { chunk: CHUNK, ..options() };
        let mut length = 0;
        let mut found = Vec::new();
        let mut body = std::pin::pin!(send(source.clone(), 0..1 << 30, options));
        while let Some(bytes) = body.try_next().await.unwrap() {
            if let Some(at) = bytes.iter().position(|&byte| byte != 0) {
                found.push((length + at as u64, bytes.slice(at..at + 4)));
            }
            length += bytes.len() as u64;
        }
        assert_eq!((length, found), (1 << 30, vec![(100 * CHUNK + 1, Bytes::from_static(b"here"))]));
        assert_eq!(source.calls(), [Call::Allocated, Call::Read(100 * CHUNK, PAGE)]);
    }

    #[tokio::test]
    async fn all_is_read_where_holes_are_not_known_or_not_wanted() {
        let source = Fake::new(5 * CHUNK);
        source.state().no_map = true;
        assert!(sent(&source, 0..5 * CHUNK, options()).await == vec![0; 5 * CHUNK as usize]);
        assert_eq!(source.calls().len(), 6);

        let source = Fake::new(5 * CHUNK);
        sent(&source, 0..5 * CHUNK, SendOptions { sparse: false, ..options() }).await;
        assert_eq!(source.calls().len(), 5);
    }

    #[tokio::test]
    async fn ends_after_the_first_error() {
        let source = Fake::holding(&noise(9 * CHUNK)).failing(2, ErrorKind::TimedOut);
        let items: Vec<_> = send(source, 0..9 * CHUNK, SendOptions { ahead: 1, ..options() }).collect().await;
        let kinds: Vec<_> = items.into_iter().map(|item| item.err().map(|error| error.kind)).collect();
        assert_eq!(kinds, [None, None, Some(ErrorKind::TimedOut)]);
    }

    #[tokio::test]
    async fn a_client_that_goes_away_ends_the_reads() {
        let source = Fake::holding(&noise(20 * CHUNK));
        source.state().slowness = 1000;
        let mut body = Box::pin(send(source.clone(), 0..20 * CHUNK, options()));
        body.try_next().await.unwrap().unwrap();
        drop(body);
        while source.state().running > 0 {
            tokio::task::yield_now().await;
        }
        let reads = source.calls().len();
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        assert_eq!(source.calls().len(), reads);
        assert!(reads <= 1 + options().ahead + 1);
    }

    #[tokio::test]
    async fn a_slow_client_holds_no_more_than_what_is_read_ahead() {
        let source = Fake::holding(&noise(20 * CHUNK));
        let mut body = Box::pin(send(source.clone(), 0..20 * CHUNK, options()));
        for taken in 1..=20 {
            body.try_next().await.unwrap().unwrap();
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            let reads = source.calls().iter().filter(|call| matches!(call, Call::Read(..))).count();
            assert!(reads < taken + options().ahead, "{reads} after {taken}");
        }
    }

    #[tokio::test]
    async fn what_is_sent_can_be_received() {
        let bytes = noise(7 * CHUNK + 9);
        let target = Fake::new(0).slow();
        let body = send(Fake::holding(&bytes).slow(), 0..bytes.len() as u64, options());
        receive(body, target.clone(), super::options(), &Progress::new()).await.unwrap();
        assert!(target.all() == bytes);
    }
}

mod copying {
    use super::*;

    fn options() -> CopyOptions {
        CopyOptions { chunk: CHUNK, ..CopyOptions::default() }
    }

    async fn copied(source: &Arc<Fake>, target: &Arc<Fake>) -> Result<u64, TransferError> {
        copy(source.clone(), target.clone(), options(), &Progress::new()).await
    }

    #[tokio::test]
    async fn only_what_is_allocated_and_not_zero() {
        let source = Fake::new(100 * CHUNK);
        source.put(3 * CHUNK + 5, b"here");
        source.put(7 * CHUNK, &vec![0; CHUNK as usize]);
        let target = Fake::new(200 * CHUNK);
        let progress = Progress::new();
        let written = copy(source.clone(), target.clone(), options(), &progress).await.unwrap();
        assert_eq!(written, PAGE);
        assert_eq!(progress.get(), (PAGE + CHUNK, PAGE + CHUNK));
        assert_eq!(target.calls(), [Call::Write(3 * CHUNK, PAGE), Call::Flush]);
        assert!(target.get(0, 100 * CHUNK) == source.all());
    }

    #[tokio::test]
    async fn a_used_target_ends_as_the_source_and_zeros() {
        let source = Fake::new(90 * CHUNK);
        source.put(80 * CHUNK + 5, b"here");
        source.put(2 * CHUNK, &vec![0; CHUNK as usize]);
        let target = Fake::holding(&noise(100 * CHUNK)).slow();
        let options = CopyOptions { onto_empty: false, ..options() };
        copy(source.clone(), target.clone(), options, &Progress::new()).await.unwrap();
        let mut expected = source.all();
        expected.resize(100 * CHUNK as usize, 0);
        assert!(target.all() == expected);
        assert!(target.peak() <= 4);
    }

    #[tokio::test]
    async fn a_target_that_is_too_small_is_not_touched() {
        let target = Fake::new(CHUNK - 1);
        let outcome = copied(&Fake::new(CHUNK), &target).await;
        assert!(matches!(outcome, Err(TransferError::TargetTooSmall { needed, .. }) if needed == CHUNK));
        assert!(target.calls().is_empty());
    }

    #[tokio::test]
    async fn fails_quietly_and_runs_again() {
        let source = Fake::holding(&noise(20 * CHUNK)).slow();
        let target = Fake::new(20 * CHUNK).slow();
        for after in 0..5 {
            let target = target.clone().failing(after, ErrorKind::NoSpace);
            let Err(TransferError::Storage(error)) = copied(&source, &target).await else { panic!() };
            assert_eq!(error.kind, ErrorKind::NoSpace);
            assert!(target.is_quiet() && source.is_quiet());
        }
        target.state().failure = None;
        assert_eq!(copied(&source, &target).await.unwrap(), 20 * CHUNK);
        assert!(target.all() == source.all());

        let source = source.failing(3, ErrorKind::TimedOut);
        assert!(matches!(copied(&source, &target).await, Err(TransferError::Storage(_))));
        assert!(target.is_quiet() && source.is_quiet());
    }

    #[tokio::test]
    async fn cancelled_between_two_chunks() {
        let source = Fake::holding(&noise(50 * CHUNK)).slow();
        let target = Fake::new(50 * CHUNK).slow();
        let progress = Progress::new();
        let (copied, ()) = tokio::join!(copy(source.clone(), target.clone(), options(), &progress), async {
            while progress.get().0 < 3 * CHUNK {
                tokio::task::yield_now().await;
            }
            progress.cancel();
        });
        assert!(matches!(copied, Err(TransferError::Cancelled)));
        assert!(target.is_quiet() && source.is_quiet());
        let reads = source.calls().iter().filter(|call| matches!(call, Call::Read(..))).count();
        assert!((3..20).contains(&reads), "{reads}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_image_is_equal_afterwards(
            size in 0..12 * CHUNK,
            extents in prop::collection::vec((0..12 * CHUNK, 1..2 * CHUNK, any::<bool>()), 0..10),
            larger in 0..CHUNK,
            in_flight in 1..6_usize,
            chunk in prop::sample::select(vec![CHUNK / 4, CHUNK, 3 * CHUNK]),
            onto_empty in any::<bool>(),
        ) {
            let source = Fake::new(size).slow();
            for (offset, length, is_zero) in extents {
                let end = size.min(offset + length);
                if offset < end {
                    let bytes = if is_zero { vec![0; (end - offset) as usize] } else { noise(end - offset) };
                    source.put(offset, &bytes);
                }
            }
            let target = if onto_empty { Fake::new(size + larger) } else { Fake::holding(&noise(size + larger)) };
            let target = target.slow();
            let options = CopyOptions { in_flight, chunk, onto_empty };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let progress = Progress::new();
            runtime.block_on(copy(source.clone(), target.clone(), options, &progress)).unwrap();
            let mut expected = source.all();
            expected.resize((size + larger) as usize, 0);
            prop_assert!(target.all() == expected);
            prop_assert!(target.peak() <= in_flight && source.peak() <= in_flight);
            let (done, total) = progress.get();
            prop_assert_eq!(done, total);

            let sent: Vec<Bytes> = runtime
                .block_on(send(source, 0..size, SendOptions { chunk, ..SendOptions::default() }).try_collect())
                .unwrap();
            prop_assert!(sent.concat() == expected[..size as usize]);
        }
    }
}
