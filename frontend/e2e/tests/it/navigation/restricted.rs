//! Browsers without images, cookies or scripts, or with a wrong clock.

use anyhow::{Result, ensure};
use e2e::browser::{BrowserSettings, Disabled, Role};

use crate::site::{Member, Site};

/// A tile without its image keeps its size, and has the text alternative.
pub(super) async fn without_pictures(site: &Site) -> Result<()> {
    let browser = site.visitor().await?;
    browser.block_requests(&["*/media/*"]).await?;
    browser.visit("/").await?;
    let image = browser.find(Role::Image, "Frame 12").await?;
    browser
        .wait_for("the picture to fail", async || {
            let is_broken = "return element.complete && element.naturalWidth === 0";
            Ok(browser.run_on::<bool>(&image, is_broken).await?.then_some(()))
        })
        .await?;
    let height: f64 = browser
        .run_on(&image, "return element.getBoundingClientRect().height")
        .await?;
    ensure!(height > 100.0, "the tile has only {height} pixels");
    browser.take_screenshots("without-pictures").await?;
    // Images are loaded again when the network is back.
    browser.block_requests(&[]).await?;
    browser
        .run::<()>("window.dispatchEvent(new Event('online'))")
        .await?;
    browser
        .wait_for("the picture", async || {
            let is_loaded = "return element.complete && element.naturalWidth > 0";
            Ok(browser.run_on::<bool>(&image, is_loaded).await?.then_some(()))
        })
        .await?;
    browser.close_without_errors().await
}

pub(super) async fn with_a_wrong_clock(site: &Site, bert: &Member<'_>) -> Result<()> {
    let browser = site.visitor().await?;
    browser
        .run_before_every_page("const now = Date.now; Date.now = () => now() + 3 * 365 * 24 * 3600 * 1000;")
        .await?;
    browser.visit("/").await?;
    let tile = browser.find(Role::Article, "Frame 8").await?;
    browser.click_in(&tile, Role::Button, "Upvote").await?;
    browser.find(Role::Dialog, "Sign in").await?;
    bert.submit_sign_in(&browser).await?;
    browser.wait_for_announcement("Upvoted. Score 1.").await?;
    browser.reload_until_pressed("Frame 8", "Upvote").await?;
    browser.close_without_errors().await
}

/// Without cookies the site can be read, and signing in explains why it does not work.
pub(super) async fn without_cookies(site: &Site, bert: &Member<'_>) -> Result<()> {
    let settings = BrowserSettings {
        disabled: Some(Disabled::Cookies),
        ..BrowserSettings::default()
    };
    let browser = site.visitor_with_settings(settings).await?;
    browser.visit("/").await?;
    let tile = browser.find(Role::Article, "Frame 12").await?;
    browser.click_in(&tile, Role::Button, "Upvote").await?;
    browser.find(Role::Dialog, "Sign in").await?;
    browser
        .wait_for_text("This browser blocks cookies for this site")
        .await?;
    browser.take_screenshots("without-cookies").await?;
    bert.submit_sign_in(&browser).await?;
    browser.wait_for_text("Please sign in again.").await?;
    browser.close_without_errors().await
}

/// The router's HTML is readable and its links work without the app.
pub(super) async fn without_the_app(site: &Site) -> Result<()> {
    for disabled in [Disabled::Scripts, Disabled::WebAssembly] {
        let settings = BrowserSettings {
            disabled: Some(disabled),
            ..BrowserSettings::default()
        };
        let browser = site.visitor_with_settings(settings).await?;
        browser.visit("/").await?;
        browser.find(Role::Image, "Frame 12").await?;
        browser
            .take_screenshots(&format!("without-{disabled:?}").to_lowercase())
            .await?;
        browser.click(Role::Link, "Frame 12").await?;
        browser.find(Role::Heading, "Frame 12").await?;
        browser.click(Role::Link, "Trending").await?;
        browser.find(Role::Heading, "Trending").await?;
        browser.visit("/@nobody-here").await?;
        browser.find(Role::Link, "See the latest photos").await?;
        browser.close().await?;
    }
    Ok(())
}
