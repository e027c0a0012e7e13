//! `./dev budget`: checks the cost of a first visit against fixed limits.
//!
//! Two parts: the sizes of the bundled files, and the behaviour of the page on a slow phone, measured by Lighthouse
//! with Debian's Chromium, on a seeded copy of the site, which is kept in cargo's target folder for the next run.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use harness::system::{Durability, Options, System};
use harness::workspace::{app_bundle, target_dir};
use serde::Deserialize;
use serde_json::Value;

use xtask::tools::{npm_tool, run, say};

const KB: f64 = 1024.0;
/// Transfer size, compressed with brotli.
const WASM_KB: f64 = 220.0;
const SCRIPT_KB: f64 = 10.0;
const STYLE_KB: f64 = 14.0;
/// All images in the first viewport of a phone.
const FIRST_IMAGES_KB: f64 = 350.0;

const LCP_SECONDS: f64 = 2.0;
const SHIFT: f64 = 0.02;

/// The median of three visits counts, because other processes disturb single ones.
const RUNS: usize = 3;

/// Root and containers have no sandbox; the other flags disable background requests of Chromium.
const CHROMIUM: &str = "--headless=new --no-sandbox --disable-dev-shm-usage --disable-gpu --disable-quic \
    --no-first-run --disable-background-networking --disable-component-update --disable-sync";

/// Measures a first visit, in bytes and in time, against its limits.
#[derive(Debug, Parser)]
#[command(name = "./dev budget", bin_name = "./dev budget", max_term_width = 100)]
struct Arguments {
    /// Check only the sizes of bundled files, without a browser.
    #[arg(long, conflicts_with = "release")]
    sizes: bool,
    /// Measure release builds, which take much longer to compile.
    #[arg(long)]
    release: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    xtask::exit_code(budget(Arguments::parse()).await)
}

async fn budget(arguments: Arguments) -> Result<()> {
    if arguments.sizes {
        return sizes();
    }
    let mut table = Table::default();
    add_sizes(&mut table)?;
    let visits = visit(arguments.release).await?;
    add_visits(&mut table, &visits);
    table.print();
    // The median decides; the lost points of single visits explain why.
    if !table.missed.is_empty() {
        let complaints = visits.iter().flat_map(|visit| &visit.complaints);
        table.missed.extend(complaints.cloned());
    }
    table.finish()
}

/// Checks the sizes, which `./dev test` does too.
fn sizes() -> Result<()> {
    let mut table = Table::default();
    add_sizes(&mut table)?;
    table.print();
    table.finish()
}

// Sizes

/// A file that browsers load.
struct Asset {
    name: String,
    /// Whether the page needs the file before it becomes interactive.
    initial: bool,
    raw: u64,
    compressed: u64,
}

impl Asset {
    fn is(&self, extension: &str) -> bool {
        Path::new(&self.name)
            .extension()
            .is_some_and(|own| own == extension)
    }
}

fn add_sizes(table: &mut Table) -> Result<()> {
    let assets = assets(&app_bundle())?;
    for (what, extension, limit) in [
        ("WebAssembly", "wasm", WASM_KB),
        ("script", "js", SCRIPT_KB),
        ("style", "css", STYLE_KB),
    ] {
        let of_kind: Vec<_> = assets.iter().filter(|asset| asset.is(extension)).collect();
        let initial: Vec<_> = of_kind.iter().filter(|asset| asset.initial).collect();
        ensure!(
            !initial.is_empty(),
            "the page loads no {what}: is the bundle whole?"
        );
        let sum = |size: fn(&Asset) -> u64| initial.iter().map(|asset| size(asset)).sum();
        table.add(Row {
            what: format!("initial {what}"),
            raw: Some(kb(sum(|asset| asset.raw))),
            measured: kb(sum(|asset| asset.compressed)),
            limit: Limit::AtMost(limit),
            unit: "KB",
        });
        for lazy in of_kind.iter().filter(|asset| !asset.initial) {
            table.add(Row {
                what: format!("  later: {}", lazy.name),
                raw: Some(kb(lazy.raw)),
                measured: kb(lazy.compressed),
                limit: Limit::None,
                unit: "KB",
            });
        }
    }
    Ok(())
}

