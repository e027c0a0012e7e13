//! A service's own copy of another service's collection.
//!
//! Events keep it up to date. An item whose event has not arrived is looked up once, and a reconciler repairs the effects
//! of lost events.

use std::collections::HashSet;
use std::fmt::Display;
use std::hash::Hash;

use chrono::{DateTime, TimeDelta, Utc};
use contracts::internal::Resource;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::internal::{InternalClient, InternalError, Known};

/// Rows younger than this may not have reached the other service's answers yet.
const SETTLE_TIME: TimeDelta = TimeDelta::minutes(15);

/// The copy.
pub trait Mirror: Sync {
    type Item: Resource + Send;
    type Id: Copy + Eq + Hash + Display + From<Uuid> + Serialize + DeserializeOwned + Send + Sync;
    type Error: Send + From<sqlx::Error> + From<InternalError>;
    /// The state of an item after it was added; a deletion may have been faster.
    type State: Send;

    /// Adds an item, unless it was deleted.
    fn adopt(&self, item: Self::Item) -> impl Future<Output = Result<Self::State, Self::Error>> + Send;

    /// Notes that an item was deleted. True when it is news.
    fn delete(&self, id: Self::Id) -> impl Future<Output = Result<bool, Self::Error>> + Send;

    /// The id of an item.
    fn id(item: &Self::Item) -> Self::Id;

    /// Those of `ids` that are here, or known to be deleted.
    fn known_among(
        &self,
        ids: &[Self::Id],
    ) -> impl Future<Output = Result<HashSet<Self::Id>, Self::Error>> + Send;

    /// Items after `after` in the order of their ids, at most a thousand, each with whether it is from before
    /// `settled_before`. Younger ones may be left out.
    fn page_after(
        &self,
        after: Self::Id,
        settled_before: DateTime<Utc>,
    ) -> impl Future<Output = Result<Vec<(Self::Id, bool)>, Self::Error>> + Send;
}

/// Looks up an item that is not here, and notes the answer.
pub async fn look_up<M: Mirror>(
    mirror: &M,
    service: &InternalClient,
    id: M::Id,
) -> Result<Known<M::State>, M::Error> {
    Ok(match service.look_up::<M::Item>(id).await? {
        Known::Present(item) => Known::Present(mirror.adopt(item).await?),
        Known::Unknown => Known::Unknown,
        Known::Deleted => {
            mirror.delete(id).await?;
            Known::Deleted
        }
    })
}

/// Adds the items that are missing here. Returns how many.
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

/// Deletes the items that the other service does not have any more. Returns how many that was news of.
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
            // Of a young item only a plain "deleted" counts.
            if settled.contains(&id) || service.look_up::<M::Item>(id).await?.is_deleted() {
                deleted += u64::from(mirror.delete(id).await?);
            }
        }
    }
}
