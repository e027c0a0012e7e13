//! A seeded site opens without errors. The test also takes the README's screenshots:
//! `cargo test --test e2e -- --ignored showcase`. They are in the folder of the screenshots.

use anyhow::{Result, ensure};
use e2e::browser::{Browser, Role};
use harness::system::{Options, System};
use tokio::process::Command;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: ./dev test --long"]
async fn showcase() -> Result<()> {
    let system = System::start(Options::default()).await?;
    let seeding = Command::new(harness::workspace::binaries().join("seed"))
        .args(["--url", &system.base_url()])
        .status()
        .await?;
    ensure!(seeding.success(), "the site could not be seeded");

    let browser = Browser::open(&system.base_url()).await?;
    browser.visit("/trending").await?;
    browser.find(Role::Heading, "Trending").await?;
    browser.take_screenshots("showcase-trending").await?;
    browser.visit("/hot").await?;
    browser.find(Role::Heading, "Hot").await?;
    browser.take_screenshots("showcase-hot").await?;
    browser.click(Role::Link, "Under the ridge").await?;
    browser.find(Role::Dialog, "Photo").await?;
    browser.take_screenshots("showcase-photo").await?;
    browser.close_without_errors().await?;
    system.stop().await;
    Ok(())
}
