//! Delivers the events of the outbox.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use contracts::internal::EVENTS;
use futures::future::join_all;
use tokio::sync::Mutex;
use tokio::time::timeout;
use uuid::Uuid;

use super::Event;
use crate::database::Pool;
use crate::error;
use crate::internal::InternalClient;

/// The maximum number of deliveries to a subscriber in one run.
const MAX_DELIVERIES_PER_RUN: u32 = 100;
/// The maximum delay between two attempts.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(15);

/// How long one run waits for a subscriber. Its deliveries continue in the background.
const RUN_TIMEOUT: Duration = Duration::from_millis(200);

/// The delivery state of a subscriber.
pub(super) struct Receiver {
    name: String,
    client: InternalClient,
    /// Locked while deliveries are running.
    busy: Arc<Mutex<()>>,
}

impl Receiver {
    pub(super) fn new(name: String, client: InternalClient) -> Arc<Self> {
        let busy = Arc::default();
        Arc::new(Self { name, client, busy })
    }
}

/// Delivers due events to all subscribers concurrently. A hanging subscriber does not delay the next run for the
/// others.
pub(super) async fn deliver_due(pool: &Pool, receivers: &[Arc<Receiver>]) -> Result<(), sqlx::Error> {
    let deliveries = receivers.iter().filter_map(|receiver| {
        let busy = Arc::clone(&receiver.busy).try_lock_owned().ok()?;
        let (pool, receiver) = (pool.clone(), Arc::clone(receiver));
        Some(tokio::spawn(async move {
            let delivered = deliver_to(&pool, &receiver.name, &receiver.client).await;
            drop(busy);
            delivered
        }))
    });
    let Ok(finished) = timeout(RUN_TIMEOUT, join_all(deliveries)).await else {
        return Ok(());
    };
    // A panicked task was logged; its events are sent again.
    finished.into_iter().filter_map(Result::ok).collect()
}

async fn deliver_to(pool: &Pool, subscriber: &str, client: &InternalClient) -> Result<(), sqlx::Error> {
    for delivery in due(pool, subscriber).await? {
        let event = match delivery.event() {
            Ok(event) => event,
            Err(error) => {
                count_failure(subscriber);
                tracing::error!(subscriber, event = %delivery.id, kind = delivery.kind, %error, "an event in the outbox cannot be read; it is not sent before its row is repaired or removed");
                postpone(pool, subscriber, &delivery).await?;
                continue;
            }
        };
        match client.post(EVENTS, &event).await {
            Ok(()) => {
                acknowledge(pool, subscriber, event.id).await?;
                let took = (Utc::now() - event.occurred_at).to_std().unwrap_or_default();
                metrics::histogram!("proofsheet_event_delivery_seconds", "subscriber" => subscriber.to_owned())
                    .record(took);
            }
            Err(failure) => {
                count_failure(subscriber);
                tracing::warn!(subscriber, event = %event.id, kind = event.kind, attempts = delivery.attempts, error = error::chain(&failure), "an event was not delivered; it will be sent again");
                postpone(pool, subscriber, &delivery).await?;
                // A rejected event must not block the others. If the subscriber is unreachable, the remaining
                // deliveries would fail too.
                if matches!(failure, crate::internal::InternalError::Unreachable { .. }) {
                    break;
                }
            }
        }
    }
    Ok(())
}

fn count_failure(subscriber: &str) {
    metrics::counter!("proofsheet_event_delivery_failures_total", "subscriber" => subscriber.to_owned())
        .increment(1);
}

/// A due delivery.
struct Delivery {
    attempts: u32,
    id: Uuid,
    kind: String,
    data: String,
    occurred_at: DateTime<Utc>,
}

impl Delivery {
    /// Fails if the data is not valid JSON: the column's check accepts more than the parser, such as numbers that are
    /// too large.
    fn event(&self) -> Result<Event, serde_json::Error> {
        Ok(Event {
            id: self.id,
            kind: self.kind.clone(),
            occurred_at: self.occurred_at,
            data: serde_json::from_str(&self.data)?,
        })
    }
}

async fn due(pool: &Pool, subscriber: &str) -> Result<Vec<Delivery>, sqlx::Error> {
    sqlx::query_as!(
        Delivery,
        r#"SELECT d.attempts, o.id AS "id: Uuid", o.kind, o.data AS "data: String", o.occurred_at AS "occurred_at: DateTime<Utc>"
           FROM outbox_delivery d JOIN outbox o ON o.id = d.event_id
           WHERE d.subscriber = ? AND d.due_at <= UTC_TIMESTAMP(6)
           ORDER BY o.id LIMIT ?"#,
        subscriber,
        MAX_DELIVERIES_PER_RUN,
    )
    .fetch_all(pool)
    .await
}

/// Deletes the delivery, and the event after its last delivery. Idempotent, so that two relays may do it. Two
/// transactions that acknowledge the last two deliveries at the same time conflict, and one is retried.
async fn acknowledge(pool: &Pool, subscriber: &str, event: Uuid) -> Result<(), sqlx::Error> {
    crate::transaction!(pool, sqlx::Error, |tx, _| {
        sqlx::query!(
            "DELETE FROM outbox_delivery WHERE subscriber = ? AND event_id = ?",
            subscriber,
            event
        )
        .execute(&mut *tx)
        .await?;
        sqlx::query!(
            "DELETE FROM outbox WHERE id = ? AND NOT EXISTS (SELECT 1 FROM outbox_delivery WHERE event_id = ?)",
            event,
            event,
        )
        .execute(&mut *tx)
        .await?;
        Ok(())
    })
}

/// Delays the next attempt: half a second, one, two, four … up to [`MAX_RETRY_DELAY`].
async fn postpone(pool: &Pool, subscriber: &str, delivery: &Delivery) -> Result<(), sqlx::Error> {
    let wait = (Duration::from_millis(500) * 2_u32.pow(delivery.attempts.min(6))).min(MAX_RETRY_DELAY);
    let wait = i64::try_from(wait.as_micros()).unwrap_or(i64::MAX);
    sqlx::query!(
        "UPDATE outbox_delivery SET attempts = attempts + 1, due_at = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND
         WHERE subscriber = ? AND event_id = ?",
        wait,
        subscriber,
        delivery.id,
    )
    .execute(pool)
    .await
    .map(drop)
}
