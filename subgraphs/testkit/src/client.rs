use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode, header};
use chassis::UserId;
use contracts::events::Event;
use contracts::headers;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::{INTERNAL_SECRET, Issuer};

/// Sends requests to a service's routes, without a network.
#[derive(Debug, Clone)]
pub struct Client {
    routes: Router,
    token: Option<String>,
    headers: Vec<(String, String)>,
}

impl Client {
    /// Creates an anonymous client.
    pub fn new(routes: Router) -> Self {
        Self {
            routes,
            token: None,
            headers: Vec::new(),
        }
    }

    /// Returns a client signed in as `user`.
    #[must_use]
    pub fn of(&self, user: UserId) -> Self {
        self.with_token(Issuer::token(user))
    }

    /// Returns a client signed in as a moderator.
    #[must_use]
    pub fn moderator(&self, user: UserId) -> Self {
        self.with_token(Issuer::moderator_token(user))
    }

    /// Returns a client with this token.
    #[must_use]
    pub fn with_token(&self, token: String) -> Self {
        Self {
            token: Some(token),
            ..self.clone()
        }
    }

    /// Returns a client that sends another header too.
    #[must_use]
    pub fn with_header(&self, name: &str, value: &str) -> Self {
        let mut client = self.clone();
        client.headers.push((name.to_owned(), value.to_owned()));
        client
    }

    /// Runs a GraphQL operation.
    pub async fn graphql(&self, query: &str, variables: Value) -> Answer {
        let body = json!({ "query": query, "variables": variables });
        let response = self.post("/graphql", "application/json", body.to_string()).await;
        Answer(json_of(response).await)
    }

    /// Resolves entities of one type like the router, with `selection` of each.
    pub async fn entities(&self, typename: &str, ids: &[impl ToString], selection: &str) -> Answer {
        let representations: Vec<_> = ids
            .iter()
            .map(|id| json!({ "__typename": typename, "id": id.to_string() }))
            .collect();
        let query = format!(
            "query ($r: [_Any!]!) {{ _entities(representations: $r) {{ ... on {typename} {{ {selection} }} }} }}"
        );
        self.graphql(&query, json!({ "r": representations })).await
    }

    /// Delivers an event like another service's relay.
    pub async fn deliver(&self, event: &Event) -> StatusCode {
        let body = serde_json::to_string(event).expect("events serialise");
        let client = self.with_header(headers::SECRET, INTERNAL_SECRET);
        client.post("/events", "application/json", body).await.status()
    }

    pub async fn post(&self, path: &str, content_type: &str, body: impl Into<Body>) -> Response<Body> {
        let request = self
            .request("POST", path)
            .header(header::CONTENT_TYPE, content_type);
        self.send(request.body(body.into()).expect("a valid request"))
            .await
    }

    pub async fn get(&self, path: &str) -> Response<Body> {
        self.send(
            self.request("GET", path)
                .body(Body::empty())
                .expect("a valid request"),
        )
        .await
    }

    pub async fn send(&self, request: Request<Body>) -> Response<Body> {
        self.routes
            .clone()
            .oneshot(request)
            .await
            .expect("routes do not fail")
    }

    fn request(&self, method: &str, path: &str) -> axum::http::request::Builder {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request
    }
}

/// Parses the JSON body of a response.
pub(crate) async fn json_of(response: Response<Body>) -> Value {
    let bytes = response.into_body().collect().await.expect("a body").to_bytes();
    serde_json::from_slice(&bytes).expect("a JSON body")
}

/// The response to a GraphQL operation.
#[derive(Debug, Clone)]
pub struct Answer(pub Value);

impl Answer {
    /// Returns the data. Panics if there are errors.
    #[track_caller]
    pub fn data(&self) -> &Value {
        assert!(
            self.0.get("errors").is_none(),
            "unexpected errors: {:#}",
            self.0["errors"]
        );
        &self.0["data"]
    }

    /// Returns the data of a response that may have errors.
    pub fn partial(&self) -> &Value {
        &self.0["data"]
    }

    /// Returns the first error's code and field: `INVALID_INPUT title`.
    #[track_caller]
    pub fn error(&self) -> String {
        let extensions = &self.0["errors"][0]["extensions"];
        let code = extensions["code"]
            .as_str()
            .unwrap_or_else(|| panic!("expected an error: {:#}", self.0));
        match extensions["field"].as_str() {
            Some(field) => format!("{code} {field}"),
            None => code.to_owned(),
        }
    }
}
