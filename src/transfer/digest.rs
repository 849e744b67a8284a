//! Digests, each on a thread of its own.
//!
//! One core hashes at some 700 MB/s and a Glance-compatible upload wants two digests. Run one after the
//! other between two writes they, not the network or the storage, would set the pace; side by side and
//! overlapped with both they rarely do.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use openssl::hash::{Hasher, MessageDigest};
use tokio::sync::{mpsc, oneshot};

/// A digest algorithm. Named as in Python's `hashlib`, and so in Glance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    Md5,
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

impl Algorithm {
    pub const ALL: [Self; 6] =
        [Self::Md5, Self::Sha1, Self::Sha224, Self::Sha256, Self::Sha384, Self::Sha512];

    pub fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha224 => "sha224",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    fn hasher(self) -> Result<Hasher, DigestError> {
        let digest = match self {
            Self::Md5 => MessageDigest::md5(),
            Self::Sha1 => MessageDigest::sha1(),
            Self::Sha224 => MessageDigest::sha224(),
            Self::Sha256 => MessageDigest::sha256(),
            Self::Sha384 => MessageDigest::sha384(),
            Self::Sha512 => MessageDigest::sha512(),
        };
        Hasher::new(digest).map_err(|cause| DigestError::new(self, cause))
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|a| a.name() == name).ok_or_else(|| UnknownAlgorithm(name.to_owned()))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not one of md5, sha1, sha224, sha256, sha384, sha512")]
pub struct UnknownAlgorithm(String);

/// A digest that could not be computed: a host in FIPS mode has no MD5, or there is no thread to be had.
#[derive(Debug, thiserror::Error)]
#[error("{algorithm} cannot be computed")]
pub struct DigestError {
    pub algorithm: Algorithm,
    #[source]
    cause: Box<dyn Error + Send + Sync>,
}

impl DigestError {
    fn new(algorithm: Algorithm, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { algorithm, cause: cause.into() }
    }
}

/// Digests under way over one run of bytes. Dropping it ends the threads.
pub struct Digests(Vec<Lane>);

struct Lane {
    algorithm: Algorithm,
    feed: mpsc::Sender<Vec<Bytes>>,
    outcome: oneshot::Receiver<Result<String, DigestError>>,
}

impl Digests {
    /// Starts a thread for each algorithm; one that is named twice is computed once.
    pub fn start(algorithms: &[Algorithm]) -> Result<Self, DigestError> {
        let mut lanes: Vec<Lane> = Vec::with_capacity(algorithms.len());
        for &algorithm in algorithms {
            if !lanes.iter().any(|lane| lane.algorithm == algorithm) {
                lanes.push(Lane::start(algorithm)?);
            }
        }
        Ok(Self(lanes))
    }

    /// Hands on the next bytes, shared and not copied. Waits while the slowest thread is more than two calls
    /// behind. Meant for large pieces: each call costs every thread a wake-up.
    pub async fn update(&self, bytes: Bytes) -> Result<(), DigestError> {
        self.update_vectored(&[bytes]).await
    }

    /// The same with bytes in several places, one after the other.
    pub async fn update_vectored(&self, parts: &[Bytes]) -> Result<(), DigestError> {
        for lane in &self.0 {
            let fed = lane.feed.send(parts.to_vec()).await;
            fed.map_err(|_| DigestError::new(lane.algorithm, "its thread ended early"))?;
        }
        Ok(())
    }

    /// The digests in lower-case hexadecimal, in the order they were asked for.
    pub async fn finish(self) -> Result<Vec<(Algorithm, String)>, DigestError> {
        // All feeds end before the first outcome is awaited: the end of its feed is what a thread waits for.
        let lanes: Vec<_> = self.0.into_iter().map(|lane| (lane.algorithm, lane.outcome)).collect();
        let mut digests = Vec::with_capacity(lanes.len());
        for (algorithm, outcome) in lanes {
            let outcome = outcome.await.map_err(|cause| DigestError::new(algorithm, cause))?;
            digests.push((algorithm, outcome?));
        }
        Ok(digests)
    }
}

impl Lane {
    fn start(algorithm: Algorithm) -> Result<Self, DigestError> {
        let mut hasher = algorithm.hasher()?;
        // One waits while one is hashed. More would only hold more memory: all pieces are of one size.
        let (feed, mut pieces) = mpsc::channel::<Vec<Bytes>>(1);
        let (report, outcome) = oneshot::channel();
        let work = move || {
            let mut hash = || {
                while let Some(parts) = pieces.blocking_recv() {
                    parts.iter().try_for_each(|part| hasher.update(part))?;
                }
                hasher.finish()
            };
            let outcome = hash()
                .map(|digest| digest.iter().map(|byte| format!("{byte:02x}")).collect())
                .map_err(|cause| DigestError::new(algorithm, cause));
            // Nobody listens any more when the transfer was given up.
            let _ = report.send(outcome);
        };
        std::thread::Builder::new()
            .name(format!("digest-{algorithm}"))
            .spawn(work)
            .map_err(|cause| DigestError::new(algorithm, cause))?;
        Ok(Self { algorithm, feed, outcome })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_hashlibs() {
        for algorithm in Algorithm::ALL {
            assert_eq!(algorithm.name().parse(), Ok(algorithm));
        }
        let error = "SHA512".parse::<Algorithm>().unwrap_err();
        assert_eq!(error.to_string(), r#""SHA512" is not one of md5, sha1, sha224, sha256, sha384, sha512"#);
    }

    #[tokio::test]
    async fn well_known_digests() {
        let digests = Digests::start(&[Algorithm::Sha1, Algorithm::Md5, Algorithm::Sha1]).unwrap();
        digests.update(Bytes::from_static(b"ab")).await.unwrap();
        digests.update(Bytes::from_static(b"c")).await.unwrap();
        let expected = [
            (Algorithm::Sha1, "a9993e364706816aba3e25717850c26c9cd0d89d".to_owned()),
            (Algorithm::Md5, "900150983cd24fb0d6963f7d28e17f72".to_owned()),
        ];
        assert_eq!(digests.finish().await.unwrap(), expected);
    }

    #[tokio::test]
    async fn dropped_digests_end_their_threads() {
        let mut digests = Digests::start(&[Algorithm::Sha256]).unwrap();
        let Lane { feed, outcome, .. } = digests.0.remove(0);
        drop((feed, digests));
        // A thread that is still running has not reported.
        assert!(outcome.await.unwrap().is_ok());
    }
}
