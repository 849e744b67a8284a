//! A zip archive with one file in it, read from its beginning to its end.
//!
//! What stands in front of the file's bytes says how they are packed; what stands behind them, and the directory at the
//! end, must say the same and name no other file. Nothing in it is used as a path or as an amount of memory.

use std::io::{self, BufRead, BufReader, Read};

use flate2::Crc;
use flate2::bufread::DeflateDecoder;

pub(super) const MAGIC: &[u8] = b"PK\x03\x04";
const DESCRIPTOR: [u8; 4] = *b"PK\x07\x08";
const ENTRY: [u8; 4] = *b"PK\x01\x02";
const LARGE_END: [u8; 4] = *b"PK\x06\x06";
const LARGE_END_IS_AT: [u8; 4] = *b"PK\x06\x07";
const END: [u8; 4] = *b"PK\x05\x06";

/// In the flags: the sizes stand behind the bytes.
const SIZES_FOLLOW: u16 = 1 << 3;
/// Encrypted in one way or another, or a patch of something else.
const STRANGE: u16 = 1 | 1 << 5 | 1 << 6 | 1 << 13;

const STORED: u16 = 0;
const DEFLATED: u16 = 8;

/// In a field of 32 bits: the number is larger, and stands elsewhere.
const LARGER: u64 = u32::MAX as u64;
/// Of the extra field that has those.
const LARGE_SIZES: u16 = 1;

/// The one file in an archive.
pub(super) struct Member<R: Read> {
    part: Part<R>,
    header: Header,
    sum: Crc,
    size: u64,
}

enum Part<R: Read> {
    Head(BufReader<R>),
    Stored(io::Take<BufReader<R>>),
    Deflated(DeflateDecoder<BufReader<R>>),
    Over,
}

/// What the archive says of its file.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Header {
    flags: u16,
    method: u16,
    sum: u32,
    packed: u64,
    size: u64,
    has_large_sizes: bool,
}

impl<R: Read> Member<R> {
    pub(super) fn new(archive: R) -> Self {
        let part = Part::Head(BufReader::new(archive));
        Self { part, header: Header::default(), sum: Crc::new(), size: 0 }
    }

    /// Reads what stands in front of the bytes.
    fn begin(&mut self, mut archive: BufReader<R>) -> io::Result<()> {
        let start: [u8; 30] = take(&mut archive)?;
        if !start.starts_with(MAGIC) {
            return damaged("it does not begin with a file");
        }
        let mut header = Header {
            flags: u16_at(&start, 6),
            method: u16_at(&start, 8),
            sum: u32_at(&start, 14),
            packed: u64::from(u32_at(&start, 18)),
            size: u64::from(u32_at(&start, 22)),
            has_large_sizes: false,
        };
        let name = bytes(&mut archive, u16_at(&start, 26))?;
        header.enlarge(&bytes(&mut archive, u16_at(&start, 28))?);
        if header.flags & STRANGE != 0 {
            return damaged("it is encrypted");
        }
        if name.ends_with(b"/") {
            return damaged("it holds a folder");
        }
        let has_sizes = header.flags & SIZES_FOLLOW == 0;
        self.part = match header.method {
            STORED if has_sizes => Part::Stored(archive.take(header.packed)),
            DEFLATED => Part::Deflated(DeflateDecoder::new(archive)),
            _ => return damaged("it is packed in a way that is not known"),
        };
        self.header = header;
        Ok(())
    }

    /// Reads what stands behind the bytes, all of which were read.
    fn end(&mut self, mut archive: BufReader<R>, packed: u64) -> io::Result<()> {
        let found = Header { sum: self.sum.sum(), packed, size: self.size, ..self.header };
        if self.header.flags & SIZES_FOLLOW == 0 {
            if found != self.header {
                return damaged("its file is another than it says");
            }
        } else {
            check_descriptor(&mut archive, &found)?;
        }
        check_directory(&mut archive, &found)
    }
}

impl<R: Read> Read for Member<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let read = match &mut self.part {
                Part::Head(_) => {
                    if let Part::Head(archive) = std::mem::replace(&mut self.part, Part::Over) {
                        self.begin(archive)?;
                    }
                    continue;
                }
                Part::Stored(file) => file.read(buffer)?,
                Part::Deflated(file) => file.read(buffer)?,
                Part::Over => return Ok(0),
            };
            if read > 0 {
                self.sum.update(buffer.get(..read).unwrap_or_default());
                self.size += read as u64;
                return Ok(read);
            }
            match std::mem::replace(&mut self.part, Part::Over) {
                Part::Stored(file) => self.end(file.into_inner(), self.size)?,
                Part::Deflated(file) => {
                    let packed = file.total_in();
                    self.end(file.into_inner(), packed)?;
                }
                Part::Head(_) | Part::Over => {}
            }
        }
    }
}

