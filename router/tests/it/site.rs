//! The app, the playground and the health checks.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::fakes::Fakes;
use crate::gateway::{Gateway, header};

const PAGE: &str = "<!doctype html><title>Proofsheet</title>";

fn bundle() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("assets")).unwrap();
    for (name, content) in [
        ("index.html", PAGE),
        ("assets/app-1a2b.js", "plain"),
        ("assets/app-1a2b.js.br", "as brotli"),
        ("assets/app-1a2b.js.gz", "as gzip"),
        ("assets/app-1a2b.wasm", "wasm"),
    ] {
        fs::write(folder.path().join(name), content).unwrap();
    }
    folder
}

/// A bundle whose page has no placeholders is served unchanged.
#[tokio::test]
async fn other_paths_serve_the_app() {
    let (fakes, app) = (Fakes::start().await, bundle());
    let gateway = Gateway::start_with(&fakes, &[("--app-dir", app.path().to_str().unwrap())]).await;
    for (path, status) in [
        ("/", 200),
        ("/hot/2026-11-22", 200),
        ("/@ada", 200),
        ("/p/01936f5e-7c00-7000-8000-000000000001", 200),
        ("/settings", 200),
        ("/index.html", 404),
        ("/nonsense", 404),
    ] {
        let answer = gateway.get(path).send().await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
        assert_eq!(header(&answer, "cache-control"), Some("no-cache"));
        assert_eq!(header(&answer, "content-type"), Some("text/html; charset=utf-8"));
        let policy = header(&answer, "content-security-policy").unwrap();
        assert!(
            !policy.contains("unsafe-inline") && !policy.contains("'unsafe-eval'"),
            "{policy}"
        );
        assert!(
            policy.contains("frame-ancestors 'none'") && policy.contains("'wasm-unsafe-eval'"),
            "{policy}"
        );
        assert_eq!(header(&answer, "x-content-type-options"), Some("nosniff"));
        assert!(header(&answer, "referrer-policy").is_some());
        assert_eq!(
            header(&answer, "strict-transport-security"),
            None,
            "not over http"
        );
        assert_eq!(answer.text().await.unwrap(), PAGE);
    }
    let answer = gateway.http.post(gateway.url("/hot")).send().await.unwrap();
    assert_eq!(answer.status(), 405);
    let page = gateway.get("/").send().await.unwrap();
    let again = gateway
        .get("/")
        .header("if-none-match", header(&page, "etag").unwrap())
        .send()
        .await
        .unwrap();
    assert_eq!(again.status(), 304);
}

#[tokio::test]
async fn files_are_immutable_and_compressed() {
    let (fakes, app) = (Fakes::start().await, bundle());
    let gateway = Gateway::start_with(&fakes, &[("--app-dir", app.path().to_str().unwrap())]).await;
    for (accepted, encoding, content) in [
        ("gzip, deflate, br", Some("br"), "as brotli"),
        ("gzip", Some("gzip"), "as gzip"),
        ("identity", None, "plain"),
        ("br;q=0", None, "plain"),
    ] {
        let answer = gateway
            .get("/assets/app-1a2b.js")
            .header("accept-encoding", accepted)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(header(&answer, "content-encoding"), encoding, "{accepted}");
        assert_eq!(
            header(&answer, "cache-control"),
            Some("public, max-age=31536000, immutable")
        );
        assert_eq!(
            header(&answer, "content-type"),
            Some("text/javascript; charset=utf-8")
        );
        assert_eq!(header(&answer, "vary"), Some("accept-encoding"));
        assert_eq!(answer.text().await.unwrap(), content);
    }
    let wasm = gateway.get("/assets/app-1a2b.wasm").send().await.unwrap();
    assert_eq!(header(&wasm, "content-type"), Some("application/wasm"));
    let answer = gateway.get("/assets/app-of-yesterday.js").send().await.unwrap();
    assert_eq!(
        answer.status(),
        404,
        "an old page must not take HTML for a script"
    );
}

