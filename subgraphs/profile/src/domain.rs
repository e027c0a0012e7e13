//! Usernames and profiles.

use chassis::UserId;
use chassis::text::{InvalidText, Rule};
use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::reserved::is_reserved;

/// How stand-in names begin.
const GUEST: &str = "guest-";
/// The digits of a stand-in name: Crockford's base 32, which has no letters that are taken for digits.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// So many digits of five bits hold an id of 128.
const GUEST_DIGITS: usize = 26;

/// How long a username that was given up is kept from others.
pub const QUARANTINE: TimeDelta = TimeDelta::days(90);
/// The most usernames that one person keeps from others in this way.
pub const MAX_RELEASED: i64 = 10;

const DISPLAY_NAME: Rule = Rule {
    field: "displayName",
    name: "a display name",
    min: 1,
    max: 60,
    lines: false,
};
const BIO: Rule = Rule {
    field: "bio",
    name: "a bio",
    min: 0,
    max: 500,
    lines: true,
};

/// A name as people have it: 3 to 30 of a-z 0-9 _ -, starting with a letter. Whether it may be claimed is another
/// question ([`Username::is_reserved`]): people keep names that were reserved after they had claimed them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, sqlx::Type)]
#[sqlx(transparent)]
pub struct Username(String);

/// Why a name cannot be claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UsernameError {
    /// It breaks the rule of how names look.
    #[error("A username has 3 to 30 of the letters a to z, digits, _ and -, and starts with a letter.")]
    Malformed,
    /// It is one of the site's own.
    #[error("This username is reserved.")]
    Reserved,
}

impl Username {
    /// Reads a name and folds its capitals.
    pub fn parse(raw: &str) -> Result<Self, UsernameError> {
        let name = raw.to_ascii_lowercase();
        let shaped = (3..=30).contains(&name.len())
            && name.starts_with(|c: char| c.is_ascii_lowercase())
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-');
        if !shaped {
            return Err(UsernameError::Malformed);
        }
        if name.starts_with(GUEST) {
            return Err(UsernameError::Reserved);
        }
        Ok(Self(name))
    }

    /// Whether it is one of the site's own names, or looks like one.
    pub fn is_reserved(&self) -> bool {
        is_reserved(&self.0)
    }

    /// The name in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The user that a name in an address refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Handle {
    /// The user who has claimed it.
    Claimed(Username),
    /// The person from whose id it was made.
    Guest(UserId),
}

impl Handle {
    /// Parses a name; `None` if it cannot be a username.
    pub fn parse(raw: &str) -> Option<Self> {
        let name = raw.to_ascii_lowercase();
        match name.strip_prefix(GUEST) {
            Some(digits) => decode(digits).map(Self::Guest),
            None => Username::parse(&name).ok().map(Self::Claimed),
        }
    }
}

/// How a person appears to others.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Profile {
    /// The account's id.
    pub id: UserId,
    /// The claimed name.
    pub username: Option<Username>,
    /// The chosen display name.
    pub display_name: Option<String>,
    /// The user's text about themself.
    pub bio: Option<String>,
    /// When the account was made, or first seen.
    pub joined_at: DateTime<Utc>,
}

impl Profile {
    /// The profile of a user without a row.
    pub fn stand_in(id: UserId) -> Self {
        Self {
            id,
            username: None,
            display_name: None,
            bio: None,
            joined_at: joined_at(id).unwrap_or_default(),
        }
    }

    /// The claimed name, else the stand-in. That is longer than a claimed name can be, and holds the whole id: a link
    /// to a user without a name needs no row.
    pub fn username(&self) -> String {
        match &self.username {
            Some(name) => name.0.clone(),
            None => format!("{GUEST}{}", encode(self.id)),
        }
    }

    /// The chosen display name, else the username; a guest's is shortened to what tells guests apart.
    pub fn display_name(&self) -> String {
        match (&self.display_name, &self.username) {
            (Some(chosen), _) => chosen.clone(),
            (None, Some(name)) => name.0.clone(),
            (None, None) => format!("Guest {}", &encode(self.id)[GUEST_DIGITS - 5..]),
        }
    }
}

/// When the account of this id was made, where the id tells.
pub fn joined_at(id: UserId) -> Option<DateTime<Utc>> {
    if id.0.get_version_num() != 7 {
        return None;
    }
    let (seconds, nanoseconds) = id.0.get_timestamp()?.to_unix();
    DateTime::from_timestamp(i64::try_from(seconds).ok()?, nanoseconds)
}

/// The changes of `updateProfile`: `None` leaves a value as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// The new display name.
    pub display_name: Option<String>,
    /// The new bio; `Some(None)` takes it away.
    pub bio: Option<Option<String>>,
}

/// Reads a display name.
pub fn parse_display_name(raw: &str) -> Result<String, InvalidText> {
    DISPLAY_NAME.parse(raw)
}

