use async_graphql::{Context, Object};
use chassis::{Viewer, deleted_accounts, transaction};
use sqlx::MySqlConnection;
use subgraph::viewer::require_writer;

use crate::State;
use crate::domain::{self, Profile, Username, UsernameError};
use crate::error::Error;
use crate::graphql::types::{UpdateProfileInput, User};
use crate::store;

/// The root of mutations.
pub struct Mutation;

#[Object]
impl Mutation {
    /// 3 to 30 of a-z 0-9 _ -, starting with a letter; capitals are folded. CONFLICT on field username if it is taken,
    /// reserved, or was another user's until recently. Claiming another one changes it; the previous name is reserved
    /// for its owner for 90 days.
    async fn claim_username(&self, ctx: &Context<'_>, username: String) -> subgraph::Result<User> {
        let state = ctx.data_unchecked::<State>();
        let (viewer, pool) = (require_writer(ctx, &state.pool).await?, &state.pool);
        let username = Username::parse(&username).map_err(Error::from)?;
        let now = state.clock.now();
        let profile = transaction!(pool, Error, |tx, _| {
            adopt(tx, viewer, now).await?;
            // A name that becomes reserved stays with its owner. For other names nothing is read before the claim: with
            // MariaDB's innodb_snapshot_isolation a snapshot that is older than another claim would fail this one.
            if username.is_reserved() && store::owner_of(&mut *tx, &username).await? != Some(viewer.id) {
                return Err(UsernameError::Reserved.into());
            }
            store::set_username(&mut *tx, viewer.id, &username, now).await?;
            own_profile(tx, viewer).await
        })?;
        Ok(User(profile))
    }

    /// Changes the fields of the input, and keeps the others.
    async fn update_profile(&self, ctx: &Context<'_>, input: UpdateProfileInput) -> subgraph::Result<User> {
        let state = ctx.data_unchecked::<State>();
        let (viewer, pool) = (require_writer(ctx, &state.pool).await?, &state.pool);
        let changes = input.parse()?;
        let now = state.clock.now();
        let profile = transaction!(pool, Error, |tx, _| {
            adopt(tx, viewer, now).await?;
            store::update(&mut *tx, viewer.id, &changes).await?;
            own_profile(tx, viewer).await
        })?;
        Ok(User(profile))
    }
}

/// Creates the profile on a user's first request, because an external issuer sends no events.
async fn adopt(
    tx: &mut MySqlConnection,
    viewer: &Viewer,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<(), Error> {
    deleted_accounts::require_active_account_until_commit(tx, viewer).await?;
    let joined_at = domain::joined_at(viewer.id).unwrap_or(now);
    store::ensure(tx, viewer.id, joined_at).await?;
    Ok(())
}

async fn own_profile(tx: &mut MySqlConnection, viewer: &Viewer) -> Result<Profile, Error> {
    Ok(store::profile(tx, viewer.id)
        .await?
        .unwrap_or_else(|| Profile::default_for(viewer.id)))
}
