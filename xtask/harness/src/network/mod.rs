//! Simulates machines: network namespaces with one address each, on a bridge in another namespace.
//!
//! The bridge is in a namespace, because Docker drops packets that cross bridges of the host. All functions need root.

mod slow;

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

pub use slow::SlowLink;

/// The prefix of all namespaces' names; the id of the process follows.
const PREFIX: &str = "psnet-";

/// Namespaces on a bridge. Dropping this removes them and ends the processes in them.
#[derive(Debug)]
pub struct Network {
    name: String,
    nodes: u32,
    subnet: String,
    /// Reserves the subnet of a reachable network. The lock is released when this is dropped.
    _claim: Option<File>,
}

impl Network {
    /// Creates `nodes` machines that can only reach each other.
    pub fn closed(nodes: u32) -> Result<Self> {
        Self::build(nodes, "10.99.0".to_owned(), None)
    }

    /// Creates `nodes` machines that the host can reach too. The host has the address [`Network::host`], and those that
    /// [`Network::add_host`] adds.
    pub fn reachable(nodes: u32) -> Result<Self> {
        let (number, claim) = claim()?;
        let network = Self::build(nodes, format!("10.97.{number}"), Some(claim))?;
        let (bridge, process) = (network.bridge(), std::process::id().to_string());
        let uplink = format!("psnet{number}");
        ip(&[
            "-n", &bridge, "link", "add", "uplink", "type", "veth", "peer", "name", &uplink, "netns",
            &process,
        ])?;
        ip(&["-n", &bridge, "link", "set", "uplink", "master", "br0", "up"])?;
        ip(&["addr", "add", &format!("{}/24", network.host()), "dev", &uplink])?;
        ip(&["link", "set", &uplink, "up"])?;
        Ok(network)
    }

    fn build(nodes: u32, subnet: String, claim: Option<File>) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if !nix::unistd::geteuid().is_root() {
            bail!("creating network namespaces requires root: run this as root, or skip it");
        }
        remove_leftovers();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let network = Self {
            name: format!("{PREFIX}{}-{count}", std::process::id()),
            nodes,
            subnet,
            _claim: claim,
        };
        let bridge = network.bridge();
        ip(&["netns", "add", &bridge])?;
        ip(&["-n", &bridge, "link", "set", "lo", "up"])?;
        ip(&["-n", &bridge, "link", "add", "br0", "type", "bridge"])?;
        ip(&["-n", &bridge, "link", "set", "br0", "up"])?;
        for slot in 1..=nodes {
            let (space, port) = (network.space(slot), port(slot));
            let address = format!("{}/24", network.address(slot));
            ip(&["netns", "add", &space])?;
            ip(&["-n", &space, "link", "set", "lo", "up"])?;
            ip(&[
                "-n", &bridge, "link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", &space,
            ])?;
            ip(&["-n", &bridge, "link", "set", &port, "master", "br0", "up"])?;
            ip(&["-n", &space, "addr", "add", &address, "dev", "eth0"])?;
            ip(&["-n", &space, "link", "set", "eth0", "up"])?;
        }
        Ok(network)
    }

    fn bridge(&self) -> String {
        format!("{}-bridge", self.name)
    }

    fn space(&self, slot: u32) -> String {
        format!("{}-{slot}", self.name)
    }

    /// The address of a machine, which are numbered from 1.
    pub fn address(&self, slot: u32) -> String {
        format!("{}.{}", self.subnet, 10 + slot)
    }

    /// The addresses of all machines.
    pub fn addresses(&self) -> Vec<String> {
        (1..=self.nodes).map(|slot| self.address(slot)).collect()
    }

    /// The host's address in a reachable network.
    pub fn host(&self) -> String {
        format!("{}.1", self.subnet)
    }

    /// Adds an address to the host, with the last part `number` (100 or more), and returns it.
    pub fn add_host(&self, number: u8) -> Result<String> {
        let address = format!("{}.{number}", self.subnet);
        let uplink = format!("psnet{}", self.subnet.rsplit('.').next().unwrap_or_default());
        ip(&["addr", "add", &format!("{address}/32"), "dev", &uplink])?;
        Ok(address)
    }

    /// Returns a command that starts a program on a machine. The process id is that of the program.
    pub fn command(&self, slot: u32) -> Command {
        let mut command = Command::new("ip");
        command.args(self.enter(slot));
        command
    }

    /// Returns the arguments of `ip` that start a program on a machine.
    pub fn enter(&self, slot: u32) -> [String; 3] {
        ["netns".to_owned(), "exec".to_owned(), self.space(slot)]
    }

    /// Disconnects a machine, or connects it again.
    pub fn cut(&self, slot: u32, cut: bool) -> Result<()> {
        let state = if cut { "down" } else { "up" };
        ip(&["-n", &self.bridge(), "link", "set", &port(slot), state])
    }

    /// Delays all packets from and to a machine by `delay`, until the result is dropped.
    pub fn slow_down(&self, slot: u32, delay: Duration) -> Result<SlowLink> {
        SlowLink::new(&self.bridge(), &port(slot), delay)
    }

    /// Kills all processes on a machine, as a power failure would.
    pub fn kill_all(&self, slot: u32) {
        kill_all_in(&self.space(slot));
    }

    /// Sends a signal to all processes on a machine.
    pub fn signal_all(&self, slot: u32, signal: Signal) {
        for pid in processes_in(&self.space(slot)) {
            let _ = kill(pid, signal);
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for slot in 1..=self.nodes {
            remove_space(&self.space(slot));
        }
        remove_space(&self.bridge());
    }
}

