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
    let (ada, bert) = (site.join("ada").await?, site.join("bert").await?);
    let photos = ada.publish_frames(4).await?;
    ada.say(&photos[0], "Taken on the last day of the roll.").await?;

    let mut journeys = Journeys::default();
    journeys
        .walk(
            "without comments",
            comments_are_away(&system, &site, &bert, &photos[0]),
        )
        .await;
    journeys
        .walk("without votes", votes_are_away(&system, &bert))
        .await;
    journeys
        .walk("without a network", the_network_is_away(&site, &bert, &photos[1]))
        .await;
    system.stop().await;
    journeys.finish()
}

async fn comments_are_away(system: &System, site: &Site, bert: &Member<'_>, photo: &str) -> Result<()> {
    let browser = bert.browser().await?;
    browser.visit("/").await?;
    let tile = browser.find(Role::Article, "Frame 1").await?;
    browser.find_in(&tile, Role::Link, "1 comment").await?;
    system.stop_service("comment").await?;
    // The router may keep what everybody sees for some seconds.
    browser
        .wait_for("the counts of comments to go", async || {
            browser.reload().await?;
            let tile = browser.find(Role::Article, "Frame 1").await?;
            browser.find_in(&tile, Role::Button, "Upvote").await?;
            Ok((!browser.shows(Role::Link, "1 comment").await?).then_some(()))
        })
        .await?;
    browser.screenshots("latest-without-comments").await?;
    browser.visit(&format!("/p/{photo}")).await?;
    browser
        .reads("Comments are unavailable right now. Try again in a minute.")
        .await?;
    browser.click(Role::Button, "Upvote").await?;
    browser.announces("Upvoted. Score 1.").await?;
    browser.screenshots("photo-without-comments").await?;
    system.start_service("comment").await?;
    browser
        .wait_for("the comments to be back", async || {
            browser.reload().await?;
            browser.find(Role::Heading, "Frame 1").await?;
            let text: String = browser.run("return document.body.innerText").await?;
            Ok(text.contains("Taken on the last day of the roll.").then_some(()))
        })
        .await?;
    site.comes_to(&browser, photo, (1, 0, 1)).await?;
    browser.closes_content().await
}

async fn votes_are_away(system: &System, bert: &Member<'_>) -> Result<()> {
    let browser = bert.browser().await?;
    system.stop_service("vote").await?;
    browser.visit("/").await?;
    browser.find(Role::Article, "Frame 1").await?;
    browser.is_gone(Role::Button, "Upvote").await?;
    browser.screenshots("latest-without-votes").await?;
    // The page that was opened meanwhile gets its buttons by itself.
    system.start_service("vote").await?;
    browser.find(Role::Button, "Upvote").await?;
    let tile = browser.find(Role::Article, "Frame 3").await?;
    browser.click_in(&tile, Role::Button, "Upvote").await?;
    browser.announces("Upvoted. Score 1.").await?;
    system.stop_service("vote").await?;
    // Rankings need votes, so the page shows an error with a retry button.
    browser.click(Role::Link, "Trending").await?;
    browser
        .reads("This is unavailable right now. Try again in a minute.")
        .await?;
    browser.screenshots("trending-without-votes").await?;
    system.start_service("vote").await?;
    browser
        .wait_for("the votes to be back", async || {
            if browser.shows(Role::Button, "Retry").await? {
                browser.click(Role::Button, "Retry").await?;
            }
            let is_back = browser.shows(Role::Button, "Upvote").await?;
            Ok(is_back.then_some(()))
        })
        .await?;
    browser.closes_content().await
}

async fn the_network_is_away(site: &Site, bert: &Member<'_>, photo: &str) -> Result<()> {
    let browser = bert.browser().await?;
    browser.visit("/").await?;
    let tile = browser.find(Role::Article, "Frame 2").await?;
    browser.is_offline(true).await?;
    browser.reads("You are offline.").await?;
    browser.screenshots("offline").await?;
    browser.click_in(&tile, Role::Button, "Upvote").await?;
    browser.reads("Your vote was not counted.").await?;
    // Content that is not loaded yet shows an error in its place.
    browser.click_in(&tile, Role::Link, "Frame 2").await?;
    let sheet = browser.find(Role::Dialog, "Photo").await?;
    browser.find_in(&sheet, Role::Button, "Retry").await?;
    browser
        .reads("The site does not answer. Check your connection, then try again.")
        .await?;
    browser.screenshots("offline-photo").await?;

    browser.is_offline(false).await?;
    browser
        .wait_for("the banner to go", async || {
            let text: String = browser.run("return document.body.innerText").await?;
            Ok((!text.contains("You are offline.")).then_some(()))
        })
        .await?;
    browser.click_in(&sheet, Role::Button, "Retry").await?;
    browser.find_in(&sheet, Role::Heading, "Frame 2").await?;
    // The vote that was not counted waits in its message, which is not hidden by the open photo.
    browser.click_in(&sheet, Role::Button, "Retry").await?;
    site.comes_to(&browser, photo, (1, 0, 0)).await?;

    browser.is_offline(true).await?;
    browser.fill("Your comment", "Written in a tunnel.").await?;
    let send = browser.find_in(&sheet, Role::Button, "Send").await?;
    send.click().await?;
    let said = browser
        .find_in(&sheet, Role::ListItem, "Written in a tunnel.")
        .await?;
    browser.find_in(&said, Role::Button, "Retry").await?;
    browser.screenshots("offline-comment").await?;
    browser.is_offline(false).await?;
    browser.click_in(&said, Role::Button, "Retry").await?;
    browser.announces("Comment posted.").await?;
    site.comes_to(&browser, photo, (1, 0, 1)).await?;
    browser.reload().await?;
    browser.find(Role::ListItem, "Written in a tunnel.").await?;
    browser.closes_content().await
}