/// Lists the bundle's `assets`. Initial are files that the page names, static imports of such scripts, and the main
/// code of the app.
fn assets(bundle: &Path) -> Result<Vec<Asset>> {
    let page = fs::read_to_string(bundle.join("index.html"))
        .context("the app is not bundled yet: run ./dev bundle")?;
    let folder = bundle.join("assets");
    let mut assets = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let compressed = folder.join(format!("{name}.br"));
        // Files without a compressed version are compressed versions themselves.
        if let Ok(compressed) = fs::metadata(compressed) {
            assets.push(Asset {
                initial: page.contains(&name) || is_the_app(&name),
                raw: fs::metadata(folder.join(&name))?.len(),
                compressed: compressed.len(),
                name,
            });
        }
    }
    assets.sort_by(|a, b| a.name.cmp(&b.name));
    let mut scripts: Vec<_> = assets
        .iter()
        .filter(|asset| asset.initial && asset.is("js"))
        .map(|asset| asset.name.clone())
        .collect();
    while let Some(script) = scripts.pop() {
        let text = fs::read_to_string(folder.join(script))?;
        for asset in &mut assets {
            if !asset.initial && imports(&text, &asset.name) {
                asset.initial = true;
                scripts.push(asset.name.clone());
            }
        }
    }
    Ok(assets)
}

/// Whether the file is the main code of the app. The other parts are loaded on demand.
fn is_the_app(name: &str) -> bool {
    name.starts_with("app-") && Path::new(name).extension().is_some_and(|own| own == "wasm")
}

/// Whether a module imports a file statically, not with `import()`.
fn imports(module: &str, name: &str) -> bool {
    module.match_indices(name).any(|(at, _)| {
        let before = &module[..at];
        let quote = before.rfind(['"', '\'', '`']).unwrap_or(0);
        let statement = before[..quote].trim_end();
        statement.ends_with("from") || statement.ends_with("import")
    })
}

#[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^52")]
fn kb(bytes: u64) -> f64 {
    bytes as f64 / KB
}

// Behaviour of the page

/// The result of one run of Lighthouse.
struct Visit {
    /// Points of 100, in the order of [`CATEGORIES`].
    scores: [f64; 4],
    lcp_seconds: f64,
    shift: f64,
    blocked_ms: f64,
    first_images_kb: f64,
    /// Findings in categories that must score 100.
    complaints: Vec<String>,
}

/// Lighthouse's name of a category, the name in the table, and the minimum of points.
const CATEGORIES: [(&str, &str, f64); 4] = [
    ("performance", "performance", 95.0),
    ("accessibility", "accessibility", 100.0),
    ("best-practices", "best practices", 100.0),
    ("seo", "SEO", 100.0),
];

/// Starts a seeded site and visits it several times.
async fn visit(release: bool) -> Result<Vec<Visit>> {
    let work = target_dir().join("budget");
    let system = System::start(Options {
        data_dir: Some(work.join("site")),
        binaries: release.then(|| target_dir().join("release")),
        durability: Durability::Fast,
        ..Options::default()
    })
    .await?;
    let visits = async {
        seed::seed(seed::Arguments {
            from: None,
            url: system.base_url(),
        })
        .await?;
        (1..=RUNS)
            .map(|number| {
                say(&format!("visit {number} of {RUNS}, on a slow phone"));
                lighthouse(&system.base_url(), &work.join(format!("visit-{number}")))
            })
            .collect::<Result<Vec<_>>>()
    }
    .await;
    system.stop().await;
    visits
}

fn lighthouse(site: &str, folder: &Path) -> Result<Visit> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    let report = folder.join("report.json");
    let only: Vec<_> = CATEGORIES.iter().map(|(id, ..)| *id).collect();
    let mut lighthouse: Command = npm_tool("lighthouse")?;
    lighthouse
        .arg(site)
        .args(["--quiet", "--output=json", "--no-enable-error-reporting"])
        .arg(format!("--output-path={}", report.display()))
        .arg(format!("--gather-mode={}", folder.display()))
        .arg(format!("--audit-mode={}", folder.display()))
        .arg(format!("--only-categories={}", only.join(",")))
        .arg(format!("--chrome-flags={CHROMIUM}"))
        .env("CHROME_PATH", "/usr/bin/chromium");
    run("Lighthouse", &mut lighthouse)?;
    let report: Report = serde_json::from_slice(&fs::read(report)?)?;
    let artifacts: Artifacts = serde_json::from_slice(&fs::read(folder.join("artifacts.json"))?)?;
    report.into_visit(&artifacts)
}

