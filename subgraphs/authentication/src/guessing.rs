//! Slows guessing down: how often something may be tried from one address and on one account.
//!
//! Counted in the database, so that all replicas count together, and once per GraphQL field, so that aliases do not
//! multiply tries. A window does not move when it is full: however long an attack goes on, the next window comes. And
//! an address from which an account was signed in to before has a count of its own, so that strangers who use up an
//! account's tries do not lock its owner out.

use std::net::IpAddr;
use std::time::Duration;

use chassis::config::Secret;
use chassis::{Clock, UserId, database};
use chrono::TimeDelta;
use sha2::{Digest as _, Sha256};
use sqlx::MySqlPool;

use crate::config::LimitConfig;
use crate::domain::Email;
use crate::error::Error;
use crate::store::attempts;

const MINUTE: TimeDelta = TimeDelta::minutes(1);
const QUARTER: TimeDelta = TimeDelta::minutes(15);

/// Something that is counted, and how much of it is too much.
#[derive(Debug, Clone)]
pub struct Subject {
    key: [u8; 32],
    max: u32,
    window: TimeDelta,
}

/// The counters.
#[derive(Clone)]
pub struct Guessing {
    pool: MySqlPool,
    clock: Clock,
    limits: LimitConfig,
    pepper: [u8; 32],
}

impl Guessing {
    /// Counters in this database. The secret keeps the rows from saying whose they are.
    pub fn new(pool: MySqlPool, clock: Clock, limits: LimitConfig, secret: &Secret) -> Self {
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

    /// Wrong passwords from one address, over all accounts.
    pub fn logins_from(&self, address: &Address) -> Subject {
        self.subject(
            &["login from", &address.0],
            self.limits.login_failures_per_address,
            MINUTE,
        )
    }

    /// Wrong passwords for one account from addresses that never signed in to it.
    pub fn logins_by_strangers(&self, email: &Email) -> Subject {
        self.subject(
            &["login by strangers", email.folded()],
            self.limits.login_failures_by_strangers,
            QUARTER,
        )
    }

    /// Wrong passwords for one account from addresses that did. Without a limit beyond that of each address, and
    /// counted only so that such a login takes as many steps, and as long, as any other.
    pub fn logins_by_acquaintances(&self, email: &Email) -> Subject {
        self.subject(&["login by acquaintances", email.folded()], u32::MAX, QUARTER)
    }

    /// Wrong passwords for one account from one address.
    pub fn logins_to(&self, email: &Email, address: &Address) -> Subject {
        self.subject(
            &["login to", email.folded(), &address.0],
            self.limits.login_failures_per_account,
            QUARTER,
        )
    }

    /// Wrong passwords where a signed-in person confirms a change: only who holds a session of the account can use it up.
    pub fn confirmations(&self, account: UserId) -> Subject {
        self.subject(
            &["confirm", &account.to_string()],
            self.limits.login_failures_per_account,
            QUARTER,
        )
    }

    /// Registrations from one address, also those that fail.
    pub fn registrations_from(&self, address: &Address) -> Subject {
        self.subject(
            &["register from", &address.0],
            self.limits.registrations_per_address,
            MINUTE,
        )
    }

    /// How an address is remembered.
    pub fn address_key(&self, address: &Address) -> [u8; 32] {
        self.key(&["address", &address.0])
    }

    fn subject(&self, parts: &[&str], max: u32, window: TimeDelta) -> Subject {
        Subject {
            key: self.key(parts),
            max,
            window,
        }
    }

    fn key(&self, parts: &[&str]) -> [u8; 32] {
        let mut hash = Sha256::new().chain_update(self.pepper);
        for part in parts {
            hash.update(part.as_bytes());
            // No part holds a zero, so no two lists of parts run together.
            hash.update([0]);
        }
        hash.finalize().into()
    }

    /// Refuses, without counting, what [`Guessing::count`] would refuse anyhow: cheaply, before anybody waits.
    pub async fn refuse_early(&self, subjects: &[Subject]) -> Result<(), Error> {
        let now = self.clock.now();
        for subject in subjects {
            if let Some(window) = database::read(|| attempts::window(&self.pool, &subject.key, now)).await?
                && window.tries >= subject.max
            {
                return Err(too_many(window.ends_at - now));
            }
        }
        Ok(())
    }

    /// Counts an attempt before it is made, so that concurrent attempts cannot all pass. A success is refunded.
    pub async fn count(&self, subjects: &[Subject]) -> Result<(), Error> {
        let now = self.clock.now();
        let full = chassis::transaction!(self.pool, Error, |connection, _| {
            // Every login locks its rows in the same order (address, both, account), so no deadlock occurs.
            for subject in subjects {
                let tries =
                    attempts::count(&mut *connection, &subject.key, now, now + subject.window).await?;
                if tries > u64::from(subject.max) {
                    let window = attempts::window(&mut *connection, &subject.key, now).await?;
                    return Ok(Some(window.map_or(subject.window, |window| window.ends_at - now)));
                }
            }
            Ok(None)
        })?;
        full.map_or(Ok(()), |wait| Err(too_many(wait)))
    }

    /// Takes a try back that succeeded.
    pub async fn forgive(&self, subjects: &[Subject]) -> Result<(), Error> {
        chassis::transaction!(self.pool, Error, |connection, _| {
            for subject in subjects {
                attempts::forgive(&mut *connection, &subject.key).await?;
            }
            Ok(())
        })
    }
}

fn too_many(wait: TimeDelta) -> Error {
    // Rounded up: who waits as long as we say must not be refused again.
    let seconds = (wait.num_milliseconds().max(0) + 999) / 1000;
    Error::TooManyTries {
        retry_after: Duration::from_secs(u64::try_from(seconds).unwrap_or(1)),
    }
}

/// The client address, as the throttle counts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address(String);

impl Address {
    /// From what the router says. Everybody has a whole /64 of IPv6 addresses, so that counts as one.
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
