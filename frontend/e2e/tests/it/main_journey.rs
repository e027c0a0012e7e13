//! The main journey of a user: browse, register, upload, vote, comment, delete.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use e2e::browser::{Browser, Role};
use e2e::camera;
use harness::system::{Options, System};

use crate::site::PASSWORD;

#[tokio::test(flavor = "multi_thread")]
async fn from_the_first_visit_to_the_deletion() -> Result<()> {
    let system = System::start(Options::default()).await?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("harbour-at-dusk.jpg");
    std::fs::write(&file, camera::phone_photo())?;
    let ada = Browser::open(&system.base_url()).await?;

    browse(&ada).await?;
    create_account(&ada, "ada").await?;
    let photo = upload(&ada, file).await?;
    files_are_upright_and_without_metadata(&system, &ada, &photo).await?;
    let bert = Browser::open(&system.base_url()).await?;
    vote_signed_out(&bert).await?;
    comment(&bert, &ada, &photo).await?;
    delete(&ada, &bert, &photo).await?;
    sign_out(&ada).await?;

    ada.close_without_errors().await?;
    bert.close_without_errors().await?;
    system.stop().await;
    Ok(())
}

/// Pages of an empty site are visible without an account.
async fn browse(browser: &Browser) -> Result<()> {
    browser.visit("/").await?;
    browser.find(Role::Heading, "Latest").await?;
    browser.wait_for_text("No photos yet.").await?;
    browser.click(Role::Link, "Hot").await?;
    browser.wait_for_path("/hot").await?;
    browser.wait_for_text("No photos yet today").await?;
    browser.click(Role::Link, "Trending").await?;
    browser.wait_for_path("/trending").await?;
    browser.back().await?;
    browser.wait_for_path("/hot").await?;
    browser.find(Role::Heading, "Hot").await?;
    browser.visit("/nowhere").await?;
    browser.find(Role::Heading, "There is nothing here").await?;
    browser.take_screenshots("not-found").await
}

async fn create_account(browser: &Browser, name: &str) -> Result<()> {
    browser.visit("/").await?;
    browser.click(Role::Link, "Join").await?;
    browser.find(Role::Heading, "Create an account").await?;
    browser.fill("E-mail", "not an address").await?;
    browser.take_screenshots("join").await?;
    submit_registration(browser, name).await?;
    browser.find(Role::Heading, "Choose a username").await?;
    browser.fill("Username", "admin").await?;
    browser
        .wait_for_text("This username is taken. Choose another one.")
        .await?;
    browser.fill("Username", name).await?;
    browser.wait_for_text("This username is available.").await?;
    browser.click(Role::Button, "Take this name").await?;
    browser.wait_for_path(&format!("/@{name}")).await
}

async fn submit_registration(browser: &Browser, name: &str) -> Result<()> {
    browser.fill("E-mail", &format!("{name}@example.org")).await?;
    browser.fill("Password", "short").await?;
    browser.click(Role::Button, "Create account").await?;
    browser.wait_for_text("Use at least 12 characters").await?;
    browser.fill("Password", PASSWORD).await?;
    browser.click(Role::Button, "Create account").await
}

/// Returns the path of the photo's page.
async fn upload(browser: &Browser, file: PathBuf) -> Result<String> {
    browser.click(Role::Link, "Upload").await?;
    browser.find(Role::Heading, "Upload photos").await?;
    let not_a_photo = file.with_file_name("letter.jpg");
    std::fs::write(&not_a_photo, "Dear reader, this is a letter.")?;
    browser.choose_files("Choose photos", &[not_a_photo]).await?;
    browser
        .wait_for_text("The file is not a JPEG, PNG or WebP picture")
        .await?;
    browser.click(Role::Button, "Remove").await?;
    browser.choose_files("Choose photos", &[file]).await?;
    browser.wait_for_text("No location inside").await?;
    browser.fill("Title", "Harbour at dusk").await?;
    browser
        .fill("What it shows (optional)", "A meadow under a clear sky.")
        .await?;
    browser.take_screenshots("upload").await?;
    browser.click(Role::Button, "Publish").await?;
    browser.click(Role::Link, "See it").await?;
    browser.find(Role::Heading, "Harbour at dusk").await?;
    browser.take_screenshots("photo").await?;
    // Authors cannot vote on their own photos.
    browser.wait_until_gone(Role::Button, "Upvote").await?;
    browser.path().await
}

