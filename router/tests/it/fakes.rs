//! Fakes of the services, which record requests and return fixed responses.

use std::net::SocketAddr;
use std::ops::Index;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use contracts::services;
use futures::StreamExt as _;
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tokio::net::TcpListener;

pub(crate) const PHOTO: &str = "01936f5e-7c00-7000-8000-000000000001";
pub(crate) const USER: &str = "01936f5e-7c00-7000-8000-0000000000aa";
const COMMENT: &str = "01936f5e-7c00-7000-8000-0000000000cc";
const KEY_ID: &str = "fake";
/// The size of the file `/media/large`.
pub(crate) const LARGE: usize = 2 * 1024 * 1024;

/// An Ed25519 private key for tests only: PKCS#8 with 32 known bytes.
fn key() -> EncodingKey {
    let mut der = vec![
        0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
    ];
    der.extend([9; 32]);
    EncodingKey::from_ed_der(&der)
}

fn public_key() -> Jwk {
    let mut jwk = Jwk::from_encoding_key(&key(), Algorithm::EdDSA).unwrap();
    jwk.common.key_id = Some(KEY_ID.to_owned());
    jwk
}

/// The parts of a token, so that tests can forge tokens.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) header: Header,
    pub(crate) claims: Value,
}

impl Token {
    pub(crate) fn good() -> Self {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs();
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some("at+jwt".to_owned());
        header.kid = Some(KEY_ID.to_owned());
        let claims = json!({
            "iss": "proofsheet", "aud": "proofsheet", "sub": USER, "iat": now, "exp": now + 600,
            "jti": PHOTO, "sid": PHOTO, "roles": [],
        });
        Self { header, claims }
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    pub(crate) fn signed(&self) -> String {
        jsonwebtoken::encode(&self.header, &self.claims, &key()).unwrap()
    }

    /// A token signed by HMAC with the public key as secret.
    pub(crate) fn signed_with_public_key(&self) -> String {
        let mut header = self.header.clone();
        header.alg = Algorithm::HS256;
        let public = serde_json::to_value(public_key()).unwrap()["x"]
            .as_str()
            .unwrap()
            .to_owned();
        jsonwebtoken::encode(
            &header,
            &self.claims,
            &EncodingKey::from_secret(public.as_bytes()),
        )
        .unwrap()
    }
}

/// A recorded request.
#[derive(Clone)]
pub(crate) struct Seen {
    pub(crate) headers: HeaderMap,
    pub(crate) size: usize,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// A fake of one service.
#[derive(Clone)]
pub(crate) struct Fake {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    answer: Arc<Mutex<Option<Value>>>,
    delay: Arc<Mutex<Duration>>,
}

impl Fake {
    async fn start(name: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fake = Self {
            name,
            address: listener.local_addr().unwrap(),
            seen: Arc::default(),
            answer: Arc::default(),
            delay: Arc::default(),
        };
        let routes = Router::new()
            .route("/graphql", post(graphql))
            .route(
                "/.well-known/jwks.json",
                get(async || {
                    Json(JwkSet {
                        keys: vec![public_key()],
                    })
                }),
            )
            .route("/media/uploads", post(upload))
            .route("/media/{*file}", get(download))
            .route("/internal/photos", get(async || "the crown jewels"))
            .with_state(fake.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        fake
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns and clears the recorded requests.
    pub(crate) fn take_seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }

    /// Sets the response to all operations.
    pub(crate) fn answer_with(&self, answer: Value) {
        *self.answer.lock().unwrap() = Some(answer);
    }

    /// Sets a delay of all responses.
    pub(crate) fn delay(&self, delay: Duration) {
        *self.delay.lock().unwrap() = delay;
    }

    fn remember(&self, headers: HeaderMap, size: usize) {
        self.seen.lock().unwrap().push(Seen { headers, size });
    }
}

/// A fake of each service, by name: `fakes["photo"]`.
pub(crate) struct Fakes(Vec<Fake>);

impl Fakes {
    pub(crate) async fn start() -> Self {
        Self(futures::future::join_all(services::names().map(Fake::start)).await)
    }

    pub(crate) fn all(&self) -> &[Fake] {
        &self.0
    }
}

impl Index<&str> for Fakes {
    type Output = Fake;