impl Header {
    /// Looks for sizes that do not fit into the header among the extra fields.
    fn enlarge(&mut self, mut extra: &[u8]) {
        while let Some((start, rest)) = extra.split_at_checked(4) {
            let Some((field, others)) = rest.split_at_checked(usize::from(u16_at(start, 2))) else { return };
            if u16_at(start, 0) == LARGE_SIZES {
                self.has_large_sizes = true;
                let mut numbers = field.chunks_exact(8).map(|number| u64_at(number, 0));
                for size in [&mut self.size, &mut self.packed] {
                    if *size == LARGER
                        && let Some(number) = numbers.next()
                    {
                        *size = number;
                    }
                }
            }
            extra = others;
        }
    }
}

/// Sum and sizes, where they stand behind the bytes; with a mark in front of them or without.
fn check_descriptor(archive: &mut impl Read, found: &Header) -> io::Result<()> {
    let mut sum: [u8; 4] = take(archive)?;
    if sum == DESCRIPTOR {
        sum = take(archive)?;
    }
    let is_large = found.has_large_sizes || found.packed > LARGER || found.size > LARGER;
    let (packed, size) = match is_large {
        true => (u64::from_le_bytes(take(archive)?), u64::from_le_bytes(take(archive)?)),
        false => (u32::from_le_bytes(take(archive)?).into(), u32::from_le_bytes(take(archive)?).into()),
    };
    if (u32::from_le_bytes(sum), packed, size) == (found.sum, found.packed, found.size) {
        return Ok(());
    }
    damaged("its file is another than it says")
}

/// One entry, of this file, and then the end.
fn check_directory(archive: &mut impl BufRead, found: &Header) -> io::Result<()> {
    let mark: [u8; 4] = take(archive)?;
    if mark == MAGIC {
        return damaged("it holds more than one file");
    }
    if mark != ENTRY {
        return damaged("it has no directory");
    }
    let entry: [u8; 42] = take(archive)?;
    let mut said = Header {
        method: u16_at(&entry, 6),
        sum: u32_at(&entry, 12),
        packed: u32_at(&entry, 16).into(),
        size: u32_at(&entry, 20).into(),
        ..*found
    };
    bytes(archive, u16_at(&entry, 24))?;
    said.enlarge(&bytes(archive, u16_at(&entry, 26))?);
    bytes(archive, u16_at(&entry, 28))?;
    said.has_large_sizes = found.has_large_sizes;
    // The file is at the start.
    if said != *found || u32_at(&entry, 38) != 0 {
        return damaged("its directory says something else");
    }
    let mut mark: [u8; 4] = take(archive)?;
    if mark == LARGE_END {
        let length = u64::from_le_bytes(take(archive)?);
        let length = u16::try_from(length).or_else(|_| damaged("its end is too long"))?;
        bytes(archive, length)?;
        mark = take(archive)?;
        if mark == LARGE_END_IS_AT {
            take::<16>(archive)?;
            mark = take(archive)?;
        }
    }
    if mark == ENTRY {
        return damaged("it holds more than one file");
    }
    let end: [u8; 18] = take(archive)?;
    if mark != END {
        return damaged("it has no end");
    }
    bytes(archive, u16_at(&end, 16))?;
    if archive.fill_buf()?.is_empty() { Ok(()) } else { damaged("something stands behind it") }
}

fn take<const N: usize>(archive: &mut impl Read) -> io::Result<[u8; N]> {
    let mut taken = [0; N];
    archive.read_exact(&mut taken)?;
    Ok(taken)
}

/// So many as two bytes can say.
fn bytes(archive: &mut impl Read, length: u16) -> io::Result<Vec<u8>> {
    let mut taken = vec![0; usize::from(length)];
    archive.read_exact(&mut taken)?;
    Ok(taken)
}

fn number_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(number_at(bytes, at))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(number_at(bytes, at))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(number_at(bytes, at))
}