/// The used part of Lighthouse's report.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    runtime_error: Option<Value>,
    categories: Value,
    audits: Value,
}

/// The page as Lighthouse loaded it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Artifacts {
    image_elements: Vec<ImageElement>,
    viewport_dimensions: Viewport,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ImageElement {
    src: String,
    client_rect: ClientRect,
}

#[derive(Deserialize)]
struct ClientRect {
    top: f64,
    bottom: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Viewport {
    inner_height: f64,
}

impl Report {
    fn into_visit(self, artifacts: &Artifacts) -> Result<Visit> {
        if let Some(error) = &self.runtime_error {
            bail!("Lighthouse could not measure the page: {error}");
        }
        let mut scores = [0.0; 4];
        let mut complaints = Vec::new();
        for (at, (id, name, least)) in CATEGORIES.iter().enumerate() {
            scores[at] = 100.0 * self.categories[id]["score"].as_f64().unwrap_or(0.0);
            if scores[at] < *least {
                complaints.extend(self.lost_points(id).map(|audit| format!("{name}: {audit}")));
            }
        }
        Ok(Visit {
            scores,
            lcp_seconds: self.number("largest-contentful-paint")? / 1000.0,
            shift: self.number("cumulative-layout-shift")?,
            blocked_ms: self.number("total-blocking-time")?,
            first_images_kb: self.first_images(artifacts),
            complaints,
        })
    }

    fn number(&self, audit: &str) -> Result<f64> {
        self.audits[audit]["numericValue"]
            .as_f64()
            .with_context(|| format!("Lighthouse measured no {audit}"))
    }

    /// Returns the failed audits of a category, with the elements they name.
    fn lost_points(&self, category: &str) -> impl Iterator<Item = String> {
        let counted = self.categories[category]["auditRefs"].as_array();
        counted
            .into_iter()
            .flatten()
            .filter(|audit| audit["weight"].as_f64().unwrap_or(0.0) > 0.0)
            .filter_map(|audit| {
                let audit = &self.audits[audit["id"].as_str()?];
                let lost = audit["score"].as_f64().is_some_and(|score| score < 0.9);
                lost.then(|| {
                    let title = audit["title"].as_str().unwrap_or_default();
                    let shown = audit["displayValue"].as_str().unwrap_or_default();
                    let at: Vec<_> = audit["details"]["items"]
                        .as_array()
                        .into_iter()
                        .flatten()
                        .filter_map(|item| item["node"]["selector"].as_str().or(item["description"].as_str()))
                        .take(5)
                        .collect();
                    format!("{title} {shown} {}", at.join("; ")).trim_end().to_owned()
                })
            })
    }

