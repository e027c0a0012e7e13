//! The internal API: `/events`, and collections that other services may list and look up. Behind
//! [`headers::SECRET`](crate::headers::SECRET).

use std::fmt::Display;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// `POST` an [`Event`](crate::events::Event): 204 once it is applied.
pub const EVENTS: &str = "/events";

/// The most items on one page of a listing, and ids in one question.
pub const MAX_PAGE_SIZE: u32 = 1000;

/// An item of a collection of the internal API.
pub trait Resource: Serialize + DeserializeOwned {
    /// `GET` with [`ListQuery`] answers a [`Listing`].
    const LIST: &'static str;
    /// `GET` answers one item; 404 if it never existed, 410 if it was deleted.
    const ONE: &'static str;
    /// `POST` some [`Ids`] answers those that do not exist (any more).
    const GONE: &'static str;

    /// [`Self::ONE`] for this id.
    fn path(id: impl Display) -> String {
        Self::ONE.replace("{id}", &id.to_string())
    }
}

/// The query of a listing.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct ListQuery {
    /// Answer items with larger ids.
    pub after: Option<Uuid>,
    /// At most so many; [`MAX_PAGE_SIZE`] by default.
    pub limit: Option<u32>,
}

/// One page of a listing, ordered by id.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Listing<T, I = Uuid> {
    /// The items.
    pub items: Vec<T>,
    /// The `after` of the next page; null on the last.
    pub next: Option<I>,
}

/// Ids of one collection.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ids<I = Uuid> {
    /// The ids.
    pub ids: Vec<I>,
}
