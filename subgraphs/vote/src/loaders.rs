//! Loads many tallies, or many of a viewer's votes, by one statement.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::dataloader::{DataLoader, Loader};
use chassis::database::Pool;
use chassis::{UserId, database, telemetry};

use crate::domain::{Choice, PhotoId, Tally};
use crate::store::votes;

/// Exact tallies by the photo's id. A photo that is not known here has none; its votes are then 0.
pub struct Tallies {
    pool: Pool,
}

/// A loader of tallies over `pool`.
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

/// Votes by who cast them and on what.
pub struct Votes {
    pool: Pool,
}

/// A loader of votes over `pool`.
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
        // Requests of several people may meet in one batch; each of them is one statement.
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