/// Reads a bio; an empty one is none.
pub fn parse_bio(raw: &str) -> Result<Option<String>, InvalidText> {
    Ok(Some(BIO.parse(raw)?).filter(|bio| !bio.is_empty()))
}

fn encode(id: UserId) -> String {
    let bits = id.0.as_u128();
    (0..GUEST_DIGITS)
        .rev()
        .map(|place| char::from(DIGITS[(bits >> (5 * place)) as usize & 31]))
        .collect()
}

fn decode(digits: &str) -> Option<UserId> {
    if digits.len() != GUEST_DIGITS {
        return None;
    }
    let mut bits: u128 = 0;
    for digit in digits.bytes() {
        let value = DIGITS.iter().position(|known| *known == digit)?;
        // The first digit has two bits more than an id: a name that uses them has no owner.
        bits = bits.checked_mul(32)? | value as u128;
    }
    Some(UserId(Uuid::from_u128(bits)))
}

#[cfg(test)]
mod tests {
    use super::{Handle, Profile, Username, UsernameError, parse_bio, parse_display_name};
    use chassis::UserId;
    use uuid::Uuid;

    #[test]
    fn names_are_folded_and_checked() {
        assert_eq!(
            Username::parse("Ada_Lovelace-1").unwrap().as_str(),
            "ada_lovelace-1"
        );
        let longest = "a".repeat(30);
        assert_eq!(Username::parse(&longest).unwrap().as_str(), longest);
        for bad in [
            "",
            "ab",
            "1ada",
            "-ada",
            "_ada",
            "a da",
            " ada",
            "ada ",
            "ädä",
            "a.b.c",
            "ada\n",
            "ada\0",
            "аda",
            &"a".repeat(31),
        ] {
            assert_eq!(Username::parse(bad), Err(UsernameError::Malformed), "{bad:?}");
        }
        assert_eq!(Username::parse("guest-x"), Err(UsernameError::Reserved));
        for taken in ["admin", "API", "media", "guest"] {
            assert!(Username::parse(taken).unwrap().is_reserved(), "{taken}");
        }
        assert!(!Username::parse("ada").unwrap().is_reserved());
    }

    #[test]
    fn a_display_name_can_be_seen() {
        for blank in [
            "\u{34F}",
            "\u{61C}",
            "\u{17B4}",
            "\u{180B}",
            "\u{1D173}",
            "\u{FFF9}",
            "\u{E0020}",
            "\u{E0100}",
            "\u{2800}",
            "\u{115F}\u{3164}",
            " \u{200D} ",
            "\u{2066}\u{2069}",
        ] {
            assert!(parse_display_name(blank).is_err(), "{blank:?}");
            assert!(
                parse_display_name(&format!("a{blank}")).is_ok() || blank.contains('\u{FFF9}'),
                "{blank:?}"
            );
            assert_eq!(parse_bio(blank).unwrap(), None, "{blank:?}");
        }
        assert_eq!(parse_display_name("Ame\u{301}lie").unwrap(), "Am\u{e9}lie");
    }

    #[test]
    fn a_stand_in_tells_when_the_account_was_made() {
        let id = UserId("019aab2f-1400-7abc-8def-0123456789ab".parse().unwrap());
        let guest = Profile::stand_in(id);
        assert_eq!(guest.username(), "guest-01kanjy500fay8vvr14d2pf2db");
        assert_eq!(guest.display_name(), "Guest pf2db");
        assert_eq!(guest.joined_at.to_rfc3339(), "2025-11-22T10:49:40.608+00:00");
        assert_eq!(
            Profile::stand_in(UserId(Uuid::from_u128(7)))
                .joined_at
                .timestamp(),
            0
        );
    }

    #[test]
    fn a_name_of_nobody_is_none() {
        for nobody in [
            "guest-",
            "guest-1",
            "guest-z0000000000000000000000000",
            "guest-0000000000000000000000000u",
            "no",
            "é",
        ] {
            assert_eq!(Handle::parse(nobody), None, "{nobody}");
        }
    }

    #[test]
    fn a_blank_bio_is_none() {
        assert_eq!(parse_bio(" \n ").unwrap(), None);
        assert_eq!(parse_bio("a\n\nb").unwrap().as_deref(), Some("a\n\nb"));
        assert!(parse_bio(&"é".repeat(501)).is_err());
        assert_eq!(parse_display_name(&"🎞".repeat(60)).unwrap().chars().count(), 60);
        assert!(parse_display_name(&"🎞".repeat(61)).is_err());
    }

    proptest::proptest! {
        #[test]
        fn every_guest_is_found_by_name(bits: u128) {
            let id = UserId(Uuid::from_u128(bits));
            let name = Profile::stand_in(id).username();
            proptest::prop_assert_eq!(Handle::parse(&name.to_uppercase()), Some(Handle::Guest(id)));
            proptest::prop_assert!(Username::parse(&name).is_err());
        }
    }
}
