//! The disk in a file, which lies in a store, into an image: read where it lies, without a file in between.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::block::{BlockError, BlockImage, ErrorKind, Progress};
use crate::formats::{self, Disk, Ends, Format, Next, Piece, Place};

use super::DEFAULT_CHUNK;
use super::chunk::Chunk;
use super::copy::{CopyOptions, goes_on, zero};
use super::error::TransferError;
use super::in_flight::InFlight;
use super::zero::GRAIN;

/// What lies so close together in the file is read at once.
const GAP: u64 = 64 << 10;

/// Looks into a file for the disk that it must hold.
pub async fn open_disk(file: &dyn BlockImage, format: Format) -> Result<Disk, TransferError> {
    let length = file.size().await?;
    let ends = Ends::of(length);
    let (head, tail) = (read(file, &ends.head).await?, read(file, &ends.tail).await?);
    let metadata = match formats::metadata(format, &head, length) {
        Some(range) => Some((range.start, read(file, &range).await?)),
        None => None,
    };
    let metadata = metadata.as_ref().map(|(at, bytes)| (*at, &bytes[..]));
    Ok(Disk::open(format, &head, metadata, &tail, length)?)
}

/// Writes the disk in `file` to the start of `target`, and flushes it. Answers the bytes written.
///
/// What its tables say is read as it is needed, so that memory does not grow with the disk. Otherwise as
/// [`super::copy`]; `progress` counts the bytes of the disk.
pub async fn convert(
    file: Arc<dyn BlockImage>,
    disk: Disk,
    target: Arc<dyn BlockImage>,
    options: CopyOptions,
    progress: &Progress,
) -> Result<u64, TransferError> {
    let (needed, actual) = (disk.size(), target.size().await?);
    if needed > actual {
        return Err(TransferError::TargetTooSmall { needed, actual });
    }
    let mut calls = InFlight::new(target.name(), options.in_flight);
    // A file in order is read by whole objects of its own, too, as far as memory allows.
    let chunk = options.chunk.max(file.object_size().min(DEFAULT_CHUNK));
    let work = Work {
        length: file.size().await?,
        chunk: chunk.max(disk.largest_packed()).max(1).next_power_of_two(),
        sparse: options.onto_empty,
        file,
        target,
        progress: progress.clone(),
    };
    let started = work.start_all(disk, actual, &mut calls).await;
    let settled = calls.settle().await;
    started?;
    let written = settled?;
    work.target.flush().await?;
    Ok(written)
}

async fn read(file: &dyn BlockImage, range: &Range<u64>) -> Result<Bytes, BlockError> {
    if range.is_empty() { Ok(Bytes::new()) } else { file.read(range.start, range.end - range.start).await }
}

#[derive(Clone)]
struct Work {
    file: Arc<dyn BlockImage>,
    /// Of the file.
    length: u64,
    target: Arc<dyn BlockImage>,
    chunk: u64,
    sparse: bool,
    progress: Progress,
}

type Calls = InFlight<TransferError>;

impl Work {
    async fn start_all(&self, mut disk: Disk, end: u64, calls: &mut Calls) -> Result<(), TransferError> {
        goes_on(self.progress.report(0, disk.size()))?;
        let mut gather = Gather::new(self.chunk, disk.size());
        loop {
            match disk.advance()? {
                Next::Read(range) => {
                    goes_on(!self.progress.is_cancelled())?;
                    disk.feed(&read(&*self.file, &range).await?);
                }
                Next::Piece(piece) => {
                    let mut rest = Some(piece);
                    while let Some(piece) = rest {
                        let (step, left) = gather.take(piece);
                        rest = left;
                        if let Some(step) = step {
                            self.start(step, calls).await?;
                        }
                    }
                }
                Next::End => break,
            }
        }
        if self.sparse { Ok(()) } else { self.zero(disk.size()..end, calls).await }
    }

