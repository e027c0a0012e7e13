//! The inbox: `POST /events`.

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
    type Error: crate::Classify + From<sqlx::Error>;

    /// Applies `event` in the transaction `tx`. Returns `Ok` for unknown kinds too.
    fn apply(
        &self,
        _tx: &mut MySqlConnection,
        _event: &Event,
        _now: DateTime<Utc>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send {
        std::future::ready(Ok(()))
    }

    /// Called after the commit, to wake background jobs.
    fn applied(&self) {}
}

/// Applies `event` unless it was applied before. Returns whether it was new. Ended sessions and deleted accounts are
/// recorded here for every service; handlers do not get `session.ended`.
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

/// The route `POST /events`. Status 204 means that the event is applied, now or before.
pub fn routes<H: EventHandler>(pool: Pool, clock: Clock, secret: Secret, handler: H) -> Router {
    let state = Arc::new(Inbox { pool, clock, handler });
    let routes = Router::new()
        .route(EVENTS, post(post_event::<H>))
        .with_state(state);
    internal::with_secret(routes, secret)
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
            tracing::warn!(event = %event.id, kind = event.kind, "an event could not be applied; the sender will retry");
            error::log(error.code(), &error);
            StatusCode::SERVICE_UNAVAILABLE
        }
    }
}

/// The maximum number of rows that a statement deletes.
const DELETE_BATCH_SIZE: u64 = 1000;

/// Deletes the ids of events that are too old to be delivered again.
pub async fn delete_old(pool: &Pool, now: DateTime<Utc>) -> Result<(), sqlx::Error> {
    let before = now - chrono::TimeDelta::days(30);
    loop {
        let done = sqlx::query!("DELETE FROM inbox WHERE received_at < ? LIMIT 1000", before)
            .execute(pool)
            .await?;
        if done.rows_affected() < DELETE_BATCH_SIZE {
            return Ok(());
        }
    }
}
