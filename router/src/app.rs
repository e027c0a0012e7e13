//! Serves the app and the playground: bundles of files that are read once, at start.
//!
//! A file under `assets/` carries a hash of its content in its name, so browsers keep it for a year; the page
//! itself is asked for again every time, which costs a 304. Files have `.br` and `.gz` siblings made by the build.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use hive_router::ntex::http::header::{ACCEPT_ENCODING, IF_NONE_MATCH};
use hive_router::ntex::http::{Method, StatusCode};
use hive_router::ntex::util::Bytes;
use hive_router::ntex::web::{self, HttpRequest, HttpResponse, ServiceConfig};

use crate::answers::Refusal;

/// Nothing but our own files runs, and nobody may frame us. The app is WebAssembly.
const APP_POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; \
    img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; manifest-src 'self'; form-action 'self'; \
    base-uri 'none'; frame-ancestors 'none'";
/// The playground's editor (Monaco) writes style elements, so this one page allows them; scripts it does not.
const PLAYGROUND_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; font-src 'self' data:; connect-src 'self'; worker-src 'self'; form-action 'none'; \
    base-uri 'none'; frame-ancestors 'none'";

const IMMUTABLE: &str = "public, max-age=31536000, immutable";
const ASK_AGAIN: &str = "no-cache";

const NOT_FOUND: Refusal = Refusal::new(StatusCode::NOT_FOUND, "NOT_FOUND", "There is nothing here.");
const NOT_ALLOWED: Refusal = Refusal::new(
    StatusCode::METHOD_NOT_ALLOWED,
    "INVALID_INPUT",
    "This address can only be read.",
);

/// Both bundles.
pub(crate) struct Site {
    pub(crate) app: Option<Bundle>,
    pub(crate) playground: Option<Bundle>,
}

/// The files of one folder, by their path in it.
pub(crate) struct Bundle(HashMap<String, File>);

struct File {
    content_type: &'static str,
    etag: String,
    plain: Bytes,
    brotli: Option<Bytes>,
    gzip: Option<Bytes>,
}

impl Bundle {
    /// Reads a bundle, if there is to be one.
    pub(crate) fn load_if_given(folder: Option<&Path>, name: &str) -> anyhow::Result<Option<Self>> {
        let Some(folder) = folder else {
            tracing::info!("no folder for the {name} was given: it is not served");
            return Ok(None);
        };
        if !folder.exists() {
            tracing::warn!("{} is not there: the {name} is not served", folder.display());
            return Ok(None);
        }
        let bundle = Self::load(folder)?;
        ensure!(
            bundle.0.contains_key("index.html"),
            "{} has no index.html: build the {name} first",
            folder.display()
        );
        Ok(Some(bundle))
    }

