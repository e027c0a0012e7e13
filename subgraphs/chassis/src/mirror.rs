//! A copy of another service's collection.
//!
//! Events keep it up to date. Items whose events have not arrived are looked up on demand, and reconciliation repairs
//! lost events.

use std::collections::HashSet;
use std::fmt::Display;
use std::hash::Hash;

use chrono::{DateTime, TimeDelta, Utc};
use contracts::internal::Resource;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::internal::{InternalClient, InternalError, Lookup};

/// Younger rows may be missing in lists of the other service.
const SETTLE_TIME: TimeDelta = TimeDelta::minutes(15);

pub trait Mirror: Sync {
    type Item: Resource + Send;
    type Id: Copy + Eq + Hash + Display + From<Uuid> + Serialize + DeserializeOwned + Send + Sync;
    type Error: Send + From<sqlx::Error> + From<InternalError>;
    /// The state of an item after it was added. It may have been deleted meanwhile.
    type State: Send;

    /// Adds an item, unless it was deleted.
    fn adopt(&self, item: Self::Item) -> impl Future<Output = Result<Self::State, Self::Error>> + Send;

    /// Records the deletion of an item. Returns whether it is new.
    fn delete(&self, id: Self::Id) -> impl Future<Output = Result<bool, Self::Error>> + Send;

    /// Returns the id of an item.
    fn id(item: &Self::Item) -> Self::Id;

    /// Returns those of `ids` that exist in the copy or are recorded as deleted.
    fn known_among(
        &self,
        ids: &[Self::Id],
    ) -> impl Future<Output = Result<HashSet<Self::Id>, Self::Error>> + Send;

    /// Returns at most a thousand items after `after`, ordered by id, each with whether it was created before
    /// `settled_before`. Younger items may be left out.
    fn page_after(
        &self,
        after: Self::Id,
        settled_before: DateTime<Utc>,
    ) -> impl Future<Output = Result<Vec<(Self::Id, bool)>, Self::Error>> + Send;
}

/// Looks up a missing item, and stores the result.
pub async fn look_up<M: Mirror>(
    mirror: &M,
    service: &InternalClient,
    id: M::Id,
) -> Result<Lookup<M::State>, M::Error> {
    Ok(match service.look_up::<M::Item>(id).await? {
        Lookup::Present(item) => Lookup::Present(mirror.adopt(item).await?),
        Lookup::Unknown => Lookup::Unknown,
        Lookup::Deleted => {
            mirror.delete(id).await?;
            Lookup::Deleted
        }
    })
}

/// Adds missing items, and returns their number.
pub async fn adopt_missing<M: Mirror>(mirror: &M, service: &InternalClient) -> Result<u64, M::Error> {
    let mut adopted = 0;
    let mut after: Option<Uuid> = None;
    loop {
        let page = service.list::<M::Item, Uuid>(after.as_ref()).await?;
        let ids: Vec<_> = page.items.iter().map(M::id).collect();
        let known = mirror.known_among(&ids).await?;
        for (id, item) in ids.iter().zip(page.items) {
            if !known.contains(id) {
                mirror.adopt(item).await?;
                adopted += 1;
            }
        }
        after = page.next;
        if after.is_none() {
            return Ok(adopted);
        }
    }
}

/// Deletes the items that the other service has deleted, and returns their number.
pub async fn delete_gone<M: Mirror>(
    mirror: &M,
    service: &InternalClient,
    now: DateTime<Utc>,
) -> Result<u64, M::Error> {
    let mut deleted = 0;
    let mut after = M::Id::from(Uuid::nil());
    loop {
        let page = mirror.page_after(after, now - SETTLE_TIME).await?;
        let Some((last, _)) = page.last() else {
            return Ok(deleted);
        };
        after = *last;
        let settled: HashSet<_> = page
            .iter()
            .filter(|(_, settled)| *settled)
            .map(|(id, _)| *id)
            .collect();
        let ids: Vec<_> = page.into_iter().map(|(id, _)| id).collect();
        for id in service.gone::<M::Item, _>(&ids).await? {
            // Young items need an explicit "deleted".
            if settled.contains(&id) || service.look_up::<M::Item>(id).await?.is_deleted() {
                deleted += u64::from(mirror.delete(id).await?);
            }
        }
    }
}
