//! The pages of the site and their paths. Links are created from a [`Route`], so they cannot be broken. `leptos_router`
//! is not used, because it cannot keep a timeline mounted beneath an open photo.

use std::fmt;

use crate::graphql::Date;
use crate::path;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    Timeline(Timeline),
    Photo(String),
    Upload,
    /// `next` is where to go afterwards: a path on this site.
    Login {
        next: Option<String>,
    },
    Register {
        next: Option<String>,
    },
    Welcome {
        next: Option<String>,
    },
    Settings,
    /// After the account was deleted.
    Goodbye,
    AboutRanking,
    NotFound,
}

/// A page with a grid of photos.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Timeline {
    Latest,
    /// A day of the archive, or today.
    Hot(Option<Date>),
    Trending,
    Person(String),
}

impl Route {
    /// Parses a path and its query string; an unknown path is [`Route::NotFound`].
    pub fn parse(path: &str, query: &str) -> Self {
        match path::decode(path) {
            Ok(path) => Self::from_decoded(&path, query),
            Err(_) => Self::NotFound,
        }
    }

    /// As [`Self::parse`], for a path that [`path::decode`] has returned.
    pub fn from_decoded(path: &str, query: &str) -> Self {
        let path = path::without_trailing_slash(path);
        let next = || next_in(query);
        match path {
            "/" => Self::Timeline(Timeline::Latest),
            "/hot" => Self::Timeline(Timeline::Hot(None)),
            "/trending" => Self::Timeline(Timeline::Trending),
            "/upload" => Self::Upload,
            "/login" => Self::Login { next: next() },
            "/register" => Self::Register { next: next() },
            "/welcome" => Self::Welcome { next: next() },
            "/goodbye" => Self::Goodbye,
            "/settings" => Self::Settings,
            "/about/ranking" => Self::AboutRanking,
            _ => Self::parse_named(path).unwrap_or(Self::NotFound),
        }
    }

    /// Paths with a parameter: a day, a photo or a user.
    fn parse_named(path: &str) -> Option<Self> {
        if let Some(day) = path.strip_prefix("/hot/") {
            return parse_day(day).map(|day| Timeline::Hot(Some(day)).into());
        }
        if let Some(id) = path.strip_prefix("/p/") {
            return path::is_photo_id(id).then(|| Self::Photo(id.to_ascii_lowercase()));
        }
        let username = path.strip_prefix("/@")?;
        path::is_name(username).then(|| Timeline::Person(username.to_owned()).into())
    }

    /// The `next` parameter for sign-in pages.
    pub fn as_next(&self) -> Option<String> {
        match self {
            Self::Login { next } | Self::Register { next } | Self::Welcome { next } => next.clone(),
            Self::Timeline(Timeline::Latest) | Self::NotFound | Self::Goodbye => None,
            route => Some(route.to_string()),
        }
    }
}

/// Parses a calendar day. The only format is `YYYY-MM-DD`.
pub fn parse_day(text: &str) -> Option<Date> {
    path::is_day(text).then(|| Date(text.to_owned()))
}

/// Accepts only a path on this site: a crafted link must not redirect to another site after sign-in.
fn next_in(query: &str) -> Option<String> {
    let next = query
        .trim_start_matches('?')
        .split('&')
        .find_map(|pair| pair.strip_prefix("next="))?;
    let on_this_site = next.starts_with('/') && !next.starts_with("//") && !next.contains(['\\', '?', '%']);
    on_this_site.then(|| next.to_owned())
}

/// The path, as [`Route::parse`] reads it.
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let with_next = |f: &mut fmt::Formatter<'_>, path: &str, next: &Option<String>| match next {
            Some(next) => write!(f, "{path}?next={next}"),
            None => f.write_str(path),
        };
        match self {
            Self::Timeline(timeline) => timeline.fmt(f),
            Self::Photo(id) => write!(f, "/p/{id}"),
            Self::Upload => f.write_str("/upload"),
            Self::Login { next } => with_next(f, "/login", next),
            Self::Register { next } => with_next(f, "/register", next),
            Self::Welcome { next } => with_next(f, "/welcome", next),
            Self::Goodbye => f.write_str("/goodbye"),
            Self::Settings => f.write_str("/settings"),
            Self::AboutRanking => f.write_str("/about/ranking"),
            Self::NotFound => f.write_str("/404"),
        }
    }
}

impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str("/"),
            Self::Hot(None) => f.write_str("/hot"),
            Self::Hot(Some(Date(day))) => write!(f, "/hot/{day}"),
            Self::Trending => f.write_str("/trending"),
            Self::Person(username) => write!(f, "/@{username}"),
        }
    }
}

