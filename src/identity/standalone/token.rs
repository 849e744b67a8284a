//! Tokens: what is claimed, and a signature. Nothing of them is kept.

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::memcmp;
use openssl::pkey::{PKey, Private};
use serde::{Deserialize, Serialize};

use crate::db::SigningKey;
use crate::model::{ApplicationCredentialId, Scope, Timestamp, UserId};

/// Longer ones are none of ours: they are not even looked at.
const LONGEST: usize = 2048;

/// How somebody proved who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Method {
    #[serde(rename = "p")]
    Password,
    #[serde(rename = "t")]
    Token,
    #[serde(rename = "a")]
    ApplicationCredential,
}

impl Method {
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Password => "password",
            Method::Token => "token",
            Method::ApplicationCredential => "application_credential",
        }
    }
}

/// What a token says. The names are short because it travels in a header with every request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    #[serde(rename = "u")]
    pub user_id: UserId,
    /// `None`: unscoped.
    #[serde(rename = "s", with = "scope")]
    pub scope: Option<Scope>,
    #[serde(rename = "m")]
    pub methods: Vec<Method>,
    /// Of this token, and of the one it was made from.
    #[serde(rename = "a")]
    pub audit_ids: Vec<String>,
    #[serde(rename = "i")]
    pub issued_at: Timestamp,
    #[serde(rename = "e")]
    pub expires_at: Timestamp,
    /// Of the user, when the proofs were read; 0 in tokens of a version that knew none.
    #[serde(rename = "n", default, skip_serializing_if = "is_zero")]
    pub epoch: i64,
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub application_credential_id: Option<ApplicationCredentialId>,
}

impl Claims {
    /// What this very token is called in the list of those that were taken back.
    pub fn audit_id(&self) -> &str {
        self.audit_ids.first().map_or("", String::as_str)
    }
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

mod scope {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    use crate::model::Scope;

    pub(super) fn serialize<S: Serializer>(scope: &Option<Scope>, serializer: S) -> Result<S::Ok, S::Error> {
        scope.as_ref().map(|scope| (scope.kind(), scope.id())).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Scope>, D::Error> {
        let pair: Option<(String, String)> = Option::deserialize(deserializer)?;
        pair.map(|(kind, id)| Scope::new(&kind, id).ok_or_else(|| de::Error::custom("unknown scope")))
            .transpose()
    }
}

/// Signs with the newest key, believes all. HMAC-SHA256: whoever may check a token is whoever may make one.
pub(crate) struct Signer {
    keys: Vec<(String, PKey<Private>)>,
}

impl Signer {
    /// Newest first.
    pub(crate) fn new(keys: &[SigningKey]) -> anyhow::Result<Self> {
        let parsed = keys.iter().map(|key| {
            let secret = STANDARD.decode(&key.secret).context("a signing key in the database is damaged")?;
            Ok((key.id.clone(), PKey::hmac(&secret)?))
        });
        Ok(Self { keys: parsed.collect::<anyhow::Result<_>>()? })
    }

    /// `<key id>.<claims>.<signature>`
    pub(crate) fn sign(&self, claims: &Claims) -> anyhow::Result<String> {
        let (id, key) = self.keys.first().context("there is no signing key")?;
        let mut token = format!("{id}.{}", URL_SAFE_NO_PAD.encode(serde_json::to_vec(claims)?));
        let signature = signature(key, token.as_bytes())?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }

    /// `None`: not signed by us. Says nothing of whether it has expired.
    pub(crate) fn read(&self, token: &str) -> Option<Claims> {
        if token.len() > LONGEST {
            return None;
        }
        let (signed, given) = token.rsplit_once('.')?;
        let (id, claims) = signed.split_once('.')?;
        let (_, key) = self.keys.iter().find(|(known, _)| known == id)?;
        let given = URL_SAFE_NO_PAD.decode(given).ok()?;
        let right = signature(key, signed.as_bytes()).ok()?;
        if given.len() != right.len() || !memcmp::eq(&given, &right) {
            return None;
        }
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
    }
}

fn signature(key: &PKey<Private>, text: &[u8]) -> Result<Vec<u8>, ErrorStack> {
    let mut signer = openssl::sign::Signer::new(MessageDigest::sha256(), key)?;
    signer.update(text)?;
    signer.sign_to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ProjectId;

    fn key(id: &str, byte: u8) -> SigningKey {
        SigningKey { id: id.to_owned(), secret: STANDARD.encode([byte; 32]), created_at: Timestamp(0) }
    }

    fn claims() -> Claims {
        Claims {
            user_id: UserId("116489f6a59a4308b115a51f9a118bb6".into()),
            scope: Some(Scope::Project(ProjectId("ac06a53dc9db4655a92e642e54e4f335".into()))),
            methods: vec![Method::Password, Method::Token],
            audit_ids: vec!["GHOZtgO-QKyxThTR9zxduw".into(), "h0c5llgvS-qFVOHMgd9CmA".into()],
            issued_at: Timestamp(1_795_348_046_970_525),
            expires_at: Timestamp(1_795_351_646_970_525),
            epoch: 7,
            application_credential_id: None,
        }
    }

    #[test]
    fn what_is_signed_is_read_and_nothing_else() {
        let signer = Signer::new(&[key("2", 2), key("1", 1)]).unwrap();
        let token = signer.sign(&claims()).unwrap();
        assert!(token.len() < 400, "{} bytes", token.len());
        assert_eq!(signer.read(&token), Some(claims()));

        // Every single character counts.
        for at in 0..token.len() {
            let mut forged = token.clone().into_bytes();
            forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(forged).unwrap();
            assert_eq!(signer.read(&forged), None, "{forged}");
        }
        for cut in 0..token.len() {
            assert_eq!(signer.read(&token[..cut]), None);
        }
        for wrong in ["", ".", "..", "...", "2..", "1.e30.", "\u{fc}.\u{fc}.\u{fc}", &"x".repeat(100_000)] {
            assert_eq!(signer.read(wrong), None);
        }
    }

    #[test]
    fn an_older_key_is_believed_and_a_strange_one_is_not() {
        let older = Signer::new(&[key("1", 1)]).unwrap();
        let token = older.sign(&claims()).unwrap();
        assert!(Signer::new(&[key("2", 2), key("1", 1)]).unwrap().read(&token).is_some());
        assert!(Signer::new(&[key("1", 3)]).unwrap().read(&token).is_none());
        assert!(Signer::new(&[]).unwrap().read(&token).is_none());
    }
}
