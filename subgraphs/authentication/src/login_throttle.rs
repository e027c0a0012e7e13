//! The login throttle: limits attempts from an address and for an account.
//!
//! It counts in the database, so that all replicas count together, and once per GraphQL field, so that aliases do not
//! multiply attempts. A full window still ends: during an attack the next window begins. An address from which the
//! account has signed in before has a separate bucket, so that attempts from other addresses do not lock the owner out.

use std::net::IpAddr;
use std::time::Duration;

use chassis::config::Secret;
use chassis::database::Pool;
use chassis::{Clock, UserId, database};
use chrono::TimeDelta;
use sha2::{Digest as _, Sha256};

use crate::config::LimitConfig;
use crate::domain::Email;
use crate::error::Error;
use crate::store::attempts;

const MINUTE: TimeDelta = TimeDelta::minutes(1);
const QUARTER: TimeDelta = TimeDelta::minutes(15);

/// A counter with its limit and window.
#[derive(Debug, Clone)]
pub struct Bucket {
    key: [u8; 32],
    max: u32,
    window: TimeDelta,
}

/// The throttle's buckets, in the database.
#[derive(Clone)]
pub struct LoginThrottle {
    pool: Pool,
    clock: Clock,
    limits: LimitConfig,
    pepper: [u8; 32],
}

impl LoginThrottle {
    /// Creates a throttle. The secret hashes the keys of the rows.
    pub fn new(pool: Pool, clock: Clock, limits: LimitConfig, secret: &Secret) -> Self {
        let pepper = Sha256::new()
            .chain_update(b"proofsheet attempts v1\0")
            .chain_update(secret.expose())
            .finalize();
        Self {
            pool,
            clock,
            limits,
            pepper: pepper.into(),
        }
    }

    /// Wrong passwords from one address, for all accounts.
    pub fn logins_from(&self, address: &Address) -> Bucket {
        self.bucket(
            &["login from", &address.0],
            self.limits.login_failures_per_address,
            MINUTE,
        )
    }

    /// Wrong passwords for one account from addresses that have not signed in to it.
    pub fn logins_from_unknown_addresses(&self, email: &Email) -> Bucket {
        self.bucket(
            &["login by strangers", email.folded()],
            self.limits.login_failures_by_strangers,
            QUARTER,
        )
    }

    /// Wrong passwords for one account from addresses that have signed in to it. Without a limit: it makes such a login
    /// take the same steps and the same time as others.
    pub fn logins_from_known_addresses(&self, email: &Email) -> Bucket {
        self.bucket(&["login by acquaintances", email.folded()], u32::MAX, QUARTER)
    }

    /// Wrong passwords for one account from one address.
    pub fn logins_to(&self, email: &Email, address: &Address) -> Bucket {
        self.bucket(
            &["login to", email.folded(), &address.0],
            self.limits.login_failures_per_account,
            QUARTER,
        )
    }

    /// Wrong passwords when a signed-in user confirms a change, so only the account's sessions can exceed it.
    pub fn confirmations(&self, account: UserId) -> Bucket {
        self.bucket(
            &["confirm", &account.to_string()],
            self.limits.login_failures_per_account,
            QUARTER,
        )
    }

    /// Registrations from one address, including failed ones.
    pub fn registrations_from(&self, address: &Address) -> Bucket {
        self.bucket(
            &["register from", &address.0],
            self.limits.registrations_per_address,
            MINUTE,
        )
    }

    /// Returns the stored form of an address.
    pub fn address_key(&self, address: &Address) -> [u8; 32] {
        self.key(&["address", &address.0])
    }

    fn bucket(&self, parts: &[&str], max: u32, window: TimeDelta) -> Bucket {
        Bucket {
            key: self.key(parts),
            max,
            window,
        }
    }

    fn key(&self, parts: &[&str]) -> [u8; 32] {
        let mut hash = Sha256::new().chain_update(self.pepper);
        for part in parts {
            hash.update(part.as_bytes());
            // Parts contain no zero byte, so different lists have different keys.
            hash.update([0]);
        }
        hash.finalize().into()
    }

    /// Returns an error for attempts that [`LoginThrottle::count`] would refuse, without counting, before the request
    /// is queued.
    pub async fn refuse_early(&self, buckets: &[Bucket]) -> Result<(), Error> {
        let now = self.clock.now();
        for bucket in buckets {
            if let Some(window) =
                database::read(&self.pool, || attempts::window(&self.pool, &bucket.key, now)).await?
                && window.tries >= bucket.max
            {
                return Err(too_many(window.ends_at - now));
            }
        }
        Ok(())
    }

    /// Counts an attempt before it is made, so that concurrent attempts cannot exceed the limit. Successful attempts
    /// are refunded.
    pub async fn count(&self, buckets: &[Bucket]) -> Result<(), Error> {
        let now = self.clock.now();
        let full = chassis::transaction!(self.pool, Error, |tx, _| {
            // Every login locks its rows in the same order (address, both, account), which avoids deadlocks.
            for bucket in buckets {
                let tries = attempts::count(&mut *tx, &bucket.key, now, now + bucket.window).await?;
                if tries > u64::from(bucket.max) {
                    let window = attempts::window(&mut *tx, &bucket.key, now).await?;
                    return Ok(Some(window.map_or(bucket.window, |window| window.ends_at - now)));
                }
            }
            Ok(None)
        })?;
        full.map_or(Ok(()), |wait| Err(too_many(wait)))
    }

    /// Refunds a successful attempt.
    pub async fn refund(&self, buckets: &[Bucket]) -> Result<(), Error> {
        chassis::transaction!(self.pool, Error, |tx, _| {
            for bucket in buckets {
                attempts::refund(&mut *tx, &bucket.key).await?;
            }
            Ok(())
        })
    }
}

fn too_many(wait: TimeDelta) -> Error {
    // Rounded up: a client that waits for this time must not be refused again.
    let seconds = (wait.num_milliseconds().max(0) + 999) / 1000;
    Error::TooManyTries {
        retry_after: Duration::from_secs(u64::try_from(seconds).unwrap_or(1)),
    }
}

/// The client address as counted by the throttle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address(String);

impl Address {
    /// Parses the router's client address. A client has a whole /64 of IPv6 addresses, so that counts as one.
    pub fn new(client_ip: &str) -> Self {
        Self(match client_ip.parse() {
            Ok(IpAddr::V6(ip)) => match ip.to_ipv4_mapped() {
                Some(ip) => ip.to_string(),
                None => format!("{:x?}", &ip.segments()[..4]),
            },
            Ok(IpAddr::V4(ip)) => ip.to_string(),
            Err(_) => "unknown".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Address;

    #[test]
    fn an_ipv6_network_counts_as_one_address() {
        assert_eq!(
            Address::new("2001:db8:1:2:3:4:5:6"),
            Address::new("2001:db8:1:2::1")
        );
        assert_ne!(Address::new("2001:db8:1:2::1"), Address::new("2001:db8:1:3::1"));
        assert_eq!(Address::new("::ffff:192.0.2.1"), Address::new("192.0.2.1"));
        assert_ne!(Address::new("192.0.2.1"), Address::new("192.0.2.2"));
        assert_eq!(Address::new(""), Address::new("not an address"));
    }
}