fn damaged<T>(why: &str) -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::InvalidData, why))
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::DeflateEncoder;

    use super::*;

    /// How an archive is written.
    #[derive(Clone, Copy)]
    struct Form {
        method: u16,
        flags: u16,
        /// Sizes of 64 bits.
        is_large: bool,
        name: &'static [u8],
    }

    const PLAIN: Form = Form { method: DEFLATED, flags: 0, is_large: false, name: b"disk.img" };

    /// An archive with these bytes as its file.
    pub fn zipped(file: &[u8]) -> Vec<u8> {
        Form::write(PLAIN, file)
    }

    impl Form {
        fn write(self, file: &[u8]) -> Vec<u8> {
            let packed = match self.method {
                DEFLATED => {
                    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
                    encoder.write_all(file).unwrap();
                    encoder.finish().unwrap()
                }
                _ => file.to_vec(),
            };
            let mut sum = Crc::new();
            sum.update(file);
            let (sum, of_packed, of_file) = (sum.sum(), packed.len() as u64, file.len() as u64);
            let follows = self.flags & SIZES_FOLLOW != 0;
            let mut archive = MAGIC.to_vec();
            archive.extend(self.common(if follows { 0 } else { sum }, of_packed, of_file, follows));
            let extra = self.extra(of_packed, of_file);
            archive.extend((extra.len() as u16).to_le_bytes());
            archive.extend([self.name, &extra, &packed].concat());
            if follows {
                archive.extend([&DESCRIPTOR[..], &sum.to_le_bytes()].concat());
                for size in [of_packed, of_file] {
                    archive.extend(if self.is_large {
                        size.to_le_bytes().to_vec()
                    } else {
                        (size as u32).to_le_bytes().to_vec()
                    });
                }
            }
            let directory = archive.len() as u32;
            archive.extend([&ENTRY[..], &[45, 0]].concat());
            archive.extend(self.common(sum, of_packed, of_file, false));
            archive.extend((extra.len() as u16).to_le_bytes());
            archive.extend([0; 14]);
            archive.extend([self.name, &extra].concat());
            if self.is_large {
                archive.extend([&LARGE_END[..], &44_u64.to_le_bytes(), &[0; 44]].concat());
                archive.extend([&LARGE_END_IS_AT[..], &[0; 16]].concat());
            }
            let length = archive.len() as u32 - directory;
            archive.extend([&END[..], &[0, 0, 0, 0, 1, 0, 1, 0]].concat());
            archive.extend([length.to_le_bytes(), directory.to_le_bytes()].concat());
            archive.extend([&[3, 0][..], b"end"].concat());
            archive
        }

        /// From the version up to the length of the name.
        fn common(self, sum: u32, packed: u64, size: u64, is_unknown: bool) -> Vec<u8> {
            let size_of = |size: u64| match (is_unknown, self.is_large) {
                (_, true) => u32::MAX,
                (true, false) => 0,
                (false, false) => size as u32,
            };
            [
                &[45, 0][..],
                &self.flags.to_le_bytes(),
                &self.method.to_le_bytes(),
                &[0; 4],
                &sum.to_le_bytes(),
                &size_of(packed).to_le_bytes(),
                &size_of(size).to_le_bytes(),
                &(self.name.len() as u16).to_le_bytes(),
            ]
            .concat()
        }

        fn extra(self, packed: u64, size: u64) -> Vec<u8> {
            let other = [b'U', b'T', 1, 0, 7];
            match self.is_large {
                true => [&other[..], &[1, 0, 16, 0], &size.to_le_bytes(), &packed.to_le_bytes()].concat(),
                false => other.to_vec(),
            }
        }
    }

    fn unzipped(archive: &[u8]) -> Result<Vec<u8>, String> {
        let mut file = Vec::new();
        let read = Member::new(archive).read_to_end(&mut file);
        read.map(|_| file).map_err(|error| error.to_string())
    }

    fn bytes_of(length: u32) -> Vec<u8> {
        (0..length).map(|i| (i / 7) as u8 ^ (i >> 9) as u8).collect()
    }

    #[test]
    fn every_form_is_read() {
        for file in [bytes_of(100_000), Vec::new()] {
            for (method, flags) in [(DEFLATED, 0), (DEFLATED, SIZES_FOLLOW), (STORED, 0)] {
                for is_large in [false, true] {
                    let archive = Form { method, flags, is_large, ..PLAIN }.write(&file);
                    assert!(unzipped(&archive).as_ref() == Ok(&file), "{method} {flags} {is_large}");
                }
            }
        }
    }

    #[test]
    fn what_is_not_one_file_is_refused() {
        let file = bytes_of(10_000);
        let one = zipped(&file);
        let body = one.len() - 22 - 3;
        let entry = one.windows(4).position(|mark| mark == ENTRY).unwrap();
        let with = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut archive = one.clone();
            change(&mut archive);
            archive
        };
        let form = |form: Form| form.write(&file);
        for (archive, why) in [
            ([&one[..entry], &one].concat(), "more than one file"),
            ([&one[..body], &one[entry..]].concat(), "more than one file"),
            ([&one[..], b"x"].concat(), "stands behind it"),
            (form(Form { flags: 1, ..PLAIN }), "encrypted"),
            (form(Form { name: b"folder/", ..PLAIN }), "folder"),
            (form(Form { method: 12, ..PLAIN }), "not known"),
            (form(Form { method: STORED, flags: SIZES_FOLLOW, ..PLAIN }), "not known"),
            (with(&|archive| archive[14] ^= 1), "another than it says"),
            (with(&|archive| archive[18] ^= 1), "another than it says"),
            (with(&|archive| archive[22] ^= 1), "another than it says"),
            (with(&|archive| archive[entry + 16] ^= 1), "says something else"),
            (with(&|archive| archive[entry + 42] = 1), "says something else"),
            (with(&|archive| archive[entry] = 0), "no directory"),
            (with(&|archive| archive[body] = 0), "no end"),
        ] {
            let error = unzipped(&archive).unwrap_err();
            assert!(error.contains(why), "{why}: {error}");
        }
        for length in 0..one.len() {
            assert!(unzipped(&one[..length]).is_err(), "{length}");
        }
    }
}
