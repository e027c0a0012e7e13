//! Parses the target of a request once. Limits, the origin check, cache headers, traces, compression and dispatch all
//! use the same [`RequestRoute`], so they cannot disagree about a path.

use std::net::Ipv6Addr;

use hive_router::ntex::http::header::{HOST, HeaderValue};
use hive_router::ntex::http::uri::{Authority, PathAndQuery, Scheme, Uri};
use hive_router::ntex::http::{Method, Payload, Version};
use hive_router::ntex::service::{Service, ServiceCtx};
use hive_router::ntex::web::{self, DefaultError, HttpRequest, WebRequest, WebResponse};
use hive_router::ntex::{Middleware, SharedCfg};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use ui::path::{PathError, decode};

/// The characters that a canonical path escapes: all that RFC 3986 does not allow in one.
const ESCAPED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// The part of the router that handles a request, with its decoded parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RequestRoute {
    Graphql,
    Upload,
    /// A file of the photo service, by its path below `/media/`.
    Media(String),
    /// A file of the playground, by its path below `/playground/`.
    Playground(String),
    /// A feed, by its file name.
    Feed(String),
    Robots,
    SitemapIndex,
    /// A sitemap, by its file name.
    Sitemap(String),
    Health,
    Readiness,
    /// Answered on the internal address only.
    Metrics,
    /// A page or a file of the app, by its path.
    Page(String),
    /// A well-formed path that no part of the site handles.
    Nowhere,
    /// An invalid HTTP request, with the reason.
    Malformed(&'static str),
}

impl RequestRoute {
    /// The route of a request.
    pub(crate) fn of(request: &HttpRequest) -> Self {
        request
            .extensions()
            .get::<Self>()
            .cloned()
            .unwrap_or(Self::Nowhere)
    }

    /// As [`RequestRoute::of`], in a middleware.
    pub(crate) fn of_web_request(request: &WebRequest<DefaultError>) -> Self {
        request
            .extensions()
            .get::<Self>()
            .cloned()
            .unwrap_or(Self::Nowhere)
    }

    /// Parses an escaped path.
    pub(crate) fn parse(path: &str) -> Self {
        match decode(path) {
            Ok(path) => Self::from_path(path),
            Err(PathError::Malformed(problem)) => Self::Malformed(problem),
            Err(PathError::Nowhere) => Self::Nowhere,
        }
    }

    /// `path` is decoded, begins with a slash and has neither empty segments nor dot segments.
    fn from_path(path: String) -> Self {
        match path.as_str() {
            "/graphql" => return Self::Graphql,
            "/media/uploads" => return Self::Upload,
            "/playground" => return Self::Playground(String::new()),
            "/robots.txt" => return Self::Robots,
            "/sitemap.xml" => return Self::SitemapIndex,
            "/health" => return Self::Health,
            "/readiness" => return Self::Readiness,
            "/metrics" => return Self::Metrics,
            _ => {}
        }
        let below = |prefix: &str| path.strip_prefix(prefix).map(ToOwned::to_owned);
        below("/media/")
            .map(Self::Media)
            .or_else(|| below("/playground/").map(Self::Playground))
            .or_else(|| below("/feeds/").map(Self::Feed))
            .or_else(|| below("/sitemaps/").map(Self::Sitemap))
            .unwrap_or(Self::Page(path))
    }

    /// Whether the response is rendered from the graph, other than files of the app.
    pub(crate) fn is_rendered(&self) -> bool {
        match self {
            Self::Page(path) => !path.starts_with("/assets/"),
            Self::Feed(_) | Self::SitemapIndex | Self::Sitemap(_) => true,
            _ => false,
        }
    }

    /// The value of the metrics' label `area`.
    pub(crate) fn area(&self) -> &'static str {
        match self {
            Self::Graphql => "graphql",
            Self::Upload => "upload",
            Self::Media(_) => "media",
            _ => "page",
        }
    }

    /// The supported methods, as in the header `Allow`.
    pub(crate) fn allowed_methods(&self) -> &'static str {
        match self {
            Self::Graphql => "GET, POST",
            Self::Upload => "POST",
            _ => "GET, HEAD",
        }
    }

    pub(crate) fn allows(&self, method: &Method) -> bool {
        self.allowed_methods()
            .split(", ")
            .any(|allowed| method == allowed)
    }
}

