//! The environment of a page: window size, colour scheme, network. Also takes screenshots.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::json;

use super::Browser;

/// The widths that screenshots are taken at.
const WIDTHS: [(u32, u32); 2] = [(1280, 900), (360, 740)];
pub const THEMES: [&str; 2] = ["light", "dark"];

impl Browser {
    /// Takes the network away, or gives it back.
    pub async fn is_offline(&self, offline: bool) -> Result<()> {
        self.devtools("Network.enable", json!({})).await?;
        let conditions =
            json!({ "offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1 });
        self.devtools("Network.emulateNetworkConditions", conditions)
            .await
    }

    /// Lets every request fail whose address matches, until the browser is closed.
    pub async fn blocks(&self, addresses: &[&str]) -> Result<()> {
        self.devtools("Network.enable", json!({})).await?;
        self.devtools("Network.setBlockedURLs", json!({ "urls": addresses }))
            .await
    }

    /// Gives the page a window of another size.
    pub async fn resize(&self, width: u32, height: u32) -> Result<()> {
        let metrics =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics).await
    }

    /// Gives the page the window's own size again.
    pub async fn resize_back(&self) -> Result<()> {
        self.devtools("Emulation.clearDeviceMetricsOverride", json!({}))
            .await
    }

    /// Wishes for a light or dark page, and for one without motion, so that nothing is half-way to another colour.
    pub async fn prefers(&self, theme: &str) -> Result<()> {
        let media = json!({ "features": [
            { "name": "prefers-color-scheme", "value": theme },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ] });
        self.devtools("Emulation.setEmulatedMedia", media).await
    }

    /// Takes what is shown in light and dark, wide and narrow: four files that begin with `name`. Each has to
    /// fit its window.
    pub async fn screenshots(&self, name: &str) -> Result<()> {
        for (width, height) in WIDTHS {
            self.resize(width, height).await?;
            for theme in THEMES {
                self.prefers(theme).await?;
                self.are_pictures_loaded().await?;
                self.driver
                    .screenshot(&self.screenshots.join(format!("{name}-{theme}-{width}.png")))
                    .await?;
            }
            self.fits(&format!("{name} at {width} pixels")).await?;
        }
        self.resize_back().await
    }

    async fn are_pictures_loaded(&self) -> Result<()> {
        let script = "return [...document.images].every(image => image.complete || image.getBoundingClientRect().top > innerHeight)";
        self.holds("all pictures", script).await
    }

    /// Waits until the page is as wide as its window, which takes a new width in its own time: nothing sticks out to
    /// the right. `what` is named when something does.
    pub async fn fits(&self, what: &str) -> Result<()> {
        let fits = "return [document.documentElement, ...document.querySelectorAll('dialog[open]')]
            .every(box => box.scrollWidth <= box.clientWidth)";
        self.holds(&format!("{what} to fit its window"), fits).await
    }
}

/// `screenshots` in cargo's target folder.
pub(super) fn screenshots() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    target
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"))
        .join("screenshots")
}
