//! Hyper-V's format. Published as MS-VHDX.

use std::ops::Range;

use super::disk::{Body, Entry, Layout, Opened, Table};
use super::encode::{Block, Blocks, Segment};
use super::fields::Fields;
use super::window::{View, Window};
use super::{Danger, require};

pub(super) const SIGNATURE: &[u8] = b"vhdxfile";

const TABLE: usize = 192 << 10;
const TABLE_LENGTH: usize = 64 << 10;
pub(super) const TABLES_END: usize = TABLE + TABLE_LENGTH;
const MOST_ENTRIES: u32 = 2047;
/// Regions lie at multiples of it, behind what describes them.
const ALIGNMENT: u64 = 1 << 20;
/// The metadata region is of this size in all files seen; items lie behind a table of 64 KiB.
pub const LARGEST_METADATA: usize = 1 << 20;
const LARGEST_DISK: u64 = 64 << 40;

type Guid = [u8; 16];

const BLOCK_MAP: Guid = guid(0x2DC2_7766_F623_4200_9D64_115E_9BFD_4A08);
const METADATA: Guid = guid(0x8B7C_A206_4790_4B9A_B8FE_575F_050F_886E);
const FILE_PARAMETERS: Guid = guid(0xCAA1_6737_FA36_4D43_B3B6_33F0_AA44_E76B);
const DISK_SIZE: Guid = guid(0x2FA5_4224_CD1B_4876_B211_5DBE_D83B_F4B8);
const PAGE_83: Guid = guid(0xBECA_12AB_B2E6_4523_93EF_C309_E000_C746);
const LOGICAL_SECTOR: Guid = guid(0x8141_BF1D_A96F_4709_BA47_F233_A8FA_AB5F);
const PHYSICAL_SECTOR: Guid = guid(0xCDA3_48C7_445D_4471_9CC9_E988_5251_C556);
const PARENT: Guid = guid(0xA8D3_5F2D_B30B_454D_ABF7_D3D8_4834_AB0C);

/// As it is written in a file: the first three groups are little-endian.
const fn guid(text: u128) -> Guid {
    let b = text.to_be_bytes();
    [b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]]
}

/// The stretch with the metadata, when the head of a VHDX says where it is.
pub(super) fn metadata(head: &[u8]) -> Option<Window> {
    if !head.starts_with(SIGNATURE) {
        return None;
    }
    region(Fields(head)).ok().map(|offset| Window::new(offset, LARGEST_METADATA))
}

fn region(head: Fields<'_>) -> Result<u64, Danger> {
    let table = Fields(head.bytes(TABLE, TABLE_LENGTH)?);
    require(table.0.starts_with(b"regi"), "the region table")?;
    let mut place = None;
    for entry in entries(table, 16, table.le32(8)?)? {
        match entry.bytes(0, 16)? {
            id if id == METADATA => {
                require(place.is_none(), "two metadata regions")?;
                let (offset, length) = (entry.le64(16)?, entry.le32(24)?);
                let is_placed = offset >= ALIGNMENT && offset.is_multiple_of(ALIGNMENT);
                require(is_placed && length as usize >= LARGEST_METADATA, "the place of the metadata")?;
                place = Some(offset);
            }
            id if id == BLOCK_MAP => {}
            _ => require_optional(entry.le32(28)? & 1)?,
        }
    }
    place.ok_or(Danger::Malformed("no metadata"))
}

