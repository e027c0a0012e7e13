//! The internal API between services, behind a shared secret: `/internal/…` and `/events`.

use std::fmt::Display;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use contracts::headers;
use contracts::internal::{Ids, Listing, MAX_PAGE_SIZE, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use subtle::ConstantTimeEq as _;
use url::Url;

use crate::config::Secret;
use crate::telemetry::traces;
use crate::{Classify, Code};

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
        .get(headers::SECRET)
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

impl<T> Known<T> {
    /// Whether it is there.
    pub fn is_present(&self) -> bool {
        matches!(self, Self::Present(_))
    }

    /// Whether it was deleted.
    pub fn is_deleted(&self) -> bool {
        matches!(self, Self::Deleted)
    }
}

impl InternalClient {
    /// A client of the service at `base`.
    pub fn new(http: reqwest::Client, base: Url, secret: Secret) -> Self {
        Self { http, base, secret }
    }

    /// Asks for one thing: 200 is it, 404 unknown, 410 deleted.
    pub async fn look_up<R: Resource>(&self, id: impl Display) -> Result<Known<R>, InternalError> {
        let url = self.url(&R::path(id));
        let response = self.send(self.http.get(url.clone()), &url).await?;
        match response.status() {
            reqwest::StatusCode::NOT_FOUND => Ok(Known::Unknown),
            reqwest::StatusCode::GONE => Ok(Known::Deleted),
            _ => Self::body(response, url).await.map(Known::Present),
        }
    }

    /// Asks for the page of a listing after `after`.
    pub async fn list<R, I>(&self, after: Option<&I>) -> Result<Listing<R, I>, InternalError>
    where
        R: Resource,
        I: DeserializeOwned + Display,
    {
        let mut url = self.url(R::LIST);
        url.query_pairs_mut()
            .append_pair("limit", &MAX_PAGE_SIZE.to_string());
        if let Some(after) = after {
            url.query_pairs_mut().append_pair("after", &after.to_string());
        }
        let response = self.send(self.http.get(url.clone()), &url).await?;
        Self::body(response, url).await
    }

    /// Asks which of `ids` the other service does not have (any more).
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
