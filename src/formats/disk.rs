//! The disk in a file: where each stretch of it lies, by the file's own tables.
//!
//! One reader for qcow2, VMDK, VHD, VHDX and VDI, because all five are the same thing: one or two levels of tables
//! whose entries say where the next stretch of the disk lies. What differs is a [`Layout`] each. No library reads all
//! of what uploads accept (the best one for qcow2, imago, knows neither extended L2 entries nor zstd), and none reads
//! the other four from anywhere but a file of this machine; `qemu-img` is for files that are trusted.
//!
//! Nothing is read here: [`Disk::advance`] says which bytes it wants, and is fed with them. It holds 64 KiB of each of
//! two tables, whatever the file says of their length. Tables are walked from their beginning to their end, so that
//! there is nothing to go round in; each entry must point into the file.

use std::collections::VecDeque;
use std::ops::Range;

use super::fields::Fields;
use super::inspector::LARGEST_HEAD;
use super::unpack::Packed;
use super::window::{Tail, View};
use super::{Danger, Format, LARGEST_METADATA, qcow2, require, vdi, vhd, vhdx, vmdk};

/// So much of a table is held at once.
const WINDOW: u64 = 64 << 10;

/// The formats that volumes are made from by reading them.
const READABLE: [Format; 5] = [Format::Qcow2, Format::Vmdk, Format::Vhd, Format::Vhdx, Format::Vdi];

/// The format of this name (a `disk_format`), if it is one of those.
pub fn readable(name: &str) -> Option<Format> {
    READABLE.into_iter().find(|format| format.name() == name)
}

/// What must be read of a file before its disk can be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ends {
    pub head: Range<u64>,
    pub tail: Range<u64>,
}

impl Ends {
    pub fn of(length: u64) -> Self {
        let tail = length.saturating_sub(Tail::LENGTH as u64);
        Self { head: 0..length.min(LARGEST_HEAD as u64), tail: tail..length }
    }
}

/// And what more, when its head says so.
pub fn metadata(format: Format, head: &[u8], length: u64) -> Option<Range<u64>> {
    let window = (format == Format::Vhdx).then(|| vhdx::metadata(head)).flatten()?;
    let end = window.offset().saturating_add(LARGEST_METADATA as u64).min(length);
    (window.offset() < end).then(|| window.offset()..end)
}

/// A stretch of the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    pub disk: Range<u64>,
    pub place: Place,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nowhere: zeros.
    Hole,
    /// In the file from here on. What lies behind the file's end is zeros.
    Plain(u64),
    /// All of it, compressed.
    Packed(Packed),
}

/// What the disk needs next, or has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// These bytes of the file, to be given to [`Disk::feed`].
    Read(Range<u64>),
    /// Pieces follow each other without gaps.
    Piece(Piece),
    End,
}

/// A table of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub at: u64,
    pub entries: u64,
    /// Bytes of an entry.
    pub width: u64,
    /// Bytes of the disk that an entry is about.
    pub span: u64,
}

/// What an entry says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Hole,
    /// It is about nothing on the disk.
    Nothing,
    Plain(u64),
    /// 32 parts of equal size: those whose bit is set lie at their place behind this one, the others are zeros.
    Parts(u64, u32),
    Packed(Packed),
    /// Another table is about it.
    Table(Table),
}

