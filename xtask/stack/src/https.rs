//! TLS in the router, with self-signed certificates.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::api::Site;
use reqwest::{Client, StatusCode, Version, redirect};
use workload::load::SiteLoad;

use crate::STACK;
use crate::engine::{DockerEngine, has_ipvs, said};

/// A certificate and its key, in files.
struct Pair {
    number: &'static str,
    certificate: PathBuf,
    key: PathBuf,
}

impl Pair {
    /// Copies the files into the folder of tls-folder.yml, readable for the router.
    fn copy_to(&self, folder: &Path) -> Result<()> {
        for (from, name) in [(&self.certificate, "fullchain.pem"), (&self.key, "privkey.pem")] {
            let to = folder.join(name);
            std::fs::copy(from, &to)?;
            std::fs::set_permissions(&to, Permissions::from_mode(0o644))?;
        }
        Ok(())
    }

    /// Returns a client that trusts only this certificate.
    fn client(&self) -> Result<Client> {
        let certificate = reqwest::Certificate::from_pem(&std::fs::read(&self.certificate)?)?;
        Ok(Client::builder()
            .no_proxy()
            .connect_timeout(Duration::from_secs(2))
            .timeout(Duration::from_secs(60))
            .tls_certs_only([certificate])
            .redirect(redirect::Policy::none())
            .build()?)
    }
}

impl DockerEngine {
    /// Deploys compose/tls.yml, continues the load over HTTPS, and deploys the next certificate. Then deploys
    /// compose/tls-folder.yml.
    pub(super) async fn over_https(&self, load: &SiteLoad) -> Result<String> {
        let folder = tempfile::tempdir()?;
        let first = self.make_pair(folder.path(), "1").await?;
        self.deploy_pair(&first).await?;
        let client = first.client()?;
        let answers = self.check_https(&client).await?;
        load.move_to(Site::with_client(client, vec![self.secure_url()]))
            .await?;

        let next = self.make_pair(folder.path(), "2").await?;
        self.deploy_pair(&next).await?;
        let refused = first.client()?.get(self.secure_url()).send().await;
        ensure!(refused.is_err(), "the first certificate is still shown");
        load.move_to(Site::with_client(next.client()?, vec![self.secure_url()]))
            .await?;
        let there = load.check().await?;
        let renewed = self.by_a_folder(folder.path()).await?;
        Ok(format!(
            "{answers}; {there}, also under the second certificate; in a folder, a renewed one is shown \
             after {renewed:.1} s by the same task"
        ))
    }

    /// Deploys compose/tls-folder.yml, and replaces the pair in the folder. Returns the seconds until the router uses
    /// it.
    async fn by_a_folder(&self, folder: &Path) -> Result<f64> {
        let (third, fourth) = (
            self.make_pair(folder, "3").await?,
            self.make_pair(folder, "4").await?,
        );
        let live = folder.join("live");
        std::fs::create_dir(&live)?;
        third.copy_to(&live)?;
        let live_path = live.to_string_lossy();
        let (url, folder) = (self.secure_url(), ("TLS_FOLDER", &*live_path));
        let changes = [
            ("DB_REPLICAS", "1"),
            ("PUBLIC_URL", url.as_str()),
            port_mode(),
            folder,
        ];
        self.deploy(&["stack.yml", "local.override.yml", "tls-folder.yml"], &changes)
            .await?;
        self.settled().await?;
        self.shows(&third).await?;
        let before = self.tasks().await?;
        fourth.copy_to(&live)?;
        let began = Instant::now();
        self.shows(&fourth).await?;
        let after = began.elapsed().as_secs_f64();
        ensure!(before == self.tasks().await?, "tasks were restarted");
        Ok(after)
    }

    /// Waits until the site uses this certificate.
    async fn shows(&self, pair: &Pair) -> Result<()> {
        let what = format!("certificate {} is shown", pair.number);
        self.until(&what, async || {
            // A new connection each time.
            let page = pair.client()?.get(self.secure_url()).send().await?;
            Ok(page.status().is_success())
        })
        .await
    }

    /// Checks the responses over HTTP and HTTPS.
    async fn check_https(&self, client: &Client) -> Result<String> {
        const TEST_PATH: &str = "/trending?day=1";
        let from_http = client.get(format!("{}{TEST_PATH}", self.url())).send();
        let from_http = from_http.await.context("http")?;
        let to = from_http.headers().get("location");
        let to = to.and_then(|value| value.to_str().ok());
        let wanted = format!("{}{TEST_PATH}", self.secure_url());
        ensure!(
            from_http.status() == StatusCode::PERMANENT_REDIRECT && to == Some(wanted.as_str()),
            "http is answered with {} to {to:?}, not to {wanted}",
            from_http.status()
        );
        let page = client.get(self.secure_url()).send().await?.error_for_status()?;
        let stay = page.headers().get("strict-transport-security");
        let stay = stay.context("no HSTS")?.to_str()?.to_owned();
        ensure!(
            page.version() == Version::HTTP_2,
            "it came by {:?}",
            page.version()
        );
        Ok(format!("http leads there with 308, HTTP/2, HSTS {stay:?}"))
    }

    fn secure_url(&self) -> String {
        format!("https://{}", self.address())
    }

    /// Deploys a pair under its number, and waits until the site uses it.
    async fn deploy_pair(&self, pair: &Pair) -> Result<()> {
        for (kind, name, file) in [
            ("config", "certificate", &pair.certificate),
            ("secret", "certificate_key", &pair.key),
        ] {
            let label = format!("org.proofsheet.stack={STACK}");
            let name = format!("{STACK}_{name}_{}", pair.number);
            let file = file.to_string_lossy();
            self.docker(&[kind, "create", "--label", &label, &name, &file])
                .await?;
        }
        let url = self.secure_url();
        let changes = [
            ("DB_REPLICAS", "1"),
            ("PUBLIC_URL", url.as_str()),
            port_mode(),
            ("CERTIFICATE", pair.number),
        ];
        self.deploy(&["stack.yml", "local.override.yml", "tls.yml"], &changes)
            .await?;
        self.settled().await?;
        self.shows(pair).await
    }

    async fn make_pair(&self, folder: &Path, number: &'static str) -> Result<Pair> {
        let pair = Pair {
            number,
            certificate: folder.join(format!("certificate-{number}.pem")),
            key: folder.join(format!("key-{number}.pem")),
        };
        let name = format!("subjectAltName=IP:{}", self.address());
        let mut make = self.command("openssl", &["req", "-x509", "-newkey", "ec", "-nodes"]);
        make.args(["-pkeyopt", "ec_paramgen_curve:P-256", "-days", "30"])
            .args(["-subj", "/CN=proofsheet", "-addext", &name])
            // Not a CA certificate, which servers must not use.
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .arg("-keyout")
            .arg(&pair.key)
            .arg("-out")
            .arg(&pair.certificate);
        said(make).await?;
        Ok(pair)
    }
}

fn port_mode() -> (&'static str, &'static str) {
    ("PORT_MODE", if has_ipvs() { "ingress" } else { "host" })
}
