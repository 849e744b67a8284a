//! VirtualBox' format, version 1.1.

use std::ops::Range;

use super::disk::{Body, Entry, Layout, Opened, Table};
use super::encode::{Block, Blocks, Segment};
use super::fields::Fields;
use super::window::View;
use super::{Danger, require, sane_size};

const SIGNATURE: u32 = 0xBEDA_107F;
const VERSION: u32 = 0x0001_0001;

pub(super) fn claims(view: &View<'_>) -> bool {
    view.fields().le32(0x40) == Ok(SIGNATURE)
}

pub(super) fn read(view: &View<'_>) -> Result<u64, Danger> {
    let header = view.fields();
    require(header.le32(0x44)? == VERSION, "the version")?;
    // Dynamic and static. The others are differences to another disk, or states to return to.
    if !matches!(header.le32(0x4C)?, 1 | 2) {
        return Err(Danger::BackingFile);
    }
    // The disk it was linked from, and its parent.
    if !header.is_zero(0x1A8, 32)? {
        return Err(Danger::BackingFile);
    }
    require(header.le32(0x168)? == 512, "the sector size")?;
    let size = sane_size(header.le64(0x170)?)?;
    let block = header.le32(0x178)?;
    require(block.is_power_of_two() && (4096..=1 << 28).contains(&block), "the block size")?;
    let blocks = u64::from(header.le32(0x180)?);
    require(size <= blocks * u64::from(block), "too few blocks for the disk")?;
    require(header.le32(0x184)? <= header.le32(0x180)?, "more blocks in use than there are")?;
    let (map, data) = (u64::from(header.le32(0x154)?), u64::from(header.le32(0x158)?));
    require(map >= 512 && map.is_multiple_of(512), "the place of the block map")?;
    require(data.is_multiple_of(512) && data >= map + 4 * blocks, "the place of the data")?;
    Ok(size)
}

/// Entries from here on have no block: never written, or given back.
const NO_BLOCK: u32 = 0xFFFF_FFFE;

struct Map {
    data: u64,
    block: u64,
}

pub(super) fn open(view: &View<'_>) -> Result<Opened, Danger> {
    let header = view.fields();
    if header.le32(0x17C)? != 0 {
        return Err(Danger::Unsupported("blocks with something before them"));
    }
    let map = Map { data: u64::from(header.le32(0x158)?), block: u64::from(header.le32(0x178)?) };
    let (at, entries) = (u64::from(header.le32(0x154)?), u64::from(header.le32(0x180)?));
    let table = Table { at, entries, width: 4, span: map.block };
    Ok(Opened { size: header.le64(0x170)?, largest_packed: 1, body: Body::Mapped(table, Box::new(map)) })
}

impl Layout for Map {
    fn entry(&self, _: usize, _: u64, bytes: Fields<'_>) -> Result<Entry, Danger> {
        Ok(match bytes.le32(0)? {
            NO_BLOCK.. => Entry::Hole,
            number => Entry::Plain(self.data + u64::from(number) * self.block),
        })
    }
}

const BLOCK: u64 = 1 << 20;
const MAP_AT: u64 = 512;

/// A dynamic one: header, block map, blocks.
pub(super) fn encode(size: u64, extents: &[Range<u64>], id: [u8; 16]) -> Vec<Segment> {
    let blocks = Blocks::new(size, BLOCK, extents);
    let total = blocks.total() as u32;
    // Blocks begin where sectors of any size do.
    let data = (MAP_AT + blocks.total() * 4).next_multiple_of(4096);
    let mut head = Block::new(data);
    head.put(0, b"<<< disk image >>>\n")
        .put(0x40, &SIGNATURE.to_le_bytes())
        .put(0x44, &VERSION.to_le_bytes());
    head.put(0x48, &0x190u32.to_le_bytes()).put(0x4C, &1u32.to_le_bytes());
    head.put(0x154, &(MAP_AT as u32).to_le_bytes()).put(0x158, &(data as u32).to_le_bytes());
    head.put(0x168, &512u32.to_le_bytes()).put(0x170, &size.to_le_bytes());
    head.put(0x178, &(BLOCK as u32).to_le_bytes()).put(0x180, &total.to_le_bytes());
    head.put(0x184, &(blocks.count() as u32).to_le_bytes()).put(0x188, &id);
    head.0[MAP_AT as usize..(MAP_AT + blocks.total() * 4) as usize].fill(0xFF);
    for (place, number) in (0u32..).zip(blocks.numbers()) {
        head.put(MAP_AT + number * 4, &place.to_le_bytes());
    }
    std::iter::once(head.into()).chain(blocks.segments()).collect()
}
