//! VMware's format: one file with a sparse extent and the descriptor in it. A descriptor on its own names the files
//! it is about, so it is recognised only to be refused.

use std::ops::Range;

use super::disk::{Body, Entry, Layout, Opened, Table};
use super::encode::{Block, Blocks, Segment};
use super::fields::Fields;
use super::unpack::{MARKER, Packed, Packing};
use super::window::{Tail, View};
use super::{Danger, require, sane_size};

const MAGIC: &[u8] = b"KDMV";
/// The older sparse extents of ESX, which have no descriptor.
const OLD_MAGIC: &[u8] = b"COWD";
const SECTOR: usize = 512;
/// Where descriptors of files of this kind are, and how long they may be. QEMU has the same bounds.
pub(super) const DESCRIPTOR: usize = SECTOR;
pub(super) const LARGEST_DESCRIPTOR: usize = (1 << 20) - 1;
/// "The footer knows."
const AT_END: u64 = u64::MAX;
const FOOTER_MARKER: u32 = 3;
const NO_PARENT: &str = "ffffffff";

const LONE_DESCRIPTOR: Danger = Danger::Unsupported("a VMDK descriptor without its disk");

/// Whether it is worth looking at more than the first sectors.
pub(super) fn may_be(head: &[u8]) -> bool {
    head.starts_with(MAGIC) || is_text(head)
}

fn is_text(head: &[u8]) -> bool {
    let start = &head[..head.len().min(SECTOR)];
    !start.is_empty() && start.iter().all(is_printable)
}

/// Characters and white space of ASCII, the vertical tab among them.
fn is_printable(byte: &u8) -> bool {
    byte.is_ascii_graphic() || byte.is_ascii_whitespace() || *byte == 0x0B
}

pub(super) fn claims(view: &View<'_>) -> bool {
    view.head.starts_with(MAGIC) || view.head.starts_with(OLD_MAGIC) || is_descriptor(view.head)
}

/// Text that says of what type the disk is, or what QEMU takes for a descriptor: `version=` after comments.
fn is_descriptor(head: &[u8]) -> bool {
    let key = b"createtype=";
    if is_text(head) && head.windows(key.len()).any(|window| window.eq_ignore_ascii_case(key)) {
        return true;
    }
    let mut lines = head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    lines
        .find(|line| !line.is_empty() && !line.starts_with(b"#"))
        .is_some_and(|line| matches!(line, b"version=1" | b"version=2" | b"version=3"))
}

pub(super) fn read(view: &View<'_>) -> Result<u64, Danger> {
    if view.head.starts_with(OLD_MAGIC) {
        return Err(Danger::Unsupported("a sparse extent of ESX"));
    }
    if !view.head.starts_with(MAGIC) {
        return Err(LONE_DESCRIPTOR);
    }
    let header = Fields(view.fields().bytes(0, SECTOR)?);
    let capacity = read_header(header)?;
    if header.le64(56)? == AT_END {
        check_footer(header, view.tail)?;
    }
    let length = header.le64(36)?;
    require(
        (1..=LARGEST_DESCRIPTOR as u64 / SECTOR as u64).contains(&length),
        "the length of the descriptor",
    )?;
    let descriptor = view.fields().bytes(DESCRIPTOR, length as usize * SECTOR)?;
    check_descriptor(descriptor)?;
    Ok(capacity)
}

fn read_header(header: Fields<'_>) -> Result<u64, Danger> {
    require((1..=3).contains(&header.le32(4)?), "the version")?;
    let sectors = header.le64(12)?;
    // With no sectors QEMU forgets the header, and follows the descriptor to other files.
    require(sectors > 0, "no sectors")?;
    let size = sane_size(sectors.checked_mul(SECTOR as u64).ok_or(Danger::TooLarge)?)?;
    let grain = header.le64(20)?;
    require(grain.is_power_of_two() && (8..=1 << 17).contains(&grain), "the grain size")?;
    require(header.le64(28)? == 1, "the place of the descriptor")?;
    require((1..=512).contains(&header.le32(44)?), "the length of grain tables")?;
    require(header.bytes(73, 4)? == b"\n \r\n", "the line ends were changed on the way")?;
    require(header.le16(77)? <= 1, "the compression")?;
    Ok(size)
}

