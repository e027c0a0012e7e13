use async_graphql::dataloader::DataLoader;
use async_graphql::{Context, ID, InputObject, Object};
use chassis::UserId;
use chrono::{DateTime, Utc};
use subgraph::pagination::{CursorKey, NodeConnection, Page};

use crate::domain::{self, Body, ClientKey, CommentCursor, CommentId, List, ListPage, PhotoId};
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

    /// The number of comments and replies that are not deleted.
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

    /// Comments and replies by this user, newest first.
    async fn comments(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 20)] first: i32,
        after: Option<String>,
    ) -> subgraph::Result<Option<CommentConnection>> {
        page(ctx, List::OfUser(self.0), first, after).await.map(Some)
    }
}

/// A comment on a photo, or a reply.
pub struct Comment(pub domain::Comment);

#[Object]
impl Comment {
    async fn id(&self) -> ID {
        self.0.id.into()
    }

    /// Plain text, 1..2000 characters after trimming. A deleted comment with replies stays as a tombstone: empty, no
    /// author.
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

    /// The comment that this one replies to; null at the top level.
    async fn reply_to(&self, ctx: &Context<'_>) -> subgraph::Result<Option<Comment>> {
        let Some(id) = self.0.reply_to else {
            return Ok(None);
        };
        let comment = ctx.data_unchecked::<DataLoader<Comments>>().load_one(id).await?;
        Ok(comment.map(Comment))
    }

    /// Oldest first. Replies have no replies.
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

/// The length of a list.
pub struct Total(List);

#[Object]
impl Total {
    /// The number of items on all pages: top-level comments of a photo or replies to a comment, including visible
    /// tombstones; or comments and replies of a user.
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
    let page = Page::<CommentCursor>::parse(first, after.as_deref(), key)?;
    let rows = ctx
        .data_unchecked::<DataLoader<Comments>>()
        .load_one(ListPage::new(list, &page))
        .await?;
    let rows = rows.unwrap_or_default().into_iter();
    Ok(page.connection(
        rows.map(|row| (CommentCursor(row.id), Some(Comment(row)))),
        Total(list),
    ))
}

/// idempotencyKey: chosen by the client; repeating a call with the same key and input returns the first comment.
#[derive(InputObject)]
pub struct AddCommentInput {
    photo_id: ID,
    body: String,
    /// A top-level comment of the same photo.
    reply_to_id: Option<ID>,
    idempotency_key: Option<ID>,
}

/// A validated input.
pub struct Draft {
    pub photo_id: PhotoId,
    pub body: Body,
    /// The parent comment of a reply.
    pub reply_to: Option<CommentId>,
    /// The idempotency key.
    pub key: Option<ClientKey>,
}

impl AddCommentInput {
    /// Validates the input without look-ups.
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
