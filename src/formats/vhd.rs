//! Virtual PC's format. A dynamic disk begins with a copy of the footer; a fixed disk is raw bytes with the footer
//! behind them.

use std::ops::Range;

use bytes::Bytes;

use super::disk::{Body, Entry, Layout, Opened, Table};
use super::encode::{Block, Blocks, Encoded, Segment, stretch};
use super::fields::Fields;
use super::window::View;
use super::{Danger, require};

const COOKIE: &[u8] = b"conectix";
const FOOTER: usize = 512;
const HEADER: usize = 1024;
/// 2040 GiB: the format has no room for more.
const LARGEST: u64 = 0xFF00_0000 * 512;

const FIXED: u32 = 2;
const DYNAMIC: u32 = 3;
const DIFFERENCING: u32 = 4;

pub(super) fn claims(view: &View<'_>) -> bool {
    view.head.starts_with(COOKIE) || is_fixed(view)
}

/// Whether a good footer stands behind raw bytes, which may themselves look like a disk with partitions.
pub(super) fn is_fixed(view: &View<'_>) -> bool {
    !view.head.starts_with(COOKIE)
        && fixed_footer(view).is_some_and(|footer| {
            footer.0.starts_with(COOKIE) && footer.be32(60) == Ok(FIXED) && has_sum(footer, 64)
        })
}

fn fixed_footer<'a>(view: &View<'a>) -> Option<Fields<'a>> {
    view.tail.len().checked_sub(FOOTER).and_then(|start| view.tail.get(start..)).map(Fields)
}

/// The sum of all other bytes, inverted.
fn has_sum(block: Fields<'_>, at: usize) -> bool {
    let sum = |bytes: &[u8]| bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    match (block.be32(at), block.bytes(at, 4)) {
        (Ok(noted), Ok(itself)) => noted == !(sum(block.0) - sum(itself)),
        _ => false,
    }
}

pub(super) fn read(view: &View<'_>) -> Result<u64, Danger> {
    if !view.head.starts_with(COOKIE) {
        return read_fixed(view);
    }
    let footer = Fields(view.fields().bytes(0, FOOTER)?);
    match footer.be32(60)? {
        DYNAMIC => {}
        DIFFERENCING => return Err(Danger::BackingFile),
        _ => return Err(Danger::Malformed("the type of the disk")),
    }
    require(has_sum(footer, 64), "the checksum of the footer")?;
    // What stands there could be taken for something else.
    require(footer.is_zero(85, FOOTER - 85)?, "the reserved bytes")?;
    let size = size(footer)?;
    let place = usize::try_from(footer.be64(16)?).unwrap_or(usize::MAX);
    require(place >= FOOTER, "the place of the header")?;
    let header = Fields(view.fields().bytes(place, HEADER)?);
    require(header.0.starts_with(b"cxsparse") && has_sum(header, 36), "the header")?;
    require(header.be32(24)? == 0x0001_0000, "the version of the header")?;
    let (blocks, block) = (u64::from(header.be32(28)?), header.be32(32)?);
    require(block.is_power_of_two() && block >= 4096, "the block size")?;
    require(size <= blocks * u64::from(block), "too few blocks for the disk")?;
    // Only a difference to another disk has a parent.
    if !header.is_zero(40, 16)? {
        return Err(Danger::BackingFile);
    }
    Ok(size)
}

fn read_fixed(view: &View<'_>) -> Result<u64, Danger> {
    let footer = fixed_footer(view).ok_or(Danger::Malformed("the footer"))?;
    let size = size(footer)?;
    require(view.length.checked_sub(FOOTER as u64) == Some(size), "the disk is not as long as it says")?;
    Ok(size)
}

/// The current size: the one before it is that of the day the disk was made.
fn size(footer: Fields<'_>) -> Result<u64, Danger> {
    match footer.be64(48)? {
        size if size > LARGEST => Err(Danger::TooLarge),
        size => Ok(size),
    }
}

const SECTOR: u64 = 512;
const NO_BLOCK: u32 = u32::MAX;

struct Map {
    /// Before each block: which of its sectors were ever written. The others hold zeros, so nobody needs it.
    bitmap: u64,
}

pub(super) fn open(view: &View<'_>) -> Result<Opened, Danger> {
    if !view.head.starts_with(COOKIE) {
        return Ok(Opened { size: read_fixed(view)?, largest_packed: 1, body: Body::Flat });
    }
    let footer = view.fields();
    let place = usize::try_from(footer.be64(16)?).unwrap_or(usize::MAX);
    let header = Fields(footer.bytes(place, HEADER)?);
    let (entries, span) = (u64::from(header.be32(28)?), u64::from(header.be32(32)?));
    let table = Table { at: header.be64(16)?, entries, width: 4, span };
    let map = Map { bitmap: (span / SECTOR).div_ceil(8).next_multiple_of(SECTOR) };
    Ok(Opened { size: size(footer)?, largest_packed: 1, body: Body::Mapped(table, Box::new(map)) })
}

