//! The outbox: stores events until every subscriber has acknowledged them.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::MySqlConnection;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::Event;
use super::relay::{self, Receiver};
use crate::config::Secret;
use crate::database::Pool;
use crate::internal::InternalClient;
use crate::worker::Job;

/// A subscriber to this service's events: `name=http://host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscriber {
    /// The key of its deliveries in the database. Must not change with the address.
    pub name: String,
    /// The base URL on the internal network.
    pub url: Url,
}

impl FromStr for Subscriber {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, url) = text.split_once('=').ok_or("expected name=http://host:port")?;
        let url = url.parse().map_err(|error| format!("{url}: {error}"))?;
        Ok(Self {
            name: name.to_owned(),
            url,
        })
    }
}

/// The subscribers of this service's events. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Outbox {
    subscribers: Arc<[Subscriber]>,
    wake: Arc<Notify>,
}

impl Outbox {
    pub fn new(subscribers: Vec<Subscriber>) -> Self {
        Self {
            subscribers: subscribers.into(),
            wake: Arc::default(),
        }
    }

    /// Writes `event` in the transaction of the change. Call [`Outbox::wake`] after the commit.
    pub async fn publish(&self, connection: &mut MySqlConnection, event: &Event) -> Result<(), sqlx::Error> {
        if self.subscribers.is_empty() {
            return Ok(());
        }
        let data = event.data.to_string();
        sqlx::query!(
            "INSERT INTO outbox (id, kind, data, occurred_at) VALUES (?, ?, ?, ?)",
            event.id,
            event.kind,
            data,
            event.occurred_at,
        )
        .execute(&mut *connection)
        .await?;
        for subscriber in &*self.subscribers {
            sqlx::query!(
                "INSERT INTO outbox_delivery (subscriber, event_id, due_at) VALUES (?, ?, ?)",
                subscriber.name,
                event.id,
                event.occurred_at,
            )
            .execute(&mut *connection)
            .await?;
        }
        Ok(())
    }

    /// Wakes the relay.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Starts the relay. The holder of its lease delivers due events every 250 ms, and when woken.
    pub fn spawn_relay(
        &self,
        pool: Pool,
        http: &reqwest::Client,
        secret: &Secret,
        stop: CancellationToken,
    ) -> JoinHandle<()> {
        let receivers: Arc<[Arc<Receiver>]> = self
            .subscribers
            .iter()
            .map(|to| {
                let client = InternalClient::new(http.clone(), to.url.clone(), secret.clone());
                Receiver::new(to.name.clone(), client)
            })
            .collect();
        let job = Job {
            name: "relay",
            every: Duration::from_millis(250),
            wake: Arc::clone(&self.wake),
        };
        let database = pool.clone();
        job.spawn(pool, stop, move |_| {
            let (database, receivers) = (database.clone(), Arc::clone(&receivers));
            async move { relay::deliver_due(&database, &receivers).await }
        })
    }
}
