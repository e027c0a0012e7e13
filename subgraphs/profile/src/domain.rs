//! Usernames and profiles.

use chassis::UserId;
use chassis::text::{InvalidText, Rule};
use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::reserved::is_reserved;

/// The prefix of default usernames.
const GUEST_PREFIX: &str = "guest-";
/// The digits of default usernames: Crockford's base 32, without letters that look like digits.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// The number of 5-bit digits for an id of 128 bits.
const GUEST_DIGITS: usize = 26;

/// How long a released username is reserved for its previous owner.
pub const QUARANTINE: TimeDelta = TimeDelta::days(90);
/// The maximum number of released usernames that are reserved for a user.
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

/// A username: 3 to 30 of a-z 0-9 _ -, starting with a letter. Reserved names ([`Username::is_reserved`]) are valid,
/// because users keep names that were reserved after they had claimed them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, sqlx::Type)]
#[sqlx(transparent)]
pub struct Username(String);

/// Why a username cannot be claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UsernameError {
    /// The name is not of the required form.
    #[error("A username has 3 to 30 of the letters a to z, digits, _ and -, and starts with a letter.")]
    Malformed,
    /// The name is reserved for the site.
    #[error("This username is reserved.")]
    Reserved,
}

impl Username {
    /// Parses a username, and converts it to lower case.
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
        if name.starts_with(GUEST_PREFIX) {
            return Err(UsernameError::Reserved);
        }
        Ok(Self(name))
    }

    /// Whether the name is reserved for the site, or looks like a reserved name.
    pub fn is_reserved(&self) -> bool {
        is_reserved(&self.0)
    }

    /// Returns the name in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The user that a name in a URL refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Handle {
    /// A claimed username.
    Claimed(Username),
    /// The default username of this user.
    Guest(UserId),
}

impl Handle {
    /// Parses a name; `None` if it cannot be a username.
    pub fn parse(raw: &str) -> Option<Self> {
        let name = raw.to_ascii_lowercase();
        match name.strip_prefix(GUEST_PREFIX) {
            Some(digits) => decode(digits).map(Self::Guest),
            None => Username::parse(&name).ok().map(Self::Claimed),
        }
    }
}

/// A user's public profile.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Profile {
    pub id: UserId,
    /// The claimed username.
    pub username: Option<Username>,
    /// The chosen display name.
    pub display_name: Option<String>,
    pub bio: Option<String>,
    /// When the account was created, or first seen.
    pub joined_at: DateTime<Utc>,
}

impl Profile {
    /// Returns the profile of a user without a row.
    pub fn default_for(id: UserId) -> Self {
        Self {
            id,
            username: None,
            display_name: None,
            bio: None,
            joined_at: joined_at(id).unwrap_or_default(),
        }
    }

    /// Returns the claimed or the default username. The default name contains the whole id, so that links work without
    /// a row, and is longer than any claimed name.
    pub fn username(&self) -> String {
        match &self.username {
            Some(name) => name.0.clone(),
            None => format!("{GUEST_PREFIX}{}", encode(self.id)),
        }
    }

    /// Returns the chosen display name, or else the username. That of a guest is shortened to the random digits.
    pub fn display_name(&self) -> String {
        match (&self.display_name, &self.username) {
            (Some(chosen), _) => chosen.clone(),
            (None, Some(name)) => name.0.clone(),
            (None, None) => format!("Guest {}", &encode(self.id)[GUEST_DIGITS - 5..]),
        }
    }
}

/// Returns when the account was created, if the id is a `UUIDv7`.
pub fn joined_at(id: UserId) -> Option<DateTime<Utc>> {
    if id.0.get_version_num() != 7 {
        return None;
    }
    let (seconds, nanoseconds) = id.0.get_timestamp()?.to_unix();
    DateTime::from_timestamp(i64::try_from(seconds).ok()?, nanoseconds)
}

/// The changes of `updateProfile`: `None` keeps a value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    pub display_name: Option<String>,
    /// The new bio; `Some(None)` removes it.
    pub bio: Option<Option<String>>,
}

pub fn parse_display_name(raw: &str) -> Result<String, InvalidText> {
    DISPLAY_NAME.parse(raw)
}

/// Parses a bio; `None` if it is empty.
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
        // The first digit has two more bits than an id. Names that use them are invalid.
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
    fn a_display_name_is_visible() {
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
    fn a_default_profile_has_the_creation_time() {
        let id = UserId("019aab2f-1400-7abc-8def-0123456789ab".parse().unwrap());
        let guest = Profile::default_for(id);
        assert_eq!(guest.username(), "guest-01kanjy500fay8vvr14d2pf2db");
        assert_eq!(guest.display_name(), "Guest pf2db");
        assert_eq!(guest.joined_at.to_rfc3339(), "2025-11-22T10:49:40.608+00:00");
        assert_eq!(
            Profile::default_for(UserId(Uuid::from_u128(7)))
                .joined_at
                .timestamp(),
            0
        );
    }

    #[test]
    fn invalid_guest_names_are_none() {
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
        fn guest_names_contain_the_id(bits: u128) {
            let id = UserId(Uuid::from_u128(bits));
            let name = Profile::default_for(id).username();
            proptest::prop_assert_eq!(Handle::parse(&name.to_uppercase()), Some(Handle::Guest(id)));
            proptest::prop_assert!(Username::parse(&name).is_err());
        }
    }
}