    async fn start(&self, step: Step, calls: &mut Calls) -> Result<(), TransferError> {
        let length = step.disk.end - step.disk.start;
        if step.pieces.is_empty() {
            if !self.sparse {
                self.zero(step.disk, calls).await?;
            }
            return goes_on(self.progress.advance(length));
        }
        calls.room().await?;
        goes_on(!self.progress.is_cancelled())?;
        let work = self.clone();
        calls.start(async move {
            let mut written = 0;
            for (start, bytes) in work.fill(step).await? {
                for (at, run) in Chunk::from(bytes).runs(work.sparse) {
                    written += run.len() as u64;
                    work.target.write_vectored(start + at, run.into_parts()).await?;
                }
            }
            // The answer is asked for before each step.
            let _ = work.progress.advance(length);
            Ok(written)
        });
        Ok(())
    }

    async fn zero(&self, range: Range<u64>, calls: &mut Calls) -> Result<(), TransferError> {
        zero(range, &self.target, self.chunk, &self.progress, calls).await
    }

    /// The bytes of a stretch of the disk, and where they belong; where it has none, only when zeros are written too.
    async fn fill(&self, step: Step) -> Result<Vec<(u64, Bytes)>, TransferError> {
        let mut pieces: Vec<_> =
            step.pieces.into_iter().map(|piece| (file_range(&piece, self.length), piece)).collect();
        pieces.sort_by_key(|(place, _)| place.start);
        let places: Vec<_> = pieces.iter().map(|(place, _)| place.clone()).collect();
        let mut pieces = pieces.into_iter();
        let mut parts: Vec<Part> = Vec::with_capacity(places.len());
        for together in reads(&places, self.chunk) {
            let bytes = read(&*self.file, &together.range).await?;
            for (place, piece) in pieces.by_ref().take(together.count) {
                parts.push((piece, together.part(&bytes, &place)));
            }
        }
        let needs_time = parts.iter().any(|(piece, _)| matches!(piece.place, Place::Packed(_)));
        let groups = if self.sparse { grouped(parts) } else { vec![Group { disk: step.disk, parts }] };
        let work = move || groups.into_iter().map(Group::whole).collect();
        if needs_time {
            let lost = |error| BlockError::new(ErrorKind::Io, "unpack", self.file.name(), error);
            return tokio::task::spawn_blocking(work).await.map_err(lost)?;
        }
        work()
    }
}

/// A stretch of the file that is read at once.
#[derive(Debug, PartialEq, Eq)]
struct Together {
    range: Range<u64>,
    /// Of the places that lie in it, and how long they are.
    count: usize,
    wanted: u64,
}

impl Together {
    /// The bytes of a place out of those of the whole stretch. They hold the whole stretch only where that takes no more
    /// memory than copies of all that is wanted of it.
    fn part(&self, bytes: &Bytes, place: &Range<u64>) -> Bytes {
        let inside = (place.start - self.range.start) as usize..(place.end - self.range.start) as usize;
        if bytes.len() as u64 <= self.wanted {
            bytes.slice(inside)
        } else {
            Bytes::copy_from_slice(&bytes[inside])
        }
    }
}

/// What is to be read for these places in the file, which are sorted: stretches of at most `most` bytes, or of one place.
/// Where they lie is up to whoever made the file: so at most half of what is read is for nothing.
fn reads(places: &[Range<u64>], most: u64) -> Vec<Together> {
    let mut reads: Vec<Together> = Vec::new();
    for place in places {
        let own = place.end - place.start;
        if let Some(last) = reads.last_mut()
            && place.start <= last.range.end.saturating_add(GAP)
        {
            let (start, end) = (last.range.start, last.range.end.max(place.end));
            if end - start <= most && end - start <= 2 * (last.wanted + own) {
                *last = Together { range: start..end, count: last.count + 1, wanted: last.wanted + own };
                continue;
            }
        }
        reads.push(Together { range: place.clone(), count: 1, wanted: own });
    }
    reads
}

/// A piece, and its bytes in the file.
type Part = (Piece, Bytes);

/// Parts that are written together.
struct Group {
    disk: Range<u64>,
    parts: Vec<Part>,
}

