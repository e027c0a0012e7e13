//! Password hashing: argon2id, a few at a time, in memory that is reserved once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash as Phc, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use chassis::text::nfc;
use subtle::ConstantTimeEq as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::domain::PasswordHash;
use crate::error::Error;

/// How many passwords are hashed at once. Each takes 19 MiB and one core.
const MAX_CONCURRENT_HASHES: usize = 2;
/// How long a request waits for its turn, out of the two seconds that it may take in all.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(1);
/// How many requests may wait. More could not be served within their patience anyhow.
const MAX_WAITING: usize = 64;

/// 19 MiB, two passes, one lane (RFC 9106; the first choice of OWASP's password storage cheat sheet).
const PARAMS: Params = Params::DEFAULT;

/// Hashes passwords. Cheap to clone.
#[derive(Clone)]
pub struct Hasher(Arc<Inner>);

struct Inner {
    permits: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    /// One block of memory per turn, used again and again: load cannot make it more.
    memory: Mutex<Vec<Vec<Block>>>,
    /// A hash that no password matches, so that an unknown e-mail takes as long as a wrong password.
    nobody: PasswordHash,
    hashed: AtomicU64,
}

/// The right to wait for a turn.
pub struct Place {
    hasher: Hasher,
    permit: OwnedSemaphorePermit,
}

/// The right to hash now.
pub struct Turn {
    hasher: Hasher,
    permit: Arc<OwnedSemaphorePermit>,
}

/// The result of comparing a password with a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verified {
    /// It is another password.
    Wrong,
    /// It is the password.
    Right,
    /// It is the password, and its hash is of the text as it was typed: from before passwords were normalised.
    RightAsTyped,
}

impl Default for Hasher {
    fn default() -> Self {
        let blank = || vec![Block::new(); PARAMS.block_count()];
        Self(Arc::new(Inner {
            permits: Arc::new(Semaphore::new(MAX_CONCURRENT_HASHES)),
            waiting: Arc::new(Semaphore::new(MAX_WAITING)),
            memory: Mutex::new((0..MAX_CONCURRENT_HASHES).map(|_| blank()).collect()),
            nobody: phc(rand::random(), rand::random()),
            hashed: AtomicU64::new(0),
        }))
    }
}

impl Hasher {
    /// A place in the queue, or an error at once if the queue is full. Taken first, so that a request that cannot be
    /// served in time costs nothing.
    pub fn queue(&self) -> Result<Place, Error> {
        let permit = Arc::clone(&self.0.waiting).try_acquire_owned();
        let permit = permit.map_err(|_| Error::Busy)?;
        Ok(Place {
            hasher: self.clone(),
            permit,
        })
    }

    /// How many hashes were computed since the start.
    pub fn hashed(&self) -> u64 {
        self.0.hashed.load(Ordering::Relaxed)
    }
}

impl Place {
    /// Waits until a password may be hashed, for as long as a request can afford.
    pub async fn turn(self) -> Result<Turn, Error> {
        let Self {
            hasher,
            permit: _place,
        } = self;
        let turn = Arc::clone(&hasher.0.permits).acquire_owned();
        let permit = tokio::time::timeout(QUEUE_TIMEOUT, turn)
            .await
            .map_err(|_| Error::Busy)?;
        let permit = permit.map_err(|closed| Error::Hashing(closed.to_string()))?;
        let permit = Arc::new(permit);
        Ok(Turn { hasher, permit })
    }
}

impl Turn {
    /// A new hash of `password`, normalised (NFC), with its own salt.
    pub async fn hash(&self, password: &str) -> Result<PasswordHash, Error> {
        let salt: [u8; 16] = rand::random();
        let output = self
            .compute(
                nfc(password).into_owned(),
                salt.to_vec(),
                PARAMS,
                Params::DEFAULT_OUTPUT_LEN,
            )
            .await?;
        let output: [u8; 32] = output
            .try_into()
            .map_err(|_| Error::Hashing("an odd length".to_owned()))?;
        Ok(phc(salt, output))
    }