fn port(slot: u32) -> String {
    format!("port{slot}")
}

/// Reserves a number between 1 and 254 that no other network on this machine uses.
fn claim() -> Result<(u8, File)> {
    // Not the temporary folder, because each test run has another one.
    let claims = Path::new("/tmp/proofsheet-networks");
    fs::create_dir_all(claims).with_context(|| format!("could not make {}", claims.display()))?;
    for number in 1..=254 {
        let claim = File::create(claims.join(number.to_string()))?;
        // The previous user of the number may still be removing its network.
        let interface = format!("/sys/class/net/psnet{number}");
        if claim.try_lock().is_ok() && !Path::new(&interface).exists() {
            return Ok((number, claim));
        }
    }
    bail!("all 254 networks are in use; look for leftovers in /run/netns")
}

fn ip(arguments: &[&str]) -> Result<()> {
    let output = Command::new("ip")
        .args(arguments)
        .output()
        .context("ip is missing: Debian's package iproute2 has it")?;
    if !output.status.success() {
        bail!(
            "`ip {}` failed. This machine must allow network namespaces: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

fn processes_in(space: &str) -> Vec<Pid> {
    let Ok(output) = Command::new("ip").args(["netns", "pids", space]).output() else {
        return Vec::new();
    };
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| line.trim().parse().ok())
        .map(Pid::from_raw)
        .collect()
}

fn kill_all_in(space: &str) {
    // A process may start another one while the list is read.
    for _ in 0..20 {
        let pids = processes_in(space);
        if pids.is_empty() {
            return;
        }
        for pid in pids {
            let _ = kill(pid, Signal::SIGKILL);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn remove_space(space: &str) {
    if Path::new("/run/netns").join(space).exists() {
        kill_all_in(space);
        let _ = Command::new("ip").args(["netns", "delete", space]).status();
    }
}

/// Removes the leftovers of killed processes.
fn remove_leftovers() {
    let Ok(spaces) = fs::read_dir("/run/netns") else {
        return;
    };
    for space in spaces.flatten() {
        let name = space.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|owner| !Path::new("/proc").join(owner).exists()) {
            remove_space(&name);
        }
    }
}