/// What lies so close together on the disk that zeros between are not worth a write of their own.
fn grouped(mut parts: Vec<Part>) -> Vec<Group> {
    parts.sort_by_key(|(piece, _)| piece.disk.start);
    let mut groups: Vec<Group> = Vec::new();
    for part in parts {
        let disk = part.0.disk.clone();
        match groups.last_mut() {
            Some(group) if disk.start - group.disk.end < GRAIN as u64 => {
                group.disk.end = disk.end;
                group.parts.push(part);
            }
            _ => groups.push(Group { disk, parts: vec![part] }),
        }
    }
    groups
}

impl Group {
    fn whole(self) -> Result<(u64, Bytes), TransferError> {
        let (start, size) = (self.disk.start, self.disk.end - self.disk.start);
        // As it lies in the file: nothing is copied.
        if let [(Piece { place: Place::Plain(_), .. }, bytes)] = &self.parts[..]
            && bytes.len() as u64 == size
        {
            return Ok((start, bytes.clone()));
        }
        assemble(start, size, self.parts).map(|bytes| (start, bytes))
    }
}

/// Where a piece lies in a file of so many bytes.
fn file_range(piece: &Piece, length: u64) -> Range<u64> {
    match &piece.place {
        Place::Hole => 0..0,
        Place::Packed(packed) => packed.bytes(length),
        Place::Plain(at) => {
            let end = at.saturating_add(piece.disk.end - piece.disk.start);
            (*at).min(length)..end.min(length)
        }
    }
}

fn assemble(start: u64, size: u64, parts: Vec<Part>) -> Result<Bytes, TransferError> {
    let mut whole = BytesMut::zeroed(size as usize);
    for (Piece { disk, place }, bytes) in parts {
        let room = &mut whole[(disk.start - start) as usize..(disk.end - start) as usize];
        match place {
            Place::Hole => {}
            Place::Plain(_) => room[..bytes.len()].copy_from_slice(&bytes),
            Place::Packed(packed) => packed.unpack(&bytes, room)?,
        }
    }
    Ok(whole.freeze())
}

/// A stretch to be written at once; without pieces it is a hole, and then of any length.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    disk: Range<u64>,
    pieces: Vec<Piece>,
}

/// Makes steps of pieces: each with data lies within one chunk.
struct Gather {
    chunk: u64,
    size: u64,
    /// What was taken since the last step.
    begun: Range<u64>,
    pieces: Vec<Piece>,
}

impl Gather {
    fn new(chunk: u64, size: u64) -> Self {
        Self { chunk, size, begun: 0..0, pieces: Vec::new() }
    }

    /// Answers what is complete with it, and what is left of the piece.
    fn take(&mut self, piece: Piece) -> (Option<Step>, Option<Piece>) {
        let Range { start, end } = piece.disk;
        let border = (start / self.chunk + 1).saturating_mul(self.chunk).min(self.size);
        let is_hole = piece.place == Place::Hole;
        let stop = match end >= border {
            // Over all chunks that it fills.
            true if is_hole && self.pieces.is_empty() && end < self.size => end / self.chunk * self.chunk,
            true if is_hole && self.pieces.is_empty() => end,
            true => border,
            false => end,
        };
        let rest = (stop < end).then(|| Piece { disk: stop..end, place: behind(&piece.place, stop - start) });
        if !is_hole {
            self.add(start..stop, piece.place);
        }
        self.begun.end = stop;
        if stop < border {
            return (None, rest);
        }
        let step = Step { disk: self.begun.clone(), pieces: std::mem::take(&mut self.pieces) };
        self.begun = stop..stop;
        (Some(step), rest)
    }

    /// One piece of two that follow each other in the file too.
    fn add(&mut self, disk: Range<u64>, place: Place) {
        if let (Some(last), Place::Plain(at)) = (self.pieces.last_mut(), &place)
            && let Place::Plain(before) = last.place
            && last.disk.end == disk.start
            && before.checked_add(last.disk.end - last.disk.start) == Some(*at)
        {
            last.disk.end = disk.end;
            return;
        }
        self.pieces.push(Piece { disk, place });
    }
}

