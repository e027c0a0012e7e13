//! The router under test, as a separate process whose CPU time and memory are measured.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::input::Input;
use crate::fakes::Fakes;
use crate::gateway::Gateway;

/// Timeout of a response: longer than the timeouts of the router.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) struct Target {
    fakes: Fakes,
    gateway: Gateway,
    connection: Option<TcpStream>,
    size_at_start: u64,
    sent: u64,
}

/// The measured effects of an input.
#[derive(Debug)]
pub(super) struct Observed {
    pub(super) is_alive: bool,
    pub(super) cpu: Duration,
    /// Growth in bytes since the start.
    pub(super) growth: u64,
    /// Status, code and normalized message; `none` without a response.
    pub(super) answer: String,
}

impl Target {
    pub(super) async fn start(program: &Path) -> Self {
        let fakes = Fakes::start().await;
        let away = json!({
            "data": null, "errors": [{ "message": "away", "extensions": { "code": "UNAVAILABLE" } }],
        });
        for fake in fakes.all() {
            fake.answer_with(away.clone());
        }
        let gateway = Gateway::start_program(program, &fakes, &[("--rate-limit-graphql", "0")]).await;
        let mut target = Self {
            fakes,
            gateway,
            connection: None,
            size_at_start: 0,
            sent: 0,
        };
        target.record_initial_size();
        target
    }

    pub(super) fn record_initial_size(&mut self) {
        self.size_at_start = self.size().unwrap_or_default();
    }

    /// Sends one input at a time, so that the measured CPU time is that of the input.
    pub(super) async fn send(&mut self, input: &Input) -> Observed {
        self.sent += 1;
        if self.sent.is_multiple_of(1_000) {
            for fake in self.fakes.all() {
                fake.take_seen();
            }
        }
        let before = self.cpu();
        let answer = tokio::time::timeout(RESPONSE_TIMEOUT, self.exchange(&input.bytes)).await;
        let answer = match answer {
            Ok(Some(answer)) => answer,
            // Retry, because an idle connection may have been closed.
            Ok(None) => match tokio::time::timeout(RESPONSE_TIMEOUT, self.exchange(&input.bytes)).await {
                Ok(answer) => answer.unwrap_or_else(|| "none".to_owned()),
                Err(_) => "none".to_owned(),
            },
            Err(_) => "none".to_owned(),
        };
        if answer == "none" {
            self.connection = None;
            // A process that aborts takes a moment to end.
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        Observed {
            is_alive: self.gateway.process.try_wait().unwrap().is_none(),
            cpu: self.cpu().saturating_sub(before),
            growth: self.size().unwrap_or_default().saturating_sub(self.size_at_start),
            answer,
        }
    }

    /// CPU time of all threads so far.
    fn cpu(&self) -> Duration {
        let Some(id) = self.gateway.process.id() else {
            return Duration::ZERO;
        };
        let threads = fs::read_dir(format!("/proc/{id}/task"))
            .into_iter()
            .flatten()
            .flatten();
        let nanoseconds = threads.filter_map(|thread| {
            let stat = fs::read_to_string(thread.path().join("schedstat")).ok()?;
            stat.split_whitespace().next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(nanoseconds.sum())
    }

    /// The largest size in memory so far.
    fn size(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.gateway.process.id()?)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
    }

    async fn exchange(&mut self, request: &[u8]) -> Option<String> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => TcpStream::connect(self.gateway.address).await.ok()?,
        };
        // A response may arrive before the request has been read.
        let written = connection.write_all(request).await;
        let (response, keeps_open) = read_response(&mut connection).await?;
        if keeps_open && written.is_ok() {
            self.connection = Some(connection);
        }
        Some(response)
    }
}

/// Returns the response in the form of [`Observed::answer`], and whether the connection can be reused.
async fn read_response(connection: &mut TcpStream) -> Option<(String, bool)> {
    let mut bytes = Vec::new();
    let (head, body_start) = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break (String::from_utf8_lossy(&bytes[..at]).to_ascii_lowercase(), at + 4);
        }
        if connection.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let header = |name: &str| {
        head.lines()
            .find_map(|line| line.strip_prefix(name))
            .map(str::trim)
    };
    let length = header("content-length:").and_then(|length| length.parse::<usize>().ok());
    let is_chunked = header("transfer-encoding:") == Some("chunked");
    let is_complete = |bytes: &[u8]| match length {
        Some(length) => bytes.len() >= body_start + length,
        None => !is_chunked || bytes.ends_with(b"0\r\n\r\n"),
    };
    while !is_complete(&bytes) {
        if connection.read_buf(&mut bytes).await.ok()? == 0 {
            break;
        }
    }
    let status = head.split_whitespace().nth(1)?.to_owned();
    let body = &bytes[body_start..];
    let answer = match serde_json::from_slice::<Value>(body) {
        Ok(body) => {
            let error = &body["errors"][0];
            let code = error["extensions"]["code"].as_str().unwrap_or("ok");
            format!(
                "{status} {code} {}",
                template(error["message"].as_str().unwrap_or_default())
            )
        }
        Err(_) => format!("{status} {}", template(&String::from_utf8_lossy(body))),
    };
    Some((
        answer,
        header("connection:") != Some("close") && (length.is_some() || is_chunked),
    ))
}

/// Returns the first line of a message without numbers and quoted text.
fn template(message: &str) -> String {
    let mut template = String::new();
    let mut quote = None;
    for character in message.chars() {
        match quote {
            Some(end) if character == end => quote = None,
            Some(_) => {}
            None if character == '"' || character == '`' => {
                quote = Some(character);
                template.push('…');
            }
            None if character.is_ascii_digit() => {
                if !template.ends_with('0') {
                    template.push('0');
                }
            }
            None => template.push(character),
        }
    }
    template.chars().take(70).collect()
}
