//! Machines on one machine: network namespaces with an address each, on a bridge in its own namespace.
//!
//! A Docker engine on the same machine drops what crosses bridges; in its own namespace, this one is out of its
//! reach. Everything here needs root.

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
    /// Keeps another network that this machine can reach off the same addresses; unlocked when dropped.
    _claim: Option<File>,
}

impl Network {
    /// `nodes` machines that only reach each other.
    pub fn closed(nodes: u32) -> Result<Self> {
        Self::build(nodes, "10.99.0".to_owned(), None)
    }

    /// `nodes` machines that this machine reaches too: it has [`Network::host`] there, and any address that
    /// [`Network::add_host`] adds.
    pub fn reachable(nodes: u32) -> Result<Self> {
        let (number, claim) = claim()?;
        let network = Self::build(nodes, format!("10.97.{number}"), Some(claim))?;
        let (bridge, us) = (network.bridge(), std::process::id().to_string());
        let uplink = format!("psnet{number}");
        ip(&[
            "-n", &bridge, "link", "add", "uplink", "type", "veth", "peer", "name", &uplink, "netns", &us,
        ])?;
        ip(&["-n", &bridge, "link", "set", "uplink", "master", "br0", "up"])?;
        ip(&["addr", "add", &format!("{}/24", network.host()), "dev", &uplink])?;
        ip(&["link", "set", &uplink, "up"])?;
        Ok(network)
    }

    fn build(nodes: u32, subnet: String, claim: Option<File>) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if !nix::unistd::geteuid().is_root() {
            bail!("this makes network namespaces, which only root may: run it as root, or leave it out");
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

    /// The addresses of all of them.
    pub fn addresses(&self) -> Vec<String> {
        (1..=self.nodes).map(|slot| self.address(slot)).collect()
    }

    /// Our own address in a network that we reach.
    pub fn host(&self) -> String {
        format!("{}.1", self.subnet)
    }

    /// One more address of ours, `number` being its last part (from 100 on).
    pub fn add_host(&self, number: u8) -> Result<String> {
        let address = format!("{}.{number}", self.subnet);
        let uplink = format!("psnet{}", self.subnet.rsplit('.').next().unwrap_or_default());
        ip(&["addr", "add", &format!("{address}/32"), "dev", &uplink])?;
        Ok(address)
    }

    /// A command that starts a program on a machine. Its process is the program's own.
    pub fn command(&self, slot: u32) -> Command {
        let mut command = Command::new("ip");
        command.args(self.enter(slot));
        command
    }

    /// The arguments of `ip` to start a program on a machine.
    pub fn enter(&self, slot: u32) -> [String; 3] {
        ["netns".to_owned(), "exec".to_owned(), self.space(slot)]
    }

    /// Cuts the link of a machine, or mends it.
    pub fn cut(&self, slot: u32, cut: bool) -> Result<()> {
        let state = if cut { "down" } else { "up" };
        ip(&["-n", &self.bridge(), "link", "set", &port(slot), state])
    }

    /// Has all that goes to and from a machine take `delay` longer, each way, until what this returns is dropped.
    pub fn slow_down(&self, slot: u32, delay: Duration) -> Result<SlowLink> {
        SlowLink::new(&self.bridge(), &port(slot), delay)
    }

    /// Everything on a machine dies at once, as when it loses its power.
    pub fn kill_all(&self, slot: u32) {
        kill_all_in(&self.space(slot));
    }

    /// Sends a signal to everything on a machine.
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

/// A number between 1 and 254 that no other network of this machine has.
fn claim() -> Result<(u8, File)> {
    // Not the temporary folder, which a test run has its own of.
    let claims = Path::new("/tmp/proofsheet-networks");
    fs::create_dir_all(claims).with_context(|| format!("could not make {}", claims.display()))?;
    for number in 1..=254 {
        let claim = File::create(claims.join(number.to_string()))?;
        // The last user of the number may not be gone yet.
        let interface = format!("/sys/class/net/psnet{number}");
        if claim.try_lock().is_ok() && !Path::new(&interface).exists() {
            return Ok((number, claim));
        }
    }
    bail!("all 254 networks are taken; is something left of them in /run/netns?")
}

fn ip(arguments: &[&str]) -> Result<()> {
    let output = Command::new("ip")
        .args(arguments)
        .output()
        .context("ip is missing: Debian's package iproute2 has it")?;
    if !output.status.success() {
        bail!(
            "`ip {}` failed, and network namespaces are needed here, which this machine does not let us make: {}",
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
