use async_graphql::{Context, ID, Object};
use subgraph::viewer::require_writer;

use crate::State;
use crate::casting::cast_vote;
use crate::domain::PhotoId;
use crate::graphql::types::{Photo, VoteChoice};

/// The root of mutations.
pub struct Mutation;

#[Object]
impl Mutation {
    /// Sets the viewer's vote on a photo to an absolute value: safe to repeat. FORBIDDEN on the viewer's own photo. The
    /// response counts this vote. Select id, votes and viewerVote here: other fields need other services.
    async fn cast_vote(&self, ctx: &Context<'_>, photo_id: ID, vote: VoteChoice) -> subgraph::Result<Photo> {
        let state = ctx.data_unchecked::<State>();
        let viewer = require_writer(ctx, &state.pool).await?;
        let photo = PhotoId::parse(&photo_id, "photoId")?;
        let tally = cast_vote(state, viewer.id, photo, vote.into()).await?;
        Ok(Photo::voted(photo, tally, vote.into()))
    }
}
