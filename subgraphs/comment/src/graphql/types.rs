use async_graphql::dataloader::DataLoader;
use async_graphql::{Context, ID, InputObject, Object};
use chassis::UserId;
use chrono::{DateTime, Utc};
use subgraph::pagination::{CursorKey, NodeConnection, Page};

use crate::domain::{self, Body, ClientKey, CommentId, List, ListPage, PhotoId, Place};
use crate::error::Error;
use crate::loaders::Comments;

/// A page of comments.
pub type CommentConnection = NodeConnection<Comment, Total>;

/// The fields that this service adds to a photo.
pub struct Photo(pub PhotoId);

#[Object]
impl Photo {
    async fn id(&self) -> ID {
        self.0.into()
    }

    /// Comments and replies that are not deleted.
    async fn comment_count(&self, ctx: &Context<'_>) -> subgraph::Result<Option<i64>> {
        let count = ctx
            .data_unchecked::<DataLoader<Comments>>()
            .load_one(self.0)
            .await?;
        Ok(Some(count.unwrap_or_default()))
    }

    /// Top-level comments, newest first.
    async fn comments(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 20)] first: i32,
        after: Option<String>,
    ) -> subgraph::Result<Option<CommentConnection>> {
        page(ctx, List::OfPhoto(self.0), first, after).await.map(Some)
    }
}

/// The fields that this service adds to a user.
pub struct User(pub UserId);

#[Object]
impl User {
    async fn id(&self) -> ID {
        self.0.into()
    }

    /// Comments and replies by this person, newest first.
    async fn comments(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 20)] first: i32,
        after: Option<String>,
    ) -> subgraph::Result<Option<CommentConnection>> {
        page(ctx, List::OfUser(self.0), first, after).await.map(Some)
    }
}

/// A comment under a photo, or a reply.
pub struct Comment(pub domain::Comment);

#[Object]
impl Comment {
    async fn id(&self) -> ID {
        self.0.id.into()
    }

    /// Plain text, 1..2000 characters after trimming. A deleted comment that has replies stays as a tombstone: empty, no author.
    async fn body(&self) -> &str {
        &self.0.body
    }

    async fn deleted(&self) -> bool {
        self.0.deleted_at.is_some()
    }

    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    async fn edited_at(&self) -> Option<DateTime<Utc>> {
        self.0.edited_at
    }

    async fn author(&self) -> Option<User> {
        self.0.author_id.map(User)
    }

    async fn photo(&self) -> Option<Photo> {
        Some(Photo(self.0.photo_id))
    }

    /// The comment that this one answers; null at the top level.
    async fn reply_to(&self, ctx: &Context<'_>) -> subgraph::Result<Option<Comment>> {
        let Some(id) = self.0.reply_to else {
            return Ok(None);
        };
        let comment = ctx.data_unchecked::<DataLoader<Comments>>().load_one(id).await?;
        Ok(comment.map(Comment))
    }

    /// Oldest first. A reply has no replies of its own.
    async fn replies(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 20)] first: i32,
        after: Option<String>,
    ) -> subgraph::Result<Option<CommentConnection>> {
        page(ctx, List::OfComment(self.0.id), first, after)
            .await
            .map(Some)
    }
}

/// How long the whole list is.
pub struct Total(List);

#[Object]
impl Total {
    /// How many comments a walk through all pages meets: top-level comments of a photo and replies to a comment,
    /// with the tombstones that are shown; comments and replies of a person.
    async fn total_count(&self, ctx: &Context<'_>) -> subgraph::Result<i64> {
        let total = ctx
            .data_unchecked::<DataLoader<Comments>>()
            .load_one(self.0)
            .await?;
        Ok(total.unwrap_or_default())
    }
}

async fn page(
    ctx: &Context<'_>,
    list: List,
    first: i32,
    after: Option<String>,
) -> subgraph::Result<CommentConnection> {
    let key = ctx.data_unchecked::<CursorKey>().list(list);
    let page = Page::<Place>::parse(first, after.as_deref(), key)?;
    let rows = ctx
        .data_unchecked::<DataLoader<Comments>>()
        .load_one(ListPage::new(list, &page))
        .await?;
    let rows = rows.unwrap_or_default().into_iter();
    Ok(page.connection(rows.map(|row| (Place(row.id), Some(Comment(row)))), Total(list)))
}

/// idempotencyKey: made by the client; repeating a call with the same key and input answers the first comment.
#[derive(InputObject)]
pub struct AddCommentInput {
    photo_id: ID,
    body: String,
    /// A top-level comment of the same photo.
    reply_to_id: Option<ID>,
    idempotency_key: Option<ID>,
}

/// A comment that is about to be written.
pub struct Draft {
    /// The photo that it is about.
    pub photo_id: PhotoId,
    /// The text.
    pub body: Body,
    /// The comment that it answers.
    pub reply_to: Option<CommentId>,
    /// The client's name for this attempt.
    pub key: Option<ClientKey>,
}

impl AddCommentInput {
    /// Checks what can be checked without looking anything up.
    pub fn parse(&self) -> Result<Draft, Error> {
        Ok(Draft {
            photo_id: PhotoId::parse(&self.photo_id, "photoId")?,
            body: Body::parse(&self.body)?,
            reply_to: self
                .reply_to_id
                .as_ref()
                .map(|id| CommentId::parse(id, "replyToId"))
                .transpose()?,
            key: self
                .idempotency_key
                .as_ref()
                .map(|key| ClientKey::parse(key))
                .transpose()?,
        })
    }
}
