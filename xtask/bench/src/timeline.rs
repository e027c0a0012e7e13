//! The page that everybody opens first: 24 photos with author, tally, comment count and sources.
//!
//! Both sides have the same number of clients, the same rows and the same MariaDB. The bare SQL is the
//! least that anything in front of it could cost; the ratio is what federation costs, and a number that
//! does not depend on the machine.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use xtask::system::{Durability, Options, System};
use xtask::workspace::root;

use crate::load::{Client, Round, measure};
use crate::{data, sql};

/// What the page has to reach of the rate of its bare statements.
const GOAL: f64 = 0.18;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[arg(long, default_value_t = 10_000)]
    photos: u32,
    #[arg(long, default_value_t = 8)]
    connections: u32,
    /// Seconds that each side is measured in each round.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    #[arg(long, default_value_t = 5)]
    rounds: u32,
}

pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    let options = Options {
        durability: Durability::Safe,
        // All clients share one address.
        environment: vec![("router".into(), "RATE_LIMIT_GRAPHQL".into(), "0".into())],
        ..Options::default()
    };
    eprintln!("bench: starting the system");
    let system = System::start(options).await?;
    eprintln!("bench: inserting {} photos", arguments.photos);
    data::insert(&system.admin_database_url(), arguments.photos).await?;
    let result = compare(&system, &arguments).await;
    system.stop().await;
    result
}

async fn compare(system: &System, arguments: &Arguments) -> Result<()> {
    let operation = operation()?;
    let authority = system.base_url().trim_start_matches("http://").to_owned();
    check(&authority, &operation).await?;
    let time = Duration::from_secs(arguments.seconds);
    println!(
        "{} photos, {} connections, {} s a round",
        arguments.photos, arguments.connections, arguments.seconds
    );
    println!(
        "{:<8} {:>12} {:>10} {:>10} {:>14} {:>8}",
        "round", "pages/s", "p50 ms", "p99 ms", "bare SQL/s", "ratio"
    );

    let mut ratios = Vec::new();
    for round in 1..=arguments.rounds {
        let warm_up = Duration::from_secs(if round == 1 { 5 } else { 2 });
        let mut pages = Vec::new();
        for _ in 0..arguments.connections {
            pages.push(Page::connect(&authority, &operation).await?);
        }
        let page = measure(pages, warm_up, time).await?;
        let mut statements = Vec::new();
        for _ in 0..arguments.connections {
            statements.push(sql::Statements::connect(&system.admin_database_url()).await?);
        }
        let bare = measure(statements, warm_up, time).await?;
        ratios.push(page.per_second / bare.per_second);
        report(round, &page, &bare);
    }
    ratios.sort_by(f64::total_cmp);
    let median = ratios[ratios.len() / 2];
    println!("median ratio {median:.3} (goal: at least {GOAL})");
    ensure!(
        median >= GOAL,
        "the page is slower than it should be: {median:.3} of bare SQL instead of {GOAL}"
    );
    Ok(())
}

fn report(round: u32, page: &Round, bare: &Round) {
    println!(
        "{round:<8} {:>12.0} {:>10.2} {:>10.2} {:>14.0} {:>8.3}",
        page.per_second,
        page.p50.as_secs_f64() * 1e3,
        page.p99.as_secs_f64() * 1e3,
        bare.per_second,
        page.per_second / bare.per_second
    );
}

/// The operation that the app sends for its first page, from the list that a test of the app keeps current.
fn operation() -> Result<String> {
    let operations = std::fs::read_to_string(root().join("frontend/operations.graphql"))?;
    let start = operations
        .find("query LatestPhotos")
        .context("the app has no operation LatestPhotos")?;
    let operation = &operations[start..];
    Ok(operation[..operation.find("\n}").context("the operation has no end")? + 2].to_owned())
}

/// One connection to the router, as a browser would keep it open.
struct Page {
    sender: SendRequest<Full<Bytes>>,
    authority: String,
    body: Bytes,
}

impl Page {
    async fn connect(authority: &str, operation: &str) -> Result<Self> {
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

    async fn fetch(&mut self) -> Result<Bytes> {
        let request = Request::post("/graphql")
            .header("host", &self.authority)
            .header("content-type", "application/json")
            .header("accept", "application/json")
            .body(Full::new(self.body.clone()))?;
        self.sender.ready().await?;
        let answer = self.sender.send_request(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        ensure!(
            status == StatusCode::OK,
            "the router answered {status}: {}",
            String::from_utf8_lossy(&body)
        );
        Ok(body)
    }
}

impl Client for Page {
    async fn once(&mut self) -> Result<()> {
        let body = self.fetch().await?;
        // Errors come with 200; parsing every page would measure ourselves.
        ensure!(
            !body.starts_with(b"{\"errors\""),
            "{}",
            String::from_utf8_lossy(&body)
        );
        Ok(())
    }
}

/// Looks at one page closely, so that a page with holes is not measured as a fast one.
async fn check(authority: &str, operation: &str) -> Result<()> {
    let page: Value = serde_json::from_slice(&Page::connect(authority, operation).await?.fetch().await?)?;
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
