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

/// Speaks to a service through its routes, without a network.
#[derive(Debug, Clone)]
pub struct Client {
    routes: Router,
    token: Option<String>,
    headers: Vec<(String, String)>,
}

impl Client {
    /// An anonymous client of the service with these routes.
    pub fn new(routes: Router) -> Self {
        Self {
            routes,
            token: None,
            headers: Vec::new(),
        }
    }

    /// The same, signed in as `user`.
    #[must_use]
    pub fn of(&self, user: UserId) -> Self {
        self.with_token(Issuer::token(user))
    }

    /// The same, signed in as a moderator.
    #[must_use]
    pub fn moderator(&self, user: UserId) -> Self {
        self.with_token(Issuer::moderator_token(user))
    }

    /// The same with any token.
    #[must_use]
    pub fn with_token(&self, token: String) -> Self {
        Self {
            token: Some(token),
            ..self.clone()
        }
    }

    /// The same with another header on every request.
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

    /// Resolves entities of one type as the router does, and selects `selection` of each.
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

    /// Delivers an event as another service's relay does.
    pub async fn deliver(&self, event: &Event) -> StatusCode {
        let body = serde_json::to_string(event).expect("events serialise");
        let client = self.with_header(headers::SECRET, INTERNAL_SECRET);
        client.post("/events", "application/json", body).await.status()
    }

    /// Posts a body.
    pub async fn post(&self, path: &str, content_type: &str, body: impl Into<Body>) -> Response<Body> {
        let request = self
            .request("POST", path)
            .header(header::CONTENT_TYPE, content_type);
        self.send(request.body(body.into()).expect("a valid request"))
            .await
    }

    /// Gets a path.
    pub async fn get(&self, path: &str) -> Response<Body> {
        self.send(
            self.request("GET", path)
                .body(Body::empty())
                .expect("a valid request"),
        )
        .await
    }

    /// Sends any request, as it is.
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

/// The JSON body of a response.
pub(crate) async fn json_of(response: Response<Body>) -> Value {
    let bytes = response.into_body().collect().await.expect("a body").to_bytes();
    serde_json::from_slice(&bytes).expect("a JSON body")
}

/// The response to a GraphQL operation.
#[derive(Debug, Clone)]
pub struct Answer(pub Value);

impl Answer {
    /// The data of an operation that must have worked.
    #[track_caller]
    pub fn data(&self) -> &Value {
        assert!(
            self.0.get("errors").is_none(),
            "unexpected errors: {:#}",
            self.0["errors"]
        );
        &self.0["data"]
    }

    /// The data beside errors.
    pub fn partial(&self) -> &Value {
        &self.0["data"]
    }

    /// The first error's code, and its field where it has one: `INVALID_INPUT title`.
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
