//! What each parser of strangers' bytes is fed with, and what must hold whatever they are. libFuzzer calls these, and
//! the tests do with what is always the same.

pub mod request;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;

use axum::http::{HeaderMap, HeaderValue, Request, header};
use bytes::Bytes;
use futures::{FutureExt, StreamExt, stream};
use pumice::config::Config;
use pumice::formats::{self, Disk, Ends, Format, Inspector, Next, Place};
use pumice::hostile;
use pumice::http::{conditions, range};
use pumice::identity::policy::check;
use pumice::identity::standalone::Claims;
use pumice::signature::{Signature, read_certificate};
use pumice::transfer::{Unpacking, unpack};
use pumice::web::Filter;
use pumice::workflows::names;

/// Takes what a stranger may send.
pub type Target = fn(&[u8]);

/// By name.
pub const ALL: &[(&str, Target)] = &[
    ("inspector", inspector),
    ("disk", disk),
    ("unpack", unpacked),
    ("image_patch", image_patch),
    ("image_filter", image_filter),
    ("volume_filter", volume_filter),
    ("headers", headers),
    ("location", location),
    ("policy_file", policy_file),
    ("token", token),
    ("signature", signature),
    ("address", address),
    ("request", request::request),
];

/// A file that is mostly zeros, in few bytes: its length, then stretches of it. All numbers are little-endian.
///
/// ```text
/// length: u32, then any number of times: offset: u32, length: u16, bytes
/// ```
pub struct Sparse<'a> {
    pub length: u64,
    stretches: Vec<(u64, &'a [u8])>,
}

/// No file of a corpus is longer, and a format's headers lie in much less.
const LONGEST: u64 = 16 << 20;

impl<'a> Sparse<'a> {
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let (length, mut rest) = bytes.split_first_chunk::<4>()?;
        let length = u64::from(u32::from_le_bytes(*length)) % (LONGEST + 1);
        let mut stretches = Vec::new();
        while let Some((head, behind)) = rest.split_first_chunk::<6>() {
            let [a, b, c, d, e, f] = *head;
            let (stretch, behind) = behind.split_at(behind.len().min(u16::from_le_bytes([e, f]).into()));
            stretches.push((u64::from(u32::from_le_bytes([a, b, c, d])), stretch));
            rest = behind;
        }
        Some(Self { length, stretches })
    }

    pub fn bytes(&self, wanted: Range<u64>) -> Vec<u8> {
        let end = wanted.end.min(self.length);
        let start = wanted.start.min(end);
        let mut bytes = vec![0; (end - start) as usize];
        for (at, stretch) in &self.stretches {
            let (from, to) = ((*at).max(start), (at + stretch.len() as u64).min(end));
            if from < to {
                let source = &stretch[(from - at) as usize..(to - at) as usize];
                bytes[(from - start) as usize..(to - start) as usize].copy_from_slice(source);
            }
        }
        bytes
    }
}

/// Pieces do not matter, nor whether all bytes pass or only those that it wants to see.
pub fn inspector(bytes: &[u8]) {
    let Some(file) = Sparse::read(bytes) else { return };
    let whole = file.bytes(0..file.length);
    let seen = inspect(&whole, whole.len().max(1));
    assert_eq!(seen, inspect(&whole, 65_537), "in pieces");

    let mut inspector = Inspector::default();
    loop {
        let next = inspector.next(file.length);
        if next.is_empty() {
            break;
        }
        inspector.skip(next.start);
        inspector.feed(&file.bytes(next));
    }
    assert_eq!(seen, inspector.finish(), "where it lies");
    for declared in ["raw", "qcow2", "vmdk", "iso", "ami", "ploop"] {
        let rules =
            formats::Rules { require_match: bytes.len().is_multiple_of(2), allow_invalid_partitions: false };
        let _ = seen.judge(declared, &rules);
    }
}

pub fn inspect(bytes: &[u8], piece: usize) -> formats::Content {
    let mut inspector = Inspector::default();
    bytes.chunks(piece).for_each(|piece| inspector.feed(piece));
    inspector.finish()
}

/// A disk that can be opened is told from its beginning to its end, without gaps, and each packed stretch of it is
/// unpacked, or refused.
pub fn disk(bytes: &[u8]) {
    const FORMATS: [Format; 5] = [Format::Qcow2, Format::Vmdk, Format::Vhd, Format::Vhdx, Format::Vdi];
    let Some(file) = Sparse::read(bytes) else { return };
    for format in FORMATS {
        walk(format, &file);
    }
}

