//! How agents know each other: every request and every answer carries a seal that only the shared secret makes.
//!
//! No clock is involved, because a node with a wrong one must not be shut out. A request names a random number, which
//! its answer is sealed with, and the process that it is meant for, so that neither can be played again to another.

use std::fmt::Write as _;

use chassis::config::Secret;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The header with the seal.
pub const SEAL: &str = "x-agent-seal";
/// The header with the request's random number.
pub const NONCE: &str = "x-agent-nonce";
/// The header with the process that the request is meant for.
pub const FOR: &str = "x-agent-for";

/// Seals `parts`, each of which counts with its length.
pub fn seal(secret: &Secret, parts: &[&[u8]]) -> String {
    hex(&mac(secret, parts).finalize().into_bytes())
}

/// Whether `seal` was made by one who knows the secret.
pub fn is_genuine(secret: &Secret, parts: &[&[u8]], seal: &str) -> bool {
    unhex(seal).is_some_and(|bytes| mac(secret, parts).verify_slice(&bytes).is_ok())
}

/// A password that every agent of the cluster can work out for itself.
pub fn derived_password(secret: &Secret, purpose: &str) -> Secret {
    Secret::new(seal(secret, &[b"password", purpose.as_bytes()]))
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
    fn only_the_secret_seals() {
        let secret = Secret::new("the secret of a test");
        let sealed = seal(&secret, &[b"request", b"body"]);
        assert!(is_genuine(&secret, &[b"request", b"body"], &sealed));
        assert!(!is_genuine(&secret, &[b"requestb", b"ody"], &sealed));
        assert!(!is_genuine(
            &Secret::new("another secret"),
            &[b"request", b"body"],
            &sealed
        ));
        assert!(!is_genuine(&secret, &[b"request", b"body"], "zz"));
        assert!(!is_genuine(&secret, &[b"request", b"body"], ""));
    }
}