/// The host that a request is for. HTTP/1.0 may leave it out.
fn host(request: &WebRequest<DefaultError>) -> Result<Option<String>, &'static str> {
    const ONE_HOST: &str = "The request needs exactly one Host header.";
    let mut lines = request.headers().get_all(HOST);
    let header = lines.next();
    if lines.next().is_some() {
        return Err(ONE_HOST);
    }
    let header = match header {
        Some(header) => Some(header.to_str().map_err(|_| MALFORMED_HOST)?),
        None => None,
    };
    let uri = request.uri();
    if uri
        .scheme()
        .is_some_and(|scheme| *scheme != Scheme::HTTP && *scheme != Scheme::HTTPS)
    {
        return Err("The target must be an http or https address.");
    }
    let version = request.version();
    let host = match (uri.authority().map(Authority::as_str), header) {
        (None, None) if version < Version::HTTP_11 => return Ok(None),
        (Some(_), None) if version == Version::HTTP_11 => return Err(ONE_HOST),
        (None, None) => return Err(ONE_HOST),
        (Some(authority), Some(header))
            if version >= Version::HTTP_2 && !authority.eq_ignore_ascii_case(header) =>
        {
            return Err("Host and :authority must be the same.");
        }
        // RFC 9112, 3.2.2: the target wins.
        (Some(authority), _) => authority,
        (None, Some(header)) => header,
    };
    if is_host(host) && header.is_none_or(is_host) {
        Ok(Some(host.to_owned()))
    } else {
        Err(MALFORMED_HOST)
    }
}

const MALFORMED_HOST: &str = "The Host header must be a host name, or an address, with an optional port.";

/// `name`, `name:port`, `address:port` or `[IPv6 address]:port`.
fn is_host(text: &str) -> bool {
    let (is_name, port) = if let Some(rest) = text.strip_prefix('[') {
        let Some((address, rest)) = rest.split_once(']') else {
            return false;
        };
        let port = match rest.strip_prefix(':') {
            Some(port) => Some(port),
            None if rest.is_empty() => None,
            None => return false,
        };
        (address.parse::<Ipv6Addr>().is_ok(), port)
    } else {
        let (name, port) = match text.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (text, None),
        };
        let is_name = !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
        (is_name, port)
    };
    // The port may be empty after the colon (RFC 3986, 3.2.3).
    let is_port = |port: &str| {
        port.is_empty() || port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok()
    };
    is_name && port.is_none_or(is_port)
}

/// The outermost middleware. Later layers see a canonical path and a valid Host header.
#[derive(Clone, Copy)]
pub(crate) struct RouteService;

impl<S> Middleware<S, SharedCfg> for RouteService {
    type Service = RouteMiddleware<S>;

    fn create(&self, service: S, _: SharedCfg) -> Self::Service {
        RouteMiddleware(service)
    }
}

pub(crate) struct RouteMiddleware<S>(S);

impl<S> Service<WebRequest<DefaultError>> for RouteMiddleware<S>
where
    S: Service<WebRequest<DefaultError>, Response = WebResponse, Error = web::Error>,
{
    type Response = WebResponse;
    type Error = web::Error;

    async fn ready(&self, ctx: ServiceCtx<'_, Self>) -> Result<(), Self::Error> {
        ctx.ready(&self.0).await
    }

    async fn call(
        &self,
        mut request: WebRequest<DefaultError>,
        ctx: ServiceCtx<'_, Self>,
    ) -> Result<Self::Response, Self::Error> {
        // The content of a GET has no meaning (RFC 9110, 9.3.1), and that of an upgrade request does not end.
        if [Method::GET, Method::HEAD].contains(request.method()) {
            request.set_payload(Payload::None);
        }
        let route = route_request(&mut request);
        request.extensions_mut().insert(route);
        ctx.call(&self.0, request).await
    }
}

fn route_request(request: &mut WebRequest<DefaultError>) -> RequestRoute {
    let mut route = RequestRoute::parse(request.path());
    match host(request) {
        Ok(host) => {
            if let Some(Ok(host)) = host.as_deref().map(HeaderValue::from_str) {
                request.headers_mut().insert(HOST, host);
            }
        }
        // HTTP/2 has no authority with a malformed path.
        Err(_) if matches!(route, RequestRoute::Malformed(_)) => {}
        Err(problem) => route = RequestRoute::Malformed(problem),
    }
    if !matches!(route, RequestRoute::Nowhere | RequestRoute::Malformed(_))
        && let Some(uri) = canonical(request.uri())
    {
        request.head_mut().uri = uri;
    }
    // ntex decodes paths itself, could select another route, and creates invalid UTF-8 strings (`docs/upstream.md`). So
    // it gets either the path of the GraphQL endpoint or one that it does not know.
    let routed = match route {
        RequestRoute::Graphql => Uri::from_static("/graphql"),
        _ => Uri::from_static("/"),
    };
    request.match_info_mut().set(routed);
    route
}

