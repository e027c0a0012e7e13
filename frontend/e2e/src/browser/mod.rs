//! Debian's Chromium, driven by its own chromedriver.
//!
//! Elements are found by role and accessible name, as the browser computes them: what a journey can press, a screen
//! reader can name. All look-ups wait for the element, and fail after `WAIT_TIMEOUT`.

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
pub use starting::{Habits, Without};
pub use thirtyfour::Key;
pub use window::THEMES;

/// Longer than anything takes on a machine that compiles at the same time.
const WAIT_TIMEOUT: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// One person's browser: its own cookies, its own storage.
#[derive(Debug)]
pub struct Browser {
    driver: WebDriver,
    chromedriver: Child,
    site: String,
    screenshots: PathBuf,
    runs_the_app: bool,
}

impl Browser {
    /// Opens a browser for the site at that address. Screenshots go to a folder beside what cargo builds.
    pub async fn open(site: &str) -> Result<Self> {
        Self::open_with(site, Habits::default()).await
    }

    pub async fn open_with(site: &str, habits: Habits<'_>) -> Result<Self> {
        let (chromedriver, address) = starting::chromedriver().await?;
        let driver = WebDriver::new(address, starting::capabilities(habits)?)
            .await
            .context("chromedriver opened no browser")?;
        let screenshots = window::screenshots();
        std::fs::create_dir_all(&screenshots)?;
        let browser = Self {
            driver,
            chromedriver,
            site: site.to_owned(),
            screenshots,
            runs_the_app: !matches!(habits.without, Some(Without::Scripts | Without::WebAssembly)),
        };
        if habits.without == Some(Without::WebAssembly) {
            browser.before_every_page("delete window.WebAssembly").await?;
        }
        Ok(browser)
    }

    /// Closes it; a browser that is only dropped stays until the end of the test.
    pub async fn close(mut self) -> Result<()> {
        self.driver.quit().await?;
        self.chromedriver.kill().await?;
        Ok(())
    }

    /// Closes it, and fails when it complained: see [`Browser::is_content`].
    pub async fn closes_content(self) -> Result<()> {
        self.is_content().await?;
        self.close().await
    }

    /// Opens a page of the site.
    pub async fn visit(&self, path: &str) -> Result<()> {
        self.driver.goto(format!("{}{path}", self.site)).await?;
        self.is_taken_over().await
    }

    pub async fn reload(&self) -> Result<()> {
        self.driver.refresh().await?;
        self.is_taken_over().await
    }

    /// Waits until the app has drawn what came with the page: what is found before is not what is there after.
    async fn is_taken_over(&self) -> Result<()> {
        if !self.runs_the_app {
            return Ok(());
        }
        self.holds(
            "the app to take over",
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

    /// Opens a second tab, and looks at it from now on. Answers the one before.
    pub async fn open_tab(&self) -> Result<WindowHandle> {
        let before = self.driver.window().await?;
        let tab = self.driver.new_tab().await?;
        self.driver.switch_to_window(tab).await?;
        Ok(before)
    }

    /// Closes the tab that one looks at, and looks at that one.
    pub async fn close_tab_for(&self, other: WindowHandle) -> Result<()> {
        self.driver.close_window().await?;
        Ok(self.driver.switch_to_window(other).await?)
    }

    /// The path of the page that is shown.
    pub async fn path(&self) -> Result<String> {
        Ok(self.driver.current_url().await?.path().to_owned())
    }

    /// Waits until the page with that path is shown.
    pub async fn is_at(&self, path: &str) -> Result<()> {
        self.wait_for(&format!("the page {path}"), async || {
            Ok((self.path().await? == path).then_some(()))
        })
        .await
    }

    /// Polls until there is a result. A failure contains the text of the page, and saves a screenshot.
    pub async fn wait_for<T, F>(&self, what: &str, ask: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = Result<Option<T>>>,
    {
        let deadline = Instant::now() + WAIT_TIMEOUT;
        let mut last = ask().await;
        while !matches!(last, Ok(Some(_))) && Instant::now() < deadline {
            sleep(LOOK_AGAIN).await;
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

    /// The same with one element, which the script calls `element`.
    pub async fn run_on<T: DeserializeOwned>(&self, element: &WebElement, script: &str) -> Result<T> {
        let script = format!("const element = arguments[0];{script}");
        Ok(self
            .driver
            .execute(script, vec![element.to_json()?])
            .await?
            .convert()?)
    }

    /// Waits until a script returns true.
    pub async fn holds(&self, what: &str, script: &str) -> Result<()> {
        self.wait_for(what, async || Ok(self.run::<bool>(script).await?.then_some(())))
            .await
    }

    /// Runs a script before anything else in every page that is opened from now on.
    pub async fn before_every_page(&self, script: &str) -> Result<()> {
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

    /// How far the page is scrolled, in CSS pixels.
    pub async fn scrolled(&self) -> Result<f64> {
        self.run("return scrollY").await
    }

    /// Waits until the page is scrolled as far as that, give or take a pixel.
    pub async fn is_scrolled_to(&self, position: f64) -> Result<()> {
        let script = format!("return Math.abs(scrollY - {position}) <= 1");
        self.holds(&format!("the page to be scrolled to {position}"), &script)
            .await
    }

    /// Waits until the page says this.
    pub async fn reads(&self, text: &str) -> Result<()> {
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
        self.wait_for(&format!("the words “{text}”"), body).await
    }

    /// Fails when the browser complained: a violation of the content security policy, an error of a script. Requests
    /// that the site refused or that the network lost are no complaints: journeys provoke some.
    pub async fn is_content(&self) -> Result<()> {
        let is_complaint = |entry: &BrowserLogEntry| {
            let is_lost = entry.message.contains("TypeError: Failed to fetch");
            entry.level == "SEVERE" && entry.source.as_deref() != Some("network") && !is_lost
        };
        let complaints: Vec<_> = self
            .driver
            .browser_log()
            .await?
            .into_iter()
            .filter(is_complaint)
            .collect();
        ensure!(complaints.is_empty(), "the browser complained: {complaints:#?}");
        Ok(())
    }
}
