//! Prometheus and promtool, which `./dev test` installs from Debian.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use harness::system::free_port;
use harness::workspace::target_dir;
use serde_json::Value;

/// Returns the path of `prometheus` or `promtool`.
pub(crate) fn program(name: &str) -> PathBuf {
    let ours = target_dir().join("tools/debian/usr/bin").join(name);
    if ours.is_file() {
        return ours;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
        .unwrap_or_else(|| panic!("{name} is missing; ./dev test installs it"))
}

/// A running Prometheus. Ends when dropped.
pub(crate) struct Prometheus {
    process: Child,
    url: String,
    client: reqwest::Client,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    /// Starts Prometheus. `jobs` are names and addresses, `rules` the folder with the rules.
    pub(crate) async fn start(jobs: &[(&str, String)], rules: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [{0}/slo.yml, {0}/alerts.yml]\nscrape_configs:\n",
            rules.display()
        );
        for (name, address) in jobs {
            let _ = writeln!(
                config,
                "  - {{job_name: {name}, static_configs: [{{targets: ['{address}']}}]}}"
            );
        }
        let file = folder.path().join("prometheus.yml");
        fs::write(&file, config).unwrap();
        let address = format!("127.0.0.1:{}", free_port().unwrap());
        let process = Command::new(program("prometheus"))
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=error")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let prometheus = Self {
            process,
            url: format!("http://{address}"),
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            _folder: folder,
        };
        let deadline = Instant::now() + Duration::from_secs(60);
        while prometheus.get("/-/ready", &[]).await.is_none() {
            assert!(Instant::now() < deadline, "Prometheus does not start");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        prometheus
    }

    async fn get(&self, path: &str, query: &[(&str, &str)]) -> Option<String> {
        let request = self.client.get(format!("{}{path}", self.url)).query(query);
        let answer = request.send().await.ok()?;
        answer.error_for_status().ok()?.text().await.ok()
    }

    /// Returns the current values of an expression.
    pub(crate) async fn values(&self, expression: &str) -> Vec<f64> {
        let text = self.get("/api/v1/query", &[("query", expression)]).await;
        let text = text.unwrap_or_else(|| panic!("Prometheus rejects {expression}"));
        let answer: Value = serde_json::from_str(&text).unwrap();
        let series = answer["data"]["result"].as_array().unwrap();
        series
            .iter()
            .map(|series| series["value"][1].as_str().unwrap().parse().unwrap())
            .collect()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
