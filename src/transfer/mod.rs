//! How bytes move: one pipeline for upload, download, copy and conversion.
//!
//! ```text
//! receive:  frames ──► chunks ──┬─► writes in flight ──► image
//!                               └─► digest threads   ──► hex
//! send:     image  ──► reads in flight (ahead) ──► chunks, in order
//! copy:     image  ──► read ──► write (that many pairs in flight) ──► image
//! encode:   tables, then image ──► reads in flight (ahead) ──► a file of a format, in order
//! convert:  file in an image ──► its tables ──► read, unpack ──► write (that many in flight) ──► image
//! unpack:   chunks ──► a thread ──► chunks
//! ```
//!
//! All sizes and offsets are bytes. A *chunk* is normally one object of the image: reads and writes never
//! cross a multiple of it, so that each touches one object. Zeros are neither written to an empty image nor
//! read where an image holds nothing.
//!
//! Storage calls run as tasks of their own. A future that is merely held, while its owner waits for
//! something else, may sit on a lock or a place in a queue that the something else needs.
//!
//! Memory per transfer: `(in_flight + 2) × chunk` to receive (large frames hold the buffers they were read into, which
//! are at most twice as large), `(ahead + 1) × chunk` to send, `in_flight × chunk` to copy, `3 × in_flight × chunk` to
//! convert, whatever a file says of itself. How many transfers run at once, and so how many digest threads there are, is
//! the caller's to bound.

mod chunk;
mod compare;
mod convert;
mod copy;
mod digest;
mod error;
mod in_flight;
mod pieces;
mod receive;
mod send;
mod unpack;
mod zero;
mod zip;

pub use compare::same;
pub use convert::{convert, open_disk};
pub use copy::{CopyOptions, copy};
pub use digest::{Algorithm, DigestError, Digests, UnknownAlgorithm};
pub use error::TransferError;
pub use receive::{ReceiveOptions, Received, measure, receive};
pub use send::{SendOptions, send, send_encoded};
pub use unpack::{UnpackError, Unpacking, unpack};
pub use zero::{GRAIN, is_zero};

/// The size of a chunk unless told: the object size that Glance gives its images.
const DEFAULT_CHUNK: u64 = 8 << 20;

/// Storage calls at once unless told.
const DEFAULT_IN_FLIGHT: usize = 4;
