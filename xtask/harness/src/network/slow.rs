//! Simulates a slow link in user space, because not all kernels have netem.
//!
//! The port of the machine is moved to a second bridge. Frames between the two bridges go through a pair of TAP
//! devices, and are delayed here.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use super::ip;

/// Size of the buffer for a frame; larger than all frames.
const MAX_FRAME_BYTES: usize = 1 << 16;
/// How often an idle relay checks whether it should end.
const RELAY_POLL_INTERVAL: Duration = Duration::from_millis(200);
/// Timeout of the creation of a TAP device.
const TAP_TIMEOUT: Duration = Duration::from_secs(5);

/// A link that is slow until this value is dropped.
#[derive(Debug)]
pub struct SlowLink {
    bridge: String,
    port: String,
    taps: Vec<Child>,
    stop: Arc<AtomicBool>,
    relays: Vec<JoinHandle<()>>,
    sockets: TempDir,
}

impl SlowLink {
    pub(super) fn new(bridge: &str, port: &str, delay: Duration) -> Result<Self> {
        let sockets = tempfile::Builder::new().prefix("slow-").tempdir_in("/tmp")?;
        let mut link = Self {
            bridge: bridge.to_owned(),
            port: port.to_owned(),
            taps: Vec::new(),
            stop: Arc::default(),
            relays: Vec::new(),
            sockets,
        };
        let near = link.ours("near")?;
        let far = link.ours("far")?;
        link.relay(near.try_clone()?, far.try_clone()?, "far", delay);
        link.relay(far, near, "near", delay);
        let aside = link.aside();
        ip(&["-n", bridge, "link", "add", &aside, "type", "bridge"])?;
        ip(&["-n", bridge, "link", "set", &aside, "up"])?;
        link.tap("near", "br0")?;
        link.tap("far", &aside)?;
        ip(&["-n", bridge, "link", "set", port, "master", &aside])?;
        Ok(link)
    }

    /// The name of the second bridge.
    fn aside(&self) -> String {
        format!("slow-{}", self.port)
    }

    /// Returns our socket towards a TAP device.
    fn ours(&self, side: &str) -> Result<UnixDatagram> {
        let socket = UnixDatagram::bind(self.sockets.path().join(side))?;
        socket.set_read_timeout(Some(RELAY_POLL_INTERVAL))?;
        Ok(socket)
    }

    /// Starts socat, which creates a TAP device and forwards its frames as datagrams.
    fn tap(&mut self, side: &str, bridge: &str) -> Result<()> {
        let name = format!("{side}-{}", self.port);
        let folder = self.sockets.path().display().to_string();
        let tap = Command::new("ip")
            .args([
                "netns",
                "exec",
                &self.bridge,
                "socat",
                "-b",
                &MAX_FRAME_BYTES.to_string(),
            ])
            .arg(format!("TUN,tun-name={name},tun-type=tap,iff-no-pi,iff-up"))
            .arg(format!("UNIX-SENDTO:{folder}/{side},bind={folder}/{side}-tap"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("could not start socat (Debian's package socat)")?;
        self.taps.push(tap);
        let deadline = Instant::now() + TAP_TIMEOUT;
        while ip(&["-n", &self.bridge, "link", "set", &name, "master", bridge]).is_err() {
            if Instant::now() > deadline {
                bail!("socat created no TAP device; check that /dev/net/tun exists");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Forwards frames from `from` to the TAP device behind `to`, each `delay` after its arrival.
    fn relay(&mut self, from: UnixDatagram, to: UnixDatagram, side: &str, delay: Duration) {
        let (later, queue) = mpsc::channel::<(Instant, Vec<u8>)>();
        let tap = self.sockets.path().join(format!("{side}-tap"));
        let stop = Arc::clone(&self.stop);
        self.relays
            .push(std::thread::spawn(move || receive(&from, &later, delay, &stop)));
        self.relays
            .push(std::thread::spawn(move || send(&to, &queue, &tap)));
    }
}

fn receive(
    from: &UnixDatagram,
    later: &mpsc::Sender<(Instant, Vec<u8>)>,
    delay: Duration,
    stop: &AtomicBool,
) {
    let mut frame = vec![0; MAX_FRAME_BYTES];
    while !stop.load(Ordering::Relaxed) {
        match from.recv(&mut frame) {
            Ok(length) => {
                let _ = later.send((Instant::now() + delay, frame[..length].to_vec()));
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(_) => return,
        }
    }
}

/// Sends queued frames at their times. Ends when the queue is closed.
fn send(to: &UnixDatagram, queue: &mpsc::Receiver<(Instant, Vec<u8>)>, tap: &Path) {
    for (due, frame) in queue {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        // Ignore errors, because a network may lose frames.
        let _ = to.send_to(&frame, tap);
    }
}

impl Drop for SlowLink {
    fn drop(&mut self) {
        let back = ["-n", &self.bridge, "link", "set", &self.port, "master", "br0"];
        if let Err(error) = ip(&back) {
            eprintln!("a link stays slow: {error:#}");
        }
        for tap in &mut self.taps {
            let _ = tap.kill();
            let _ = tap.wait();
        }
        self.stop.store(true, Ordering::Relaxed);
        for relay in self.relays.drain(..) {
            let _ = relay.join();
        }
        let _ = ip(&["-n", &self.bridge, "link", "delete", &self.aside()]);
    }
}
