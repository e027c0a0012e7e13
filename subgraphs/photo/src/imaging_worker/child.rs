//! The worker process: does one task and ends.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::process::{Command, ExitCode};

use imaging::{PictureError, PictureFormat};
use rustix::process::{Pid, test_kill_process};
use serde_json::json;

use super::protocol::{self, Output, Request, Task};
use super::sandbox::{self, Limits};

/// Executes `request` in a sandbox.
pub fn run(request: &Request) -> ExitCode {
    match work(request) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn work(request: &Request) -> std::io::Result<()> {
    let missing_layers = sandbox::enter(Limits {
        parent: request.parent,
        memory: request.memory,
        cpu_seconds: request.cpu_seconds,
    })?;
    let mut stdout = std::io::stdout().lock();
    if let Task::Probe { address } = request.task {
        let found = json!({ "missingLayers": missing_layers, "allowed": probe(address, request.parent) });
        return writeln!(stdout, "{found}");
    }
    let mut input = Vec::new();
    std::io::stdin().lock().read_to_end(&mut input)?;
    let result = match &request.task {
        Task::Reencode(renditions) => imaging::reencode(&input, renditions).map(Output::Reencoded),
        _ => PictureFormat::sniff(&input)
            .ok_or(PictureError::Unreadable)
            .and_then(|kind| imaging::process(kind, &input))
            .map(Output::Processed),
    };
    protocol::write(&mut stdout, missing_layers, result)
}

/// Tries what a compromised decoder would try. Returns what succeeded.
fn probe(address: SocketAddr, parent: u32) -> Vec<&'static str> {
    let parent = Pid::from_raw(parent.cast_signed());
    let attempts: [(&'static str, bool); 8] = [
        ("read a file", std::fs::read("/proc/self/environ").is_ok()),
        ("list a folder", std::fs::read_dir("/").is_ok()),
        (
            "write a file",
            std::fs::write(std::env::temp_dir().join("imaging-worker-probe"), "x").is_ok(),
        ),
        ("connect by TCP", TcpStream::connect(address).is_ok()),
        ("open a UDP socket", UdpSocket::bind("127.0.0.1:0").is_ok()),
        ("connect to a local socket", UnixStream::pair().is_ok()),
        ("start a program", Command::new("/proc/self/exe").spawn().is_ok()),
        (
            "signal its parent",
            parent.is_some_and(|parent| test_kill_process(parent).is_ok()),
        ),
    ];
    let succeeded = attempts.into_iter().filter(|(_, succeeded)| *succeeded);
    succeeded.map(|(attempt, _)| attempt).collect()
}
