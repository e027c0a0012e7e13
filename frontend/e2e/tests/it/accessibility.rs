//! Whether everybody can use it: every route and every state, by axe-core in both themes, and what axe-core cannot see:
//! that the page fits a narrow window and a magnified one, that targets are large enough, and that nothing moves for
//! those who asked for that. All findings are reported together.

use anyhow::{Result, ensure};
use e2e::axe;
use e2e::browser::{Browser, Key, Role, THEMES};
use e2e::camera;
use harness::system::{Options, System};

use crate::site::{Member, Site};

/// A window of 320 pixels is one of 1280 at 400 %; 640 by 450 is one of 1280 by 900 at 200 %.
const SMALL_WINDOWS: [(u32, u32); 2] = [(320, 640), (640, 450)];
/// A phone whose text size is doubled.
const PHONE: (u32, u32) = (360, 740);

/// Targets that are too small. Links within a sentence may be as high as their line; invisible elements have no size.
const SMALL_TARGETS: &str = "
    const isInSentence = element => {
        const parent = element.parentElement;
        return getComputedStyle(element).display === 'inline'
            && parent.textContent.trim().length > element.textContent.trim().length;
    };
    return [...document.querySelectorAll('a[href], button, summary, textarea, input:not([type=file])')]
        .filter(element => element.checkVisibility({ visibilityProperty: true }) && !element.closest('[inert], [tabindex=\"-1\"]'))
        .filter(element => element.getBoundingClientRect().width > 1 && !isInSentence(element))
        .filter(element => !element.matches('input[type=radio], input[type=checkbox]') || !element.closest('label'))
        .map(element => {
            const { width, height } = element.getBoundingClientRect();
            const least = element.matches('.vote') ? 44 : 24;
            const name = element.getAttribute('aria-label') ?? element.textContent.trim();
            return width < least || height < least ? `${element.tagName} “${name}” is ${width} × ${height}` : null;
        })
        .filter(Boolean);";

/// Animations that run despite `prefers-reduced-motion`.
const MOVING: &str = "
    const lasts = time => time.split(', ').some(part => parseFloat(part) > 0);
    return [...document.querySelectorAll('*')]
        .filter(element => {
            const { transitionDuration, animationDuration } = getComputedStyle(element);
            return lasts(transitionDuration) || lasts(animationDuration);
        })
        .map(element => element.tagName + '.' + element.className);";

/// The findings so far.
#[derive(Default)]
struct Findings(Vec<String>);

impl Findings {
    async fn look(&mut self, browser: &Browser, what: &str) -> Result<()> {
        for theme in THEMES {
            browser.prefers(theme).await?;
            self.0
                .extend(axe::complaints(browser, &format!("{what}, {theme}")).await?);
        }
        let mut note = |which: &str, found: Vec<String>| {
            self.0
                .extend(found.into_iter().map(|found| format!("{what}: {which}: {found}")));
        };
        note("moves", browser.run(MOVING).await?);
        note("small target", browser.run(SMALL_TARGETS).await?);
        for (width, height) in SMALL_WINDOWS {
            browser.resize(width, height).await?;
            browser.fits(&format!("{what} at {width} pixels")).await?;
        }
        note("small target", browser.run(SMALL_TARGETS).await?);
        browser.resize(PHONE.0, PHONE.1).await?;
        browser
            .run::<()>("document.documentElement.style.fontSize = '200%'")
            .await?;
        browser.fits(&format!("{what} in large letters")).await?;
        browser
            .run::<()>("document.documentElement.style.fontSize = ''")
            .await?;
        browser.resize_back().await
    }

