//! Starts, renews and ends login sessions.
//!
//! The refresh tokens of a session form generations. Using a token of generation n returns one of n + 1. Until a token
//! of n + 1 is used, n may be used again (a second tab, a lost response) and returns another one of n + 1. After that,
//! a use of n proves that a copy exists, and ends the session.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chassis::database::{self, Consistency};
use chassis::events::new_event;
use chassis::{UserId, deleted_accounts};
use chrono::{DateTime, Utc};
use contracts::accounts::{AccountDeleted, SessionsEnded};
use sha2::{Digest as _, Sha256};
use sqlx::MySqlConnection;

use crate::domain::{Account, Email, MAX_SESSIONS, PasswordHash, REFRESH_TOKEN_LIFETIME, SessionId};
use crate::error::Error;
use crate::keys::AccessToken;
use crate::state::State;
use crate::store::sessions::{NewSession, NewToken};
use crate::store::{accounts, attempts, sessions};

/// 256 random bits.
pub struct RefreshToken(String);

impl RefreshToken {
    fn random() -> Self {
        Self(URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()))
    }

    /// Returns the token as sent to clients.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn hash(&self) -> [u8; 32] {
        hash(&self.0)
    }
}

impl fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefreshToken(…)")
    }
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// A session's new tokens.
#[derive(Debug)]
pub struct Tokens {
    pub account: Account,
    pub session: SessionId,
    /// Valid for ten minutes.
    pub access: AccessToken,
    /// Can be exchanged for the next tokens.
    pub refresh: RefreshToken,
}

/// The client that starts a session.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The `User-Agent` of the device.
    pub user_agent: Option<String>,
    /// The hashed address.
    pub address: [u8; 32],
    /// The previous refresh token of the browser. Its session ends, because the new cookies replace it.
    pub replaces: Option<String>,
}

impl Origin {
    fn replaced_hash(&self) -> Option<[u8; 32]> {
        self.replaces.as_deref().map(hash)
    }
}

/// Creates an account and its first session.
pub async fn register(
    state: &State,
    email: &Email,
    password_hash: &PasswordHash,
    origin: &Origin,
) -> Result<Tokens, Error> {
    let now = state.clock.now();
    let account = Account {
        id: UserId::new(now),
        email: email.as_str().to_owned(),
        moderator: false,
        created_at: now,
    };
    let event = new_event(&account.to_known_account(), now);
    let (session, refresh) = (SessionId::new(now), RefreshToken::random());
    chassis::transaction!(state.pool, Error, |tx, attempt| {
        if attempt.ambiguous && accounts::by_id(&mut *tx, account.id).await?.is_some() {
            // An earlier attempt was committed although its response was lost.
            return Ok(());
        }
        match accounts::insert(&mut *tx, account.id, email, password_hash, now).await {
            Err(error) if is_duplicate(&error) => return Err(Error::EmailTaken),
            inserted => inserted?,
        }
        open(state, &mut *tx, &account, session, &refresh, origin, now).await?;
        state.outbox.publish(tx, &event).await?;
        Ok(())
    })?;
    state.outbox.wake();
    issue(state, account, session, refresh, now)
}

/// Publishes the event that sessions have ended, in the transaction that ends them. Wake the outbox after the commit.
async fn announce_ended(
    state: &State,
    tx: &mut MySqlConnection,
    ended: &[SessionId],
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    if ended.is_empty() {
        return Ok(());
    }
    let session_ids = ended.iter().map(|session| session.0).collect();
    let event = new_event(&SessionsEnded { session_ids }, now);
    state.outbox.publish(tx, &event).await
}

