//! The other way round: what a file looks like that holds a disk in a format.
//!
//! Where the disk holds anything is known before a byte of it is read, and so the whole file is: headers and tables,
//! then stretches of the disk, in the order in which they stand in the file. The tables are held whole, for they come
//! first: at most 256 MiB for the largest disk that is written, 64 TiB.

use std::ops::Range;

use bytes::Bytes;

use super::{Danger, Format, qcow2, vdi, vhd, vhdx, vmdk};

const LARGEST: u64 = 64 << 40;

/// What stands next in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    Bytes(Bytes),
    Disk(Range<u64>),
    Zeros(u64),
}

/// A file.
pub struct Encoded {
    pub length: u64,
    /// One after the other.
    pub segments: Box<dyn Iterator<Item = Segment> + Send>,
}

impl From<Vec<Segment>> for Encoded {
    fn from(segments: Vec<Segment>) -> Self {
        Self { length: segments.iter().map(Segment::length).sum(), segments: Box::new(segments.into_iter()) }
    }
}

impl Segment {
    fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Disk(range) => range.end - range.start,
            Self::Zeros(length) => *length,
        }
    }
}

/// A disk of so many bytes, a multiple of 512, that holds something in these stretches, which are sorted. `id` is not
/// zero, and another one for each file.
///
/// # Errors
/// When the format has no room for so large a disk, or is not one that is written.
pub fn encode(format: Format, size: u64, extents: &[Range<u64>], id: [u8; 16]) -> Result<Encoded, Danger> {
    if size > LARGEST {
        return Err(Danger::TooLarge);
    }
    match format {
        Format::Qcow2 => Ok(qcow2::encode(size, extents).into()),
        Format::Vmdk => vmdk::encode(size, extents, id).map(Encoded::from),
        Format::Vhd => vhd::encode(size, extents, id),
        Format::Vhdx => Ok(vhdx::encode(size, extents, id).into()),
        Format::Vdi => Ok(vdi::encode(size, extents, id).into()),
        _ => Err(Danger::Unsupported("disks of this format are not written")),
    }
}

/// The units of a disk that a format allocates, those of them that are there.
pub(super) struct Blocks {
    size: u64,
    pub block: u64,
    /// Their numbers, sorted and merged.
    runs: Vec<Range<u64>>,
}

impl Blocks {
    pub fn new(size: u64, block: u64, extents: &[Range<u64>]) -> Self {
        let mut runs: Vec<Range<u64>> = Vec::new();
        for extent in extents {
            let (start, end) = (extent.start / block, extent.end.min(size).div_ceil(block));
            match runs.last_mut() {
                Some(last) if start <= last.end => last.end = last.end.max(end),
                _ if start < end => runs.push(start..end),
                _ => {}
            }
        }
        Self { size, block, runs }
    }

    /// All there could be.
    pub fn total(&self) -> u64 {
        self.size.div_ceil(self.block)
    }

    pub fn count(&self) -> u64 {
        self.runs.iter().map(|run| run.end - run.start).sum()
    }

    /// Those that are there, in order.
    pub fn numbers(&self) -> impl Iterator<Item = u64> {
        self.runs.iter().cloned().flatten()
    }

    /// Likewise, for those who come back for more.
    pub fn into_numbers(self) -> impl Iterator<Item = u64> + Send {
        self.runs.into_iter().flatten()
    }

    /// Their bytes, one after the other. The last block of a disk may be cut off: zeros follow.
    pub fn segments(&self) -> impl Iterator<Item = Segment> {
        self.runs.iter().flat_map(|run| self.stretch(run.clone()))
    }

    fn stretch(&self, run: Range<u64>) -> [Segment; 2] {
        stretch(self.size, self.block, run)
    }
}

/// These blocks of a disk of that size.
pub(super) fn stretch(size: u64, block: u64, run: Range<u64>) -> [Segment; 2] {
    let end = (run.end * block).min(size);
    [Segment::Disk(run.start * block..end), Segment::Zeros(run.end * block - end)]
}

/// Bytes of a header, filled in at places that are inside of it.
pub(super) struct Block(pub Vec<u8>);

impl Block {
    pub fn new(length: u64) -> Self {
        Self(vec![0; length as usize])
    }

    pub fn put(&mut self, at: u64, bytes: &[u8]) -> &mut Self {
        let at = at as usize;
        if let Some(room) = self.0.get_mut(at..at + bytes.len()) {
            room.copy_from_slice(bytes);
        }
        self
    }
}

impl From<Block> for Segment {
    fn from(block: Block) -> Self {
        Self::Bytes(block.0.into())
    }
}
