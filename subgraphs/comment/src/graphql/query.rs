use async_graphql::{ID, Object};
use chassis::UserId;

use crate::domain::PhotoId;
use crate::graphql::types::{Photo, User};

/// The root of queries: this service only adds fields to entities of others.
pub struct Query;

#[Object]
impl Query {
    #[graphql(entity)]
    async fn find_photo_by_id(&self, id: ID) -> Option<Photo> {
        PhotoId::parse(&id, "id").ok().map(Photo)
    }

    #[graphql(entity)]
    async fn find_user_by_id(&self, id: ID) -> Option<User> {
        UserId::parse(&id, "id").ok().map(User)
    }
}
