//! Navigation: back and forward, the photo viewer, removed and new photos. The topics of the submodules are part of the
//! same test, because starting a system is slow.

mod keyboard;
mod language;
mod layout;
mod restricted;

use anyhow::{Result, ensure};
use e2e::browser::{Key, Role};
use e2e::camera;
use harness::system::{Options, System};

use crate::journeys::Journeys;
use crate::site::{Member, Site};

#[tokio::test(flavor = "multi_thread")]
async fn visitors_navigate_the_site() -> Result<()> {
    let system = System::start(Options::default()).await?;
    let site = Site::new(system.base_url())?;
    let (ada, bert) = (site.register("ada").await?, site.register("bert").await?);
    ada.publish_frames(12).await?;

    let mut journeys = Journeys::default();
    journeys
        .run("a removal", the_next_photo_gets_the_rank(&ada))
        .await;
    journeys
        .run("invalid paths", invalid_paths_are_not_found(&site))
        .await;
    journeys.run("back and forward", back_and_forward(&site)).await;
    journeys
        .run("the viewer", the_viewer_shows_the_next_photo(&site))
        .await;
    journeys
        .run("the bar", layout::labels_of_the_bar_do_not_overlap(&site, &bert))
        .await;
    journeys
        .run("a reload", a_reload_keeps_the_scroll_position(&site))
        .await;
    journeys
        .run("by keyboard alone", keyboard::navigation_by_keyboard(&bert))
        .await;
    journeys
        .run("shortcuts off", keyboard::shortcuts_can_be_turned_off(&site))
        .await;
    journeys
        .run("without pictures", restricted::without_pictures(&site))
        .await;
    journeys
        .run("a wrong clock", restricted::with_a_wrong_clock(&site, &bert))
        .await;
    journeys
        .run("without cookies", restricted::without_cookies(&site, &bert))
        .await;
    journeys
        .run("without the app", restricted::without_the_app(&site))
        .await;
    journeys.run("in German", language::in_german(&site)).await;
    journeys
        .run("a narrow screen", layout::on_a_narrow_screen(&site, &bert))
        .await;
    journeys
        .run("new photos", new_photos_wait_for_a_click(&site, &ada))
        .await;
    journeys
        .run(
            "unusual aspect ratios",
            layout::unusual_aspect_ratios_are_kept(&site, &ada),
        )
        .await;
    journeys
        .run("right to left", language::text_directions_are_isolated(&site))
        .await;
    system.stop().await;
    journeys.finish()
}

/// When the first photo is deleted, the next photo gets its rank and its size.
async fn the_next_photo_gets_the_rank(ada: &Member<'_>) -> Result<()> {
    ada.publish(camera::picture((300, 200), 30), "Leading frame")
        .await?;
    let browser = ada.browser().await?;
    let is_large = "return element.querySelector('img').sizes.includes('68vh')";
    browser
        .wait_for("the newest photo to be first", async || {
            browser.visit("/hot").await?;
            browser.find(Role::Heading, "Hot").await?;
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
            Ok(browser
                .is_shown(Role::Article, "Rank 1 Leading frame")
                .await?
                .then_some(()))
        })
        .await?;
    let second = browser.find(Role::Article, "Rank 2 Frame 12").await?;
    ensure!(
        !browser.run_on::<bool>(&second, is_large).await?,
        "the second photo is as large as the first"
    );
    browser.click(Role::Link, "Leading frame").await?;
    let sheet = browser.find(Role::Dialog, "Photo").await?;
    browser.click_in(&sheet, Role::Button, "Delete").await?;
    let question = browser.find(Role::Dialog, "Delete this photo?").await?;
    browser.click_in(&question, Role::Button, "Delete").await?;
    browser.wait_for_path("/hot").await?;
    browser.wait_until_gone(Role::Link, "Leading frame").await?;
    let first = browser.find(Role::Article, "Rank 1 Frame 12").await?;
    ensure!(
        browser.run_on::<bool>(&first, is_large).await?,
        "the first photo is not large after the removal"
    );
    browser.wait_for_attribute(&first, "aria-posinset", "1").await?;
    browser.find(Role::Article, "Rank 2 Frame 11").await?;
    browser.take_screenshots("hot-after-a-removal").await?;
    browser.close_without_errors().await
}

