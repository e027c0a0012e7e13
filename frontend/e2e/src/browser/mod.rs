//! Debian's Chromium, driven by its own chromedriver.
//!
//! Elements are found by role and accessible name, like by a screen reader. Look-ups wait for the element, and fail
//! after `WAIT_TIMEOUT`.

mod elements;
mod starting;
mod window;

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::de::DeserializeOwned;
use serde_json::json;
use thirtyfour::BrowserLogEntry;
use thirtyfour::prelude::*;
use tokio::process::Child;
use tokio::time::{Instant, sleep};

pub use elements::Role;
pub use starting::{BrowserSettings, Disabled};
pub use thirtyfour::Key;
pub use window::THEMES;

/// Generous, because the machine may compile at the same time.
const WAIT_TIMEOUT: Duration = Duration::from_secs(30);
const PAGE_POLL_INTERVAL: Duration = Duration::from_millis(50);

/// A browser with its own cookies and storage.
#[derive(Debug)]
pub struct Browser {
    driver: WebDriver,
    chromedriver: Child,
    site: String,
    screenshots: PathBuf,
    runs_the_app: bool,
}

impl Browser {
    /// Opens a browser for the site with this URL.
    pub async fn open(site: &str) -> Result<Self> {
        Self::open_with(site, BrowserSettings::default()).await
    }

    pub async fn open_with(site: &str, settings: BrowserSettings<'_>) -> Result<Self> {
        let (chromedriver, address) = starting::chromedriver().await?;
        let driver = WebDriver::new(address, starting::capabilities(settings)?)
            .await
            .context("chromedriver opened no browser")?;
        let screenshots = window::screenshots();
        std::fs::create_dir_all(&screenshots)?;
        let browser = Self {
            driver,
            chromedriver,
            site: site.to_owned(),
            screenshots,
            runs_the_app: !matches!(settings.disabled, Some(Disabled::Scripts | Disabled::WebAssembly)),
        };
        if settings.disabled == Some(Disabled::WebAssembly) {
            browser.run_before_every_page("delete window.WebAssembly").await?;
        }
        Ok(browser)
    }

    /// Closes the browser. A browser that is only dropped runs until the end of the test.
    pub async fn close(mut self) -> Result<()> {
        self.driver.quit().await?;
        self.chromedriver.kill().await?;
        Ok(())
    }

    /// Closes the browser. Fails if it has logged errors, see [`Browser::check_log`].
    pub async fn close_without_errors(self) -> Result<()> {
        self.check_log().await?;
        self.close().await
    }

    /// Opens a page of the site.
    pub async fn visit(&self, path: &str) -> Result<()> {
        self.driver.goto(format!("{}{path}", self.site)).await?;
        self.wait_for_app().await
    }

    pub async fn reload(&self) -> Result<()> {
        self.driver.refresh().await?;
        self.wait_for_app().await
    }

    /// Waits until the app has replaced the server's HTML: elements found before are removed then.
    async fn wait_for_app(&self) -> Result<()> {
        if !self.runs_the_app {
            return Ok(());
        }
        self.wait_until(
            "the app to replace the server's HTML",
            "return !document.getElementById('first-paint')",
        )
        .await
    }

    pub async fn back(&self) -> Result<()> {
        Ok(self.driver.back().await?)
    }

    pub async fn forward(&self) -> Result<()> {
        Ok(self.driver.forward().await?)
    }

    /// Opens a tab and switches to it. Returns the previous tab.
    pub async fn open_tab(&self) -> Result<WindowHandle> {
        let before = self.driver.window().await?;
        let tab = self.driver.new_tab().await?;
        self.driver.switch_to_window(tab).await?;
        Ok(before)
    }

    /// Closes the current tab, and switches to another one.
    pub async fn close_tab_and_switch_to(&self, other: WindowHandle) -> Result<()> {
        self.driver.close_window().await?;
        Ok(self.driver.switch_to_window(other).await?)
    }

    /// Returns the path of the current page.
    pub async fn path(&self) -> Result<String> {
        Ok(self.driver.current_url().await?.path().to_owned())
    }