impl Layout for Map {
    fn entry(&self, _: usize, _: u64, bytes: Fields<'_>) -> Result<Entry, Danger> {
        Ok(match bytes.be32(0)? {
            NO_BLOCK => Entry::Hole,
            sector => Entry::Plain(u64::from(sector) * SECTOR + self.bitmap),
        })
    }
}

const BLOCK: u64 = 2 << 20;
const MAP_AT: u64 = (FOOTER + HEADER) as u64;

/// A dynamic one: the footer's copy, header, block map, blocks each with its bitmap, footer.
pub(super) fn encode(size: u64, extents: &[Range<u64>], id: [u8; 16]) -> Result<Encoded, Danger> {
    if size > LARGEST {
        return Err(Danger::TooLarge);
    }
    let blocks = Blocks::new(size, BLOCK, extents);
    let data = (MAP_AT + blocks.total() * 4).next_multiple_of(SECTOR);
    let footer = footer(size, id);
    let mut head = Block::new(data);
    head.put(0, &footer).put(FOOTER as u64, &header(blocks.total() as u32));
    head.0[MAP_AT as usize..].fill(0xFF);
    for (place, number) in (0u64..).zip(blocks.numbers()) {
        let sector = (data + place * (SECTOR + BLOCK)) / SECTOR;
        head.put(MAP_AT + number * 4, &(sector as u32).to_be_bytes());
    }
    let length = data + blocks.count() * (SECTOR + BLOCK) + FOOTER as u64;
    // Where anything of a block was written all of it was.
    const BITMAP: &[u8] = &[0xFF; SECTOR as usize];
    let body = blocks.into_numbers().flat_map(move |number| {
        let [disk, rest] = stretch(size, BLOCK, number..number + 1);
        [Segment::Bytes(Bytes::from_static(BITMAP)), disk, rest]
    });
    let footer = Segment::Bytes(footer.into());
    Ok(Encoded { length, segments: Box::new(std::iter::once(head.into()).chain(body).chain([footer])) })
}

fn footer(size: u64, id: [u8; 16]) -> Vec<u8> {
    let mut footer = Block::new(FOOTER as u64);
    footer.put(0, COOKIE).put(8, &2u32.to_be_bytes()).put(12, &0x0001_0000u32.to_be_bytes());
    footer.put(16, &(FOOTER as u64).to_be_bytes());
    // Of the makers that QEMU knows, one that means the size by the size, and not by the geometry.
    footer.put(28, b"qem2").put(36, b"Wi2k").put(40, &size.to_be_bytes()).put(48, &size.to_be_bytes());
    let (cylinders, heads, sectors) = geometry(size / SECTOR);
    footer.put(56, &cylinders.to_be_bytes()).put(58, &[heads, sectors]);
    footer.put(60, &DYNAMIC.to_be_bytes()).put(68, &id);
    with_sum(footer, 64)
}

fn header(blocks: u32) -> Vec<u8> {
    let mut header = Block::new(HEADER as u64);
    header.put(0, b"cxsparse").put(8, &u64::MAX.to_be_bytes()).put(16, &MAP_AT.to_be_bytes());
    header.put(24, &0x0001_0000u32.to_be_bytes()).put(28, &blocks.to_be_bytes());
    header.put(32, &(BLOCK as u32).to_be_bytes());
    with_sum(header, 36)
}

fn with_sum(mut block: Block, at: u64) -> Vec<u8> {
    let sum: u32 = block.0.iter().map(|byte| u32::from(*byte)).sum();
    block.put(at, &(!sum).to_be_bytes());
    block.0
}

/// Cylinders, heads and sectors of a disk of so many sectors, as the format's appendix computes them.
fn geometry(sectors: u64) -> (u16, u8, u8) {
    let sectors = sectors.min(65_535 * 16 * 255);
    let (mut heads, mut in_track);
    let mut tracks;
    if sectors >= 65_535 * 16 * 63 {
        (heads, in_track) = (16, 255);
        tracks = sectors / in_track;
    } else {
        in_track = 17;
        tracks = sectors / in_track;
        heads = tracks.div_ceil(1024).max(4);
        if tracks >= heads * 1024 || heads > 16 {
            (heads, in_track) = (16, 31);
            tracks = sectors / in_track;
        }
        if tracks >= heads * 1024 {
            (heads, in_track) = (16, 63);
            tracks = sectors / in_track;
        }
    }
    ((tracks / heads) as u16, heads as u8, in_track as u8)
}