    fn index(&self, name: &str) -> &Fake {
        let fake = self.0.iter().find(|fake| fake.name == name);
        fake.unwrap_or_else(|| panic!("no service is called {name}"))
    }
}

async fn graphql(State(fake): State<Fake>, headers: HeaderMap, Json(request): Json<Value>) -> Response {
    let size = request.to_string().len();
    fake.remember(headers, size);
    let delay = *fake.delay.lock().unwrap();
    tokio::time::sleep(delay).await;
    if let Some(answer) = fake.answer.lock().unwrap().clone() {
        return Json(answer).into_response();
    }
    let data = match request["variables"]["representations"].as_array() {
        Some(representations) => {
            json!({ "_entities": representations.iter().map(|of| entity(fake.name, of)).collect::<Vec<_>>() })
        }
        None => root(&request["variables"]),
    };
    let answer = Json(json!({ "data": data }));
    if fake.name == "authentication" {
        let cookies = [
            (header::SET_COOKIE, "a=1; HttpOnly"),
            (header::SET_COOKIE, "b=2; HttpOnly"),
        ];
        return (axum::response::AppendHeaders(cookies), answer).into_response();
    }
    answer.into_response()
}

pub(crate) fn photo() -> Value {
    json!({
        "__typename": "Photo", "id": PHOTO, "title": "A heron", "altText": "A grey bird in shallow water",
        "width": 3000, "height": 2000, "placeholder": "3OcRJYB4d3h/iIeHeEh3eIhw+j2w",
        "publishedAt": "2026-11-22T10:00:00Z", "updatedAt": "2026-11-22T11:30:00Z",
        "sources": [
            { "mediaType": "image/avif", "srcset": "/media/a/640.avif 640w, /media/a/1280.avif 1280w" },
            { "mediaType": "image/jpeg", "srcset": "/media/a/640.jpg 640w, /media/a/1280.jpg 1280w, /media/a/2048.jpg 2048w" },
        ],
        "author": { "__typename": "User", "id": USER },
    })
}

/// All root fields that the tests query. The router selects the requested ones. A list with a cursor has two pages,
/// with the same photo.
fn root(variables: &Value) -> Value {
    let photos = json!({
        "nodes": [photo()],
        "edges": [{ "cursor": "c", "node": photo() }],
        "pageInfo": { "hasNextPage": false, "endCursor": "c" },
    });
    let walk = |nodes: Value| {
        let is_first = variables["after"].is_null();
        json!({ "nodes": nodes, "pageInfo": { "hasNextPage": is_first, "endCursor": "2" } })
    };
    json!({
        "viewer": { "__typename": "Viewer", "id": USER, "email": "ada@example.org" },
        "usernameAvailable": true,
        "user": { "__typename": "User", "id": USER, "username": "ada", "displayName": "Ada", "bio": "Herons.", "joinedAt": "2026-01-01T00:00:00Z" },
        "photo": photo(),
        "latestPhotos": photos,
        "trendingPhotos": photos,
        "hotPhotos": walk(json!([{ "__typename": "Photo", "id": PHOTO }])),
        "hotDays": walk(json!([{
            "day": if variables["after"].is_null() { "2026-11-22" } else { "2026-11-21" },
            "photoCount": 1,
            "winner": { "__typename": "Photo", "id": PHOTO },
        }])),
        "deletePhoto": PHOTO,
    })
}

/// The fields that one service adds to an entity.
fn entity(service: &str, representation: &Value) -> Value {
    let mut entity = match (service, representation["__typename"].as_str()) {
        ("profile", _) => json!({ "username": "ada", "displayName": "Ada" }),
        ("vote", _) => json!({ "votes": { "up": 2, "down": 1, "score": 1 }, "viewerVote": null }),
        ("comment", _) => json!({ "commentCount": 3, "comments": comments() }),
        (_, Some("User")) => json!({ "photos": root(&Value::Null)["latestPhotos"] }),
        _ => photo(),
    };
    entity["__typename"] = representation["__typename"].clone();
    entity["id"] = representation["id"].clone();
    entity
}

fn comments() -> Value {
    let said = |body: &str| {
        json!({
            "__typename": "Comment", "id": COMMENT, "body": body, "deleted": false,
            "createdAt": "2026-11-22T11:00:00Z", "editedAt": null, "author": { "__typename": "User", "id": USER },
        })
    };
    let mut first = said("What a bird.");
    let end = json!({ "hasNextPage": false, "endCursor": null });
    first["replies"] = json!({ "nodes": [said("Is it not?")], "pageInfo": end });
    json!({ "nodes": [first], "edges": [{ "cursor": "c", "node": first }], "pageInfo": end })
}

async fn upload(State(fake): State<Fake>, headers: HeaderMap, body: Body) -> Response {
    let mut size = 0;
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        match chunk {
            Ok(chunk) => size += chunk.len(),
            Err(_) => return StatusCode::BAD_REQUEST.into_response(),
        }
    }
    fake.remember(headers, size);
    (
        StatusCode::CREATED,
        Json(json!({ "uploadId": PHOTO, "size": size })),
    )
        .into_response()
}

async fn download(State(fake): State<Fake>, Path(file): Path<String>, headers: HeaderMap) -> Response {
    fake.remember(headers.clone(), 0);
    if file == "nothing" {
        return StatusCode::NOT_FOUND.into_response();
    }
    if file == "missing" {
        return (
            StatusCode::NOT_FOUND,
            Json(json!({ "code": "NOT_FOUND", "message": "gone" })),
        )
            .into_response();
    }
    if file == "large" {
        return vec![7; LARGE].into_response();
    }
    let fixed = [
        (header::ETAG, "\"v1\""),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
        (header::CONTENT_TYPE, "image/avif"),
        (header::CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'"),
        (header::ACCEPT_RANGES, "bytes"),
    ];
    if headers
        .get(header::IF_NONE_MATCH)
        .is_some_and(|tag| tag == "\"v1\"")
    {
        return (StatusCode::NOT_MODIFIED, fixed).into_response();
    }
    if headers.contains_key(header::RANGE) {
        return (
            StatusCode::PARTIAL_CONTENT,
            fixed,
            [(header::CONTENT_RANGE, "bytes 0-3/10")],
            "0123",
        )
            .into_response();
    }
    (fixed, "0123456789").into_response()
}
