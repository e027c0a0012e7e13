//! What requests and jobs share.

use std::sync::Arc;

use chassis::Clock;
use chassis::config::Secret;
use chassis::events::Outbox;
use sqlx::MySqlPool;

use crate::config::Config;
use crate::cookies::Cookies;
use crate::guessing::Guessing;
use crate::hashing::Hasher;
use crate::keys::{KeyError, KeyRing};

/// The service's parts. Cheap to clone.
#[derive(Clone)]
pub struct State(Arc<Parts>);

/// What a [`State`] gives access to.
pub struct Parts {
    /// The schema of this service.
    pub pool: MySqlPool,
    /// Tells the time.
    pub clock: Clock,
    /// Signs and verifies access tokens.
    pub keys: KeyRing,
    /// Hashes passwords.
    pub hasher: Hasher,
    /// Counts wrong guesses.
    pub guessing: Guessing,
    /// Writes and reads cookies.
    pub cookies: Cookies,
    /// Tells the others of accounts.
    pub outbox: Outbox,
}

impl State {
    /// Reads the signing keys, makes the first one where there is none, and puts the parts together.
    pub async fn open(
        config: &Config,
        key_secret: &Secret,
        pool: MySqlPool,
        clock: Clock,
    ) -> Result<Self, KeyError> {
        let keys = KeyRing::open(pool.clone(), key_secret, config.tokens().clone(), clock.now()).await?;
        Ok(Self(Arc::new(Parts {
            guessing: Guessing::new(pool.clone(), clock.clone(), config.limits, key_secret),
            keys,
            hasher: Hasher::default(),
            cookies: Cookies::of(&config.public_url),
            outbox: Outbox::new(config.subscribers.clone()),
            pool,
            clock,
        })))
    }
}

impl std::ops::Deref for State {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}
