//! Tests of the authentication service through its routes, with a real MariaDB.

/// A JSON snapshot with sorted keys.
macro_rules! assert_sorted_snapshot {
    ($($argument:tt)*) => {
        insta::with_settings!({ sort_maps => true }, { insta::assert_json_snapshot!($($argument)*) })
    };
}

mod account;
mod cookies;
mod ended;
mod login_throttle;
mod internal;
mod keys;
mod lost;
mod refresh;
mod sign_in;
mod tokens;
mod unicode;

use authentication::MIGRATOR;
use authentication::config::Config;
use authentication::state::State;
use axum::body::{Body, to_bytes};
use axum::http::{Response, header};
use chassis::config::{Secret, TokenConfig};
use chassis::database::Pool;
use chrono::Utc;
use clap::Parser;
use serde_json::{Value, json};
use testkit::{Answer, Client, TestClock, TestDatabase};

pub(crate) const PASSWORD: &str = "plinth-otter-42";
pub(crate) const KEY_SECRET: &str = "the key secret of these tests, long enough";

const SESSION: &str = "accessToken accessTokenExpiresAt refreshToken
    viewer { id email createdAt sessions { id current userAgent } }";

#[derive(Parser)]
pub(crate) struct Flags {
    #[command(flatten)]
    pub(crate) config: Config,
    #[command(flatten)]
    pub(crate) tokens: TokenConfig,
}

/// Parses flags.
pub(crate) fn config(flags: &[&str]) -> Flags {
    let first = [
        "authentication",
        "--subscribers",
        "profile=http://127.0.0.1:9,vote=http://127.0.0.1:9",
    ];
    Flags::parse_from(first.iter().chain(flags))
}

/// A replica of the service.
pub(crate) struct Replica {
    pub(crate) state: State,
    pub(crate) client: Client,
    anywhere: Client,
}

impl Replica {
    pub(crate) async fn new(pool: &Pool, clock: &TestClock, flags: &[&str]) -> Self {
        let Flags { config, tokens } = config(flags);
        let state = State::open(
            &config,
            &tokens,
            &Secret::new(KEY_SECRET),
            pool.clone(),
            clock.clock(),
        )
        .await
        .expect("the service starts");
        let base = testkit::base(pool, clock);
        let anywhere = Client::new(authentication::service(&state, &base).into_routes());
        Self {
            state,
            client: anywhere.with_header("x-client-ip", "192.0.2.1"),
            anywhere,
        }
    }
}

/// The service with a separate database.
pub(crate) struct TestService {
    pub(crate) clock: TestClock,
    pub(crate) state: State,
    pub(crate) client: Client,
    anywhere: Client,
    // Dropped last, because it drops the database.
    pub(crate) database: TestDatabase,
}

impl TestService {
    pub(crate) async fn new() -> Self {
        Self::with(&[]).await
    }

    pub(crate) async fn with(flags: &[&str]) -> Self {
        let database = TestDatabase::new(&MIGRATOR).await;
        let pool = database.pool.clone();
        Self::on(database, pool, flags).await
    }

    /// Creates a service with these connections to a database.
    pub(crate) async fn on(database: TestDatabase, pool: Pool, flags: &[&str]) -> Self {
        let clock = TestClock::default();
        // Tokens are verified with the machine's clock, so the service's clock must be similar.
        clock.set(Utc::now());
        let Replica {
            state,
            client,
            anywhere,
        } = Replica::new(&pool, &clock, flags).await;
        Self {
            clock,
            state,
            client,
            anywhere,
            database,
        }
    }

    /// Starts another replica on the same database.
    pub(crate) async fn replica(&self, flags: &[&str]) -> Replica {
        Replica::new(&self.database.pool, &self.clock, flags).await
    }

    /// Returns a client at another address.
    pub(crate) fn at(&self, address: &str) -> Client {
        self.anywhere.with_header("x-client-ip", address)
    }

    /// Registers an account, and returns its session.
    pub(crate) async fn register(&self, email: &str) -> Value {
        register(&self.client, email, PASSWORD).await.data()["register"].clone()
    }

    pub(crate) async fn count(&self, select: &'static str) -> i64 {
        sqlx::query_scalar(select)
            .fetch_one(&self.database.pool)
            .await
            .expect("a count")
    }

    pub(crate) async fn execute(&self, statement: &'static str) {
        sqlx::query(statement)
            .execute(&self.database.pool)
            .await
            .expect("it runs");
    }
}

pub(crate) async fn register(client: &Client, email: &str, password: &str) -> Answer {
    let mutation = format!("mutation ($input: RegisterInput!) {{ register(input: $input) {{ {SESSION} }} }}");
    client
        .graphql(
            &mutation,
            json!({ "input": { "email": email, "password": password } }),
        )
        .await
}

pub(crate) async fn login(client: &Client, email: &str, password: &str) -> Answer {
    let mutation = format!("mutation ($input: LoginInput!) {{ login(input: $input) {{ {SESSION} }} }}");
    client
        .graphql(
            &mutation,
            json!({ "input": { "email": email, "password": password } }),
        )
        .await
}

pub(crate) async fn refresh(client: &Client, token: &str) -> Answer {
    let mutation =
        format!("mutation ($token: String) {{ refreshSession(refreshToken: $token) {{ {SESSION} }} }}");
    client.graphql(&mutation, json!({ "token": token })).await
}

pub(crate) async fn change_password(client: &Client, current: &str, new: &str) -> Answer {
    let mutation = format!(
        "mutation ($input: ChangePasswordInput!) {{ changePassword(input: $input) {{ {SESSION} }} }}"
    );
    client
        .graphql(
            &mutation,
            json!({ "input": { "currentPassword": current, "newPassword": new } }),
        )
        .await
}

pub(crate) async fn delete_account(client: &Client, password: &str) -> Answer {
    client
        .graphql(
            "mutation ($password: String!) { deleteAccount(password: $password) }",
            json!({ "password": password }),
        )
        .await
}

pub(crate) async fn viewer(client: &Client) -> Value {
    let query = "{ viewer { id email sessions { id current userAgent } } }";
    client.graphql(query, json!({})).await.data()["viewer"].clone()
}

/// Returns a client with a session's access token.
pub(crate) fn signed_in(client: &Client, session: &Value) -> Client {
    client.with_token(text(&session["accessToken"]))
}

pub(crate) fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("a string: {value}"))
        .to_owned()
}

/// Runs an operation, and returns the set cookies too.
pub(crate) async fn with_cookies(client: &Client, query: &str) -> (Vec<String>, Answer) {
    let response = client
        .post(
            "/graphql",
            "application/json",
            json!({ "query": query }).to_string(),
        )
        .await;
    let cookies = response
        .headers()
        .get_all(header::SET_COOKIE)
        .iter()
        .map(|value| value.to_str().expect("printable").to_owned())
        .collect();
    (cookies, Answer(body(response).await))
}

pub(crate) async fn body(response: Response<Body>) -> Value {
    let bytes = to_bytes(response.into_body(), usize::MAX).await.expect("a body");
    serde_json::from_slice(&bytes).expect("JSON")
}
