//! Runs the program `photo serve` as a process, with its workers.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::time::Duration;

use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use chassis::UserId;
use serde_json::Value;
use tempfile::TempDir;
use testkit::{INTERNAL_SECRET, Issuer, TestDatabase};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

/// The interval of samples of processes.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(10);

pub(crate) struct Service {
    pub db: TestDatabase,
    address: SocketAddr,
    process: Child,
    _folder: TempDir,
}

impl Service {
    pub(crate) async fn start() -> Self {
        let db = TestDatabase::new(&photo::MIGRATOR).await;
        let folder = tempfile::tempdir().unwrap();
        let keys = Router::new().route("/keys", get(|| async { Json(Issuer::key_set()) }));
        let issuer = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let jwks_url = format!("http://{}/keys", issuer.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(issuer, keys).await });
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let process = Command::new(env!("CARGO_BIN_EXE_photo"))
            .arg("serve")
            .env_clear()
            .env("LISTEN", address.to_string())
            .env("DATABASE_URL", db.url().expose())
            .env("INTERNAL_SECRET", INTERNAL_SECRET)
            .env("JWKS_URL", jwks_url)
            .env("MEDIA_STORE", format!("file://{}", folder.path().display()))
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let service = Self {
            db,
            address,
            process,
            _folder: folder,
        };
        service.wait_until_ready().await;
        service
    }

    async fn wait_until_ready(&self) {
        for _ in 0..1200 {
            if let Ok(mut connection) = TcpStream::connect(self.address).await
                && let Ok((StatusCode::OK, _)) = exchange(
                    &mut connection,
                    b"GET /readiness HTTP/1.1\r\nhost: photo\r\nconnection: close\r\n\r\n",
                )
                .await
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("the service was not ready within thirty seconds");
    }

    /// Sends a picture. The response can be read from the connection.
    pub(crate) async fn send(&self, user: UserId, picture: &[u8]) -> TcpStream {
        let mut connection = TcpStream::connect(self.address).await.unwrap();
        let head = format!(
            "POST /media/uploads HTTP/1.1\r\nhost: photo\r\nconnection: close\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\r\n",
            Issuer::token(user),
            picture.len()
        );
        connection.write_all(head.as_bytes()).await.unwrap();
        connection.write_all(picture).await.unwrap();
        connection
    }

    pub(crate) async fn upload(&self, user: UserId, picture: &[u8]) -> (StatusCode, Value) {
        let mut connection = self.send(user, picture).await;
        exchange(&mut connection, b"").await.unwrap()
    }

    /// Returns the value of a metric with its labels.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let mut connection = TcpStream::connect(self.address).await.unwrap();
        let request = b"GET /metrics HTTP/1.1\r\nhost: photo\r\nconnection: close\r\n\r\n";
        connection.write_all(request).await.unwrap();
        let mut text = String::new();
        connection.read_to_string(&mut text).await.unwrap();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.trim().parse().unwrap())
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id().expect("the service runs")
    }

    /// Returns the running workers.
    pub(crate) fn workers(&self) -> Vec<u32> {
        children_of(self.id())
    }

    /// Waits for a worker.
    pub(crate) async fn worker(&self) -> u32 {
        self.other_worker(0).await
    }

    /// Waits for a worker that is not `known`.
    pub(crate) async fn other_worker(&self, known: u32) -> u32 {
        for _ in 0..3000 {
            if let Some(worker) = self.workers().into_iter().find(|worker| *worker != known) {
                return worker;
            }
            tokio::time::sleep(SAMPLE_INTERVAL).await;
        }
        panic!("no worker was started within thirty seconds");
    }

    pub(crate) async fn kill(&mut self) {
        self.process.kill().await.unwrap();
    }

    /// Samples the memory and the number of workers until dropped.
    pub(crate) fn watch(&self) -> Watch {
        let service = self.id();
        let (stop, mut stopped) = tokio::sync::oneshot::channel();
        let thread = std::thread::spawn(move || {
            let mut peak = Peak::default();
            while let Err(tokio::sync::oneshot::error::TryRecvError::Empty) = stopped.try_recv() {
                let workers = children_of(service);
                let of_workers: u64 = workers.iter().map(|worker| memory_of(*worker, "VmRSS")).sum();
                peak.workers = peak.workers.max(workers.len());
                peak.total = peak.total.max(memory_of(service, "VmRSS") + of_workers);
                peak.service = peak.service.max(memory_of(service, "VmHWM"));
                std::thread::sleep(SAMPLE_INTERVAL);
            }
            peak
        });
        Watch { stop, thread }
    }
}

pub(crate) struct Watch {
    stop: tokio::sync::oneshot::Sender<()>,
    thread: std::thread::JoinHandle<Peak>,
}

impl Watch {
    pub(crate) fn peak(self) -> Peak {
        let _ = self.stop.send(());
        self.thread.join().unwrap()
    }
}

/// The maximum values; memory in MiB.
#[derive(Debug, Default)]
pub(crate) struct Peak {
    pub workers: usize,
    pub service: u64,
    pub total: u64,
}

/// Whether a process runs. Zombies do not.
pub(crate) fn is_running(id: u32) -> bool {
    stat(id).is_some_and(|(state, _)| state != "Z" && state != "X")
}

/// Waits until all of these have ended.
pub(crate) async fn wait_until_ended(ids: &[u32]) -> bool {
    for _ in 0..500 {
        if !ids.iter().any(|id| is_running(*id)) {
            return true;
        }
        tokio::time::sleep(SAMPLE_INTERVAL).await;
    }
    false
}

fn children_of(parent: u32) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").unwrap();
    processes
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|id| stat(*id).is_some_and(|(state, of)| of == parent && state != "Z"))
        .collect()
}

/// Returns the state and the parent of a process (`proc_pid_stat(5)`).
fn stat(id: u32) -> Option<(String, u32)> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}

fn memory_of(id: u32, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kibibytes.unwrap_or(0) / 1024
}

/// Sends a request, and reads the response.
pub(crate) async fn exchange(
    connection: &mut TcpStream,
    request: &[u8],
) -> std::io::Result<(StatusCode, Value)> {
    connection.write_all(request).await?;
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).await?;
    let text = String::from_utf8_lossy(&answer);
    let status = text.get(9..12).and_then(|status| status.parse().ok());
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    match status {
        Some(status) => Ok((status, serde_json::from_str(body).unwrap_or(Value::Null))),
        None => Err(std::io::Error::other("no response")),
    }
}
