//! Starts Chromium with the settings of a visitor.

use std::process::Stdio;

use anyhow::{Context, Result, bail};
use serde_json::json;
use thirtyfour::prelude::*;
use thirtyfour::{ChromeCapabilities, ChromiumLikeCapabilities, LoggingPrefsLogLevel};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// Tests often run as root or in a container, where Chromium has no sandbox and little shared memory. The rest keeps it
/// from calling home at every start.
const ARGUMENTS: [&str; 11] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    // Background tabs are not throttled.
    "--disable-renderer-backgrounding",
    "--window-size=1280,900",
];

/// Chromium's number for what a site is not allowed.
const BLOCKED: u8 = 2;

/// A browser feature that the visitor has switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Without {
    Cookies,
    Scripts,
    WebAssembly,
}

/// The visitor's browser settings.
#[derive(Clone, Copy, Debug)]
pub struct Habits<'a> {
    /// The first of `navigator.languages`.
    pub language: &'a str,
    pub without: Option<Without>,
}

impl Default for Habits<'_> {
    fn default() -> Self {
        Self {
            language: "en",
            without: None,
        }
    }
}

/// The capabilities that chromedriver gets for these settings.
pub(super) fn capabilities(habits: Habits<'_>) -> Result<ChromeCapabilities> {
    let mut capabilities = DesiredCapabilities::chrome();
    capabilities.set_browser_log_level(LoggingPrefsLogLevel::All)?;
    for argument in ARGUMENTS {
        capabilities.add_arg(argument)?;
    }
    capabilities.add_arg(&format!("--lang={}", habits.language))?;
    let mut preferences = json!({ "intl.accept_languages": habits.language });
    match habits.without {
        Some(Without::Cookies) => {
            preferences["profile.default_content_setting_values.cookies"] = BLOCKED.into();
        }
        Some(Without::Scripts) => {
            preferences["profile.default_content_setting_values.javascript"] = BLOCKED.into();
        }
        Some(Without::WebAssembly) | None => {}
    }
    capabilities.add_experimental_option("prefs", preferences)?;
    Ok(capabilities)
}

/// Starts a chromedriver on a port that it chooses, and reads which.
pub(super) async fn chromedriver() -> Result<(Child, String)> {
    let mut child = Command::new("chromedriver")
        .arg("--port=0")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("chromedriver does not start; on Debian: apt-get install chromium chromium-driver")?;
    let output = child.stdout.take().context("it was asked for its output")?;
    let mut lines = BufReader::new(output).lines();
    while let Some(line) = lines.next_line().await? {
        let port = line
            .rsplit_once("on port ")
            .map(|(_, port)| port.trim_end_matches('.'));
        if let Some(port) = port
            .and_then(|port| port.parse::<u16>().ok())
            .filter(|port| *port != 0)
        {
            return Ok((child, format!("http://127.0.0.1:{port}")));
        }
    }
    bail!("chromedriver ended without saying its port")
}