    /// Whether `password` is the one of `hash`; never, and just as slowly, where there is no hash. Keyboards differ in
    /// how they compose letters, so it is compared normalised, and then as it was typed.
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
        let expected = hash.unwrap_or(&self.hasher.0.nobody);
        let damaged = |error: &dyn std::fmt::Display| Error::Hashing(error.to_string());
        let phc = Phc::new(&expected.0).map_err(|error| damaged(&error))?;
        let params = Params::try_from(&phc).map_err(|error| damaged(&error))?;
        let (Some(salt), Some(expected)) = (phc.salt, phc.hash) else {
            return Err(damaged(&"it has no salt or no hash"));
        };
        let output = self
            .compute(password.to_owned(), salt.to_vec(), params, expected.len())
            .await?;
        Ok(hash.is_some() && bool::from(output.ct_eq(expected.as_bytes())))
    }

    async fn compute(
        &self,
        password: String,
        salt: Vec<u8>,
        params: Params,
        length: usize,
    ) -> Result<Vec<u8>, Error> {
        let (hasher, permit) = (self.hasher.clone(), Arc::clone(&self.permit));
        let work = move || {
            let mut memory = hasher.take_memory();
            // Rows that were hashed with other parameters may need more.
            memory.resize(params.block_count().max(memory.len()), Block::new());
            let blocks = &mut memory[..params.block_count()];
            let mut output = vec![0; length];
            let outcome = Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
                .hash_password_into_with_memory(password.as_bytes(), &salt, &mut output, blocks);
            hasher.give_back(memory);
            hasher.0.hashed.fetch_add(1, Ordering::Relaxed);
            metrics::counter!("proofsheet_password_hashes_total").increment(1);
            // Held until here even if the request that wanted this has been given up: that is what bounds the memory.
            drop(permit);
            outcome
                .map(|()| output)
                .map_err(|error| Error::Hashing(error.to_string()))
        };
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|error| Error::Hashing(error.to_string()))?
    }
}

impl Hasher {
    fn take_memory(&self) -> Vec<Block> {
        self.0
            .memory
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop()
            .unwrap_or_default()
    }

    fn give_back(&self, memory: Vec<Block>) {
        self.0
            .memory
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(memory);
    }
}

fn phc(salt: [u8; 16], output: [u8; 32]) -> PasswordHash {
    let phc = Phc {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(&PARAMS).expect("the parameters are numbers"),
        salt: Some(Salt::new(&salt).expect("16 bytes are a salt")),
        hash: Some(Output::new(&output).expect("32 bytes are an output")),
    };
    PasswordHash(phc.to_string())
}

#[cfg(test)]
mod tests {
    use super::{Hasher, Verified};
    use crate::domain::PasswordHash;

    #[tokio::test]
    async fn a_hash_is_of_one_password_and_says_how_it_was_made() {
        let hasher = Hasher::default();
        let hash = hasher
            .queue()
            .unwrap()
            .turn()
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
                .turn()
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
        // Composed and decomposed letters: as slow with an account as without.
        assert_eq!(
            verify("plinth-e\u{301}tre-42", Some(&hash)).await,
            Verified::Wrong
        );
        assert_eq!(verify("plinth-e\u{301}tre-42", None).await, Verified::Wrong);
        assert_eq!(hasher.hashed(), 8);
    }

    #[tokio::test]
    async fn a_known_hash_of_the_reference_implementation_verifies() {
        // Of the test vectors of the reference implementation: 64 MiB, which is also more than is reserved.
        let hash = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        let hash = PasswordHash(hash.to_owned());
        let verified = Hasher::default()
            .queue()
            .unwrap()
            .turn()
            .await
            .unwrap()
            .verify("password", Some(&hash))
            .await;
        assert_eq!(verified.unwrap(), Verified::Right);
    }

    #[tokio::test]
    async fn two_hundred_at_once_use_the_memory_of_two() {
        let hasher = Hasher::default();
        let tasks: Vec<_> = (0..200)
            .map(|_| {
                let hasher = hasher.clone();
                tokio::spawn(async move {
                    hasher
                        .queue()?
                        .turn()
                        .await?
                        .verify("plinth-otter-42", None)
                        .await
                })
            })
            .collect();
        let mut served: u64 = 0;
        for task in tasks {
            served += u64::from(task.await.unwrap().is_ok());
        }
        assert!(served >= 2, "{served}");
        assert_eq!(hasher.hashed(), served);
        assert_eq!(
            hasher.0.memory.lock().unwrap().len(),
            super::MAX_CONCURRENT_HASHES
        );
    }
}
