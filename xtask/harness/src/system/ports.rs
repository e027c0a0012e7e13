//! The block of ports of a running system.
//!
//! All programs listen at fixed distances from the router's port, so that one number identifies a system.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context, Result, bail};
use contracts::services;
use rand::RngExt;

/// The router's default port.
const ROUTER_PORT: u16 = 4999;

/// A program that listens on a port of the block.
pub(super) struct PortOwner {
    pub(super) name: &'static str,
    /// The distance of its port from the router's. It is that of the default ports.
    pub(super) distance: u16,
}

/// The programs, in the order of their ports.
pub(super) fn owners() -> Vec<PortOwner> {
    let owner = |name, distance| PortOwner { name, distance };
    let services = services::all().iter();
    let mut owners: Vec<_> = services
        .map(|service| owner(service.name, service.port - ROUTER_PORT))
        .chain([
            owner("router", 0),
            owner("router-internal", 6),
            owner("database", 7),
        ])
        .collect();
    owners.sort_by_key(|owner| owner.distance);
    owners
}

/// Number of ports of a system: a multiple of ten.
fn ports_per_system() -> u16 {
    let last = owners().last().map_or(0, |owner| owner.distance);
    (last + 1).next_multiple_of(10)
}

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
        let count = ports_per_system();
        if base > u16::MAX - count {
            bail!(
                "Port {base} is too high: the system uses {count} ports from it on. Choose one below {}.",
                u16::MAX - count
            );
        }
        for PortOwner { name, distance } in owners() {
            let port = base + distance;
            if !is_free(port) {
                bail!(
                    "Port {port} ({name}) is taken by another program. Stop that program, \
                     or choose another block of {count} ports: ./dev up --port {}",
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
        let count = ports_per_system();
        // Below the kernel's range of ports for outgoing connections.
        for _ in 0..500 {
            let base = rand::rng().random_range(15_000 / count..32_000 / count) * count;
            let claim = File::create(claims.join(base.to_string()))?;
            if claim.try_lock().is_ok() && (base..base + count).all(is_free) {
                return Ok(Self {
                    base,
                    _claim: Some(claim),
                });
            }
        }
        bail!("Found no {count} free ports in a row between 15000 and 32000.")
    }
}

/// Returns the first of at least ten free ports in a row.
pub fn free_port() -> Result<u16> {
    Ok(PortBlock::free()?.base)
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Returns another base port to suggest.
fn suggestion(base: u16) -> u16 {
    let count = ports_per_system();
    (1..100)
        .map(|step| base.saturating_add(step * 100))
        .find(|&candidate| candidate <= u16::MAX - count && (candidate..candidate + count).all(is_free))
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
