use async_graphql::{Context, ID, Object};
use chassis::UserId;
use subgraph::Result;

use super::active_account;
use super::types::Viewer;

/// The root of queries.
pub struct Query;

#[Object]
impl Query {
    /// The signed-in viewer; null when signed out.
    async fn viewer(&self, ctx: &Context<'_>) -> Result<Option<Viewer>> {
        Ok(active_account(ctx)
            .await?
            .map(|(account, session)| Viewer { account, session }))
    }

    /// The account of the viewer; null for all others.
    #[graphql(entity)]
    async fn find_viewer_by_id(&self, ctx: &Context<'_>, id: ID) -> Result<Option<Viewer>> {
        let Ok(id) = UserId::parse(&id, "id") else {
            return Ok(None);
        };
        let present = active_account(ctx).await?;
        Ok(present
            .filter(|(account, _)| account.id == id)
            .map(|(account, session)| Viewer { account, session }))
    }
}
