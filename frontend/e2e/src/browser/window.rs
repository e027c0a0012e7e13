//! The environment of a page: window size, colour scheme, network. Also takes screenshots.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::json;

use super::Browser;

/// The window sizes of screenshots, in pixels.
const WIDTHS: [(u32, u32); 2] = [(1280, 900), (360, 740)];
pub const THEMES: [&str; 2] = ["light", "dark"];

impl Browser {
    /// Disables or enables the network.
    pub async fn set_offline(&self, offline: bool) -> Result<()> {
        self.devtools("Network.enable", json!({})).await?;
        let conditions =
            json!({ "offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1 });
        self.devtools("Network.emulateNetworkConditions", conditions)
            .await
    }

    /// Blocks requests to URLs that match one of the patterns.
    pub async fn block_requests(&self, addresses: &[&str]) -> Result<()> {
        self.devtools("Network.enable", json!({})).await?;
        self.devtools("Network.setBlockedURLs", json!({ "urls": addresses }))
            .await
    }

    /// Sets the size of the window.
    pub async fn resize(&self, width: u32, height: u32) -> Result<()> {
        let metrics =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics).await
    }

    /// Restores the default size of the window.
    pub async fn reset_size(&self) -> Result<()> {
        self.devtools("Emulation.clearDeviceMetricsOverride", json!({}))
            .await
    }

    /// Sets the colour scheme, and reduced motion, so that no transition is running.
    pub async fn set_theme(&self, theme: &str) -> Result<()> {
        let media = json!({ "features": [
            { "name": "prefers-color-scheme", "value": theme },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ] });
        self.devtools("Emulation.setEmulatedMedia", media).await
    }

    /// Takes four screenshots whose files begin with `name`: light and dark, wide and narrow. Checks the width too.
    pub async fn take_screenshots(&self, name: &str) -> Result<()> {
        for (width, height) in WIDTHS {
            self.resize(width, height).await?;
            for theme in THEMES {
                self.set_theme(theme).await?;
                self.wait_for_images().await?;
                self.driver
                    .screenshot(&self.screenshots.join(format!("{name}-{theme}-{width}.png")))
                    .await?;
            }
            self.check_width(&format!("{name} at {width} pixels")).await?;
        }
        self.reset_size().await
    }

    async fn wait_for_images(&self) -> Result<()> {
        let script = "return [...document.images].every(image => image.complete || image.getBoundingClientRect().top > innerHeight)";
        self.wait_until("all images", script).await
    }

    /// Waits until nothing extends beyond the right edge of the window. `what` names the page in the error.
    pub async fn check_width(&self, what: &str) -> Result<()> {
        let fits = "return [document.documentElement, ...document.querySelectorAll('dialog[open]')]
            .every(box => box.scrollWidth <= box.clientWidth)";
        self.wait_until(&format!("{what} to fit its window"), fits).await
    }
}

/// Returns the folder `screenshots` in cargo's target folder.
pub(super) fn screenshots() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    target
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"))
        .join("screenshots")
}
