//! What must be kept for a while, and must not be read by who reads the database: sealed with a key that is made from a
//! password of the configuration. Argon2id makes it as hard to guess from there as it is anywhere.

use anyhow::anyhow;
use argon2::Argon2;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openssl::symm::{Cipher, decrypt_aead, encrypt_aead};

/// The same in every process, for any of them may go on with what another one began.
const SALT: &[u8] = b"pumice: what is sealed";
const NONCE: usize = 12;
const TAG: usize = 16;

pub(super) struct Seal {
    key: [u8; 32],
}

impl Seal {
    /// Takes a while.
    pub(super) fn new(password: &str) -> anyhow::Result<Self> {
        let mut key = [0; 32];
        let made = Argon2::default().hash_password_into(password.as_bytes(), SALT, &mut key);
        made.map_err(|error| anyhow!("no key can be made: {error}"))?;
        Ok(Self { key })
    }

    /// With a nonce that nobody uses again: AES-256-GCM.
    pub(super) fn close(&self, secret: &[u8], nonce: [u8; 32], purpose: &str) -> anyhow::Result<String> {
        let (nonce, mut tag) = (&nonce[..NONCE], [0; TAG]);
        let cipher = Cipher::aes_256_gcm();
        let sealed = encrypt_aead(cipher, &self.key, Some(nonce), purpose.as_bytes(), secret, &mut tag)?;
        Ok(URL_SAFE_NO_PAD.encode([nonce, &sealed, &tag].concat()))
    }

    pub(super) fn open(&self, sealed: &str, purpose: &str) -> Option<Vec<u8>> {
        let bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (nonce, rest) = bytes.split_at_checked(NONCE)?;
        let (sealed, tag) = rest.split_at_checked(rest.len().checked_sub(TAG)?)?;
        let cipher = Cipher::aes_256_gcm();
        decrypt_aead(cipher, &self.key, Some(nonce), purpose.as_bytes(), sealed, tag).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_is_opened_by_who_knows_the_password_and_for_its_purpose() {
        let seal = Seal::new("s3cret").unwrap();
        let sealed = seal.close(b"gAAAAABtoken", [7; 32], "image 1").unwrap();
        assert!(!sealed.contains("gAAAAAB"), "{sealed}");
        assert_eq!(Seal::new("s3cret").unwrap().open(&sealed, "image 1").unwrap(), b"gAAAAABtoken");
        assert_eq!(seal.open(&sealed, "image 2"), None);
        assert_eq!(Seal::new("other").unwrap().open(&sealed, "image 1"), None);
        assert_ne!(seal.close(b"gAAAAABtoken", [8; 32], "image 1").unwrap(), sealed);
        for cut in 0..sealed.len() {
            assert_eq!(seal.open(&sealed[..cut], "image 1"), None);
        }
        for wrong in ["", "!", "AAAA"] {
            assert_eq!(seal.open(wrong, "image 1"), None);
        }
    }
}
