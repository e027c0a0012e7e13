//! Compares the router's responses to random queries with a reference execution (`xtask/reference.mjs`).

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use harness::system::{Options, SERVICES, System};
use harness::workspace;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::Mutex;

use crate::random::{self, Operation, Pools, Schema};
use crate::system::Site;

/// Seed of the generator. Override it by `DIFFERENTIAL_SEED` to test other queries.
const SEED: u64 = 1;
const PASSWORD: &str = "correct horse battery staple";
/// Shorter than the ten minutes for which access tokens are valid.
const TOKEN_RENEWAL: Duration = Duration::from_mins(8);
const MAX_REPORTED: usize = 5;

#[tokio::test]
#[ignore = "long: ./dev test --long"]
async fn random_queries_match_a_reference() {
    compare(500).await;
}

#[tokio::test]
#[ignore = "long: ./dev test --long"]
async fn ten_thousand_random_queries_match_a_reference() {
    compare(10_000).await;
}

/// Executes operations by the algorithm of the GraphQL specification, with a query to a subgraph for each field.
struct Reference {
    _process: Child,
    pipes: Mutex<(ChildStdin, Lines<BufReader<ChildStdout>>)>,
}

impl Reference {
    async fn start(system: &System) -> Self {
        let mut process = Command::new("node")
            .arg(workspace::root().join("xtask/reference.mjs"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut input = process.stdin.take().unwrap();
        let urls: BTreeMap<_, _> = SERVICES
            .iter()
            .map(|service| (service.to_uppercase(), format!("{}/graphql", system.url(service))))
            .collect();
        let supergraph = std::fs::read_to_string(workspace::root().join("supergraph.graphql")).unwrap();
        send(&mut input, &json!({ "supergraph": supergraph, "urls": urls })).await;
        let output = BufReader::new(process.stdout.take().unwrap()).lines();
        Self {
            _process: process,
            pipes: Mutex::new((input, output)),
        }
    }

    async fn execute(&self, request: &Value) -> Value {
        let mut pipes = self.pipes.lock().await;
        send(&mut pipes.0, request).await;
        let line = pipes
            .1
            .next_line()
            .await
            .unwrap()
            .expect("the reference has ended");
        serde_json::from_str(&line).unwrap()
    }
}

async fn send(input: &mut ChildStdin, line: &Value) {
    input.write_all(format!("{line}\n").as_bytes()).await.unwrap();
}

/// The responses of both sides to one operation.
struct Outcome {
    verdict: String,
    response: Value,
    expected: Value,
}

impl Outcome {
    /// The message of the first error.
    fn message(&self) -> &str {
        self.response["errors"][0]["message"].as_str().unwrap_or_default()
    }

    fn is_mismatch(&self) -> bool {
        match self.verdict.as_str() {
            // Clients read fields by name.
            "same" | "different order" => false,
            // Generated queries are valid, so they can only be refused by limits.
            "refused" => !self.message().contains("limit"),
            // A null variable for an argument with a default.
            "invalid" => self.response["errors"][0]["extensions"]["code"] != "INVALID_INPUT",
            _ => true,
        }
    }
}

struct Comparison {
    system: System,
    site: Site,
    reference: Reference,
    token: Mutex<(String, Instant)>,
}

impl Comparison {
    async fn token(&self) -> String {
        let mut token = self.token.lock().await;
        if token.1.elapsed() > TOKEN_RENEWAL {
            *token = (login(&self.system, "ada").await, Instant::now());
        }
        token.0.clone()
    }

    /// Runs an operation. A mismatch is tried again with an empty cache of the reference, because cursors of rankings
    /// and tokens expire.
    async fn run(&self, operation: &Operation, is_signed_in: bool) -> Outcome {
        let outcome = self.attempt(operation, is_signed_in, false).await;
        if outcome.is_mismatch() {
            return self.attempt(operation, is_signed_in, true).await;
        }
        outcome
    }

    async fn attempt(&self, operation: &Operation, is_signed_in: bool, forget: bool) -> Outcome {
        let (query, variables) = (operation.to_string(), operation.variables());
        let token = if is_signed_in {
            Some(self.token().await)
        } else {
            None
        };
        let response = match &token {
            Some(token) => self.site.send_as(token, &query, variables.clone()).await,
            None => self.site.send(&query, variables.clone()).await,
        };
        let request = json!({
            "query": query, "variables": variables, "token": token, "response": response.to_string(),
            "forget": forget,
        });
        let mut answer = self.reference.execute(&request).await;
        Outcome {
            verdict: answer["verdict"].as_str().unwrap().to_owned(),
            response,
            expected: answer["expected"].take(),
        }
    }

    /// Reduces an operation step by step, as long as it does not match.
    async fn reduce(&self, operation: Operation, is_signed_in: bool) -> (Operation, Outcome) {
        let mut outcome = self.run(&operation, is_signed_in).await;
        let mut smallest = operation;
        'smaller: loop {
            for smaller in smallest.smaller() {
                let other = self.run(&smaller, is_signed_in).await;
                if other.verdict == outcome.verdict && other.is_mismatch() {
                    (smallest, outcome) = (smaller, other);
                    continue 'smaller;
                }
            }
            return (smallest, outcome);
        }
    }
}

/// Fails if responses differ, with reduced queries.
async fn compare(count: u64) {
    let seed = std::env::var("DIFFERENTIAL_SEED").map_or(SEED, |seed| seed.parse().unwrap());
    let schema = Schema::load();
    let (comparison, pools) = start().await;
    let started = Instant::now();

    let (schema, pools, comparison) = (&schema, &pools, &comparison);
    let outcomes: Vec<_> = futures::stream::iter(0..count)
        .map(|number| async move {
            let mut rng = StdRng::seed_from_u64(seed.wrapping_mul(1_000_003).wrapping_add(number));
            let operation = random::operation(schema, pools, &mut rng);
            let is_signed_in = number % 2 == 0;
            let outcome = comparison.run(&operation, is_signed_in).await;
            (outcome, operation, is_signed_in)
        })
        .buffer_unordered(4)
        .collect()
        .await;

    let mut verdicts: BTreeMap<String, usize> = BTreeMap::new();
    let mut refusals: BTreeMap<String, usize> = BTreeMap::new();
    let mut mismatches = Vec::new();
    for (outcome, operation, is_signed_in) in outcomes {
        *verdicts.entry(outcome.verdict.clone()).or_default() += 1;
        if outcome.verdict == "refused" {
            *refusals
                .entry(
                    outcome
                        .message()
                        .replace(|letter: char| letter.is_ascii_digit(), ""),
                )
                .or_default() += 1;
        }
        if outcome.is_mismatch() {
            mismatches.push((operation, is_signed_in, outcome.verdict));
        }
    }
    // Differences first, then refusals.
    mismatches.sort_by_key(|(_, _, verdict)| verdict == "refused");
    println!(
        "{count} queries in {:.0?} from seed {seed}: {verdicts:?}; refused: {refusals:#?}",
        started.elapsed()
    );
    let mut report = String::new();
    for (operation, is_signed_in, _) in mismatches.iter().take(MAX_REPORTED) {
        let (operation, outcome) = comparison.reduce(operation.clone(), *is_signed_in).await;
        report.extend([format!(
            "\n{}: {operation}\nvariables: {}\nrouter:    {}\nreference: {}\n",
            outcome.verdict,
            operation.variables(),
            outcome.response,
            outcome.expected,
        )]);
    }
    assert!(
        mismatches.is_empty(),
        "{} of {count} queries do not match (DIFFERENTIAL_SEED={seed}); the first, reduced:\n{report}",
        mismatches.len()
    );
    let refused = verdicts.get("refused").copied().unwrap_or_default();
    assert!(
        refused * 5 < verdicts.values().sum(),
        "too many queries are refused: {verdicts:?}"
    );
}

async fn start() -> (Comparison, Pools) {
    let unlimited = |name: &str| ("router".to_owned(), name.to_owned(), "0".to_owned());
    let options = Options {
        environment: vec![unlimited("RATE_LIMIT_GRAPHQL"), unlimited("RATE_LIMIT_UPLOADS")],
        ..Options::default()
    };
    let system = System::start(options).await.unwrap();
    let pools = fill(&system).await;
    let token = Mutex::new((login(&system, "ada").await, Instant::now()));
    let comparison = Comparison {
        site: Site::visit(&system),
        reference: Reference::start(&system).await,
        system,
        token,
    };
    (comparison, pools)
}

async fn login(system: &System, name: &str) -> String {
    let query = "mutation ($input: LoginInput!) { login(input: $input) { accessToken } }";
    let input = json!({ "email": format!("{name}@example.org"), "password": PASSWORD });
    let data = Site::visit(system).data(query, json!({ "input": input })).await;
    data["login"]["accessToken"].as_str().unwrap().to_owned()
}

/// Creates three users with photos, votes, comments and replies. Some have optional fields, some are deleted.
async fn fill(system: &System) -> Pools {
    let mut pools = Pools::default();
    let mut people = Vec::new();
    for name in ["ada", "bert", "carla"] {
        let site = Site::visit(system);
        let register = "mutation ($input: RegisterInput!) { register(input: $input) { viewer { id } } }";
        let input = json!({ "email": format!("{name}@example.org"), "password": PASSWORD });
        site.data(register, json!({ "input": input })).await;
        people.push(site);
    }
    let ada = &people[0];
    ada.data("mutation { claimUsername(username: \"ada\") { id } }", json!({}))
        .await;
    let profile = "mutation { updateProfile(input: { displayName: \"Ada L.\", bio: \"Herons.\" }) { id } }";
    ada.data(profile, json!({})).await;

    let mut photos = Vec::new();
    for (number, site) in people.iter().enumerate() {
        for shade in 0..3 {
            let shade = u8::try_from(number * 70 + shade * 10).unwrap();
            photos.push(site.publish(&format!("Photo {shade}"), shade).await);
        }
    }
    let describe = "mutation ($id: ID!) { updatePhoto(input: { id: $id, altText: \"A heron\" }) { id } }";
    ada.data(describe, json!({ "id": photos[0] })).await;

    let add = "mutation ($input: AddCommentInput!) { addComment(input: $input) { id } }";
    for (number, photo) in photos.iter().enumerate() {
        let others = people
            .iter()
            .enumerate()
            .filter(|(person, _)| *person != number / 3);
        for (person, site) in others {
            let vote = if (person + number).is_multiple_of(3) {
                "DOWN"
            } else {
                "UP"
            };
            let cast = format!("mutation ($id: ID!) {{ castVote(photoId: $id, vote: {vote}) {{ id }} }}");
            site.data(&cast, json!({ "id": photo })).await;
        }
        for reply in 0..number % 4 {
            let site = &people[reply % 3];
            let input = json!({ "photoId": photo, "body": format!("Comment {number}.{reply}") });
            let comment = site.data(add, json!({ "input": input })).await["addComment"]["id"].clone();
            let input = json!({ "photoId": photo, "body": "A reply", "replyToId": comment });
            people[(reply + 1) % 3].data(add, json!({ "input": input })).await;
            if reply == 1 {
                let delete = "mutation ($id: ID!) { deleteComment(id: $id) }";
                site.data(delete, json!({ "id": comment })).await;
            }
        }
    }
    // Its comments and votes are removed later. Its id stays in the pool.
    let delete = "mutation ($id: ID!) { deletePhoto(id: $id) }";
    ada.data(delete, json!({ "id": photos[2] })).await;
    settle(ada, photos.len() - 1).await;

    let found = ada
        .data(
            "{ latestPhotos(first: 5) { edges { cursor node { author { username } } } }
               hotPhotos(first: 3) { edges { cursor } }
               trendingPhotos(first: 3) { edges { cursor } }
               hotDays { edges { cursor node { day } } } }",
            json!({}),
        )
        .await;
    for list in ["latestPhotos", "hotPhotos", "trendingPhotos", "hotDays"] {
        for edge in found[list]["edges"].as_array().unwrap() {
            pools.cursors.push(edge["cursor"].as_str().unwrap().to_owned());
            pools.days.extend(edge["node"]["day"].as_str().map(str::to_owned));
            pools
                .usernames
                .extend(edge["node"]["author"]["username"].as_str().map(str::to_owned));
        }
    }
    pools.photos = photos;
    pools
}

/// Waits until the timelines show these votes, and do not change any more.
async fn settle(site: &Site, photos: usize) {
    let query = "{ trendingPhotos(first: 100) { pageInfo { endCursor } nodes { id } }
                   hotPhotos(first: 100) { pageInfo { endCursor } nodes { id } } }";
    let mut before = Value::Null;
    for _ in 0..60 {
        let now = site.data(query, json!({})).await;
        let is_complete = now["trendingPhotos"]["nodes"].as_array().unwrap().len() == photos;
        if is_complete && now == before {
            return;
        }
        before = now;
        tokio::time::sleep(Duration::from_millis(1500)).await;
    }
    panic!("the timelines do not come to rest");
}
