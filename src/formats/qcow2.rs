//! QEMU's copy-on-write format, versions 2 and 3. Published in QEMU's `docs/interop/qcow2.txt`.

use std::ops::Range;

use super::disk::{Body, Entry, Layout, Opened, Table};
use super::encode::{Block, Blocks, Segment};
use super::fields::Fields;
use super::unpack::{Packed, Packing};
use super::window::View;
use super::{Danger, require, sane_size};

pub(super) const MAGIC: &[u8] = b"QFI\xfb";

/// Dirty, corrupt, external data file, compression type, extended L2 entries.
const KNOWN_FEATURES: u64 = 0b1_1111;
const CORRUPT: u64 = 1 << 1;
const DATA_FILE: u64 = 1 << 2;
const COMPRESSION: u64 = 1 << 3;
const EXTENDED_L2: u64 = 1 << 4;

/// What QEMU itself is ready to load.
const LARGEST_L1_TABLE: u64 = 32 << 20;
const LARGEST_REFCOUNT_TABLE: u64 = 8 << 20;
const MOST_SNAPSHOTS: u32 = 65_536;

pub(super) fn read(view: &View<'_>) -> Result<u64, Danger> {
    let header = view.fields();
    let version = header.be32(4)?;
    if !matches!(version, 2 | 3) {
        return Err(Danger::Unsupported("only versions 2 and 3 of qcow2 are supported"));
    }
    if header.be64(8)? != 0 {
        return Err(Danger::BackingFile);
    }
    let features = if version == 3 { features(view)? } else { 0 };
    let cluster_bits = header.be32(20)?;
    require((9..=21).contains(&cluster_bits), "the cluster size")?;
    // Each of its 32 parts is a sector at least.
    require(features & EXTENDED_L2 == 0 || cluster_bits >= 14, "clusters too small to have parts")?;
    let cluster = 1u64 << cluster_bits;
    let size = sane_size(header.be64(24)?)?;
    require(header.be32(32)? <= 2, "the encryption method")?;

    let entry = if features & EXTENDED_L2 != 0 { 16 } else { 8 };
    let l1_entries = u64::from(header.be32(36)?);
    require(l1_entries * 8 <= LARGEST_L1_TABLE, "the L1 table is too long")?;
    require(size.div_ceil(cluster * (cluster / entry)) <= l1_entries, "the L1 table is too short")?;
    require(header.be64(40)?.is_multiple_of(cluster), "the place of the L1 table")?;
    require(header.be64(48)?.is_multiple_of(cluster), "the place of the refcount table")?;
    let refcounts = u64::from(header.be32(56)?) * cluster;
    require(refcounts <= LARGEST_REFCOUNT_TABLE, "the refcount table is too long")?;
    require(header.be32(60)? <= MOST_SNAPSHOTS, "too many snapshots")?;
    header.bytes(64, 8)?;
    Ok(size)
}

/// What version 3 has more.
fn features(view: &View<'_>) -> Result<u64, Danger> {
    let header = view.fields();
    let features = header.be64(72)?;
    if features & DATA_FILE != 0 {
        return Err(Danger::DataFile);
    }
    if features & !KNOWN_FEATURES != 0 {
        return Err(Danger::UnknownFeatures);
    }
    require(features & CORRUPT == 0, "it is marked as corrupt")?;
    require(header.be32(96)? <= 6, "the width of reference counts")?;
    let length = header.be32(100)?;
    require((104..=4096).contains(&length) && length.is_multiple_of(8), "the length of the header")?;
    let compression = if length > 104 { header.u8(104)? } else { 0 };
    require(compression <= 1, "the compression type")?;
    require((compression != 0) == (features & COMPRESSION != 0), "the compression type")?;
    Ok(features)
}

/// Of entries, where they hold a place.
const PLACE: u64 = 0x00FF_FFFF_FFFF_FE00;
const COMPRESSED: u64 = 1 << 62;
const ZERO: u64 = 1;

