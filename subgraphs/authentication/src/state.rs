//! The state shared by requests and jobs.

use std::sync::Arc;
use std::time::Duration;

use chassis::config::{Secret, TokenConfig};
use chassis::database::Pool;
use chassis::events::Outbox;
use chassis::{Classify as _, Clock, Code};
use subgraph::program::Context;

use crate::config::Config;
use crate::cookies::Cookies;
use crate::error::KeyError;
use crate::hashing::Hasher;
use crate::keys::KeyRing;
use crate::login_throttle::LoginThrottle;

/// The resources of requests and jobs. Cheap to clone.
#[derive(Clone)]
pub struct State(Arc<Fields>);

/// The fields of a [`State`].
pub struct Fields {
    pub pool: Pool,
    pub clock: Clock,
    /// Signs and verifies access tokens.
    pub keys: KeyRing,
    pub hasher: Hasher,
    /// Limits wrong passwords.
    pub login_throttle: LoginThrottle,
    pub cookies: Cookies,
    /// Publishes events about accounts.
    pub outbox: Outbox,
}

impl State {
    /// Loads the signing keys, creates the first one if there is none, and builds the state.
    pub async fn open(
        config: &Config,
        tokens: &TokenConfig,
        key_secret: &Secret,
        pool: Pool,
        clock: Clock,
    ) -> Result<Self, KeyError> {
        let keys = KeyRing::open(pool.clone(), key_secret, tokens.clone(), clock.now()).await?;
        Ok(Self(Arc::new(Fields {
            login_throttle: LoginThrottle::new(pool.clone(), clock.clone(), config.limits, key_secret),
            keys,
            hasher: Hasher::default(),
            cookies: Cookies::of(&config.public_url),
            outbox: Outbox::new(config.subscribers.clone()),
            pool,
            clock,
        })))
    }

    /// Retries [`State::open`] for a minute, because the database may be starting at the same time.
    pub async fn open_with_retries(
        config: &Config,
        context: &Context,
        tokens: &TokenConfig,
    ) -> anyhow::Result<Self> {
        let key_secret = config.key.secret()?;
        for _ in 0..60 {
            let (pool, clock) = (context.pool.clone(), context.clock.clone());
            match Self::open(config, tokens, &key_secret, pool, clock).await {
                Err(error) if error.code() == Code::Unavailable => {
                    tracing::warn!(error = chassis::error::chain(&error), "waiting for the database");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                opened => return Ok(opened?),
            }
        }
        anyhow::bail!("the database did not respond within a minute")
    }
}

impl std::ops::Deref for State {
    type Target = Fields;

    fn deref(&self) -> &Fields {
        &self.0
    }
}
