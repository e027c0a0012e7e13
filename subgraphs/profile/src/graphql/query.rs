use async_graphql::{Context, ID, Object};
use chassis::database::Pool;
use chassis::{UserId, database};

use crate::State;
use crate::domain::{Handle, Username};
use crate::graphql::types::{User, Viewer};
use crate::store;

/// The root of queries.
pub struct Query;

#[Object]
impl Query {
    /// The user with this claimed or default username; null if there is no such account.
    async fn user(&self, ctx: &Context<'_>, username: String) -> subgraph::Result<Option<User>> {
        let state = ctx.data_unchecked::<State>();
        let id = match Handle::parse(&username) {
            Some(Handle::Guest(id)) => {
                let is_viewer = subgraph::viewer::viewer(ctx).is_some_and(|viewer| viewer.id == id);
                (is_viewer || exists(&state.pool, id).await?).then_some(id)
            }
            Some(Handle::Claimed(name)) => owner_of(&state.pool, &name).await?,
            None => None,
        };
        match id {
            Some(id) => User::load(ctx, id).await,
            None => Ok(None),
        }
    }

    /// Whether the viewer could claim a username now. False if it is malformed, reserved, or is or recently was another
    /// user's; true for the viewer's own.
    async fn username_available(&self, ctx: &Context<'_>, username: String) -> subgraph::Result<bool> {
        let Ok(name) = Username::parse(&username) else {
            return Ok(false);
        };
        let state = ctx.data_unchecked::<State>();
        let pool = &state.pool;
        let viewer = subgraph::viewer::viewer(ctx).map(|viewer| viewer.id);
        if let Some(owner) = database::read(pool, || store::owner_of(pool, &name)).await? {
            return Ok(Some(owner) == viewer);
        }
        let now = state.clock.now();
        let quarantined = database::read(pool, || store::is_quarantined(pool, &name, viewer, now)).await?;
        Ok(!quarantined && !name.is_reserved())
    }

    #[graphql(entity)]
    async fn find_user_by_id(&self, ctx: &Context<'_>, id: ID) -> subgraph::Result<Option<User>> {
        match UserId::parse(&id, "id") {
            Ok(id) => User::load(ctx, id).await,
            // An error of one entity would turn all entities of the request into null.
            Err(_) => Ok(None),
        }
    }

    #[graphql(entity)]
    async fn find_viewer_by_id(&self, id: ID) -> Option<Viewer> {
        UserId::parse(&id, "id").ok().map(Viewer)
    }
}

/// Returns the user who has claimed the name. If none is found, reads again with the latest state, because it may have
/// just been claimed on another node.
async fn owner_of(pool: &Pool, name: &Username) -> Result<Option<UserId>, sqlx::Error> {
    database::read(pool, || async {
        if let Some(owner) = store::owner_of(pool, name).await? {
            return Ok(Some(owner));
        }
        let mut latest = database::read_latest(pool).await?;
        store::owner_of(&mut *latest, name).await
    })
    .await
}

/// Whether the account exists: every account has a profile.
async fn exists(pool: &Pool, id: UserId) -> Result<bool, sqlx::Error> {
    database::read(pool, || async {
        if !store::existing_among(pool, &[id]).await?.is_empty() {
            return Ok(true);
        }
        let mut latest = database::read_latest(pool).await?;
        Ok(!store::existing_among(&mut *latest, &[id]).await?.is_empty())
    })
    .await
}