struct Map {
    version: u32,
    cluster_bits: u32,
    extended: bool,
    packing: Packing,
}

/// The active state; internal snapshots are of no concern.
pub(super) fn open(view: &View<'_>) -> Result<Opened, Danger> {
    let header = view.fields();
    if header.be32(32)? != 0 {
        return Err(Danger::Unsupported("an encrypted disk"));
    }
    let version = header.be32(4)?;
    let features = if version == 3 { features(view)? } else { 0 };
    let packing = if features & COMPRESSION == 0 { Packing::Deflate } else { Packing::Zstd };
    let map = Map { version, cluster_bits: header.be32(20)?, extended: features & EXTENDED_L2 != 0, packing };
    let outer = Table {
        at: header.be64(40)?,
        entries: u64::from(header.be32(36)?),
        width: 8,
        span: map.inner(0).entries * map.cluster(),
    };
    let (size, largest_packed) = (header.be64(24)?, map.cluster());
    Ok(Opened { size, largest_packed, body: Body::Mapped(outer, Box::new(map)) })
}

impl Map {
    fn cluster(&self) -> u64 {
        1 << self.cluster_bits
    }

    fn inner(&self, at: u64) -> Table {
        let width = if self.extended { 16 } else { 8 };
        Table { at, entries: self.cluster() / width, width, span: self.cluster() }
    }

    fn place(&self, entry: u64) -> Result<u64, Danger> {
        let place = entry & PLACE;
        require(place.is_multiple_of(self.cluster()), "the place of a cluster")?;
        Ok(place)
    }

    fn packed(&self, entry: u64) -> Packed {
        // The rest of the entry counts sectors, beside the one in which it begins.
        let bits = 62 - (self.cluster_bits - 8);
        let at = entry & ((1 << bits) - 1);
        let sectors = ((entry & !COMPRESSED & !(1 << 63)) >> bits) + 1;
        let length = sectors * 512 - at % 512;
        Packed { at, length, packing: self.packing }
    }

    fn cluster_at(&self, entry: u64, parts: Option<u64>) -> Result<Entry, Danger> {
        if entry & COMPRESSED != 0 {
            return Ok(Entry::Packed(self.packed(entry)));
        }
        let place = self.place(entry)?;
        match parts {
            None if entry & ZERO != 0 => {
                require(self.version >= 3, "a cluster of zeros in version 2")?;
                Ok(Entry::Hole)
            }
            None if place == 0 => Ok(Entry::Hole),
            None => Ok(Entry::Plain(place)),
            Some(parts) => {
                let (there, zero) = (parts as u32, (parts >> 32) as u32);
                require(there & zero == 0, "a part of a cluster is there and zero")?;
                require(place != 0 || there == 0, "a part of a cluster that is not there")?;
                Ok(if there == 0 { Entry::Hole } else { Entry::Parts(place, there) })
            }
        }
    }
}

impl Layout for Map {
    fn entry(&self, depth: usize, _: u64, bytes: Fields<'_>) -> Result<Entry, Danger> {
        let entry = bytes.be64(0)?;
        if depth > 0 {
            let parts = if self.extended { Some(bytes.be64(8)?) } else { None };
            return self.cluster_at(entry, parts);
        }
        Ok(match self.place(entry)? {
            0 => Entry::Hole,
            place => Entry::Table(self.inner(place)),
        })
    }
}

/// From this size on the clusters are large, so that the tables stay small.
const LARGE: u64 = 64 << 30;
/// Nothing else points to what an entry says.
const ALONE: u64 = 1 << 63;

