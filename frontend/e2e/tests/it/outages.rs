//! A service or the network is down. Loaded content stays, missing fields are marked, and everything recovers by itself
//! or after one click.

use anyhow::Result;
use e2e::browser::Role;
use harness::system::{Options, System};

use crate::journeys::Journeys;
use crate::site::{Member, Site};

#[tokio::test(flavor = "multi_thread")]
async fn outages_are_reported() -> Result<()> {
    let system = System::start(Options::default()).await?;
    let site = Site::new(system.base_url())?;
    let (ada, bert) = (site.register("ada").await?, site.register("bert").await?);
    let photos = ada.publish_frames(4).await?;
    ada.comment(&photos[0], "Taken on the last day of the roll.")
        .await?;

    let mut journeys = Journeys::default();
    journeys
        .run(
            "without comments",
            comments_are_unavailable(&system, &site, &bert, &photos[0]),
        )
        .await;
    journeys
        .run("without votes", votes_are_unavailable(&system, &bert))
        .await;
    journeys
        .run(
            "without a network",
            the_network_is_unavailable(&site, &bert, &photos[1]),
        )
        .await;
    system.stop().await;
    journeys.finish()
}

async fn comments_are_unavailable(
    system: &System,
    site: &Site,
    bert: &Member<'_>,
    photo: &str,
) -> Result<()> {
    let browser = bert.browser().await?;
    browser.visit("/").await?;
    let tile = browser.find(Role::Article, "Frame 1").await?;
    browser.find_in(&tile, Role::Link, "1 comment").await?;
    system.stop_service("comment").await?;
    // The router caches anonymous responses for some seconds.
    browser
        .wait_for("the numbers of comments to disappear", async || {
            browser.reload().await?;
            let tile = browser.find(Role::Article, "Frame 1").await?;
            browser.find_in(&tile, Role::Button, "Upvote").await?;
            Ok((!browser.is_shown(Role::Link, "1 comment").await?).then_some(()))
        })
        .await?;
    browser.take_screenshots("latest-without-comments").await?;
    browser.visit(&format!("/p/{photo}")).await?;
    browser
        .wait_for_text("Comments are unavailable right now. Try again in a minute.")
        .await?;
    browser.click(Role::Button, "Upvote").await?;
    browser.wait_for_announcement("Upvoted. Score 1.").await?;
    browser.take_screenshots("photo-without-comments").await?;
    system.start_service("comment").await?;
    browser
        .wait_for("the comments to be back", async || {
            browser.reload().await?;
            browser.find(Role::Heading, "Frame 1").await?;
            let text: String = browser.run("return document.body.innerText").await?;
            Ok(text.contains("Taken on the last day of the roll.").then_some(()))
        })
        .await?;
    site.wait_for_counts(&browser, photo, (1, 0, 1)).await?;
    browser.close_without_errors().await
}

async fn votes_are_unavailable(system: &System, bert: &Member<'_>) -> Result<()> {
    let browser = bert.browser().await?;
    system.stop_service("vote").await?;
    browser.visit("/").await?;
    browser.find(Role::Article, "Frame 1").await?;
    browser.wait_until_gone(Role::Button, "Upvote").await?;
    browser.take_screenshots("latest-without-votes").await?;
    // The open page gets its buttons without a reload.
    system.start_service("vote").await?;
    browser.find(Role::Button, "Upvote").await?;
    let tile = browser.find(Role::Article, "Frame 3").await?;
    browser.click_in(&tile, Role::Button, "Upvote").await?;
    browser.wait_for_announcement("Upvoted. Score 1.").await?;
    system.stop_service("vote").await?;
    // Rankings need votes, so the page shows an error with a retry button.
    browser.click(Role::Link, "Trending").await?;
    browser
        .wait_for_text("This is unavailable right now. Try again in a minute.")
        .await?;
    browser.take_screenshots("trending-without-votes").await?;
    system.start_service("vote").await?;
    browser
        .wait_for("the votes to be back", async || {
            if browser.is_shown(Role::Button, "Retry").await? {
                browser.click(Role::Button, "Retry").await?;
            }
            let is_back = browser.is_shown(Role::Button, "Upvote").await?;
            Ok(is_back.then_some(()))
        })
        .await?;
    browser.close_without_errors().await
}

async fn the_network_is_unavailable(site: &Site, bert: &Member<'_>, photo: &str) -> Result<()> {
    let browser = bert.browser().await?;
    browser.visit("/").await?;
    let tile = browser.find(Role::Article, "Frame 2").await?;
    browser.set_offline(true).await?;
    browser.wait_for_text("You are offline.").await?;
    browser.take_screenshots("offline").await?;
    browser.click_in(&tile, Role::Button, "Upvote").await?;
    browser.wait_for_text("Your vote was not counted.").await?;
    // Content that is not loaded yet is replaced by an error.
    browser.click_in(&tile, Role::Link, "Frame 2").await?;
    let sheet = browser.find(Role::Dialog, "Photo").await?;
    browser.find_in(&sheet, Role::Button, "Retry").await?;
    browser
        .wait_for_text("The site does not answer. Check your connection, then try again.")
        .await?;
    browser.take_screenshots("offline-photo").await?;

    browser.set_offline(false).await?;
    browser
        .wait_for("the banner to disappear", async || {
            let text: String = browser.run("return document.body.innerText").await?;
            Ok((!text.contains("You are offline.")).then_some(()))
        })
        .await?;
    browser.click_in(&sheet, Role::Button, "Retry").await?;
    browser.find_in(&sheet, Role::Heading, "Frame 2").await?;
    // The message about the failed vote, with its retry button, is above the open photo.
    browser.click_in(&sheet, Role::Button, "Retry").await?;
    site.wait_for_counts(&browser, photo, (1, 0, 0)).await?;

    browser.set_offline(true).await?;
    browser.fill("Your comment", "Written in a tunnel.").await?;
    let send = browser.find_in(&sheet, Role::Button, "Send").await?;
    send.click().await?;
    let said = browser
        .find_in(&sheet, Role::ListItem, "Written in a tunnel.")
        .await?;
    browser.find_in(&said, Role::Button, "Retry").await?;
    browser.take_screenshots("offline-comment").await?;
    browser.set_offline(false).await?;
    browser.click_in(&said, Role::Button, "Retry").await?;
    browser.wait_for_announcement("Comment posted.").await?;
    site.wait_for_counts(&browser, photo, (1, 0, 1)).await?;
    browser.reload().await?;
    browser.find(Role::ListItem, "Written in a tunnel.").await?;
    browser.close_without_errors().await
}