fn walk(format: Format, file: &Sparse<'_>) {
    let ends = Ends::of(file.length);
    let head = file.bytes(ends.head);
    let metadata = formats::metadata(format, &head, file.length);
    let metadata = metadata.map(|range| (range.start, file.bytes(range)));
    let metadata = metadata.as_ref().map(|(at, bytes)| (*at, bytes.as_slice()));
    let opened = Disk::open(format, &head, metadata, &file.bytes(ends.tail), file.length);
    let Ok(mut disk) = opened else { return };
    let mut at = 0;
    // Tables may be long, and tell the same of each stretch: a part of them will do.
    for _ in 0..20_000 {
        match disk.advance() {
            Err(_) => return,
            Ok(Next::End) => {
                assert_eq!(at, disk.size(), "the end of the disk");
                return;
            }
            Ok(Next::Read(wanted)) => {
                assert!(wanted.start < wanted.end && wanted.end <= file.length, "{wanted:?}");
                assert!(wanted.end - wanted.start <= 64 << 10, "{wanted:?}");
                disk.feed(&file.bytes(wanted));
            }
            Ok(Next::Piece(piece)) => {
                assert!(piece.disk.start == at && at < piece.disk.end, "{piece:?} behind {at}");
                assert!(piece.disk.end <= disk.size(), "{piece:?}");
                at = piece.disk.end;
                match piece.place {
                    Place::Hole => {}
                    Place::Plain(at) => assert!(at < file.length),
                    Place::Packed(packed) => {
                        let length = piece.disk.end - piece.disk.start;
                        assert!(length <= disk.largest_packed());
                        let mut out = vec![0; length as usize];
                        let _ = packed.unpack(&file.bytes(packed.bytes(file.length)), &mut out);
                    }
                }
            }
        }
    }
}

/// What is packed never becomes more than its bound.
pub fn unpacked(bytes: &[u8]) {
    let Some(unpacking) = Unpacking::of(bytes, bytes.len() as u64) else { return };
    let bytes = Bytes::copy_from_slice(bytes);
    let bound = unpacking.limit() as usize;
    let work = async {
        let (middle, end) = (bytes.len() / 2, bytes.len());
        let pieces = [Ok(bytes.slice(..middle)), Ok(bytes.slice(middle..end))];
        let mut out = std::pin::pin!(unpack(stream::iter(pieces), unpacking));
        let mut length = 0;
        while let Some(piece) = out.next().await {
            length += piece.map_or(0, |piece| piece.len());
        }
        assert!(length <= bound, "{length} bytes out of {}", bytes.len());
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(work);
}

pub fn image_patch(bytes: &[u8]) {
    let Ok(body) = serde_json::from_slice::<serde_json::Value>(bytes) else { return };
    let length = body.as_array().map(Vec::len);
    for media_type in
        ["application/openstack-images-v2.0-json-patch", "application/openstack-images-v2.1-json-patch"]
    {
        let changes = hostile::image_patch(media_type, body.clone());
        assert!(changes.is_none() || changes == length);
    }
}

pub fn image_filter(bytes: &[u8]) {
    let Ok(query) = std::str::from_utf8(bytes) else { return };
    let parameters = query.split('&').count();
    assert!(hostile::image_filter(query).is_none_or(|conditions| conditions <= parameters));
}

/// A value that is shown is read as the same value again.
pub fn volume_filter(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Some((value, shown)) = hostile::volume_filter(text) else { return };
    // Signs that are shown by their number are not read by it.
    if !shown.contains("\\x") {
        let again = hostile::volume_filter(&shown);
        assert_eq!(again.map(|(value, _)| value), Some(value), "{shown}");
    }
}

/// A range is within the bytes there are, of which the first eight bytes say how many; a version is told as one that is
/// read the same; and what is no host is in no link.
pub fn headers(bytes: &[u8]) {
    let Some((size, text)) = bytes.split_first_chunk::<8>() else { return };
    let size = u64::from_le_bytes(*size);
    if let Ok(text) = std::str::from_utf8(text) {
        for found in [range::parse(text, size), range::parse_content_range(text, size)].into_iter().flatten()
        {
            assert!(found.start < found.end && found.end <= size, "{found:?} of {size}");
        }
    }
    let Ok(value) = HeaderValue::from_bytes(text) else { return };
    let of = |name| HeaderMap::from_iter([(name, value.clone())]);
    let has = conditions::has_already(&of(header::IF_NONE_MATCH), "\"tag\"");
    assert!(
        !has || [&b"\"tag\""[..], b"*"].iter().any(|tag| text.windows(tag.len()).any(|part| part == *tag))
    );
    let wants = conditions::wants_range(&of(header::IF_RANGE), Some("\"tag\""));
    assert!(!wants || text.trim_ascii() == b"\"tag\"");
    if let Some(told) = hostile::version(&value) {
        let told = HeaderValue::from_str(&told).unwrap();
        assert_eq!(hostile::version(&told).as_ref().map(String::as_bytes), Some(told.as_bytes()));
    }
    let request = Request::get("/").header("x-forwarded-host", value).body(()).unwrap();
    let host = pumice::http::host(&Config::default(), &request.into_parts().0);
    assert!(!host.contains(['@', '/', '"', '<', ' ']), "{host}");
}

/// A location that is read is written the same.
pub fn location(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Some(found) = names::parse_location(text) else { return };
    let names::Location { fsid, pool, image, snapshot } = found;
    assert_eq!(text, format!("rbd://{fsid}/{pool}/{image}/{snapshot}"));
}

/// A rule that is read is written in a way that is read as the same rule. What stands in a policy file may be of the old
/// form, whose checks have blanks in them (`["role:cloud admin"]`); these have no other way to be written.
pub fn policy_file(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let written = hostile::policy_file(text).into_iter().flatten().map(|rule| rule.to_string());
    for text in written.chain([text.to_owned()]) {
        let Ok(rule) = check(&text) else { continue };
        // Two levels more than it had may be too many.
        if let Ok(again) = check(&rule.to_string()) {
            assert_eq!(rule, again);
        }
    }
}

/// Nobody but the signer makes tokens, and what it signs is read as it was.
pub fn token(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        assert_eq!(hostile::token(text).unwrap(), None);
    }
    let Ok(claims) = serde_json::from_slice::<Claims>(bytes) else { return };
    let token = hostile::sign(&claims).unwrap();
    // Longer ones than this are not looked at.
    assert!(token.len() > 2048 || hostile::token(&token).unwrap() == Some(claims));
}

