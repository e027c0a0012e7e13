//! Metrics, alerts and the dashboard.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use harness::system::{Options, SERVICES, System};
use harness::workspace::{binaries, root};
use serde_json::{Value, json};
use walkdir::WalkDir;

use crate::prometheus::{Prometheus, program};

fn observe() -> PathBuf {
    root().join("compose/observe")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// Runs promtool on files of the stack, or on its input.
fn promtool(arguments: &[&str], input: Option<&str>) {
    let mut child = Command::new(program("promtool"))
        .args(arguments)
        .current_dir(observe())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.unwrap_or_default().as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success(),
        "promtool {arguments:?}: {}",
        String::from_utf8_lossy(&text)
    );
}

#[test]
fn promtool_accepts_the_rules_and_their_tests() {
    promtool(&["check", "config", "prometheus.yml"], None);
    promtool(&["check", "rules", "slo.yml", "alerts.yml"], None);
    promtool(
        &["test", "rules", "alerts_test.yml", "slow_alerts_test.yml"],
        None,
    );
}

/// The value of every line of a file that begins with `key`, after indentation and a list marker.
fn values<'t>(text: &'t str, key: &str) -> Vec<&'t str> {
    text.lines()
        .filter_map(|line| line.trim().trim_start_matches("- ").strip_prefix(key))
        .map(str::trim)
        .collect()
}

#[test]
fn every_alert_is_tested_and_has_a_section_in_the_guide() {
    let alerts = read("compose/observe/alerts.yml");
    let tests =
        ["alerts_test.yml", "slow_alerts_test.yml"].map(|file| read(&format!("compose/observe/{file}")));
    let tests = tests.concat();
    let guide = read("docs/alerts.md");
    let names = values(&alerts, "alert:");
    assert!(names.len() > 10);
    assert_eq!(values(&alerts, "runbook_url:").len(), names.len());
    for name in names {
        let anchor = name.to_lowercase();
        assert!(
            alerts.contains(&format!("runbook_url: docs/alerts.md#{anchor}\n")),
            "{name}"
        );
        assert!(
            guide.lines().any(|line| line == format!("### {name}")),
            "docs/alerts.md has no section for {name}"
        );
        let expected: Vec<&str> = tests.split(&format!("alertname: {name}\n")).skip(1).collect();
        let fires = |text: &&str| text.trim_start().starts_with("exp_alerts:\n");
        assert!(expected.iter().any(fires), "no test in which {name} fires");
        assert!(
            !expected.iter().all(fires),
            "no test in which {name} does not fire"
        );
    }
}

/// A metric that is declared in the sources.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct DeclaredMetric {
    name: String,
    kind: String,
    help: String,
    /// `router`, the service, or `all`.
    program: String,
}

/// Returns every `Metric::Kind("name", "help")` in the router and the services.
fn declared_metrics() -> Vec<DeclaredMetric> {
    let mut found = Vec::new();
    let folders = ["router/src", "subgraphs"].map(|folder| root().join(folder));
    let files = folders.iter().flat_map(WalkDir::new).filter_map(Result::ok);
    for file in files.filter(|file| file.path().extension().is_some_and(|extension| extension == "rs")) {
        let text = fs::read_to_string(file.path()).unwrap();
        for part in text.split("Metric::").skip(1) {
            let Some((kind @ ("Counter" | "Gauge" | "Histogram"), rest)) = part.split_once('(') else {
                continue;
            };
            let mut strings = rest.split('"');
            let (first, name, help) = (strings.next(), strings.next(), strings.nth(1));
            let (Some(first), Some(name), Some(help)) = (first, name, help) else {
                continue;
            };
            // Skip the definition of the enum, and patterns.
            if first.trim().is_empty() {
                found.push(DeclaredMetric {
                    name: name.to_owned(),
                    kind: kind.to_lowercase(),
                    help: help.to_owned(),
                    program: program_of(file.path()),
                });
            }
        }
    }
    found.sort();
    found
}

fn program_of(file: &Path) -> String {
    let path = file.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
    let mut parts = path.split('/');
    match (parts.next(), parts.next()) {
        (Some("subgraphs"), Some("chassis" | "subgraph")) => "all".to_owned(),
        (Some("subgraphs"), Some(service)) => service.to_owned(),
        _ => "router".to_owned(),
    }
}

