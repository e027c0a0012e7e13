//! The pictures in the README: a seeded site, as a visitor sees it. They are taken again by
//! `cargo test --test e2e -- --ignored showcase`, which leaves them among the screenshots.

use anyhow::{Result, ensure};
use e2e::browser::{Browser, Role};
use harness::system::{Options, System};
use tokio::process::Command;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it fills a site, which takes a minute, and checks nothing that the journeys do not"]
async fn showcase() -> Result<()> {
    let system = System::start(Options::default()).await?;
    let seeding = Command::new(harness::workspace::binaries().join("seed"))
        .args(["--url", &system.base_url()])
        .status()
        .await?;
    ensure!(seeding.success(), "the site could not be filled");

    let browser = Browser::open(&system.base_url()).await?;
    browser.visit("/trending").await?;
    browser.find(Role::Heading, "Trending").await?;
    browser.screenshots("showcase-trending").await?;
    browser.visit("/hot").await?;
    browser.find(Role::Heading, "Hot").await?;
    browser.screenshots("showcase-hot").await?;
    browser.click(Role::Link, "Under the ridge").await?;
    browser.find(Role::Dialog, "Photo").await?;
    browser.screenshots("showcase-photo").await?;
    browser.closes_content().await?;
    system.stop().await;
    Ok(())
}
