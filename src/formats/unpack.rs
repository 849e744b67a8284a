//! Stretches of a disk that are compressed. What comes out is never longer than the disk's own unit, whatever goes in.

use std::ops::Range;

use flate2::{Decompress, FlushDecompress};

use super::fields::Fields;
use super::{Danger, require};

/// A compressed stretch of the disk, and where it lies in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    pub(super) at: u64,
    /// At most so many bytes; the file may end before.
    pub(super) length: u64,
    pub(super) packing: Packing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    Deflate,
    Zstd,
    /// A grain of a VMDK: its marker says how long the zlib stream behind it is.
    Grain,
}

/// Of a VMDK's grain: where it belongs, and how long it is.
pub(super) const MARKER: usize = 12;

impl Packed {
    /// The bytes of a file of this length that it is unpacked from.
    pub fn bytes(&self, length: u64) -> Range<u64> {
        self.at..self.at.saturating_add(self.length).min(length).max(self.at)
    }

    /// Fills `disk`, the beginning of the stretch, from its bytes.
    ///
    /// # Errors
    /// When less comes out than is wanted.
    pub fn unpack(&self, bytes: &[u8], disk: &mut [u8]) -> Result<(), Danger> {
        match self.packing {
            Packing::Deflate => inflate(Decompress::new(false), bytes, disk),
            Packing::Zstd => unpack_zstd(bytes, disk),
            Packing::Grain => {
                let marker = Fields(bytes);
                let length = marker.le32(8)? as usize;
                require(length > 0, "the length of a grain")?;
                inflate(Decompress::new(true), marker.bytes(MARKER, length)?, disk)
            }
        }
    }
}

const BROKEN: Danger = Danger::Malformed("a compressed stretch cannot be unpacked");

/// What is wanted may be less than there is: the last unit of a disk is cut off.
fn inflate(mut stream: Decompress, bytes: &[u8], disk: &mut [u8]) -> Result<(), Danger> {
    while (stream.total_out() as usize) < disk.len() {
        let (taken, given) = (stream.total_in() as usize, stream.total_out() as usize);
        let input = bytes.get(taken..).unwrap_or_default();
        let room = disk.get_mut(given..).unwrap_or_default();
        stream.decompress(input, room, FlushDecompress::None).map_err(|_| BROKEN)?;
        if (stream.total_in() as usize, stream.total_out() as usize) == (taken, given) {
            return Err(BROKEN);
        }
    }
    Ok(())
}

fn unpack_zstd(bytes: &[u8], disk: &mut [u8]) -> Result<(), Danger> {
    use zstd::stream::raw::{Decoder, InBuffer, Operation, OutBuffer};
    let mut decoder = Decoder::new().map_err(|_| BROKEN)?;
    // A frame's window is never larger than what is packed needs, and never so large that it could hurt.
    decoder.set_parameter(zstd::zstd_safe::DParameter::WindowLogMax(22)).map_err(|_| BROKEN)?;
    let mut input = InBuffer::around(bytes);
    let mut output = OutBuffer::around(disk);
    while output.pos() < output.capacity() {
        let before = (input.pos(), output.pos());
        decoder.run(&mut input, &mut output).map_err(|_| BROKEN)?;
        if before == (input.pos(), output.pos()) {
            return Err(BROKEN);
        }
    }
    Ok(())
}
