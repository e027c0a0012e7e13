use async_graphql::{Context, ID, Object};
use chassis::deleted_accounts;
use sqlx::MySqlPool;
use subgraph::viewer;

use crate::casting::Casting;
use crate::domain::PhotoId;
use crate::graphql::types::{Photo, VoteChoice};

/// The root of writes.
pub struct Mutation;

#[Object]
impl Mutation {
    /// Sets the viewer's vote on a photo to an absolute value: safe to repeat. FORBIDDEN on the viewer's own photo. The
    /// response counts this vote. Select id, votes and viewerVote here: other fields need other services to be up.
    async fn cast_vote(&self, ctx: &Context<'_>, photo_id: ID, vote: VoteChoice) -> subgraph::Result<Photo> {
        let viewer = viewer::require_viewer(ctx)?;
        deleted_accounts::require_active_account(ctx.data_unchecked::<MySqlPool>(), viewer).await?;
        let photo = PhotoId::parse(&photo_id, "photoId")?;
        let tally = ctx
            .data_unchecked::<Casting>()
            .cast(viewer.id, photo, vote.into())
            .await?;
        Ok(Photo::voted(photo, tally, vote.into()))
    }
}
