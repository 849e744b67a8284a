//! Files and folders, durably.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use nix::unistd::syncfs;

use super::fault::if_there;

/// Makes the entries of a folder durable. A missing folder has none.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    match if_there(File::open(folder))? {
        Some(folder) => folder.sync_all(),
        None => Ok(()),
    }
}

/// Makes a folder and those it lies in, durably. Those on another file system were there before.
pub fn make_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let folder = fs::canonicalize(folder)?;
    let device = fs::metadata(&folder)?.dev();
    for folder in folder.ancestors() {
        if fs::metadata(folder)?.dev() != device {
            break;
        }
        match sync_folder(folder) {
            // Nor could anything be made there.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {}
            synced => synced?,
        }
    }
    Ok(())
}

/// Makes everything durable that lies on the same file system.
pub fn sync_all(folder: &Path) -> io::Result<()> {
    match if_there(File::open(folder))? {
        Some(folder) => Ok(syncfs(folder.as_fd())?),
        None => Ok(()),
    }
}

/// Writes a new file, durable but for its name.
pub fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_data()
}

/// Gives a file another name, durably.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync_rename(from, to)
}

/// Makes it durable that a file has another name.
pub fn sync_rename(from: &Path, to: &Path) -> io::Result<()> {
    for path in [to, from] {
        if let Some(folder) = path.parent() {
            sync_folder(folder)?;
        }
        if from.parent() == to.parent() {
            break;
        }
    }
    Ok(())
}

pub fn remove_if_there(path: &Path) -> io::Result<()> {
    if_there(fs::remove_file(path)).map(drop)
}

pub fn exists(path: &Path) -> io::Result<bool> {
    Ok(if_there(fs::metadata(path))?.is_some())
}

/// The names in a folder that are text, in no order. A missing folder has none.
pub fn entries(folder: &Path) -> io::Result<impl Iterator<Item = io::Result<String>>> {
    let entries = if_there(fs::read_dir(folder))?;
    Ok(entries.into_iter().flatten().filter_map(|entry| match entry {
        Ok(entry) => entry.file_name().into_string().ok().map(Ok),
        Err(error) => Some(Err(error)),
    }))
}

/// Reads until the buffer is full or the file ends.
pub fn read_at(file: &File, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        match file.read_at(buffer, offset) {
            Ok(0) => return Ok(()),
            Ok(count) => {
                buffer = &mut buffer[count..];
                offset += count as u64;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Makes a stretch of a file zeros, if possible without space. The file does not grow.
pub fn punch(file: &File, offset: u64, length: u64) -> io::Result<()> {
    let length = length.min(file.metadata()?.len().saturating_sub(offset));
    if length == 0 {
        return Ok(());
    }
    let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    match fallocate(file, flags, offset.cast_signed(), length.cast_signed()) {
        Err(Errno::EOPNOTSUPP) => file.write_all_at(&vec![0; length as usize], offset),
        result => Ok(result?),
    }
}

const BLOCK: usize = 4096;

/// Writes what is not zero, in runs of blocks, and leaves holes for the rest.
pub fn write_sparsely(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    let is_hole = |block: &[u8]| block.iter().all(|byte| *byte == 0);
    let mut start = 0;
    while start < bytes.len() {
        let hole = is_hole(&bytes[start..bytes.len().min(start + BLOCK)]);
        let mut end = bytes.len().min(start + BLOCK);
        while end < bytes.len() && is_hole(&bytes[end..bytes.len().min(end + BLOCK)]) == hole {
            end = bytes.len().min(end + BLOCK);
        }
        if !hole {
            file.write_all_at(&bytes[start..end], offset + start as u64)?;
        }
        start = end;
    }
    Ok(())
}