/// Whatever properties and certificate say, nobody has signed these bytes. The properties are lines with `=` between name
/// and value, the certificate is what stands behind an empty line.
pub fn signature(bytes: &[u8]) {
    let end = bytes.windows(2).position(|ends| ends == b"\n\n").unwrap_or(bytes.len());
    let Ok(lines) = std::str::from_utf8(&bytes[..end]) else { return };
    let certificate = bytes.get(end + 2..).unwrap_or_default();
    let properties = lines.lines().filter_map(|line| line.split_once('='));
    let properties: BTreeMap<_, _> =
        properties.map(|(name, value)| (format!("img_signature{name}"), value.to_owned())).collect();
    let Ok(Some(signature)) = Signature::of(&properties) else { return };
    let Ok(certificate) = read_certificate(certificate) else { return };
    let Ok(signed) = signature.clone().by(&certificate) else { return };
    let bits: usize = signed.algorithm().name().trim_start_matches("sha").parse().unwrap();
    let digest = "5a".repeat(bits / 8);
    assert!(signed.check(&digest).is_err(), "{signed:?}");
    // It is written down, and read again by whoever checks the bytes.
    assert!(signature.by_key(&signed.key().unwrap()).unwrap().check(&digest).is_err());
}

/// No address of our own networks is asked, however it is written.
pub fn address(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(url) = url::Url::parse(text) else { return };
    let at: IpAddr = match url.host() {
        Some(url::Host::Ipv4(address)) => address.into(),
        Some(url::Host::Ipv6(address)) => address.into(),
        // Nothing here looks up names.
        Some(url::Host::Domain(_)) | None => return,
    };
    let filter = Filter::default();
    if filter.check(text).now_or_never() == Some(Ok(())) {
        let at = at.to_canonical();
        assert!(!at.is_loopback() && !at.is_unspecified() && !at.is_multicast(), "{text}");
        if let IpAddr::V4(at) = at {
            assert!(!at.is_private() && !at.is_link_local() && !at.is_broadcast(), "{text}");
        }
        assert!(url.username().is_empty() && url.password().is_none(), "{text}");
        assert!(matches!(url.scheme(), "http" | "https"), "{text}");
    }
}