/// Version 3: header, reference counts, L1 table, L2 tables, clusters.
pub(super) fn encode(size: u64, extents: &[Range<u64>]) -> Vec<Segment> {
    let bits: u32 = if size < LARGE { 16 } else { 21 };
    let cluster = 1u64 << bits;
    let blocks = Blocks::new(size, cluster, extents);
    let entries = cluster / 8;
    let l1_entries = blocks.total().div_ceil(entries);
    let l1_clusters = (l1_entries * 8).div_ceil(cluster).max(1);
    let mut tables: Vec<u64> = blocks.numbers().map(|number| number / entries).collect();
    tables.dedup();
    // Reference counts, of two bytes, count their own clusters too.
    let others = 1 + l1_clusters + tables.len() as u64 + blocks.count();
    let (mut count_blocks, mut count_tables) = (1, 1);
    while (others + count_blocks + count_tables).div_ceil(cluster / 2) > count_blocks
        || count_blocks.div_ceil(entries) > count_tables
    {
        count_blocks = (others + count_blocks + count_tables).div_ceil(cluster / 2);
        count_tables = count_blocks.div_ceil(entries);
    }
    let l1_at = (1 + count_tables + count_blocks) * cluster;
    let l2_at = l1_at + l1_clusters * cluster;
    let data_at = l2_at + tables.len() as u64 * cluster;

    let mut header = Block::new(cluster);
    header.put(0, MAGIC).put(4, &3u32.to_be_bytes()).put(20, &bits.to_be_bytes());
    header
        .put(24, &size.to_be_bytes())
        .put(36, &(l1_entries as u32).to_be_bytes())
        .put(40, &l1_at.to_be_bytes());
    header.put(48, &cluster.to_be_bytes()).put(56, &(count_tables as u32).to_be_bytes());
    header.put(96, &4u32.to_be_bytes()).put(100, &104u32.to_be_bytes());

    let mut counts = Block::new((count_tables + count_blocks) * cluster);
    for number in 0..count_blocks {
        counts.put(number * 8, &((1 + count_tables + number) * cluster).to_be_bytes());
    }
    for number in 0..others + count_tables + count_blocks {
        counts.put(count_tables * cluster + number * 2, &1u16.to_be_bytes());
    }
    let mut l1 = Block::new(l1_clusters * cluster);
    for (number, table) in (0..).zip(&tables) {
        l1.put(table * 8, &((l2_at + number * cluster) | ALONE).to_be_bytes());
    }
    let mut l2 = Block::new(tables.len() as u64 * cluster);
    let mut table = 0;
    for (place, number) in (0..).zip(blocks.numbers()) {
        while tables.get(table).is_some_and(|table| *table < number / entries) {
            table += 1;
        }
        let at = table as u64 * cluster + number % entries * 8;
        l2.put(at, &((data_at + place * cluster) | ALONE).to_be_bytes());
    }
    [header, counts, l1, l2].into_iter().map(Segment::from).chain(blocks.segments()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(cluster_bits: u32, features: u64) -> Result<u64, Danger> {
        let mut head = [0; 104];
        let mut put = |at: usize, bytes: &[u8]| head[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, MAGIC);
        put(4, &3u32.to_be_bytes());
        put(20, &cluster_bits.to_be_bytes());
        put(24, &(1u64 << 20).to_be_bytes());
        put(36, &64u32.to_be_bytes());
        put(72, &features.to_be_bytes());
        put(96, &4u32.to_be_bytes());
        put(100, &104u32.to_be_bytes());
        read(&View { head: &head, metadata: None, tail: &[], length: head.len() as u64 })
    }

    #[test]
    fn a_part_of_a_cluster_is_a_sector_at_least() {
        let too_small = Danger::Malformed("clusters too small to have parts");
        for (cluster_bits, expected) in [(9, Err(too_small)), (13, Err(too_small)), (14, Ok(1 << 20))] {
            assert_eq!(verdict(cluster_bits, EXTENDED_L2), expected, "{cluster_bits}");
            assert_eq!(verdict(cluster_bits, 0), Ok(1 << 20), "{cluster_bits}");
        }
    }
}
