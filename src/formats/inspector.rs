//! Looks at a stream while it passes.

use std::ops::Range;

use super::window::{Tail, View, Window};
use super::{Content, Format, Found, iso, vhdx, vmdk};

/// The beginning of any stream: up to the volume descriptor of an ISO.
const HEAD: usize = iso::DESCRIPTOR + iso::DESCRIPTOR_LENGTH;

/// The beginning of a stream that says there is more to see: the descriptor of a VMDK may be so long.
pub const LARGEST_HEAD: usize = vmdk::DESCRIPTOR + vmdk::LARGEST_DESCRIPTOR;

/// Fed with chunks of any size, in order. After the head has passed it costs next to nothing.
pub struct Inspector {
    length: u64,
    head: Window,
    /// Found with the head, and always behind it.
    metadata: Option<Window>,
    tail: Tail,
}

impl Default for Inspector {
    fn default() -> Self {
        Self { length: 0, head: Window::new(0, HEAD), metadata: None, tail: Tail::default() }
    }
}

impl Inspector {
    pub fn feed(&mut self, chunk: &[u8]) {
        let at = self.length;
        self.length = at.saturating_add(chunk.len() as u64);
        self.tail.take(chunk);
        if !self.head.is_full() {
            self.take_head(at, chunk);
        }
        if let Some(metadata) = &mut self.metadata {
            metadata.take(at, chunk);
        }
    }

    fn take_head(&mut self, at: u64, chunk: &[u8]) {
        self.head.take(at, chunk);
        if !self.head.is_full() {
            return;
        }
        self.head.grow(wanted(self.head.bytes()));
        self.head.take(at, chunk);
        if self.head.is_full() {
            self.metadata = vhdx::metadata(self.head.bytes());
        }
    }

    /// Where the bytes lie still: the next stretch that says something, of `total` bytes; empty when all is known.
    /// To be fed after [`Inspector::skip`].
    pub fn next(&self, total: u64) -> Range<u64> {
        let at = self.length;
        if !self.head.is_full() {
            return at..self.head.end().min(total).max(at);
        }
        match &self.metadata {
            Some(metadata) if !metadata.is_full() && (at..total).contains(&metadata.next()) => {
                metadata.next()..metadata.end().min(total)
            }
            _ => total.saturating_sub(Tail::LENGTH as u64).max(at)..total.max(at),
        }
    }

    /// Passes over all up to `to`.
    pub fn skip(&mut self, to: u64) {
        if to > self.length {
            self.length = to;
            self.tail = Tail::default();
        }
    }

    /// The stream has ended.
    pub fn finish(&self) -> Content {
        let view = View {
            head: self.head.bytes(),
            metadata: self.metadata.as_ref().map(|window| (window.offset(), window.bytes())),
            tail: self.tail.bytes(),
            length: self.length,
        };
        let found = Format::ALL.into_iter().filter(|format| format.claims(&view));
        let found = found.map(|format| Found { format, disk: format.read(&view) }).collect();
        Content { length: self.length, found }
    }
}

/// How much of the beginning is worth keeping, by its first bytes.
fn wanted(head: &[u8]) -> usize {
    if vmdk::may_be(head) {
        LARGEST_HEAD
    } else if head.starts_with(vhdx::SIGNATURE) {
        vhdx::TABLES_END
    } else {
        HEAD
    }
}
