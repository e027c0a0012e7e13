//! The German translation, and text from right to left.

use anyhow::{Result, ensure};
use e2e::axe;
use e2e::browser::{BrowserSettings, Role};
use e2e::camera;

use crate::site::Site;

/// The page has the language of the browser. The language switch keeps typed text.
pub(super) async fn in_german(site: &Site) -> Result<()> {
    let settings = BrowserSettings {
        language: "de",
        ..BrowserSettings::default()
    };
    let browser = site.visitor_with_settings(settings).await?;
    browser.visit("/").await?;
    browser.find(Role::Heading, "Neu").await?;
    browser
        .wait_until(
            "a page in German",
            "return document.documentElement.lang === 'de' && document.title === 'Neu · Proofsheet'",
        )
        .await?;
    let tile = browser.find(Role::Article, "Frame 12").await?;
    let violations = axe::violations(&browser, "German").await?;
    ensure!(violations.is_empty(), "{}", violations.join("\n"));
    browser.click_in(&tile, Role::Button, "Dafür stimmen").await?;
    browser.find(Role::Dialog, "Anmelden").await?;
    browser.take_screenshots("german").await?;

    browser.resize(360, 740).await?;
    for path in ["/hot", "/register", "/upload", "/about/ranking", "/settings"] {
        browser.visit(path).await?;
        browser.find(Role::Link, "Angesagt").await?;
        browser.check_width(&format!("{path} in German")).await?;
    }
    browser.reset_size().await?;

    browser.fill("E-Mail", "ada@example.org").await?;
    browser.click(Role::Button, "English").await?;
    browser.find(Role::Heading, "Settings").await?;
    browser
        .wait_until(
            "typed text and a page in English",
            "return document.querySelector('#login-email').value === 'ada@example.org'
                && document.documentElement.lang === 'en' && document.title === 'Settings · Proofsheet'",
        )
        .await?;
    browser.reload().await?;
    browser.find(Role::Heading, "Settings").await?;
    browser.close_without_errors().await
}

/// The direction of one text does not affect others: on the page, in forms and in the title of the window.
pub(super) async fn text_directions_are_isolated(site: &Site) -> Result<()> {
    let noura = site.register("noura").await?;
    noura.set_display_name("\u{202e}نورة").await?;
    let photo = noura
        .publish(camera::picture((300, 200), 70), "שקיעה \u{202e}dusk")
        .await?;
    let browser = noura.browser().await?;
    let is_right_to_left = |what: &str, selector: &str| {
        (
            format!("{what} from right to left"),
            format!(
                "const found = document.querySelector('{selector}');
                 return found !== null && getComputedStyle(found).direction === 'rtl'"
            ),
        )
    };
    let isolates_title = |text: &str| {
        (
            format!("the title of the window isolates {text:?}"),
            format!("return document.title === '\u{2068}{text}\u{2069} · Proofsheet'"),
        )
    };
    for (path, expected) in [
        ("/", vec![is_right_to_left("the name in the bar", ".bar-name")]),
        (
            "/settings",
            vec![
                is_right_to_left("the field of the name", "#display-name"),
                is_right_to_left("the name in the bar", ".bar-name"),
            ],
        ),
        (
            "/@noura",
            vec![
                is_right_to_left("the heading", "h1"),
                isolates_title("\u{202e}نورة"),
            ],
        ),
        (
            &format!("/p/{photo}"),
            vec![
                is_right_to_left("the title", "#photo-title"),
                isolates_title("שקיעה \u{202e}dusk"),
            ],
        ),
    ] {
        browser.visit(path).await?;
        for (what, script) in expected {
            browser.wait_until(&what, &script).await?;
        }
    }
    browser.take_screenshots("right-to-left").await?;
    browser.close_without_errors().await
}
