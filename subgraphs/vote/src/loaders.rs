//! Loads many tallies, or many votes of a viewer, with one statement.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::dataloader::{DataLoader, Loader};
use chassis::database::Pool;
use chassis::{UserId, database, telemetry};

use crate::domain::{Choice, PhotoId, Tally};
use crate::store::votes;

/// Exact tallies by photo id. Photos that are unknown here have none.
pub struct Tallies {
    pool: Pool,
}

pub fn tallies(pool: Pool) -> DataLoader<Tallies> {
    DataLoader::new(Tallies { pool }, telemetry::spawn).delay(Duration::ZERO)
}

impl Loader<PhotoId> for Tallies {
    type Value = Tally;
    type Error = Arc<sqlx::Error>;

    async fn load(&self, photos: &[PhotoId]) -> Result<HashMap<PhotoId, Tally>, Self::Error> {
        let found = database::read(&self.pool, || votes::tallies(&self.pool, photos))
            .await
            .map_err(Arc::new)?;
        Ok(found
            .into_iter()
            .map(|(photo, (tally, _))| (photo, tally))
            .collect())
    }
}

/// Votes by user and photo.
pub struct Votes {
    pool: Pool,
}

pub fn votes(pool: Pool) -> DataLoader<Votes> {
    DataLoader::new(Votes { pool }, telemetry::spawn).delay(Duration::ZERO)
}

impl Loader<(UserId, PhotoId)> for Votes {
    type Value = Choice;
    type Error = Arc<sqlx::Error>;

    async fn load(
        &self,
        keys: &[(UserId, PhotoId)],
    ) -> Result<HashMap<(UserId, PhotoId), Choice>, Self::Error> {
        // A batch may have requests of several users; each needs a statement.
        let mut by_user: HashMap<UserId, Vec<PhotoId>> = HashMap::new();
        for (user, photo) in keys {
            by_user.entry(*user).or_default().push(*photo);
        }
        let mut found = HashMap::with_capacity(keys.len());
        for (user, photos) in by_user {
            let votes = database::read(&self.pool, || votes::votes_of(&self.pool, user, &photos))
                .await
                .map_err(Arc::new)?;
            found.extend(votes.into_iter().map(|(photo, choice)| ((user, photo), choice)));
        }
        Ok(found)
    }
}
