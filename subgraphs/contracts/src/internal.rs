//! The internal API: `/events`, and collections that other services list and look up. Requires
//! [`headers::SECRET`](crate::headers::SECRET).

use std::fmt::Display;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// `POST` an [`Event`](crate::events::Event). Returns 204 when it is applied.
pub const EVENTS: &str = "/events";

/// The maximum number of items on a page, and of ids in a request.
pub const MAX_LISTED_ITEMS: u32 = 1000;

/// An item of a collection of the internal API.
pub trait Resource: Serialize + DeserializeOwned {
    /// `GET` with [`ListQuery`] returns a [`Listing`].
    const LIST: &'static str;
    /// `GET` returns one item; 404 if it never existed, 410 if it was deleted.
    const ONE: &'static str;
    /// `POST` [`Ids`] returns those that do not exist.
    const GONE: &'static str;

    /// Returns [`Self::ONE`] for this id.
    fn path(id: impl Display) -> String {
        Self::ONE.replace("{id}", &id.to_string())
    }
}

/// The query of a list.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct ListQuery {
    /// Returns items with larger ids.
    pub after: Option<Uuid>,
    /// The maximum number of items; [`MAX_LISTED_ITEMS`] by default.
    pub limit: Option<u32>,
}

/// A page of a list, ordered by id.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Listing<T, I = Uuid> {
    pub items: Vec<T>,
    /// The `after` of the next page; null on the last page.
    pub next: Option<I>,
}

/// Ids of one collection.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ids<I = Uuid> {
    pub ids: Vec<I>,
}