#[test]
fn the_table_of_metrics_is_current() {
    let page = read("docs/observing.md");
    let rows: BTreeSet<&str> = page.lines().filter(|line| line.starts_with("| `pro")).collect();
    let expected: Vec<String> = declared_metrics()
        .iter()
        .map(|metric| {
            let DeclaredMetric {
                name,
                kind,
                help,
                program,
            } = metric;
            format!("| `{name}` | {program} | {kind} | {help} |")
        })
        .collect();
    assert!(expected.len() > 30, "{expected:?}");
    let expected_rows: BTreeSet<&str> = expected.iter().map(String::as_str).collect();
    assert_eq!(
        rows,
        expected_rows,
        "the table of docs/observing.md should be\n{}",
        expected.join("\n")
    );
}

/// Metrics of other programs: the database agent and backup.
const OTHER_PROGRAMS: [&str; 4] = [
    "mysql_",
    "proofsheet_database_volume",
    "proofsheet_database_refuses",
    "proofsheet_backup_",
];

/// Returns the metrics in an expression.
fn metrics_of(expression: &str) -> BTreeSet<String> {
    expression
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|word| {
            ["proofsheet_", "mysql_", "process_"]
                .iter()
                .any(|family| word.starts_with(family))
        })
        .map(str::to_owned)
        .collect()
}

fn is_of_other_programs(metric: &str) -> bool {
    OTHER_PROGRAMS.iter().any(|family| metric.starts_with(family))
}

/// Every panel's title and expressions.
fn panels() -> Vec<(String, Vec<String>)> {
    let dashboard: Value = serde_json::from_str(&read("compose/observe/dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let panels = panels.iter().filter(|panel| panel["type"] != "row");
    panels
        .map(|panel| {
            let targets = panel["targets"].as_array().unwrap();
            let expressions = targets
                .iter()
                .map(|target| target["expr"].as_str().unwrap().to_owned());
            (panel["title"].as_str().unwrap().to_owned(), expressions.collect())
        })
        .collect()
}

#[test]
fn rules_and_panels_use_existing_metrics() {
    let ours: BTreeSet<String> = declared_metrics().into_iter().map(|metric| metric.name).collect();
    let mut agents = String::new();
    for file in WalkDir::new(root().join("compose"))
        .into_iter()
        .filter_map(Result::ok)
    {
        if file.path().extension().is_some_and(|extension| extension == "rs") {
            agents += &fs::read_to_string(file.path()).unwrap();
        }
    }
    let mut used: BTreeSet<String> = panels()
        .iter()
        .flat_map(|(_, expressions)| expressions.iter().flat_map(|text| metrics_of(text)))
        .collect();
    for file in ["slo.yml", "alerts.yml"] {
        for line in read(&format!("compose/observe/{file}"))
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'))
        {
            used.extend(metrics_of(line));
        }
    }
    assert!(used.len() > 40, "{used:?}");
    for metric in used {
        let family = ["_bucket", "_count", "_sum"]
            .iter()
            .find_map(|part| metric.strip_suffix(part))
            .filter(|family| ours.contains(*family));
        let is_known = if is_of_other_programs(&metric) {
            // The agent composes these names.
            let tail = metric
                .trim_start_matches("mysql_global_status_")
                .trim_start_matches("mysql_global_variables_");
            agents.contains(&metric) || agents.contains(tail)
        } else {
            family.is_some() || ours.contains(&metric)
        };
        assert!(is_known, "no program exports {metric}");
    }
}

/// Seeds the site with users, uploads, votes and comments.
fn seed(system: &System, pictures: &Path) {
    let seed = Command::new(binaries().join("seed"))
        .args(["--url", &system.base_url(), "--from"])
        .arg(pictures)
        .output()
        .unwrap();
    assert!(seed.status.success(), "{}", String::from_utf8_lossy(&seed.stderr));
}

/// Acts as a visitor: requests timelines, pages and pictures, and sends refused operations.
async fn visit(system: &System) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let operations = read("frontend/operations.graphql");
    let latest = operations
        .split("\n}\n")
        .find(|text| text.contains("query LatestPhotos("));
    let latest = format!("{}\n}}", latest.unwrap());
    let latest = &latest[latest.find("query LatestPhotos(").unwrap()..];
    let graphql = |query: Value| {
        let request = client.post(format!("{}/graphql", system.base_url()));
        request.header("x-proofsheet", "1").json(&query).send()
    };
    let answer = graphql(json!({
        "query": latest, "operationName": "LatestPhotos", "variables": { "first": 5 }
    }));
    let answer: Value = answer.await.unwrap().json().await.unwrap();
    let photo = &answer["data"]["latestPhotos"]["nodes"][0];
    let srcset = photo["sources"][0]["srcset"].as_str();
    let srcset = srcset.unwrap_or_else(|| panic!("no pictures in {answer}"));
    let picture = srcset.split_once(' ').unwrap().0;
    for path in [picture, "/", "/hot"] {
        let answer = client.get(format!("{}{path}", system.base_url())).send().await;
        let answer = answer.unwrap();
        assert!(answer.status().is_success(), "{path}");
        answer.bytes().await.unwrap();
    }
    for query in [
        "{ photo(id: \"nonsense\") { id } }",
        "{ nothing }",
        "{ hotPhotos(first: 2) { nodes { id votes { score } author { username } } } }",
    ] {
        graphql(json!({ "query": query })).await.unwrap();
    }
}

fn pictures() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (number, name) in ["heron.jpg", "harbour.jpg"].iter().enumerate() {
        let shade = u8::try_from(80 * (number + 1)).unwrap();
        let picture = image::RgbImage::from_fn(480, 320, |x, y| {
            image::Rgb([shade, u8::try_from(x / 2).unwrap(), u8::try_from(y / 2).unwrap()])
        });
        picture.save(folder.path().join(name)).unwrap();
    }
    folder
}

