use async_graphql::{Context, ID, Object};
use chassis::database::{self, Consistency, Pool};
use chassis::internal::Lookup;
use chassis::{Viewer, deleted_accounts, transaction};
use sqlx::MySqlConnection;
use subgraph::viewer::require_writer;

use crate::domain::{self, Body, ClientKey, CommentId};
use crate::error::Error;
use crate::graphql::types::{AddCommentInput, Comment};
use crate::{State, photos, store};

/// The root of mutations. They read the latest state, because a previous change of the user may have used another
/// database node.
pub struct Mutation;

#[Object]
impl Mutation {
    /// `NOT_FOUND` for a missing or deleted photo or parent comment. `INVALID_INPUT` on field replyToId for a reply to
    /// a reply, or to a comment of another photo. `CONFLICT` on field idempotencyKey for a key that was used with
    /// another input.
    async fn add_comment(&self, ctx: &Context<'_>, input: AddCommentInput) -> subgraph::Result<Comment> {
        let state = ctx.data_unchecked::<State>();
        let (viewer, pool) = (require_writer(ctx, &state.pool).await?, &state.pool);
        let draft = input.parse()?;
        photos::require(state, draft.photo_id).await?;

        let now = state.clock.now();
        let comment = domain::Comment {
            id: CommentId::new(now),
            photo_id: draft.photo_id,
            reply_to: draft.reply_to,
            author_id: Some(viewer.id),
            body: draft.body.as_str().to_owned(),
            created_at: now,
            edited_at: None,
            deleted_at: None,
        };
        let written = transaction!(pool, Error, Consistency::Latest, |tx, attempt| {
            if attempt.ambiguous && store::comment(&mut *tx, comment.id).await?.is_some() {
                // An earlier attempt was committed although its response was lost.
                return Ok(comment.id);
            }
            insert_once(tx, viewer, &comment, draft.key.as_ref()).await
        })?;
        if written == comment.id {
            return Ok(Comment(comment));
        }
        let first = database::read(pool, || async {
            let mut latest = database::read_latest(pool).await?;
            store::comment(&mut *latest, written).await
        })
        .await?;
        Ok(Comment(first.ok_or(Error::NoSuchComment)?))
    }

    /// Only for the author.
    async fn edit_comment(&self, ctx: &Context<'_>, id: ID, body: String) -> subgraph::Result<Comment> {
        let state = ctx.data_unchecked::<State>();
        let (viewer, pool) = (require_writer(ctx, &state.pool).await?, &state.pool);
        let id = CommentId::parse(&id, "id")?;
        let body = Body::parse(&body)?;
        let comment = latest(pool, id).await?;
        if comment.author_id != Some(viewer.id) {
            return Err(Error::NotTheAuthor.into());
        }
        let now = state.clock.now();
        let edited = transaction!(pool, Error, Consistency::Latest, |tx, _| {
            deleted_accounts::require_active_account_until_commit(tx, viewer).await?;
            store::edit(&mut *tx, id, &body, now).await?;
            existing(tx, id).await
        })?;
        Ok(Comment(edited))
    }

    /// Only for the author, the photo's author, and moderators.
    async fn delete_comment(&self, ctx: &Context<'_>, id: ID) -> subgraph::Result<ID> {
        let state = ctx.data_unchecked::<State>();
        let (viewer, pool) = (require_writer(ctx, &state.pool).await?, &state.pool);
        let id = CommentId::parse(&id, "id")?;
        let comment = latest(pool, id).await?;
        let may = viewer.moderator
            || comment.author_id == Some(viewer.id)
            || database::read(pool, || store::photo_author(pool, comment.photo_id)).await?
                == Lookup::Present(viewer.id);
        if !may {
            return Err(Error::MayNotDelete.into());
        }
        let now = state.clock.now();
        transaction!(pool, Error, Consistency::Latest, |tx, attempt| {
            if store::delete(tx, id, now).await? || attempt.ambiguous {
                Ok(())
            } else {
                Err(Error::NoSuchComment)
            }
        })?;
        Ok(id.into())
    }
}

/// Returns a comment that is not deleted, with the latest state.
async fn latest(pool: &Pool, id: CommentId) -> Result<domain::Comment, Error> {
    database::read(pool, || async {
        let mut latest = database::read_latest(pool).await?;
        existing(&mut *latest, id).await
    })
    .await
}

/// Returns a comment that is not deleted.
async fn existing(executor: impl sqlx::MySqlExecutor<'_>, id: CommentId) -> Result<domain::Comment, Error> {
    let comment = store::comment(executor, id).await?;
    comment
        .filter(|comment| comment.deleted_at.is_none())
        .ok_or(Error::NoSuchComment)
}

/// Inserts the comment and returns its id, or that of the first comment with the same `key` and input.
///
/// The photo and the parent comment are locked until the commit, so that neither is deleted meanwhile.
async fn insert_once(
    tx: &mut MySqlConnection,
    viewer: &Viewer,
    comment: &domain::Comment,
    key: Option<&ClientKey>,
) -> Result<CommentId, Error> {
    deleted_accounts::require_active_account_until_commit(tx, viewer).await?;
    if let Some(key) = key
        && let Some(owner) = store::claim_key(tx, viewer.id, key, comment).await?
    {
        return if owner.same_input {
            Ok(owner.comment)
        } else {
            Err(Error::KeyUsed)
        };
    }
    if !store::lock_photo(tx, comment.photo_id).await? {
        return Err(Error::NoSuchPhoto);
    }
    if let Some(parent) = comment.reply_to {
        let parent = store::lock_parent(tx, parent).await?.ok_or(Error::NoSuchParent)?;
        if parent.photo_id != comment.photo_id {
            return Err(Error::OtherPhoto);
        }
        if parent.reply_to.is_some() {
            return Err(Error::ReplyToReply);
        }
        if parent.deleted {
            return Err(Error::NoSuchParent);
        }
    }
    store::insert(tx, comment).await?;
    Ok(comment.id)
}