/// The footer is a second header, and the one that counts: it must say the same.
fn check_footer(header: Fields<'_>, tail: &[u8]) -> Result<(), Danger> {
    require(tail.len() == Tail::LENGTH, "no footer")?;
    let tail = Fields(tail);
    let (marker, footer, end) = (
        Fields(tail.bytes(0, SECTOR)?),
        Fields(tail.bytes(SECTOR, SECTOR)?),
        Fields(tail.bytes(2 * SECTOR, SECTOR)?),
    );
    let is_marked =
        marker.le32(8)? == 0 && marker.le32(12)? == FOOTER_MARKER && marker.is_zero(16, SECTOR - 16)?;
    require(is_marked, "the marker of the footer")?;
    require(end.is_zero(0, SECTOR)?, "the end of the stream")?;
    // All but the place of the grain directory.
    require(header.bytes(0, 48)? == footer.bytes(0, 48)?, "header and footer differ")?;
    require(footer.le64(56)? != AT_END, "the footer names another footer")
}

fn check_descriptor(bytes: &[u8]) -> Result<(), Danger> {
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    require(text.iter().all(is_printable), "the descriptor is not text")?;
    let text = String::from_utf8_lossy(text).to_ascii_lowercase();
    let (mut types, mut extents) = (0, 0);
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let first = line.split([' ', '\t']).next().unwrap_or_default();
        if matches!(first, "rw" | "rdonly" | "noaccess") {
            check_extent(line)?;
            extents += 1;
        } else if line.starts_with("ddb") {
            // About the disk's geometry.
        } else if let Some((key, value)) = line.split_once('=') {
            types += u32::from(key == "createtype");
            check_field(key, value.trim())?;
        } else {
            return Err(Danger::Malformed("a line of the descriptor"));
        }
    }
    require(types == 1, "the descriptor must have one type")?;
    require(extents == 1, "the descriptor must have one extent")
}

fn check_field(key: &str, value: &str) -> Result<(), Danger> {
    let value = value.trim_matches('"');
    match key {
        "createtype" if !matches!(value, "monolithicsparse" | "streamoptimized") => {
            Err(Danger::Unsupported("only VMDKs of types monolithicSparse and streamOptimized are supported"))
        }
        "parentcid" if value != NO_PARENT => Err(Danger::BackingFile),
        "parentfilenamehint" => Err(Danger::BackingFile),
        _ => require(!key.contains([' ', '\t']), "a line of the descriptor"),
    }
}

/// `RW 2048 SPARSE "disk.vmdk"`: the name is that of the file itself, and no way to another.
fn check_extent(line: &str) -> Result<(), Danger> {
    let kind = line.split_ascii_whitespace().nth(2);
    if kind != Some("sparse") || line.contains(['/', '\\']) {
        return Err(Danger::DataFile);
    }
    Ok(())
}

const ZERO_GRAINS: u32 = 1 << 2;
const MARKERS: u32 = 1 << 17;
/// Of a grain that is compressed, in bytes: VMware writes 64 KiB.
const LARGEST_PACKED: u64 = 4 << 20;

struct Map {
    /// Of a grain, in bytes.
    grain: u64,
    /// Of a grain table.
    entries: u64,
    compressed: bool,
    zero_grains: bool,
}

pub(super) fn open(view: &View<'_>) -> Result<Opened, Danger> {
    let header = view.fields();
    let flags = header.le32(8)?;
    let map = Map {
        grain: header.le64(20)? * SECTOR as u64,
        entries: u64::from(header.le32(44)?),
        compressed: header.le16(77)? == 1,
        zero_grains: flags & ZERO_GRAINS != 0,
    };
    if map.compressed && (flags & MARKERS == 0 || map.grain > LARGEST_PACKED) {
        return Err(Danger::Unsupported("compressed grains without markers, or larger than 4 MiB"));
    }
    let place = match header.le64(56)? {
        AT_END => Fields(view.tail).le64(SECTOR + 56)?,
        place => place,
    };
    let size = header.le64(12)? * SECTOR as u64;
    let span = map.entries * map.grain;
    let at = place.checked_mul(SECTOR as u64).ok_or(Danger::Malformed("the place of the grain directory"))?;
    let outer = Table { at, entries: size.div_ceil(span), width: 4, span };
    let largest_packed = if map.compressed { map.grain } else { 1 };
    Ok(Opened { size, largest_packed, body: Body::Mapped(outer, Box::new(map)) })
}

