//! One range of bytes, as a request asks for it.

/// Bytes from `start` up to and without `end`; never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    pub start: u64,
    pub end: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeError {
    Several,
    Malformed,
    StartsBehind,
    EndsBehind,
}

/// A `Range` header's value (`bytes=0-9`, `bytes=5-`, `bytes=-5`), against something of `size` bytes.
pub fn parse(text: &str, size: u64) -> Result<Stretch, RangeError> {
    use RangeError::*;
    if text.contains(',') {
        return Err(Several);
    }
    let (unit, range) = text.split_once('=').ok_or(Malformed)?;
    let (first, last) = range.trim().split_once('-').ok_or(Malformed)?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Err(Malformed);
    }
    if first.is_empty() {
        // The last so many; none, or more than there are, mean all, as Glance has it.
        let count = number(last).ok_or(Malformed)?;
        if size == 0 {
            return Err(StartsBehind);
        }
        let start = if count == 0 { 0 } else { size.saturating_sub(count) };
        return Ok(Stretch { start, end: size });
    }
    let start = number(first).ok_or(Malformed)?;
    let end = if last.is_empty() { size } else { number(last).ok_or(Malformed)?.saturating_add(1) };
    if !last.is_empty() && end <= start && end != u64::MAX {
        return Err(Malformed);
    }
    if start >= size {
        return Err(StartsBehind);
    }
    Ok(Stretch { start, end: end.min(size) })
}

/// A `Content-Range` header's value (`bytes 0-9/10`, `bytes 0-9/*`), against something of `size` bytes.
pub fn parse_content_range(text: &str, size: u64) -> Result<Stretch, RangeError> {
    use RangeError::*;
    let rest = text.trim().strip_prefix("bytes ").ok_or(Malformed)?;
    let (range, length) = rest.split_once('/').ok_or(Malformed)?;
    let (first, last) = range.split_once('-').ok_or(Malformed)?;
    let (start, last) = (number(first).ok_or(Malformed)?, number(last).ok_or(Malformed)?);
    let end = last.saturating_add(1);
    if end <= start || (length != "*" && number(length).is_none_or(|length| end > length)) {
        return Err(Malformed);
    }
    if start >= size {
        return Err(StartsBehind);
    }
    if end > size {
        return Err(EndsBehind);
    }
    Ok(Stretch { start, end })
}

/// Digits only; more than fit are as good as the most.
fn number(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use RangeError::*;

    #[test]
    fn ranges_of_ten_bytes() {
        let stretch = |start, end| Ok(Stretch { start, end });
        for (text, expected) in [
            ("bytes=0-3", stretch(0, 4)),
            ("bytes=3-", stretch(3, 10)),
            ("bytes=-4", stretch(6, 10)),
            ("bytes=-0", stretch(0, 10)),
            ("bytes=-40", stretch(0, 10)),
            ("bytes=0-100", stretch(0, 10)),
            ("bytes=9-9", stretch(9, 10)),
            ("bytes = 0-3", stretch(0, 4)),
            ("Bytes=0-3", stretch(0, 4)),
            ("bytes=0-99999999999999999999999", stretch(0, 10)),
            ("bytes=10-", Err(StartsBehind)),
            ("bytes=99999999999999999999999-", Err(StartsBehind)),
            ("bytes=5-3", Err(Malformed)),
            ("bytes=a-b", Err(Malformed)),
            ("bytes=+1-3", Err(Malformed)),
            ("items=0-3", Err(Malformed)),
            ("bytes=", Err(Malformed)),
            ("bytes=-", Err(Malformed)),
            ("", Err(Malformed)),
            ("bytes=0-1,3-4", Err(Several)),
        ] {
            assert_eq!(parse(text, 10), expected, "{text}");
        }
        assert_eq!(parse("bytes=0-", 0), Err(StartsBehind));
        assert_eq!(parse("bytes=-1", 0), Err(StartsBehind));
    }

    #[test]
    fn content_ranges_of_ten_bytes() {
        let stretch = |start, end| Ok(Stretch { start, end });
        for (text, expected) in [
            ("bytes 0-3/10", stretch(0, 4)),
            ("bytes 0-3/*", stretch(0, 4)),
            ("bytes 0-30/*", Err(EndsBehind)),
            ("bytes 0-30/40", Err(EndsBehind)),
            ("bytes 12-13/20", Err(StartsBehind)),
            ("bytes 3-1/10", Err(Malformed)),
            ("bytes */10", Err(Malformed)),
            ("x", Err(Malformed)),
        ] {
            assert_eq!(parse_content_range(text, 10), expected, "{text}");
        }
    }
}
