//! Comments, where they are listed, and what may be written.

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

/// Characters are Unicode scalar values.
const BODY: Rule = Rule {
    field: "body",
    name: "a comment",
    min: 1,
    max: MAX_COMMENT_LENGTH,
    lines: true,
};
/// Bytes; a UUID has 36.
const LONGEST_KEY: usize = 64;

/// The text of a comment: 1 to 2000 characters of plain text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body(String);

impl Body {
    /// Reads and trims a text.
    pub fn parse(raw: &str) -> Result<Self, InvalidText> {
        BODY.parse(raw).map(Self)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The client's idempotency key of one comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientKey(String);

/// The key is empty or too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("An idempotency key has 1 to {LONGEST_KEY} bytes.")]
pub struct InvalidKey;

impl ClientKey {
    /// Reads a key; its bytes count, and nothing of it is folded.
    pub fn parse(raw: &str) -> Result<Self, InvalidKey> {
        if raw.is_empty() || raw.len() > LONGEST_KEY {
            return Err(InvalidKey);
        }
        Ok(Self(raw.to_owned()))
    }

    /// The bytes that are compared.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// A comment, or the tombstone of one.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Comment {
    /// Of this comment.
    pub id: CommentId,
    /// The photo that it is about.
    pub photo_id: PhotoId,
    /// The top-level comment that it answers.
    pub reply_to: Option<CommentId>,
    /// The author; `None` once the comment is deleted.
    pub author_id: Option<UserId>,
    /// The text; empty once it is deleted.
    pub body: String,
    /// When it was written.
    pub created_at: DateTime<Utc>,
    /// When its text was last changed.
    pub edited_at: Option<DateTime<Utc>>,
    /// When it was deleted.
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
pub enum Kind {
    /// Of a photo.
    Photo,
    /// Of a comment.
    Comment,
    /// Of a user.
    User,
}

impl List {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::OfPhoto(_) => Kind::Photo,
            Self::OfComment(_) => Kind::Comment,
            Self::OfUser(_) => Kind::User,
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

/// A place in a list: they are all ordered by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place(pub CommentId);

impl Cursor for Place {
    const KIND: &'static str = "comment";
}

/// One page of one list. The key of its loader, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ListPage {
    /// The list.
    pub list: List,
    /// How many rows to fetch.
    pub rows: u32,
    /// The last comment of the page before.
    pub after: Option<CommentId>,
}

impl ListPage {
    /// The rows that `page` of `list` needs.
    pub fn new(list: List, page: &Page<Place>) -> Self {
        Self {
            list,
            rows: page.rows(),
            after: page.after.map(|Place(id)| id),
        }
    }
}

/// A photo, as this service knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownPhoto {
    pub photo_id: PhotoId,
    /// May delete the photo's comments.
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
    use super::{Body, ClientKey, CommentId, List, PhotoId, Place};
    use chassis::UserId;
    use chassis::config::Secret;
    use subgraph::pagination::{Cursor as _, CursorKey};
    use uuid::Uuid;

    #[test]
    fn a_body_keeps_its_lines_and_its_script() {
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
    fn a_key_is_any_short_text() {
        assert!(ClientKey::parse("0199a3c8-7a10-7cc3-98c4-dc0c0c07398f").is_ok());
        assert!(ClientKey::parse("").is_err());
        assert!(ClientKey::parse(&"x".repeat(65)).is_err());
    }

    proptest::proptest! {
        #[test]
        fn a_cursor_is_valid_in_its_own_list_only(bits: u128, other: u128) {
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
                let cursor = Place(CommentId(id)).encode(&key.list(issuer));
                for reader in lists {
                    let place = Place::decode(&cursor, &key.list(reader));
                    proptest::prop_assert_eq!(place.is_some(), issuer == reader);
                }
            }
        }

        #[test]
        fn a_body_that_was_parsed_parses_to_itself(text: String) {
            if let Ok(body) = Body::parse(&text) {
                proptest::prop_assert_eq!(Body::parse(body.as_str()), Ok(body));
            }
        }
    }
}