    /// Opens a page, waits for its heading, and looks at it.
    async fn visit(&mut self, browser: &Browser, path: &str, heading: &str) -> Result<()> {
        browser.visit(path).await?;
        browser.find(Role::Heading, heading).await?;
        self.look(browser, path).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_accessible_in_every_state() -> Result<()> {
    let system = System::start(Options::default()).await?;
    let site = Site::new(system.base_url())?;
    let ada = site.join("ada").await?;
    let mut findings = Findings::default();

    let guest = site.visitor().await?;
    nothing_yet(&guest, &mut findings).await?;
    let photos = ada.publish_frames(5).await?;
    ada.say(&photos[4], "A remark with https://example.org in it.")
        .await?;
    signed_out(&guest, &mut findings, &photos[4]).await?;
    playground(&guest, &mut findings).await?;
    guest.closes_content().await?;
    signed_in(&ada, &mut findings, &photos[4]).await?;
    system.stop().await;

    let Findings(mut found) = findings;
    found.sort();
    found.dedup();
    ensure!(
        found.is_empty(),
        "{} findings:\n{}",
        found.len(),
        found.join("\n")
    );
    Ok(())
}

async fn nothing_yet(guest: &Browser, findings: &mut Findings) -> Result<()> {
    guest.visit("/").await?;
    guest.reads("No photos yet.").await?;
    findings.look(guest, "Latest without photos").await?;
    guest.visit("/hot").await?;
    guest.reads("No photos yet today").await?;
    findings.look(guest, "Hot without photos").await?;
    guest.visit("/hot/2020-02-29").await?;
    guest.reads("No photos were published on that day.").await?;
    findings.look(guest, "a day without photos").await?;
    guest.visit("/@ada").await?;
    guest.reads("No photos yet.").await?;
    findings.look(guest, "a person without photos").await
}

async fn signed_out(guest: &Browser, findings: &mut Findings, photo: &str) -> Result<()> {
    for (path, heading) in [
        ("/", "Frame 5"),
        ("/hot", "Rank 1 Frame 5"),
        ("/trending", "Rank 1 Frame 5"),
        ("/@ada", "Frame 5"),
        ("/@nobody-here", "No user has this name"),
        ("/login", "Sign in"),
        ("/register", "Create an account"),
        ("/upload", "Upload photos"),
        ("/settings", "Settings"),
        ("/about/ranking", "How ranking works"),
        ("/nowhere", "There is nothing here"),
        (
            "/p/0190a0b0-0000-7000-8000-000000000000",
            "This photo does not exist",
        ),
    ] {
        findings.visit(guest, path, heading).await?;
    }
    guest.visit(&format!("/p/{photo}")).await?;
    guest.find(Role::ListItem, "A remark with").await?;
    findings.look(guest, "a photo").await?;

    guest.visit("/").await?;
    guest.click(Role::Link, "Frame 5").await?;
    guest.find(Role::ListItem, "A remark with").await?;
    findings.look(guest, "a photo over a timeline").await?;
    guest.click(Role::Button, "Upvote").await?;
    guest.find(Role::Dialog, "Sign in").await?;
    findings.look(guest, "the sign-in sheet").await?;
    guest.click(Role::Button, "Create an account").await?;
    guest.click(Role::Button, "Create account").await?;
    guest.reads("Please fill this in.").await?;
    guest.has_focus(Role::Textbox, "E-mail").await?;
    findings.look(guest, "the sheet with a refused account").await?;
    guest.visit("/").await?;
    guest.find(Role::Article, "Frame 5").await?;
    guest.press("?").await?;
    guest.find(Role::Dialog, "Keyboard shortcuts").await?;
    findings.look(guest, "the list of shortcuts").await?;
    guest.press(Key::Escape).await?;
    guest.is_offline(true).await?;
    guest.reads("You are offline.").await?;
    guest.click(Role::Link, "Trending").await?;
    guest.find(Role::Button, "Retry").await?;
    findings.look(guest, "offline").await?;
    guest.is_offline(false).await
}

/// Its editor is not ours, but its page is: it can be used, on a phone too, and every tab can be run as it is.
async fn playground(guest: &Browser, findings: &mut Findings) -> Result<()> {
    guest.visit("/playground").await?;
    guest.find(Role::Heading, "API playground").await?;
    guest.find(Role::Link, "← Proofsheet").await?;
    guest.click(Role::Button, "PhotoPage").await?;
    guest.click(Role::Button, "Execute query (Ctrl-Enter)").await?;
    guest.reads("Frame 5").await?;
    for theme in THEMES {
        guest.prefers(theme).await?;
        findings
            .0
            .extend(axe::complaints(guest, &format!("the playground, {theme}")).await?);
    }
    guest.resize(PHONE.0, PHONE.1).await?;
    guest.fits("the playground on a phone").await?;
    guest.resize_back().await
}

async fn signed_in(ada: &Member<'_>, findings: &mut Findings, photo: &str) -> Result<()> {
    let browser = ada.browser().await?;
    findings.visit(&browser, "/settings", "Settings").await?;
    findings.visit(&browser, "/welcome", "Choose a username").await?;

    let folder = tempfile::tempdir()?;
    let files = ["sound", "broken"].map(|name| folder.path().join(format!("{name}.jpg")));
    std::fs::write(&files[0], camera::picture((320, 240), 99))?;
    std::fs::write(&files[1], "no picture")?;
    findings.visit(&browser, "/upload", "Upload photos").await?;
    browser.choose("Choose photos", &files).await?;
    browser.reads("No location inside").await?;
    browser
        .holds(
            "a refused file",
            "return document.querySelectorAll('.queue .form-error').length === 1",
        )
        .await?;
    findings.look(&browser, "uploads").await?;
    // With work in flight the browser asks before it leaves.
    for _ in &files {
        browser.click(Role::Button, "Remove").await?;
    }

    browser.visit(&format!("/p/{photo}")).await?;
    let said = browser.find(Role::ListItem, "A remark with").await?;
    browser.click_in(&said, Role::Button, "Reply").await?;
    browser.click(Role::Button, "Edit").await?;
    findings.look(&browser, "one’s own photo being described").await?;
    browser.click(Role::Button, "Delete").await?;
    browser.find(Role::Dialog, "Delete this photo?").await?;
    findings.look(&browser, "the question before a deletion").await?;
    browser.closes_content().await
}
