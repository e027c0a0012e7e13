//! Loads many profiles with one statement.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::dataloader::{DataLoader, Loader};
use chassis::database::Pool;
use chassis::{UserId, database, telemetry};

use crate::domain::Profile;
use crate::store;

/// Profiles by user id.
pub struct Profiles {
    pool: Pool,
}

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
