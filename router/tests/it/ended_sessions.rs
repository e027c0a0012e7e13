//! Services refuse the tokens of an ended session within a second, for all ways of ending one.

use std::time::{Duration, Instant};

use harness::system::{Options, System};
use serde_json::{Value, json};

use crate::system::{Site, picture};

const PASSWORD: &str = "correct horse battery staple";
const NEW_PASSWORD: &str = "gravel heron under pines";
const TOKEN_FIELDS: &str = "accessToken refreshToken";

/// A client without cookies.
struct Client<'a> {
    system: &'a System,
    photo: String,
}

/// The tokens of a session.
struct Login {
    access: String,
    refresh: String,
}

impl Client<'_> {
    async fn send(&self, token: Option<&str>, query: &str, variables: Value) -> Value {
        let request = reqwest::Client::new().post(format!("{}/graphql", self.system.base_url()));
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let operation = json!({ "query": query, "variables": variables });
        let answer = request.json(&operation).send().await.unwrap();
        answer.json().await.unwrap()
    }

    async fn session(&self, token: Option<&str>, field: &str, input: &str, variables: Value) -> Login {
        let query = format!("mutation ({input}) {{ {field} {{ {TOKEN_FIELDS} }} }}");
        let answer = self.send(token, &query, variables).await;
        let name = field.split('(').next().unwrap();
        let text = |key: &str| {
            let text = answer["data"][name][key].as_str();
            text.unwrap_or_else(|| panic!("{answer:#}")).to_owned()
        };
        Login {
            access: text("accessToken"),
            refresh: text("refreshToken"),
        }
    }

    async fn log_in(&self, password: &str) -> Login {
        let input = json!({ "i": { "email": "bert@example.org", "password": password } });
        self.session(None, "login(input: $i)", "$i: LoginInput!", input)
            .await
    }

    async fn renew(&self, login: &Login) -> Login {
        let token = json!({ "t": login.refresh });
        self.session(None, "refreshSession(refreshToken: $t)", "$t: String", token)
            .await
    }

    /// The result of one of [`WRITES`] with the token: the error code, or `OK`.
    async fn write(&self, login: &Login, write: &str) -> String {
        let (query, variables) = match write {
            "upload" => {
                let url = format!("{}/media/uploads", self.system.base_url());
                let request = reqwest::Client::new().post(url).bearer_auth(&login.access);
                let request = request.header("content-type", "image/png").body(picture(7));
                let answer: Value = request.send().await.unwrap().json().await.unwrap();
                return answer["code"].as_str().unwrap_or("OK").to_owned();
            }
            "changePassword" => (
                "mutation { changePassword(input: { currentPassword: \"not this one\", newPassword: \"another new password\" }) { accessTokenExpiresAt } }",
                json!({}),
            ),
            "updateProfile" => (
                "mutation { updateProfile(input: { bio: \"here\" }) { id } }",
                json!({}),
            ),
            "updatePhoto" => (
                "mutation ($id: ID!) { updatePhoto(input: { id: $id, title: \"Mine\" }) { id } }",
                json!({ "id": self.photo }),
            ),
            "castVote" => (
                "mutation ($id: ID!) { castVote(photoId: $id, vote: UP) { id } }",
                json!({ "id": self.photo }),
            ),
            "addComment" => (
                "mutation ($id: ID!) { addComment(input: { photoId: $id, body: \"here\", idempotencyKey: \"once\" }) { id } }",
                json!({ "id": self.photo }),
            ),
            other => panic!("there is no mutation {other}"),
        };
        let answer = self.send(Some(&login.access), query, variables).await;
        let error = &answer["errors"][0]["extensions"];
        match (error["code"].as_str(), error["field"].as_str()) {
            (None, _) => "OK".to_owned(),
            (Some(code), None) => code.to_owned(),
            (Some(code), Some(field)) => format!("{code} {field}"),
        }
    }

    /// Whether `viewer` returns the token's user.
    async fn returns_viewer(&self, login: &Login) -> bool {
        let query = "query ($id: ID!) { viewer { email user { id } } photo(id: $id) { viewerVote } }";
        let answer = self
            .send(Some(&login.access), query, json!({ "id": self.photo }))
            .await;
        answer["data"]["viewer"] != Value::Null || answer["data"]["photo"]["viewerVote"] != Value::Null
    }

    async fn expect_accepted(&self, login: &Login) {
        for write in WRITES {
            let expected = match write {
                "changePassword" => "UNAUTHENTICATED currentPassword",
                "updatePhoto" => "FORBIDDEN",
                _ => "OK",
            };
            assert_eq!(self.write(login, write).await, expected, "{write}");
        }
        assert!(self.returns_viewer(login).await);
    }

    /// Waits until every service refuses the token, and returns how long that took from `ended` on.
    async fn until_refused(&self, login: &Login, ended: Instant) -> Duration {
        let mut slowest = Duration::ZERO;
        for write in WRITES {
            while self.write(login, write).await != "UNAUTHENTICATED" {
                assert!(
                    ended.elapsed() < Duration::from_secs(30),
                    "{write} accepts the token"
                );
            }
            slowest = slowest.max(ended.elapsed());
        }
        while self.returns_viewer(login).await {
            assert!(ended.elapsed() < Duration::from_secs(30));
        }
        slowest.max(ended.elapsed())
    }

    async fn expect_refused(&self, login: &Login) {
        for write in WRITES {
            assert_eq!(self.write(login, write).await, "UNAUTHENTICATED", "{write}");
        }
        assert!(!self.returns_viewer(login).await);
    }
}

