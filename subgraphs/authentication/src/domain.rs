//! Accounts, sessions, e-mail addresses and passwords.

use std::fmt;

use chassis::UserId;
use chassis::text::{is_ignorable, nfc};
use chrono::{DateTime, TimeDelta, Utc};
use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};
use uuid::Uuid;

use crate::common_passwords;
use crate::error::Error;

/// How long a refresh token and an unused session are valid.
pub const REFRESH_TOKEN_LIFETIME: TimeDelta = TimeDelta::days(30);
/// The maximum number of sessions of an account. A new one ends the least recently used one.
pub const MAX_SESSIONS: i64 = 100;

chassis::id_newtype! {
    /// A login session.
    SessionId
}

/// An account.
#[derive(Debug, Clone)]
pub struct Account {
    /// The `sub` of the account's tokens.
    pub id: UserId,
    /// As typed.
    pub email: String,
    /// May delete photos and comments of other users.
    pub moderator: bool,
    pub created_at: DateTime<Utc>,
}

/// A login session of a device.
#[derive(Debug, Clone)]
pub struct LoginSession {
    /// The `sid` of its tokens.
    pub id: SessionId,
    /// The `User-Agent` of the device.
    pub user_agent: Option<String>,
    pub created_at: DateTime<Utc>,
    /// When its tokens were last renewed.
    pub last_used_at: DateTime<Utc>,
}

/// The maximum length of an e-mail address in octets (RFC 5321, 4.5.3.1.3).
const MAX_EMAIL_OCTETS: usize = 254;
/// The maximum length of the local part in octets (RFC 5321, 4.5.3.1.1).
const MAX_LOCAL_PART_OCTETS: usize = 64;

/// A valid e-mail address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Email {
    typed: String,
    folded: String,
    folded_before: String,
}

impl Email {
    /// Parses the input field `email` of a new account. Any script is allowed (RFC 6531); quoted local parts are not.
    pub fn parse(raw: &str) -> Result<Self, Error> {
        let email = Self::parse_known(raw)?;
        let (local, domain) = split(&email.typed).ok_or(NOT_AN_ADDRESS)?;
        let domain = dns_name(domain).ok_or(NOT_AN_ADDRESS)?;
        if local.chars().any(is_ignorable) {
            return Err(NOT_AN_ADDRESS);
        }
        if ends_in_a_number(&domain) {
            return Err(NUMERIC_DOMAIN);
        }
        if email.folded.len() > MAX_EMAIL_OCTETS {
            return Err(TOO_LONG);
        }
        Ok(email)
    }

    /// Parses the address of an account that may be older than the rules for new ones.
    pub fn parse_known(raw: &str) -> Result<Self, Error> {
        let typed = raw.trim();
        if typed.is_empty() {
            return Err(invalid_email("Please enter an e-mail address."));
        }
        if typed.len() > MAX_EMAIL_OCTETS {
            return Err(TOO_LONG);
        }
        if !looks_like_an_address(typed) {
            return Err(NOT_AN_ADDRESS);
        }
        Ok(Self {
            typed: typed.to_owned(),
            folded: fold(typed),
            folded_before: typed.to_lowercase(),
        })
    }

    /// Returns the address as typed.
    pub fn as_str(&self) -> &str {
        &self.typed
    }

    /// Returns the canonical form for comparisons: the local part in lower case and composed (NFC), the domain as in
    /// DNS (IDNA).
    pub fn folded(&self) -> &str {
        &self.folded
    }

    /// Returns the canonical form of earlier releases: lower case.
    pub fn folded_before(&self) -> &str {
        &self.folded_before
    }
}

const NOT_AN_ADDRESS: Error = invalid_email("This is not an e-mail address.");
const NUMERIC_DOMAIN: Error = invalid_email(
    "The part after the @ must be a name, like example.org, and not an IP address or a number.",
);
const TOO_LONG: Error = invalid_email("An e-mail address has at most 254 characters.");

const fn invalid_email(message: &'static str) -> Error {
    Error::Invalid {
        field: "email",
        message,
    }
}

fn split(address: &str) -> Option<(&str, &str)> {
    address.split_once('@')
}

fn fold(address: &str) -> String {
    let (local, domain) = split(address).unwrap_or((address, ""));
    let local = nfc(&nfc(local).to_lowercase()).into_owned();
    let domain = dns_name(domain).unwrap_or_else(|| nfc(domain).to_lowercase());
    format!("{local}@{domain}")
}

/// Returns the domain as in DNS (`xn--…`); `None` if it is not a domain name.
fn dns_name(domain: &str) -> Option<String> {
    let name = Uts46::new()
        .to_ascii(
            domain.as_bytes(),
            AsciiDenyList::STD3,
            Hyphens::CheckFirstLast,
            DnsLength::Verify,
        )
        .ok()?;
    is_domain(&name).then(|| name.into_owned())
}

