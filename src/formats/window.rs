//! The stretches of a stream that are kept.

use super::fields::Fields;

/// A stretch at a place known before it passes.
pub(super) struct Window {
    offset: u64,
    wanted: usize,
    bytes: Vec<u8>,
}

impl Window {
    pub fn new(offset: u64, wanted: usize) -> Self {
        Self { offset, wanted, bytes: Vec::new() }
    }

    /// Takes what it lacks out of `chunk`, which lies at `at` in the stream. Memory grows with what arrives.
    pub fn take(&mut self, at: u64, chunk: &[u8]) {
        let missing = self.wanted.saturating_sub(self.bytes.len());
        let skipped = self.next().checked_sub(at).and_then(|skipped| usize::try_from(skipped).ok());
        if let Some(rest) = skipped.and_then(|skipped| chunk.get(skipped..)) {
            self.bytes.extend_from_slice(&rest[..rest.len().min(missing)]);
        }
    }

    /// Where the first byte lies that it lacks.
    pub fn next(&self) -> u64 {
        self.offset.saturating_add(self.bytes.len() as u64)
    }

    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.wanted as u64)
    }

    pub fn is_full(&self) -> bool {
        self.bytes.len() >= self.wanted
    }

    pub fn grow(&mut self, wanted: usize) {
        self.wanted = self.wanted.max(wanted);
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn offset(&self) -> u64 {
        self.offset
    }
}

/// The last bytes of the stream.
#[derive(Default)]
pub(super) struct Tail(Vec<u8>);

impl Tail {
    /// A footer of a stream-optimised VMDK with the markers around it.
    pub const LENGTH: usize = 1536;

    pub fn take(&mut self, chunk: &[u8]) {
        if chunk.len() >= Self::LENGTH {
            self.0.clear();
        }
        let new = &chunk[chunk.len().saturating_sub(Self::LENGTH)..];
        self.0.extend_from_slice(new);
        self.0.drain(..self.0.len().saturating_sub(Self::LENGTH));
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// What is kept of a stream that has ended.
pub(super) struct View<'a> {
    /// Its beginning.
    pub head: &'a [u8],
    /// A VHDX's metadata, with their place.
    pub metadata: Option<(u64, &'a [u8])>,
    pub tail: &'a [u8],
    pub length: u64,
}

impl<'a> View<'a> {
    pub fn fields(&self) -> Fields<'a> {
        Fields(self.head)
    }
}