    fn load(folder: &Path) -> anyhow::Result<Self> {
        let mut files = HashMap::new();
        read_into(&mut files, folder, "").with_context(|| format!("cannot read {}", folder.display()))?;
        let names: Vec<String> = files
            .keys()
            .filter(|name| !is_sibling(name, &files))
            .cloned()
            .collect();
        let mut take = |name: String| files.remove(&name).map(Bytes::from);
        let bundle = names.into_iter().filter_map(|name| {
            let brotli = take(format!("{name}.br"));
            let gzip = take(format!("{name}.gz"));
            let plain = take(name.clone())?;
            let mut hasher = DefaultHasher::new();
            plain.hash(&mut hasher);
            let etag = format!("\"{:016x}\"", hasher.finish());
            Some((
                name.clone(),
                File {
                    content_type: content_type(&name),
                    etag,
                    plain,
                    brotli,
                    gzip,
                },
            ))
        });
        Ok(Self(bundle.collect()))
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
        Some("html") => "text/html; charset=utf-8",
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

/// The playground's addresses; everything else that nobody owns is [`page`]'s.
pub(crate) fn routes(app: &mut ServiceConfig) {
    app.route("/playground", web::to(playground))
        .route("/playground/{file}*", web::to(playground));
}

/// A file of the app, or the app's one page, which knows what to show at any address.
pub(crate) async fn page(request: HttpRequest, site: web::types::State<Arc<Site>>) -> HttpResponse {
    let Some(app) = &site.app else {
        return NOT_FOUND.as_json();
    };
    let name = request.path().trim_start_matches('/');
    match app.0.get(name) {
        Some(file) if name != "index.html" => serve(&request, file, name, APP_POLICY),
        None if name.starts_with("assets/") => NOT_FOUND.as_json(),
        _ => serve(&request, &app.0["index.html"], "index.html", APP_POLICY),
    }
}

async fn playground(request: HttpRequest, site: web::types::State<Arc<Site>>) -> HttpResponse {
    let Some(playground) = &site.playground else {
        return NOT_FOUND.as_json();
    };
    let name = match request
        .path()
        .trim_start_matches("/playground")
        .trim_start_matches('/')
    {
        "" => "index.html",
        name => name,
    };
    match playground.0.get(name) {
        Some(file) => serve(&request, file, name, PLAYGROUND_POLICY),
        None => NOT_FOUND.as_json(),
    }
}

fn serve(request: &HttpRequest, file: &File, name: &str, policy: &str) -> HttpResponse {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return NOT_ALLOWED.as_json();
    }
    let immutable = name.starts_with("assets/");
    let header = |name| {
        request
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    let unchanged = header(IF_NONE_MATCH)
        .split(',')
        .any(|tag| tag.trim().trim_start_matches("W/") == file.etag);

    let mut response = HttpResponse::build(if unchanged {
        StatusCode::NOT_MODIFIED
    } else {
        StatusCode::OK
    });
    response
        .header("cache-control", if immutable { IMMUTABLE } else { ASK_AGAIN })
        .header("etag", file.etag.as_str())
        .header("vary", "accept-encoding")
        .header("cross-origin-resource-policy", "same-origin");
    if file.content_type.starts_with("text/html") {
        response
            .header("content-security-policy", policy)
            .header("referrer-policy", "same-origin")
            .header("cross-origin-opener-policy", "same-origin")
            .header("permissions-policy", "camera=(), geolocation=(), microphone=()");
    }
    if unchanged {
        return response.finish();
    }
    let accepted = header(ACCEPT_ENCODING);
    let (body, encoding) = match (&file.brotli, &file.gzip) {
        (Some(brotli), _) if accepts(accepted, "br") => (brotli, Some("br")),
        (_, Some(gzip)) if accepts(accepted, "gzip") => (gzip, Some("gzip")),
        _ => (&file.plain, None),
    };
    if let Some(encoding) = encoding {
        response.header("content-encoding", encoding);
    }
    response.content_type(file.content_type).body(body.clone())
}

/// Whether `Accept-Encoding` names this coding, and not with a quality of zero.
fn accepts(header: &str, coding: &str) -> bool {
    header.split(',').any(|entry| {
        let (name, parameters) = entry.split_once(';').unwrap_or((entry, ""));
        let quality = parameters
            .trim()
            .strip_prefix("q=")
            .and_then(|quality| quality.trim().parse::<f32>().ok());
        name.trim().eq_ignore_ascii_case(coding) && quality != Some(0.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_negotiated() {
        assert!(accepts("gzip, deflate, br", "br"));
        assert!(accepts("BR;q=0.5", "br"));
        assert!(!accepts("br;q=0, gzip", "br"));
        assert!(!accepts("", "gzip"));
    }

    #[test]
    fn siblings_belong_to_their_file() {
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
        let bundle = Bundle::load(folder.path()).unwrap();
        let mut names: Vec<_> = bundle.0.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["assets/a.js", "index.html", "lone.gz"]);
        assert!(bundle.0["assets/a.js"].brotli.is_some());
    }
}
