use async_graphql::{Context, ID, Object};
use chassis::UserId;

use crate::domain::SampleId;
use crate::graphql::types::{Sample, User};

/// The root of reads.
pub struct Query;

#[Object]
impl Query {
    /// Null if there is no such sample.
    async fn sample(&self, ctx: &Context<'_>, id: ID) -> subgraph::Result<Option<Sample>> {
        Sample::load(ctx, SampleId::parse(&id, "id")?).await
    }

    #[graphql(entity)]
    async fn find_sample_by_id(&self, ctx: &Context<'_>, id: ID) -> subgraph::Result<Option<Sample>> {
        match SampleId::parse(&id, "id") {
            Ok(id) => Sample::load(ctx, id).await,
            // One error would make nulls of all the entities that are asked for together.
            Err(_) => Ok(None),
        }
    }

    #[graphql(entity)]
    async fn find_user_by_id(&self, id: ID) -> Option<User> {
        UserId::parse(&id, "id").ok().map(User)
    }
}
