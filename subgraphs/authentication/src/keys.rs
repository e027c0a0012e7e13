//! The keys that sign access tokens: generated here, encrypted in the database, shared by all replicas, rotated with
//! overlap.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use chassis::config::{Secret, TokenConfig};
use chassis::database::Pool;
use chassis::tokens::TokenVerifier;
use chrono::{DateTime, TimeDelta, Utc};
use contracts::limits::ACCESS_TOKEN_LIFETIME;
use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::domain::{Account, SealedKey, SessionId};
use crate::error::KeyError;
use crate::store;

/// The interval in which replicas reload the keys: shorter than the ten minutes between creation and first use of a
/// key.
const KEY_RELOAD_INTERVAL: Duration = Duration::from_secs(30);
/// How long a key signs.
const SIGNS_FOR: TimeDelta = TimeDelta::days(30);
/// How long before its first use the next key is published, if possible.
const PUBLISHED_BEFORE: TimeDelta = TimeDelta::days(1);
/// The minimum of [`PUBLISHED_BEFORE`]: longer than published keys are cached.
const MIN_PUBLISHED_BEFORE: TimeDelta = TimeDelta::minutes(10);
/// How long a key is kept after its successor signs: much longer than the lifetime of its tokens.
const KEY_RETENTION: TimeDelta = TimeDelta::hours(1);

/// Encrypts private keys with a key derived from `KEY_SECRET`.
#[derive(Clone)]
pub struct Sealer(XChaCha20Poly1305);

impl Sealer {
    /// The secret must not be guessable.
    pub fn new(secret: &Secret) -> Self {
        let key = Sha256::new()
            .chain_update(b"proofsheet signing keys v1\0")
            .chain_update(secret.expose())
            .finalize();
        Self(XChaCha20Poly1305::new(&key))
    }

    fn generate(&self, number: u32, signs_from: DateTime<Utc>) -> Result<SealedKey, KeyError> {
        let (id, seed, nonce) = (
            Uuid::new_v4(),
            rand::random::<[u8; 32]>(),
            rand::random::<[u8; 24]>(),
        );
        let payload = Payload {
            msg: &seed,
            aad: &aad(number, id),
        };
        let sealed = self
            .0
            .encrypt(&XNonce::from(nonce), payload)
            .map_err(|_| KeyError::Sealed)?;
        Ok(SealedKey {
            number,
            id,
            nonce: nonce.to_vec(),
            sealed,
            signs_from,
        })
    }

    fn open(&self, key: &SealedKey) -> Result<SigningKey, KeyError> {
        let nonce: [u8; 24] = key.nonce.as_slice().try_into().map_err(|_| KeyError::Sealed)?;
        let payload = Payload {
            msg: &key.sealed,
            aad: &aad(key.number, key.id),
        };
        let seed = self
            .0
            .decrypt(&XNonce::from(nonce), payload)
            .map_err(|_| KeyError::Sealed)?;
        let encoding = EncodingKey::from_ed_der(&pkcs8(&seed));
        let mut public = Jwk::from_encoding_key(&encoding, Algorithm::EdDSA)?;
        public.common.key_id = Some(key.id.to_string());
        public.common.public_key_use = Some(PublicKeyUse::Signature);
        Ok(SigningKey {
            id: key.id,
            signs_from: key.signs_from,
            encoding,
            public,
        })
    }
}

/// The associated data: an encrypted key cannot be moved to another row.
fn aad(number: u32, id: Uuid) -> [u8; 20] {
    let mut aad = [0; 20];
    aad[..4].copy_from_slice(&number.to_be_bytes());
    aad[4..].copy_from_slice(id.as_bytes());
    aad
}

/// Returns the PKCS#8 form of an Ed25519 private key (RFC 8410, 7).
fn pkcs8(seed: &[u8]) -> Vec<u8> {
    let frame = [
        0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
    ];
    [&frame, seed].concat()
}

struct SigningKey {
    id: Uuid,
    signs_from: DateTime<Utc>,
    encoding: EncodingKey,
    public: Jwk,
}

/// The claims of an access token (RFC 9068, 2.2).
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: Uuid,
    iat: i64,
    exp: i64,
    jti: Uuid,
    sid: SessionId,
    roles: &'a [&'static str],
}

/// An access token with its expiry.
pub struct AccessToken {
    /// The JWT.
    pub token: String,
    pub expires_at: DateTime<Utc>,
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccessToken(…, {})", self.expires_at)
    }
}

