//! Accessibility of every route and state: axe-core in both themes, narrow and magnified windows, sizes of targets, and
//! reduced motion. All findings are reported together.

use anyhow::{Result, ensure};
use e2e::axe;
use e2e::browser::{Browser, Key, Role, THEMES};
use e2e::camera;
use harness::system::{Options, System};

use crate::site::{Member, Site};

/// 1280 pixels at 400 % zoom, and 1280 by 900 pixels at 200 %.
const SMALL_WINDOWS: [(u32, u32); 2] = [(320, 640), (640, 450)];
/// The window of a phone, in pixels.
const PHONE: (u32, u32) = (360, 740);

/// A script that returns the targets that are too small. Links in a sentence and invisible elements are ignored.
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

/// A script that returns the elements with animations despite `prefers-reduced-motion`.
const MOVING: &str = "
    const lasts = time => time.split(', ').some(part => parseFloat(part) > 0);
    return [...document.querySelectorAll('*')]
        .filter(element => {
            const { transitionDuration, animationDuration } = getComputedStyle(element);
            return lasts(transitionDuration) || lasts(animationDuration);
        })
        .map(element => element.tagName + '.' + element.className);";

/// The collected findings.
#[derive(Default)]
struct Findings(Vec<String>);

impl Findings {
    async fn check_page(&mut self, browser: &Browser, what: &str) -> Result<()> {
        for theme in THEMES {
            browser.set_theme(theme).await?;
            self.0
                .extend(axe::violations(browser, &format!("{what}, {theme}")).await?);
        }
        let mut note = |which: &str, found: Vec<String>| {
            self.0
                .extend(found.into_iter().map(|found| format!("{what}: {which}: {found}")));
        };
        note("moves", browser.run(MOVING).await?);
        note("small target", browser.run(SMALL_TARGETS).await?);
        for (width, height) in SMALL_WINDOWS {
            browser.resize(width, height).await?;
            browser.check_width(&format!("{what} at {width} pixels")).await?;
        }
        note("small target", browser.run(SMALL_TARGETS).await?);
        browser.resize(PHONE.0, PHONE.1).await?;
        browser
            .run::<()>("document.documentElement.style.fontSize = '200%'")
            .await?;
        browser.check_width(&format!("{what} in large letters")).await?;
        browser
            .run::<()>("document.documentElement.style.fontSize = ''")
            .await?;
        browser.reset_size().await
    }

