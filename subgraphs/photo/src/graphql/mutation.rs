use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object};
use chassis::database::Consistency;
use chassis::{deleted_accounts, transaction};
use subgraph::Result;
use subgraph::viewer::require_writer;

use super::types::Photo;
use crate::State;
use crate::domain::{self, AltText, PhotoId, Title};
use crate::error::Error;
use crate::events;
use crate::store::{self, sweeping, uploads};

/// The mutations. They read the latest state, because a previous change of the user may have used another database
/// node.
#[derive(Debug, Default)]
pub struct Mutation;

/// title: 1..120 characters after trimming; altText: up to 1000.
#[derive(Debug, InputObject)]
struct PublishPhotoInput {
    upload_id: ID,
    title: String,
    alt_text: Option<String>,
}

/// Omitted fields are kept; an altText of null or without characters removes it.
#[derive(Debug, InputObject)]
struct UpdatePhotoInput {
    id: ID,
    title: Option<String>,
    alt_text: MaybeUndefined<String>,
}

#[Object]
impl Mutation {
    /// Publishes an upload made with POST /media/uploads. Repeating it returns the same photo; CONFLICT on field
    /// uploadId if it was published with another title or altText.
    async fn publish_photo(&self, ctx: &Context<'_>, input: PublishPhotoInput) -> Result<Photo> {
        let state = ctx.data_unchecked::<State>();
        let viewer = require_writer(ctx, &state.pool).await?;
        let id = PhotoId::parse(&input.upload_id, "uploadId")?;
        let title = Title::parse(&input.title)?;
        let alt_text = input
            .alt_text
            .as_deref()
            .map(AltText::parse)
            .transpose()?
            .flatten();
        let now = state.clock.now();

        let photo = transaction!(state.pool, Error, Consistency::Latest, |tx, _| {
            // Before any read, so that later reads are not older than this lock.
            let upload = uploads::take(tx, viewer.id, id, now).await?;
            deleted_accounts::require_active_account_until_commit(tx, viewer).await?;
            let Some(upload) = upload else {
                // Already published by this user: the photo has the id of the upload.
                let photo = store::lock(&mut *tx, id)
                    .await?
                    .filter(|photo| photo.author_id == viewer.id)
                    .ok_or(Error::NoSuchUpload)?;
                let alt_text = alt_text.as_ref().map(AltText::as_str);
                if !store::was_published_with(&mut *tx, id, title.as_str(), alt_text).await? {
                    return Err(Error::PublishedDifferently);
                }
                return Ok(photo);
            };
            let photo = domain::Photo {
                id,
                author_id: viewer.id,
                file_key: upload.file_key,
                title: title.as_str().to_owned(),
                alt_text: alt_text.as_ref().map(|text| text.as_str().to_owned()),
                width: upload.width,
                height: upload.height,
                placeholder: upload.placeholder,
                published_at: now,
                edited_at: None,
                hot_day: domain::hot_day(now, state.time_zone),
            };
            store::insert(&mut *tx, &photo).await?;
            state.outbox.publish(tx, &events::published(&photo, now)).await?;
            Ok(photo)
        })?;
        state.outbox.wake();
        Ok(Photo(photo))
    }

    /// Only for the author.
    async fn update_photo(&self, ctx: &Context<'_>, input: UpdatePhotoInput) -> Result<Photo> {
        let state = ctx.data_unchecked::<State>();
        let viewer = require_writer(ctx, &state.pool).await?;
        let id = PhotoId::parse(&input.id, "id")?;
        let title = input.title.as_deref().map(Title::parse).transpose()?;
        let alt_text = match &input.alt_text {
            MaybeUndefined::Undefined => None,
            MaybeUndefined::Null => Some(None),
            MaybeUndefined::Value(text) => Some(AltText::parse(text)?),
        };

        let now = state.clock.now();

        let photo = transaction!(state.pool, Error, Consistency::Latest, |tx, _| {
            let mut photo = store::lock(&mut *tx, id).await?.ok_or(Error::NoSuchPhoto)?;
            if photo.author_id != viewer.id {
                return Err(Error::NotTheAuthor);
            }
            let before = (photo.title.clone(), photo.alt_text.clone());
            if let Some(title) = &title {
                title.as_str().clone_into(&mut photo.title);
            }
            if let Some(alt_text) = &alt_text {
                photo.alt_text = alt_text.as_ref().map(|text| text.as_str().to_owned());
            }
            if before != (photo.title.clone(), photo.alt_text.clone()) {
                // Clocks of replicas differ, and the time must not decrease in feeds.
                photo.edited_at = Some(now.max(photo.edited_at.unwrap_or(photo.published_at)));
                store::update_texts(&mut *tx, &photo).await?;
            }
            Ok(photo)
        })?;
        Ok(Photo(photo))
    }

    /// Only for the author and moderators. Deletes the files, votes and comments too.
    async fn delete_photo(&self, ctx: &Context<'_>, id: ID) -> Result<ID> {
        let state = ctx.data_unchecked::<State>();
        let viewer = require_writer(ctx, &state.pool).await?;
        let id = PhotoId::parse(&id, "id")?;
        let now = state.clock.now();

        transaction!(state.pool, Error, Consistency::Latest, |tx, attempt| {
            let Some(photo) = store::lock(&mut *tx, id).await? else {
                // An earlier attempt may have been committed although its response was lost.
                let done = attempt.ambiguous && store::is_deleted(&mut *tx, id).await?;
                return if done { Ok(()) } else { Err(Error::NoSuchPhoto) };
            };
            if photo.author_id != viewer.id && !viewer.moderator {
                return Err(Error::NeitherAuthorNorModerator);
            }
            sweeping::delete_photo(tx, &photo, now).await?;
            state.outbox.publish(tx, &events::deleted(&photo, now)).await?;
            Ok(())
        })?;
        state.outbox.wake();
        state.wake.notify_one();
        Ok(id.into())
    }
}
