//! The GraphQL types of this service.

mod mutation;
mod query;
mod types;

pub use mutation::Mutation;
pub use query::Query;

use async_graphql::Context;
use axum::http::{HeaderMap, header};
use chassis::database;
use subgraph::server::{ClientIp, RequestHeaders};
use subgraph::viewer::{require_viewer, viewer};

use crate::domain::{Account, SessionId, shorten_user_agent};
use crate::error::Error;
use crate::login_throttle::Address;
use crate::sessions::Origin;
use crate::state::State;
use crate::store::accounts;

fn state<'c>(ctx: &Context<'c>) -> &'c State {
    ctx.data_unchecked()
}

fn headers<'c>(ctx: &Context<'c>) -> &'c HeaderMap {
    &ctx.data_unchecked::<RequestHeaders>().0
}

fn address(ctx: &Context<'_>) -> Address {
    Address::new(&ctx.data_unchecked::<ClientIp>().0)
}

fn origin(ctx: &Context<'_>) -> Origin {
    let (state, headers) = (state(ctx), headers(ctx));
    let user_agent = headers
        .get(header::USER_AGENT)
        .map(|value| String::from_utf8_lossy(value.as_bytes()));
    Origin {
        user_agent: user_agent.and_then(|text| shorten_user_agent(&text)),
        address: state.login_throttle.address_key(&address(ctx)),
        replaces: state.cookies.refresh_token(headers).map(str::to_owned),
    }
}

/// Returns the caller's account and session, if the session has not ended. Access tokens are valid up to ten minutes
/// longer than their session, so this checks the session.
async fn active_account(ctx: &Context<'_>) -> Result<Option<(Account, SessionId)>, Error> {
    let Some(viewer) = viewer(ctx) else {
        return Ok(None);
    };
    let Some(session) = viewer.session.map(SessionId) else {
        return Ok(None);
    };
    let state = state(ctx);
    let now = state.clock.now();
    let account = database::read(&state.pool, || async {
        let account = accounts::of_session(&state.pool, viewer.id, session, now).await?;
        if account.is_some() {
            return Ok(account);
        }
        // The session may have just begun on another database node.
        let mut latest = database::read_latest(&state.pool).await?;
        accounts::of_session(&mut *latest, viewer.id, session, now).await
    });
    Ok(account
        .await
        .map_err(|error: sqlx::Error| Error::from(error))?
        .map(|account| (account, session)))
}

/// Returns the caller's account and session, or `UNAUTHENTICATED`.
async fn require_active_account(ctx: &Context<'_>) -> Result<(Account, SessionId), Error> {
    require_viewer(ctx)?;
    active_account(ctx).await?.ok_or(Error::SessionEnded)
}