/// Starts a session of `account`, whose password matched `verified`.
pub async fn start(
    state: &State,
    account: Account,
    verified: &PasswordHash,
    origin: &Origin,
) -> Result<Tokens, Error> {
    let now = state.clock.now();
    let (session, refresh) = (SessionId::new(now), RefreshToken::random());
    chassis::transaction!(state.pool, Error, Consistency::Latest, |tx, _| {
        // The password may have been changed, or the account deleted, while the password was being hashed.
        if accounts::lock(&mut *tx, account.id).await?.as_ref() != Some(verified) {
            return Err(Error::WrongCredentials);
        }
        open(state, &mut *tx, &account, session, &refresh, origin, now).await?;
        let ended = sessions::end_oldest(&mut *tx, account.id, session, MAX_SESSIONS).await?;
        announce_ended(state, tx, &ended, now).await?;
        Ok(())
    })?;
    state.outbox.wake();
    issue(state, account, session, refresh, now)
}

async fn open(
    state: &State,
    tx: &mut MySqlConnection,
    account: &Account,
    session: SessionId,
    refresh: &RefreshToken,
    origin: &Origin,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let expires_at = now + REFRESH_TOKEN_LIFETIME;
    if let Some(replaced) = origin.replaced_hash()
        && let Some(replaced) = sessions::token(&mut *tx, &replaced, now).await?
    {
        sessions::end(&mut *tx, replaced.account.id, replaced.session).await?;
        announce_ended(state, &mut *tx, &[replaced.session], now).await?;
    }
    let row = NewSession {
        id: session,
        account: account.id,
        user_agent: origin.user_agent.as_deref(),
        now,
        expires_at,
    };
    sessions::insert(&mut *tx, &row).await?;
    let token = NewToken {
        hash: &refresh.hash(),
        session,
        generation: 1,
        expires_at,
    };
    sessions::insert_token(&mut *tx, &token).await?;
    attempts::remember_address(&mut *tx, account.id, &origin.address, now).await
}

/// The result of using a refresh token.
enum Renewal {
    Renewed(Account, SessionId),
    Refused,
    Replayed(Account, SessionId),
}

/// Exchanges a refresh token for the next tokens.
pub async fn renew(state: &State, presented: &str) -> Result<Tokens, Error> {
    let now = state.clock.now();
    let expires_at = now + REFRESH_TOKEN_LIFETIME;
    let (presented, successor) = (hash(presented), RefreshToken::random());
    // Another node may have just issued the token. If it were not found, the user would be signed out.
    let renewal = chassis::transaction!(state.pool, Error, Consistency::Latest, |tx, _| {
        let Some(known) = sessions::token(&mut *tx, &presented, now).await? else {
            return Ok(Renewal::Refused);
        };
        if !sessions::advance(&mut *tx, known.session, known.generation, now, expires_at).await? {
            let ended = sessions::end_replayed(&mut *tx, known.session, known.generation).await?;
            return Ok(if ended {
                announce_ended(state, tx, &[known.session], now).await?;
                Renewal::Replayed(known.account, known.session)
            } else {
                Renewal::Refused
            });
        }
        let generation = known.generation + 1;
        let token = NewToken {
            hash: &successor.hash(),
            session: known.session,
            generation,
            expires_at,
        };
        sessions::insert_token(tx, &token).await?;
        Ok(Renewal::Renewed(known.account, known.session))
    })?;
    match renewal {
        Renewal::Renewed(account, session) => issue(state, account, session, successor, now),
        Renewal::Refused => Err(Error::RefreshRefused),
        Renewal::Replayed(account, session) => {
            state.outbox.wake();
            // A copy of this session's tokens exists.
            tracing::warn!(account = %account.id, %session, "a refresh token was replayed; its session was ended");
            metrics::counter!("proofsheet_refresh_token_replays_total").increment(1);
            Err(Error::RefreshRefused)
        }
    }
}

