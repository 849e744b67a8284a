//! The disk in a file, which lies in a store, into an image: read where it lies, without a file in between.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::block::{BlockError, BlockImage, ErrorKind, Progress};
use crate::formats::{self, Disk, Ends, Format, Next, Piece, Place};

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
    let work = Work {
        length: file.size().await?,
        chunk: options.chunk.max(disk.largest_packed()).max(1).next_power_of_two(),
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
        let mut places: Vec<_> =
            step.pieces.into_iter().map(|piece| (file_range(&piece, self.length), piece)).collect();
        places.sort_by_key(|(range, _)| range.start);
        let mut parts: Vec<Part> = Vec::with_capacity(places.len());
        let mut places = places.into_iter().peekable();
        while let Some((mut range, piece)) = places.next() {
            let first = parts.len();
            parts.push((range.clone(), piece, Bytes::new()));
            while let Some((next, piece)) = places.next_if(|(next, _)| {
                next.start <= range.end.saturating_add(GAP)
                    && next.end.max(range.end) - range.start <= self.chunk
            }) {
                range.end = range.end.max(next.end);
                parts.push((next, piece, Bytes::new()));
            }
            let bytes = read(&*self.file, &range).await?;
            for (own, _, part) in &mut parts[first..] {
                *part = bytes.slice((own.start - range.start) as usize..(own.end - range.start) as usize);
            }
        }
        let needs_time = parts.iter().any(|(_, piece, _)| matches!(piece.place, Place::Packed(_)));
        let groups = if self.sparse { grouped(parts) } else { vec![Group { disk: step.disk, parts }] };
        let work = move || groups.into_iter().map(Group::whole).collect();
        if needs_time {
            let lost = |error| BlockError::new(ErrorKind::Io, "unpack", self.file.name(), error);
            return tokio::task::spawn_blocking(work).await.map_err(lost)?;
        }
        work()
    }
}

/// A piece with its place in the file, and its bytes there.
type Part = (Range<u64>, Piece, Bytes);

/// Parts that are written together.
struct Group {
    disk: Range<u64>,
    parts: Vec<Part>,
}

/// What lies so close together on the disk that zeros between are not worth a write of their own.
fn grouped(mut parts: Vec<Part>) -> Vec<Group> {
    parts.sort_by_key(|(_, piece, _)| piece.disk.start);
    let mut groups: Vec<Group> = Vec::new();
    for part in parts {
        let disk = part.1.disk.clone();
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
        if let [(_, Piece { place: Place::Plain(_), .. }, bytes)] = &self.parts[..]
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
            let end = at.saturating_add(piece.disk.end - piece.disk.start).min(length);
            *at..end.max(*at)
        }
    }
}

fn assemble(start: u64, size: u64, parts: Vec<Part>) -> Result<Bytes, TransferError> {
    let mut whole = BytesMut::zeroed(size as usize);
    for (_, Piece { disk, place }, bytes) in parts {
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
}
