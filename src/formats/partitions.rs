//! Partition tables: MBR, and the one that stands before a GPT.

use super::Danger;
use super::fields::Fields;
use super::window::View;

const SECTOR: usize = 512;
const TABLE: usize = 446;
const ENTRY: usize = 16;
/// The type of the one partition before a GPT.
const PROTECTIVE: u8 = 0xEE;

pub(super) fn claims(view: &View<'_>) -> bool {
    let sector = view.fields();
    sector.le16(SECTOR - 2) == Ok(0xAA55) && !is_fat(sector)
}

/// The first sector of a FAT file system bears the same signature: two tables, on a fixed disk.
fn is_fat(sector: Fields<'_>) -> bool {
    sector.u8(0x10) == Ok(2) && sector.u8(0x15) == Ok(0xF8)
}

/// A disk with partitions is as large as its file.
pub(super) fn read(view: &View<'_>) -> Result<u64, Danger> {
    let mut used = Vec::new();
    let mut is_gpt = false;
    for number in 0..4 {
        let entry = Fields(view.fields().bytes(TABLE + ENTRY * number, ENTRY)?);
        if !matches!(entry.u8(0)?, 0x00 | 0x80) {
            return Err(Danger::Partitions("a boot flag"));
        }
        let kind = entry.u8(4)?;
        if kind != 0 {
            used.push(number);
        }
        if kind == PROTECTIVE {
            is_gpt = true;
            if entry.bytes(1, 3)? != [0, 2, 0] || entry.le32(8)? != 1 {
                return Err(Danger::Partitions("the place of the protective partition"));
            }
        }
    }
    if is_gpt && used != [0] {
        return Err(Danger::Partitions("partitions beside the protective one"));
    }
    if used.is_empty() {
        return Err(Danger::Partitions("no partition"));
    }
    Ok(view.length)
}