/// Sets a new password, ends the account's other sessions, and replaces all tokens of this one.
pub async fn change_password(
    state: &State,
    account: Account,
    session: SessionId,
    verified: &PasswordHash,
    new: &PasswordHash,
) -> Result<Tokens, Error> {
    let now = state.clock.now();
    let expires_at = now + REFRESH_TOKEN_LIFETIME;
    let refresh = RefreshToken::random();
    chassis::transaction!(state.pool, Error, |tx, attempt| {
        match accounts::lock(&mut *tx, account.id).await? {
            Some(current) if current == *verified => {}
            Some(current) if attempt.ambiguous && current == *new => return Ok(()),
            Some(_) => {
                return Err(Error::WrongPassword {
                    field: "currentPassword",
                });
            }
            None => return Err(Error::SessionEnded),
        }
        accounts::set_password_hash(&mut *tx, account.id, new).await?;
        let ended = sessions::end_others(&mut *tx, account.id, session).await?;
        announce_ended(state, &mut *tx, &ended, now).await?;
        let Some(generation) = sessions::withdraw_tokens(&mut *tx, session, now, expires_at).await? else {
            return Err(Error::SessionEnded);
        };
        let token = NewToken {
            hash: &refresh.hash(),
            session,
            generation,
            expires_at,
        };
        sessions::insert_token(tx, &token).await?;
        Ok(())
    })?;
    state.outbox.wake();
    issue(state, account, session, refresh, now)
}

/// Ends the session of a refresh token, and returns its account. `None` if there is no such session.
pub async fn end_by_token(state: &State, presented: &str) -> Result<Option<UserId>, Error> {
    let now = state.clock.now();
    let hash = hash(presented);
    let Some(known) = database::read(&state.pool, || sessions::token(&state.pool, &hash, now)).await? else {
        return Ok(None);
    };
    let ended = end(state, known.account.id, known.session).await?;
    Ok(ended.then_some(known.account.id))
}

/// Ends a session of the account. Returns false if it had ended before.
pub async fn end(state: &State, account: UserId, session: SessionId) -> Result<bool, Error> {
    let now = state.clock.now();
    let ended = chassis::transaction!(state.pool, Error, |tx, attempt| {
        let ended = sessions::end(&mut *tx, account, session).await?;
        if ended {
            announce_ended(state, tx, &[session], now).await?;
        }
        // An earlier attempt may have ended it although its response was lost.
        Ok(ended || attempt.ambiguous)
    })?;
    state.outbox.wake();
    Ok(ended)
}

/// Ends all sessions of the account.
pub async fn end_all(state: &State, account: UserId) -> Result<(), Error> {
    let now = state.clock.now();
    chassis::transaction!(state.pool, Error, |tx, _| {
        let ended = sessions::end_all(&mut *tx, account).await?;
        announce_ended(state, tx, &ended, now).await?;
        Ok(())
    })?;
    state.outbox.wake();
    Ok(())
}

/// Deletes the account: its rows in this service, and everything else by the event. Only its id is kept.
pub async fn delete_account(state: &State, account: &Account, verified: &PasswordHash) -> Result<(), Error> {
    let now = state.clock.now();
    let deleted = AccountDeleted {
        account_id: account.id.0,
    };
    let event = new_event(&deleted, now);
    chassis::transaction!(state.pool, Error, |tx, attempt| {
        match accounts::lock(&mut *tx, account.id).await? {
            Some(current) if current == *verified => {}
            Some(_) => return Err(Error::WrongPassword { field: "password" }),
            None if attempt.ambiguous => return Ok(()),
            None => return Err(Error::SessionEnded),
        }
        let ended = sessions::end_all(&mut *tx, account.id).await?;
        announce_ended(state, &mut *tx, &ended, now).await?;
        attempts::delete_addresses(&mut *tx, account.id).await?;
        accounts::delete(&mut *tx, account.id).await?;
        deleted_accounts::record(&mut *tx, account.id, now).await?;
        deleted_accounts::mark_swept(&mut *tx, account.id, now).await?;
        state.outbox.publish(tx, &event).await?;
        Ok(())
    })?;
    state.outbox.wake();
    Ok(())
}

fn issue(
    state: &State,
    account: Account,
    session: SessionId,
    refresh: RefreshToken,
    now: DateTime<Utc>,
) -> Result<Tokens, Error> {
    let access = state.keys.sign(&account, session, now)?;
    Ok(Tokens {
        account,
        session,
        access,
        refresh,
    })
}

fn is_duplicate(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(sqlx::error::DatabaseError::is_unique_violation)
}
