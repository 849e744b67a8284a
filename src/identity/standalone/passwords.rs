//! Passwords, and other secrets that are only compared: Argon2id, with the parameters that OWASP recommends.

use std::sync::Arc;

use argon2::Argon2;
use argon2::password_hash::{self, PasswordHasher, PasswordVerifier, phc};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::db::SecretHash;
use crate::model::World;

/// Hashing takes 19 MiB and a core each: so many at once, the others wait.
const AT_ONCE: usize = 4;
/// Those who hash or wait for it: somebody who waits longer than for a second or two has no use for it, and takes a place
/// among all requests.
const WAITING: usize = 64;

#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    #[error("a password cannot be hashed")]
    Hash(#[from] password_hash::Error),
    #[error("hashing was stopped")]
    Stopped,
    #[error("{WAITING} passwords are being hashed already")]
    Busy,
}

pub struct Passwords {
    world: World,
    waiting: Semaphore,
    places: Semaphore,
    /// What is compared with where there is nothing to compare with, so that this takes as long.
    decoy: Arc<SecretHash>,
}

/// A place among those who hash.
#[expect(dead_code, reason = "given back when dropped")]
pub(super) struct Place<'a>(SemaphorePermit<'a>, SemaphorePermit<'a>);

impl Passwords {
    pub(super) fn new(world: World) -> Result<Self, PasswordError> {
        let nobody_knows = openssl::base64::encode_block(&world.ids.secret());
        let decoy = Arc::new(hash(&world, &nobody_knows)?);
        let (waiting, places) = (Semaphore::new(WAITING), Semaphore::new(AT_ONCE));
        Ok(Self { world, waiting, places, decoy })
    }

    pub async fn hash(&self, password: String) -> Result<SecretHash, PasswordError> {
        let _place = self.place().await?;
        let world = self.world.clone();
        let hashed = tokio::task::spawn_blocking(move || hash(&world, &password)).await;
        hashed.map_err(|_| PasswordError::Stopped)?
    }

    pub(super) async fn place(&self) -> Result<Place<'_>, PasswordError> {
        let waiting = self.waiting.try_acquire().map_err(|_| PasswordError::Busy)?;
        Ok(Place(self.places.acquire().await.map_err(|_| PasswordError::Stopped)?, waiting))
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

    #[tokio::test]
    async fn who_would_wait_behind_many_others_is_refused() {
        let passwords = Arc::new(Passwords::new(World::real()).unwrap());
        let mut places = Vec::new();
        for _ in 0..AT_ONCE {
            places.push(passwords.place().await.unwrap());
        }
        let mut waiting: Vec<_> = (AT_ONCE..WAITING).map(|_| Box::pin(passwords.place())).collect();
        for place in &mut waiting {
            assert!(futures::poll!(place).is_pending());
        }
        assert!(matches!(passwords.hash("one more".into()).await, Err(PasswordError::Busy)));
        drop(waiting.pop());
        drop(places.pop());
        assert!(futures::poll!(&mut waiting[0]).is_ready());
        assert!(
            futures::poll!(Box::pin(passwords.place())).is_pending(),
            "there is a place to wait in again"
        );
    }
}
