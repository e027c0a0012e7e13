//! One request for the page that everybody opens first, as the app sends it.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use harness::workspace::root;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::load::Client;

/// The operation that the app sends for its first page, from the list that a test of the app keeps current.
pub(crate) fn operation() -> Result<String> {
    let operations = std::fs::read_to_string(root().join("frontend/operations.graphql"))?;
    let start = operations
        .find("query LatestPhotos")
        .context("the app has no operation LatestPhotos")?;
    let operation = &operations[start..];
    Ok(operation[..operation.find("\n}").context("the operation has no end")? + 2].to_owned())
}

/// One connection to the router, as a browser would keep it open.
pub(crate) struct PageLoad {
    sender: SendRequest<Full<Bytes>>,
    authority: String,
    body: Bytes,
}

impl PageLoad {
    pub(crate) async fn connect(authority: &str, operation: &str) -> Result<Self> {
        let port = authority
            .rsplit(':')
            .next()
            .context("the router's address has a port")?;
        let stream = TcpStream::connect(("127.0.0.1", port.parse()?)).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let body = json!({ "query": operation, "variables": { "first": 24, "after": null } });
        Ok(Self {
            sender,
            authority: authority.to_owned(),
            body: Bytes::from(body.to_string()),
        })
    }

    /// Sends one request and returns the response, with any status.
    pub(crate) async fn ask(&mut self) -> Result<(StatusCode, Bytes)> {
        let request = Request::post("/graphql")
            .header("host", &self.authority)
            .header("content-type", "application/json")
            .header("accept", "application/json")
            .body(Full::new(self.body.clone()))?;
        self.sender.ready().await?;
        let answer = self.sender.send_request(request).await?;
        let status = answer.status();
        Ok((status, answer.into_body().collect().await?.to_bytes()))
    }

    async fn fetch(&mut self) -> Result<Bytes> {
        let (status, body) = self.ask().await?;
        ensure!(
            status == StatusCode::OK,
            "the router answered {status}: {}",
            String::from_utf8_lossy(&body)
        );
        Ok(body)
    }
}

/// Whether a page came without errors, which come with 200 as well. Parsing every page would measure ourselves.
pub(crate) fn is_whole(body: &[u8]) -> bool {
    body.starts_with(b"{\"data\":{") && body.ends_with(b"}}")
}

impl Client for PageLoad {
    async fn once(&mut self) -> Result<()> {
        let body = self.fetch().await?;
        ensure!(is_whole(&body), "{}", String::from_utf8_lossy(&body));
        Ok(())
    }
}

/// Looks at one page closely, so that a page with holes is not measured as a fast one.
pub(crate) async fn check(authority: &str, operation: &str) -> Result<()> {
    let page: Value = serde_json::from_slice(&PageLoad::connect(authority, operation).await?.fetch().await?)?;
    ensure!(page.get("errors").is_none(), "the page has errors: {page}");
    let nodes = page["data"]["latestPhotos"]["nodes"]
        .as_array()
        .context("the page has no photos")?;
    ensure!(
        nodes.len() == 24,
        "the page has {} photos instead of 24",
        nodes.len()
    );
    for node in nodes {
        let whole = node["author"]["username"].is_string()
            && node["votes"]["score"].is_i64()
            && node["commentCount"].is_i64()
            && node["sources"]
                .as_array()
                .is_some_and(|sources| !sources.is_empty());
        ensure!(whole, "a photo of the page has holes: {node}");
    }
    Ok(())
}
