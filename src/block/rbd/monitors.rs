//! Where the monitors are, as they say themselves.

use serde::Deserialize;

use crate::block::Monitor;

pub(super) const COMMAND: &str = r#"{"prefix":"mon dump","format":"json"}"#;

#[derive(Deserialize)]
struct Dump {
    mons: Vec<Line>,
}

#[derive(Deserialize)]
struct Line {
    /// `<host>:<port>/<nonce>`: the address for clients of the first messenger, where there is one.
    addr: String,
}

/// Reads the answer to [`COMMAND`].
pub(super) fn read(answer: &[u8]) -> Result<Vec<Monitor>, String> {
    let dump: Dump = serde_json::from_slice(answer).map_err(|error| error.to_string())?;
    dump.mons
        .into_iter()
        .map(|line| address(&line.addr).ok_or_else(|| format!("{:?} is no address", line.addr)))
        .collect()
}

fn address(text: &str) -> Option<Monitor> {
    let (address, _) = text.rsplit_once('/')?;
    let (host, port) = address.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    Some(Monitor { host, port: port.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_both_families_are_read() {
        let dump = br#"{"epoch":1,"mons":[{"rank":0,"name":"a","addr":"10.0.0.1:6789/0"},
            {"rank":1,"name":"b","addr":"[fd00::1]:3300/0"}]}"#;
        let found = read(dump).unwrap();
        let monitor = |host: &str, port| Monitor { host: host.to_owned(), port };
        assert_eq!(found, [monitor("10.0.0.1", 6789), monitor("fd00::1", 3300)]);
    }

    #[test]
    fn what_is_no_address_is_not_passed_on() {
        for addr in ["", "10.0.0.1:6789", "10.0.0.1/0", "10.0.0.1:x/0", "10.0.0.1:70000/0"] {
            assert!(read(format!(r#"{{"mons":[{{"addr":{addr:?}}}]}}"#).as_bytes()).is_err(), "{addr}");
        }
        assert!(read(b"[]").is_err());
    }
}