/// The same target with only the necessary escapes.
fn canonical(uri: &Uri) -> Option<Uri> {
    let path = decode(uri.path()).ok()?;
    let path = utf8_percent_encode(&path, ESCAPED);
    let text = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_string(),
    };
    Some(Uri::from(PathAndQuery::try_from(text).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_do_not_change_the_route() {
        for path in [
            "/graphql",
            "/%67raphql",
            "/graph%71l",
            "/%67%72%61%70%68%71%6C",
            "/%67%72%61%70%68%71%6c",
        ] {
            assert_eq!(RequestRoute::parse(path), RequestRoute::Graphql, "{path}");
        }
        for path in ["/media/uploads", "/media/%75ploads", "/%6dedia/uploads"] {
            assert_eq!(RequestRoute::parse(path), RequestRoute::Upload, "{path}");
        }
        for path in ["/@ada", "/%40ada", "/@%61da"] {
            assert_eq!(
                RequestRoute::parse(path),
                RequestRoute::Page("/@ada".to_owned()),
                "{path}"
            );
        }
        assert_eq!(
            RequestRoute::parse("/media/%61/640.avif"),
            RequestRoute::Media("a/640.avif".to_owned())
        );
        assert_eq!(
            RequestRoute::parse("/feeds/%40ada.atom"),
            RequestRoute::Feed("@ada.atom".to_owned())
        );
        assert_eq!(
            RequestRoute::parse("/playground/"),
            RequestRoute::Playground(String::new())
        );
        assert_eq!(RequestRoute::parse("/readines%73"), RequestRoute::Readiness);
    }

    #[test]
    fn a_path_is_decoded_once() {
        assert_eq!(
            RequestRoute::parse("/%2567raphql"),
            RequestRoute::Page("/%67raphql".to_owned())
        );
    }

    #[test]
    fn similar_paths_are_pages() {
        for path in [
            "/graphql/",
            "/graphql/x",
            "/GraphQL",
            "/graphql;x=1",
            "/graphql%3Fquery",
            "/graphqlish",
            "/mediax",
        ] {
            assert!(
                matches!(RequestRoute::parse(path), RequestRoute::Page(_)),
                "{path}"
            );
        }
        for path in ["/media/uploads/", "/media/Uploads", "/media/uploads;x"] {
            assert!(
                matches!(RequestRoute::parse(path), RequestRoute::Media(_)),
                "{path}"
            );
        }
    }

    #[test]
    fn dot_segments_are_not_resolved() {
        for path in [
            "//graphql",
            "/./graphql",
            "/x/../graphql",
            "/%2e%2e/graphql",
            "/media/.%2E/internal/photos",
            "/media//uploads",
            "/media%2Fuploads",
            "/media%2fuploads",
            "/media/..%2finternal",
            "/media%5Cuploads",
            "/media\\uploads",
            "/hot//",
            "//",
            "/graphql/..",
            "/graphql/.",
        ] {
            assert_eq!(RequestRoute::parse(path), RequestRoute::Nowhere, "{path}");
        }
    }

    #[test]
    fn invalid_paths_are_malformed() {
        for path in [
            "",
            "*",
            "graphql",
            "/%",
            "/%6",
            "/%zz",
            "/graphql%",
            "/%+1raphql",
            "/%ff",
            "/%c0%af",
            "/%e0%80%af",
            "/%ed%a0%80",
            "/%00",
            "/%0d%0aSet-Cookie:a",
            "/%7f",
            "/%c2%85",
        ] {
            assert!(
                matches!(RequestRoute::parse(path), RequestRoute::Malformed(_)),
                "{path}"
            );
        }
    }

    #[test]
    fn canonical_paths_have_the_same_route() {
        for (given, canonical_path) in [
            ("/%67raphql?query=%7Ba%7D", "/graphql?query=%7Ba%7D"),
            ("/%40ada", "/@ada"),
            ("/%e2%82%ac%20%25", "/%E2%82%AC%20%25"),
            ("/a%3Fb", "/a%3Fb"),
        ] {
            let uri = canonical(&given.parse().unwrap()).unwrap();
            assert_eq!(uri.to_string(), canonical_path);
            let given: Uri = given.parse().unwrap();
            assert_eq!(RequestRoute::parse(uri.path()), RequestRoute::parse(given.path()));
        }
    }

    #[test]
    fn hosts_are_names_or_addresses() {
        for host in [
            "localhost",
            "photos.example:4999",
            "127.0.0.1:80",
            "[::1]",
            "[::1]:4999",
            "photo_1",
            "photo:",
        ] {
            assert!(is_host(host), "{host}");
        }
        for host in [
            "", ":80", "a b", "a,b", "a/b", "ada@b", "a:b", "a:80:80", "a:65536", "a:+80", "[::1", "[::1]80",
            "[g]", "::1", "a?b", "a#b", "<b>", "a\\b",
        ] {
            assert!(!is_host(host), "{host}");
        }
    }

    #[test]
    fn each_route_has_its_methods() {
        assert!(RequestRoute::Graphql.allows(&Method::POST) && !RequestRoute::Graphql.allows(&Method::HEAD));
        assert!(RequestRoute::Upload.allows(&Method::POST) && !RequestRoute::Upload.allows(&Method::GET));
        let page = RequestRoute::Page("/".to_owned());
        assert!(page.allows(&Method::HEAD) && !page.allows(&Method::POST));
    }
}
