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
use serde::de::DeserializeOwned;
use serde_json::json;
use thirtyfour::common::command::FormatRequestData;
use thirtyfour::common::requestdata::RequestData;
use thirtyfour::prelude::*;
use thirtyfour::{BrowserLogEntry, ChromiumLikeCapabilities, LoggingPrefsLogLevel, SessionId};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

pub use thirtyfour::Key;

/// Longer than anything takes on a machine that compiles at the same time.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// The widths that screenshots are taken at.
const WIDTHS: [(u32, u32); 2] = [(1280, 900), (360, 740)];
pub const THEMES: [&str; 2] = ["light", "dark"];

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
    // A tab that lies behind another goes on as the one in front does.
    "--disable-renderer-backgrounding",
    "--window-size=1280,900",
];

/// One person's browser: its own cookies, its own storage.
#[derive(Debug)]
pub struct Browser {
    driver: WebDriver,
    chromedriver: Child,
    site: String,
    screenshots: PathBuf,
    runs_the_app: bool,
}

/// Chromium's number for what a site is not allowed.
const BLOCKED: u8 = 2;

/// What somebody switched off in their browser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Without {
    Cookies,
    Scripts,
    WebAssembly,
}

/// How somebody set up their browser.
#[derive(Clone, Copy, Debug)]
pub struct Habits<'a> {
    /// What `navigator.languages` begins with.
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

/// The roles that the journeys look for, and where in a page an element of that role can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Article,
    Button,
    Checkbox,
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
            Self::Checkbox => "input[type=checkbox]",
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
        Self::open_with(site, Habits::default()).await
    }

    pub async fn open_with(site: &str, habits: Habits<'_>) -> Result<Self> {
        let (chromedriver, address) = start_chromedriver().await?;
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
        let driver = WebDriver::new(address, capabilities)
            .await
            .context("chromedriver opened no browser")?;
        let screenshots = screenshots();
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
    pub async fn wait_for<T, F>(&self, what: &str, ask: impl Fn() -> F) -> Result<T>
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
        // Two tests may fail at the same time.
        let picture = self
            .screenshots
            .join(format!("failed-{}.png", self.driver.session_id()));
        self.driver.screenshot(&picture).await?;
        let page = self.driver.find(By::Tag("body")).await?.text().await?;
        let seconds = PATIENCE.as_secs();
        bail!(
            "waited {seconds} s for {what}{error}; {} (see {}) said:\n{page}",
            self.path().await?,
            picture.display()
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

    /// Whether an element of that role and name is shown now.
    pub async fn shows(&self, role: Role, name: &str) -> Result<bool> {
        Ok(self.shown(None, role, name).await?.is_some())
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

    /// What the bars could cover is brought to the middle first. What lies on a bar is in view always, and to ask for it
    /// would move the page.
    async fn click_on(&self, element: &WebElement) -> Result<()> {
        let to_the_middle = "const { top, bottom } = element.getBoundingClientRect();
            const isCovered = top < 72 || bottom > innerHeight - 72;
            if (isCovered && !element.closest('header.bar')) element.scrollIntoView({ block: 'center' });";
        self.run_on::<()>(element, to_the_middle).await?;
        Ok(element.click().await?)
    }

    /// Presses keys, one after the other; what has the focus gets them.
    pub async fn press(&self, keys: impl Into<TypingData>) -> Result<()> {
        Ok(self.driver.action_chain().send_keys(keys).perform().await?)
    }

    /// Presses a key while the control key is held.
    pub async fn press_with_control(&self, key: Key) -> Result<()> {
        let chain = self.driver.action_chain().key_down(Key::Control).send_keys(key);
        Ok(chain.key_up(Key::Control).perform().await?)
    }

    /// Puts text in where the focus is, all at once, as pasting does.
    pub async fn paste(&self, text: &str) -> Result<()> {
        self.devtools("Input.insertText", json!({ "text": text })).await
    }

    /// Waits until the element of that role and name has the focus.
    pub async fn has_focus(&self, role: Role, name: &str) -> Result<WebElement> {
        self.wait_for(&format!("the focus on {role} “{name}”"), async || {
            let focused = self.driver.active_element().await?;
            let script = format!("return element.matches({:?})", role.selector());
            let is_it: bool = self.run_on(&focused, &script).await?;
            Ok((is_it && self.is_named(&focused, role, name).await?).then_some(focused))
        })
        .await
    }

    /// Runs a script in the page, and answers what it returns.
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

    /// Types into the field with that label, in place of what it holds.
    pub async fn fill(&self, label: &str, text: &str) -> Result<()> {
        let field = self.find(Role::Textbox, label).await?;
        field.clear().await?;
        Ok(field.send_keys(text).await?)
    }

    /// Chooses files, as the dialog of the system would.
    pub async fn choose(&self, label: &str, files: &[PathBuf]) -> Result<()> {
        let input = self.find(Role::FileInput, label).await?;
        let names: Option<Vec<_>> = files.iter().map(|file| file.to_str()).collect();
        let names = names.context("a test file has a plain name")?.join("\n");
        Ok(input.send_keys(names).await?)
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
