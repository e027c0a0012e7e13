//! State that requests and jobs share.

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

/// The service's parts. Cheap to clone.
#[derive(Clone)]
pub struct State(Arc<Parts>);

/// The parts of a [`State`].
pub struct Parts {
    /// The schema of this service.
    pub pool: Pool,
    /// Tells the time.
    pub clock: Clock,
    /// Signs and verifies access tokens.
    pub keys: KeyRing,
    /// Hashes passwords.
    pub hasher: Hasher,
    /// Counts wrong guesses.
    pub login_throttle: LoginThrottle,
    /// Writes and reads cookies.
    pub cookies: Cookies,
    /// Tells the others of accounts.
    pub outbox: Outbox,
}

impl State {
    /// Reads the signing keys, makes the first one where there is none, and puts the parts together.
    pub async fn open(
        config: &Config,
        tokens: &TokenConfig,
        key_secret: &Secret,
        pool: Pool,
        clock: Clock,
    ) -> Result<Self, KeyError> {
        let keys = KeyRing::open(pool.clone(), key_secret, tokens.clone(), clock.now()).await?;
        Ok(Self(Arc::new(Parts {
            login_throttle: LoginThrottle::new(pool.clone(), clock.clone(), config.limits, key_secret),
            keys,
            hasher: Hasher::default(),
            cookies: Cookies::of(&config.public_url),
            outbox: Outbox::new(config.subscribers.clone()),
            pool,
            clock,
        })))
    }

    /// The same, once the database is there: it may start at the same moment and take longer.
    pub async fn open_when_there(
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
        anyhow::bail!("the database did not answer for a minute")
    }
}

impl std::ops::Deref for State {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}
