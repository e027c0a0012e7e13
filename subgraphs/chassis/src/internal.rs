//! The internal API between services, behind a shared secret: `/internal/…` and `/events`.

use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use url::Url;

use crate::config::Secret;
use crate::telemetry::traces;
use crate::{Classify, Code};

/// The header that carries the secret. The router drops it from what clients send.
pub const SECRET_HEADER: &str = "x-internal-secret";

/// How long one service waits for another: less than a request may take in all.
const TIMEOUT: Duration = Duration::from_millis(1_500);

/// Puts `routes` behind the secret: 403 without it.
pub fn guarded(routes: Router, secret: Secret) -> Router {
    // Only around these routes: a layer would also return 403 for unknown paths.
    routes.route_layer(middleware::from_fn_with_state(secret, require_secret))
}

async fn require_secret(State(secret): State<Secret>, request: Request, next: Next) -> Response {
    let given = request
        .headers()
        .get(SECRET_HEADER)
        .map_or(&b""[..], |value| value.as_bytes());
    if bool::from(given.ct_eq(secret.expose().as_bytes())) {
        next.run(request).await
    } else {
        StatusCode::FORBIDDEN.into_response()
    }
}

/// Asks one other service.
#[derive(Debug, Clone)]
pub struct InternalClient {
    http: reqwest::Client,
    base: Url,
    secret: Secret,
}

/// Why the other service gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum InternalError {
    /// It could not be reached in time, or its answer has no sense.
    #[error("{url}: {source}")]
    Unreachable {
        url: Url,
        /// Why there is no answer.
        source: reqwest::Error,
    },
    /// It answered with an unexpected status.
    #[error("{url} answered {status}")]
    Status { url: Url, status: reqwest::StatusCode },
}

impl Classify for InternalError {
    fn code(&self) -> Code {
        Code::Unavailable
    }
}

/// One page of a listing, ordered by id.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Listing<T, I> {
    /// The items.
    pub items: Vec<T>,
    /// The `after` of the next page; null on the last.
    pub next: Option<I>,
}

/// The question which of some ids are not there (any more).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ids<I> {
    /// The ids.
    pub ids: Vec<I>,
}

/// The response of another service about one item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known<T> {
    /// It is there.
    Present(T),
    /// It was never heard of.
    Unknown,
    /// It was deleted.
    Deleted,
}

impl InternalClient {
    /// A client of the service at `base`.
    pub fn new(http: reqwest::Client, base: Url, secret: Secret) -> Self {
        Self { http, base, secret }
    }

    /// Asks for one thing: 200 is it, 404 unknown, 410 deleted.
    pub async fn look_up<T: DeserializeOwned>(&self, path: &str) -> Result<Known<T>, InternalError> {
        let url = self.url(path);
        let response = self.send(self.http.get(url.clone()), &url).await?;
        match response.status() {
            reqwest::StatusCode::NOT_FOUND => Ok(Known::Unknown),
            reqwest::StatusCode::GONE => Ok(Known::Deleted),
            _ => Self::body(response, url).await.map(Known::Present),
        }
    }

    /// Asks for the page of a listing after `after`.
    pub async fn list<T, I>(&self, path: &str, after: Option<&I>) -> Result<Listing<T, I>, InternalError>
    where
        T: DeserializeOwned,
        I: DeserializeOwned + ToString,
    {
        let mut url = self.url(path);
        url.query_pairs_mut().append_pair("limit", "1000");
        if let Some(after) = after {
            url.query_pairs_mut().append_pair("after", &after.to_string());
        }
        let response = self.send(self.http.get(url.clone()), &url).await?;
        Self::body(response, url).await
    }

    /// Asks which of `ids` the other service does not have (any more).
    pub async fn gone<I: Serialize + DeserializeOwned>(
        &self,
        path: &str,
        ids: &[I],
    ) -> Result<Vec<I>, InternalError> {
        let url = self.url(path);
        let response = self
            .send(self.http.post(url.clone()).json(&IdsRef { ids }), &url)
            .await?;
        let gone: Ids<I> = Self::body(response, url).await?;
        Ok(gone.ids)
    }

    /// Posts `body`; anything but success is an error.
    pub async fn post<B: Serialize + Sync>(&self, path: &str, body: &B) -> Result<(), InternalError> {
        let url = self.url(path);
        let response = self.send(self.http.post(url.clone()).json(body), &url).await?;
        let status = response.status();
        if status.is_success() {
            Ok(())
        } else {
            Err(InternalError::Status { url, status })
        }
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(path);
        url
    }

    async fn send(
        &self,
        request: reqwest::RequestBuilder,
        url: &Url,
    ) -> Result<reqwest::Response, InternalError> {
        let request = match traces::current_header() {
            Some(header) => request.header(traces::HEADER, header),
            None => request,
        };
        request
            .header(SECRET_HEADER, self.secret.expose())
            .timeout(TIMEOUT)
            .send()
            .await
            .map_err(|source| InternalError::Unreachable {
                url: url.clone(),
                source,
            })
    }

    async fn body<T: DeserializeOwned>(response: reqwest::Response, url: Url) -> Result<T, InternalError> {
        let status = response.status();
        if !status.is_success() {
            return Err(InternalError::Status { url, status });
        }
        response
            .json()
            .await
            .map_err(|source| InternalError::Unreachable { url, source })
    }
}

#[derive(Serialize)]
struct IdsRef<'a, I> {
    ids: &'a [I],
}
