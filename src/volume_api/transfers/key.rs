//! The key that a volume is handed over with: told once, kept as a hash.

use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::memcmp;
use openssl::pkey::PKey;
use openssl::sign::Signer;

use super::super::fault::Fault;
use crate::db::Transfer;
use crate::model::World;

/// A key that nobody may guess, and what is kept of it. 64 bits of chance need no slow hash.
pub struct Key {
    /// 16 hexadecimal digits, as those of the real service.
    pub key: String,
    pub salt: String,
    pub hash: String,
}

impl Key {
    pub fn random(world: &World) -> Result<Self, Fault> {
        let secret = world.ids.secret();
        let (key, salt) = (hexadecimal(&secret[..8]), hexadecimal(&secret[8..24]));
        let hash = hash(&salt, &key).map_err(Fault::internal)?;
        Ok(Self { key, salt, hash })
    }
}

/// Whether it is the right one. Takes as long either way.
pub fn fits(transfer: &Transfer, key: &str) -> Result<bool, Fault> {
    let given = hash(&transfer.salt, key).map_err(Fault::internal)?;
    Ok(given.len() == transfer.key_hash.len() && memcmp::eq(given.as_bytes(), transfer.key_hash.as_bytes()))
}

fn hash(salt: &str, key: &str) -> Result<String, ErrorStack> {
    let salt = PKey::hmac(salt.as_bytes())?;
    let mut signer = Signer::new(MessageDigest::sha256(), &salt)?;
    signer.update(key.as_bytes())?;
    Ok(hexadecimal(&signer.sign_to_vec()?))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
