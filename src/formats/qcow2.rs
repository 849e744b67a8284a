//! QEMU's copy-on-write format, versions 2 and 3. Published in QEMU's `docs/interop/qcow2.txt`.

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
