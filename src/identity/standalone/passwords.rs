//! Passwords, and other secrets that are only compared: Argon2id, with the parameters that OWASP recommends.

use std::sync::Arc;

use argon2::Argon2;
use argon2::password_hash::{self, PasswordHasher, PasswordVerifier, phc};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

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
    waiting: Arc<Semaphore>,
    places: Arc<Semaphore>,
    /// What is compared with where there is nothing to compare with, so that this takes as long.
    decoy: Arc<SecretHash>,
}

/// A place among those who hash. Whoever hashes takes it along: it is taken until that is over, also where nobody waits
/// for the outcome any more.
#[expect(dead_code, reason = "given back when dropped")]
pub(super) struct Place(OwnedSemaphorePermit, OwnedSemaphorePermit);

impl Passwords {
    pub(super) fn new(world: World) -> Result<Self, PasswordError> {
        let nobody_knows = openssl::base64::encode_block(&world.ids.secret());
        let decoy = Arc::new(hash(&world, &nobody_knows)?);
        let [waiting, places] = [WAITING, AT_ONCE].map(|places| Arc::new(Semaphore::new(places)));
        Ok(Self { world, waiting, places, decoy })
    }

    pub async fn hash(&self, password: String) -> Result<SecretHash, PasswordError> {
        let world = self.world.clone();
        let (hash, _) = in_place(self.place().await?, move || hash(&world, &password)).await?;
        Ok(hash)
    }

    pub(super) async fn place(&self) -> Result<Place, PasswordError> {
        let waiting = self.waiting.clone().try_acquire_owned().map_err(|_| PasswordError::Busy)?;
        let place = self.places.clone().acquire_owned().await;
        Ok(Place(place.map_err(|_| PasswordError::Stopped)?, waiting))
    }

    /// Whether it is the right one; never, when there is no hash, and as slowly. With the place, for whoever has something
    /// to do with the outcome before another one begins.
    pub(super) async fn matches(
        &self,
        place: Place,
        password: String,
        right: Option<SecretHash>,
    ) -> Result<(bool, Place), PasswordError> {
        let decoy = self.decoy.clone();
        in_place(place, move || {
            let is_possible = right.is_some();
            let is_equal = compare(&password, right.as_ref().unwrap_or(&decoy));
            is_equal.map(|is_equal| is_equal && is_possible)
        })
        .await
    }
}

async fn in_place<T: Send + 'static>(
    place: Place,
    work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
) -> Result<(T, Place), PasswordError> {
    let done = tokio::task::spawn_blocking(move || work().map(|outcome| (outcome, place)));
    done.await.map_err(|_| PasswordError::Stopped)?
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
        let matches = async |password: &str, hash| {
            let place = passwords.place().await.unwrap();
            passwords.matches(place, password.to_owned(), hash).await.map(|(is_right, _)| is_right)
        };
        assert!(matches("correct horse", Some(hash.clone())).await.unwrap());
        assert!(!matches("correct hors", Some(hash.clone())).await.unwrap());
        assert!(!matches("", Some(hash)).await.unwrap());
        assert!(!matches("correct horse", None).await.unwrap());
        assert!(matches("x", Some(SecretHash("damaged".into()))).await.is_err());
    }

    #[tokio::test]
    async fn who_went_away_has_a_place_until_the_end() {
        let passwords = Passwords::new(World::real()).unwrap();
        let (end, held) = std::sync::mpsc::channel::<()>();
        let mut hashing = Box::pin(in_place(passwords.place().await.unwrap(), move || Ok(held.recv())));
        assert!(futures::poll!(&mut hashing).is_pending());
        drop(hashing);
        assert_eq!(passwords.places.available_permits(), AT_ONCE - 1);
        assert_eq!(passwords.waiting.available_permits(), WAITING - 1);
        end.send(()).unwrap();
        drop(passwords.places.acquire_many(AT_ONCE as u32).await.unwrap());
        drop(passwords.waiting.acquire_many(WAITING as u32).await.unwrap());
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
