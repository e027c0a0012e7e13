//! Runs the router's binary for one test.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::fakes::Fakes;

/// A running router.
pub(crate) struct Gateway {
    pub(crate) process: Child,
    pub(crate) address: SocketAddr,
    pub(crate) internal: SocketAddr,
    pub(crate) http: reqwest::Client,
}

impl Gateway {
    /// Starts a router in front of the fakes of the services.
    pub(crate) async fn start(fakes: &Fakes) -> Self {
        Self::start_with(fakes, &[]).await
    }

    /// Starts a router with more flags, which override the defaults of these tests. A flag with an empty value is a
    /// switch.
    pub(crate) async fn start_with(fakes: &Fakes, flags: &[(&str, &str)]) -> Self {
        Self::start_program(Path::new(env!("CARGO_BIN_EXE_router")), fakes, flags).await
    }

    /// Starts a router from another executable.
    pub(crate) async fn start_program(program: &Path, fakes: &Fakes, flags: &[(&str, &str)]) -> Self {
        // Another test or a connection may take the free port before the router does, so try again.
        for _ in 0..5 {
            let mut gateway = Self::spawn(program, fakes, flags);
            if gateway.becomes_ready().await {
                return gateway;
            }
        }
        panic!("the router did not start");
    }

    fn spawn(program: &Path, fakes: &Fakes, flags: &[(&str, &str)]) -> Self {
        let (address, internal) = (free_address(), free_address());
        let supergraph = Path::new(env!("CARGO_MANIFEST_DIR")).join("../supergraph.graphql");
        let jwks = format!("{}/.well-known/jwks.json", fakes["authentication"].url());
        let urls = fakes.all().iter();
        let urls = urls.map(|fake| (format!("--{}-url", fake.name), fake.url()));
        let own = [
            ("--listen", address.to_string()),
            ("--internal-listen", internal.to_string()),
            ("--public-url", format!("http://localhost:{}", address.port())),
            ("--supergraph", supergraph.display().to_string()),
            ("--jwks-url", jwks),
            ("--workers", "1".to_owned()),
        ];
        let own = own.into_iter().map(|(flag, value)| (flag.to_owned(), value));
        let mut command = Command::new(program);
        command.arg("serve");
        for (flag, value) in own.chain(urls) {
            if !flags.iter().any(|(name, _)| *name == flag) {
                command.args([flag, value]);
            }
        }
        for (flag, value) in flags {
            command.arg(flag);
            if !value.is_empty() {
                command.arg(value);
            }
        }
        let process = command
            .env_clear()
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        Self {
            process,
            address,
            internal,
            http,
        }
    }

    /// Waits until the router is ready. Returns false if the process has ended.
    async fn becomes_ready(&mut self) -> bool {
        for _ in 0..1200 {
            let ready = self
                .http
                .get(format!("http://{}/readiness", self.internal))
                .send()
                .await;
            let running = self.process.try_wait().unwrap().is_none();
            if !running {
                return false;
            }
            if ready.is_ok_and(|answer| answer.status() == StatusCode::OK) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("the router was not ready within thirty seconds");
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.http.get(self.url(path))
    }

    /// A request with an operation, to which a test can add headers.
    pub(crate) fn operation(&self, query: &str) -> RequestBuilder {
        self.http
            .post(self.url("/graphql"))
            .json(&json!({ "query": query }))
    }

    /// The response to an operation.
    pub(crate) async fn query(&self, query: &str) -> Value {
        self.operation(query).send().await.unwrap().json().await.unwrap()
    }
}

/// The code of the first error.
#[track_caller]
pub(crate) fn code(answer: &Value) -> &str {
    answer["errors"][0]["extensions"]["code"]
        .as_str()
        .unwrap_or_else(|| panic!("expected an error: {answer:#}"))
}

/// A header of a response.
pub(crate) fn header<'r>(response: &'r Response, name: &str) -> Option<&'r str> {
    response.headers().get(name).map(|value| value.to_str().unwrap())
}

pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
