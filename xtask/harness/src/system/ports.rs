//! The block of ports of a running system.
//!
//! All programs listen at fixed distances from the router's port, so that one number identifies a system.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context, Result, bail};
use rand::RngExt;

/// Number of ports of a system: those of [`PORT_OWNERS`], and some for replicas.
const PORTS_PER_SYSTEM: u16 = 10;

/// The programs, in the order of their ports.
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
    /// Reserves the block against concurrent tests. The lock is released when this is dropped.
    _claim: Option<File>,
}

impl PortBlock {
    /// Returns the block that starts at `base`. The error names the port that is in use.
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

    /// Returns a free block that no other test has reserved.
    pub(super) fn free() -> Result<Self> {
        let claims = std::env::temp_dir().join("proofsheet-ports");
        fs::create_dir_all(&claims).with_context(|| format!("could not make {}", claims.display()))?;
        // Below the kernel's range of ports for outgoing connections.
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

/// Returns the first of ten free ports in a row.
pub fn free_port() -> Result<u16> {
    Ok(PortBlock::free()?.base)
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Returns another base port to suggest.
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
    fn the_error_names_the_port_and_the_flag() {
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
    fn concurrent_tests_get_different_blocks() {
        let blocks: Vec<_> = (0..20).map(|_| PortBlock::free().unwrap()).collect();
        let mut bases: Vec<_> = blocks.iter().map(|block| block.base).collect();
        bases.sort_unstable();
        bases.dedup();
        assert_eq!(bases.len(), 20);
    }
}
