//! Verifies access tokens with the issuer's published keys (RFC 7519, RFC 7517, RFC 9068).

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, header};
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use tokio::sync::Mutex;
use url::Url;
use uuid::Uuid;

use crate::config::TokenConfig;
use crate::ended_sessions::EndedSessions;
use crate::viewer::{Caller, UserId, Viewer};

/// Only asymmetric algorithms: with a shared secret every verifier could also sign.
const ALGORITHMS: [Algorithm; 4] = [
    Algorithm::EdDSA,
    Algorithm::ES256,
    Algorithm::RS256,
    Algorithm::PS256,
];
/// The keys are fetched again after this time, so that withdrawn keys stop working.
const KEY_SET_LIFETIME: Duration = Duration::from_secs(300);
/// The minimum time between two fetches because of unknown key ids.
const MIN_FETCH_INTERVAL: Duration = Duration::from_secs(5);
/// The accepted difference of clocks, in seconds.
const LEEWAY: u64 = 5;

/// Verifies access tokens. Cheap to clone.
#[derive(Clone)]
pub struct TokenVerifier {
    inner: Arc<Inner>,
    ended: Option<EndedSessions>,
}

struct Inner {
    config: TokenConfig,
    source: KeySource,
    keys: Mutex<Keys>,
}

enum KeySource {
    Fixed,
    Url { client: reqwest::Client, url: Url },
}

#[derive(Default)]
struct Keys {
    set: Option<Arc<JwkSet>>,
    fetched_at: Option<Instant>,
    asked_at: Option<Instant>,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    #[serde(default)]
    sid: Option<Uuid>,
    #[serde(default)]
    roles: Vec<String>,
}

impl TokenVerifier {
    /// Creates a verifier that fetches the keys from `config.jwks_url` on first use.
    pub fn new(config: &TokenConfig, client: reqwest::Client) -> Self {
        let url = config.jwks_url.clone();
        Self::build(config, KeySource::Url { client, url }, Keys::default())
    }

    /// Creates a verifier with fixed keys, for the issuer itself and for tests.
    pub fn with_keys(config: &TokenConfig, set: JwkSet) -> Self {
        let keys = Keys {
            set: Some(Arc::new(set)),
            ..Keys::default()
        };
        Self::build(config, KeySource::Fixed, keys)
    }

    fn build(config: &TokenConfig, source: KeySource, keys: Keys) -> Self {
        Self {
            inner: Arc::new(Inner {
                config: config.clone(),
                source,
                keys: Mutex::new(keys),
            }),
            ended: None,
        }
    }

    /// Returns the requirements on tokens.
    pub fn config(&self) -> &TokenConfig {
        &self.inner.config
    }

    /// Returns the same verifier, which also refuses tokens of these sessions.
    #[must_use]
    pub fn refusing_sessions(self, ended: EndedSessions) -> Self {
        Self {
            ended: Some(ended),
            ..self
        }
    }

    /// Replaces the keys of a verifier created by [`TokenVerifier::with_keys`].
    pub async fn set_keys(&self, set: JwkSet) {
        self.inner.keys.lock().await.set = Some(Arc::new(set));
    }

    /// Returns the sender of a request. An invalid token makes the request anonymous.
    pub async fn caller(&self, headers: &HeaderMap) -> Caller {
        let Some(token) = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim())
        else {
            return Caller::Anonymous;
        };
        self.verify(token).await
    }

    /// Verifies a token, and returns the sender.
    pub async fn verify(&self, token: &str) -> Caller {
        let Ok(token_header) = jsonwebtoken::decode_header(token) else {
            return Caller::Anonymous;
        };
        let typed = token_header
            .typ
            .as_deref()
            .is_some_and(|typ| typ.eq_ignore_ascii_case(&self.inner.config.token_type));
        let (true, true, Some(kid)) = (typed, ALGORITHMS.contains(&token_header.alg), token_header.kid)
        else {
            return Caller::Anonymous;
        };
        match self.key(&kid).await {
            Err(KeysUnavailable) => Caller::Unverified,
            Ok(None) => Caller::Anonymous,
            Ok(Some(key)) => self
                .check(token, token_header.alg, &key)
                .map_or(Caller::Anonymous, |viewer| self.unless_ended(viewer)),
        }
    }

    fn unless_ended(&self, viewer: Viewer) -> Caller {
        let ended = self.ended.as_ref().zip(viewer.session);
        match ended.map(|(ended, session)| ended.contains(session)) {
            // A token without a session cannot be revoked.
            None | Some(Some(false)) => Caller::Viewer(viewer),
            Some(Some(true)) => Caller::SessionEnded,
            Some(None) => Caller::Unverified,
        }
    }

    fn check(&self, token: &str, algorithm: Algorithm, key: &Jwk) -> Option<Viewer> {
        // The key decides about the algorithm; the token must have the same.
        if let Some(of_key) = key.common.key_algorithm
            && of_key.to_string() != format!("{algorithm:?}")
        {
            return None;
        }
        let key = DecodingKey::from_jwk(key).ok()?;
        let mut validation = Validation::new(algorithm);
        validation.leeway = LEEWAY;
        validation.set_issuer(&[&self.inner.config.token_issuer]);
        validation.set_audience(&[&self.inner.config.token_audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        let claims = jsonwebtoken::decode::<Claims>(token, &key, &validation)
            .ok()?
            .claims;
        Some(Viewer {
            id: user_id(&claims),
            session: claims.sid,
            moderator: claims.roles.iter().any(|role| role == "moderator"),
        })
    }

    async fn key(&self, kid: &str) -> Result<Option<Jwk>, KeysUnavailable> {
        let mut keys = self.inner.keys.lock().await;
        let fresh = match &self.inner.source {
            KeySource::Fixed => true,
            KeySource::Url { .. } => keys.fetched_at.is_some_and(|at| at.elapsed() < KEY_SET_LIFETIME),
        };
        let known = keys.set.as_ref().and_then(|set| set.find(kid).cloned());
        if fresh && (known.is_some() || matches!(self.inner.source, KeySource::Fixed)) {
            return Ok(known);
        }
        let asked_lately = keys.asked_at.is_some_and(|at| at.elapsed() < MIN_FETCH_INTERVAL);
        if let (false, KeySource::Url { client, url }) = (asked_lately, &self.inner.source) {
            keys.asked_at = Some(Instant::now());
            match fetch(client, url).await {
                Ok(set) => {
                    keys.set = Some(Arc::new(set));
                    keys.fetched_at = Some(Instant::now());
                }
                Err(error) => {
                    tracing::warn!(%url, error = crate::error::chain(&error), "cannot fetch the issuer's keys");
                }
            }
        }
        // Old keys are used if fetching fails, because the issuer may be down.
        match &keys.set {
            Some(set) => Ok(set.find(kid).cloned()),
            None => Err(KeysUnavailable),
        }
    }
}

struct KeysUnavailable;

async fn fetch(client: &reqwest::Client, url: &Url) -> reqwest::Result<JwkSet> {
    client
        .get(url.clone())
        .timeout(Duration::from_secs(1))
        .send()
        .await?
        .error_for_status()?
        .json()
        .await
}

fn user_id(claims: &Claims) -> UserId {
    UserId(claims.sub.parse().unwrap_or_else(|_| {
        let issuer = Uuid::new_v5(&Uuid::NAMESPACE_URL, claims.iss.as_bytes());
        Uuid::new_v5(&issuer, claims.sub.as_bytes())
    }))
}