impl Layout for Map {
    fn entry(&self, depth: usize, _: u64, bytes: Fields<'_>) -> Result<Entry, Danger> {
        let at = u64::from(bytes.le32(0)?) * SECTOR as u64;
        if at == 0 || (depth > 0 && self.zero_grains && at == SECTOR as u64) {
            return Ok(Entry::Hole);
        }
        Ok(if depth == 0 {
            Entry::Table(Table { at, entries: self.entries, width: 4, span: self.grain })
        } else if self.compressed {
            // More than twice as long as what it holds is nothing that was compressed.
            Entry::Packed(Packed { at, length: MARKER as u64 + 2 * self.grain, packing: Packing::Grain })
        } else {
            Entry::Plain(at)
        })
    }
}

/// From this size on the grains are large, so that the tables stay small.
const LARGE: u64 = 64 << 30;
const ENTRIES: u64 = 512;
/// Of a grain table, in sectors.
const TABLE: u64 = ENTRIES * 4 / SECTOR as u64;
const DESCRIPTOR_SECTORS: u64 = 20;
/// A redundant grain directory, and line ends to tell that none was changed.
const FLAGS: u32 = 3;

/// monolithicSparse: header, descriptor, the directory and its tables twice, grains.
pub(super) fn encode(size: u64, extents: &[Range<u64>], id: [u8; 16]) -> Result<Vec<Segment>, Danger> {
    // Places are numbers of sectors, of 32 bits.
    let most = u64::from(u32::MAX);
    if size / SECTOR as u64 > most {
        return Err(Danger::TooLarge);
    }
    let grain: u64 = if size < LARGE { 64 << 10 } else { 1 << 20 };
    let blocks = Blocks::new(size, grain, extents);
    let tables = blocks.total().div_ceil(ENTRIES);
    let directory = (tables * 4).div_ceil(SECTOR as u64);
    let redundant_at = 1 + DESCRIPTOR_SECTORS;
    let directory_at = redundant_at + directory + tables * TABLE;
    let sectors = grain / SECTOR as u64;
    let data = (directory_at + directory + tables * TABLE).next_multiple_of(sectors);
    if data + blocks.count() * sectors > most {
        return Err(Danger::TooLarge);
    }
    let bytes = |sector: u64| sector * SECTOR as u64;
    let mut head = Block::new(bytes(data));
    head.put(0, MAGIC).put(4, &1u32.to_le_bytes()).put(8, &FLAGS.to_le_bytes());
    head.put(12, &(size / SECTOR as u64).to_le_bytes()).put(20, &sectors.to_le_bytes());
    head.put(28, &1u64.to_le_bytes()).put(36, &DESCRIPTOR_SECTORS.to_le_bytes());
    head.put(44, &(ENTRIES as u32).to_le_bytes()).put(48, &redundant_at.to_le_bytes());
    head.put(56, &directory_at.to_le_bytes()).put(64, &data.to_le_bytes()).put(73, b"\n \r\n");
    head.put(DESCRIPTOR as u64, descriptor(size / SECTOR as u64, id).as_bytes());
    for at in [redundant_at, directory_at] {
        let first = at + directory;
        for table in 0..tables {
            head.put(bytes(at) + table * 4, &((first + table * TABLE) as u32).to_le_bytes());
        }
        for (place, number) in (0u64..).zip(blocks.numbers()) {
            head.put(bytes(first) + number * 4, &((data + place * sectors) as u32).to_le_bytes());
        }
    }
    Ok(std::iter::once(head.into()).chain(blocks.segments()).collect())
}

fn descriptor(sectors: u64, id: [u8; 16]) -> String {
    let content = u32::from_le_bytes([id[0], id[1], id[2], id[3]]) & 0x7FFF_FFFF;
    let cylinders = (sectors / (16 * 63)).min(16_383);
    format!(
        "# Disk DescriptorFile\nversion=1\nCID={content:08x}\nparentCID={NO_PARENT}\n\
         createType=\"monolithicSparse\"\n\n# Extent description\nRW {sectors} SPARSE \"disk.vmdk\"\n\n\
         # The Disk Data Base\n#DDB\n\nddb.virtualHWVersion = \"4\"\nddb.geometry.cylinders = \"{cylinders}\"\n\
         ddb.geometry.heads = \"16\"\nddb.geometry.sectors = \"63\"\nddb.adapterType = \"ide\"\n"
    )
}
