//! From proofs of who somebody is to a token.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::passwords::PasswordError;
use super::session::{Session, Target};
use super::token::{Claims, Method};
use super::{Inner, LATE, Refusal, Standalone};
use crate::db::{ApplicationCredential, DbError, Domain, Repository, SecretHash, User};
use crate::model::{ApplicationCredentialId, DomainId, ProjectId, Scope, Timestamp, UserId};

/// What somebody shows, all of it to be good and of one user, and what they want to be let into.
pub struct LogIn {
    pub proofs: Vec<Proof>,
    pub wanted: Wanted,
}

pub enum Proof {
    Password { user: UserName, password: String },
    Token { token: String },
    ApplicationCredential { credential: CredentialName, secret: String },
}

pub enum DomainName {
    Id(String),
    Name(String),
}

pub enum UserName {
    Id(String),
    Name(String, DomainName),
}

pub enum ProjectName {
    Id(String),
    Name(String, DomainName),
}

pub enum CredentialName {
    Id(String),
    Name(String, UserName),
}

/// The scope of a token to be.
pub enum Wanted {
    /// The user's default project, if there is one and the user may.
    Default,
    Unscoped,
    Project(ProjectName),
    Domain(DomainName),
    System,
}

#[derive(Debug, thiserror::Error)]
pub enum LogInError {
    #[error("a proof is not good, or does not let into the scope")]
    Denied,
    #[error("a token that is not good was shown as a proof")]
    BadToken,
    #[error("an application credential has its scope already")]
    ScopeOfCredential,
    #[error("a token for the whole system gives none for a project or a domain")]
    ScopeOfSystem,
    #[error("too many failures: {0} seconds to wait")]
    Wait(u64),
    #[error("the database failed")]
    Database(#[from] DbError),
    #[error("a secret cannot be compared")]
    Password(#[from] PasswordError),
    #[error("a token cannot be signed")]
    Signing(#[source] anyhow::Error),
    #[error("{0}")]
    Unavailable(String),
}

/// What the proofs so far say.
struct Proven {
    user_id: UserId,
    /// The user's, as it was before the first proof was held against anything.
    epoch: i64,
    methods: Vec<Method>,
    /// Of the token that was shown, if one was: the new one is its child and lives no longer.
    parent: Option<Arc<Session>>,
    credential: Option<ApplicationCredential>,
}

impl Standalone {
    /// A new token, and what it stands for.
    pub async fn log_in(&self, log_in: LogIn) -> Result<(String, Session), LogInError> {
        let Inner { database, world, signer, lifetime, .. } = &*self.0;
        // Before the proofs are read: what is taken back while they are compared takes this token back too.
        let now = world.now();
        let proven = self.prove(log_in.proofs).await?;
        let mut repository = database.read().await?;
        let scopes = self.scopes(&mut repository, &proven, log_in.wanted).await?;
        let audit_id = URL_SAFE_NO_PAD.encode(world.ids.random().as_bytes());
        let parent = proven.parent.as_ref().map(|parent| &parent.claims);
        let parents = parent.and_then(|claims| claims.audit_ids.last().cloned());
        let claims = Claims {
            user_id: proven.user_id,
            scope: None,
            methods: proven.methods,
            epoch: proven.epoch,
            audit_ids: [audit_id].into_iter().chain(parents).collect(),
            issued_at: now,
            expires_at: parent.map_or(now.plus_seconds(*lifetime), |claims| claims.expires_at),
            application_credential_id: proven.credential.map(|credential| credential.id),
        };
        for scope in scopes {
            let claims = Claims { scope, ..claims.clone() };
            let token = signer.sign(&claims).map_err(LogInError::Signing)?;
            if let Some(session) = Session::look_up(&mut repository, claims, now).await? {
                return Ok((token, session));
            }
        }
        Err(LogInError::Denied)
    }

    async fn prove(&self, proofs: Vec<Proof>) -> Result<Proven, LogInError> {
        let mut proven: Option<Proven> = None;
        for proof in proofs {
            let next = match proof {
                Proof::Password { user, password } => self.by_password(user, password).await?,
                Proof::Token { token } => self.by_token(&token).await?,
                Proof::ApplicationCredential { credential, secret } => {
                    self.by_credential(credential, secret).await?
                }
            };
            proven = Some(match proven {
                None => next,
                Some(earlier) if earlier.user_id == next.user_id => Proven {
                    methods: earlier.methods.into_iter().chain(next.methods).collect(),
                    parent: earlier.parent.or(next.parent),
                    credential: earlier.credential.or(next.credential),
                    epoch: earlier.epoch,
                    ..next
                },
                Some(_) => return Err(LogInError::Denied),
            });
        }
        proven.ok_or(LogInError::Denied)
    }

    async fn by_password(&self, name: UserName, password: String) -> Result<Proven, LogInError> {
        let mut repository = self.0.database.read().await?;
        let known = user(&mut repository, &name).await?;
        let hash = known.as_ref().and_then(|user| user.password_hash.clone());
        let counted = match &known {
            Some(user) => user.id.to_string(),
            None => tried_user(&mut repository, &name).await?,
        };
        drop(repository);
        let is_right = self.compare(format!("user {counted}"), password, hash).await?;
        // Whether the user is enabled is looked at with everything else, when the session is looked up.
        let known = known.filter(|_| is_right).ok_or(LogInError::Denied)?;
        let methods = vec![Method::Password];
        Ok(Proven { user_id: known.id, epoch: known.token_epoch, methods, parent: None, credential: None })
    }

    async fn by_credential(&self, name: CredentialName, secret: String) -> Result<Proven, LogInError> {
        let mut repository = self.0.database.read().await?;
        let known = credential(&mut repository, &name).await?;
        let hash = known.as_ref().map(|credential| credential.secret_hash.clone());
        let (counted, user) = match &known {
            Some(credential) => (credential.id.to_string(), repository.user(&credential.user_id).await?),
            None => (tried_credential(&mut repository, &name).await?, None),
        };
        drop(repository);
        let is_right = self.compare(format!("credential {counted}"), secret, hash).await?;
        let (Some(credential), Some(user), true) = (known, user, is_right) else {
            return Err(LogInError::Denied);
        };
        let methods = vec![Method::ApplicationCredential];
        let epoch = user.token_epoch;
        Ok(Proven { user_id: user.id, epoch, methods, parent: None, credential: Some(credential) })
    }

    async fn by_token(&self, token: &str) -> Result<Proven, LogInError> {
        let session = self.session_now(token, 0).await.map_err(|refusal| match refusal {
            Refusal::Unauthorized => LogInError::BadToken,
            Refusal::Unavailable(why) => LogInError::Unavailable(why),
        })?;
        // It would get what the credential does not give.
        if session.application_credential.is_some() {
            return Err(LogInError::Denied);
        }
        let mut methods = session.claims.methods.clone();
        if !methods.contains(&Method::Token) {
            methods.push(Method::Token);
        }
        let (user_id, epoch) = (session.user.id.clone(), session.claims.epoch);
        Ok(Proven { user_id, epoch, methods, parent: Some(session), credential: None })
    }

    /// Asks the brake only when there is a place to hash. A try counts as a failure from its beginning until it is known
    /// to be none: many at once get no more tries than one by one. It comes to its end when nobody waits for it any more:
    /// hashing cannot be stopped, and who was right did not fail.
    async fn compare(
        &self,
        counted: String,
        secret: String,
        right: Option<SecretHash>,
    ) -> Result<bool, LogInError> {
        let inner = self.0.clone();
        let compared = tokio::spawn(async move {
            let Inner { passwords, brake, world, .. } = &*inner;
            let place = passwords.place().await?;
            brake.begin(&counted, world.now()).map_err(LogInError::Wait)?;
            // The place is given back after the brake knows: who is right, many times at once, is not held up.
            let (is_right, _place) = passwords.matches(place, secret, right).await?;
            if is_right {
                brake.succeeded(&counted);
            }
            Ok(is_right)
        });
        compared.await.map_err(|_| PasswordError::Stopped)?
    }

    /// The scopes to try, one after the other.
    async fn scopes(
        &self,
        repository: &mut Repository,
        proven: &Proven,
        wanted: Wanted,
    ) -> Result<Vec<Option<Scope>>, LogInError> {
        if let Some(credential) = &proven.credential {
            return match wanted {
                Wanted::Default => Ok(vec![Some(Scope::Project(credential.project_id.clone()))]),
                _ => Err(LogInError::ScopeOfCredential),
            };
        }
        let is_of_system =
            proven.parent.as_ref().is_some_and(|parent| matches!(parent.target, Target::System));
        let found = match wanted {
            // The roles on the whole system are not those on a part of it.
            Wanted::Project(_) | Wanted::Domain(_) if is_of_system => return Err(LogInError::ScopeOfSystem),
            Wanted::Unscoped => return Ok(vec![None]),
            Wanted::Default => {
                let user = repository.user(&proven.user_id).await?;
                let default = user.and_then(|user| user.default_project_id).map(Scope::Project);
                let default = default.filter(|_| !is_of_system);
                return Ok(default.map(Some).into_iter().chain([None]).collect());
            }
            Wanted::System => Some(Scope::System),
            Wanted::Domain(name) => domain(repository, &name).await?.map(|domain| Scope::Domain(domain.id)),
            Wanted::Project(ProjectName::Id(id)) => Some(Scope::Project(ProjectId(id))),
            Wanted::Project(ProjectName::Name(name, in_domain)) => {
                match domain(repository, &in_domain).await? {
                    Some(domain) => {
                        let project = repository.project_named(&domain.id, &name).await?;
                        project.map(|project| Scope::Project(project.id))
                    }
                    None => None,
                }
            }
        };
        Ok(found.map(Some).into_iter().collect())
    }

    /// Takes back this one token.
    pub async fn revoke(&self, session: &Session) -> Result<(), DbError> {
        let Inner { database, world, .. } = &*self.0;
        let Claims { expires_at, .. } = session.claims;
        let mut repository = database.begin().await?;
        // Until no service goes on with it either.
        repository
            .revoke_token(session.claims.audit_id(), expires_at.plus_seconds(LATE), world.now())
            .await?;
        repository.commit().await?;
        self.changed();
        Ok(())
    }

    /// For somebody who has the database, and with it the key: a token without a log-in.
    pub fn vouch(&self, user: &User, scope: Scope) -> anyhow::Result<String> {
        let Inner { world, signer, lifetime, .. } = &*self.0;
        let issued_at: Timestamp = world.now();
        signer.sign(&Claims {
            user_id: user.id.clone(),
            scope: Some(scope),
            methods: vec![Method::Password],
            audit_ids: vec![URL_SAFE_NO_PAD.encode(world.ids.random().as_bytes())],
            issued_at,
            expires_at: issued_at.plus_seconds(*lifetime),
            epoch: user.token_epoch,
            application_credential_id: None,
        })
    }
}

/// What failures of a user whom there is not are counted by: one, whichever way the domain is named, as with those there
/// are.
async fn tried_user(repository: &mut Repository, name: &UserName) -> Result<String, DbError> {
    Ok(match name {
        UserName::Id(id) => id.clone(),
        UserName::Name(name, in_domain) => {
            let known = domain(repository, in_domain).await?;
            let (DomainName::Id(tried) | DomainName::Name(tried)) = in_domain;
            format!("{} {name}", known.map_or_else(|| tried.clone(), |domain| domain.id.0))
        }
    })
}

async fn tried_credential(repository: &mut Repository, name: &CredentialName) -> Result<String, DbError> {
    Ok(match name {
        CredentialName::Id(id) => id.clone(),
        CredentialName::Name(name, of_user) => {
            let of_user = match user(repository, of_user).await? {
                Some(user) => user.id.0,
                None => tried_user(repository, of_user).await?,
            };
            format!("{of_user} {name}")
        }
    })
}

async fn domain(repository: &mut Repository, name: &DomainName) -> Result<Option<Domain>, DbError> {
    match name {
        DomainName::Id(id) => repository.domain(&DomainId(id.clone())).await,
        DomainName::Name(name) => repository.domain_named(name).await,
    }
}

async fn user(repository: &mut Repository, name: &UserName) -> Result<Option<User>, DbError> {
    match name {
        UserName::Id(id) => repository.user(&UserId(id.clone())).await,
        UserName::Name(name, in_domain) => match domain(repository, in_domain).await? {
            Some(domain) => repository.user_named(&domain.id, name).await,
            None => Ok(None),
        },
    }
}

async fn credential(
    repository: &mut Repository,
    name: &CredentialName,
) -> Result<Option<ApplicationCredential>, DbError> {
    match name {
        CredentialName::Id(id) => {
            repository.application_credential(&ApplicationCredentialId(id.clone())).await
        }
        CredentialName::Name(name, of_user) => {
            let Some(user) = user(repository, of_user).await? else { return Ok(None) };
            repository.application_credential_named(&user.id, name).await
        }
    }
}
