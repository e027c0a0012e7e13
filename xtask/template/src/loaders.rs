//! Loads many samples by one statement.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::dataloader::{DataLoader, Loader};
use chassis::database::Pool;
use chassis::{database, telemetry};

use crate::domain::{Sample, SampleId};
use crate::store;

/// Samples by id.
pub struct Samples {
    pool: Pool,
}

/// A loader of samples over `pool`.
pub fn samples(pool: Pool) -> DataLoader<Samples> {
    DataLoader::new(Samples { pool }, telemetry::spawn).delay(Duration::ZERO)
}

impl Loader<SampleId> for Samples {
    type Value = Sample;
    type Error = Arc<sqlx::Error>;

    async fn load(&self, ids: &[SampleId]) -> Result<HashMap<SampleId, Sample>, Self::Error> {
        database::read(&self.pool, || store::samples_by_ids(&self.pool, ids))
            .await
            .map_err(Arc::new)
    }
}
