//! What an address shows: the same table as the app's own, in `frontend/src/route.rs`.

use chrono::NaiveDate;
use uuid::Uuid;

/// The longest name that is looked up; nobody's is longer.
const LONGEST_NAME: usize = 64;

/// What is to be seen at an address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Shown {
    Latest,
    /// A day of the archive, or today.
    Hot(Option<NaiveDate>),
    Trending,
    Photo(Uuid),
    Person(String),
    AboutRanking,
    /// A page that only the app can show, and that is nobody else's business, by the key of its title.
    App(&'static str),
    Nothing,
}

impl Shown {
    pub(crate) fn at(path: &str) -> Self {
        let path = match path.strip_suffix('/') {
            Some(trimmed) if !trimmed.is_empty() => trimmed,
            _ => path,
        };
        match path {
            "/" => Self::Latest,
            "/hot" => Self::Hot(None),
            "/trending" => Self::Trending,
            "/upload" => Self::App("upload.heading"),
            "/login" => Self::App("account.sign_in"),
            "/register" => Self::App("account.join"),
            "/welcome" => Self::App("username.welcome"),
            "/settings" => Self::App("settings.heading"),
            "/about/ranking" => Self::AboutRanking,
            _ => Self::named(path).unwrap_or(Self::Nothing),
        }
    }

    /// The address, in the bar, of the timeline that is shown. A day of the archive belongs to Hot.
    pub(crate) fn timeline(&self) -> Option<&'static str> {
        match self {
            Self::Latest => Some("/"),
            Self::Hot(_) => Some("/hot"),
            Self::Trending => Some("/trending"),
            _ => None,
        }
    }

    /// The paths that carry a name: a day, a photo, a person.
    fn named(path: &str) -> Option<Self> {
        if let Some(day) = path.strip_prefix("/hot/") {
            return day_of(day).map(|day| Self::Hot(Some(day)));
        }
        if let Some(id) = path.strip_prefix("/p/") {
            return id_of(id).map(Self::Photo);
        }
        let name = path.strip_prefix("/@")?;
        is_name(name).then(|| Self::Person(name.to_owned()))
    }
}

/// A calendar day, and only as `YYYY-MM-DD`.
pub(crate) fn day_of(text: &str) -> Option<NaiveDate> {
    let is_plain = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    is_plain.then(|| text.parse().ok()).flatten()
}

/// The id of a photo, and only in the form with hyphens: each photo has one address.
fn id_of(text: &str) -> Option<Uuid> {
    let is_hyphenated = text.len() == 36 && !text.contains(['{', '}']);
    is_hyphenated.then(|| text.parse().ok()).flatten()
}

/// Whether it could be somebody's name; capitals are folded by who knows the names.
pub(crate) fn is_name(text: &str) -> bool {
    (1..=LONGEST_NAME).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_apart() {
        let id = "01936f5e-7c00-7000-8000-000000000001";
        assert_eq!(Shown::at("/"), Shown::Latest);
        assert_eq!(Shown::at("/hot/"), Shown::Hot(None));
        assert_eq!(
            Shown::at("/hot/2026-11-22"),
            Shown::Hot(NaiveDate::from_ymd_opt(2026, 11, 22))
        );
        assert_eq!(Shown::at(&format!("/p/{id}")), Shown::Photo(id.parse().unwrap()));
        assert_eq!(Shown::at("/@ada"), Shown::Person("ada".to_owned()));
        assert_eq!(Shown::at("/login"), Shown::App("account.sign_in"));
    }

    #[test]
    fn what_nobody_knows_is_nothing() {
        for path in [
            "/nowhere",
            "/index.html",
            "/hot/yesterday",
            "/hot/2026-02-31",
            "/hot/2026-1-022",
            "/hot/+026-01-02",
            "/p/",
            "/p/heron",
            "/p/a/b",
            "/@",
            "/@a/b",
            "/@%22%3E",
            "/hot//",
            "//",
            "/about",
        ] {
            assert_eq!(Shown::at(path), Shown::Nothing, "{path}");
        }
        assert_eq!(Shown::at(&format!("/@{}", "a".repeat(65))), Shown::Nothing);
    }
}