/// The keys of this process. Cheap to clone.
#[derive(Clone)]
pub struct KeyRing(Arc<Ring>);

struct Ring {
    pool: Pool,
    sealer: Sealer,
    tokens: TokenConfig,
    keys: RwLock<Arc<[SigningKey]>>,
    verifier: TokenVerifier,
}

impl KeyRing {
    /// Loads the keys. Creates the first one if there is none.
    pub async fn open(
        pool: Pool,
        secret: &Secret,
        tokens: TokenConfig,
        now: DateTime<Utc>,
    ) -> Result<Self, KeyError> {
        let verifier = TokenVerifier::with_keys(&tokens, JwkSet { keys: Vec::new() });
        let sealer = Sealer::new(secret);
        let ring = Self(Arc::new(Ring {
            pool,
            sealer,
            tokens,
            keys: RwLock::new(Arc::new([])),
            verifier,
        }));
        rotate_when_due(&ring.0.pool, &ring.0.sealer, now).await?;
        ring.reload().await?;
        Ok(ring)
    }

    /// Returns a verifier for tokens of these keys, including later ones.
    pub fn verifier(&self) -> TokenVerifier {
        self.0.verifier.clone()
    }

    /// Reloads the keys. Every replica does so regularly, because any replica may create one.
    pub async fn reload(&self) -> Result<(), KeyError> {
        let rows = store::keys::all(&self.0.pool).await?;
        let keys: Arc<[SigningKey]> = rows
            .iter()
            .map(|row| self.0.sealer.open(row))
            .collect::<Result<_, _>>()?;
        if keys.is_empty() {
            return Err(KeyError::None);
        }
        let set = JwkSet {
            keys: keys.iter().map(|key| key.public.clone()).collect(),
        };
        *self.0.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        self.0.verifier.set_keys(set).await;
        Ok(())
    }

    /// Returns the public keys, including those that do not sign yet or not any more.
    pub fn published(&self) -> JwkSet {
        JwkSet {
            keys: self.keys().iter().map(|key| key.public.clone()).collect(),
        }
    }

    /// Signs an access token for a session of `account`.
    pub fn sign(
        &self,
        account: &Account,
        session: SessionId,
        now: DateTime<Utc>,
    ) -> Result<AccessToken, KeyError> {
        let keys = self.keys();
        let key = signing(&keys, now).ok_or(KeyError::None)?;
        let issued = now.timestamp();
        let expires = issued + ACCESS_TOKEN_LIFETIME.as_secs().cast_signed();
        let claims = Claims {
            iss: &self.0.tokens.token_issuer,
            aud: &self.0.tokens.token_audience,
            sub: account.id.0,
            iat: issued,
            exp: expires,
            jti: Uuid::new_v4(),
            sid: session,
            roles: if account.moderator { &["moderator"] } else { &[] },
        };
        let header = Header {
            typ: Some(self.0.tokens.token_type.clone()),
            kid: Some(key.id.to_string()),
            ..Header::new(Algorithm::EdDSA)
        };
        let token = jsonwebtoken::encode(&header, &claims, &key.encoding)?;
        Ok(AccessToken {
            token,
            expires_at: DateTime::from_timestamp(expires, 0).unwrap_or(now),
        })
    }

    /// Reloads the keys regularly. Not a job with a lease, because every replica needs them.
    pub fn spawn_reload(self, stop: CancellationToken) -> JoinHandle<()> {
        tokio::spawn(async move {
            while stop
                .run_until_cancelled(tokio::time::sleep(KEY_RELOAD_INTERVAL))
                .await
                .is_some()
            {
                if let Err(error) = self.reload().await {
                    // The loaded keys stay in use.
                    tracing::warn!(
                        error = chassis::error::chain(&error),
                        "the signing keys could not be reloaded"
                    );
                }
            }
        })
    }

    /// Creates the next key when it is due, and deletes expired ones.
    pub async fn rotate_when_due(&self, now: DateTime<Utc>) -> Result<(), KeyError> {
        rotate_when_due(&self.0.pool, &self.0.sealer, now).await?;
        self.reload().await
    }

