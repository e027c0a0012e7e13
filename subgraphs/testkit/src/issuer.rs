use chassis::UserId;
use chassis::config::TokenConfig;
use chassis::tokens::TokenVerifier;
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;
use uuid::Uuid;

/// An Ed25519 private key for tests: PKCS#8 with 32 known bytes.
const KEY: [u8; 48] = {
    let mut der = [7; 48];
    let prefix = [
        0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
    ];
    let mut i = 0;
    while i < prefix.len() {
        der[i] = prefix[i];
        i += 1;
    }
    der
};

/// Signs access tokens like the authentication service.
#[derive(Debug, Clone, Default)]
pub struct Issuer;

impl Issuer {
    /// Returns the configuration of a service that trusts this issuer.
    pub fn config() -> TokenConfig {
        TokenConfig {
            jwks_url: "http://127.0.0.1:9/jwks.json".parse().expect("a valid URL"),
            token_issuer: "proofsheet".to_owned(),
            token_audience: "proofsheet".to_owned(),
            token_type: "at+jwt".to_owned(),
        }
    }

    /// Returns a verifier that trusts this issuer.
    pub fn verifier() -> TokenVerifier {
        TokenVerifier::with_keys(&Self::config(), Self::key_set())
    }

    /// Returns the public key.
    pub fn key_set() -> JwkSet {
        let mut key = Jwk::from_encoding_key(&Self::key(), Algorithm::EdDSA).expect("an Ed25519 key");
        key.common.key_id = Some("test".to_owned());
        JwkSet { keys: vec![key] }
    }

    /// Returns a valid access token of `user`.
    pub fn token(user: UserId) -> String {
        Self::sign(user, Uuid::new_v4(), &[])
    }

    /// Returns a valid access token of `user` with this login session.
    pub fn session_token(user: UserId, session: Uuid) -> String {
        Self::sign(user, session, &[])
    }

    /// Returns a valid access token of a moderator.
    pub fn moderator_token(user: UserId) -> String {
        Self::sign(user, Uuid::new_v4(), &["moderator"])
    }

    fn sign(user: UserId, session: Uuid, roles: &[&str]) -> String {
        let now = chrono::Utc::now().timestamp();
        let claims = json!({
            "iss": "proofsheet", "aud": "proofsheet", "sub": user, "iat": now, "exp": now + 600,
            "jti": Uuid::new_v4(), "sid": session, "roles": roles,
        });
        let header = Header {
            typ: Some("at+jwt".to_owned()),
            kid: Some("test".to_owned()),
            ..Header::new(Algorithm::EdDSA)
        };
        jsonwebtoken::encode(&header, &claims, &Self::key()).expect("claims that serialise")
    }

    /// Returns the private key, for invalid tokens.
    pub fn key() -> EncodingKey {
        EncodingKey::from_ed_der(&KEY)
    }
}
