//! Loads many profiles by one statement.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::dataloader::{DataLoader, Loader};
use chassis::database::Pool;
use chassis::{UserId, database, telemetry};

use crate::domain::Profile;
use crate::store;

/// Profiles by the person's id.
pub struct Profiles {
    pool: Pool,
}

/// A loader of profiles over `pool`.
pub fn profiles(pool: Pool) -> DataLoader<Profiles> {
    DataLoader::new(Profiles { pool }, telemetry::spawn).delay(Duration::ZERO)
}

impl Loader<UserId> for Profiles {
    type Value = Profile;
    type Error = Arc<sqlx::Error>;

    async fn load(&self, ids: &[UserId]) -> Result<HashMap<UserId, Profile>, Self::Error> {
        database::read(&self.pool, || store::profiles_by_ids(&self.pool, ids))
            .await
            .map_err(Arc::new)
    }
}