/// The router and the app agree on which paths do not exist.
async fn invalid_paths_are_not_found(site: &Site) -> Result<()> {
    let browser = site.visitor().await?;
    for path in ["/p/heron", "/hot/2026-02-31", "/hot/2026-2-3", "/@", "/p/"] {
        browser.visit(path).await?;
        browser.find(Role::Heading, "There is nothing here").await?;
        browser
            .wait_until(
                &format!("{path} has status 404"),
                "return fetch(location.href).then(response => response.status === 404)",
            )
            .await?;
        // Now the app renders the page instead of the router.
        browser.click(Role::Link, "Trending").await?;
        browser.find(Role::Heading, "Trending").await?;
        browser.back().await?;
        browser.wait_for_path(path).await?;
        browser.find(Role::Heading, "There is nothing here").await?;
    }
    browser.close().await
}

/// Going back restores the page, its scroll position, and the focused tile.
async fn back_and_forward(site: &Site) -> Result<()> {
    let browser = site.visitor().await?;
    browser.visit("/").await?;
    let tile = browser.find(Role::Article, "Frame 3").await?;
    browser.click_in(&tile, Role::Link, "Frame 3").await?;
    let sheet = browser.find(Role::Dialog, "Photo").await?;
    browser.find_in(&sheet, Role::Heading, "Frame 3").await?;
    let photo = browser.path().await?;
    let position = browser.scroll_position().await?;
    ensure!(position > 100.0, "the page is not scrolled: {position}");
    browser.wait_for_focus(Role::Heading, "Frame 3").await?;

    // Escape goes back.
    browser.press(Key::Escape).await?;
    browser.wait_for_path("/").await?;
    browser.wait_until_gone(Role::Dialog, "Photo").await?;
    browser.wait_for_scroll(position).await?;
    browser.wait_for_focus(Role::Article, "Frame 3").await?;
    browser.forward().await?;
    browser.wait_for_path(&photo).await?;
    browser.find(Role::Dialog, "Photo").await?;
    browser.back().await?;
    browser.wait_until_gone(Role::Dialog, "Photo").await?;
    browser.wait_for_scroll(position).await?;

    // A new page is scrolled to the top, and its link is marked as current.
    browser.click(Role::Link, "Hot").await?;
    browser.wait_for_focus(Role::Heading, "Hot").await?;
    browser.wait_for_scroll(0.0).await?;
    let current = browser.find(Role::Link, "Hot").await?;
    browser
        .wait_for_attribute(&current, "aria-current", "page")
        .await?;
    browser.click(Role::Link, "How ranking works").await?;
    browser.wait_for_focus(Role::Heading, "How ranking works").await?;
    browser.wait_for_scroll(0.0).await?;
    browser.take_screenshots("about-ranking").await?;
    browser.back().await?;
    browser.back().await?;
    browser.wait_for_path("/").await?;
    browser.find(Role::Article, "Frame 3").await?;
    browser.wait_for_scroll(position).await?;

    // The address of a photo opens the full page instead of the dialog.
    browser.visit(&photo).await?;
    browser.find(Role::Heading, "Frame 3").await?;
    browser.wait_until_gone(Role::Dialog, "Photo").await?;
    browser.close_without_errors().await
}

