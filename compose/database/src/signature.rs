//! Signatures of requests and responses between agents: HMAC-SHA-256 with the shared secret.
//!
//! Timestamps are not used, so that a wrong clock does no harm. Against replays, a request contains a nonce, which the
//! response signs too, and the process for which it is meant.

use std::fmt::Write as _;

use chassis::config::Secret;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The header with the signature.
pub const SIGNATURE_HEADER: &str = "x-agent-seal";
/// The header with the nonce of the request.
pub const NONCE_HEADER: &str = "x-agent-nonce";
/// The header with the id of the process for which a request is meant.
pub const RECIPIENT_HEADER: &str = "x-agent-for";

/// Signs `parts`, each prefixed with its length.
pub fn sign(secret: &Secret, parts: &[&[u8]]) -> String {
    hex(&mac(secret, parts).finalize().into_bytes())
}

/// Verifies a signature in constant time.
pub fn verify(secret: &Secret, parts: &[&[u8]], signature: &str) -> bool {
    unhex(signature).is_some_and(|bytes| mac(secret, parts).verify_slice(&bytes).is_ok())
}

/// Derives a password for `purpose` from the shared secret.
pub fn derived_password(secret: &Secret, purpose: &str) -> Secret {
    Secret::new(sign(secret, &[b"password", purpose.as_bytes()]))
}

fn mac(secret: &Secret, parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_secret_verifies() {
        let secret = Secret::new("the secret of a test");
        let signature = sign(&secret, &[b"request", b"body"]);
        assert!(verify(&secret, &[b"request", b"body"], &signature));
        assert!(!verify(&secret, &[b"requestb", b"ody"], &signature));
        assert!(!verify(
            &Secret::new("another secret"),
            &[b"request", b"body"],
            &signature
        ));
        assert!(!verify(&secret, &[b"request", b"body"], "zz"));
        assert!(!verify(&secret, &[b"request", b"body"], ""));
    }
}
