//! TLS: handshakes with a router that has a certificate.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use futures::future::join_all;
use harness::system::{Options, System};
use reqwest::tls::TlsInfo;
use reqwest::{Certificate, Client, StatusCode, Version, redirect};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::fakes::{Fakes, LARGE, Token};
use crate::gateway::{Gateway, free_address, header};
use crate::system::Site;

const NAME: &str = "photos.example";
/// Timeout of waiting. A new pair is used within three seconds, but other tests are running too.
const WAIT_TIMEOUT: Duration = Duration::from_secs(30);

/// The files of a certificate and its key.
struct Files(TempDir);

impl Files {
    /// Writes a first pair.
    fn new(names: &[&str]) -> (Self, Pair) {
        let files = Self(tempfile::tempdir().unwrap());
        let pair = Pair::new(names, 2040);
        files.write(&pair.certificate, &pair.key);
        (files, pair)
    }

    fn certificate(&self) -> PathBuf {
        self.0.path().join("certificate.pem")
    }

    fn key(&self) -> PathBuf {
        self.0.path().join("key.pem")
    }

    fn write(&self, certificate: &str, key: &str) {
        std::fs::write(self.certificate(), certificate).unwrap();
        std::fs::write(self.key(), key).unwrap();
    }

    fn flags(&self) -> [(&'static str, String); 2] {
        [
            ("--tls-certificate", self.certificate().display().to_string()),
            ("--tls-key", self.key().display().to_string()),
        ]
    }
}

/// A self-signed certificate and its key, as PEM.
struct Pair {
    certificate: String,
    der: Vec<u8>,
    key: String,
}

impl Pair {
    fn new(names: &[&str], end: i32) -> Self {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut parameters = rcgen::CertificateParams::new(names).unwrap();
        parameters.not_after = rcgen::date_time_ymd(end, 1, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        Self {
            certificate: certificate.pem(),
            der: certificate.der().to_vec(),
            key: key.serialize_pem(),
        }
    }
}

/// A client that trusts only these certificates, connects to `router`, and has common HTTP/2 window sizes.
fn browser(pairs: &[&Pair], router: SocketAddr) -> Client {
    let trusted = pairs
        .iter()
        .map(|pair| Certificate::from_pem(pair.certificate.as_bytes()).unwrap());
    Client::builder()
        .no_proxy()
        .tls_certs_only(trusted)
        .tls_info(true)
        .http2_initial_stream_window_size(64 * 1024)
        .resolve(NAME, router)
        .redirect(redirect::Policy::none())
        .build()
        .unwrap()
}

/// A router with TLS.
struct Secured {
    gateway: Gateway,
    files: Files,
    first: Pair,
}

impl Secured {
    async fn start(fakes: &Fakes, more: &[(&str, &str)]) -> Self {
        let (files, first) = Files::new(&[NAME]);
        let pair = files.flags();
        let mut flags: Vec<(&str, &str)> = pair.iter().map(|(flag, value)| (*flag, value.as_str())).collect();
        flags.push(("--public-url", "https://photos.example"));
        flags.extend(more);
        let gateway = Gateway::start_with(fakes, &flags).await;
        Self {
            gateway,
            files,
            first,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("https://{NAME}:{}{path}", self.gateway.address.port())
    }

    /// Returns the certificate that the router presents on a new connection.
    async fn shown(&self, pairs: &[&Pair]) -> Vec<u8> {
        let answer = browser(pairs, self.gateway.address)
            .get(self.url("/health"))
            .send()
            .await
            .unwrap();
        let info = answer.extensions().get::<TlsInfo>().unwrap();
        info.peer_certificate().unwrap().to_vec()
    }

    async fn becomes(&self, pair: &Pair) {
        let until = Instant::now() + WAIT_TIMEOUT;
        while self.shown(&[&self.first, pair]).await != pair.der {
            assert!(Instant::now() < until, "the new certificate is not used");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Returns the expiry of the certificate in the metrics.
    async fn end(&self) -> String {
        let metrics = format!("http://{}/metrics", self.gateway.internal);
        let metrics = self.gateway.http.get(metrics).send().await.unwrap();
        let metrics = metrics.text().await.unwrap();
        let name = "proofsheet_tls_certificate_expiry_timestamp_seconds ";
        let line = metrics.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("{metrics}")).to_owned()
    }
}

#[tokio::test]
async fn http_2_works_over_tls() {
    let fakes = Fakes::start().await;
    let router = Secured::start(&fakes, &[]).await;
    let browser = browser(&[&router.first], router.gateway.address);

    let answer = browser.get(router.url("/media/a/640.avif")).send().await.unwrap();
    assert_eq!(
        (answer.status(), answer.version()),
        (StatusCode::OK, Version::HTTP_2)
    );
    assert_eq!(
        header(&answer, "strict-transport-security"),
        Some("max-age=63072000")
    );
    assert_eq!(answer.text().await.unwrap(), "0123456789");

    // HTTP/2 has no Host header, and cookies may be in several headers.
    let ask = async |origin: &str| {
        let cookie = format!("__Host-proofsheet_access={}", Token::good().signed());
        let request = browser
            .post(router.url("/graphql"))
            .header("origin", origin)
            .header("cookie", "theme=dark")
            .header("cookie", cookie)
            .json(&json!({ "query": "{ viewer { email } }" }));
        let answer = request.send().await.unwrap();
        (answer.status(), answer.json::<Value>().await.unwrap())
    };
    let (status, answer) = ask(router.url("").as_str()).await;
    assert_eq!(
        (status, &answer["data"]["viewer"]["email"]),
        (StatusCode::OK, &json!("ada@example.org"))
    );
    let seen = fakes["authentication"].take_seen();
    let seen = seen.last().unwrap();
    assert!(seen.header("cookie").unwrap().starts_with("theme=dark; __Host-"));
    assert!(seen.header("authorization").unwrap().starts_with("Bearer "));
    assert_eq!(seen.header("x-client-ip"), Some("127.0.0.1"));
    assert_eq!(ask("https://elsewhere.example").await.0, StatusCode::FORBIDDEN);

    // The upload is larger than the flow-control window of a stream.
    let size = 3 * 1024 * 1024;
    let upload = browser
        .post(router.url("/media/uploads"))
        .bearer_auth(Token::good().signed())
        .header("content-type", "image/png")
        .body(vec![7; size]);
    let answer: Value = upload.send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["size"], size);
}

#[tokio::test]
async fn the_host_of_http_2_is_its_authority() {
    let fakes = Fakes::start().await;
    let router = Secured::start(&fakes, &[]).await;
    let browser = browser(&[&router.first], router.gateway.address);
    let authority = format!("{NAME}:{}", router.gateway.address.port());
    for (hosts, status) in [
        (vec![], StatusCode::OK),
        (vec![authority.as_str()], StatusCode::OK),
        (vec!["PHOTOS.EXAMPLE"], StatusCode::BAD_REQUEST),
        (vec!["elsewhere.example"], StatusCode::BAD_REQUEST),
        (
            vec![authority.as_str(), authority.as_str()],
            StatusCode::BAD_REQUEST,
        ),
        (
            vec![authority.as_str(), "elsewhere.example"],
            StatusCode::BAD_REQUEST,
        ),
        (vec!["a b"], StatusCode::BAD_REQUEST),
    ] {
        let mut request = browser.get(router.url("/health"));
        for host in &hosts {
            request = request.header("host", *host);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(
            (answer.version(), answer.status()),
            (Version::HTTP_2, status),
            "{hosts:?}"
        );
    }
    // A page of another site cannot claim the origin of this host.
    let foreign = browser
        .post(router.url("/graphql"))
        .header("origin", "https://elsewhere.example")
        .header("host", "elsewhere.example")
        .json(&json!({ "query": "{ viewer { email } }" }));
    let status = foreign.send().await.unwrap().status();
    assert!(matches!(status.as_u16(), 400 | 403), "{status}");
}

#[tokio::test]
async fn slow_connections_receive_complete_photos() {
    let fakes = Fakes::start().await;
    let router = Secured::start(&fakes, &[]).await;
    let browser = browser(&[&router.first], router.gateway.address);
    let mut photo = browser.get(router.url("/media/large")).send().await.unwrap();
    let mut size = 0;
    while let Some(part) = photo.chunk().await.unwrap() {
        if size == 0 {
            // The client does not read, so the router must wait, longer than the default of the library.
            tokio::time::sleep(Duration::from_secs(6)).await;
        }
        size += part.len();
    }
    assert_eq!(size, LARGE);
}

#[tokio::test]
async fn valid_certificates_are_reloaded() {
    let fakes = Fakes::start().await;
    let router = Secured::start(&fakes, &[]).await;
    let first = &router.first;
    assert_eq!(router.shown(&[first]).await, first.der);
    let in_2040 = "2208988800";
    assert_eq!(router.end().await, in_2040);

    // Requests on existing connections continue.
    let open = browser(&[first], router.gateway.address);
    let ask = || open.get(router.url("/health")).send();
    assert!(ask().await.is_ok());

    let other = Pair::new(&[NAME], 2041);
    router.files.write(&other.certificate, &first.key);
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(router.shown(&[first]).await, first.der, "no pair, so not taken");
    std::fs::remove_file(router.files.key()).unwrap();
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(router.shown(&[first]).await, first.der, "a file is gone");
    assert_eq!(router.end().await, in_2040);

    router.files.write(&other.certificate, &other.key);
    router.becomes(&other).await;
    assert_eq!(router.end().await, "2240611200");
    let answers = join_all((0..20).map(|_| ask())).await;
    for answer in answers {
        let answer = answer.unwrap();
        let info = answer.extensions().get::<TlsInfo>().unwrap();
        assert_eq!(
            info.peer_certificate(),
            Some(first.der.as_slice()),
            "the old connection"
        );
    }
}

#[tokio::test]
async fn http_is_redirected_to_https() {
    let fakes = Fakes::start().await;
    let plain = free_address();
    let router = Secured::start(&fakes, &[("--http-redirect-listen", &plain.to_string())]).await;
    let http = &router.gateway.http;
    for (path, target) in [
        ("/", "https://photos.example/"),
        ("/p/1?x=a%20b&y", "https://photos.example/p/1?x=a%20b&y"),
        (
            "//elsewhere.example/",
            "https://photos.example//elsewhere.example/",
        ),
    ] {
        let url = format!("http://{plain}{path}");
        let answer = http
            .get(url)
            .header("host", "elsewhere.example")
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::PERMANENT_REDIRECT);
        assert_eq!(header(&answer, "location"), Some(target));
        assert_eq!(header(&answer, "strict-transport-security"), None);
    }
    let form = http.post(format!("http://{plain}/graphql")).body("x").send();
    assert_eq!(form.await.unwrap().status(), StatusCode::PERMANENT_REDIRECT);
    for probe in ["/health", "/readiness"] {
        let answer = http.get(format!("http://{plain}{probe}")).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{probe}");
    }
    // The port for HTTPS does not accept HTTP.
    assert!(router.gateway.get("/health").send().await.is_err());
}

#[test]
fn invalid_tls_settings_fail_at_the_start() {
    let (files, _) = Files::new(&[NAME]);
    let said = |flags: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_router"))
            .env_clear()
            .arg("serve")
            .args(flags)
            .output()
            .unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let [certificate, key] = [files.certificate(), files.key()].map(|file| file.display().to_string());
    let https = ["--public-url", "https://photos.example"];
    let both = ["--tls-certificate", &certificate, "--tls-key", &key];
    let says = said(&both);
    assert!(says.contains("--public-url must begin with https:"), "{says}");
    let says = said(&[&both[..2], &https].concat());
    assert!(says.contains("--tls-key"), "{says}");
    let says = said(&[&both[..3], &["/nowhere"], &https[..]].concat());
    assert!(says.contains("cannot read /nowhere"), "{says}");
    files.write(
        &Pair::new(&[NAME], 2040).certificate,
        &Pair::new(&[NAME], 2040).key,
    );
    let says = said(&[&both[..], &https].concat());
    assert!(says.contains("do not belong together"), "{says}");
}

#[tokio::test]
async fn the_system_works_over_https() {
    let (files, pair) = Files::new(&["localhost"]);
    let port = harness::system::free_port().unwrap();
    let base = format!("https://localhost:{port}");
    let environment = [
        ("router", "LISTEN", format!("127.0.0.1:{port}")),
        (
            "router",
            "TLS_CERTIFICATE",
            files.certificate().display().to_string(),
        ),
        ("router", "TLS_KEY", files.key().display().to_string()),
        ("router", "PUBLIC_URL", base.clone()),
        ("authentication", "PUBLIC_URL", base.clone()),
    ];
    let environment = environment.map(|(part, name, value)| (part.to_owned(), name.to_owned(), value));
    let options = Options {
        environment: environment.into(),
        ..Options::default()
    };
    let system = System::start(options).await.unwrap();
    let browser = Client::builder()
        .no_proxy()
        .cookie_store(true)
        .tls_certs_only([Certificate::from_pem(pair.certificate.as_bytes()).unwrap()])
        .build()
        .unwrap();

    let register = browser.post(format!("{base}/graphql")).json(&json!({
        "query": "mutation ($input: RegisterInput!) { register(input: $input) { viewer { id } } }",
        "variables": { "input": { "email": "ada@example.org", "password": "correct horse battery staple" } },
    }));
    let answer = register.send().await.unwrap();
    assert_eq!(answer.version(), Version::HTTP_2);
    let cookies: Vec<_> = answer
        .headers()
        .get_all("set-cookie")
        .iter()
        .map(|cookie| cookie.to_str().unwrap())
        .collect();
    assert!(cookies.len() >= 2, "{cookies:?}");
    for cookie in cookies {
        assert!(
            (cookie.starts_with("__Host-") || cookie.starts_with("__Secure-"))
                && cookie.contains("; Secure")
                && cookie.contains("; HttpOnly"),
            "{cookie}"
        );
    }

    let site = Site::visit_with(browser, base);
    let photo = site.publish("By https", 90).await;
    let query = "query ($id: ID!) { photo(id: $id) { renditions { url } } }";
    let data = site.data(query, json!({ "id": photo })).await;
    for rendition in data["photo"]["renditions"].as_array().unwrap() {
        let file = site.bytes(rendition["url"].as_str().unwrap()).await;
        assert_ne!(file.len(), 0);
    }
    system.stop().await;
}