    fn keys(&self) -> Arc<[SigningKey]> {
        Arc::clone(&self.0.keys.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Returns the newest key whose time has come; otherwise the oldest, because at a first start the clock of another
/// replica may be ahead.
fn signing(keys: &[SigningKey], now: DateTime<Utc>) -> Option<&SigningKey> {
    let started = keys
        .iter()
        .filter(|key| key.signs_from <= now)
        .max_by_key(|key| key.signs_from);
    started.or_else(|| keys.iter().min_by_key(|key| key.signs_from))
}

async fn rotate_when_due(pool: &Pool, sealer: &Sealer, now: DateTime<Utc>) -> Result<(), KeyError> {
    let rows = store::keys::all(pool).await?;
    // Before a key is created with a wrong secret, which no other replica could decrypt.
    for row in &rows {
        sealer.open(row)?;
    }
    match rows.last() {
        None => {
            add(pool, sealer, 1, now, now).await?;
        }
        Some(newest) if now >= newest.signs_from + SIGNS_FOR - PUBLISHED_BEFORE => {
            let signs_from = (newest.signs_from + SIGNS_FOR).max(now + MIN_PUBLISHED_BEFORE);
            add(pool, sealer, newest.number + 1, signs_from, now).await?;
        }
        Some(_) => {}
    }
    let long_since = now - KEY_RETENTION;
    if let Some(current) = rows.iter().rev().find(|key| key.signs_from <= long_since) {
        store::keys::remove_before(pool, current.number).await?;
    }
    Ok(())
}

async fn add(
    pool: &Pool,
    sealer: &Sealer,
    number: u32,
    signs_from: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<(), KeyError> {
    let key = sealer.generate(number, signs_from)?;
    if store::keys::insert(pool, &key, now).await? {
        tracing::info!(kid = %key.id, %signs_from, "created a signing key");
    }
    Ok(())
}

/// When the new key of `rotate-keys` signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakeOver {
    /// After the new key was published long enough: no token becomes invalid.
    WithOverlap,
    /// Immediately, and all other keys are deleted: for a leaked key. Clients get new tokens.
    Immediately,
}

/// Creates the next key on demand.
pub async fn rotate(
    pool: &Pool,
    sealer: &Sealer,
    take_over: TakeOver,
    now: DateTime<Utc>,
) -> Result<(), KeyError> {
    let rows = store::keys::all(pool).await?;
    for row in &rows {
        sealer.open(row)?;
    }
    let number = rows.last().map_or(1, |newest| newest.number + 1);
    match take_over {
        TakeOver::WithOverlap => {
            let newest = rows.last().map_or(now, |newest| newest.signs_from);
            add(pool, sealer, number, newest.max(now + MIN_PUBLISHED_BEFORE), now).await
        }
        TakeOver::Immediately => {
            add(pool, sealer, number, now, now).await?;
            store::keys::remove_before(pool, number).await?;
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use chassis::config::Secret;
    use chrono::{DateTime, TimeDelta, Utc};

    use super::{SealedKey, Sealer, SigningKey, signing};

    fn sealer() -> Sealer {
        Sealer::new(&Secret::new("a secret of this test, long enough"))
    }

    fn key(number: u32, signs_from: DateTime<Utc>) -> SealedKey {
        sealer().generate(number, signs_from).unwrap()
    }

    #[test]
    fn an_encrypted_key_needs_its_secret_and_cannot_be_modified() {
        let sealed = key(1, Utc::now());
        assert!(sealer().open(&sealed).is_ok());
        assert!(
            Sealer::new(&Secret::new("another secret, also long enough"))
                .open(&sealed)
                .is_err()
        );
        assert!(
            sealer()
                .open(&SealedKey {
                    number: 2,
                    ..sealed.clone()
                })
                .is_err()
        );
        let mut damaged = sealed;
        damaged.sealed[0] ^= 1;
        assert!(sealer().open(&damaged).is_err());
    }

    #[test]
    fn the_newest_due_key_signs() {
        let now = Utc::now();
        let keys: Vec<SigningKey> = [-60, -30, 1]
            .map(|days| sealer().open(&key(1, now + TimeDelta::days(days))).unwrap())
            .into();
        assert_eq!(signing(&keys, now).unwrap().id, keys[1].id);
        assert_eq!(signing(&keys, now + TimeDelta::days(2)).unwrap().id, keys[2].id);
        assert_eq!(signing(&keys, now - TimeDelta::days(99)).unwrap().id, keys[0].id);
        assert!(signing(&[], now).is_none());
    }
}
