//! Starts Chromium with the settings of a visitor.

use std::process::Stdio;

use anyhow::{Context, Result, bail};
use serde_json::json;
use thirtyfour::prelude::*;
use thirtyfour::{ChromeCapabilities, ChromiumLikeCapabilities, LoggingPrefsLogLevel};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// Tests may run as root or in a container, without a sandbox and with little shared memory. Requests of Chromium to
/// Google are disabled.
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

/// The value of Chromium's content settings for "block".
const BLOCKED: u8 = 2;

/// A disabled browser feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disabled {
    Cookies,
    Scripts,
    WebAssembly,
}

/// Settings of a browser.
#[derive(Clone, Copy, Debug)]
pub struct BrowserSettings<'a> {
    /// The first of `navigator.languages`.
    pub language: &'a str,
    pub disabled: Option<Disabled>,
}

impl Default for BrowserSettings<'_> {
    fn default() -> Self {
        Self {
            language: "en",
            disabled: None,
        }
    }
}

/// Returns the capabilities for chromedriver.
pub(super) fn capabilities(settings: BrowserSettings<'_>) -> Result<ChromeCapabilities> {
    let mut capabilities = DesiredCapabilities::chrome();
    capabilities.set_browser_log_level(LoggingPrefsLogLevel::All)?;
    for argument in ARGUMENTS {
        capabilities.add_arg(argument)?;
    }
    capabilities.add_arg(&format!("--lang={}", settings.language))?;
    let mut preferences = json!({ "intl.accept_languages": settings.language });
    match settings.disabled {
        Some(Disabled::Cookies) => {
            preferences["profile.default_content_setting_values.cookies"] = BLOCKED.into();
        }
        Some(Disabled::Scripts) => {
            preferences["profile.default_content_setting_values.javascript"] = BLOCKED.into();
        }
        Some(Disabled::WebAssembly) | None => {}
    }
    capabilities.add_experimental_option("prefs", preferences)?;
    Ok(capabilities)
}

/// Starts a chromedriver on a free port, and returns its URL too.
pub(super) async fn chromedriver() -> Result<(Child, String)> {
    let mut child = Command::new("chromedriver")
        .arg("--port=0")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("chromedriver does not start; on Debian: apt-get install chromium chromium-driver")?;
    let output = child.stdout.take().context("its output is a pipe")?;
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
    bail!("chromedriver ended without printing its port")
}
