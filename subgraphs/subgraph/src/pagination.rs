//! Relay connections with keyset cursors.
//!
//! Cursors are signed: a cursor is only valid for the list and the arguments that it was issued for.

use std::borrow::Cow;
use std::fmt;

use async_graphql::connection::{EmptyFields, PageInfo};
use async_graphql::{Object, ObjectType, OutputType, TypeName};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chassis::config::Secret;
use chassis::{Classify, Code};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::Sha256;

/// The maximum number of items on a page.
pub const MAX_PAGE_SIZE: usize = 100;

/// A connection whose nodes may be null. Created by [`Page::connection`].
///
/// In async-graphql's connection `nodes` are non-null, so a missing node would turn the list into null.
pub struct NodeConnection<N, Extra = EmptyFields> {
    edges: Vec<NodeEdge<N>>,
    has_previous_page: bool,
    has_next_page: bool,
    extra: Extra,
}

/// An item of a [`NodeConnection`].
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
    /// The start of the page after this item.
    async fn cursor(&self) -> &str {
        &self.cursor
    }

    /// The item; null if it is missing.
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

/// Signs the cursors of a service. All replicas derive it from the shared secret.
#[derive(Clone)]
pub struct CursorKey([u8; 32]);

impl CursorKey {
    /// Derives the key from the shared secret.
    pub fn new(secret: &Secret) -> Self {
        Self(mac(secret.expose().as_bytes(), &[b"cursors"]))
    }

    /// Returns the key of a list. `scope` distinguishes lists with the same kind of cursor: the owner and the
    /// arguments.
    pub fn list(&self, scope: impl fmt::Display) -> ListKey {
        ListKey(mac(&self.0, &[scope.to_string().as_bytes()]))
    }
}

/// Signs the cursors of one list.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ListKey([u8; 32]);

impl fmt::Debug for ListKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ListKey(…)")
    }
}

fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    hasher(key, parts).finalize().into_bytes().into()
}

fn hasher(key: &[u8], parts: &[&[u8]]) -> Hmac<Sha256> {
    // HMAC accepts keys of any length.
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap_or_else(|_| Hmac::new(&[0; 64].into()));
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac
}

/// The length of a cursor's signature in bytes.
const SIGNATURE_LENGTH: usize = 16;

/// A position in an ordered list: the values of an item's sort key.
pub trait Cursor: Serialize + DeserializeOwned {
    /// The kind of list. A cursor of another kind is invalid.
    const KIND: &'static str;

    /// Encodes the cursor as opaque text: the signature and the values.
    fn encode(&self, list: &ListKey) -> String {
        // A struct of numbers, ids and times can always be serialised.
        let json = serde_json::to_vec(self).unwrap_or_default();
        let signature = mac(&list.0, &[Self::KIND.as_bytes(), &json]);
        URL_SAFE_NO_PAD.encode([&signature[..SIGNATURE_LENGTH], &json].concat())
    }

    /// Decodes a cursor; `None` if it is invalid or was encoded with another key.
    fn decode(text: &str, list: &ListKey) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (signature, json) = bytes.split_at_checked(SIGNATURE_LENGTH)?;
        hasher(&list.0, &[Self::KIND.as_bytes(), json])
            .verify_truncated_left(signature)
            .ok()?;
        serde_json::from_slice(json).ok()
    }
}

/// An invalid argument of a page.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// `first` is out of range.
    #[error("`first` must be between 1 and {MAX_PAGE_SIZE}.")]
    First,
    /// `after` is not a cursor of this list.
    #[error("`after` is not a cursor of this list. Start again without it.")]
    After,
}

impl Classify for PageError {
    fn code(&self) -> Code {
        Code::InvalidInput
    }

    fn field(&self) -> Option<&'static str> {
        Some(match self {
            Self::First => "first",
            Self::After => "after",
        })
    }
}

/// The requested page of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Page<C> {
    /// The maximum number of items, 1 to 100.
    pub limit: usize,
    /// The last item of the previous page.
    pub after: Option<C>,
    /// The key of the list's cursors.
    list: ListKey,
}

impl<C: Cursor> Page<C> {
    /// Parses the arguments `first` and `after` of a list.
    pub fn parse(first: i32, after: Option<&str>, list: ListKey) -> Result<Self, PageError> {
        let limit = usize::try_from(first)
            .ok()
            .filter(|limit| (1..=MAX_PAGE_SIZE).contains(limit))
            .ok_or(PageError::First)?;
        let after = after
            .map(|text| C::decode(text, &list).ok_or(PageError::After))
            .transpose()?;
        Ok(Self { limit, after, list })
    }

    /// Returns the number of rows to fetch: one more, to know whether there is a next page.
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
                cursor: cursor.encode(&self.list),
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
    use super::{Cursor, CursorKey, ListKey, Page, PageError};
    use chassis::config::Secret;
    use serde::{Deserialize, Serialize};

    #[derive(Debug, PartialEq, Clone, Serialize, Deserialize)]
    struct TestCursor(i64, u8);
    impl Cursor for TestCursor {
        const KIND: &'static str = "place";
    }

    #[derive(Debug, PartialEq, Clone, Serialize, Deserialize)]
    struct OtherCursor(i64, u8);
    impl Cursor for OtherCursor {
        const KIND: &'static str = "other";
    }

    fn list(secret: &str, scope: &str) -> ListKey {
        CursorKey::new(&Secret::new(secret)).list(scope)
    }

    proptest::proptest! {
        #[test]
        fn a_cursor_can_be_decoded(a: i64, b: u8) {
            let list = list("secret", "list");
            proptest::prop_assert_eq!(TestCursor::decode(&TestCursor(a, b).encode(&list), &list), Some(TestCursor(a, b)));
        }

        #[test]
        fn decoding_never_panics(text: String) {
            proptest::prop_assert_eq!(TestCursor::decode(&text, &list("secret", "list")), None);
        }

        #[test]
        fn a_changed_cursor_is_refused(a: i64, b: u8, at: proptest::sample::Index, letter in "[A-Za-z0-9_-]") {
            let list = list("secret", "list");
            let mut text = TestCursor(a, b).encode(&list);
            let at = at.index(text.len());
            let changed = text[at..=at] != letter;
            text.replace_range(at..=at, &letter);
            proptest::prop_assert_eq!(TestCursor::decode(&text, &list).is_none(), changed);
        }
    }

    #[test]
    fn a_cursor_is_valid_for_one_kind_one_list_and_one_site() {
        let own = list("secret", "list");
        let after = |list: &ListKey| TestCursor(1, 2).encode(list);
        assert!(Page::<TestCursor>::parse(10, Some(&after(&own)), own).is_ok());
        for foreign in [
            OtherCursor(1, 2).encode(&own),
            after(&list("secret", "other list")),
            after(&list("other secret", "list")),
        ] {
            assert_eq!(
                Page::<TestCursor>::parse(10, Some(&foreign), own),
                Err(PageError::After)
            );
        }
    }

    #[test]
    fn first_is_one_to_a_hundred() {
        let list = list("secret", "list");
        for first in [i32::MIN, -1, 0, 101, i32::MAX] {
            assert_eq!(
                Page::<TestCursor>::parse(first, None, list),
                Err(PageError::First),
                "{first}"
            );
        }
        assert_eq!(Page::<TestCursor>::parse(100, None, list).unwrap().limit, 100);
    }
}
