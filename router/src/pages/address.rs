//! Maps a path to a page. `frontend/src/route.rs` has the same table.

use chrono::NaiveDate;
use uuid::Uuid;

use crate::path::{is_day, is_name, is_photo_id, without_trailing_slash};

/// The page at an address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum PageRoute {
    Latest,
    /// A day of the archive, or today.
    Hot(Option<NaiveDate>),
    Trending,
    Photo(Uuid),
    Person(String),
    AboutRanking,
    /// A private page that only the app can render, by the key of its title.
    App(&'static str),
    Nothing,
}

impl PageRoute {
    pub(crate) fn at(path: &str) -> Self {
        let path = without_trailing_slash(path);
        match path {
            "/" => Self::Latest,
            "/hot" => Self::Hot(None),
            "/trending" => Self::Trending,
            "/upload" => Self::App("upload.heading"),
            "/login" => Self::App("account.sign_in"),
            "/register" => Self::App("account.join"),
            "/welcome" => Self::App("username.welcome"),
            "/goodbye" => Self::App("settings.gone_title"),
            "/settings" => Self::App("settings.heading"),
            "/about/ranking" => Self::AboutRanking,
            _ => Self::named(path).unwrap_or(Self::Nothing),
        }
    }

    /// The path of the timeline that the app bar highlights. A day of the archive belongs to Hot.
    pub(crate) fn timeline(&self) -> Option<&'static str> {
        match self {
            Self::Latest => Some("/"),
            Self::Hot(_) => Some("/hot"),
            Self::Trending => Some("/trending"),
            _ => None,
        }
    }

    /// Paths with a parameter: a day, a photo or a user.
    fn named(path: &str) -> Option<Self> {
        if let Some(day) = path.strip_prefix("/hot/") {
            return day_of(day).map(|day| Self::Hot(Some(day)));
        }
        if let Some(id) = path.strip_prefix("/p/") {
            return is_photo_id(id)
                .then(|| id.parse().ok().map(Self::Photo))
                .flatten();
        }
        let name = path.strip_prefix("/@")?;
        is_name(name).then(|| Self::Person(name.to_owned()))
    }
}

/// Parses a calendar day. The only format is `YYYY-MM-DD`.
pub(crate) fn day_of(text: &str) -> Option<NaiveDate> {
    is_day(text).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::RequestRoute;

    #[test]
    fn paths_are_parsed() {
        let id = "01936f5e-7c00-7000-8000-000000000001";
        assert_eq!(PageRoute::at("/"), PageRoute::Latest);
        assert_eq!(PageRoute::at("/hot/"), PageRoute::Hot(None));
        assert_eq!(
            PageRoute::at("/hot/2026-11-22"),
            PageRoute::Hot(NaiveDate::from_ymd_opt(2026, 11, 22))
        );
        assert_eq!(
            PageRoute::at(&format!("/p/{id}")),
            PageRoute::Photo(id.parse().unwrap())
        );
        assert_eq!(PageRoute::at("/@ada"), PageRoute::Person("ada".to_owned()));
        assert_eq!(PageRoute::at("/login"), PageRoute::App("account.sign_in"));
    }

    /// `frontend/src/route.rs` has the same cases.
    #[test]
    fn paths_have_the_same_meaning_as_in_the_app() {
        let table: Vec<(String, String)> =
            serde_json::from_str(include_str!("../../../frontend/src/routes.json")).unwrap();
        for (path, expected) in table {
            let shown = match RequestRoute::parse(&path) {
                RequestRoute::Page(path) => PageRoute::at(&path),
                _ => PageRoute::Nothing,
            };
            let shown = match shown {
                PageRoute::Latest => "timeline /".to_owned(),
                PageRoute::Hot(None) => "timeline /hot".to_owned(),
                PageRoute::Hot(Some(day)) => format!("timeline /hot/{day}"),
                PageRoute::Trending => "timeline /trending".to_owned(),
                PageRoute::Person(name) => format!("timeline /@{name}"),
                PageRoute::Photo(id) => format!("photo {id}"),
                PageRoute::App(_) => "app".to_owned(),
                PageRoute::AboutRanking => "about".to_owned(),
                PageRoute::Nothing => "nothing".to_owned(),
            };
            assert_eq!(shown, expected, "{path}");
        }
    }

    #[test]
    fn unknown_paths_are_not_found() {
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
            "/about",
        ] {
            assert_eq!(PageRoute::at(path), PageRoute::Nothing, "{path}");
        }
        assert_eq!(
            PageRoute::at(&format!("/@{}", "a".repeat(65))),
            PageRoute::Nothing
        );
    }
}
