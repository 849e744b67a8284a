//! Identity of our own: users, projects and roles in our database, and tokens that we sign.

pub mod accounts;
mod brake;
mod first_start;
mod log_in;
mod passwords;
mod session;
mod token;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use openssl::sha::sha256;

use super::{Caller, Refusal, Tokens};
use crate::config::Config;
use crate::db::{Database, DbError, Repository, SigningKey};
use crate::model::{Timestamp, World};
use crate::telemetry::chain;
use brake::Brake;

pub use first_start::{FirstAdmin, first_start};
pub use log_in::{CredentialName, DomainName, LogIn, LogInError, ProjectName, Proof, UserName, Wanted};
pub use passwords::{PasswordError, Passwords, hash};
pub use session::{Session, SessionCredential, Target};
pub(crate) use token::Signer;
pub use token::{Claims, Method};

/// What another process changed is noticed within this time; what this one changed, at once.
const REMEMBERED: i64 = 5;
/// How long a service may go on with the token of a user that has expired, in seconds: as Keystone's
/// `allow_expired_window`.
const LATE: i64 = 172_800;
/// Sessions that are remembered.
const SESSIONS: u64 = 10_000;
/// The first key. Processes that start at the same time agree on it by its name.
const FIRST_KEY: &str = "1";

/// Shared by all requests; cheap to clone.
#[derive(Clone)]
pub struct Standalone(Arc<Inner>);

struct Inner {
    database: Database,
    world: World,
    signer: Signer,
    passwords: Passwords,
    brake: Brake,
    /// How long a token is good, in seconds.
    lifetime: i64,
    /// Whoever has one of them is a service.
    service_roles: Vec<String>,
    sessions: moka::sync::Cache<[u8; 32], Remembered>,
    /// Grows with each change to users, projects and roles: what was remembered before is looked up again.
    generation: AtomicU64,
}

#[derive(Clone)]
struct Remembered {
    session: Arc<Session>,
    generation: u64,
    since: Timestamp,
}

impl Standalone {
    pub async fn open(database: Database, world: World, config: &Config) -> anyhow::Result<Self> {
        let signer = Signer::new(&signing_keys(&database, &world).await?)?;
        Ok(Self(Arc::new(Inner {
            signer,
            passwords: Passwords::new(world.clone())?,
            brake: Brake::default(),
            lifetime: i64::try_from(config.identity.token_expiration.0)?,
            service_roles: config.keystone_authtoken.service_token_roles.clone(),
            sessions: moka::sync::Cache::new(SESSIONS),
            generation: AtomicU64::new(0),
            database,
            world,
        })))
    }

    /// What a token stands for now: good, not expired, not taken back, its user and project enabled.
    pub async fn session(&self, token: &str) -> Result<Arc<Session>, Refusal> {
        let Inner { world, sessions, generation, .. } = &*self.0;
        let key = sha256(token.as_bytes());
        let (now, generation) = (world.now(), generation.load(Ordering::SeqCst));
        if let Some(known) = sessions.get(&key) {
            let is_fresh =
                known.generation == generation && now.seconds_since(known.since) <= REMEMBERED as f64;
            if is_fresh && now < known.session.claims.expires_at {
                return Ok(known.session);
            }
        }
        let session = self.session_now(token, 0).await?;
        sessions.insert(key, Remembered { session: session.clone(), generation, since: now });
        Ok(session)
    }

    /// Also what a token stands for that has expired, but not long ago: what was begun with it may take its time.
    pub async fn late_session(&self, token: &str) -> Result<Arc<Session>, Refusal> {
        match self.session(token).await {
            Err(Refusal::Unauthorized) => self.session_now(token, LATE).await,
            known => known,
        }
    }

    /// As [`Standalone::session`], whatever is remembered: another server may have taken the token back. It may have
    /// expired so many seconds ago.
    async fn session_now(&self, token: &str, late: i64) -> Result<Arc<Session>, Refusal> {
        let Inner { database, world, signer, .. } = &*self.0;
        let now = world.now();
        let claims = signer.read(token).filter(|claims| now < claims.expires_at.plus_seconds(late));
        let claims = claims.ok_or(Refusal::Unauthorized)?;
        let found = async { Session::look_up(&mut database.read().await?, claims, now).await }.await;
        Ok(Arc::new(found.map_err(unavailable)?.ok_or(Refusal::Unauthorized)?))
    }

    /// What a session stands for at this point of a transaction that makes something which may outlive it. Whoever shuts
    /// the user out, or takes roles away, has done so before, or waits for the end of the transaction.
    pub async fn session_within(
        &self,
        repository: &mut Repository,
        session: &Session,
    ) -> Result<Session, Refusal> {
        let (claims, now) = (session.claims.clone(), self.0.world.now());
        if claims.expires_at <= now {
            return Err(Refusal::Unauthorized);
        }
        repository.user_to_change(&claims.user_id).await.map_err(unavailable)?;
        let found = Session::look_up(repository, claims, now).await.map_err(unavailable)?;
        found.ok_or(Refusal::Unauthorized)
    }

    /// Who asks, with the roles of a service that asks for them, if it says who it is. Such a service may go on with a
    /// token that expired after it had begun.
    pub async fn caller(&self, tokens: Tokens<'_>) -> Result<Arc<Caller>, Refusal> {
        let subject = tokens.subject.ok_or(Refusal::Unauthorized)?;
        let Some(service) = tokens.service else { return Ok(self.session(subject).await?.caller.clone()) };
        let service = self.session(service).await?;
        let session = match service.caller.has_one_of(&self.0.service_roles) {
            true => self.late_session(subject).await?,
            false => self.session(subject).await?,
        };
        let service_roles = service.caller.roles.clone();
        Ok(Arc::new(Caller { service_roles, ..Caller::clone(&session.caller) }))
    }

    /// To be called after every change to who there is and what they may do: no token outlives it.
    pub fn changed(&self) {
        self.0.generation.fetch_add(1, Ordering::SeqCst);
    }

    pub fn passwords(&self) -> &Passwords {
        &self.0.passwords
    }
}

fn unavailable(error: DbError) -> Refusal {
    Refusal::Unavailable(chain(&error))
}

async fn signing_keys(database: &Database, world: &World) -> Result<Vec<SigningKey>, DbError> {
    let mut repository = database.begin().await?;
    if repository.signing_keys().await?.is_empty() {
        let secret = openssl::base64::encode_block(&world.ids.secret());
        let key = SigningKey { id: FIRST_KEY.to_owned(), secret, created_at: world.now() };
        repository.ensure_signing_key(&key).await?;
    }
    let keys = repository.signing_keys().await?;
    repository.commit().await?;
    Ok(keys)
}