    /// Returns the size of the images in the first viewport.
    fn first_images(&self, artifacts: &Artifacts) -> f64 {
        let height = artifacts.viewport_dimensions.inner_height;
        let first: Vec<_> = artifacts
            .image_elements
            .iter()
            .filter(|image| image.client_rect.top < height && image.client_rect.bottom > 0.0)
            .map(|image| image.src.as_str())
            .collect();
        let requests = self.audits["network-requests"]["details"]["items"].as_array();
        requests
            .into_iter()
            .flatten()
            .filter(|request| request["url"].as_str().is_some_and(|url| first.contains(&url)))
            .filter_map(|request| request["transferSize"].as_f64())
            .sum::<f64>()
            / KB
    }
}

fn add_visits(table: &mut Table, visits: &[Visit]) {
    let mut add = |what: &str, limit: Limit, unit: &'static str, number: &dyn Fn(&Visit) -> f64| {
        table.add(Row {
            what: what.to_owned(),
            raw: None,
            measured: median(visits.iter().map(number).collect()),
            limit,
            unit,
        });
    };
    add(
        "first-viewport images",
        Limit::AtMost(FIRST_IMAGES_KB),
        "KB",
        &|visit| visit.first_images_kb,
    );
    for (at, (_, name, least)) in CATEGORIES.iter().enumerate() {
        add(name, Limit::AtLeast(*least), "of 100", &|visit| visit.scores[at]);
    }
    add("LCP", Limit::AtMost(LCP_SECONDS), "s", &|visit| visit.lcp_seconds);
    add("CLS", Limit::AtMost(SHIFT), "", &|visit| visit.shift);
    add("TBT", Limit::None, "ms", &|visit| visit.blocked_ms);
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

// The table

#[derive(Clone, Copy)]
enum Limit {
    AtMost(f64),
    AtLeast(f64),
    None,
}

impl Limit {
    fn allows(self, measured: f64) -> bool {
        match self {
            Self::AtMost(most) => measured <= most,
            Self::AtLeast(least) => measured >= least,
            Self::None => true,
        }
    }
}

struct Row {
    what: String,
    /// Before compression.
    raw: Option<f64>,
    measured: f64,
    limit: Limit,
    unit: &'static str,
}

#[derive(Default)]
struct Table {
    rows: Vec<Row>,
    missed: Vec<String>,
}

impl Table {
    fn add(&mut self, row: Row) {
        if !row.limit.allows(row.measured) {
            self.missed.push(format!("{} misses its limit", row.what));
        }
        self.rows.push(row);
    }

    fn print(&self) {
        println!("\n{:<34} {:>10} {:>10}  {:<7} limit", "", "raw", "measured", "");
        for Row {
            what,
            raw,
            measured,
            limit,
            unit,
        } in &self.rows
        {
            let raw = raw.map(|raw| format!("{raw:.1}")).unwrap_or_default();
            let verdict = if limit.allows(*measured) { "" } else { "  MISSED" };
            let limit = match limit {
                Limit::AtMost(most) => format!("≤ {most}"),
                Limit::AtLeast(least) => format!("≥ {least}"),
                Limit::None => String::new(),
            };
            let digits = if unit.is_empty() || *unit == "s" { 3 } else { 1 };
            println!("{what:<34} {raw:>10} {measured:>10.digits$}  {unit:<7} {limit}{verdict}");
        }
        println!("\nKB are 1,024 bytes; what is measured of files is what brotli makes of them.");
    }

    fn finish(mut self) -> Result<()> {
        self.missed.sort();
        self.missed.dedup();
        if self.missed.is_empty() {
            return Ok(());
        }
        bail!("not within the budget:\n  {}", self.missed.join("\n  "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_static_imports_are_initial() {
        let module = r#"import{a}from"./near.js";import "/assets/bare.js";const b=()=>import("./far.js");fetch("x.js")"#;
        assert!(imports(module, "near.js") && imports(module, "bare.js"));
        assert!(!imports(module, "far.js") && !imports(module, "x.js") && !imports(module, "y.js"));
    }

    #[test]
    fn files_are_classified_and_compared_with_limits() {
        let bundle = tempfile::tempdir().unwrap();
        let assets_dir = bundle.path().join("assets");
        fs::create_dir_all(&assets_dir).unwrap();
        fs::write(bundle.path().join("index.html"), "<script src=/assets/app-1.js>").unwrap();
        for (name, text) in [
            ("app-1.js", "import'./part-2.js'"),
            ("part-2.js", ""),
            ("late-3.js", ""),
            ("app-4.wasm", ""),
            ("part-5.wasm", ""),
        ] {
            fs::write(assets_dir.join(name), text).unwrap();
            fs::write(assets_dir.join(format!("{name}.br")), "br").unwrap();
        }
        let initial: Vec<_> = assets(bundle.path())
            .unwrap()
            .into_iter()
            .filter(|asset| asset.initial)
            .map(|asset| asset.name)
            .collect();
        assert_eq!(initial, ["app-1.js", "app-4.wasm", "part-2.js"]);

        let mut table = Table::default();
        for (what, limit) in [("small", Limit::AtMost(2.0)), ("large", Limit::AtMost(0.5))] {
            table.add(Row {
                what: what.to_owned(),
                raw: None,
                measured: 1.0,
                limit,
                unit: "KB",
            });
        }
        assert_eq!(table.missed, ["large misses its limit"]);
    }

    #[test]
    fn the_median_counts() {
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
    }
}