    /// Waits until the current page has this path.
    pub async fn wait_for_path(&self, path: &str) -> Result<()> {
        self.wait_for(&format!("the page {path}"), async || {
            Ok((self.path().await? == path).then_some(()))
        })
        .await
    }

    /// Polls until `ask` returns `Some`. After the timeout it saves a screenshot, and returns an error with the page's text.
    pub async fn wait_for<T, F>(&self, what: &str, ask: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = Result<Option<T>>>,
    {
        let deadline = Instant::now() + WAIT_TIMEOUT;
        let mut last = ask().await;
        while !matches!(last, Ok(Some(_))) && Instant::now() < deadline {
            sleep(PAGE_POLL_INTERVAL).await;
            last = ask().await;
        }
        if let Ok(Some(answer)) = last {
            return Ok(answer);
        }
        let error = last
            .err()
            .map(|error| format!(" ({error:#})"))
            .unwrap_or_default();
        // Two tests may fail at the same time.
        let picture = self
            .screenshots
            .join(format!("failed-{}.png", self.driver.session_id()));
        self.driver.screenshot(&picture).await?;
        let page = self.driver.find(By::Tag("body")).await?.text().await?;
        let seconds = WAIT_TIMEOUT.as_secs();
        bail!(
            "waited {seconds} s for {what}{error}; {} (see {}) said:\n{page}",
            self.path().await?,
            picture.display()
        )
    }

    /// Runs a script in the page, and returns its result.
    pub async fn run<T: DeserializeOwned>(&self, script: &str) -> Result<T> {
        Ok(self.driver.execute(script, vec![]).await?.convert()?)
    }

    /// Runs a script with the variable `element`.
    pub async fn run_on<T: DeserializeOwned>(&self, element: &WebElement, script: &str) -> Result<T> {
        let script = format!("const element = arguments[0];{script}");
        Ok(self
            .driver
            .execute(script, vec![element.to_json()?])
            .await?
            .convert()?)
    }

    /// Waits until a script returns true.
    pub async fn wait_until(&self, what: &str, script: &str) -> Result<()> {
        self.wait_for(what, async || Ok(self.run::<bool>(script).await?.then_some(())))
            .await
    }

    /// Runs a script before all others in every page that is opened from now on.
    pub async fn run_before_every_page(&self, script: &str) -> Result<()> {
        self.devtools(
            "Page.addScriptToEvaluateOnNewDocument",
            json!({ "source": script }),
        )
        .await
    }

    async fn devtools(&self, command: &'static str, parameters: serde_json::Value) -> Result<()> {
        self.driver.cdp().send_raw(command, parameters).await?;
        Ok(())
    }

    /// Returns the vertical scroll position in CSS pixels.
    pub async fn scroll_position(&self) -> Result<f64> {
        self.run("return scrollY").await
    }

    /// Waits until the page is scrolled to this position, within one pixel.
    pub async fn wait_for_scroll(&self, position: f64) -> Result<()> {
        let script = format!("return Math.abs(scrollY - {position}) <= 1");
        self.wait_until(&format!("the page to be scrolled to {position}"), &script)
            .await
    }

    /// Waits until the page contains this text.
    pub async fn wait_for_text(&self, text: &str) -> Result<()> {
        let body = async || {
            Ok(self
                .driver
                .find(By::Tag("body"))
                .await?
                .text()
                .await?
                .contains(text)
                .then_some(()))
        };
        self.wait_for(&format!("the text “{text}”"), body).await
    }

    /// Fails if the browser logged an error of a script or a violation of the content security policy. Failed requests
    /// are ignored, because journeys provoke them.
    pub async fn check_log(&self) -> Result<()> {
        let is_error = |entry: &BrowserLogEntry| {
            let is_lost = entry.message.contains("TypeError: Failed to fetch");
            entry.level == "SEVERE" && entry.source.as_deref() != Some("network") && !is_lost
        };
        let errors: Vec<_> = self
            .driver
            .browser_log()
            .await?
            .into_iter()
            .filter(is_error)
            .collect();
        ensure!(errors.is_empty(), "the browser logged errors: {errors:#?}");
        Ok(())
    }
}