#[tokio::test]
async fn the_playground_is_served() {
    let (fakes, playground) = (Fakes::start().await, bundle());
    let gateway = Gateway::start_with(
        &fakes,
        &[("--playground-dir", playground.path().to_str().unwrap())],
    )
    .await;
    let page = gateway.get("/playground").send().await.unwrap();
    assert_eq!(page.status(), 200);
    let policy = header(&page, "content-security-policy").unwrap();
    assert!(
        policy.contains("script-src 'self';") && policy.contains("style-src 'self';"),
        "{policy}"
    );
    let script = gateway
        .get("/playground/assets/app-1a2b.js")
        .send()
        .await
        .unwrap();
    assert_eq!(script.text().await.unwrap(), "plain");
    assert_eq!(
        gateway
            .get("/playground/assets/nothing.js")
            .send()
            .await
            .unwrap()
            .status(),
        404
    );
    assert_eq!(
        gateway.get("/").send().await.unwrap().status(),
        404,
        "no app was given"
    );
}

#[tokio::test]
async fn probes_query_no_service_and_metrics_are_internal() {
    let fakes = Fakes::start().await;
    let gateway = Gateway::start(&fakes).await;
    for path in ["/health", "/readiness"] {
        assert_eq!(gateway.get(path).send().await.unwrap().status(), 200);
        let internal = format!("http://{}{path}", gateway.internal);
        assert_eq!(gateway.http.get(internal).send().await.unwrap().status(), 200);
    }
    for fake in fakes.all() {
        assert!(fake.take_seen().is_empty());
    }
    gateway
        .query("{ latestPhotos { nodes { id votes { score } } } }")
        .await;
    assert_eq!(gateway.get("/metrics").send().await.unwrap().status(), 404);
    let metrics = gateway
        .http
        .get(format!("http://{}/metrics", gateway.internal))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(
        metrics.contains(r#"proofsheet_router_subgraph_requests_total{subgraph="photo"} 1"#),
        "{metrics}"
    );
    assert!(
        metrics.contains(r#"proofsheet_router_requests_total{area="graphql",status="200"} 1"#),
        "{metrics}"
    );
}

#[tokio::test]
async fn graphql_answers_are_compressed_and_never_cached() {
    let fakes = Fakes::start().await;
    let gateway = Gateway::start(&fakes).await;
    let introspection = "{ __schema { types { name description fields { name } } } }";
    let answer = gateway
        .operation(introspection)
        .header("accept-encoding", "gzip")
        .send()
        .await
        .unwrap();
    assert_eq!(header(&answer, "content-encoding"), Some("gzip"));
    assert_eq!(header(&answer, "cache-control"), Some("no-store"));
}

#[tokio::test]
async fn sigterm_finishes_open_requests() {
    let fakes = Fakes::start().await;
    let mut gateway = Gateway::start_with(&fakes, &[("--shutdown-delay", "1")]).await;
    fakes["photo"].delay(Duration::from_millis(2500));
    let running = tokio::spawn(gateway.operation("{ latestPhotos { nodes { title } } }").send());
    tokio::time::sleep(Duration::from_millis(300)).await;

    let id = gateway.process.id().unwrap().to_string();
    assert!(
        tokio::process::Command::new("kill")
            .arg(id)
            .status()
            .await
            .unwrap()
            .success()
    );
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(
        gateway.get("/readiness").send().await.unwrap().status(),
        503,
        "not ready at once"
    );
    assert_eq!(
        gateway.get("/health").send().await.unwrap().status(),
        200,
        "but alive"
    );

    let answer: Value = running.await.unwrap().unwrap().json().await.unwrap();
    assert_eq!(answer["data"]["latestPhotos"]["nodes"][0]["title"], "A heron");
    let ended = tokio::time::timeout(Duration::from_secs(10), gateway.process.wait()).await;
    assert!(ended.expect("the router ends soon").unwrap().success());
}

#[test]
fn the_playgrounds_operations_fit_the_schema() {
    use hive_router::graphql_tools::validation::rules::default_rules_validation_plan;
    use hive_router::graphql_tools::validation::validate::validate;
    use hive_router::query_planner::consumer_schema::ConsumerSchema;
    use hive_router::query_planner::utils::parsing::{parse_operation, parse_schema};

    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let supergraph = fs::read_to_string(root.join("../supergraph.graphql")).unwrap();
    let schema = ConsumerSchema::new_from_supergraph(&parse_schema(&supergraph));
    let mut operations = 0;
    for file in fs::read_dir(root.join("playground/src/operations")).unwrap() {
        let file = file.unwrap().path();
        let operation = parse_operation(&fs::read_to_string(&file).unwrap());
        let errors = validate(&schema.document, &operation, &default_rules_validation_plan());
        assert!(errors.is_empty(), "{}: {errors:?}", file.display());
        operations += 1;
    }
    assert!(operations >= 5);
}
