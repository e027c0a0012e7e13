use async_graphql::{Context, Object};
use chassis::UserId;
use chassis::database;
use subgraph::viewer::require_viewer;
use subgraph::{Failure, Result};

use super::types::{ChangePasswordInput, Delivery, LoginInput, RegisterInput, Session};
use super::{active_account, address, headers, origin, require_active_account, state};
use crate::cookies::authorised_by_cookie;
use crate::domain::{Account, Email, NewPassword, PasswordHash};
use crate::error::Error;
use crate::hashing::{HashPermit, Verified};
use crate::sessions::{self, Tokens};
use crate::state::State;
use crate::store::accounts;

/// The root of mutations.
pub struct Mutation;

#[Object]
impl Mutation {
    /// Creates an account and signs in. CONFLICT on field email if it is taken; e-mail compares without case.
    async fn register(&self, ctx: &Context<'_>, input: RegisterInput) -> Result<Session> {
        let state = state(ctx);
        let email = Email::parse(&input.email)?;
        let password = NewPassword::parse(&input.password, &email, "password")?;
        let origin = origin(ctx);
        let slot = state.hasher.queue()?;
        state
            .login_throttle
            .count(&[state.login_throttle.registrations_from(&address(ctx))])
            .await?;
        // The unique key decides. This check only saves the hashing.
        let taken = database::read(&state.pool, || {
            accounts::by_email(&state.pool, &email, &origin.address)
        })
        .await
        .map_err(Error::from)?;
        if taken.is_some() {
            return Err(Error::EmailTaken.into());
        }
        let hash = slot.acquire().await?.hash(password.as_str()).await?;
        let tokens = sessions::register(state, &email, &hash, &origin).await?;
        Ok(session_for(ctx, tokens))
    }

    /// UNAUTHENTICATED for a wrong e-mail or password.
    async fn login(&self, ctx: &Context<'_>, input: LoginInput) -> Result<Session> {
        let state = state(ctx);
        let email = Email::parse_known(&input.email)?;
        let (account, hash) = check_credentials(ctx, &email, input.password).await?;
        let tokens = sessions::start(state, account, &hash, &origin(ctx)).await?;
        Ok(session_for(ctx, tokens))
    }

    /// Exchanges the refresh token (cookie, or argument for clients without cookies) for new tokens. If its successor
    /// was used, it is UNAUTHENTICATED and ends the session; before that (two tabs, a lost response) it gets another
    /// successor.
    async fn refresh_session(&self, ctx: &Context<'_>, refresh_token: Option<String>) -> Result<Session> {
        let state = state(ctx);
        let from_cookie = state.cookies.refresh_token(headers(ctx));
        let Some(presented) = refresh_token.as_deref().or(from_cookie) else {
            return Err(Error::RefreshRefused.into());
        };
        let tokens = sessions::renew(state, presented).await?;
        let delivery = if refresh_token.is_none() {
            Delivery::Cookie
        } else {
            delivery(ctx)
        };
        Ok(deliver(ctx, tokens, delivery))
    }

    /// Ends this session, or all sessions of the account.
    async fn logout(&self, ctx: &Context<'_>, #[graphql(default = false)] everywhere: bool) -> Result<bool> {
        let state = state(ctx);
        // The cookies are deleted in any case.
        state.cookies.clear(ctx);
        let account = if let Some((account, session)) = active_account(ctx).await? {
            sessions::end(state, account.id, session).await?;
            account.id
        } else {
            // Without a valid access token, the refresh token determines the session.
            let Some(token) = state.cookies.refresh_token(headers(ctx)) else {
                require_viewer(ctx).map_err(Error::from)?;
                return Err(Error::SessionEnded.into());
            };
            sessions::end_by_token(state, token)
                .await?
                .ok_or(Error::SessionEnded)?
        };
        if everywhere {
            sessions::end_all(state, account).await?;
        }
        Ok(true)
    }

    /// Ends the account's other sessions.
    async fn change_password(&self, ctx: &Context<'_>, input: ChangePasswordInput) -> Result<Session> {
        let state = state(ctx);
        let (account, session) = require_active_account(ctx).await?;
        let email = Email::parse_known(&account.email)?;
        let new = NewPassword::parse(&input.new_password, &email, "newPassword")?;
        let verified = confirm(state, &account, input.current_password, "currentPassword").await?;
        let new = state.hasher.queue()?.acquire().await?.hash(new.as_str()).await?;
        let tokens = sessions::change_password(state, account, session, &verified, &new).await?;
        Ok(session_for(ctx, tokens))
    }