fn address(url: &str) -> String {
    url.trim_start_matches("http://").to_owned()
}

async fn metrics(url: &str) -> String {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client.get(format!("{url}/metrics")).send().await.unwrap();
    answer.error_for_status().unwrap().text().await.unwrap()
}

/// Returns the names and types of the metrics in the response of `/metrics`.
fn families(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
        .collect()
}

/// Metrics that appear only with an outage, an attack or a certificate.
const EXPORTED_ON_FAILURE: [&str; 12] = [
    "proofsheet_database_retries_total",
    "proofsheet_event_delivery_failures_total",
    "proofsheet_photos_beyond_repair",
    "proofsheet_reconcile_repairs_total",
    "proofsheet_refresh_token_replays_total",
    "proofsheet_router_page_queries_failed_total",
    "proofsheet_router_rate_limited_total",
    "proofsheet_router_cost_limited_total",
    "proofsheet_router_subgraph_errors_total",
    "proofsheet_router_concurrency_limited_total",
    "proofsheet_tls_certificate_expiry_timestamp_seconds",
    "proofsheet_uploads_refused_total",
];

/// The panels for a cluster, backups and TLS, which this system does not have. Their metrics are checked in tests of
/// the agent, of the backup and of the router's https.
fn needs_other_programs(expression: &str) -> bool {
    let metrics = metrics_of(expression);
    !metrics.is_empty()
        && metrics
            .iter()
            .all(|metric| is_of_other_programs(metric) || metric.starts_with("proofsheet_tls_"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_target_is_scraped_and_every_panel_has_data() {
    let system = System::start(Options::default()).await.unwrap();
    let mut jobs: Vec<(&str, String)> = SERVICES
        .iter()
        .map(|service| (*service, address(&system.url(service))))
        .collect();
    jobs.push(("router", address(&system.router_internal_url())));
    let scraped = read("compose/observe/prometheus.yml");
    for (job, _) in &jobs {
        assert!(
            values(&scraped, "job_name:").contains(job),
            "{job} is not scraped"
        );
    }
    let prometheus = Prometheus::start(&jobs, &observe()).await;
    let pictures = pictures();
    seed(&system, pictures.path());

    // Rates need two scrapes with a change between them.
    let deadline = Instant::now() + Duration::from_secs(180);
    loop {
        visit(&system).await;
        let mut empty = Vec::new();
        for (title, expressions) in panels() {
            for expression in expressions {
                let expression = expression.replace("$__rate_interval", "1m");
                let values = prometheus.values(&expression).await;
                if values.is_empty() && !needs_other_programs(&expression) && !is_about_repairs(&expression) {
                    empty.push(format!("{title}: {expression}"));
                }
            }
        }
        if empty.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "panels without data: {empty:#?}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(
        prometheus.values("sum(up)").await,
        [f64::from(u32::try_from(jobs.len()).unwrap())]
    );

    let mut exported = BTreeMap::new();
    for (job, address) in &jobs {
        let text = metrics(&format!("http://{address}")).await;
        promtool(&["check", "metrics"], Some(&text));
        let families = families(&text);
        assert!(
            families.contains_key("process_start_time_seconds"),
            "{job}: {text}"
        );
        exported.extend(families);
    }
    for metric in declared_metrics() {
        match exported.remove(&metric.name) {
            Some(kind) => assert_eq!(kind, metric.kind, "{}", metric.name),
            None => assert!(
                EXPORTED_ON_FAILURE.contains(&metric.name.as_str()),
                "no data for {}",
                metric.name
            ),
        }
    }
    assert!(
        exported.is_empty(),
        "these metrics are not declared: {exported:?}"
    );
    system.stop().await;
}

/// A new system needs no repairs.
fn is_about_repairs(expression: &str) -> bool {
    expression.contains("proofsheet_reconcile_repairs_total")
}