/// Entries of 32 bytes behind the start of a table.
fn entries(table: Fields<'_>, start: usize, count: u32) -> Result<impl Iterator<Item = Fields<'_>>, Danger> {
    require(count <= MOST_ENTRIES, "too many entries in a table")?;
    let bytes = table.bytes(start, count as usize * 32)?;
    Ok(bytes.chunks_exact(32).map(Fields))
}

fn require_optional(required: u32) -> Result<(), Danger> {
    if required == 0 { Ok(()) } else { Err(Danger::UnknownFeatures) }
}

/// What the metadata say, in bytes.
struct Facts {
    size: u64,
    block: u64,
    sector: u64,
}

pub(super) fn read(view: &View<'_>) -> Result<u64, Danger> {
    facts(view).map(|facts| facts.size)
}

fn facts(view: &View<'_>) -> Result<Facts, Danger> {
    region(view.fields())?;
    let (_, region) = view.metadata.ok_or(Danger::Malformed("no metadata"))?;
    let region = Fields(region);
    require(region.0.starts_with(b"metadata"), "the metadata table")?;
    let (mut size, mut sector, mut block) = (None, None, None);
    for entry in entries(region, 32, u32::from(region.le16(10)?))? {
        let item = |length: usize| {
            let (offset, noted) = (entry.le32(16)? as usize, entry.le32(20)? as usize);
            require(offset >= TABLE_LENGTH && noted == length, "the place of an item")?;
            region.bytes(offset, length).map(Fields)
        };
        match entry.bytes(0, 16)? {
            id if id == DISK_SIZE => require(size.replace(item(8)?.le64(0)?).is_none(), "two sizes")?,
            id if id == LOGICAL_SECTOR => {
                require(sector.replace(item(4)?.le32(0)?).is_none(), "two sector sizes")?;
            }
            id if id == FILE_PARAMETERS => {
                let parameters = item(8)?;
                require(block.replace(parameters.le32(0)?).is_none(), "two block sizes")?;
                if parameters.le32(4)? & 2 != 0 {
                    return Err(Danger::BackingFile);
                }
            }
            id if id == PARENT => return Err(Danger::BackingFile),
            id if id == PAGE_83 || id == PHYSICAL_SECTOR => {}
            _ => require_optional(entry.le32(24)? & 4)?,
        }
    }
    let block = block.ok_or(Danger::Malformed("no block size"))?;
    require(block.is_power_of_two() && (1 << 20..=1 << 28).contains(&block), "the block size")?;
    let sector = u64::from(sector.ok_or(Danger::Malformed("no sector size"))?);
    require(matches!(sector, 512 | 4096), "the sector size")?;
    let size = size.ok_or(Danger::Malformed("no size"))?;
    require(size.is_multiple_of(sector), "the size is not in sectors")?;
    if size > LARGEST_DISK {
        return Err(Danger::TooLarge);
    }
    Ok(Facts { size, block: u64::from(block), sector })
}

const HEADERS: [usize; 2] = [64 << 10, 128 << 10];
const HEADER_LENGTH: usize = 4 << 10;

struct Map {
    /// After so many blocks comes an entry about their sectors, which only a difference to another disk uses.
    blocks_in_chunk: u64,
}

pub(super) fn open(view: &View<'_>) -> Result<Opened, Danger> {
    let facts = facts(view)?;
    check_log(view.fields())?;
    let (at, length) = block_map(view.fields())?;
    let map = Map { blocks_in_chunk: ((1 << 23) * facts.sector) / facts.block };
    let blocks = facts.size.div_ceil(facts.block);
    let entries = blocks + blocks.saturating_sub(1) / map.blocks_in_chunk;
    require(entries * 8 <= length, "the block map is too short")?;
    let table = Table { at, entries, width: 8, span: facts.block };
    Ok(Opened { size: facts.size, largest_packed: 1, body: Body::Mapped(table, Box::new(map)) })
}

/// A log that was not written back holds newer tables than the file: whoever had it open must close it.
fn check_log(head: Fields<'_>) -> Result<(), Danger> {
    let mut newest: Option<(u64, bool)> = None;
    for at in HEADERS {
        let header = Fields(head.bytes(at, HEADER_LENGTH)?);
        if !header.0.starts_with(b"head") || header.le32(4)? != checksum(header.0) {
            continue;
        }
        let (sequence, has_log) = (header.le64(8)?, !header.is_zero(48, 16)?);
        if newest.is_none_or(|(newest, _)| sequence > newest) {
            newest = Some((sequence, has_log));
        }
    }
    match newest {
        None => Err(Danger::Malformed("no header")),
        Some((_, true)) => Err(Danger::Unsupported("a VHDX that was not closed")),
        Some((_, false)) => Ok(()),
    }
}

/// CRC-32C with the checksum's own bytes taken for zeros. Four kilobytes are not worth a table.
fn checksum(header: &[u8]) -> u32 {
    let bytes = header.iter().enumerate().map(|(at, byte)| if (4..8).contains(&at) { 0 } else { *byte });
    !bytes.fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| (sum >> 1) ^ (0x82F6_3B78 & (sum & 1).wrapping_neg()))
    })
}

fn block_map(head: Fields<'_>) -> Result<(u64, u64), Danger> {
    let table = Fields(head.bytes(TABLE, TABLE_LENGTH)?);
    let mut place = None;
    for entry in entries(table, 16, table.le32(8)?)? {
        if entry.bytes(0, 16)? == BLOCK_MAP {
            require(place.is_none(), "two block maps")?;
            place = Some((entry.le64(16)?, u64::from(entry.le32(24)?)));
        }
    }
    place.ok_or(Danger::Malformed("no block map"))
}

