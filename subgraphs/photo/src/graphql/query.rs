use async_graphql::dataloader::DataLoader;
use async_graphql::{Context, ID, Object};
use chassis::database;
use chassis::{UserId, id};
use subgraph::Result;
use subgraph::pagination::{CursorKey, NodeConnection, Page};

use super::types::{self, Photo, User};
use crate::State;
use crate::domain::PhotoId;
use crate::error::Error;
use crate::loaders::Photos;
use crate::store;

/// The queries.
#[derive(Debug, Default)]
pub struct Query;

#[Object]
impl Query {
    async fn photo(&self, ctx: &Context<'_>, id: ID) -> Result<Option<Photo>> {
        let id = PhotoId::parse(&id, "id")?;
        if let Some(photo) = load(ctx, id).await? {
            return Ok(Some(photo));
        }
        // The author may have just published it on another database node.
        let state = ctx.data_unchecked::<State>();
        let mut found = database::read(&state.pool, || async {
            let mut latest = database::read_latest(&state.pool).await?;
            store::by_ids(&mut *latest, &[id]).await
        })
        .await?;
        Ok(found.pop().map(Photo))
    }

    /// Newest first.
    async fn latest_photos(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 24)] first: i32,
        after: Option<String>,
    ) -> Result<NodeConnection<Photo>> {
        let page = Page::parse(
            first,
            after.as_deref(),
            ctx.data_unchecked::<CursorKey>().list("latest"),
        )?;
        let state = ctx.data_unchecked::<State>();
        let photos = database::read(&state.pool, || store::latest(&state.pool, &page)).await?;
        Ok(types::connection(&page, photos))
    }

    #[graphql(entity)]
    async fn find_photo_by_id(&self, ctx: &Context<'_>, id: ID) -> Result<Option<Photo>> {
        // The id is from another service. An invalid id is not a photo.
        match PhotoId::parse(&id, "id") {
            Ok(id) => load(ctx, id).await,
            Err(_) => Ok(None),
        }
    }

    #[graphql(entity)]
    async fn find_user_by_id(&self, id: ID) -> Option<User> {
        id::parse_uuid(&id, "id").ok().map(|id| User(UserId(id)))
    }
}

async fn load(ctx: &Context<'_>, id: PhotoId) -> Result<Option<Photo>> {
    let loader = ctx.data_unchecked::<DataLoader<Photos>>();
    let photo = loader.load_one(id).await.map_err(Error::from)?;
    Ok(photo.map(Photo))
}
