//! The internal API between services, protected by a shared secret: `/internal/…` and `/events`.

use std::fmt::Display;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use contracts::headers;
use contracts::internal::{Ids, Listing, MAX_LISTED_ITEMS, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use subtle::ConstantTimeEq as _;
use url::Url;

use crate::config::Secret;
use crate::telemetry::traces;
use crate::{Classify, Code};

/// The timeout of a request to another service: less than the time for a whole request.
const TIMEOUT: Duration = Duration::from_millis(1_500);

/// Requires the secret for `routes`: 403 without it.
pub fn with_secret(routes: Router, secret: Secret) -> Router {
    // Only for these routes: a layer would return 403 for unknown paths too.
    routes.route_layer(middleware::from_fn_with_state(secret, require_secret))
}

async fn require_secret(State(secret): State<Secret>, request: Request, next: Next) -> Response {
    let given = request
        .headers()
        .get(headers::SECRET)
        .map_or(&b""[..], |value| value.as_bytes());
    if bool::from(given.ct_eq(secret.expose().as_bytes())) {
        next.run(request).await
    } else {
        StatusCode::FORBIDDEN.into_response()
    }
}

/// A client of another service's internal API.
#[derive(Debug, Clone)]
pub struct InternalClient {
    http: reqwest::Client,
    base: Url,
    secret: Secret,
}

/// Why a request to another service failed.
#[derive(Debug, thiserror::Error)]
pub enum InternalError {
    /// The service could not be reached in time, or its response is invalid.
    #[error("{url}: {source}")]
    Unreachable {
        url: Url,
        /// The cause.
        source: reqwest::Error,
    },
    /// The service returned an unexpected status.
    #[error("{url} answered {status}")]
    Status { url: Url, status: reqwest::StatusCode },
}

impl Classify for InternalError {
    fn code(&self) -> Code {
        Code::Unavailable
    }
}

/// The result of looking up an item in another service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup<T> {
    /// The item exists.
    Present(T),
    /// The item never existed.
    Unknown,
    /// The item was deleted.
    Deleted,
}

impl<T> Lookup<T> {
    /// Whether the item exists.
    pub fn is_present(&self) -> bool {
        matches!(self, Self::Present(_))
    }

    /// Whether the item was deleted.
    pub fn is_deleted(&self) -> bool {
        matches!(self, Self::Deleted)
    }
}

impl InternalClient {
    /// Creates a client of the service at `base`.
    pub fn new(http: reqwest::Client, base: Url, secret: Secret) -> Self {
        Self { http, base, secret }
    }

    /// Looks up an item by id: status 200 is present, 404 unknown, 410 deleted.
    pub async fn look_up<R: Resource>(&self, id: impl Display) -> Result<Lookup<R>, InternalError> {
        let url = self.url(&R::path(id));
        let response = self.send(self.http.get(url.clone()), &url).await?;
        match response.status() {
            reqwest::StatusCode::NOT_FOUND => Ok(Lookup::Unknown),
            reqwest::StatusCode::GONE => Ok(Lookup::Deleted),
            _ => Self::body(response, url).await.map(Lookup::Present),
        }
    }

    /// Returns the page of a list after the id `after`.
    pub async fn list<R, I>(&self, after: Option<&I>) -> Result<Listing<R, I>, InternalError>
    where
        R: Resource,
        I: DeserializeOwned + Display,
    {
        let mut url = self.url(R::LIST);
        url.query_pairs_mut()
            .append_pair("limit", &MAX_LISTED_ITEMS.to_string());
        if let Some(after) = after {
            url.query_pairs_mut().append_pair("after", &after.to_string());
        }
        let response = self.send(self.http.get(url.clone()), &url).await?;
        Self::body(response, url).await
    }

    /// Returns those of `ids` that do not exist in the other service.
    pub async fn gone<R, I>(&self, ids: &[I]) -> Result<Vec<I>, InternalError>
    where
        R: Resource,
        I: Serialize + DeserializeOwned,
    {
        let url = self.url(R::GONE);
        let response = self
            .send(self.http.post(url.clone()).json(&IdsRef { ids }), &url)
            .await?;
        let gone: Ids<I> = Self::body(response, url).await?;
        Ok(gone.ids)
    }

    /// Posts `body`. Other statuses than success are errors.
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
            Some(header) => request.header(headers::TRACE_CONTEXT, header),
            None => request,
        };
        request
            .header(headers::SECRET, self.secret.expose())
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
