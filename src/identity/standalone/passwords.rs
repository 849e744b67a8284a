//! Passwords, and other secrets that are only compared: Argon2id, with the parameters that OWASP recommends.

use std::sync::Arc;

use argon2::Argon2;
use argon2::password_hash::{self, PasswordHasher, PasswordVerifier, phc};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::db::SecretHash;
use crate::model::World;

/// Hashing takes 19 MiB and a core each: so many at once, the others wait.
const AT_ONCE: usize = 4;

#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    #[error("a password cannot be hashed")]
    Hash(#[from] password_hash::Error),
    #[error("hashing was stopped")]
    Stopped,
}

pub struct Passwords {
    world: World,
    places: Semaphore,
    /// What is compared with where there is nothing to compare with, so that this takes as long.
    decoy: Arc<SecretHash>,
}

/// A place among those who hash.
pub(super) struct Place<'a>(#[expect(dead_code, reason = "given back when dropped")] SemaphorePermit<'a>);

impl Passwords {
    pub(super) fn new(world: World) -> Result<Self, PasswordError> {
        let nobody_knows = openssl::base64::encode_block(&world.ids.secret());
        let decoy = Arc::new(hash(&world, &nobody_knows)?);
        Ok(Self { world, places: Semaphore::new(AT_ONCE), decoy })
    }

    pub async fn hash(&self, password: String) -> Result<SecretHash, PasswordError> {
        let _place = self.place().await?;
        let world = self.world.clone();
        let hashed = tokio::task::spawn_blocking(move || hash(&world, &password)).await;
        hashed.map_err(|_| PasswordError::Stopped)?
    }

    pub(super) async fn place(&self) -> Result<Place<'_>, PasswordError> {
        Ok(Place(self.places.acquire().await.map_err(|_| PasswordError::Stopped)?))
    }

    /// Whether it is the right one; never, when there is no hash, and as slowly.
    pub(super) async fn matches(
        &self,
        _place: &Place<'_>,
        password: String,
        right: Option<SecretHash>,
    ) -> Result<bool, PasswordError> {
        let decoy = self.decoy.clone();
        let compared = tokio::task::spawn_blocking(move || {
            let is_possible = right.is_some();
            let is_equal = compare(&password, right.as_ref().unwrap_or(&decoy));
            is_equal.map(|is_equal| is_equal && is_possible)
        });
        compared.await.map_err(|_| PasswordError::Stopped)?
    }
}

/// With a salt of its own. Takes a while: not for a thread that others wait for.
pub fn hash(world: &World, password: &str) -> Result<SecretHash, PasswordError> {
    let salt = &world.ids.secret()[..16];
    let hash: phc::PasswordHash = Argon2::default().hash_password_with_salt(password.as_bytes(), salt)?;
    Ok(SecretHash(hash.to_string()))
}

fn compare(password: &str, right: &SecretHash) -> Result<bool, PasswordError> {
    let right = phc::PasswordHash::new(&right.0).map_err(password_hash::Error::from)?;
    match Argon2::default().verify_password(password.as_bytes(), &right) {
        Ok(()) => Ok(true),
        Err(password_hash::Error::PasswordInvalid) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_matches_and_the_decoy_never() {
        let passwords = Passwords::new(World::real()).unwrap();
        let hash = passwords.hash("correct horse".into()).await.unwrap();
        assert!(hash.0.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", hash.0);
        assert_eq!(format!("{hash:?}"), "***");
        assert_ne!(passwords.hash("correct horse".into()).await.unwrap(), hash, "the salt is not random");
        let place = passwords.place().await.unwrap();
        let matches = |password: &str, hash| passwords.matches(&place, password.to_owned(), hash);
        assert!(matches("correct horse", Some(hash.clone())).await.unwrap());
        assert!(!matches("correct hors", Some(hash.clone())).await.unwrap());
        assert!(!matches("", Some(hash)).await.unwrap());
        assert!(!matches("correct horse", None).await.unwrap());
        assert!(matches("x", Some(SecretHash("damaged".into()))).await.is_err());
    }
}