    /// Opens a page, waits for its heading, and checks the page.
    async fn visit(&mut self, browser: &Browser, path: &str, heading: &str) -> Result<()> {
        browser.visit(path).await?;
        browser.find(Role::Heading, heading).await?;
        self.check_page(browser, path).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_accessible_in_every_state() -> Result<()> {
    let system = System::start(Options::default()).await?;
    let site = Site::new(system.base_url())?;
    let ada = site.register("ada").await?;
    let mut findings = Findings::default();

    let guest = site.visitor().await?;
    check_empty_pages(&guest, &mut findings).await?;
    let photos = ada.publish_frames(5).await?;
    ada.comment(&photos[4], "A remark with https://example.org in it.")
        .await?;
    check_signed_out(&guest, &mut findings, &photos[4]).await?;
    check_playground(&guest, &mut findings).await?;
    guest.close_without_errors().await?;
    check_signed_in(&ada, &mut findings, &photos[4]).await?;
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

async fn check_empty_pages(guest: &Browser, findings: &mut Findings) -> Result<()> {
    guest.visit("/").await?;
    guest.wait_for_text("No photos yet.").await?;
    findings.check_page(guest, "Latest without photos").await?;
    guest.visit("/hot").await?;
    guest.wait_for_text("No photos yet today").await?;
    findings.check_page(guest, "Hot without photos").await?;
    guest.visit("/hot/2020-02-29").await?;
    guest
        .wait_for_text("No photos were published on that day.")
        .await?;
    findings.check_page(guest, "a day without photos").await?;
    guest.visit("/@ada").await?;
    guest.wait_for_text("No photos yet.").await?;
    findings.check_page(guest, "a user without photos").await
}

async fn check_signed_out(guest: &Browser, findings: &mut Findings, photo: &str) -> Result<()> {
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
    findings.check_page(guest, "a photo").await?;

    guest.visit("/").await?;
    guest.click(Role::Link, "Frame 5").await?;
    guest.find(Role::ListItem, "A remark with").await?;
    findings.check_page(guest, "a photo over a timeline").await?;
    guest.click(Role::Button, "Upvote").await?;
    guest.find(Role::Dialog, "Sign in").await?;
    findings.check_page(guest, "the sign-in sheet").await?;
    guest.click(Role::Button, "Create an account").await?;
    guest.click(Role::Button, "Create account").await?;
    guest.wait_for_text("Please fill this in.").await?;
    guest.wait_for_focus(Role::Textbox, "E-mail").await?;
    findings
        .check_page(guest, "the registration form with errors")
        .await?;
    guest.visit("/").await?;
    guest.find(Role::Article, "Frame 5").await?;
    guest.press("?").await?;
    guest.find(Role::Dialog, "Keyboard shortcuts").await?;
    findings.check_page(guest, "the list of shortcuts").await?;
    guest.press(Key::Escape).await?;
    guest.set_offline(true).await?;
    guest.wait_for_text("You are offline.").await?;
    guest.click(Role::Link, "Trending").await?;
    guest.find(Role::Button, "Retry").await?;
    findings.check_page(guest, "offline").await?;
    guest.set_offline(false).await
}

/// The editor is a library; the page around it is checked, also on a phone.
async fn check_playground(guest: &Browser, findings: &mut Findings) -> Result<()> {
    guest.visit("/playground").await?;
    guest.find(Role::Heading, "API playground").await?;
    guest.find(Role::Link, "← Proofsheet").await?;
    guest.click(Role::Button, "PhotoPage").await?;
    guest.click(Role::Button, "Execute query (Ctrl-Enter)").await?;
    guest.wait_for_text("Frame 5").await?;
    for theme in THEMES {
        guest.set_theme(theme).await?;
        findings
            .0
            .extend(axe::violations(guest, &format!("the playground, {theme}")).await?);
    }
    guest.resize(PHONE.0, PHONE.1).await?;
    guest.check_width("the playground on a phone").await?;
    guest.reset_size().await
}

async fn check_signed_in(ada: &Member<'_>, findings: &mut Findings, photo: &str) -> Result<()> {
    let browser = ada.browser().await?;
    findings.visit(&browser, "/settings", "Settings").await?;
    findings.visit(&browser, "/welcome", "Choose a username").await?;

    let folder = tempfile::tempdir()?;
    let files = ["sound", "broken"].map(|name| folder.path().join(format!("{name}.jpg")));
    std::fs::write(&files[0], camera::picture((320, 240), 99))?;
    std::fs::write(&files[1], "no picture")?;
    findings.visit(&browser, "/upload", "Upload photos").await?;
    browser.choose_files("Choose photos", &files).await?;
    browser.wait_for_text("No location inside").await?;
    browser
        .wait_until(
            "a refused file",
            "return document.querySelectorAll('.queue .form-error').length === 1",
        )
        .await?;
    findings.check_page(&browser, "uploads").await?;
    // The browser asks before it leaves a page with uploads.
    for _ in &files {
        browser.click(Role::Button, "Remove").await?;
    }

    browser.visit(&format!("/p/{photo}")).await?;
    let said = browser.find(Role::ListItem, "A remark with").await?;
    browser.click_in(&said, Role::Button, "Reply").await?;
    browser.click(Role::Button, "Edit").await?;
    findings.check_page(&browser, "editing a photo").await?;
    browser.click(Role::Button, "Delete").await?;
    browser.find(Role::Dialog, "Delete this photo?").await?;
    findings
        .check_page(&browser, "the confirmation of a deletion")
        .await?;
    browser.close_without_errors().await
}
