//! Navigation with the keyboard alone, and shortcuts.

use anyhow::Result;
use e2e::browser::{Browser, Key, Role};

use crate::site::{Member, Site};

pub(super) async fn navigation_by_keyboard(bert: &Member<'_>) -> Result<()> {
    let browser = bert.browser().await?;
    browser.visit("/").await?;
    browser.find(Role::Article, "Frame 12").await?;
    browser.find(Role::Link, "Settings").await?;
    for stop in [
        "Skip to content",
        "Proofsheet",
        "Latest",
        "Hot",
        "Trending",
        "Upload",
    ] {
        browser.press(Key::Tab).await?;
        browser.wait_for_focus(Role::Link, stop).await?;
        has_visible_focus(&browser, stop).await?;
    }
    browser.visit("/").await?;
    browser.find(Role::Article, "Frame 12").await?;
    browser.press(Key::Tab).await?;
    browser.wait_for_focus(Role::Link, "Skip to content").await?;
    browser.press(Key::Enter).await?;
    browser.press(Key::Tab).await?;
    browser.wait_for_focus(Role::Article, "Frame 12").await?;
    has_visible_focus(&browser, "a tile").await?;

    browser.press("j").await?;
    browser.wait_for_focus(Role::Article, "Frame 11").await?;
    browser.press("j").await?;
    browser.wait_for_focus(Role::Article, "Frame 10").await?;
    browser.press("k").await?;
    let tile = browser.wait_for_focus(Role::Article, "Frame 11").await?;
    browser.press("u").await?;
    browser.wait_for_announcement("Upvoted. Score 1.").await?;
    browser.press("d").await?;
    browser.wait_for_announcement("Downvoted. Score −1.").await?;
    browser.press("d").await?;
    browser.wait_for_announcement("Vote removed. Score 0.").await?;
    let down = browser.find_in(&tile, Role::Button, "Downvote").await?;
    browser.wait_for_attribute(&down, "aria-pressed", "false").await?;

    browser.press(Key::Enter).await?;
    browser.find(Role::Dialog, "Photo").await?;
    browser.wait_for_focus(Role::Heading, "Frame 11").await?;
    browser.press(Key::Escape).await?;
    browser.wait_for_focus(Role::Article, "Frame 11").await?;
    browser.press("c").await?;
    browser.find(Role::Dialog, "Photo").await?;
    browser.wait_for_focus(Role::Textbox, "Your comment").await?;
    // In a text field, letters are no shortcuts.
    browser.press("just a draft").await?;
    browser.press(Key::Escape).await?;
    browser.wait_until_gone(Role::Dialog, "Photo").await?;
    browser.wait_for_focus(Role::Article, "Frame 11").await?;

    for (keys, path, heading) in [
        ("gh", "/hot", "Hot"),
        ("gt", "/trending", "Trending"),
        ("gl", "/", "Latest"),
    ] {
        browser.press(keys).await?;
        browser.wait_for_path(path).await?;
        browser.wait_for_focus(Role::Heading, heading).await?;
    }
    browser.press("?").await?;
    browser.find(Role::Dialog, "Keyboard shortcuts").await?;
    browser.take_screenshots("shortcuts").await?;
    browser.press(Key::Escape).await?;
    browser
        .wait_until_gone(Role::Dialog, "Keyboard shortcuts")
        .await?;
    browser.wait_for_focus(Role::Heading, "Latest").await?;
    browser.close_without_errors().await
}

async fn has_visible_focus(browser: &Browser, what: &str) -> Result<()> {
    let outlined = "const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);
        const { top, bottom } = document.activeElement.getBoundingClientRect();
        return outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2 && bottom > 0 && top < innerHeight";
    browser
        .wait_until(&format!("a visible focus on {what}"), outlined)
        .await
}

pub(super) async fn shortcuts_can_be_turned_off(site: &Site) -> Result<()> {
    let browser = site.visitor().await?;
    browser.visit("/settings").await?;
    browser
        .click(Role::Checkbox, "Keyboard shortcuts (press ? for the list)")
        .await?;
    browser.visit("/").await?;
    browser.find(Role::Article, "Frame 12").await?;
    browser.press("j").await?;
    // If the shortcut had moved the focus, this would not be the first stop.
    browser.press(Key::Tab).await?;
    browser.wait_for_focus(Role::Link, "Skip to content").await?;
    browser.close_without_errors().await
}
