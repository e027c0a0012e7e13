//! Hashes passwords with argon2id, with limited concurrency.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use argon2::password_hash;
use argon2::{Argon2, PasswordHasher as _, PasswordVerifier as _};
use chassis::text::nfc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::domain::PasswordHash;
use crate::error::Error;

/// The number of passwords that are hashed concurrently. Each needs 19 MiB and one core.
const MAX_CONCURRENT_HASHES: usize = 2;
/// The maximum time that a request waits for a permit, of the two seconds for the whole request.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(1);
/// The maximum number of waiting requests. More could not be served in time.
const MAX_WAITING: usize = 64;

/// A hash that no password matches, so that an unknown e-mail takes as long as a wrong password.
const DUMMY_HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$dW5tYXRjaGVkIHNhbHQgIQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Hashes passwords. Cheap to clone.
#[derive(Clone)]
pub struct Hasher(Arc<Inner>);

struct Inner {
    permits: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    hashed: AtomicU64,
}

/// A slot in the queue.
pub struct QueueSlot {
    hasher: Hasher,
    permit: OwnedSemaphorePermit,
}

/// The permit to hash a password.
pub struct HashPermit {
    hasher: Hasher,
    permit: Arc<OwnedSemaphorePermit>,
}

/// The result of comparing a password with a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verified {
    /// The password is wrong.
    Wrong,
    /// The password is right.
    Right,
    /// The password is right, but the hash is from before passwords were normalised.
    RightAsTyped,
}

impl Default for Hasher {
    fn default() -> Self {
        Self(Arc::new(Inner {
            permits: Arc::new(Semaphore::new(MAX_CONCURRENT_HASHES)),
            waiting: Arc::new(Semaphore::new(MAX_WAITING)),
            hashed: AtomicU64::new(0),
        }))
    }
}

impl Hasher {
    /// Returns a slot in the queue, or an error if the queue is full. Called first, so that a request that cannot be
    /// served in time costs nothing.
    pub fn queue(&self) -> Result<QueueSlot, Error> {
        let permit = Arc::clone(&self.0.waiting).try_acquire_owned();
        let permit = permit.map_err(|_| Error::Busy)?;
        Ok(QueueSlot {
            hasher: self.clone(),
            permit,
        })
    }

    /// Returns the number of computed hashes.
    pub fn hashed(&self) -> u64 {
        self.0.hashed.load(Ordering::Relaxed)
    }
}

impl QueueSlot {
    /// Waits for a permit until `QUEUE_TIMEOUT`.
    pub async fn acquire(self) -> Result<HashPermit, Error> {
        let Self {
            hasher,
            permit: _slot,
        } = self;
        let acquire = Arc::clone(&hasher.0.permits).acquire_owned();
        let permit = tokio::time::timeout(QUEUE_TIMEOUT, acquire)
            .await
            .map_err(|_| Error::Busy)?;
        let permit = permit.map_err(|closed| Error::Hashing(closed.to_string()))?;
        let permit = Arc::new(permit);
        Ok(HashPermit { hasher, permit })
    }
}

impl HashPermit {
    /// Hashes the normalised `password` (NFC) with a random salt.
    pub async fn hash(&self, password: &str) -> Result<PasswordHash, Error> {
        let password = nfc(password).into_owned();
        let hash = self
            .compute(move |argon2| argon2.hash_password(password.as_bytes()))
            .await?;
        hash.map(|hash| PasswordHash(hash.to_string()))
            .map_err(|error| Error::Hashing(error.to_string()))
    }

    /// Compares `password` with `hash`. Without a hash it takes as long, and is wrong. Keyboards compose letters
    /// differently, so the normalised password is compared first, and then the password as typed.
    pub async fn verify(&self, password: &str, hash: Option<&PasswordHash>) -> Result<Verified, Error> {
        let normalised = nfc(password);
        if self.matches(&normalised, hash).await? {
            return Ok(Verified::Right);
        }
        if normalised != password && self.matches(password, hash).await? {
            return Ok(Verified::RightAsTyped);
        }
        Ok(Verified::Wrong)
    }

    async fn matches(&self, password: &str, hash: Option<&PasswordHash>) -> Result<bool, Error> {
        let password = password.to_owned();
        let expected = hash.map_or(DUMMY_HASH, |hash| &hash.0).to_owned();
        let verified = self
            .compute(move |argon2| argon2.verify_password(password.as_bytes(), expected.as_str()))
            .await?;
        match verified {
            Ok(()) => Ok(hash.is_some()),
            Err(password_hash::Error::PasswordInvalid) => Ok(false),
            Err(error) => Err(Error::Hashing(error.to_string())),
        }
    }

