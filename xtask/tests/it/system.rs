//! The whole system, started and stopped.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use harness::system::{Options, SERVICES, System, free_port};
use harness::workspace::binaries;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The processes whose command line or environment names a folder.
fn processes_of(folder: &Path) -> Vec<String> {
    let folder = folder.display().to_string();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
        let Ok(id) = entry.file_name().into_string().unwrap_or_default().parse::<u32>() else {
            continue;
        };
        if id == std::process::id() {
            continue;
        }
        let read = |name: &str| std::fs::read(entry.path().join(name)).unwrap_or_default();
        let text = [read("cmdline"), read("environ")].concat();
        if String::from_utf8_lossy(&text).contains(&folder) {
            found.push(String::from_utf8_lossy(&read("cmdline")).replace('\0', " "));
        }
    }
    found
}

fn wait_until_gone(folder: &Path) {
    let deadline = Instant::now() + Duration::from_secs(40);
    while !processes_of(folder).is_empty() {
        assert!(
            Instant::now() < deadline,
            "still running: {:?}",
            processes_of(folder)
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[tokio::test]
async fn the_system_starts_serves_and_stops_without_leftover_processes() {
    let dir = tempfile::tempdir().unwrap();
    let options = || Options {
        data_dir: Some(dir.path().to_path_buf()),
        ..Options::default()
    };
    let system = System::start(options()).await.unwrap();
    let client = reqwest::Client::new();
    for service in SERVICES.iter() {
        let answer = client
            .get(format!("{}/health", system.url(service)))
            .send()
            .await
            .unwrap();
        assert!(answer.status().is_success(), "{service}");
    }

    // A second system refuses to use the folder.
    let refused = System::start(options()).await.unwrap_err().to_string();
    assert!(refused.contains("is in use by another ./dev up"), "{refused}");

    // A killed service can be started again, and the data folder can be used again.
    system.kill_service("comment").await.unwrap();
    assert!(
        client
            .get(format!("{}/health", system.url("comment")))
            .send()
            .await
            .is_err()
    );
    system.start_service("comment").await.unwrap();
    system.stop().await;
    assert_eq!(processes_of(dir.path()), Vec::<String>::new());

    System::start(options()).await.unwrap().stop().await;
    assert_eq!(processes_of(dir.path()), Vec::<String>::new());
}

#[tokio::test]
async fn a_failed_start_leaves_no_process() {
    let dir = tempfile::tempdir().unwrap();
    let error = System::start(Options {
        data_dir: Some(dir.path().to_path_buf()),
        environment: vec![("vote".into(), "DATABASE_CONNECTIONS".into(), "many".into())],
        ..Options::default()
    })
    .await
    .unwrap_err();
    assert!(
        error.to_string().contains("vote stopped while it was starting"),
        "{error:#}"
    );
    wait_until_gone(dir.path());
}

#[test]
fn up_names_a_port_that_is_taken() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new(binaries().join("up"))
        .args(["--no-build", "--port", &port.to_string(), "--data"])
        .arg(dir.path())
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(
        error.contains(&format!("Port {port} (router) is taken")),
        "{error}"
    );
    assert!(!error.contains("ready:"));
}

/// Starts `./dev up` in this folder, and waits until it is ready. Returns its port too.
fn up(dir: &Path) -> (Child, u16) {
    let port = free_port().unwrap();
    let mut up = Command::new(binaries().join("up"))
        .args(["--no-build", "--port", &port.to_string(), "--data"])
        .arg(dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(up.stdout.take().unwrap()));
    let line = lines.next().expect("./dev up prints that it is ready").unwrap();
    assert_eq!(line, format!("ready: http://localhost:{port}"));
    (up, port)
}

/// All processes end, even if `./dev up` is killed.
#[test]
fn a_killed_up_leaves_no_process() {
    let dir = tempfile::tempdir().unwrap();
    let (mut up, _) = up(dir.path());
    up.kill().unwrap();
    up.wait().unwrap();
    wait_until_gone(dir.path());
}

/// The process of this program whose parent is `up`.
fn child(up: &Child, program: &str) -> Option<Pid> {
    let stats = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let mut stats = stats.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    let name = format!(" ({program}) ");
    let stat = stats.find(|stat| {
        let after = stat.split_once(&name).map(|(_, after)| after);
        after.and_then(|after| after.split(' ').nth(1)) == Some(&up.id().to_string())
    })?;
    stat.split(' ').next()?.parse().ok().map(Pid::from_raw)
}

#[tokio::test]
async fn up_restarts_ended_programs() {
    let dir = tempfile::tempdir().unwrap();
    let (mut up, port) = up(dir.path());
    let client = reqwest::Client::new();
    let responds = async || {
        let health = client.get(format!("http://127.0.0.1:{port}/health"));
        health.send().await.is_ok()
    };
    assert!(responds().await);
    // Programs are restarted independently.
    let programs = ["router", "comment"];
    let before = programs.map(|name| child(&up, name).unwrap());
    for id in before {
        kill(id, Signal::SIGKILL).unwrap();
    }
    let killed = Instant::now();
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = programs.map(|name| child(&up, name));
        let are_new = now.iter().all(|id| id.is_some_and(|id| !before.contains(&id)));
        if are_new && responds().await {
            break;
        }
        assert!(killed.elapsed() < Duration::from_secs(30), "{now:?}");
    }
    up.kill().unwrap();
    up.wait().unwrap();
    wait_until_gone(dir.path());
}
