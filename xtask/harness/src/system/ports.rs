//! The block of ports that one running copy of the system uses.
//!
//! Everything listens at a fixed distance from the router's port, so that one number names a copy.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context, Result, bail};
use rand::RngExt;

/// How many ports belong to one copy: the parts in [`PORT_OWNERS`], and some for replicas.
const PORTS_PER_SYSTEM: u16 = 10;

/// The parts that listen, in the order of their ports.
const PORT_OWNERS: [&str; 8] = [
    "router",
    "profile",
    "authentication",
    "photo",
    "vote",
    "comment",
    "router's internal port",
    "MariaDB",
];

/// A block of free ports on this machine.
#[derive(Debug)]
pub(super) struct PortBlock {
    pub(super) base: u16,
    /// Keeps tests that run at the same time from choosing the same block; unlocked when dropped.
    _claim: Option<File>,
}

impl PortBlock {
    /// The block that starts at `base`, or a sentence that says which port is taken.
    pub(super) fn at(base: u16) -> Result<Self> {
        if base > u16::MAX - PORTS_PER_SYSTEM {
            bail!(
                "Port {base} is too high: the system uses the ten ports from it on. Choose one below {}.",
                u16::MAX - PORTS_PER_SYSTEM
            );
        }
        for (part, port) in PORT_OWNERS.iter().zip(base..) {
            if !is_free(port) {
                bail!(
                    "Port {port} ({part}) is taken by another program. Stop that program, \
                     or choose another block of ten ports: ./dev up --port {}",
                    suggestion(base)
                );
            }
        }
        Ok(Self { base, _claim: None })
    }

    /// Any block that is free, and that no other test has claimed.
    pub(super) fn free() -> Result<Self> {
        let claims = std::env::temp_dir().join("proofsheet-ports");
        fs::create_dir_all(&claims).with_context(|| format!("could not make {}", claims.display()))?;
        // Below the ports that the kernel hands out to outgoing connections.
        for _ in 0..500 {
            let base = rand::rng().random_range(1_500..3_200) * PORTS_PER_SYSTEM;
            let claim = File::create(claims.join(base.to_string()))?;
            if claim.try_lock().is_ok() && (base..base + PORTS_PER_SYSTEM).all(is_free) {
                return Ok(Self {
                    base,
                    _claim: Some(claim),
                });
            }
        }
        bail!("Found no ten free ports in a row between 15000 and 32000.")
    }
}

/// The first of ten free ports in a row, for a test that has to name one itself.
pub fn free_port() -> Result<u16> {
    Ok(PortBlock::free()?.base)
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// A base port to try instead.
fn suggestion(base: u16) -> u16 {
    (1..100)
        .map(|step| base.saturating_add(step * 100))
        .find(|&candidate| {
            candidate <= u16::MAX - PORTS_PER_SYSTEM && (candidate..candidate + PORTS_PER_SYSTEM).all(is_free)
        })
        .unwrap_or(base)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_named_together_with_what_to_do() {
        let block = PortBlock::free().unwrap();
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, block.base + 3)).unwrap();
        let message = PortBlock::at(block.base).unwrap_err().to_string();
        drop(taken);
        assert!(
            message.contains(&format!("Port {} (photo) is taken", block.base + 3)),
            "{message}"
        );
        assert!(message.contains("./dev up --port"), "{message}");
    }

    #[test]
    fn two_tests_never_get_the_same_block() {
        let blocks: Vec<_> = (0..20).map(|_| PortBlock::free().unwrap()).collect();
        let mut bases: Vec<_> = blocks.iter().map(|block| block.base).collect();
        bases.sort_unstable();
        bases.dedup();
        assert_eq!(bases.len(), 20);
    }
}
