//! Whether a pool has room, as the monitors tell the OSDs: those refuse writes by the same flag.

use nix::errno::Errno;
use serde::Deserialize;

use super::cluster::Pool;
use super::errno::Failure;
use crate::block::ErrorKind;

const COMMAND: &str = r#"{"prefix":"osd pool ls","detail":"detail","format":"json"}"#;

#[derive(Deserialize)]
struct Line {
    pool_id: u64,
    /// `hashpspool,full,full_quota`
    flags_names: String,
}

pub(super) fn is_full(pool: &Pool) -> Result<bool, Failure> {
    let answer = pool.cluster().monitor_command(COMMAND)?;
    read(&answer, pool.id()).ok_or(Failure {
        function: "osd pool ls",
        errno: Errno::EIO,
        kind: ErrorKind::Io,
    })
}

/// `None`: the pool is not there, or the answer is none.
fn read(answer: &[u8], pool: u64) -> Option<bool> {
    let lines: Vec<Line> = serde_json::from_slice(answer).ok()?;
    let line = lines.into_iter().find(|line| line.pool_id == pool)?;
    Some(line.flags_names.split(',').any(|flag| flag == "full"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_flag_itself_says_that_a_pool_is_full() {
        let answer = br#"[{"pool_id":1,"flags_names":"hashpspool"},{"pool_id":2,"flags_names":"hashpspool,full,full_quota"},
            {"pool_id":3,"flags_names":"hashpspool,nearfull,backfillfull"}]"#;
        assert_eq!(read(answer, 1), Some(false));
        assert_eq!(read(answer, 2), Some(true));
        assert_eq!(read(answer, 3), Some(false));
        assert_eq!(read(answer, 4), None);
        assert_eq!(read(b"{}", 1), None);
    }
}
