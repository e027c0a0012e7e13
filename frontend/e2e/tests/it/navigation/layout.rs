//! Narrow screens and unusual aspect ratios.

use anyhow::{Result, ensure};
use e2e::browser::{BrowserSettings, Role};
use e2e::camera;

use crate::site::{Member, Site};

/// At every width, no label of the bar overlaps another or is cut.
pub(super) async fn labels_of_the_bar_do_not_overlap(site: &Site, bert: &Member<'_>) -> Result<()> {
    let overlap = "const parts = [...document.querySelectorAll('header.bar > .wordmark, header.bar a')]
            .filter(part => part.getBoundingClientRect().width > 0 && part.getBoundingClientRect().top < 60)
            .map(part => part.getBoundingClientRect()).sort((a, b) => a.left - b.left);
        return parts.every((part, at) => at === 0 || part.left >= parts[at - 1].right - 1)
            && parts.every(part => part.right <= innerWidth + 1)";
    for language in ["en", "de"] {
        let settings = BrowserSettings {
            language,
            ..BrowserSettings::default()
        };
        let guest = site.visitor_with_settings(settings).await?;
        guest.visit("/").await?;
        for width in [320, 390, 600, 640, 700, 740, 768, 900, 1024, 1280] {
            guest.resize(width, 600).await?;
            guest
                .wait_until(&format!("labels side by side at {width} in {language}"), overlap)
                .await?;
        }
        guest.close_without_errors().await?;
    }
    let browser = bert.browser().await?;
    for width in [320, 390, 600, 640, 700, 740, 768, 900, 1024, 1280] {
        browser.resize(width, 600).await?;
        browser
            .wait_until(&format!("labels side by side at {width}, signed in"), overlap)
            .await?;
    }
    browser.close_without_errors().await
}

/// On a phone the navigation bar is at the bottom, and an opened photo fills the screen.
pub(super) async fn on_a_narrow_screen(site: &Site, bert: &Member<'_>) -> Result<()> {
    let browser = site.visitor().await?;
    browser.resize(360, 740).await?;
    browser.visit("/").await?;
    browser.find(Role::Article, "Frame 12").await?;
    let hot = browser.find(Role::Link, "Hot").await?;
    let (top, width): (f64, f64) = browser
        .run_on(
            &hot,
            "const { top, width } = element.getBoundingClientRect(); return [top, width]",
        )
        .await?;
    ensure!(top > 660.0 && width > 100.0, "Hot is at {top} and {width} wide");
    hot.click().await?;
    browser.wait_for_path("/hot").await?;
    browser
        .wait_for_attribute(&browser.find(Role::Link, "Hot").await?, "aria-current", "page")
        .await?;
    browser.click(Role::Link, "Latest").await?;
    let tile = browser.find(Role::Article, "Frame 10").await?;
    browser.click_in(&tile, Role::Link, "Frame 10").await?;
    let sheet = browser.find(Role::Dialog, "Photo").await?;
    let fills_window = "const { width, height } = element.getBoundingClientRect();
        return width === innerWidth && height === innerHeight";
    ensure!(
        browser.run_on::<bool>(&sheet, fills_window).await?,
        "the photo does not fill the screen"
    );
    browser.find_in(&sheet, Role::Button, "Send").await?;
    browser.check_width("a photo on a phone").await?;
    browser.click_in(&sheet, Role::Button, "Close").await?;
    browser.wait_until_gone(Role::Dialog, "Photo").await?;
    browser.click_in(&tile, Role::Button, "Downvote").await?;
    browser.find(Role::Dialog, "Sign in").await?;
    browser.check_width("the sign-in sheet on a phone").await?;
    bert.submit_sign_in(&browser).await?;
    browser.wait_for_announcement("Downvoted. Score −1.").await?;
    browser.close_without_errors().await
}

/// Very wide and very high photos keep their aspect ratio, and a long title does not break the layout.
pub(super) async fn unusual_aspect_ratios_are_kept(site: &Site, ada: &Member<'_>) -> Result<()> {
    let emoji = "🦊".repeat(120);
    ada.publish(camera::picture((300, 200), 90), &emoji).await?;
    let panorama = ada.publish(camera::picture((2400, 200), 120), "Panorama").await?;
    let strip = ada.publish(camera::picture((200, 2400), 200), "Strip").await?;
    let browser = site.visitor().await?;
    browser.visit("/").await?;
    for (title, shape) in [("Panorama", 12.0), ("Strip", 1.0 / 12.0)] {
        let image = browser.find(Role::Image, title).await?;
        let ratio: f64 = browser
            .run_on(
                &image,
                "const { width, height } = element.getBoundingClientRect(); return width / height",
            )
            .await?;
        ensure!(
            (ratio / shape - 1.0).abs() < 0.05,
            "{title} has the ratio {ratio}"
        );
    }
    browser.find(Role::Article, &emoji).await?;
    browser.take_screenshots("odd-shapes-latest").await?;
    browser.visit("/hot").await?;
    browser.find(Role::Image, "Strip").await?;
    browser.take_screenshots("odd-shapes-hot").await?;
    for (name, id) in [("panorama", panorama), ("strip", strip)] {
        browser.visit(&format!("/p/{id}")).await?;
        browser.find(Role::Button, "Send").await?;
        browser.take_screenshots(&format!("odd-shapes-{name}")).await?;
    }
    browser.close_without_errors().await
}
