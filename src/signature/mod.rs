//! Images that are signed: their bytes must be those that the owner of a certificate has signed.
//!
//! Four properties of an image say so, with the names and meanings they have in Glance and Nova. With fewer of them
//! the image is not signed. What is signed is a digest, and it is computed beside the others while the bytes pass.

mod certificates;

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use openssl::error::ErrorStack;
use openssl::md::{Md, MdRef};
use openssl::pkey::{Id, PKey, Public};
use openssl::pkey_ctx::PkeyCtx;
use openssl::rsa::Padding;
use openssl::sign::RsaPssSaltlen;
use openssl::x509::X509;

use crate::transfer::Algorithm;

pub use certificates::{Certificates, read_certificate};

const SIGNATURE: &str = "img_signature";
const HASH_METHOD: &str = "img_signature_hash_method";
const KEY_TYPE: &str = "img_signature_key_type";
const CERTIFICATE: &str = "img_signature_certificate_uuid";

/// Why an image cannot be taken for signed. The words are the real service's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    #[error("Signature verification for the image failed: {0}.")]
    Unusable(String),
    #[error("Signature verification failed")]
    Wrong,
}

fn unusable(reason: impl Into<String>) -> SignatureError {
    SignatureError::Unusable(reason.into())
}

/// What the properties say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    signature: Vec<u8>,
    algorithm: Algorithm,
    key_type: String,
    certificate: String,
}

impl Signature {
    /// `None`: the image is not signed.
    ///
    /// # Errors
    /// When it says that it is, in a way that nobody can check.
    pub fn of(properties: &BTreeMap<String, String>) -> Result<Option<Self>, SignatureError> {
        let [Some(signature), Some(method), Some(key_type), Some(certificate)] =
            [SIGNATURE, HASH_METHOD, KEY_TYPE, CERTIFICATE].map(|name| properties.get(name))
        else {
            return Ok(None);
        };
        let signature = decode(signature)?;
        let algorithm = match method.as_str() {
            "SHA-224" => Algorithm::Sha224,
            "SHA-256" => Algorithm::Sha256,
            "SHA-384" => Algorithm::Sha384,
            "SHA-512" => Algorithm::Sha512,
            other => return Err(unusable(format!("Invalid signature hash method: {other}"))),
        };
        if key_kind(key_type).is_none() {
            return Err(unusable(format!("Invalid signature key type: {key_type}")));
        }
        let (key_type, certificate) = (key_type.clone(), certificate.clone());
        Ok(Some(Self { signature, algorithm, key_type, certificate }))
    }

    /// The name of the certificate: a UUID, if it is any.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// What is signed is the digest by this.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether its key is of the kind that the signature is by. Whether somebody trusts the certificate is not asked:
    /// who may set an image's properties names it.
    ///
    /// # Errors
    /// When it is not.
    pub fn by(self, certificate: &X509) -> Result<Signed, SignatureError> {
        self.with(certificate.public_key().ok())
    }

    /// Likewise with the key alone, as [`Signed::key`] gives it.
    ///
    /// # Errors
    /// When it is none, or of another kind.
    pub fn by_key(self, pem: &str) -> Result<Signed, SignatureError> {
        self.with(PKey::public_key_from_pem(pem.as_bytes()).ok())
    }

    fn with(self, key: Option<PKey<Public>>) -> Result<Signed, SignatureError> {
        let key = key.filter(|found| Some(found.id()) == key_kind(&self.key_type)).ok_or_else(|| {
            unusable(format!("Invalid public key type for signature key type: {}", self.key_type))
        })?;
        if self.signature.is_empty() {
            return Err(unusable("Error occurred while creating the verifier"));
        }
        Ok(Signed { signature: self, key })
    }
}

/// The kind of key behind a type of signatures. On which curve a key is, nobody asks.
fn key_kind(key_type: &str) -> Option<Id> {
    Some(match key_type {
        "RSA-PSS" => Id::RSA,
        "DSA" => Id::DSA,
        "ECC_SECT571K1" | "ECC_SECT409K1" | "ECC_SECT571R1" | "ECC_SECT409R1" | "ECC_SECP521R1"
        | "ECC_SECP384R1" => Id::EC,
        _ => return None,
    })
}

/// Signs that are no part of base64 are passed over, as Python does.
fn decode(text: &str) -> Result<Vec<u8>, SignatureError> {
    let is_part = |sign: &char| sign.is_ascii_alphanumeric() || matches!(sign, '+' | '/' | '=');
    let part: String = text.chars().filter(is_part).collect();
    STANDARD.decode(part).map_err(|_| unusable("The signature data was not properly encoded using base64"))
}

/// A signature with the key that it must be by.
#[derive(Clone, Debug)]
pub struct Signed {
    signature: Signature,
    key: PKey<Public>,
}

impl Signed {
    pub fn algorithm(&self) -> Algorithm {
        self.signature.algorithm
    }

    /// The key, for whoever checks it later and has the properties: they say the rest.
    pub fn key(&self) -> Result<String, SignatureError> {
        let pem = self.key.public_key_to_pem().ok().and_then(|pem| String::from_utf8(pem).ok());
        pem.ok_or_else(|| unusable("Error occurred while creating the verifier"))
    }

    /// Holds the digest of the bytes, in hexadecimal, against the signature.
    pub fn check(&self, digest: &str) -> Result<(), SignatureError> {
        let fits = openssl::bn::BigNum::from_hex_str(digest)
            .and_then(|number| number.to_vec_padded((digest.len() / 2) as i32))
            .and_then(|digest| self.fits(&digest));
        // What is no signature at all is an error for OpenSSL.
        if fits.unwrap_or(false) { Ok(()) } else { Err(SignatureError::Wrong) }
    }

    fn fits(&self, digest: &[u8]) -> Result<bool, ErrorStack> {
        let method = method(self.signature.algorithm);
        let mut context = PkeyCtx::new(&self.key)?;
        context.verify_init()?;
        if self.key.id() == Id::RSA {
            context.set_rsa_padding(Padding::PKCS1_PSS)?;
            context.set_rsa_mgf1_md(method)?;
            context.set_rsa_pss_saltlen(longest_salt())?;
        }
        context.set_signature_md(method)?;
        context.verify(digest, &self.signature.signature)
    }
}

/// Exactly as long as there is room for; the crate's own constant means any length when a signature is checked.
fn longest_salt() -> RsaPssSaltlen {
    RsaPssSaltlen::custom(-3)
}

fn method(algorithm: Algorithm) -> &'static MdRef {
    match algorithm {
        Algorithm::Md5 => Md::md5(),
        Algorithm::Sha1 => Md::sha1(),
        Algorithm::Sha224 => Md::sha224(),
        Algorithm::Sha256 => Md::sha256(),
        Algorithm::Sha384 => Md::sha384(),
        Algorithm::Sha512 => Md::sha512(),
    }
}
