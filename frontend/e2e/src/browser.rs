//! Debian's Chromium, driven by its own chromedriver.
//!
//! Elements are found by role and accessible name, as the browser computes them: what a journey can press, a screen
//! reader can name. Every look-up waits until it is answered, and gives up after `PATIENCE`.

use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use thirtyfour::common::command::FormatRequestData;
use thirtyfour::common::requestdata::RequestData;
use thirtyfour::prelude::*;
use thirtyfour::{BrowserLogEntry, ChromiumLikeCapabilities, LoggingPrefsLogLevel, SessionId};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

/// Longer than anything takes on a machine that compiles at the same time.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// The widths that screenshots are taken at.
const WIDTHS: [(u32, u32); 2] = [(1280, 900), (360, 740)];

/// One person's browser: its own cookies, its own storage.
#[derive(Debug)]
pub struct Browser {
    driver: WebDriver,
    chromedriver: Child,
    site: String,
    screenshots: PathBuf,
}

/// The roles that the journeys look for, and where in a page an element of that role can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Article,
    Button,
    Dialog,
    FileInput,
    Heading,
    Image,
    Link,
    ListItem,
    Textbox,
}

impl Role {
    fn selector(self) -> &'static str {
        match self {
            Self::Article => "article",
            Self::Button => "button",
            Self::Dialog => "dialog[open]",
            Self::FileInput => "input[type=file]",
            Self::Heading => "h1, h2, h3",
            Self::Image => "img",
            Self::Link => "a[href]",
            Self::ListItem => "li",
            Self::Textbox => "input:not([type=file], [type=radio], [type=checkbox]), textarea",
        }
    }

    /// List items have no name of their own: what they say is what they are known by.
    fn is_known_by_text(self) -> bool {
        self == Self::ListItem
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl Browser {
    /// Opens a browser for the site at that address. Screenshots go to a folder beside what cargo builds.
    pub async fn open(site: &str) -> Result<Self> {
        let (chromedriver, address) = start_chromedriver().await?;
        let mut capabilities = DesiredCapabilities::chrome();
        capabilities.set_browser_log_level(LoggingPrefsLogLevel::All)?;
        // Tests often run as root or in a container, where Chromium has no sandbox and little shared memory.
        for argument in [
            "--headless=new",
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--window-size=1280,900",
            "--lang=en",
        ] {
            capabilities.add_arg(argument)?;
        }
        let driver = WebDriver::new(address, capabilities)
            .await
            .context("chromedriver opened no browser")?;
        let screenshots = screenshots();
        std::fs::create_dir_all(&screenshots)?;
        Ok(Self {
            driver,
            chromedriver,
            site: site.to_owned(),
            screenshots,
        })
    }

    /// Closes it; a browser that is only dropped stays until the end of the test.
    pub async fn close(mut self) -> Result<()> {
        self.driver.quit().await?;
        self.chromedriver.kill().await?;
        Ok(())
    }

    /// Opens a page of the site.
    pub async fn visit(&self, path: &str) -> Result<()> {
        Ok(self.driver.goto(format!("{}{path}", self.site)).await?)
    }

    pub async fn reload(&self) -> Result<()> {
        Ok(self.driver.refresh().await?)
    }

    pub async fn back(&self) -> Result<()> {
        Ok(self.driver.back().await?)
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

    /// The element of that role and name, once it is shown.
    pub async fn find(&self, role: Role, name: &str) -> Result<WebElement> {
        self.look_for(None, role, name).await
    }

    /// The same, inside another element.
    pub async fn find_in(&self, place: &WebElement, role: Role, name: &str) -> Result<WebElement> {
        self.look_for(Some(place), role, name).await
    }

    async fn look_for(&self, place: Option<&WebElement>, role: Role, name: &str) -> Result<WebElement> {
        let what = format!("{role} “{name}”");
        self.wait_for(&what, async || self.shown(place, role, name).await)
            .await
    }

    /// Asks until there is an answer. A failure tells what the page said, and leaves a picture of it.
    async fn wait_for<T, F>(&self, what: &str, ask: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = Result<Option<T>>>,
    {
        let deadline = Instant::now() + PATIENCE;
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
        self.driver
            .screenshot(&self.screenshots.join("failed.png"))
            .await?;
        let page = self.driver.find(By::Tag("body")).await?.text().await?;
        let seconds = PATIENCE.as_secs();
        bail!(
            "waited {seconds} s for {what}{error}; {} said:\n{page}",
            self.path().await?
        )
    }

    /// Waits until no element of that role and name is shown.
    pub async fn is_gone(&self, role: Role, name: &str) -> Result<()> {
        let what = format!("{role} “{name}” to go");
        self.wait_for(&what, async || {
            Ok(self.shown(None, role, name).await?.is_none().then_some(()))
        })
        .await
    }

    async fn shown(&self, place: Option<&WebElement>, role: Role, name: &str) -> Result<Option<WebElement>> {
        let by = By::Css(role.selector());
        let candidates = match place {
            Some(place) => place.find_all(by).await,
            None => self.driver.find_all(by).await,
        };
        for element in candidates? {
            if self.is_named(&element, role, name).await.unwrap_or(false) {
                return Ok(Some(element));
            }
        }
        Ok(None)
    }

    /// An element that has gone meanwhile is an error here, and simply not the one there.
    async fn is_named(&self, element: &WebElement, role: Role, name: &str) -> Result<bool> {
        if role.is_known_by_text() {
            return Ok(element.text().await?.contains(name));
        }
        let label: String = self
            .driver
            .cmd(ComputedLabel(element.element_id().to_string()))
            .await?
            .value()?;
        Ok(label == name && (role == Role::FileInput || element.is_displayed().await?))
    }

    pub async fn click(&self, role: Role, name: &str) -> Result<()> {
        self.click_on(&self.find(role, name).await?).await
    }

    pub async fn click_in(&self, place: &WebElement, role: Role, name: &str) -> Result<()> {
        self.click_on(&self.find_in(place, role, name).await?).await
    }

    async fn click_on(&self, element: &WebElement) -> Result<()> {
        element.scroll_into_view().await?;
        Ok(element.click().await?)
    }

    /// Types into the field with that label, in place of what it holds.
    pub async fn fill(&self, label: &str, text: &str) -> Result<()> {
        let field = self.find(Role::Textbox, label).await?;
        field.clear().await?;
        Ok(field.send_keys(text).await?)
    }

    /// Chooses a file, as the dialog of the system would.
    pub async fn choose(&self, label: &str, file: &Path) -> Result<()> {
        let input = self.find(Role::FileInput, label).await?;
        Ok(input
            .send_keys(file.to_str().context("a test file has a plain name")?)
            .await?)
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

    /// Waits until the live region has said this to a screen reader.
    pub async fn announces(&self, text: &str) -> Result<()> {
        let said = async || {
            let mut said = false;
            for region in self.driver.find_all(By::Css("[aria-live=polite]")).await? {
                said |= region
                    .prop("textContent")
                    .await?
                    .is_some_and(|said| said.trim() == text);
            }
            Ok(said.then_some(()))
        };
        self.wait_for(&format!("the announcement “{text}”"), said).await
    }

    /// Waits until an attribute has that value.
    pub async fn has(&self, element: &WebElement, attribute: &str, value: &str) -> Result<()> {
        let what = format!("{attribute}={value}");
        self.wait_for(&what, async || {
            Ok((element.attr(attribute).await?.as_deref() == Some(value)).then_some(()))
        })
        .await
    }

    /// Waits until the site remembers a vote: what is shown right after a reload comes from there.
    pub async fn reload_until_pressed(&self, article: &str, button: &str) -> Result<()> {
        let remembers = async || {
            self.reload().await?;
            let article = self.find(Role::Article, article).await?;
            let button = self.find_in(&article, Role::Button, button).await?;
            Ok((button.attr("aria-pressed").await?.as_deref() == Some("true")).then_some(()))
        };
        self.wait_for(&format!("{button} to be remembered"), remembers)
            .await
    }

    /// Waits until the picture is decoded, and answers the address of the file that the browser chose.
    pub async fn picture_of(&self, image: &WebElement) -> Result<String> {
        let loaded = async || Ok((image.prop("complete").await?.as_deref() == Some("true")).then_some(()));
        self.wait_for("the picture", loaded).await?;
        let width = image.prop("naturalWidth").await?.unwrap_or_default();
        ensure!(width != "0", "the browser could not decode the picture");
        image
            .prop("currentSrc")
            .await?
            .context("a loaded picture has an address")
    }

    /// Takes what is shown in light and dark, wide and narrow: four files that begin with `name`. Each has to
    /// fit its window.
    pub async fn screenshots(&self, name: &str) -> Result<()> {
        let devtools = self.driver.cdp();
        for (width, height) in WIDTHS {
            let metrics =
                json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
            devtools
                .send_raw("Emulation.setDeviceMetricsOverride", metrics)
                .await?;
            for theme in ["light", "dark"] {
                // Without motion, so that no picture shows a colour half-way to another.
                let media = json!({ "features": [
                    { "name": "prefers-color-scheme", "value": theme },
                    { "name": "prefers-reduced-motion", "value": "reduce" },
                ] });
                devtools.send_raw("Emulation.setEmulatedMedia", media).await?;
                self.are_pictures_loaded().await?;
                self.driver
                    .screenshot(&self.screenshots.join(format!("{name}-{theme}-{width}.png")))
                    .await?;
                // The window takes its new width in its own time.
                let fits = async || Ok(self.fits().await?.then_some(()));
                self.wait_for(&format!("{name} to fit a window of {width} pixels"), fits)
                    .await?;
            }
        }
        devtools
            .send_raw("Emulation.clearDeviceMetricsOverride", json!({}))
            .await?;
        Ok(())
    }

    async fn are_pictures_loaded(&self) -> Result<()> {
        let script = "return [...document.images].every(image => image.complete || image.getBoundingClientRect().top > innerHeight)";
        let loaded = async || {
            Ok(self
                .driver
                .execute(script, vec![])
                .await?
                .convert::<bool>()?
                .then_some(()))
        };
        self.wait_for("all pictures", loaded).await
    }

    /// Whether the page is as wide as the window: nothing sticks out to the right.
    async fn fits(&self) -> Result<bool> {
        let script = "return document.documentElement.scrollWidth <= document.documentElement.clientWidth";
        Ok(self.driver.execute(script, vec![]).await?.convert()?)
    }

    /// Fails when the browser complained: a violation of the content security policy, an error of a script. Requests
    /// that the site refused are no complaints: journeys provoke some.
    pub async fn is_content(&self) -> Result<()> {
        let is_complaint =
            |entry: &BrowserLogEntry| entry.level == "SEVERE" && entry.source.as_deref() != Some("network");
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

/// The accessible name of an element: <https://www.w3.org/TR/webdriver2/#get-computed-label>.
#[derive(Debug)]
struct ComputedLabel(String);

impl FormatRequestData for ComputedLabel {
    fn format_request(&self, session: &SessionId) -> RequestData {
        let Self(element) = self;
        RequestData::new(
            http::Method::GET,
            format!("session/{session}/element/{element}/computedlabel"),
        )
    }
}

/// Starts a chromedriver on a port that it chooses, and reads which.
async fn start_chromedriver() -> Result<(Child, String)> {
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

/// `screenshots` in cargo's target folder.
fn screenshots() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    target
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"))
        .join("screenshots")
}