/// Whether a domain can only be an IPv4 address: programs read the last label as a number, also in base 16.
fn ends_in_a_number(domain: &str) -> bool {
    let last = domain.rsplit('.').next().unwrap_or(domain);
    match last.strip_prefix("0x") {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => last.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

fn looks_like_an_address(text: &str) -> bool {
    let Some((local, domain)) = split(text) else {
        return false;
    };
    (1..=MAX_LOCAL_PART_OCTETS).contains(&nfc(local).len())
        && local.split('.').all(|atom| !atom.is_empty())
        && local.chars().all(|c| c == '.' || is_atom(c))
        && is_domain(domain)
}

fn is_domain(domain: &str) -> bool {
    (domain.contains(IDNA_DOTS) || domain.eq_ignore_ascii_case("localhost"))
        && domain.split(IDNA_DOTS).all(is_label)
}

/// The label separators (UTS 46), including those of East Asian keyboards.
const IDNA_DOTS: [char; 4] = ['.', '\u{3002}', '\u{FF0E}', '\u{FF61}'];

/// Whether a character is allowed in an unquoted local part: printable, and without a meaning in mail headers.
fn is_atom(c: char) -> bool {
    let special = "()<>[]:;@\\,\"".contains(c);
    let invisible = matches!(c, '\u{AD}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}');
    !(special || invisible || c.is_control() || c.is_whitespace())
}

fn is_label(label: &str) -> bool {
    // Some scripts need marks that are not alphanumeric.
    !label.is_empty()
        && label
            .chars()
            .all(|c| c.is_alphanumeric() || c == '-' || (!c.is_ascii() && is_atom(c)))
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// The minimum number of characters of a new password. There are no rules of composition (NIST SP 800-63B, 3.1.1.2).
const MIN_PASSWORD_LENGTH: usize = 12;
/// The maximum number of characters of a new password.
const MAX_PASSWORD_LENGTH: usize = 256;

/// A valid new password. Characters are Unicode scalar values.
pub struct NewPassword(String);

impl NewPassword {
    /// Parses the input field `field` of an account with the address `email`.
    pub fn parse(raw: &str, email: &Email, field: &'static str) -> Result<Self, Error> {
        let invalid = |message| Error::Invalid { field, message };
        let raw = nfc(raw);
        let length = raw.chars().count();
        if length < MIN_PASSWORD_LENGTH {
            return Err(invalid("A password needs at least 12 characters."));
        }
        if length > MAX_PASSWORD_LENGTH {
            return Err(invalid("A password has at most 256 characters."));
        }
        // Mostly pasted line breaks, which could not be typed later.
        if raw.chars().any(char::is_control) {
            return Err(invalid(
                "A password must not contain line breaks or control characters.",
            ));
        }
        if common_passwords::is_common(&raw, email.as_str()) {
            return Err(invalid("This password is too common. Choose another one."));
        }
        Ok(Self(raw.into_owned()))
    }

    /// Returns the normalised password (NFC) for hashing.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for NewPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewPassword(…)")
    }
}

/// A password hash: a PHC string. Its `Debug` output is redacted.
#[derive(Clone, PartialEq, Eq, sqlx::Type)]
#[sqlx(transparent)]
pub struct PasswordHash(pub String);

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

impl Account {
    /// Returns the account as sent to other services.
    pub fn to_known_account(&self) -> contracts::accounts::KnownAccount {
        contracts::accounts::KnownAccount {
            account_id: self.id.0,
            created_at: self.created_at,
        }
    }
}

/// An encrypted signing key, as stored.
#[derive(Debug, Clone)]
pub struct SealedKey {
    /// Increases with each key, and is unique.
    pub number: u32,
    /// The `kid`.
    pub id: Uuid,
    pub nonce: Vec<u8>,
    /// The encrypted private key.
    pub sealed: Vec<u8>,
    pub signs_from: DateTime<Utc>,
}

/// Returns a printable user agent, shortened for lists.
pub fn shorten_user_agent(raw: &str) -> Option<String> {
    let text: String = raw.chars().filter(|c| !c.is_control()).take(255).collect();
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::{Email, NewPassword, shorten_user_agent};

    #[test]
    fn an_address_is_trimmed_and_folded() {
        let email = Email::parse("  Ada.Lovelace+site@Example.ORG \n").unwrap();
        assert_eq!(email.as_str(), "Ada.Lovelace+site@Example.ORG");
        assert_eq!(email.folded(), "ada.lovelace+site@example.org");
        assert_eq!(
            Email::parse("ÜNAL@BÜCHER.example").unwrap().folded(),
            "ünal@xn--bcher-kva.example"
        );
    }

    #[test]
    fn spellings_of_an_address_are_equal() {
        for spellings in [
            &[
                "jos\u{e9}@example.org",
                "jose\u{301}@example.org",
                "JOSE\u{301}@Example.ORG",
            ][..],
            &[
                "a@b\u{fc}cher.example",
                "a@bu\u{308}cher.example",
                "a@xn--bcher-kva.example",
                "a@XN--BCHER-KVA.example",
                "a@b\u{fc}cher\u{3002}example",
                "a@ｂücher．ｅxample",
            ],
            &[
                "\u{1e69}@example.org",
                "s\u{307}\u{323}@example.org",
                "s\u{323}\u{307}@example.org",
            ],
            &["a@faß.de", "a@xn--fa-hia.de"],
            &["a@παράδειγμα.gr", "a@ΠΑΡΆΔΕΙΓΜΑ.gr", "a@xn--hxajbheg2az3al.gr"],
        ] {
            let folded = |text: &str| Email::parse(text).unwrap().folded().to_owned();
            for spelling in spellings {
                assert_eq!(folded(spelling), folded(spellings[0]), "{spelling}");
            }
        }
        assert_ne!(
            Email::parse("a@fass.de").unwrap().folded(),
            Email::parse("a@faß.de").unwrap().folded()
        );
    }

    #[test]
    fn addresses_of_every_script_parse() {
        for address in [
            "a@localhost",
            "δοκιμή@παράδειγμα.gr",
            "उदाहरण@परीक्षा.कॉम",
            "דוגמה@דוגמה.co",
            "o'neil/x@a-b.io",
            "📷@photo.example",
        ] {
            assert!(Email::parse(address).is_ok(), "{address}");
        }
    }

    #[test]
    fn invalid_addresses_are_refused() {
        let long = format!("{}@example.org", "a".repeat(65));
        let longer = format!("a@{}.org", "b.".repeat(130));
        let faults = [
            "",
            " ",
            "a",
            "@",
            "a@",
            "@b.c",
            "a@b",
            "a@b..c",
            "a@.b",
            "a@b.",
            "a@@b.c",
            "a@b@c.d",
            "a b@c.d",
            "a@b c.d",
            ".a@b.c",
            "a.@b.c",
            "a..a@b.c",
            "a@-b.c",
            "a@b-.c",
            "a\0@b.c",
            "a@b\n.c",
            "<a>@b.c",
            "a@b.c, d@e.f",
            "\u{202E}a@b.c",
            "\"a b\"@c.d",
            "a\u{34F}b@c.d",
            "a\u{E0100}@c.d",
            "a@xn--a.example",
            "a@b\u{AD}c.d",
            &long,
            &longer,
        ];
        for fault in faults {
            assert!(Email::parse(fault).is_err(), "{fault:?}");
        }
    }

    #[test]
    fn a_domain_that_is_a_number_is_refused() {
        for address in [
            "a@1.2.3.4",
            "a@127.0.0.1",
            "a@b.123",
            "a@b.0",
            "a@b.0x7f",
            "a@b.0X",
            "a@b.\u{FF11}\u{FF12}",
            "a@1\u{3002}2",
        ] {
            let message = Email::parse(address).unwrap_err().to_string();
            assert!(message.contains("must be a name"), "{address}: {message}");
            assert!(Email::parse_known(address).is_ok(), "{address}");
        }
        for address in [
            "a@1.2.3.example",
            "a@123.example",
            "a@b.x2",
            "a@b.0xyz",
            "a@b.xn--p1ai",
        ] {
            assert!(Email::parse(address).is_ok(), "{address}");
        }
    }

    #[test]
    fn passwords_are_long_and_not_common() {
        let email = Email::parse("ada@example.org").unwrap();
        let parse = |text: &str| NewPassword::parse(text, &email, "password");
        assert!(parse("elevenchars").is_err());
        assert!(parse("plinth-otter-42").is_ok());
        assert!(parse("Ὀδυσσεύς ἀνδρῶν").is_ok());
        // Characters in no order, for repetitions are common passwords.
        let long = |length| {
            (0..length)
                .filter_map(|place: u32| char::from_u32(0x4E00 + place * 7919 % 20_000))
                .collect::<String>()
        };
        assert!(parse(&long(256)).is_ok());
        assert!(parse(&long(257)).is_err());
        assert!(parse("plinth-otter-42\n").is_err());
        assert!(parse("Password1234").is_err());
    }

    #[test]
    fn a_user_agent_is_shortened() {
        assert_eq!(shorten_user_agent(" curl/8\u{7}\n"), Some("curl/8".to_owned()));
        assert_eq!(shorten_user_agent("\t"), None);
        assert_eq!(shorten_user_agent(&"é".repeat(300)).unwrap().chars().count(), 255);
    }

    proptest::proptest! {
        #[test]
        fn folding_is_idempotent_and_fits_the_column(text in "\\PC{1,40}@\\PC{1,40}\\.\\PC{1,9}") {
            if let Ok(email) = Email::parse(&text) {
                let again = Email::parse_known(email.folded()).unwrap();
                proptest::prop_assert_eq!(again.folded(), email.folded());
                proptest::prop_assert!(email.folded().chars().count() <= 254);
            }
        }
    }
}
