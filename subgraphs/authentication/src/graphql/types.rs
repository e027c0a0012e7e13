use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use chassis::database;
use chrono::{DateTime, Utc};
use subgraph::Result;

use super::state;
use crate::domain::{self, Account, SessionId};
use crate::error::Error;
use crate::sessions::Tokens;
use crate::store::sessions;

/// The account of the viewer.
pub(super) struct Viewer {
    pub(super) account: Account,
    pub(super) session: SessionId,
}

#[Object]
impl Viewer {
    async fn id(&self) -> ID {
        self.account.id.to_string().into()
    }

    async fn email(&self) -> &str {
        &self.account.email
    }

    async fn created_at(&self) -> DateTime<Utc> {
        self.account.created_at
    }

    /// The sessions of this account, most recently used first.
    async fn sessions(&self, ctx: &Context<'_>) -> Result<Option<Vec<LoginSession>>> {
        let state = state(ctx);
        let now = state.clock.now();
        let rows = database::read(&state.pool, || {
            sessions::of_account(&state.pool, self.account.id, now)
        })
        .await
        .map_err(Error::from)?;
        Ok(Some(
            rows.into_iter()
                .map(|row| LoginSession::new(row, self.session))
                .collect(),
        ))
    }
}

/// A login session of a device.
#[derive(SimpleObject)]
pub(super) struct LoginSession {
    id: ID,
    created_at: DateTime<Utc>,
    /// When its tokens were last renewed, which an open page does every few minutes.
    last_used_at: DateTime<Utc>,
    user_agent: Option<String>,
    /// Whether it is the session of this request.
    current: bool,
}

impl LoginSession {
    fn new(row: domain::LoginSession, current: SessionId) -> Self {
        Self {
            id: row.id.to_string().into(),
            created_at: row.created_at,
            last_used_at: row.last_used_at,
            user_agent: row.user_agent,
            current: row.id == current,
        }
    }
}

/// Browsers get both tokens as `HttpOnly` cookies; other clients use these. The tokens are null if the request was
/// authorised by a cookie, so that scripts cannot read them.
#[derive(SimpleObject)]
pub(super) struct Session {
    access_token: Option<String>,
    access_token_expires_at: DateTime<Utc>,
    refresh_token: Option<String>,
    viewer: Viewer,
}

/// Whether scripts of the page may read the tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivery {
    /// In cookies and in the response.
    CookieAndResponse,
    /// In cookies only.
    Cookie,
}

impl Session {
    pub(super) fn new(tokens: Tokens, delivery: Delivery) -> Self {
        let shown = |token: &str| (delivery == Delivery::CookieAndResponse).then(|| token.to_owned());
        Self {
            access_token: shown(&tokens.access.token),
            access_token_expires_at: tokens.access.expires_at,
            refresh_token: shown(tokens.refresh.as_str()),
            viewer: Viewer {
                account: tokens.account,
                session: tokens.session,
            },
        }
    }
}

/// The input for a new account.
#[derive(InputObject)]
pub(super) struct RegisterInput {
    /// Compares without case.
    pub(super) email: String,
    /// At least 12 characters, and not a common password.
    pub(super) password: String,
}

/// The input for signing in.
#[derive(InputObject)]
pub(super) struct LoginInput {
    pub(super) email: String,
    pub(super) password: String,
}

/// The input for changing a password.
#[derive(InputObject)]
pub(super) struct ChangePasswordInput {
    pub(super) current_password: String,
    /// At least 12 characters, and not a common password.
    pub(super) new_password: String,
}