/// Mutations of all services, and the upload.
const WRITES: [&str; 6] = [
    "castVote",
    "addComment",
    "updatePhoto",
    "upload",
    "updateProfile",
    "changePassword",
];

/// One test for all checks, because starting a system takes seconds.
#[tokio::test]
async fn ended_sessions_are_refused_everywhere() {
    let system = System::start(Options::default()).await.unwrap();
    let ada = Site::visit(&system);
    let register = "mutation ($i: RegisterInput!) { register(input: $i) { accessToken } }";
    for name in ["bert", "ada"] {
        let input = json!({ "i": { "email": format!("{name}@example.org"), "password": PASSWORD } });
        ada.data(register, input).await;
    }
    let photo = ada.publish("Ada's", 10).await;
    let client = Client {
        system: &system,
        photo,
    };

    // Warm-up: all services have loaded the keys.
    let kept = client.log_in(PASSWORD).await;
    client.expect_accepted(&kept).await;

    let signed_out = client.log_in(PASSWORD).await;
    client.expect_accepted(&signed_out).await;
    client
        .send(Some(&signed_out.access), "mutation { logout }", json!({}))
        .await;
    let took = client.until_refused(&signed_out, Instant::now()).await;
    assert!(took < Duration::from_secs(1), "after a logout: {took:?}");

    let replayed = client.log_in(PASSWORD).await;
    let second = client.renew(&replayed).await;
    let third = client.renew(&second).await;
    client.expect_accepted(&third).await;
    let replay = "mutation ($t: String) { refreshSession(refreshToken: $t) { accessToken } }";
    client.send(None, replay, json!({ "t": replayed.refresh })).await;
    let took = client.until_refused(&third, Instant::now()).await;
    assert!(took < Duration::from_secs(1), "after a replay: {took:?}");

    client.expect_accepted(&kept).await;
    let other = client.log_in(PASSWORD).await;
    let change = "changePassword(input: { currentPassword: $old, newPassword: $new })";
    let passwords = json!({ "old": PASSWORD, "new": NEW_PASSWORD });
    let changed = client
        .session(
            Some(&other.access),
            change,
            "$old: String!, $new: String!",
            passwords,
        )
        .await;
    let took = client.until_refused(&kept, Instant::now()).await;
    assert!(
        took < Duration::from_secs(1),
        "after a new password elsewhere: {took:?}"
    );
    client.expect_accepted(&changed).await;

    check_restarted_service(&client).await;
    system.stop().await;
}

async fn check_restarted_service(client: &Client<'_>) {
    let system = client.system;
    let missed = client.log_in(NEW_PASSWORD).await;
    client.expect_accepted(&missed).await;
    system.stop_service("vote").await.unwrap();
    client
        .send(Some(&missed.access), "mutation { logout }", json!({}))
        .await;
    system.start_service("vote").await.unwrap();
    client.until_refused(&missed, Instant::now()).await;

    // A new process knows the sessions that ended before it started.
    for service in ["vote", "comment", "photo", "profile"] {
        system.kill_service(service).await.unwrap();
        system.start_service(service).await.unwrap();
    }
    client.expect_refused(&missed).await;
}
