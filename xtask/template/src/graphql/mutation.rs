use async_graphql::{Context, Object};
use chassis::{deleted_accounts, transaction};
use subgraph::viewer::require_writer;

use crate::State;
use crate::domain::{self, SampleId, parse_title};
use crate::error::Error;
use crate::graphql::types::Sample;
use crate::store;

/// The root of writes.
pub struct Mutation;

#[Object]
impl Mutation {
    /// title: 1..120 characters after trimming.
    async fn create_sample(&self, ctx: &Context<'_>, title: String) -> subgraph::Result<Sample> {
        let state = ctx.data_unchecked::<State>();
        let (viewer, pool) = (require_writer(ctx, &state.pool).await?, &state.pool);
        let now = state.clock.now();
        let sample = domain::Sample {
            id: SampleId::new(now),
            owner_id: viewer.id,
            title: parse_title(&title)?,
            created_at: now,
        };
        // May run again: the id is the same, so the sample is inserted once.
        transaction!(pool, Error, |tx, _| {
            deleted_accounts::require_active_account_until_commit(tx, viewer).await?;
            Ok(store::insert(&mut *tx, &sample).await?)
        })?;
        Ok(Sample(sample))
    }
}