impl From<Timeline> for Route {
    fn from(timeline: Timeline) -> Self {
        Self::Timeline(timeline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_parse_to_the_routes_that_formatted_them() {
        let routes = [
            Timeline::Latest.into(),
            Timeline::Hot(None).into(),
            Timeline::Hot(Some(Date("2026-11-22".into()))).into(),
            Timeline::Trending.into(),
            Timeline::Person("ada".into()).into(),
            Route::Photo("01936f5e-7c00-7000-8000-000000000001".into()),
            Route::Upload,
            Route::Login { next: None },
            Route::Login {
                next: Some("/hot/2026-11-22".into()),
            },
            Route::Register {
                next: Some("/upload".into()),
            },
            Route::Welcome { next: None },
            Route::Goodbye,
            Route::Settings,
            Route::AboutRanking,
        ];
        for route in routes {
            let address = route.to_string();
            let (path, query) = address.split_once('?').unwrap_or((&address, ""));
            assert_eq!(Route::parse(path, query), route, "{address}");
        }
    }

    #[test]
    fn paths_are_parsed() {
        for (path, expected) in [
            ("/", "timeline /"),
            ("/hot", "timeline /hot"),
            ("/hot/", "timeline /hot"),
            ("/trending", "timeline /trending"),
            ("/trending/", "timeline /trending"),
            ("/hot/2026-11-22", "timeline /hot/2026-11-22"),
            ("/hot/2026-11-22/", "timeline /hot/2026-11-22"),
            ("/hot/2024-02-29", "timeline /hot/2024-02-29"),
            ("/hot/2000-02-29", "timeline /hot/2000-02-29"),
            ("/hot/2026-12-31", "timeline /hot/2026-12-31"),
            ("/@ada", "timeline /@ada"),
            ("/@Ada_1-x/", "timeline /@Ada_1-x"),
            ("/%40ada", "timeline /@ada"),
            ("/@%61da", "timeline /@ada"),
            ("/h%6Ft", "timeline /hot"),
            (
                "/p/01936f5e-7c00-7000-8000-000000000001",
                "photo 01936f5e-7c00-7000-8000-000000000001",
            ),
            (
                "/p/01936F5E-7C00-7000-8000-00000000000A",
                "photo 01936f5e-7c00-7000-8000-00000000000a",
            ),
            (
                "/p/01936f5e-7c00-7000-8000-000000000001/",
                "photo 01936f5e-7c00-7000-8000-000000000001",
            ),
            ("/upload", "app"),
            ("/login", "app"),
            ("/register", "app"),
            ("/welcome", "app"),
            ("/settings", "app"),
            ("/goodbye", "app"),
            ("/about/ranking", "about"),
            ("/nowhere", "nothing"),
            ("/about", "nothing"),
            ("//", "nothing"),
            ("/hot//", "nothing"),
            ("//hot", "nothing"),
            ("/./hot", "nothing"),
            ("/x/../hot", "nothing"),
            ("/HOT", "nothing"),
            ("/hot;x", "nothing"),
            ("/hot%2F2026-11-22", "nothing"),
            ("/%2568ot", "nothing"),
            ("/hot/yesterday", "nothing"),
            ("/hot/2026-1-022", "nothing"),
            ("/hot/+026-01-02", "nothing"),
            ("/hot/2026-02-31", "nothing"),
            ("/hot/2026-02-29", "nothing"),
            ("/hot/1900-02-29", "nothing"),
            ("/hot/2026-04-31", "nothing"),
            ("/hot/2026-13-01", "nothing"),
            ("/hot/2026-00-10", "nothing"),
            ("/hot/2026-01-00", "nothing"),
            ("/hot/2026-01-32", "nothing"),
            ("/hot/2026-11-22/x", "nothing"),
            ("/trending/2026-11-22", "nothing"),
            ("/p/", "nothing"),
            ("/p/heron", "nothing"),
            ("/p/a/b", "nothing"),
            ("/p/01936f5e7c0070008000000000000001", "nothing"),
            ("/p/{01936f5e-7c00-7000-8000-000000000001}", "nothing"),
            ("/p/01936f5e-7c00-7000-8000-00000000000g", "nothing"),
            ("/p/01936f5e7-c00-7000-8000-000000000001", "nothing"),
            ("/p/urn:uuid:01936f5e-7c00-7000-8000-000000000001", "nothing"),
            ("/@", "nothing"),
            ("/@a/b", "nothing"),
            ("/@a%2Fb", "nothing"),
            ("/@a.b", "nothing"),
            ("/@%22%3E", "nothing"),
            ("/@n%C3%A4me", "nothing"),
            (
                "/@aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                "nothing",
            ),
        ] {
            let shown = match Route::parse(path, "") {
                Route::Timeline(timeline) => format!("timeline {timeline}"),
                Route::Photo(id) => format!("photo {id}"),
                Route::AboutRanking => "about".to_owned(),
                Route::NotFound => "nothing".to_owned(),
                _ => "app".to_owned(),
            };
            assert_eq!(shown, expected, "{path}");
        }
    }

    #[test]
    fn sign_in_returns_only_to_paths_of_this_site() {
        for query in [
            "?next=//evil.example",
            "?next=https://evil.example",
            "?next=/\\evil.example",
            "?next=",
            "?next=%2F%2Fevil",
        ] {
            assert_eq!(
                Route::parse("/login", query),
                Route::Login { next: None },
                "{query}"
            );
        }
    }
}