impl Layout for Map {
    fn entry(&self, _: usize, index: u64, bytes: Fields<'_>) -> Result<Entry, Danger> {
        if index % (self.blocks_in_chunk + 1) == self.blocks_in_chunk {
            return Ok(Entry::Nothing);
        }
        let entry = bytes.le64(0)?;
        match entry & 7 {
            // Not present, undefined, zero, unmapped (now and as it once was numbered).
            0 | 1 | 2 | 3 | 5 => Ok(Entry::Hole),
            6 => Ok(Entry::Plain(entry >> 20 << 20)),
            _ => Err(Danger::Malformed("the state of a block")),
        }
    }
}

const MIB: u64 = 1 << 20;
const BLOCK: u64 = 4 << 20;
/// Bytes of a sector.
const SECTOR: u32 = 512;
const LOG_AT: u64 = MIB;
const METADATA_AT: u64 = 2 * MIB;
const MAP_AT: u64 = 3 * MIB;

/// A dynamic one: headers, an empty log, metadata, block map, blocks.
pub(super) fn encode(size: u64, extents: &[Range<u64>], id: [u8; 16]) -> Vec<Segment> {
    let blocks = Blocks::new(size, BLOCK, extents);
    let in_chunk = (1 << 23) * u64::from(SECTOR) / BLOCK;
    let entries = blocks.total() + blocks.total().saturating_sub(1) / in_chunk;
    let map = (entries * 8).next_multiple_of(MIB).max(MIB);
    let mut head = Block::new(MAP_AT + map);
    head.put(0, SIGNATURE);
    for (sequence, at) in (1u64..).zip(HEADERS) {
        head.put(at as u64, &header(sequence, id));
    }
    let regions = region_table(map as u32);
    for copy in 0..2 {
        head.put((TABLE + copy * TABLE_LENGTH) as u64, &regions);
    }
    head.put(METADATA_AT, &metadata_region(size, id));
    for (place, number) in (0u64..).zip(blocks.numbers()) {
        let at = MAP_AT + map + place * BLOCK;
        head.put(MAP_AT + (number + number / in_chunk) * 8, &(at | 6).to_le_bytes());
    }
    std::iter::once(head.into()).chain(blocks.segments()).collect()
}

fn header(sequence: u64, id: [u8; 16]) -> Vec<u8> {
    let mut header = Block::new(HEADER_LENGTH as u64);
    header.put(0, b"head").put(8, &sequence.to_le_bytes()).put(16, &id).put(32, &id);
    header.put(66, &1u16.to_le_bytes()).put(68, &(MIB as u32).to_le_bytes()).put(72, &LOG_AT.to_le_bytes());
    with_sum(header)
}

fn region_table(map: u32) -> Vec<u8> {
    let mut table = Block::new(TABLE_LENGTH as u64);
    table.put(0, b"regi").put(8, &2u32.to_le_bytes());
    for (entry, (id, at, length)) in
        (0..).zip([(BLOCK_MAP, MAP_AT, map), (METADATA, METADATA_AT, MIB as u32)])
    {
        let place = 16 + entry * 32;
        table.put(place, &id).put(place + 16, &at.to_le_bytes()).put(place + 24, &length.to_le_bytes());
        table.put(place + 28, &1u32.to_le_bytes());
    }
    with_sum(table)
}

fn metadata_region(size: u64, id: [u8; 16]) -> Vec<u8> {
    // Required, and of the virtual disk.
    const OF_FILE: u32 = 4;
    const OF_DISK: u32 = 6;
    let sector = SECTOR.to_le_bytes();
    let items: [(Guid, u32, &[u8]); 5] = [
        (FILE_PARAMETERS, OF_FILE, &BLOCK.to_le_bytes()),
        (DISK_SIZE, OF_DISK, &size.to_le_bytes()),
        (PAGE_83, OF_DISK, &id),
        (LOGICAL_SECTOR, OF_DISK, &sector),
        (PHYSICAL_SECTOR, OF_DISK, &sector),
    ];
    let mut region = Block::new(MIB);
    region.put(0, b"metadata").put(10, &(items.len() as u16).to_le_bytes());
    let mut at = TABLE_LENGTH as u64;
    for (entry, (id, flags, bytes)) in (0..).zip(items) {
        let place = 32 + entry * 32;
        region.put(place, &id).put(place + 16, &(at as u32).to_le_bytes());
        region.put(place + 20, &(bytes.len() as u32).to_le_bytes()).put(place + 24, &flags.to_le_bytes());
        region.put(at, bytes);
        at += bytes.len() as u64;
    }
    region.0
}

fn with_sum(mut block: Block) -> Vec<u8> {
    let sum = checksum(&block.0);
    block.put(4, &sum.to_le_bytes());
    block.0
}
