//! Serves the app and the playground: bundles of files that are read once, at start.
//!
//! A file under `assets/` carries a hash of its content in its name, so browsers keep it for a year; the page itself,
//! which `pages` renders, is revalidated on every visit. Files have `.br` and `.gz` siblings made by the build.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use contracts::Code;
use hive_router::ntex::http::StatusCode;
use hive_router::ntex::util::Bytes;
use hive_router::ntex::web::{HttpRequest, HttpResponse};

use crate::config::Config;
use crate::document::{Document, HTML, IMMUTABLE};
use crate::error_response::ErrorResponse;
use crate::graph_client::GraphClient;
use crate::language::{Language, PageLanguage as _};
use crate::pages::{APP_POLICY, PageCursor, Pages};

/// The playground's editor runs in web workers, and its style sheet contains its icons as `data:` URLs.
const PLAYGROUND_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data:; font-src 'self' data:; connect-src 'self'; worker-src 'self'; form-action 'none'; \
    base-uri 'none'; frame-ancestors 'none'";

pub(crate) const NOT_FOUND: ErrorResponse =
    ErrorResponse::new(StatusCode::NOT_FOUND, Code::NotFound, "There is nothing here.");

/// The bundles of the app and of the playground. Each may be absent.
pub(crate) struct Bundles {
    app: Option<App>,
    playground: Option<Bundle>,
}

struct App {
    files: Bundle,
    pages: Pages,
}

/// Upper bound of a timeline cursor, in bytes.
const MAX_CURSOR_LENGTH: usize = 512;

/// A cursor that no service has returned.
struct MalformedCursor;

/// The cursor in a query string. Cursors consist of characters that need no escaping.
fn cursor_in(query: &str) -> Result<PageCursor, MalformedCursor> {
    let Some(cursor) = query.split('&').find_map(|pair| pair.strip_prefix("after=")) else {
        return Ok(None);
    };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    if cursor.len() <= MAX_CURSOR_LENGTH && cursor.bytes().all(is_plain) {
        Ok(Some(cursor.to_owned()).filter(|cursor| !cursor.is_empty()))
    } else {
        Err(MalformedCursor)
    }
}

impl Bundles {
    /// Reads the configured folders. `base` is the public URL without a slash at its end.
    pub(crate) fn load(config: &Config, base: &str, graph: &Arc<GraphClient>) -> anyhow::Result<Self> {
        let app = Bundle::load_if_given(config.app_dir.as_deref(), "app", APP_POLICY)?;
        let app = app.map(|files| {
            let pages = Pages::new(files.index()?, base.to_owned(), config.time_zone, graph.clone());
            anyhow::Ok(App { files, pages })
        });
        let playground = config.playground_dir.as_deref();
        Ok(Self {
            app: app.transpose()?,
            playground: Bundle::load_if_given(playground, "playground", PLAYGROUND_POLICY)?,
        })
    }
}

/// The files of one folder, by their path in it.
pub(crate) struct Bundle(HashMap<String, Document>);

impl Bundle {
    /// Reads a bundle; `None` if no folder is configured or it does not exist.
    ///
    /// `policy` is the Content-Security-Policy of its pages.
    fn load_if_given(folder: Option<&Path>, name: &str, policy: &str) -> anyhow::Result<Option<Self>> {
        let Some(folder) = folder else {
            tracing::info!("no folder is configured for the {name}, so it is not served");
            return Ok(None);
        };
        if !folder.exists() {
            tracing::warn!("{} does not exist, so the {name} is not served", folder.display());
            return Ok(None);
        }
        let bundle = Self::load(folder, policy)?;
        ensure!(
            bundle.0.contains_key("index.html"),
            "{} has no index.html: build the {name} first",
            folder.display()
        );
        Ok(Some(bundle))
    }

    fn load(folder: &Path, policy: &str) -> anyhow::Result<Self> {
        let mut files = HashMap::new();
        read_into(&mut files, folder, "").with_context(|| format!("cannot read {}", folder.display()))?;
        let names: Vec<String> = files
            .keys()
            .filter(|name| !is_sibling(name, &files))
            .cloned()
            .collect();
        let mut take = |name: &str| files.remove(name).map(Bytes::from);
        let bundle = names.into_iter().filter_map(|name| {
            let brotli = take(&format!("{name}.br"));
            let gzip = take(&format!("{name}.gz"));
            let content_type = content_type(&name);
            let mut document = Document::file(content_type, take(&name)?, brotli, gzip);
            if name.starts_with("assets/") {
                document = document.with_cache_control(IMMUTABLE);
            }
            if content_type == HTML {
                document = document.with_policy(policy.to_owned());
            }
            Some((name, document))
        });
        Ok(Self(bundle.collect()))
    }

    /// The text of `index.html`.
    fn index(&self) -> anyhow::Result<&str> {
        std::str::from_utf8(self.0["index.html"].bytes()).context("index.html is not UTF-8")
    }
}

fn is_sibling(name: &str, files: &HashMap<String, Vec<u8>>) -> bool {
    [".br", ".gz"].iter().any(|end| {
        name.strip_suffix(end)
            .is_some_and(|base| files.contains_key(base))
    })
}

fn read_into(files: &mut HashMap<String, Vec<u8>>, folder: &Path, prefix: &str) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            read_into(files, &entry.path(), &format!("{name}/"))?;
        } else {
            files.insert(name, std::fs::read(entry.path())?);
        }
    }
    Ok(())
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => HTML,
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("wasm") => "application/wasm",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("avif") => "image/avif",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("json" | "map") => "application/json",
        Some("webmanifest") => "application/manifest+json",
        Some("ttf") => "font/ttf",
        Some("woff2") => "font/woff2",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

impl Bundles {
    /// A file of the app, or one of its pages, by the decoded path.
    pub(crate) async fn page(&self, request: &HttpRequest, path: &str) -> HttpResponse {
        let Some(App { files, pages }) = &self.app else {
            return NOT_FOUND.as_json();
        };
        let name = path.trim_start_matches('/');
        match files.0.get(name) {
            Some(file) if name != "index.html" => file.answer(request),
            None if name.starts_with("assets/") => NOT_FOUND.as_json(),
            _ => {
                let Ok(after) = cursor_in(request.query_string()) else {
                    return self.not_found_page(request).await;
                };
                pages
                    .page(path, after, Language::of(request))
                    .await
                    .answer(request)
            }
        }
    }

    /// The 404 page.
    pub(crate) async fn not_found_page(&self, request: &HttpRequest) -> HttpResponse {
        match &self.app {
            Some(App { pages, .. }) => pages.not_found_page(Language::of(request)).await.answer(request),
            None => NOT_FOUND.as_json(),
        }
    }

    /// A file of the playground, by its path in the bundle.
    pub(crate) fn playground(&self, request: &HttpRequest, name: &str) -> HttpResponse {
        let name = if name.is_empty() { "index.html" } else { name };
        let files = self.playground.as_ref();
        match files.and_then(|files| files.0.get(name)) {
            Some(file) => file.answer(request),
            None => NOT_FOUND.as_json(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compressed_siblings_belong_to_their_file() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("assets")).unwrap();
        for (name, content) in [
            ("index.html", "<html>"),
            ("assets/a.js", "a"),
            ("assets/a.js.br", "b"),
            ("lone.gz", "c"),
        ] {
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        let bundle = Bundle::load(folder.path(), "").unwrap();
        let mut names: Vec<_> = bundle.0.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["assets/a.js", "index.html", "lone.gz"]);
    }
}
