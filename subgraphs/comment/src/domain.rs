//! Comments and lists of comments.

use std::fmt;

use chassis::UserId;
use chassis::text::{InvalidText, Rule};
use chrono::{DateTime, Utc};
use contracts::limits::MAX_COMMENT_LENGTH;
use contracts::photos::PublishedPhoto;
use serde::{Deserialize, Serialize};
use subgraph::pagination::{Cursor, Page};

chassis::id_newtype! {
    /// A comment.
    CommentId
}

chassis::id_newtype! {
    /// A photo, which the photo service owns.
    PhotoId
}

/// The length counts Unicode scalar values.
const BODY: Rule = Rule {
    field: "body",
    name: "a comment",
    min: 1,
    max: MAX_COMMENT_LENGTH,
    lines: true,
};
/// In bytes; a UUID has 36.
const MAX_KEY_BYTES: usize = 64;

/// The text of a comment: 1 to 2000 characters of plain text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body(String);

impl Body {
    /// Parses and trims a text.
    pub fn parse(raw: &str) -> Result<Self, InvalidText> {
        BODY.parse(raw).map(Self)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The idempotency key of a comment, from the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientKey(String);

/// The key is empty or too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("An idempotency key has 1 to {MAX_KEY_BYTES} bytes.")]
pub struct InvalidKey;

impl ClientKey {
    /// Parses a key. Keys are compared byte by byte.
    pub fn parse(raw: &str) -> Result<Self, InvalidKey> {
        if raw.is_empty() || raw.len() > MAX_KEY_BYTES {
            return Err(InvalidKey);
        }
        Ok(Self(raw.to_owned()))
    }

    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// A comment or a tombstone.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Comment {
    pub id: CommentId,
    pub photo_id: PhotoId,
    /// The top-level comment of a reply.
    pub reply_to: Option<CommentId>,
    /// The author; `None` for a tombstone.
    pub author_id: Option<UserId>,
    /// The text; empty for a tombstone.
    pub body: String,
    pub created_at: DateTime<Utc>,
    /// When the text was last changed.
    pub edited_at: Option<DateTime<Utc>>,
    pub deleted_at: Option<DateTime<Utc>>,
}

/// A list of comments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum List {
    /// The top-level comments of a photo, newest first.
    OfPhoto(PhotoId),
    /// The replies to a comment, oldest first.
    OfComment(CommentId),
    /// A user's comments and replies, newest first.
    OfUser(UserId),
}

/// The kinds of [`List`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListKind {
    Photo,
    Comment,
    User,
}

impl List {
    /// Returns the kind of the list.
    pub fn kind(&self) -> ListKind {
        match self {
            Self::OfPhoto(_) => ListKind::Photo,
            Self::OfComment(_) => ListKind::Comment,
            Self::OfUser(_) => ListKind::User,
        }
    }
}

/// The scope of its cursors.
impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OfPhoto(id) => write!(f, "photo {id}"),
            Self::OfComment(id) => write!(f, "comment {id}"),
            Self::OfUser(id) => write!(f, "user {id}"),
        }
    }
}

/// A position in a list. All lists are ordered by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommentCursor(pub CommentId);

impl Cursor for CommentCursor {
    const KIND: &'static str = "comment";
}

/// A page of a list, and the key of its loader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ListPage {
    pub list: List,
    /// The number of rows to fetch.
    pub rows: u32,
    /// The last comment of the previous page.
    pub after: Option<CommentId>,
}

impl ListPage {
    /// Returns the rows that `page` of `list` needs.
    pub fn new(list: List, page: &Page<CommentCursor>) -> Self {
        Self {
            list,
            rows: page.rows(),
            after: page.after.map(|CommentCursor(id)| id),
        }
    }
}

/// A photo in this service's copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownPhoto {
    pub photo_id: PhotoId,
    /// The author, who may delete comments on the photo.
    pub author_id: UserId,
    pub published_at: DateTime<Utc>,
}

impl From<PublishedPhoto> for KnownPhoto {
    fn from(photo: PublishedPhoto) -> Self {
        Self {
            photo_id: PhotoId(photo.photo_id),
            author_id: UserId(photo.author_id),
            published_at: photo.published_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Body, ClientKey, CommentCursor, CommentId, List, PhotoId};
    use chassis::UserId;
    use chassis::config::Secret;
    use subgraph::pagination::{Cursor as _, CursorKey};
    use uuid::Uuid;

    #[test]
    fn line_breaks_and_scripts_are_kept() {
        assert_eq!(Body::parse("\n a\r\n\r\nb \n").unwrap().as_str(), "a\n\nb");
        assert_eq!(Body::parse("مرحبا 👨‍👩‍👧‍👦").unwrap().as_str(), "مرحبا 👨‍👩‍👧‍👦");
        assert_eq!(Body::parse("a\tb").unwrap().as_str(), "a\tb");
        assert!(Body::parse(&"é".repeat(2000)).is_ok());
        assert!(Body::parse(&"e\u{301}".repeat(2000)).is_ok());
        for bad in ["", " \n ", "a\0", "\u{E0100}\u{2800}", &"é".repeat(2001)] {
            assert!(Body::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn keys_are_short_texts() {
        assert!(ClientKey::parse("0199a3c8-7a10-7cc3-98c4-dc0c0c07398f").is_ok());
        assert!(ClientKey::parse("").is_err());
        assert!(ClientKey::parse(&"x".repeat(65)).is_err());
    }

    proptest::proptest! {
        #[test]
        fn a_cursor_is_valid_for_one_list(bits: u128, other: u128) {
            proptest::prop_assume!(bits != other);
            let key = CursorKey::new(&Secret::new("secret"));
            let (id, other) = (Uuid::from_u128(bits), Uuid::from_u128(other));
            let lists = [
                List::OfPhoto(PhotoId(id)),
                List::OfPhoto(PhotoId(other)),
                List::OfComment(CommentId(id)),
                List::OfComment(CommentId(other)),
                List::OfUser(UserId(id)),
                List::OfUser(UserId(other)),
            ];
            for issuer in lists {
                let cursor = CommentCursor(CommentId(id)).encode(&key.list(issuer));
                for reader in lists {
                    let place = CommentCursor::decode(&cursor, &key.list(reader));
                    proptest::prop_assert_eq!(place.is_some(), issuer == reader);
                }
            }
        }

        #[test]
        fn parsing_is_idempotent(text: String) {
            if let Ok(body) = Body::parse(&text) {
                proptest::prop_assert_eq!(Body::parse(body.as_str()), Ok(body));
            }
        }
    }
}