/// The place of what comes so many bytes later. What is packed lies within a chunk and has nothing behind it.
fn behind(place: &Place, by: u64) -> Place {
    match place {
        Place::Plain(at) => Place::Plain(at.saturating_add(by)),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Placed = (Range<u64>, Place);

    fn steps(size: u64, pieces: &[Placed]) -> Vec<(Range<u64>, Vec<Placed>)> {
        let mut gather = Gather::new(10, size);
        let mut steps = Vec::new();
        for (disk, place) in pieces {
            let mut rest = Some(Piece { disk: disk.clone(), place: place.clone() });
            while let Some(piece) = rest {
                let (step, left) = gather.take(piece);
                rest = left;
                steps.extend(step);
            }
        }
        let plain = |piece: Piece| (piece.disk, piece.place);
        steps.into_iter().map(|step| (step.disk, step.pieces.into_iter().map(plain).collect())).collect()
    }

    #[test]
    fn pieces_keep_to_their_chunk_and_holes_are_whole() {
        use Place::{Hole, Plain};
        let found = steps(47, &[(0..25, Hole), (25..28, Plain(100)), (28..33, Plain(103)), (33..47, Hole)]);
        let expected = [
            (0..20, vec![]),
            (20..30, vec![(25..30, Plain(100))]),
            (30..40, vec![(30..33, Plain(105))]),
            (40..47, vec![]),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn the_last_chunk_is_cut_off() {
        use Place::Plain;
        let found = steps(15, &[(0..5, Plain(7)), (5..15, Plain(100))]);
        let expected =
            [(0..10, vec![(0..5, Plain(7)), (5..10, Plain(100))]), (10..15, vec![(10..15, Plain(105))])];
        assert_eq!(found, expected);
    }

    const CHUNK: u64 = 4 << 20;

    #[test]
    fn what_lies_in_order_is_one_read() {
        let clusters: Vec<Range<u64>> = (0..64).map(|number| number << 16..(number + 1) << 16).collect();
        let expected = [Together { range: 0..CHUNK, count: 64, wanted: CHUNK }];
        assert_eq!(reads(&clusters, CHUNK), expected);
        // And so it is where others lie in between, or the same is wanted once more.
        let clusters: Vec<Range<u64>> =
            [0u64, 0, 1, 3, 4, 6, 7].map(|number| number << 16..(number + 1) << 16).into();
        let expected = [Together { range: 0..8 << 16, count: 7, wanted: 7 << 16 }];
        assert_eq!(reads(&clusters, CHUNK), expected);
    }

    #[test]
    fn what_lies_far_apart_is_not_read_for_the_gaps() {
        const CLUSTER: u64 = 512;
        // Behind a stretch that is wanted as a whole, or none.
        for first in [0, GAP, CHUNK / 2, CHUNK] {
            let far = (0..8192).map(|number| first + number * (CLUSTER + GAP)).map(|at| at..at + CLUSTER);
            let places: Vec<Range<u64>> = std::iter::once(0..first).chain(far).collect();
            let reads = reads(&places, CHUNK);
            let read: u64 = reads.iter().map(|together| together.range.end - together.range.start).sum();
            let wanted = first + 8192 * CLUSTER;
            assert!(read <= 2 * wanted, "{read} of {wanted}");
            assert_eq!(reads.iter().map(|together| together.wanted).sum::<u64>(), wanted);
            assert_eq!(reads.iter().map(|together| together.count).sum::<usize>(), places.len());
        }
    }

    #[test]
    fn a_part_holds_no_more_than_is_wanted() {
        let bytes = Bytes::from((0..20).collect::<Vec<u8>>());
        for (wanted, is_shared) in [(19, false), (20, true), (30, true)] {
            let together = Together { range: 100..120, count: 2, wanted };
            let part = together.part(&bytes, &(103..105));
            assert_eq!(&part[..], &[3u8, 4]);
            assert_eq!(std::ptr::eq(part.as_ptr(), bytes[3..].as_ptr()), is_shared, "{wanted}");
        }
    }
}
