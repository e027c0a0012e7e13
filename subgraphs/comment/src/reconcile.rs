//! Compares what this service knows with photo and authentication, and repairs what a lost event left behind.

use chassis::internal::InternalClient;
use chassis::{deleted_accounts, transaction};
use chrono::{DateTime, TimeDelta, Utc};
use contracts::photos::PublishedPhoto;
use serde::Serialize;
use sqlx::MySqlPool;
use uuid::Uuid;

use crate::domain::{KnownPhoto, PhotoId};
use crate::error::Error;
use crate::{events, store};

/// Rows younger than this are skipped: they may not have reached the other service yet.
const SETTLE_TIME: TimeDelta = TimeDelta::minutes(15);

/// How much was repaired.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Repaired {
    /// Photos that this service had not heard of.
    pub photos: u64,
    /// Deleted photos that were not known to be.
    pub deleted_photos: u64,
    /// Deleted accounts that were not known to be.
    pub departed: u64,
}

/// Compares everything once. `accounts` is our own authentication service, if it is that.
pub async fn run(
    pool: &MySqlPool,
    photos: &InternalClient,
    accounts: Option<&InternalClient>,
    now: DateTime<Utc>,
) -> Result<Repaired, Error> {
    let repaired = Repaired {
        photos: adopt(pool, photos).await?,
        deleted_photos: record_deleted(pool, photos, now).await?,
        departed: match accounts {
            Some(accounts) => {
                let authors = |after| store::authors_after(pool, after, now - SETTLE_TIME);
                deleted_accounts::reconcile(pool, accounts, now, authors).await?
            }
            None => 0,
        },
    };
    events::sweep(pool, now).await?;
    metrics::counter!("proofsheet_reconcile_repairs_total", "what" => "photos").increment(repaired.photos);
    metrics::counter!("proofsheet_reconcile_repairs_total", "what" => "deleted_photos")
        .increment(repaired.deleted_photos);
    metrics::counter!("proofsheet_reconcile_repairs_total", "what" => "departed")
        .increment(repaired.departed);
    Ok(repaired)
}

async fn adopt(pool: &MySqlPool, photo_service: &InternalClient) -> Result<u64, Error> {
    let mut adopted = 0;
    let mut after: Option<PhotoId> = None;
    loop {
        let page = photo_service
            .list::<PublishedPhoto, PhotoId>(after.as_ref())
            .await?;
        let photos: Vec<_> = page.items.into_iter().map(KnownPhoto::from).collect();
        let ids: Vec<_> = photos.iter().map(|photo| photo.photo_id).collect();
        let heard_of = store::heard_of_among(pool, &ids).await?;
        for photo in photos.iter().filter(|photo| !heard_of.contains(&photo.photo_id)) {
            adopted += u64::from(store::adopt(pool, photo).await?);
        }
        after = page.next;
        if after.is_none() {
            return Ok(adopted);
        }
    }
}

async fn record_deleted(pool: &MySqlPool, photos: &InternalClient, now: DateTime<Utc>) -> Result<u64, Error> {
    let mut recorded = 0;
    let mut after = PhotoId(Uuid::nil());
    loop {
        let ids = store::photos_after(pool, after, now - SETTLE_TIME).await?;
        let Some(last) = ids.last() else {
            return Ok(recorded);
        };
        after = *last;
        for gone in photos.gone::<PublishedPhoto, _>(&ids).await? {
            let news = transaction!(pool, Error, |tx, _| Ok(
                store::record_deleted(tx, gone, now).await?
            ))?;
            recorded += u64::from(news);
        }
    }
}
