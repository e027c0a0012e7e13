//! Loads many profiles by one statement.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::dataloader::{DataLoader, Loader};
use chassis::{UserId, database, telemetry};
use sqlx::MySqlPool;

use crate::domain::Profile;
use crate::store;

/// Profiles by the person's id.
pub struct Profiles {
    pool: MySqlPool,
}

/// A loader of profiles over `pool`.
pub fn profiles(pool: MySqlPool) -> DataLoader<Profiles> {
    DataLoader::new(Profiles { pool }, telemetry::spawn).delay(Duration::ZERO)
}

impl Loader<UserId> for Profiles {
    type Value = Profile;
    type Error = Arc<sqlx::Error>;

    async fn load(&self, ids: &[UserId]) -> Result<HashMap<UserId, Profile>, Self::Error> {
        database::read(|| store::profiles_by_ids(&self.pool, ids))
            .await
            .map_err(Arc::new)
    }
}
