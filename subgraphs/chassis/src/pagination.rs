//! Relay connections over keyset cursors.

use std::borrow::Cow;

use async_graphql::connection::{EmptyFields, PageInfo};
use async_graphql::{Object, ObjectType, OutputType, TypeName};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The most items that one page may have.
pub const MAX_PAGE: usize = 100;

/// A connection whose nodes may be missing, as the public schema has them. Made by [`Page::connection`].
///
/// async-graphql's own declares its `nodes` as never null, so that one missing node would take the list with it.
pub struct NodeConnection<N, Extra = EmptyFields> {
    edges: Vec<NodeEdge<N>>,
    has_previous_page: bool,
    has_next_page: bool,
    extra: Extra,
}

/// One item of a [`NodeConnection`].
pub struct NodeEdge<N> {
    cursor: String,
    node: Option<N>,
}

#[expect(
    clippy::unused_async,
    clippy::unused_async_trait_impl,
    reason = "async-graphql wants flattened fields to be async, too"
)]
#[Object(name_type, shareable)]
impl<N: OutputType, Extra: ObjectType> NodeConnection<N, Extra> {
    async fn edges(&self) -> &[NodeEdge<N>] {
        &self.edges
    }

    /// The nodes of the edges.
    async fn nodes(&self) -> Vec<Option<&N>> {
        self.edges.iter().map(|edge| edge.node.as_ref()).collect()
    }

    async fn page_info(&self) -> PageInfo {
        PageInfo {
            has_previous_page: self.has_previous_page,
            has_next_page: self.has_next_page,
            start_cursor: self.edges.first().map(|edge| edge.cursor.clone()),
            end_cursor: self.edges.last().map(|edge| edge.cursor.clone()),
        }
    }

    #[graphql(flatten)]
    async fn extra(&self) -> &Extra {
        &self.extra
    }
}

#[Object(name_type, shareable)]
impl<N: OutputType> NodeEdge<N> {
    /// Where the page after this item starts.
    async fn cursor(&self) -> &str {
        &self.cursor
    }

    /// The item; null where it is missing.
    async fn node(&self) -> Option<&N> {
        self.node.as_ref()
    }
}

impl<N: OutputType, Extra: ObjectType> TypeName for NodeConnection<N, Extra> {
    fn type_name() -> Cow<'static, str> {
        format!("{}Connection", N::type_name()).into()
    }
}

impl<N: OutputType> TypeName for NodeEdge<N> {
    fn type_name() -> Cow<'static, str> {
        format!("{}Edge", N::type_name()).into()
    }
}

/// A place in an ordered list: the values of the sort key of one item.
pub trait Cursor: Serialize + DeserializeOwned {
    /// Which list this is a place in. A cursor of another list is refused.
    const KIND: &'static str;

    /// What the client gets: opaque text.
    fn encode(&self) -> String {
        // A struct of numbers, ids and times always serialises.
        let json = serde_json::to_string(self).unwrap_or_default();
        URL_SAFE_NO_PAD.encode(format!("{}:{json}", Self::KIND))
    }

    /// Reads back what [`Cursor::encode`] wrote; `None` for anything else.
    fn decode(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let text_inside = std::str::from_utf8(&bytes).ok()?;
        let json = text_inside.strip_prefix(Self::KIND)?.strip_prefix(':')?;
        let cursor: Self = serde_json::from_str(json).ok()?;
        // There is one spelling of a cursor that we issued.
        (cursor.encode() == text).then_some(cursor)
    }
}

/// Why a page cannot be had.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// `first` is out of range.
    #[error("`first` must be between 1 and {MAX_PAGE}.")]
    First,
    /// `after` is not a cursor of this list.
    #[error("`after` is not a cursor of this list. Start again without it.")]
    After,
}

impl crate::Classify for PageError {
    fn code(&self) -> crate::Code {
        crate::Code::InvalidInput
    }

    fn field(&self) -> Option<&'static str> {
        Some(match self {
            Self::First => "first",
            Self::After => "after",
        })
    }
}

/// Which page is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<C> {
    /// How many items at the most, 1 to 100.
    pub limit: usize,
    /// The last item of the page before.
    pub after: Option<C>,
}

impl<C: Cursor> Page<C> {
    /// Reads the arguments `first` and `after`.
    pub fn parse(first: i32, after: Option<&str>) -> Result<Self, PageError> {
        let limit = usize::try_from(first)
            .ok()
            .filter(|limit| (1..=MAX_PAGE).contains(limit))
            .ok_or(PageError::First)?;
        let after = after
            .map(|text| C::decode(text).ok_or(PageError::After))
            .transpose()?;
        Ok(Self { limit, after })
    }

    /// How many rows to fetch: one more than shown, to know whether there is a next page.
    pub fn rows(&self) -> u32 {
        u32::try_from(self.limit).unwrap_or(u32::MAX) + 1
    }

    /// Builds the connection from up to [`Page::rows`] rows, each with its cursor and its node.
    pub fn connection<N, Extra>(
        &self,
        rows: impl IntoIterator<Item = (C, Option<N>)>,
        extra: Extra,
    ) -> NodeConnection<N, Extra>
    where
        N: OutputType,
        Extra: ObjectType,
    {
        let mut rows = rows.into_iter();
        let edges: Vec<_> = rows
            .by_ref()
            .take(self.limit)
            .map(|(cursor, node)| NodeEdge {
                cursor: cursor.encode(),
                node,
            })
            .collect();
        let has_next_page = rows.next().is_some();
        NodeConnection {
            edges,
            has_previous_page: self.after.is_some(),
            has_next_page,
            extra,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Cursor, Page, PageError};
    use serde::{Deserialize, Serialize};

    #[derive(Debug, PartialEq, Clone, Serialize, Deserialize)]
    struct Place(i64, u8);
    impl Cursor for Place {
        const KIND: &'static str = "place";
    }

    #[derive(Debug, PartialEq, Clone, Serialize, Deserialize)]
    struct Other(i64, u8);
    impl Cursor for Other {
        const KIND: &'static str = "other";
    }

    proptest::proptest! {
        #[test]
        fn a_cursor_reads_back(a: i64, b: u8) {
            proptest::prop_assert_eq!(Place::decode(&Place(a, b).encode()), Some(Place(a, b)));
        }

        #[test]
        fn no_text_makes_it_panic(text: String) {
            if let Some(place) = Place::decode(&text) {
                proptest::prop_assert_eq!(place.encode(), text);
            }
        }
    }

    #[test]
    fn another_lists_cursor_is_refused() {
        let after = Other(1, 2).encode();
        assert_eq!(Page::<Place>::parse(10, Some(&after)), Err(PageError::After));
    }

    #[test]
    fn first_is_one_to_a_hundred() {
        for first in [i32::MIN, -1, 0, 101, i32::MAX] {
            assert_eq!(
                Page::<Place>::parse(first, None),
                Err(PageError::First),
                "{first}"
            );
        }
        assert_eq!(Page::<Place>::parse(100, None).unwrap().limit, 100);
    }
}
