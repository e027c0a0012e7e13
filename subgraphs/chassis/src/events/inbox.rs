//! The receiving side: `POST /events`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use chrono::{DateTime, Utc};
use contracts::accounts::{AccountDeleted, SessionsEnded};
use contracts::internal::EVENTS;
use sqlx::MySqlConnection;

use super::Event;
use crate::config::Secret;
use crate::database::Pool;
use crate::{Classify as _, Clock, UserId, deleted_accounts, ended_sessions, error, internal};

/// Handles the events that a service receives.
pub trait EventHandler: Send + Sync + 'static {
    /// The service's error type.
    type Error: crate::Classify + From<sqlx::Error>;

    /// Applies `event` in the transaction `tx`. A kind that means nothing here is `Ok` as well.
    fn apply(
        &self,
        _tx: &mut MySqlConnection,
        _event: &Event,
        _now: DateTime<Utc>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send {
        std::future::ready(Ok(()))
    }

    /// Called after the commit: wakes the jobs that have work now.
    fn applied(&self) {}
}

/// Applies `event` unless it was applied before. True when it was news. Ended sessions and deleted accounts mean the same
/// in every service, so they are recorded here; the former do not reach the handler.
pub async fn receive<H: EventHandler>(
    pool: &Pool,
    clock: &Clock,
    handler: &H,
    event: &Event,
) -> Result<bool, H::Error> {
    let now = clock.now();
    let ended = event
        .payload::<SessionsEnded>()
        .map_err(|malformed| sqlx::Error::Decode(Box::new(malformed)))?;
    let deleted = event
        .payload::<AccountDeleted>()
        .map_err(|malformed| sqlx::Error::Decode(Box::new(malformed)))?;
    let news = crate::transaction!(pool, H::Error, |tx, _| {
        let done = sqlx::query!(
            "INSERT IGNORE INTO inbox (event_id, received_at) VALUES (?, ?)",
            event.id,
            now
        )
        .execute(&mut *tx)
        .await?;
        let news = done.rows_affected() == 1;
        if news && let Some(deleted) = &deleted {
            deleted_accounts::record(&mut *tx, UserId(deleted.account_id), now).await?;
        }
        match &ended {
            Some(ended) if news => ended_sessions::record(tx, &ended.session_ids, now).await?,
            None if news => handler.apply(tx, event, now).await?,
            _ => {}
        }
        Ok(news)
    })?;
    handler.applied();
    Ok(news)
}

/// The route `POST /events`: 204 when the event is applied, now or before.
pub fn routes<H: EventHandler>(pool: Pool, clock: Clock, secret: Secret, handler: H) -> Router {
    let state = Arc::new(Inbox { pool, clock, handler });
    let routes = Router::new()
        .route(EVENTS, post(post_event::<H>))
        .with_state(state);
    internal::guarded(routes, secret)
}

struct Inbox<H> {
    pool: Pool,
    clock: Clock,
    handler: H,
}

async fn post_event<H: EventHandler>(
    State(inbox): State<Arc<Inbox<H>>>,
    Json(event): Json<Event>,
) -> StatusCode {
    match receive(&inbox.pool, &inbox.clock, &inbox.handler, &event).await {
        Ok(_) => StatusCode::NO_CONTENT,
        Err(error) => {
            tracing::warn!(event = %event.id, kind = event.kind, "an event could not be applied; its sender will repeat it");
            error::log(error.code(), &error);
            StatusCode::SERVICE_UNAVAILABLE
        }
    }
}

/// The most rows that one statement removes.
const BATCH: u64 = 1000;

/// Forgets the ids of events that are older than anything that is still repeated.
pub async fn forget_old(pool: &Pool, now: DateTime<Utc>) -> Result<(), sqlx::Error> {
    let before = now - chrono::TimeDelta::days(30);
    loop {
        let done = sqlx::query!("DELETE FROM inbox WHERE received_at < ? LIMIT 1000", before)
            .execute(pool)
            .await?;
        if done.rows_affected() < BATCH {
            return Ok(());
        }
    }
}