/// The viewer shows the next and the previous photo, enlarges photos, and returns to the timeline.
async fn the_viewer_shows_the_next_photo(site: &Site) -> Result<()> {
    let browser = site.visitor().await?;
    browser.visit("/").await?;
    let tile = browser.find(Role::Article, "Frame 10").await?;
    // The first frame of the viewer shows the image of the tile.
    let shows_image_at_once = "document.getElementById(element.id).querySelector('.frame').click();
        return new Promise(requestAnimationFrame).then(() => {
            const image = document.querySelector('dialog .photo-image img');
            return image !== null && image.complete && image.naturalWidth > 0;
        });";
    browser
        .wait_for("a loaded tile", async || {
            let loaded =
                "const image = element.querySelector('img'); return image.complete && image.naturalWidth > 0";
            Ok(browser.run_on::<bool>(&tile, loaded).await?.then_some(()))
        })
        .await?;
    ensure!(
        browser.run_on::<bool>(&tile, shows_image_at_once).await?,
        "the viewer opened empty"
    );
    browser.wait_for_focus(Role::Heading, "Frame 10").await?;
    let dark = "return getComputedStyle(document.querySelector('dialog')).colorScheme === 'dark'
        && document.querySelector('.photo-stage').clientHeight === innerHeight";
    browser
        .wait_until("a dark stage as high as the window", dark)
        .await?;

    browser.press(Key::Right).await?;
    browser.wait_for_focus(Role::Heading, "Frame 9").await?;
    browser.press("j").await?;
    browser.wait_for_focus(Role::Heading, "Frame 8").await?;
    browser.press("k").await?;
    browser.wait_for_focus(Role::Heading, "Frame 9").await?;
    browser.click(Role::Button, "Next photo").await?;
    browser.find(Role::Heading, "Frame 8").await?;
    browser.click(Role::Button, "Previous photo").await?;
    browser.find(Role::Heading, "Frame 9").await?;
    browser.find(Role::Button, "Upvote").await?;

    browser.take_screenshots("viewer").await?;
    let path = browser.path().await?;
    browser.press("z").await?;
    let enlarged = "return document.querySelector('.photo-area').classList.contains('is-enlarged')";
    browser.wait_until("an enlarged photo", enlarged).await?;
    browser.press(Key::Right).await?;
    ensure!(
        browser.path().await? == path,
        "an arrow key closed an enlarged photo"
    );
    browser.press("z").await?;
    browser
        .wait_until("a fitted photo", &enlarged.replace("return ", "return !"))
        .await?;
    browser.press("f").await?;
    browser
        .wait_until("full screen", "return document.fullscreenElement !== null")
        .await?;
    browser.press("f").await?;
    browser
        .wait_until(
            "the end of full screen",
            "return document.fullscreenElement === null",
        )
        .await?;

    // A reload stays in the viewer, and going back leads to the timeline.
    browser.reload().await?;
    browser.find(Role::Dialog, "Photo").await?;
    browser.find(Role::Heading, "Frame 9").await?;
    browser.press(Key::Left).await?;
    browser.find(Role::Heading, "Frame 10").await?;
    browser.press(Key::Escape).await?;
    browser.wait_for_path("/").await?;
    browser.wait_for_focus(Role::Article, "Frame 10").await?;
    browser
        .wait_until(
            "the title of the timeline",
            "return document.title === 'Latest · Proofsheet'",
        )
        .await?;
    browser.close_without_errors().await
}

/// A reload keeps the scroll position.
async fn a_reload_keeps_the_scroll_position(site: &Site) -> Result<()> {
    let browser = site.visitor().await?;
    browser.resize(390, 844).await?;
    browser.visit("/").await?;
    browser.find(Role::Article, "Frame 1").await?;
    browser.run::<()>("window.scrollTo(0, 1200)").await?;
    browser.reload().await?;
    browser.wait_for_scroll(1200.0).await?;

    browser.reset_size().await?;
    browser.close_without_errors().await
}

/// New photos are announced, and the timeline does not move until the visitor clicks.
async fn new_photos_wait_for_a_click(site: &Site, ada: &Member<'_>) -> Result<()> {
    let browser = site.visitor().await?;
    // Shortens the interval of polling.
    browser
        .run_before_every_page(
            "const every = window.setInterval;
             window.setInterval = (call, pause, ...rest) => every(call, Math.min(pause, 500), ...rest);",
        )
        .await?;
    browser.visit("/").await?;
    let tile = browser.find(Role::Article, "Frame 6").await?;
    tile.scroll_into_view().await?;
    let position = browser.scroll_position().await?;
    ada.publish(camera::picture((300, 220), 250), "Late frame")
        .await?;
    browser.find(Role::Button, "1 new photo").await?;
    browser.wait_for_scroll(position).await?;
    ensure!(
        !browser.is_shown(Role::Article, "Late frame").await?,
        "the new photo is shown without a click"
    );
    browser.take_screenshots("new-photo").await?;
    browser.click(Role::Button, "1 new photo").await?;
    browser.find(Role::Article, "Late frame").await?;
    browser.wait_for_scroll(0.0).await?;
    browser.close_without_errors().await
}