async fn files_are_upright_and_without_metadata(
    system: &System,
    browser: &Browser,
    photo: &str,
) -> Result<()> {
    browser.visit(photo).await?;
    let image = browser.find(Role::Image, "A meadow under a clear sky.").await?;
    let chosen = browser.loaded_image_url(&image).await?;
    let srcset = image.attr("srcset").await?.context("the image has a srcset")?;
    let jpegs = srcset
        .split(',')
        .filter_map(|size| size.split_whitespace().next())
        .map(|path| format!("{}{path}", system.base_url()));
    let client = reqwest::Client::new();
    for address in jpegs.clone().chain([chosen]) {
        let answer = client.get(&address).send().await?.error_for_status()?;
        let bytes = answer.bytes().await?;
        for trace in [b"Exif".as_slice(), b"http://ns.adobe.com", b"GPS"] {
            ensure!(
                !bytes.windows(trace.len()).any(|window| window == trace),
                "{address} contains metadata"
            );
        }
    }
    for address in jpegs {
        let (picture, upper, lower) =
            camera::half_colours(&client.get(&address).send().await?.bytes().await?);
        ensure!(picture.width() < picture.height(), "{address} is wider than high");
        ensure!(
            camera::is_similar(upper, camera::SKY) && camera::is_similar(lower, camera::MEADOW),
            "{address} is not upright: {upper:?} above {lower:?}"
        );
    }
    Ok(())
}

/// The vote is sent after the registration.
async fn vote_signed_out(browser: &Browser) -> Result<()> {
    browser.visit("/").await?;
    let tile = browser.find(Role::Article, "Harbour at dusk").await?;
    browser.take_screenshots("latest").await?;
    browser.click_in(&tile, Role::Button, "Upvote").await?;
    let sheet = browser.find(Role::Dialog, "Sign in").await?;
    browser.take_screenshots("sign-in").await?;
    browser
        .click_in(&sheet, Role::Button, "Create an account")
        .await?;
    submit_registration(browser, "bert").await?;
    browser.wait_until_gone(Role::Dialog, "Sign in").await?;
    browser.wait_for_announcement("Upvoted. Score 1.").await?;
    let up = browser.find_in(&tile, Role::Button, "Upvote").await?;
    browser.wait_for_attribute(&up, "aria-pressed", "true").await?;
    browser.wait_for_path("/").await?;

    // The vote is stored although the page is left at once.
    browser.visit("/trending").await?;
    browser
        .reload_until_pressed("Rank 1 Harbour at dusk", "Upvote")
        .await?;
    browser.take_screenshots("trending").await
}

async fn comment(guest: &Browser, host: &Browser, photo: &str) -> Result<()> {
    // The photo opens in a dialog over the timeline.
    guest.click(Role::Link, "Harbour at dusk").await?;
    let sheet = guest.find(Role::Dialog, "Photo").await?;
    guest.wait_for_path(photo).await?;
    guest
        .fill("Your comment", "What a sky! See https://example.org for more.")
        .await?;
    guest.click_in(&sheet, Role::Button, "Send").await?;
    guest.find_in(&sheet, Role::ListItem, "What a sky!").await?;
    guest.wait_for_announcement("Comment posted.").await?;
    guest.find_in(&sheet, Role::Link, "https://example.org").await?;
    guest.take_screenshots("photo-over-timeline").await?;
    guest.click(Role::Button, "Close").await?;
    guest.wait_for_path("/trending").await?;
    guest.wait_until_gone(Role::Dialog, "Photo").await?;

    host.visit(photo).await?;
    let said = host.find(Role::ListItem, "What a sky!").await?;
    host.click_in(&said, Role::Button, "Reply").await?;
    host.fill("Your reply", "It lasted a minute.").await?;
    let replying = host.find(Role::ListItem, "What a sky!").await?;
    host.click_in(&replying, Role::Button, "Send").await?;
    host.wait_for_announcement("Comment posted.").await?;
    // Unsent text survives a reload.
    host.fill("Your comment", "Unfinished").await?;
    host.reload().await?;
    let kept = host.find(Role::Textbox, "Your comment").await?;
    ensure!(
        kept.value().await?.as_deref() == Some("Unfinished"),
        "the draft is lost"
    );
    kept.clear().await?;
    host.take_screenshots("comments").await
}

async fn delete(owner: &Browser, guest: &Browser, photo: &str) -> Result<()> {
    guest.visit(photo).await?;
    let said = guest.find(Role::ListItem, "What a sky!").await?;
    guest.click_in(&said, Role::Button, "Delete").await?;
    guest.wait_for_text("This comment was deleted.").await?;
    guest.wait_for_text("It lasted a minute.").await?;

    owner.visit("/").await?;
    owner.click(Role::Link, "Harbour at dusk").await?;
    let sheet = owner.find(Role::Dialog, "Photo").await?;
    owner.click_in(&sheet, Role::Button, "Delete").await?;
    let question = owner.find(Role::Dialog, "Delete this photo?").await?;
    owner.take_screenshots("delete").await?;
    owner.click_in(&question, Role::Button, "Delete").await?;
    owner.wait_for_path("/").await?;
    owner.wait_until_gone(Role::Link, "Harbour at dusk").await?;
    owner.visit(photo).await?;
    owner.find(Role::Heading, "This photo does not exist").await?;
    owner.take_screenshots("removed").await
}

async fn sign_out(browser: &Browser) -> Result<()> {
    browser.click(Role::Link, "Settings").await?;
    browser.find(Role::Heading, "Settings").await?;
    browser.take_screenshots("settings").await?;
    browser.click(Role::Button, "Sign out").await?;
    browser.wait_for_path("/").await?;
    browser.find(Role::Link, "Sign in").await?;
    Ok(())
}