    /// Deletes the account, its profile, photos, votes and comments.
    async fn delete_account(&self, ctx: &Context<'_>, password: String) -> Result<bool> {
        let state = state(ctx);
        let (account, _) = require_active_account(ctx).await?;
        let verified = confirm(state, &account, password, "password").await?;
        sessions::delete_account(state, &account, &verified).await?;
        state.cookies.clear(ctx);
        Ok(true)
    }
}

/// Returns the account with this e-mail and password. Runs the same steps and hashes once, whether the account exists
/// or not.
async fn check_credentials(
    ctx: &Context<'_>,
    email: &Email,
    password: String,
) -> Result<(Account, PasswordHash), Failure> {
    let state = state(ctx);
    let login_throttle = &state.login_throttle;
    let slot = state.hasher.queue()?;
    let address = address(ctx);
    let address_key = login_throttle.address_key(&address);
    let found = latest_by_email(state, email, &address_key).await?;
    let known = found.as_ref().is_some_and(|found| found.address_is_known);
    let all_together = if known {
        login_throttle.logins_from_known_addresses(email)
    } else {
        login_throttle.logins_from_unknown_addresses(email)
    };
    let buckets = [
        login_throttle.logins_from(&address),
        login_throttle.logins_to(email, &address),
        all_together,
    ];
    login_throttle.refuse_early(&buckets).await?;
    let permit = slot.acquire().await?;
    login_throttle.count(&buckets).await?;
    let hash = found.as_ref().map(|found| &found.password_hash);
    let verified = permit.verify(&password, hash).await?;
    match found {
        Some(found) if verified != Verified::Wrong => {
            login_throttle.refund(&buckets).await?;
            let id = found.account.id;
            let hash = normalise(state, &permit, (id, found.password_hash), &password, verified).await?;
            Ok((found.account, hash))
        }
        _ => Err(Error::WrongCredentials.into()),
    }
}

/// Returns the hash of the account's password. Replaces hashes from before passwords were normalised.
async fn normalise(
    state: &State,
    permit: &HashPermit,
    (account, old): (UserId, PasswordHash),
    password: &str,
    verified: Verified,
) -> Result<PasswordHash, Error> {
    if verified != Verified::RightAsTyped {
        return Ok(old);
    }
    let new = permit.hash(password).await?;
    let replaced = chassis::transaction!(state.pool, Error, |connection, attempt| {
        let replaced = accounts::replace_password_hash(connection, account, &old, &new).await?;
        Ok(replaced || attempt.ambiguous)
    })?;
    Ok(if replaced { new } else { old })
}

/// Reads the latest state, because a new account may have been created on another node.
async fn latest_by_email(
    state: &State,
    email: &Email,
    address_key: &[u8; 32],
) -> Result<Option<accounts::Credentials>, Error> {
    Ok(database::read(&state.pool, || async {
        let mut latest = database::read_latest(&state.pool).await?;
        accounts::by_email(&mut *latest, email, address_key).await
    })
    .await?)
}

/// Checks the password that confirms a change of the account.
async fn confirm(
    state: &State,
    account: &Account,
    password: String,
    field: &'static str,
) -> Result<PasswordHash, Error> {
    let slot = state.hasher.queue()?;
    let buckets = [state.login_throttle.confirmations(account.id)];
    state.login_throttle.refuse_early(&buckets).await?;
    let permit = slot.acquire().await?;
    state.login_throttle.count(&buckets).await?;
    let hash = database::read(&state.pool, || accounts::password_hash(&state.pool, account.id))
        .await?
        .ok_or(Error::SessionEnded)?;
    let verified = permit.verify(&password, Some(&hash)).await?;
    if verified == Verified::Wrong {
        return Err(Error::WrongPassword { field });
    }
    state.login_throttle.refund(&buckets).await?;
    normalise(state, &permit, (account.id, hash), &password, verified).await
}

fn delivery(ctx: &Context<'_>) -> Delivery {
    if authorised_by_cookie(headers(ctx)) {
        Delivery::Cookie
    } else {
        Delivery::CookieAndResponse
    }
}

fn session_for(ctx: &Context<'_>, tokens: Tokens) -> Session {
    deliver(ctx, tokens, delivery(ctx))
}

fn deliver(ctx: &Context<'_>, tokens: Tokens, delivery: Delivery) -> Session {
    state(ctx)
        .cookies
        .set(ctx, &tokens.access.token, tokens.refresh.as_str());
    Session::new(tokens, delivery)
}
