//! What bytes mean: which disk format they are in, how large the disk in them is, and whether it is safe.
//!
//! An [`Inspector`] is fed while an upload passes. It keeps the few stretches that say something, at most some
//! [`LARGEST_HEAD`] + [`LARGEST_METADATA`] bytes, and asks nobody. Then [`Content::judge`] holds what was found
//! against what the image claims to be. A [`Disk`] is what such a file holds: it says where each stretch lies.
//!
//! All of it is hostile input. A file that says it is of a format must be a good one of it: what a parser
//! elsewhere may take for something else, or for the name of a file, is refused here.

mod disk;
mod encode;
mod fields;
mod inspector;
mod iso;
mod judge;
mod luks;
mod partitions;
mod qcow2;
mod unpack;
mod vdi;
mod vhd;
mod vhdx;
mod vmdk;
mod window;

use std::fmt;

pub use disk::{Disk, Ends, Next, Piece, Place, metadata, readable};
pub use encode::{Encoded, Segment, encode};
pub use inspector::{Inspector, LARGEST_HEAD};
pub use judge::{Refusal, Rules};
pub use unpack::Packed;
pub use vhdx::LARGEST_METADATA;

use window::View;

/// What bytes can be recognised as. The names are those of `disk_format` where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    Qcow2,
    Qed,
    Vmdk,
    Vhd,
    Vhdx,
    Vdi,
    Iso,
    Luks,
    /// A partition table, also one of the older kind (MBR).
    Gpt,
}

impl Format {
    pub const ALL: [Self; 9] = [
        Self::Qcow2,
        Self::Qed,
        Self::Vmdk,
        Self::Vhd,
        Self::Vhdx,
        Self::Vdi,
        Self::Iso,
        Self::Luks,
        Self::Gpt,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Qcow2 => "qcow2",
            Self::Qed => "qed",
            Self::Vmdk => "vmdk",
            Self::Vhd => "vhd",
            Self::Vhdx => "vhdx",
            Self::Vdi => "vdi",
            Self::Iso => "iso",
            Self::Luks => "luks",
            Self::Gpt => "gpt",
        }
    }

    fn claims(self, view: &View<'_>) -> bool {
        match self {
            Self::Qcow2 => view.head.starts_with(qcow2::MAGIC),
            Self::Qed => view.head.starts_with(b"QED\0"),
            Self::Vmdk => vmdk::claims(view),
            Self::Vhd => vhd::claims(view),
            Self::Vhdx => view.head.starts_with(vhdx::SIGNATURE),
            Self::Vdi => vdi::claims(view),
            Self::Iso => iso::claims(view),
            Self::Luks => view.head.starts_with(luks::MAGIC),
            Self::Gpt => partitions::claims(view),
        }
    }

    /// The size of the disk, where the format says it.
    fn read(self, view: &View<'_>) -> Result<Option<u64>, Danger> {
        match self {
            Self::Qcow2 => qcow2::read(view).map(Some),
            // Nobody uses it, and nobody maintains what reads it.
            Self::Qed => Err(Danger::Unsupported("QED is not supported")),
            Self::Vmdk => vmdk::read(view).map(Some),
            Self::Vhd => vhd::read(view).map(Some),
            Self::Vhdx => vhdx::read(view).map(Some),
            Self::Vdi => vdi::read(view).map(Some),
            Self::Iso => Ok(iso::read(view)),
            Self::Luks => luks::read(view).map(Some),
            Self::Gpt => partitions::read(view).map(Some),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why content must not be handed to anything that would interpret it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Danger {
    #[error("it has a backing file")]
    BackingFile,
    #[error("its data are in another file")]
    DataFile,
    #[error("it needs features that are not known")]
    UnknownFeatures,
    #[error("{0}")]
    Unsupported(&'static str),
    #[error("malformed: {0}")]
    Malformed(&'static str),
    #[error("the disk would be absurdly large")]
    TooLarge,
    #[error("the partition table is not valid: {0}")]
    Partitions(&'static str),
}

/// No cluster has room for a larger disk, and sizes below it can be added and doubled safely.
const LARGEST_DISK: u64 = 1 << 50;

fn sane_size(size: u64) -> Result<u64, Danger> {
    if size > LARGEST_DISK { Err(Danger::TooLarge) } else { Ok(size) }
}

/// A demand on a header.
fn require(holds: bool, what: &'static str) -> Result<(), Danger> {
    if holds { Ok(()) } else { Err(Danger::Malformed(what)) }
}

/// One format that claims the content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub format: Format,
    /// The size of the disk in it, unless the format does not say, or why it is refused.
    pub disk: Result<Option<u64>, Danger>,
}

/// What an inspector saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Bytes that passed.
    pub length: u64,
    /// Empty for raw bytes; more than one when they can be taken for several things.
    pub found: Vec<Found>,
}
