//! Compares what is here with the photo and the authentication service, and repairs what an event that was lost
//! left behind.

use std::collections::HashMap;

use chassis::internal::{InternalClient, Known};
use chassis::{Clock, deleted_accounts, transaction};
use chrono::{DateTime, TimeDelta, Utc};
use contracts::photos::PublishedPhoto;
use serde::Serialize;
use sqlx::MySqlPool;
use uuid::Uuid;

use crate::domain::{self, PhotoId};
use crate::error::Error;
use crate::store::photos::{self, Removal};
use crate::store::votes;
use crate::{events, recount};

/// Rows younger than this are skipped: they may not have reached the other service yet.
const SETTLE_TIME: TimeDelta = TimeDelta::minutes(15);

/// How much was repaired.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Repaired {
    /// Photos that had not been heard of.
    pub published: u64,
    /// Photos that are gone.
    pub deleted: u64,
    /// Accounts that are gone.
    pub departed: u64,
    /// Tallies that were not the sum of their votes.
    pub tallies: u64,
}

/// The services to compare with.
#[derive(Clone)]
pub struct Others {
    /// The photo service.
    pub photos: InternalClient,
    /// Our own authentication service; none where another issuer signs the tokens.
    pub accounts: Option<InternalClient>,
}

/// Compares everything once.
pub async fn run(pool: &MySqlPool, clock: &Clock, others: &Others) -> Result<Repaired, Error> {
    let mut repaired = Repaired {
        published: adopt_missing(pool, clock, &others.photos).await?,
        deleted: remove_gone(pool, clock, &others.photos).await?,
        ..Repaired::default()
    };
    if let Some(accounts) = &others.accounts {
        let voters = |after| votes::voters_after(pool, after);
        repaired.departed = deleted_accounts::reconcile(pool, accounts, clock.now(), voters).await?;
    }
    events::sweep(pool, clock.now()).await?;
    repaired.tallies = recount::run(pool, clock).await?.differed;
    for (what, how_many) in [
        ("published", repaired.published),
        ("deleted", repaired.deleted),
        ("departed", repaired.departed),
        ("tallies", repaired.tallies),
    ] {
        metrics::counter!("proofsheet_reconcile_repairs_total", "what" => what).increment(how_many);
    }
    Ok(repaired)
}

async fn adopt_missing(pool: &MySqlPool, clock: &Clock, others: &InternalClient) -> Result<u64, Error> {
    let mut adopted = 0;
    let mut after: Option<PhotoId> = None;
    loop {
        let page = others.list::<PublishedPhoto, PhotoId>(after.as_ref()).await?;
        let ids: Vec<PhotoId> = page.items.iter().map(|photo| PhotoId(photo.photo_id)).collect();
        let settled = photos::settled(pool, &ids).await?;
        for photo in page
            .items
            .into_iter()
            .map(domain::PublishedPhoto::from)
            .filter(|photo| !settled.contains(&photo.photo_id))
        {
            let delta = chassis::id::new_uuid(clock.now());
            transaction!(pool, Error, |tx, _| Ok(photos::adopt(tx, &photo, delta).await?))?;
            adopted += 1;
        }
        after = page.next;
        if after.is_none() {
            return Ok(adopted);
        }
    }
}

async fn remove_gone(pool: &MySqlPool, clock: &Clock, others: &InternalClient) -> Result<u64, Error> {
    let mut removed = 0;
    let mut after = PhotoId(Uuid::nil());
    loop {
        let listed: HashMap<PhotoId, DateTime<Utc>> =
            photos::listed_after(pool, after).await?.into_iter().collect();
        let Some(last) = listed.keys().max() else {
            return Ok(removed);
        };
        after = *last;
        let ids: Vec<PhotoId> = listed.keys().copied().collect();
        for photo in others.gone::<PublishedPhoto, _>(&ids).await? {
            let now = clock.now();
            let young = listed
                .get(&photo)
                .is_none_or(|published_at| *published_at > now - SETTLE_TIME);
            // Of a young photo only a plain "deleted" counts.
            if young && !deleted_for_sure(others, photo).await? {
                continue;
            }
            let removal = Removal {
                photo,
                author: None,
                now,
                delta: chassis::id::new_uuid(now),
            };
            transaction!(pool, Error, |tx, _| Ok(photos::remove(tx, &removal).await?))?;
            removed += 1;
        }
    }
}

async fn deleted_for_sure(others: &InternalClient, photo: PhotoId) -> Result<bool, Error> {
    let known = others.look_up::<PublishedPhoto>(photo).await?;
    Ok(known == Known::Deleted)
}