/// How a format's entries are read. `depth` is 0 for the outermost table.
pub(super) trait Layout: Send + Sync {
    fn entry(&self, depth: usize, index: u64, bytes: Fields<'_>) -> Result<Entry, Danger>;
}

/// What a format's header says.
pub(super) struct Opened {
    pub size: u64,
    /// No stretch that is compressed is longer, nor crosses a multiple of it.
    pub largest_packed: u64,
    pub body: Body,
}

pub(super) enum Body {
    /// The disk is the beginning of the file.
    Flat,
    Mapped(Table, Box<dyn Layout>),
}

/// A disk while it is walked over, from its beginning to its end.
pub struct Disk {
    size: u64,
    /// Of the file.
    length: u64,
    largest_packed: u64,
    layout: Option<Box<dyn Layout>>,
    /// Those being read, the innermost last.
    cursors: Vec<Cursor>,
    /// Where the next piece begins.
    at: u64,
    ready: VecDeque<Piece>,
}

struct Cursor {
    table: Table,
    /// Of the next entry.
    index: u64,
    /// The stretch of the table that is held, and the place of the next entry in it.
    window: Vec<u8>,
    next: usize,
}

impl Disk {
    /// Checks the headers anew, whatever was found when the file arrived. `metadata` is what [`metadata`] asked for.
    ///
    /// # Errors
    /// When it is not a good file of the format, or one that must not be read.
    pub fn open(
        format: Format,
        head: &[u8],
        metadata: Option<(u64, &[u8])>,
        tail: &[u8],
        length: u64,
    ) -> Result<Self, Danger> {
        let view = View { head, metadata, tail, length };
        require(format.claims(&view), "it is not of that format")?;
        format.read(&view)?;
        let opened = match format {
            Format::Qcow2 => qcow2::open(&view),
            Format::Vmdk => vmdk::open(&view),
            Format::Vhd => vhd::open(&view),
            Format::Vhdx => vhdx::open(&view),
            Format::Vdi => vdi::open(&view),
            _ => Err(Danger::Unsupported("disks of this format are not read")),
        }?;
        let mut disk = Self {
            size: opened.size,
            length,
            largest_packed: opened.largest_packed,
            layout: None,
            cursors: Vec::new(),
            at: 0,
            ready: VecDeque::new(),
        };
        match opened.body {
            Body::Flat => disk.add(disk.size, Place::Plain(0))?,
            Body::Mapped(table, layout) => {
                disk.layout = Some(layout);
                disk.cursors.push(Cursor::new(table));
            }
        }
        Ok(disk)
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whoever takes stretches of this size, or of a power of two above it, has each compressed one whole.
    pub fn largest_packed(&self) -> u64 {
        self.largest_packed
    }

    /// # Errors
    /// When an entry is not good. The disk is of no use then.
    pub fn advance(&mut self) -> Result<Next, Danger> {
        loop {
            if let Some(piece) = self.ready.pop_front() {
                return Ok(Next::Piece(piece));
            }
            if self.at >= self.size {
                return Ok(Next::End);
            }
            let depth = self.cursors.len().saturating_sub(1);
            let Some(cursor) = self.cursors.last_mut() else {
                // Tables may be shorter than the disk.
                self.add(self.size, Place::Hole)?;
                continue;
            };
            if cursor.index >= cursor.table.entries {
                self.cursors.pop();
                continue;
            }
            let Some((index, bytes)) = cursor.take() else {
                let wanted = cursor.wanted()?;
                require(wanted.end <= self.length, "a table lies behind the end of the file")?;
                return Ok(Next::Read(wanted));
            };
            let span = cursor.table.span;
            let Some(layout) = &self.layout else { return Ok(Next::End) };
            let entry = layout.entry(depth, index, Fields(&bytes))?;
            self.follow(entry, span)?;
        }
    }

    /// Takes the bytes that [`Next::Read`] asked for.
    pub fn feed(&mut self, bytes: &[u8]) {
        if let Some(cursor) = self.cursors.last_mut() {
            cursor.window = bytes.to_vec();
            cursor.next = 0;
        }
    }

    fn follow(&mut self, entry: Entry, span: u64) -> Result<(), Danger> {
        let end = self.at.saturating_add(span);
        match entry {
            Entry::Nothing => Ok(()),
            Entry::Hole => self.add(end, Place::Hole),
            Entry::Plain(at) => self.add(end, Place::Plain(at)),
            Entry::Packed(packed) => self.add(end, Place::Packed(packed)),
            Entry::Parts(at, mask) => {
                let (part, start) = (span / 32, self.at);
                for number in 0..32 {
                    let place = match mask >> number & 1 {
                        0 => Place::Hole,
                        _ => Place::Plain(at.saturating_add(number * part)),
                    };
                    self.add(start + (number + 1) * part, place)?;
                }
                Ok(())
            }
            Entry::Table(table) => {
                require(self.cursors.len() < 2, "tables within tables")?;
                self.cursors.push(Cursor::new(table));
                Ok(())
            }
        }
    }

    /// The next piece, up to `end`.
    fn add(&mut self, end: u64, place: Place) -> Result<(), Danger> {
        let start = self.at;
        let end = end.min(self.size);
        if start >= end {
            return Ok(());
        }
        let at = match &place {
            Place::Hole => 0,
            Place::Plain(at) => *at,
            Place::Packed(packed) => packed.at,
        };
        require(at < self.length, "a stretch lies behind the end of the file")?;
        self.at = end;
        self.ready.push_back(Piece { disk: start..end, place });
        Ok(())
    }
}

impl Cursor {
    fn new(table: Table) -> Self {
        Self { table, index: 0, window: Vec::new(), next: 0 }
    }

    /// The next entry, if it is held: its number and its bytes.
    fn take(&mut self) -> Option<(u64, [u8; LARGEST_ENTRY])> {
        let width = self.table.width as usize;
        let bytes = self.window.get(self.next..)?.get(..width)?;
        let mut entry = [0; LARGEST_ENTRY];
        entry.get_mut(..width)?.copy_from_slice(bytes);
        self.next += width;
        self.index += 1;
        Some((self.index - 1, entry))
    }

    /// The next stretch of the table.
    fn wanted(&self) -> Result<Range<u64>, Danger> {
        let Table { at, entries, width, .. } = self.table;
        let far = Danger::Malformed("the place of a table");
        let start = self.index.checked_mul(width).and_then(|offset| at.checked_add(offset)).ok_or(far)?;
        let length = (entries - self.index).min(WINDOW / width) * width;
        Ok(start..start.checked_add(length).ok_or(far)?)
    }
}

const LARGEST_ENTRY: usize = 16;