    /// Computes a hash with the default parameters: 19 MiB, two passes, one lane (RFC 9106; the first choice of OWASP's
    /// password storage cheat sheet). Stored hashes contain theirs.
    async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce(Argon2<'_>) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let (hasher, permit) = (self.hasher.clone(), Arc::clone(&self.permit));
        let work = move || {
            let outcome = work(Argon2::default());
            hasher.0.hashed.fetch_add(1, Ordering::Relaxed);
            metrics::counter!("proofsheet_password_hashes_total").increment(1);
            // Held until here even if the request was cancelled, so that the memory is limited.
            drop(permit);
            outcome
        };
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|error| Error::Hashing(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use argon2::PasswordVerifier as _;

    use super::{Hasher, Verified};
    use crate::domain::PasswordHash;

    #[tokio::test]
    async fn a_hash_matches_one_password_and_contains_its_parameters() {
        let hasher = Hasher::default();
        let hash = hasher
            .queue()
            .unwrap()
            .acquire()
            .await
            .unwrap()
            .hash("plinth-otter-42")
            .await
            .unwrap();
        assert!(
            hash.0.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{}",
            hash.0
        );
        let verify = async |password: &str, hash: Option<&PasswordHash>| {
            hasher
                .queue()
                .unwrap()
                .acquire()
                .await
                .unwrap()
                .verify(password, hash)
                .await
                .unwrap()
        };
        assert_eq!(verify("plinth-otter-42", Some(&hash)).await, Verified::Right);
        assert_eq!(verify("plinth-otter-43", Some(&hash)).await, Verified::Wrong);
        assert_eq!(verify("plinth-otter-42", None).await, Verified::Wrong);
        assert_eq!(hasher.hashed(), 4);
        // Composed and decomposed letters. Takes as long with an account as without.
        assert_eq!(
            verify("plinth-e\u{301}tre-42", Some(&hash)).await,
            Verified::Wrong
        );
        assert_eq!(verify("plinth-e\u{301}tre-42", None).await, Verified::Wrong);
        assert_eq!(hasher.hashed(), 8);
    }

    #[tokio::test]
    async fn a_known_hash_of_the_reference_implementation_verifies() {
        // A test vector of the reference implementation: 64 MiB.
        let hash = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        let hash = PasswordHash(hash.to_owned());
        let verified = Hasher::default()
            .queue()
            .unwrap()
            .acquire()
            .await
            .unwrap()
            .verify("password", Some(&hash))
            .await;
        assert_eq!(verified.unwrap(), Verified::Right);
    }

    #[tokio::test]
    async fn the_dummy_hash_has_the_current_parameters() {
        let hash = Hasher::default().queue().unwrap().acquire().await.unwrap();
        let hash = hash.hash("plinth-otter-42").await.unwrap().0;
        let parameters = |hash: &str| hash.split('$').take(4).collect::<Vec<_>>().join("$");
        assert_eq!(parameters(super::DUMMY_HASH), parameters(&hash));
        assert_eq!(super::DUMMY_HASH.len(), hash.len());
    }

    #[tokio::test]
    async fn a_damaged_hash_is_an_error() {
        let hasher = Hasher::default();
        for damaged in ["", "x", "$argon2id$v=19$m=19456,t=x$AAAA$AAAA", "$md5$AAAA$AAAA"] {
            let permit = hasher.queue().unwrap().acquire().await.unwrap();
            let verified = permit
                .verify("password", Some(&PasswordHash(damaged.to_owned())))
                .await;
            assert!(verified.is_err(), "{damaged}");
        }
    }

    #[tokio::test]
    async fn concurrent_hashes_share_the_memory() {
        let hasher = Hasher::default();
        let (running, peak) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let tasks: Vec<_> = (0..200)
            .map(|number| {
                let (hasher, running, peak) = (hasher.clone(), Arc::clone(&running), Arc::clone(&peak));
                let task = tokio::spawn(async move {
                    let permit = hasher.queue()?.acquire().await?;
                    permit
                        .compute(move |argon2| {
                            peak.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                            let _ = argon2.verify_password(b"plinth-otter-42", super::DUMMY_HASH);
                            running.fetch_sub(1, Ordering::SeqCst);
                        })
                        .await
                });
                // Cancelled requests.
                if number % 10 == 1 {
                    task.abort();
                }
                task
            })
            .collect();
        let mut served: u64 = 0;
        for task in tasks {
            served += u64::from(task.await.is_ok_and(|served| served.is_ok()));
        }
        assert!(served >= 2, "{served}");
        assert!(hasher.hashed() >= served);
        assert!(peak.load(Ordering::SeqCst) <= super::MAX_CONCURRENT_HASHES);
    }
}
